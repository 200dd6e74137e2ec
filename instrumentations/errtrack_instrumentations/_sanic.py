# SPDX-License-Identifier: MIT
"""Sanic's requests as units of work, and which of their exceptions are failures."""

from __future__ import annotations

import errtrack
from errtrack import instrumentation, loggers, options
from errtrack.context import scope as scopes
from errtrack.instrumentation import Call, driven

from . import _carried, _http, _request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice

#: Said by Sanic about a failure that has been reported already.
_AFTERMATH = "The error response will not be sent to the client"


class Handling:
    """A request that Sanic handles: its record, which is the ASGI server's where one has opened it."""

    __slots__ = ("is_outermost", "record", "request")

    def __init__(self, request: Any, record: Any, is_outermost: bool) -> None:
        self.request = request
        self.record = record
        self.is_outermost = is_outermost
        record.enrich = self.enrich if is_outermost else self.enrich_outer

    def enrich_outer(self, asgi: dict[str, Any], event: dict[str, Any]) -> None:
        """As :meth:`enrich`, for the record of an ASGI server, which gives no hint."""
        self.enrich(event, {})

    def enrich(self, event: dict[str, Any], hint: dict[str, Any]) -> bool:
        """Add name and body to an event; False for what is no news."""
        name, source = name_of(self.request)
        event.setdefault("transaction", name)
        event.setdefault("transaction_info", {"source": source})
        request = self.request
        if isinstance(request.body, bytes):
            _http.add_body(event, facts_of(request), request.body, lambda: (request.form, request.files))
        return not is_aftermath(hint)

    def settle(self) -> int:
        """Give the transaction its name; return the answer's status."""
        record, status = self.record, status_of(self.request)
        if record.span is not None:
            if record.scope.transaction is None:
                record.scope.set_transaction_name(*name_of(self.request))
            if status in options.current().sanic_unsampled_statuses:
                record.span.drop()
        return status

    def end(self, status: int = 0) -> None:
        """The request is over, or goes on as a websocket."""
        status = self.settle() or status
        if self.is_outermost:
            self.record.rename(*name_of(self.request))
            self.record.close(http_status=status)
            self.is_outermost = False


def begin(request: Any) -> Handling:
    """The request that comes in."""
    asgi = getattr(request.transport, "scope", None)
    outer = asgi.get(_request.KEY) if isinstance(asgi, dict) else None
    if outer is not None:
        outer.scope.add_event_processor(sift)
        return Handling(request, outer, False)
    record = _http.Request(
        facts_of(request),
        "sanic",
        "http.server",
        "generic Sanic request",
        "route",
        {"sanic_request": request},
    )
    return Handling(request, record, True)


def facts_of(request: Any) -> _http.Facts:
    """What describes *request*; no property of it that would parse something."""
    connection = request.conn_info
    headers = request.headers
    return _http.Facts(
        "https" if connection is not None and connection.ssl else "http",
        headers.get("host") or "",
        request.raw_url.decode("latin-1"),
        "",
        request.method,
        headers,
        connection.client_ip if connection is not None else "",
    )


def name_of(request: Any) -> tuple[str, str]:
    """The route's name without that of the application; the path where nothing is."""
    route = request.route
    if route is None:
        return request.raw_url.partition(b"?")[0].decode("latin-1"), "url"
    name, app = route.name, request.app.name + "."
    return name[len(app) :] if name.startswith(app) else name, "component"


def status_of(request: Any) -> int:
    """The status of the answer; 0 where there is none."""
    return getattr(getattr(getattr(request, "stream", None), "response", None), "status", 0)


def is_failure(error: BaseException) -> bool:
    """Whether *error* is more than an answer: a SanicException is one, unless Sanic has found the handler wanting."""
    if not isinstance(error, Exception) or getattr(error, "quiet", False) is True:
        return False
    return not is_answer(error)


