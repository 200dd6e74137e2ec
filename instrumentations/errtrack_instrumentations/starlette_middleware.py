# SPDX-License-Identifier: MIT
"""Traced Starlette and FastAPI requests show what their middlewares took: with ``starlette.middleware_spans``.

Each middleware has a span, and below it what it receives and sends on. Middlewares stay the objects that they are: a
class is watched where its instances are called. A function that makes an ASGI application has no span. The thread that
an endpoint was handed to is told always.
"""

from __future__ import annotations

from _thread import get_ident

from errtrack import options
from errtrack.context import trace as tracing
from errtrack.instrumentation import Call, Instrumentation, Patch, driven, is_async

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice

_NAME = "starlette_middleware"
_OP = "middleware.starlette"
_ORIGIN = "auto.http.starlette"
_TAG = "starlette.middleware_name"


def watch_class(call: Call) -> Advice:
    """Middleware.__iter__(self) -> cls, args, kwargs: an application is about to build its stack"""
    kind = call.args[0].cls
    if options.current().starlette_middleware_spans and isinstance(kind, type):
        function = kind.__call__
        if is_async(function) and not hasattr(function, "__errtrack_driven__"):
            kind.__call__ = driven(_NAME, measure, function, is_off)  # type: ignore[method-assign]
    yield


def is_off(args: Any) -> bool:
    """Whether there is no span to hang another one below; or this is not called as the specification has it."""
    return len(args) != 4 or is_untraced(args)


def measure(call: Call) -> Advice:
    """cls.__call__(self, scope, receive, send)"""
    name = type(call.args[0]).__name__
    middleware, asgi, receive, send = call.args
    call.args = (middleware, asgi, measured(receive, "receive", name), measured(send, "send", name))
    yield from in_span(_OP, name, name)


def measured(function: Any, what: str, middleware: str) -> Any:
    """*function*, which is *what* the middleware got, with a span around each call."""
    own = getattr(function, "__wrapped__", function)  # below what we have laid around it
    name = getattr(own, "__qualname__", None) or type(own).__name__  # a partial has no name

    async def measured_function(*args: Any) -> Any:
        return await function(*args)

    def measure(call: Call) -> Advice:
        """receive() -> message, send(message)"""
        yield from in_span("%s.%s" % (_OP, what), name, middleware)

    made: Any = driven(_NAME, measure, measured_function)
    made.__wrapped__ = own
    return made


def in_span(op: str, name: str, middleware: str) -> Advice:
    """What a handler does to put a span around its call."""
    parent = tracing.recording()
    if parent is None:
        return (yield)
    with parent.start_child(op=op, name=name, origin=_ORIGIN) as span:
        span.set_tag(_TAG, middleware)
        span.set_data(_TAG, middleware)
        return (yield)


def watch_pool(call: Call) -> Advice:
    """run_in_threadpool(func, *args, **kwargs)"""
    call.replace(0, "func", driven(_NAME, note_thread, call.get(0, "func")))
    yield


def note_thread(call: Call) -> Advice:
    """endpoint(...), in the thread that it was handed to"""
    span = tracing.recording()
    if span is not None:
        span.transaction.set_data("thread.id", str(get_ident()))
    yield


def is_untraced(args: Any) -> bool:
    """Whether there is no transaction to tell it."""
    return tracing.tracer is None or tracing.recording() is None


INSTRUMENTATION = Instrumentation(
    _NAME,
    supports=">=0.16",
    distribution="starlette",
    patches=[
        Patch("starlette.middleware", "Middleware.__iter__", watch_class, traced=True),
        Patch("starlette.routing", "run_in_threadpool", watch_pool, is_untraced, traced=True),
        Patch("fastapi.routing", "run_in_threadpool", watch_pool, is_untraced, traced=True),
    ],
)
