# SPDX-License-Identifier: MIT
"""What ASGI servers and frameworks share: one scope and one report a request, whichever layer comes first.

The outermost layer opens the isolation scope and leaves a record of the request in the ASGI scope; inner layers find
it there (copies of the ASGI scope have it too) and only add what they know. A websocket connection is one request.
Nobody's ``receive`` is called, and only where something is to be learned from them are ``receive`` and ``send``
watched: the answer's status where it is traced, and the few messages of ``lifespan``.
"""

from __future__ import annotations

import sys

import errtrack
from errtrack import guard, options
from errtrack.context import scope as scopes
from errtrack.context import trace as tracing
from errtrack.instrumentation import Call, driven, is_async

from . import _request, _watched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from errtrack.instrumentation import Advice

KEY = _request.KEY

_NAME = "generic ASGI request"

_TRACE_HEADERS = frozenset((b"sentry-trace", b"baggage", b"traceparent"))

#: How frameworks tell an application that the client has gone: no failure of the application.
_GONE = frozenset(("ClientDisconnect", "ClientDisconnected", "WebSocketDisconnect"))


class Request(_request.Record):
    """The request or connection in hand, of an ASGI scope."""

    mechanism = "asgi"
    #: What a framework has read of the body, for the application: bytes, or a form.
    body: Any = None

    def __init__(self, asgi: dict[str, Any]) -> None:
        kind = asgi["type"]
        op = "http.server" if kind == "http" else kind + ".server"
        self.prepare(self)
        self.what = asgi
        asgi[KEY] = self
        trace = trace_of(asgi)
        if tracing.tracer is not None:
            asked, method = {"asgi_scope": asgi}, asgi.get("method") or "" if kind == "http" else ""
            self.trace(op, path_of(asgi) or _NAME, "url", "auto.http.asgi", trace, asked, method)
            self.holder, self.named = asgi, name_of
        elif trace is not None:
            self.trace(op, _NAME, "route", "auto.http.asgi", trace)

    def describe(self, event: dict[str, Any], what: dict[str, Any]) -> None:
        describe(event, what)
        if self.enrich is not None:
            self.enrich(self.holder, event)
        name, source = name_of(what)
        event.setdefault("transaction", name)
        event.setdefault("transaction_info", {"source": source})


def watch(app: Any) -> Any:
    """Return the ASGI-3 application *app* behind a proxy that reports what it raises; None and watched apps as is."""
    if app is None or _watched.is_watched(app):
        return app
    if options.current().auto_session_tracking:
        errtrack.is_initialized()  # healthy requests are counted too: by the client, which an error would make
    target = app
    if not is_async(app):

        async def target(asgi: Any, receive: Any, send: Any) -> Any:
            """A callable that returns an awaitable, such as a partial."""
            return await app(asgi, receive, send)

    return _watched.watched(app, driven("asgi_servers", handle_request, target, is_inner), True)


def is_inner(args: Any) -> bool:
    """Whether an outer layer is at this request already; *args* end in scope, receive and send."""
    try:
        return KEY in args[-3]
    except (IndexError, TypeError):
        return True  # not called as the specification has it: none of our business


def handle_request(call: Call, adopt: Callable[[Request, dict[str, Any]], None] | None = None) -> Advice:
    """app([self,] scope, receive, send); *adopt* is called with the new record, and adds what a framework knows."""
    asgi = call.args[-3]
    if asgi["type"] == "lifespan":
        return (yield from handle_lifespan(call))
    send = call.args[-1]
    record = Request(asgi)
    if adopt is not None:
        adopt(record, asgi)
    if record.span is not None:
        call.args = (*call.args[:-1], learning_status(record, send))
    status = "internal_error"
    token = scopes.enter(record.pair)
    try:
        yield
        status = ""
    except Exception as error:
        if not report(error, send, record.mechanism, record):
            status = "" if asgi["type"] == "websocket" else "cancelled"  # a connection ends by being left
        raise
    except BaseException as error:  # cancelled: the client has gone, or the server is going
        status = "cancelled"
        if type(error).__name__ == "CancelledError":
            errtrack.dismiss_exception(error)  # which uvicorn logs as an error
        raise
    finally:
        scopes.leave(token)
        record.close(status)


#: What is known of the lifespan of this process' application.
lifespan = {"asked": False, "reported": False}


def handle_lifespan(call: Call) -> Advice:
    """app([self,] scope, receive, send), once in a server's life: no request, hence no scope.

    An application that raises before it asks for the first message says that it knows no lifespan: no error.
    One that answers "failed" is asked for the exception at hand: the server logs no more than a text.
    """
    asgi, receive, send = call.args[-3:]
    asgi[KEY] = None
    state = lifespan
    state.update(asked=False, reported=False)

    async def watched_receive() -> Any:
        state["asked"] = True
        return await receive()

    async def watched_send(message: Any) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, Exception) and str(message.get("type")).endswith(".failed"):
            report(error, send, "asgi")
            state["reported"] = True
            with guard.Inside():  # the server logs the message, a traceback: no second event
                await send(message)
        else:
            if error is not None and type(error).__name__ in ("CancelledError", "KeyboardInterrupt"):
                errtrack.dismiss_exception(error)  # the server is going, and logs that as an error
            await send(message)

    call.args = (*call.args[:-2], watched_receive, watched_send)
    try:
        yield
    except Exception as error:
        if state["reported"]:
            # The same in other words, such as hypercorn's LifespanFailureError.
            errtrack.dismiss_exception(error)
        elif state["asked"]:
            report(error, send, "asgi")
        raise
    finally:
        asgi.pop(KEY, None)


