# SPDX-License-Identifier: MIT
"""Tornado's requests and websocket messages as units of work, and which of their exceptions are failures."""

from __future__ import annotations

import sys
from functools import partial

import errtrack
from errtrack.instrumentation import Call, driven

from . import _http

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice

#: Where a handler keeps the record of its request.
_KEY = "_errtrack_request"
#: And the identity of the exception that was reported last.
_TOLD = "_errtrack_told"
#: Said by Tornado about a failure that has been reported already.
_AFTERMATH = "Cannot send error response after headers written"


def is_fallback(args: Any) -> bool:
    """Whether a handler only hands the request on: to a WSGI application, which has a unit of its own."""
    return "fallback" in vars(args[0]) and any(
        cls.__name__ == "FallbackHandler" and cls.__module__ == "tornado.web" for cls in type(args[0]).__mro__
    )


def begin(handler: Any) -> _http.Request:
    """The unit of work of a request that *handler* takes."""
    request = handler.request
    cls = type(handler)
    method = request.method
    facts = _http.Facts(
        request.protocol,
        request.host,
        request.path,
        request.query,
        method,
        request.headers,
        request.remote_ip,
    )
    if cls.__name__ == "ErrorHandler" and cls.__module__ == "tornado.web":
        name, source = request.path, "url"  # nothing is at this place
    else:
        name, source = "%s.%s.%s" % (cls.__module__, cls.__qualname__, method.lower()), "component"
    record = _http.Request(facts, "tornado", "http.server", name, source, {"tornado_request": request})
    record.enrich = partial(enrich, handler, record)
    vars(handler)[_KEY] = record
    return record


def record_of(handler: Any) -> Any:
    """The record of the request that *handler* took; None for whatever else speaks the websocket protocol."""
    return vars(handler).get(_KEY) if hasattr(handler, "__dict__") else None


def is_failure(handler: Any, error: BaseException) -> bool:
    """Whether *error*, let out by *handler*, is more than an answer or a client that went away."""
    names = [cls.__name__ for cls in type(error).__mro__ if cls.__module__ == "tornado.web"]
    if "HTTPError" in names or "Finish" in names:
        return False
    return not is_disconnect(handler, error)


def is_disconnect(handler: Any, error: BaseException | None) -> bool:
    """Whether *error* tells that the connection of *handler*'s own client is closed."""
    if type(error).__name__ not in ("StreamClosedError", "WebSocketClosedError"):
        return False
    if "ws_connection" in vars(handler):
        protocol = handler.ws_connection
        return protocol is None or protocol.stream is None or bool(protocol.stream.closed())
    stream = getattr(handler.request.connection, "stream", None)
    return stream is None or bool(stream.closed())


def consider(handler: Any, error: BaseException) -> None:
    """Report *error*, let out by *handler*, if it is a failure; what is logged of it later is no news either way."""
    record = record_of(handler)
    if record is not None and is_disconnect(handler, error):
        record.settled = True
    elif is_failure(handler, error):
        report(handler, error)


def report(handler: Any, error: BaseException) -> None:
    """Report what *handler* let out."""
    record = record_of(handler)
    if record is not None:
        tell(handler, record, error)
    else:
        errtrack.report_exception(error, "tornado")


def tell(handler: Any, record: _http.Request, error: BaseException) -> None:
    """Report *error* once: of a websocket's coroutine, some releases let it out of the connection's as well."""
    told = (id(error), type(error))
    if vars(handler).get(_TOLD) != told:
        vars(handler)[_TOLD] = told
        record.report(error)


def report_swallowed(handler: Any) -> None:
    """Report the exception that is being handled, if it is the application's."""
    error = sys.exc_info()[1]
    if not isinstance(error, Exception) or record_of(handler) is None:
        return
    innermost = None
    tb = error.__traceback__
    while tb is not None:
        innermost, tb = tb.tb_frame, tb.tb_next
    # Tornado's own findings (a frame that cannot be right, a stream that is closed) come from its own code.
    if innermost is not None and not str(innermost.f_globals.get("__name__")).startswith("tornado."):
        consider(handler, error)


async def resumed(handler: Any, record: _http.Request, awaited: Any) -> Any:
    """What awaits *awaited* in the scopes of the request."""
    token = record.enter()
    try:
        return await awaited
    except Exception as error:
        report(handler, error)
        raise
    finally:
        record.leave(token)


def watched(handler: Any, callback: Any) -> Any:
    """*callback*, of a websocket's *handler*, as a unit of work of its own; others as they are."""
    record = record_of(handler)
    function = getattr(callback, "__func__", None)
    if record is None or function is None or function.__module__.startswith("tornado."):
        return callback

    def handle(call: Call) -> Advice:
        """callback(*args, **kwargs)"""
        cls = type(handler)
        name = "%s.%s.%s" % (cls.__module__, cls.__qualname__, function.__name__)
        message = _http.Request(
            record.facts, "tornado", "websocket.server", name, "component", continues=False
        )
        message.enrich = partial(enrich, handler, message)
        token = message.enter()
        try:
            result = yield
            if hasattr(result, "add_done_callback"):  # a @gen.coroutine, which has begun
                result.add_done_callback(partial(finish, handler, message))
            else:
                message.close()
        except BaseException as error:
            if isinstance(error, Exception) and is_failure(handler, error):
                tell(handler, message, error)
            message.close()
            raise
        finally:
            message.leave(token)

    return driven("tornado", handle, callback)


def finish(handler: Any, message: _http.Request, future: Any) -> None:
    """The message has been dealt with."""
    error = None if future.cancelled() else future.exception()
    if isinstance(error, Exception) and is_failure(handler, error):
        tell(handler, message, error)
    message.close()


def enrich(handler: Any, record: _http.Request, event: dict[str, Any], hint: dict[str, Any]) -> bool:
    """Add user and body; False for what is no news: a client that went away, and what follows from a failure."""
    error = (hint.get("exc_info") or (None, None, None))[1]
    if error is not None and is_disconnect(handler, error):
        return False
    logged = hint.get("log_record")
    if record.settled and error is None and getattr(logged, "msg", None) == _AFTERMATH:
        return False
    # The property current_user would call the application; this is set once it has been asked.
    if vars(handler).get("_current_user") and errtrack.should_send_default_pii():
        event["user"] = {"is_authenticated": True, **(event.get("user") or {})}
    request = handler.request
    if isinstance(request.body, bytes):
        _http.add_body(
            event, record.facts, request.body, lambda: (request.body_arguments, request.files or ())
        )
    return True
