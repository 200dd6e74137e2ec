# SPDX-License-Identifier: MIT
"""What a person has to say about an error: a text, sent to the server beside the event that it is about.

https://develop.sentry.dev/sdk/telemetry/feedbacks/. Feedback is neither sampled nor filtered by ``before_send``, which
knows errors. Without a DSN there is nobody to read it, and it is not kept.
"""

from __future__ import annotations

import time

from errtrack import guard
from errtrack.capture import event as events
from errtrack.context import scope as scopes
from errtrack.context.merge import apply_scopes
from errtrack.delivery import envelope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Longest text that servers take.
LONGEST = 4096


def capture_feedback(
    message: str,
    *,
    name: str | None = None,
    contact_email: str | None = None,
    associated_event_id: str | None = None,
    url: str | None = None,
    source: str | None = None,
) -> str | None:
    """Send what a user said about *associated_event_id*, by default the error captured last in this unit of work.

    *name* and *contact_email* are the user's own words and are sent as they are given. Returns the id of the feedback,
    or None when there was nothing to send or nobody to send it to.
    """
    from errtrack.client import get_client

    client = get_client()
    if client is None or not client.is_active or client.dsn is None or guard.is_inside():
        return None
    text = str(message).strip()[:LONGEST]
    if not text:
        return None
    with guard.Inside():
        try:
            said: dict[str, Any] = {
                "message": text,
                "name": name,
                "contact_email": contact_email,
                "associated_event_id": associated_event_id or scopes.get_isolation_scope().last_event_id,
                "url": url,
                "source": source,
            }
            chain = scopes.merged_scopes()
            event: dict[str, Any] = {"level": "info"}
            apply_scopes(event, chain)
            event.pop("breadcrumbs", None)
            static = client.static()
            for key in ("release", "environment", "dist", "server_name", "platform", "sdk"):
                if static.get(key):
                    event.setdefault(key, static[key])
            event.setdefault("contexts", {})
            trace = scopes.get_isolation_scope().get_propagation().as_context()
            event["contexts"] = {**event["contexts"], "trace": trace}
            event["event_id"] = event_id = events.new_id()
            event["timestamp"] = events.stamp(time.time())
            events.finish(event, client.options, client.scrubber)
            # After the scrubber: what a person wrote to be read is theirs, an address included.
            event["contexts"] = {
                **event["contexts"],
                "feedback": {key: str(value) for key, value in said.items() if value},
            }
            event["type"] = "feedback"
            client.send(envelope.build(event_id, "feedback", events.encode(event)), "feedback")
            return event_id
        except Exception as error:
            guard.fault("feedback", error)
            return None
