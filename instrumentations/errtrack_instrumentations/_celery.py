# SPDX-License-Identifier: MIT
"""What the parts of Celery share: what goes along with a message, and what an event says of its task."""

from __future__ import annotations

import sys
from _thread import _local

import errtrack
from errtrack import options
from errtrack.context import trace as tracing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ORIGIN = "auto.queue.celery"

# Headers of a message, under the names that other workers' agents know.
TRACE, BAGGAGE, TRACEPARENT = "sentry-trace", "baggage", "traceparent"
SENT_AT = "sentry-task-enqueued-time"
PROPAGATE = "sentry-propagate-traces"
MONITOR, CHECK_IN, BEGAN = (
    "sentry-monitor-slug",
    "sentry-monitor-check-in-id",
    "sentry-monitor-start-timestamp-s",
)
OWN = (TRACE, SENT_AT, MONITOR, "sentry-monitor-config", CHECK_IN, BEGAN)

#: Where duplicates are told by.
_MARK = "__errtrack__"

#: Further headers of what this thread sends just now: beat's check-in.
firing: Any = _local()

#: Names of brokers whose URLs are written in other ways.
_BROKERS = {
    "": "amqp", "amqps": "amqp", "librabbitmq": "amqp", "pyamqp": "amqp", "rediss": "redis", "sentinel": "redis",
}  # fmt: skip