def is_answer(error: BaseException) -> bool:
    """Whether *error* is a SanicException that the application has raised."""
    if not any(
        c.__name__ == "SanicException" and c.__module__ == "sanic.exceptions" for c in type(error).__mro__
    ):
        return False
    if type(error).__name__ != "ServerError":
        return True
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    # "Invalid response type": compiled anew, Sanic's code still has Sanic's globals.
    return tb is None or tb.tb_frame.f_globals.get("__name__") != "sanic.app"


def is_aftermath(hint: dict[str, Any]) -> bool:
    """Whether Sanic itself logs an answer, or what follows from a failure that has been reported."""
    record = hint.get("log_record")
    if record is None or not str(record.name).startswith("sanic."):
        return False
    error = (hint.get("exc_info") or (None, None))[1]
    if error is not None:
        return is_answer(error)
    return isinstance(record.msg, str) and record.msg.startswith(_AFTERMATH)


def sift(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any] | None:
    """Drop what is no news."""
    return None if is_aftermath(hint) else event


sift.touches_frames = False  # type: ignore[attr-defined]


def has_handler(app: Any, request: Any, error: BaseException) -> bool:
    """Whether the application has an exception handler for *error*."""
    return app.error_handler.lookup(error, request.name if request is not None else None) is not None


def report(error: BaseException, handled: bool = False) -> None:
    """Report *error*; in the scopes of the request, where there is one."""
    errtrack.report_exception(error, "sanic", handled=handled)


def watched(handler: Any, error: BaseException) -> Any:
    """An exception handler of the application whose own failure is reported after *error*, which it is for."""

    def answer(call: Call) -> Advice:
        """handler(request, exception)"""
        try:
            yield
        except Exception as raised:
            if is_failure(error):
                report(error)
            if is_failure(raised):
                report(raised)
            raise

    return driven("sanic", answer, handler)


def conversing(handler: Any) -> Any:
    """The handler of a websocket; it runs in a task of its own, whose scopes have what it says."""

    def converse(call: Call) -> Advice:
        """handler(request, websocket, *args, **kwargs): from here on there is no request to wait for"""
        for processor in scopes.get_isolation_scope().processors:
            handling = getattr(getattr(processor, "enrich", None), "__self__", None)
            if isinstance(handling, Handling):
                handling.end(101)
        try:
            yield
        except Exception as error:
            if is_failure(error) and not any(c.__name__ == "ConnectionClosed" for c in type(error).__mro__):
                report(error)
            raise

    return driven("sanic", converse, handler)


def look_at(task: Any) -> None:
    """Report what a background task died of, unless somebody has asked for it; its traceback stays unasked for."""
    error = getattr(task, "_exception", None)
    if isinstance(error, Exception) and getattr(task, "_log_traceback", False) and is_failure(error):
        context = task.get_context().copy() if hasattr(task, "get_context") else None
        _carried.runner(context)(report, error)


def wrap(app: Any, handlers: dict[str, Any]) -> None:
    """Put *handlers* around the methods that Sanic has just compiled."""
    loggers.ignore("sanic.access")  # a line for each answer, with the client's address
    cls = _class_of(app)
    for name, handler in handlers.items():
        stored = vars(cls).get(name)
        if stored is not None and not hasattr(stored, "__errtrack_driven__"):
            setattr(cls, name, driven("sanic", handler, stored, _is_off))


def unwrap(app: Any) -> None:
    """Take them off again: Sanic reads the source of what it compiles."""
    cls = _class_of(app)
    for name in ("handle_request", "handle_exception"):
        stored = vars(cls).get(name)
        if stored is not None and hasattr(stored, "__errtrack_driven__"):
            setattr(cls, name, stored.__wrapped__)


def _class_of(app: Any) -> type:
    for cls in type(app).__mro__:
        if cls.__name__ == "Sanic" and cls.__module__ == "sanic.app":
            return cls
    return type(app)


def _is_off(args: Any) -> bool:
    return "sanic" not in instrumentation.active
