# SPDX-License-Identifier: MIT
"""Release health: how many requests, tasks and runs of a release ended well, in error, or in a crash.

Off unless ``auto_session_tracking`` is on and a release is known. Sessions are counted by the minute they began in,
and sent with what is delivered anyway, at most once a minute, and at exit; no thread is started for them.
https://develop.sentry.dev/sdk/telemetry/sessions/
"""

from __future__ import annotations

import os
from time import monotonic

from errtrack import guard
from errtrack.capture.moments import stamp
from errtrack.capture.wire import dumps, utf8
from errtrack.context import scope as scopes
from errtrack.context.session import Session
from errtrack.delivery import envelope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from typing import Any

    from errtrack.client import Client
else:
    from _collections import deque

#: Seconds between two deliveries.
EVERY = 60.0

#: Most buckets (minutes) in one item, and most items in one envelope.
BUCKETS, ITEMS = 100, 100


class Sessions:
    """Counts the sessions of one client. Every method may be called from anywhere."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ended: deque[tuple[int, str]] = deque()
        self._pid = os.getpid()
        self._told_at = monotonic()
        scopes.new_session = self.begin

    def begin(self) -> Session:
        """A session that is counted when it ends."""
        return Session(self._count)

    def error_happened(self, crashed: bool) -> None:
        """Note an error in the session of this unit of work, if there is one."""
        session = scopes.get_isolation_scope().session
        if session is not None:
            session.error_happened(crashed)

    def flush(self) -> None:
        """Send what was counted."""
        self._told_at = monotonic()
        payloads = self._take()
        if not payloads:
            return
        for start in range(0, len(payloads), ITEMS):
            first, *rest = payloads[start : start + ITEMS]
            items = [({"type": "sessions"}, payload) for payload in rest]
            self._client.send(envelope.build(None, "sessions", first, None, items), "session")

    def close(self) -> None:
        """End the session of the process, if one was begun, and send what was counted."""
        if scopes.new_session == self.begin:
            scopes.new_session = None
        session = scopes.get_isolation_scope().session
        if session is not None:
            session.end()
        self.flush()

    def _count(self, session: Session) -> None:
        try:
            self._let_go_of_parents()
            self._ended.append((int(session.started) // 60 * 60, session.outcome))
            if monotonic() - self._told_at >= EVERY:
                with guard.Inside():
                    self.flush()
        except Exception as error:
            guard.fault("sessions", error)

    def _let_go_of_parents(self) -> None:
        pid = os.getpid()
        if pid != self._pid:
            self._pid = pid
            self._ended.clear()

    def _take(self) -> list[bytes]:
        """The payloads of ``sessions`` items for all that has ended; none without a release."""
        self._let_go_of_parents()
        if not self._ended:
            return []
        buckets: dict[int, dict[str, int]] = {}
        ended = self._ended
        while ended:
            try:
                started, outcome = ended.popleft()
            except IndexError:  # another thread took the last one
                break
            counts = buckets.setdefault(started, {})
            counts[outcome] = counts.get(outcome, 0) + 1
        static = self._client.static()
        if not static.get("release"):
            return []
        attributes = {"release": static["release"], "environment": static["environment"]}
        rows: list[dict[str, Any]] = [
            {"started": stamp(started), **counts} for started, counts in sorted(buckets.items())
        ]
        return [
            utf8(dumps({"aggregates": rows[start : start + BUCKETS], "attrs": attributes}))
            for start in range(0, len(rows), BUCKETS)
        ]