def learning_status(record: Request, send: Any) -> Any:
    """*send*, which tells *record* the status of the answer as it passes."""

    async def watched_send(message: Any) -> None:
        if message["type"] == "http.response.start":
            record.http_status = message.get("status") or 0
        await send(message)

    watched_send.__wrapped__ = send  # type: ignore[attr-defined] # what it is called, for who asks
    return watched_send


def report(error: Exception, send: Any, mechanism: str, record: Request | None = None) -> bool:
    """Report what an ASGI application let out, unless it only says that the client has gone: that is answered.

    Where a layer has seen that it was raised in scopes of its own (middleware may run what is below it in a task),
    these are what is told of it.
    """
    inner = innermost(error)
    if inner is not error:
        is_failure = report(inner, send, mechanism, record)
        errtrack.dismiss_exception(error)
        return is_failure
    if is_disconnect(error, send):
        errtrack.dismiss_exception(error)  # or the server's log of it would be an event
        return False
    if record is None or record.raised is None or record.raised[0] != id(error):
        errtrack.report_exception(error, mechanism)
    else:
        token = scopes.enter(record.raised[1])
        try:
            errtrack.report_exception(error, mechanism)
        finally:
            scopes.leave(token)
    return True


def innermost(error: Exception) -> Exception:
    """The one that has failed, where *error* is the group that a task group makes around the error of one task."""
    inner: Any = error
    while len(getattr(inner, "exceptions", ())) == 1 and type(inner).__name__.endswith("ExceptionGroup"):
        inner = inner.exceptions[0]
    return inner if isinstance(inner, Exception) else error


def is_disconnect(error: BaseException, send: Any) -> bool:
    """Whether *error* says that the client has gone: one of that name, or one of the server's *send*."""
    name = type(error).__name__
    if name in _GONE:
        return True
    # uvicorn before 0.24 lets out what websockets raises.
    if not isinstance(error, OSError) and not name.startswith("ConnectionClosed"):
        return False
    function = getattr(send, "func", send)
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    tb = error.__traceback__
    while tb is not None and code is not None:
        if tb.tb_frame.f_code is code:
            return True
        tb = tb.tb_next
    return False


def trace_of(asgi: dict[str, Any]) -> tuple[str, str, str] | None:
    """The texts of the headers sentry-trace, baggage and traceparent; None where no trace came in."""
    found: dict[bytes, bytes] | None = None
    for name, value in asgi.get("headers") or ():
        if name in _TRACE_HEADERS:
            found = found or {}
            found.setdefault(name, value)
    if found is None:
        return None
    texts = [found.get(name, b"").decode("latin-1") for name in (b"sentry-trace", b"baggage", b"traceparent")]
    return (texts[0], texts[1], texts[2]) if texts[0] or texts[2] else None


def describe(event: dict[str, Any], asgi: dict[str, Any]) -> None:
    """Put the request of *asgi* on *event*; its body is never touched here."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in asgi.get("headers") or ():
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        known = headers.get(name)
        headers[name] = value if known is None else known + ("; " if name == "cookie" else ", ") + value
    query, client = asgi.get("query_string") or b"", asgi.get("client")
    _request.add_request(
        event,
        url=url_of(asgi),
        method=asgi.get("method") or "GET",
        query_string=query if isinstance(query, str) else query.decode("latin-1"),
        headers=headers,
        env={},
        client_address=str(client[0]) if client else "",
    )
    if asgi["type"] != "http":
        event["tags"] = {"asgi.type": asgi["type"], **(event.get("tags") or {})}


def name_of(asgi: dict[str, Any]) -> tuple[str, str]:
    """What the request is called where no framework says: the endpoint that a router left, else the path."""
    endpoint = asgi.get("endpoint")
    if endpoint is not None:
        return name_of_endpoint(endpoint), "component"
    return path_of(asgi) or _NAME, "url"


def name_of_endpoint(endpoint: Any) -> str:
    """The dotted name of a function or class; for an object that of its class."""
    endpoint = getattr(endpoint, "func", endpoint)  # a partial
    if not hasattr(endpoint, "__qualname__"):
        endpoint = type(endpoint)
    return "%s.%s" % (getattr(endpoint, "__module__", ""), endpoint.__qualname__)


def path_of(asgi: dict[str, Any]) -> str:
    """The whole path: servers differ in whether ``path`` has ``root_path`` in it already."""
    root, path = asgi.get("root_path") or "", asgi.get("path") or ""
    root = root.rstrip("/")
    return path if not root or path == root or path.startswith(root + "/") else root + path


def url_of(asgi: dict[str, Any]) -> str:
    """The request's URL without its query."""
    scheme = asgi.get("scheme") or ("ws" if asgi["type"] == "websocket" else "http")
    host = ""
    for name, value in asgi.get("headers") or ():
        if name == b"host":
            host = value.decode("latin-1")
            break
    if not host:
        server: Any = asgi.get("server") or ("unknown", None)
        host = str(server[0])
        if server[1]:  # none where it listens on a Unix socket
            host = "%s:%s" % (host, server[1])
    return "%s://%s%s" % (scheme, _request.without_default_port(scheme, host), path_of(asgi))
