# SPDX-License-Identifier: MIT
"""Failed Starlette and FastAPI requests are reported with their route, whichever server runs the application.

Reported is what no exception handler took, background tasks and ``lifespan`` with it; and of what one took the
``HTTPException`` whose status is among ``starlette.failed_request_status_codes`` (by default 500 to 599). Answers below
that, requests that do not validate and clients that have gone are no errors. JSON and forms are shown where the
application had read them; nothing is read for the event's sake.
"""

from __future__ import annotations

from functools import partial

from errtrack.instrumentation import Call, Instrumentation, Patch, driven, is_async

from . import _asgi, _starlette

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice


def serve(call: Call) -> Advice:
    """Starlette.__call__(self, scope, receive, send)"""
    asgi, send = call.args[1], call.args[3]
    if _asgi.KEY not in asgi or asgi["type"] == "lifespan":
        return (yield from _asgi.handle_request(call, adopt))
    record = asgi[_asgi.KEY]
    if isinstance(record, _asgi.Request):
        adopt(record, asgi)
    try:
        yield
    except Exception as error:
        _asgi.report(error, send, "starlette", record if isinstance(record, _asgi.Request) else None)
        raise


def is_inner_lifespan(args: Any) -> bool:
    """Whether an outer layer looks after the lifespan; or this is not called as the specification has it."""
    try:
        return len(args) != 4 or args[1].get(_asgi.KEY, args) is None
    except AttributeError:
        return True


def adopt(record: _asgi.Request, asgi: dict[str, Any]) -> None:
    """Tell the record of this request whose it is; of a mounted application and its host the inner one says more."""
    record.mechanism = "starlette"
    record.holder = asgi
    record.enrich, record.named = partial(_starlette.describe, record), _starlette.name_of
    if record.span is not None:
        record.span.origin = "auto.http.starlette"


def judge(call: Call) -> Advice:
    """_lookup_exception_handler(exc_handlers, exc) -> handler | None; a method up to Starlette 0.27"""
    error = call.args[-1]
    handler = yield
    if handler is not None:
        _starlette.report_answered(error)
    else:
        _starlette.note_scopes(error)


def watch_stream(call: Call) -> Advice:
    """StreamingResponse.stream_response(self, send), which servers of old specifications have run in a task"""
    try:
        yield
    except Exception as error:
        _starlette.note_scopes(error)
        raise


def watch_status_handler(call: Call) -> Advice:
    """ExceptionMiddleware.add_exception_handler(self, exc_class_or_status_code, handler)"""
    handler = call.get(2, "handler")
    # Those of statuses are not looked up by the function above. A partial is left alone: it may be of a coroutine.
    if isinstance(call.get(1, "exc_class_or_status_code"), int) and (
        is_async(handler) or hasattr(handler, "__code__")
    ):
        call.replace(2, "handler", driven("starlette", answer, handler))
    yield


def answer(call: Call) -> Advice:
    """handler(request, exc) -> response"""
    _starlette.report_answered(call.args[-1])
    yield


def keep_body(call: Call) -> Advice:
    """Request.body(self) -> bytes, Request.form(self) -> FormData: what the application reads"""
    body = yield
    record = call.args[0].scope.get(_asgi.KEY)
    if isinstance(record, _asgi.Request) and (isinstance(body, bytes) or hasattr(body, "multi_items")):
        record.body = body


INSTRUMENTATION = Instrumentation(
    "starlette",
    supports=">=0.16",
    patches=[
        Patch("starlette.applications", "Starlette.__call__", serve, is_inner_lifespan),
        Patch("starlette._exception_handler", "_lookup_exception_handler", judge),
        Patch("starlette.middleware.exceptions", "ExceptionMiddleware._lookup_exception_handler", judge),
        Patch(
            "starlette.middleware.exceptions",
            "ExceptionMiddleware.add_exception_handler",
            watch_status_handler,
        ),
        Patch("starlette.responses", "StreamingResponse.stream_response", watch_stream),
        Patch("starlette.requests", "Request.body", keep_body),
        Patch("starlette.requests", "Request._get_form", keep_body),
        Patch("starlette.requests", "Request.form", keep_body),
    ],
)
