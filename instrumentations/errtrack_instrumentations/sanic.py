# SPDX-License-Identifier: MIT
"""Failed Sanic requests are reported with their route; websockets, background tasks and exception handlers as well.

A ``SanicException`` is an answer, whatever its status. What an exception handler of the application has turned into an
answer below 500 is no failure. Sanic compiles its request handler anew as it starts: it is wrapped after that. One
connection, one task: each request on it has scopes of its own.
"""

from __future__ import annotations

from errtrack.instrumentation import Call, Instrumentation, Patch

from . import _http, _sanic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from errtrack.instrumentation import Advice


def start(call: Call) -> Advice:
    """Sanic._startup(self)"""
    _http.prepare()
    _sanic.unwrap(call.args[0])
    yield
    _sanic.wrap(call.args[0], {"handle_request": handle_request, "handle_exception": handle_exception})


def handle_request(call: Call) -> Advice:
    """Sanic.handle_request(self, request), as it was compiled"""
    handling = _sanic.begin(call.get(1, "request"))
    token = handling.record.enter()
    try:
        yield
    finally:
        handling.record.leave(token)
        handling.end()


def handle_exception(call: Call) -> Advice:
    """Sanic.handle_exception(self, request, exception, run_middleware=True), as it was compiled"""
    app, request, error = call.args[0], call.get(1, "request"), call.get(2, "exception")
    if not _sanic.is_failure(error):
        yield
        return
    if not _sanic.has_handler(app, request, error):
        _sanic.report(error)
        yield
        return
    try:
        yield
    finally:
        if _sanic.status_of(request) >= 500:
            _sanic.report(error, handled=True)


def watch_handler(call: Call) -> Advice:
    """ErrorHandler._lookup(self, exception, route_name=None) -> handler of the application, or None"""
    handler = yield
    return None if handler is None else _sanic.watched(handler, call.get(1, "exception"))


def report_logged(call: Call) -> Advice:
    """ErrorHandler.log(request, exception): for a subclass with a way of its own to get there"""
    error = call.get(1, "exception")
    if _sanic.is_failure(error):
        _sanic.report(error)
    yield


def converse(call: Call) -> Advice:
    """Sanic._websocket_handler(self, handler, request, *args, subprotocols=None, **kwargs)"""
    call.replace(1, "handler", _sanic.conversing(call.get(1, "handler")))
    yield


def watch_task(call: Call) -> Advice:
    """Sanic._loop_add_task(cls, task, app, loop, *, name=None, register=True) -> Task"""
    task = yield
    if hasattr(task, "add_done_callback"):
        loop = call.get(3, "loop")
        # Whoever awaits it is told in the same turn of the loop; then we look.
        task.add_done_callback(lambda done: loop.call_soon(_sanic.look_at, done))


_HANDLERS = ("sanic.handlers", "sanic.handlers.error")

INSTRUMENTATION = Instrumentation(
    "sanic",
    supports=">=22.12",
    patches=[
        Patch("sanic.app", "Sanic._startup", start),
        Patch("sanic.app", "Sanic._websocket_handler", converse),
        Patch("sanic.app", "Sanic._loop_add_task", watch_task),
        # A package since 23.3, a module before.
        *(Patch(module, "ErrorHandler._lookup", watch_handler) for module in _HANDLERS),
        *(Patch(module, "ErrorHandler.log", report_logged) for module in _HANDLERS),
    ],
)
