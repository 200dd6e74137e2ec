# SPDX-License-Identifier: MIT
"""An invocation of a Lambda function as a unit of work, its events, and the warning before it runs out of time."""

from __future__ import annotations

import os
import sys

import errtrack
from errtrack import options
from errtrack.context import scope as scopes
from errtrack.context import trace as tracing
from errtrack.context import unit as units

from . import _lambda_events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: The warning comes so long before the deadline; delivery ends so long before it. Seconds.
WARNING = 1.5
MARGIN = 0.2

_UNREAD = object()
_state = {"cold": True}


class ServerlessTimeoutWarning(Exception):
    """The function is about to run out of time."""


class Invocation(units.Unit):
    """The invocation in hand; as an event processor it puts what is known of it on each event of its scope."""

    __slots__ = (
        "_body",
        "_event",
        "_stop",
        "arn",
        "captured",
        "cold",
        "deadline",
        "function",
        "request_id",
        "started",
    )
    touches_frames = False

    def __init__(self, request_id: str, body: Any, arn: Any, deadline_ms: Any) -> None:
        from time import time

        self._body = body
        self._event: Any = _UNREAD
        self.started = time()
        self.request_id = request_id
        self.arn = arn if isinstance(arn, str) else ""
        try:
            self.deadline = int(deadline_ms) / 1000
        except (TypeError, ValueError):
            self.deadline = self.started + 900  # the longest that there is
        self.cold, _state["cold"] = _state["cold"], False
        self.function = os.environ.get("AWS_LAMBDA_FUNCTION_NAME") or "generic AWS Lambda function"
        #: Whether there is anything to be delivered.
        self.captured = False
        trace = _lambda_events.trace_of(self.event) if _lambda_events.may_hold_trace(body) else None
        sampling = {"aws_event": self.event} if tracing.tracer is not None else None
        origin = "auto.function.aws_lambda"
        units.Unit.__init__(self, "function.aws", self.function, "component", origin, trace, sampling)
        self.scope.processors = (*self.scope.processors, self)
        self._stop: Any = None
        if options.current().aws_lambda_timeout_warning and self.remaining() > WARNING:
            self._watch()

    @property
    def event(self) -> Any:
        """What the function was invoked with."""
        if self._event is _UNREAD:
            self._event = _lambda_events.parsed(self._body)
        return self._event

    def remaining(self) -> float:
        """Seconds until the platform ends the function."""
        from time import time

        return self.deadline - time()

    def __call__(self, event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
        from time import time

        self.captured = True
        environ = os.environ.get
        region = self.arn.split(":")[3] if self.arn.count(":") > 3 else environ("AWS_REGION", "")
        tags = {"cold_start": "true" if self.cold else "false", **_lambda_events.tags_of(self.event)}
        if region:
            tags["aws_region"] = region
        event["tags"] = {**tags, **(event.get("tags") or {})}
        extra = {
            "lambda": {
                "function_name": self.function,
                "function_version": environ("AWS_LAMBDA_FUNCTION_VERSION"),
                "invoked_function_arn": self.arn,
                "aws_request_id": self.request_id,
                "execution_duration_in_millis": int((time() - self.started) * 1000),
                "remaining_time_in_millis": max(int(self.remaining() * 1000), 0),
            },
            "cloudwatch logs": _logs_of(region, self.started),
        }
        event["extra"] = {**extra, **(event.get("extra") or {})}
        _lambda_events.add_request(event, _lambda_events.first_of(self.event), self.function)
        event.setdefault("transaction", self.function)
        event.setdefault("transaction_info", {"source": "component"})
        return event

    def deliver(self, status: str) -> None:
        """The function has answered: all is sent before the platform is told, which freezes the process then."""
        if self._stop is not None:
            self._stop.release()
            self._stop = None
        self.end(status)
        if self.captured:
            flush(self.remaining())

    def close(self) -> None:
        """The invocation is over, answered or not."""
        if self._stop is not None or self.span is not None or self.session is not None:
            self.deliver("internal_error")
        elif self.captured:
            flush(self.remaining())

    def _watch(self) -> None:
        """Have a thread wait for the deadline to come near."""
        from _thread import allocate_lock, get_ident, start_new_thread

        stop = allocate_lock()
        stop.acquire()
        total = self.remaining()
        start_new_thread(self._wait, (stop, total, get_ident()))
        self._stop = stop

    def _wait(self, stop: Any, total: float, thread: int) -> None:
        if stop.acquire(True, max(total - WARNING, 0.0)):
            return  # it has answered
        from errtrack import guard

        try:
            seconds = int(total) + (total > int(total))
            warning = ServerlessTimeoutWarning(
                "The function is about to time out: it was given %d seconds." % seconds
            )
            token = self.enter()
            try:
                # With the stack of the function, which shows what it is waiting for.
                errtrack.report_exception(warning, "threading", level="warning", tb=_stack_of(thread))
            finally:
                self.leave(token)
            flush(self.remaining())
        except Exception as error:
            guard.fault("aws_lambda", error)


def current() -> Invocation | None:
    """The invocation in hand; None while the function is being loaded."""
    for scope in scopes.merged_scopes():
        for processor in scope.processors:
            if isinstance(processor, Invocation):
                return processor
    return None


def flush(remaining: float) -> None:
    """Wait for delivery: as long as an exit would, and not beyond the deadline."""
    limit: float = options.current().shutdown_timeout
    errtrack.flush(max(min(limit, remaining - MARGIN), 0.0))


def _stack_of(thread: int) -> Any:
    """The stack of *thread* as a traceback, from the function's handler on."""
    from types import TracebackType

    tb = None
    frame = sys._current_frames().get(thread)
    while frame is not None and frame.f_code.co_name != "handle_event_request":
        tb = TracebackType(tb, frame, max(frame.f_lasti, 0), frame.f_lineno or 1)
        frame = frame.f_back
    return tb


def _logs_of(region: str, started: float) -> dict[str, str | None]:
    """Where the platform keeps the log of this invocation."""
    from time import gmtime, strftime

    group = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
    stream = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
    host = "console.amazonaws.cn" if region.startswith("cn-") else "console.aws.amazon.com"
    url = "https://%s/cloudwatch/home?region=%s#logEventViewer:group=%s;stream=%s;start=%s" % (
        host, region, group, stream, strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(started)),
    )  # fmt: skip
    return {"url": url, "log_group": group, "log_stream": stream}
