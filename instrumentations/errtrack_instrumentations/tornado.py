# SPDX-License-Identifier: MIT
"""Failed Tornado requests are reported with handler class and method, and websockets message by message.

Reported is what a handler lets out, whoever overrides ``log_exception``; ``HTTPError`` and ``Finish`` are answers, and
a client that went away is no failure. Each request, and each message of a websocket, has scopes of its own; what
``open()`` said of the connection is on its messages. Failing callbacks of the loop come through ``logging``.
"""

from __future__ import annotations

from errtrack import loggers
from errtrack.instrumentation import Call, Instrumentation, OnImport, Patch

from . import _http, _tornado

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from errtrack.instrumentation import Advice


def handle_request(call: Call) -> Advice:
    """RequestHandler._execute(self, transforms, *args, **kwargs)"""
    handler = call.args[0]
    record = _tornado.begin(handler)
    token = record.enter()
    try:
        yield
    finally:
        record.leave(token)
        record.close(http_status=handler._status_code)


def report_failure(call: Call) -> Advice:
    """RequestHandler._handle_request_exception(self, e)"""
    _tornado.consider(call.args[0], call.get(1, "e"))
    yield


def report_logged(call: Call) -> Advice:
    """RequestHandler.log_exception(self, typ, value, tb): of websockets, too; may be overridden"""
    _tornado.consider(call.args[0], call.get(2, "value"))
    yield


def receive_body(call: Call) -> Advice:
    """_HandlerDelegate.data_received(self, data): of @stream_request_body; in the task of the connection"""
    handler = vars(call.args[0]).get("handler")
    record = _tornado.record_of(handler)
    if record is None:
        yield
        return None
    token = record.enter()
    try:
        awaited = yield
    except Exception as error:
        _tornado.report(handler, error)
        raise
    finally:
        record.leave(token)
    return _tornado.resumed(handler, record, awaited) if hasattr(awaited, "cr_code") else None


def handle_message(call: Call) -> Advice:
    """WebSocketProtocol._run_callback(self, callback, *args, **kwargs)"""
    call.replace(1, "callback", _tornado.watched(call.args[0].handler, call.get(1, "callback")))
    yield


def converse(call: Call) -> Advice:
    """WebSocketProtocol13._receive_frame_loop(self): from here on there are messages, and no request"""
    handler = call.args[0].handler
    record = _tornado.record_of(handler)
    if record is None:  # it is the client's side
        yield
        return
    record.close(http_status=101)
    try:
        yield
    except Exception as error:  # of on_close()
        _tornado.report(handler, error)
        raise


def abort(call: Call) -> Advice:
    """WebSocketProtocol._abort(self): where open() has failed, which only a log_exception of the handler's is told"""
    _tornado.report_swallowed(call.args[0].handler)
    yield


def quiet(web: ModuleType) -> None:
    """Leave the log of requests out: a line for each answer, at level ERROR for 5xx, with the client's address."""
    loggers.ignore("tornado.access")
    _http.prepare()


INSTRUMENTATION = Instrumentation(
    "tornado",
    supports=">=6.0",
    patches=[
        Patch("tornado.web", "RequestHandler._execute", handle_request, _tornado.is_fallback),
        Patch("tornado.web", "RequestHandler._handle_request_exception", report_failure),
        Patch("tornado.web", "RequestHandler.log_exception", report_logged),
        Patch("tornado.web", "_HandlerDelegate.data_received", receive_body),
        Patch("tornado.websocket", "WebSocketProtocol._run_callback", handle_message),
        Patch("tornado.websocket", "WebSocketProtocol13._receive_frame_loop", converse),
        Patch("tornado.websocket", "WebSocketProtocol._abort", abort),
    ],
    on_import=[OnImport("tornado.web", quiet)],
)
