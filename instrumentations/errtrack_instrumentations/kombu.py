# SPDX-License-Identifier: MIT
"""Messages published through kombu, by Celery or without it, are spans of whatever is traced."""

from __future__ import annotations

from errtrack.instrumentation import Call, Instrumentation, Patch

from ._late import tracing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice


def publish(call: Call) -> Advice:
    """Producer.publish(self, body, routing_key=None, ..., headers=None, ..., exchange=None, ...)"""
    parent = tracing.recording()
    exchange = name_of(call.get(11, "exchange") or getattr(call.args[0], "exchange", None))
    # What workers tell their monitors is no step of anybody's work.
    if parent is None or exchange == "celeryev":
        yield
        return
    headers = call.get(9, "headers")
    headers = headers if isinstance(headers, dict) else {}
    queue = call.get(2, "routing_key")
    name = str(headers.get("task") or queue or exchange)
    span = parent.start_child(op="queue.publish", name=name, origin="auto.queue.celery")
    data = {
        "messaging.message.id": headers.get("id") or call.kwargs.get("correlation_id"),
        "messaging.message.retry.count": headers.get("retries"),
        "messaging.destination.name": queue if exchange == "" else None,
        "messaging.system": system_of(call.args[0]),
    }
    span.update_data({key: value for key, value in data.items() if value is not None})
    try:
        yield
    except Exception:
        span.set_status("internal_error")
        raise
    finally:
        span.finish()


def name_of(exchange: Any) -> str:
    """The name of *exchange*, an object or a name already."""
    return str(getattr(exchange, "name", exchange) or "")


def system_of(producer: Any) -> str | None:
    """The kind of broker that *producer* is connected to."""
    transport = getattr(getattr(producer, "connection", None), "transport", None)
    return getattr(transport, "driver_type", None)


INSTRUMENTATION = Instrumentation(
    "kombu", patches=[Patch("kombu.messaging", "Producer.publish", publish, traced=True)]
)