class Job:
    """A run of a task: what is known of it comes onto every event that is captured meanwhile."""

    __slots__ = ("args", "kwargs", "name", "request", "task")

    touches_frames = False

    def __init__(self, name: str, task: Any, args: Any, kwargs: Any, request: dict[str, Any]) -> None:
        self.name = name
        self.task = task
        self.args = args
        self.kwargs = kwargs
        self.request = request

    def __call__(self, event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
        """Describe the task on *event*; its arguments are personal data."""
        shown = errtrack.should_send_default_pii()
        extra = {
            "task_name": self.name,
            "args": self.args if shown else "[Filtered]",
            "kwargs": self.kwargs if shown else "[Filtered]",
        }
        event["extra"] = {**(event.get("extra") or {}), "celery-job": extra}
        event["contexts"] = {**(event.get("contexts") or {}), "celery": self.context()}
        return event

    def context(self) -> dict[str, Any]:
        """Where and how often it was tried, and what it belongs to."""
        request = self.request
        delivery = delivery_of(request)
        found = {
            "queue": delivery.get("routing_key"),
            "exchange": delivery.get("exchange"),
            "redelivered": delivery.get("redelivered"),
            "acks_late": attribute_of(self.task, "acks_late"),
            "eager": request.get("is_eager"),
        }
        for key in ("hostname", "eta", "expires", "parent_id", "root_id", "group"):
            found[key] = request.get(key)
        context = {key: value for key, value in found.items() if value}
        context["retries"] = request.get("retries") or 0
        return context


def name_of(task: Any) -> str:
    """The name that *task* is registered by."""
    return str(attribute_of(task, "name"))


def attribute_of(task: Any, name: str) -> Any:
    """An attribute of *task*, whose class may do what it likes when it is asked; None where it fails."""
    try:
        return getattr(task, name, None)
    except Exception:
        return None


def delivery_of(request: dict[str, Any]) -> dict[str, Any]:
    """Which queue *request* came from."""
    found = request.get("delivery_info")
    return found if isinstance(found, dict) else {}


def messaging_of(job: Job) -> dict[str, Any]:
    """What a span says of the message that *job* came in."""
    delivery = delivery_of(job.request)
    data: dict[str, Any] = {
        "messaging.message.id": job.request.get("id"),
        "messaging.message.retry.count": job.request.get("retries") or 0,
        "messaging.system": system_of(
            attribute_of(attribute_of(attribute_of(job.task, "app"), "conf"), "broker_url")
        ),
    }
    if delivery.get("exchange") == "" and delivery.get("routing_key"):
        data["messaging.destination.name"] = delivery["routing_key"]
    return data


def system_of(url: Any) -> str:
    """The kind of broker that *url* (or the first of several) names."""
    if isinstance(url, (list, tuple)):
        url = url[0] if url else ""
    scheme, separator, _ = str(url or "").partition("://")
    name = scheme.partition("+")[0] if separator else ""
    return _BROKERS.get(name, name)


def send_along(sender: Any = None, headers: Any = None, **_: Any) -> None:
    """before_task_publish(sender, headers, ...): *headers* are the message's own, the caller's were copied."""
    if type(headers) is not dict:
        return
    if headers.pop(PROPAGATE, None) is False or not options.current().celery_propagate_traces:
        return
    trace, baggage = tracing.outgoing_headers()
    if trace and TRACE not in headers:
        headers[TRACE] = trace
        headers[BAGGAGE] = merged(headers.get(BAGGAGE), baggage)
    from time import time

    headers[SENT_AT] = "%.6f" % time()
    further = getattr(firing, "headers", None)
    if further is not None:
        headers.update(further)


def merged(given: Any, own: str) -> str:
    """Our *own* baggage behind what the caller has *given*, which holds where it says the same."""
    if not given or type(given) is not str:
        return own
    if any(member.strip().startswith("sentry-") for member in given.split(",")) or not own:
        return given
    return given + "," + own


def taken(request: dict[str, Any]) -> tuple[tuple[str, str, str] | None, dict[str, Any]]:
    """The trace that *request* continues, and what else of ours came with it.

    Ours is taken out: neither the task nor what it sends on shall meet it.
    """
    own = {key: request.pop(key) for key in OWN if key in request}
    inner = request.get("headers")
    if isinstance(inner, dict):  # from applications that only fill these, and what is run on the spot
        own = {**{key: inner[key] for key in OWN if key in inner}, **own}
    baggage = request.get(BAGGAGE)
    if type(baggage) is str and all(member.strip().startswith("sentry-") for member in baggage.split(",")):
        del request[BAGGAGE]
    trace, parent = own.get(TRACE), request.get(TRACEPARENT)
    if type(trace) is not str and type(parent) is not str:
        return None, own
    return (str(trace or ""), str(baggage or ""), str(parent or "")), own


def is_expected(task: Any, error: BaseException) -> bool:
    """Whether *error* is a way to steer Celery, or one that *task* has declared."""
    steering = getattr(sys.modules.get("celery.exceptions"), "TaskPredicate", ())
    if isinstance(error, steering):
        return True
    expected = attribute_of(task, "throws")
    try:
        return bool(expected) and isinstance(error, expected)
    except TypeError:  # no exception classes
        return False


def report(name: str, error: BaseException, **how: Any) -> None:
    """Report what task *name* failed of; of limits and lost workers by task, as they strike anywhere."""
    kind = type(error).__name__
    scope = None
    if kind in ("SoftTimeLimitExceeded", "TimeLimitExceeded", "WorkerLostError"):
        scope = errtrack.Scope()
        scope.set_fingerprint(["celery", kind, name])
    errtrack.report_exception(error, "celery", scope=scope, **how)


def place_of(error: BaseException) -> Any:
    """The code and the line that raised *error*."""
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    return None if tb is None else (tb.tb_frame.f_code, tb.tb_lineno)


def was_reported(error: BaseException) -> bool:
    """Whether *error* was reported, here or in the process that it comes from: it brings the mark along."""
    return _MARK in BaseException.__dict__["__dict__"].__get__(error)


def hush(error: BaseException) -> None:
    """Mark *error* as reported before it was raised."""
    BaseException.__dict__["__dict__"].__get__(error)[_MARK] = ("", id(None), 0)


def end_check_in(own: dict[str, Any], well: bool) -> None:
    """Tell the server how the run ended that beat has told it of."""
    slug, check_in_id = own.get(MONITOR), own.get(CHECK_IN)
    if type(slug) is str and type(check_in_id) is str:
        errtrack.capture_checkin(slug, check_in_id, "ok" if well else "error", seconds_since(own.get(BEGAN)))


def seconds_since(moment: Any) -> float | None:
    """Seconds since *moment* (a Unix time, maybe as text); None where it is none."""
    from time import time

    try:
        return max(time() - float(moment), 0.0)
    except (TypeError, ValueError):
        return None
