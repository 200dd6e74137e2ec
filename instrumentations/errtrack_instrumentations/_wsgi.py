# SPDX-License-Identifier: MIT
"""What WSGI servers and frameworks share: one scope and one report a request, whichever layer comes first.

The outermost layer opens the isolation scope and leaves a record of the request in the environ; inner layers find it
there and only add what they know. The body is watched as it is iterated, in the request's scope, and the server
gets what it would have got: lists and files untouched, other bodies behind a proxy with the same length and close.
"""

from __future__ import annotations

import errtrack
from errtrack import options
from errtrack.context import scope as scopes
from errtrack.context import trace as tracing
from errtrack.context import unit as units
from errtrack.instrumentation import Call, driven, is_async

from . import _request, _watched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from errtrack.instrumentation import Advice

KEY = _request.KEY

_NAME = "generic WSGI request"

#: Iterators over what is there already.
_SAFE: tuple[Any, ...] = (type(iter([])), type(iter(())))
_END = object()


class Request(_request.Record):
    """The request in hand, of a WSGI environ."""

    mechanism = "wsgi"

    def __init__(self, environ: dict[str, Any]) -> None:
        trace = None
        if "HTTP_SENTRY_TRACE" in environ or "HTTP_TRACEPARENT" in environ:
            get = environ.get
            trace = (get("HTTP_SENTRY_TRACE", ""), get("HTTP_BAGGAGE", ""), get("HTTP_TRACEPARENT", ""))
        if tracing.tracer is None:
            units.Unit.__init__(self, "http.server", _NAME, "route", "auto.http.wsgi", trace)
        else:
            asked = {"wsgi_environ": environ}
            method = environ.get("REQUEST_METHOD", "")
            units.Unit.__init__(self, "http.server", _NAME, "route", "auto.http.wsgi", trace, asked, method)
        self.begin(environ)

    def describe(self, event: dict[str, Any], what: dict[str, Any]) -> None:
        describe(event, what)
        if self.enrich is not None:
            self.enrich(event)
        event.setdefault("transaction", _NAME)
        event.setdefault("transaction_info", {"source": "route"})


def watch(app: Any, is_answered: bool = False) -> Any:
    """Return *app* behind a proxy that reports what it raises; None, ASGI apps and watched apps as they are.

    *is_answered*: what is around *app* makes an answer of its errors, so that no outer layer gets to see them.
    """
    if app is None or is_async(app) or _watched.is_watched(app):
        return app
    if options.current().auto_session_tracking:
        errtrack.is_initialized()  # healthy requests are counted too: by the client, which an error would make
    call = (
        driven("wsgi_servers", handle_answered, app, is_odd)
        if is_answered
        else driven("wsgi_servers", handle_request, app, is_inner)
    )
    return _watched.watched(app, call, False)


def is_inner(args: Any) -> bool:
    """Whether an outer layer is at this request already; *args* end in environ and start_response."""
    try:
        return KEY in args[-2]
    except (IndexError, TypeError):
        return True  # see is_odd


def is_odd(args: Any) -> bool:
    """Whether this is no call of a WSGI application, as the specification has it: none of our business."""
    return len(args) < 2 or not isinstance(args[-2], dict)


def handle_request(call: Call) -> Advice:
    """app([self,] environ, start_response) -> iterable of bytes"""
    environ, start_response = call.args[-2:]
    record = Request(environ)
    if record.span is not None:
        call.args = (*call.args[:-1], learning_status(record, start_response))
    token = scopes.enter(record.pair)
    try:
        body = yield
    except BaseException as error:
        report(error, start_response)
        record.close("internal_error")
        raise
    finally:
        scopes.leave(token)
    if is_finished(body, environ):
        record.close()
        return None
    return (SizedBody if hasattr(type(body), "__len__") else Body)(body, record)


def handle_answered(call: Call) -> Advice:
    """app(environ, start_response), inside of what answers its errors: they are reported here, by whichever record"""
    record = call.args[-2].get(KEY)
    if record is None:
        return (yield from handle_request(call))
    token = scopes.enter(record.pair)
    try:
        body = yield
    except BaseException as error:
        report(error, call.args[-1])
        raise
    finally:
        scopes.leave(token)
    if is_finished(body, call.args[-2]):
        return None
    return (SizedBody if hasattr(type(body), "__len__") else Body)(body, record, False)


def is_finished(body: Any, environ: dict[str, Any]) -> bool:
    """Nothing can fail in a list any more, and servers know their own file wrapper by its identity."""
    kind = type(body)
    if kind is list or kind is tuple:
        return True
    wrapper = environ.get("wsgi.file_wrapper")  # a class, or a function of the server's
    return wrapper is not None and (
        hasattr(body, "fileno") or (isinstance(wrapper, type) and isinstance(body, wrapper))
    )


def learning_status(record: Request, start_response: Any) -> Any:
    """*start_response*, which tells *record* the status as it passes."""

    def watched_start_response(status: Any, headers: Any, *exc_info: Any) -> Any:
        try:
            record.http_status = int(str(status)[:3])
        except ValueError:
            pass
        return start_response(status, headers, *exc_info)

    return watched_start_response


def report(error: BaseException, start_response: Any = None) -> None:
    """Report what a WSGI application let out; a closed generator, a successful exit and a client that has gone, told
    by the ``write`` that the server's *start_response* has returned, are no errors.
    """
    if isinstance(error, GeneratorExit):
        return
    if (isinstance(error, SystemExit) and error.code in (None, 0)) or is_disconnect(error, start_response):
        errtrack.dismiss_exception(error)  # or the server's log of it would be an event
    else:
        errtrack.report_exception(error, "wsgi", level="error" if isinstance(error, Exception) else "fatal")


def is_disconnect(error: BaseException, start_response: Any) -> bool:
    """Whether *error* comes from the server's own ``write``, which is where its *start_response* is."""
    if not isinstance(error, OSError) and type(error).__name__ != "ClientDisconnected":  # waitress' own
        return False
    server = getattr(getattr(start_response, "__func__", start_response), "__globals__", None)
    if server is None:
        return error.args == ("write error",)  # of uWSGI, in C
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_globals is not server:
        tb = tb.tb_next
    return tb is not None


class Body:
    """A response body: each piece is made, and the end is closed, in the request's scope."""

    __slots__ = ("_body", "_is_last", "_iterator", "_pair", "_record")

    def __init__(self, body: Any, record: _request.Record, is_last: bool = True) -> None:
        self._body = body
        #: Whether the request is over with it.
        self._is_last = is_last
        self._pair = record.pair
        self._record = record
        self._iterator: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        token = scopes.enter(self._pair)
        try:
            pieces: Iterator[bytes] = iter(self._body)
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            scopes.leave(token)
        # Those fail at nothing, and run nothing of the application's.
        return pieces if type(pieces) in _SAFE else self._watched(pieces)

    def __next__(self) -> bytes:
        if self._iterator is None:
            self._iterator = iter(self)
        return next(self._iterator)

    def _watched(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        enter, leave, pair = scopes.enter, scopes.leave, self._pair
        while True:
            token = enter(pair)
            try:
                piece = next(pieces, _END)
            except BaseException as error:
                self._fail(error)
                raise
            finally:
                leave(token)
            if piece is _END:
                return
            yield piece  # type: ignore[misc] # _END is the only other type

    def _fail(self, error: BaseException) -> None:
        self._record.status = "internal_error"
        report(error)

    def close(self) -> None:
        token = scopes.enter(self._pair)
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            report(error)
            raise
        finally:
            scopes.leave(token)
            if self._is_last:
                self._record.close()

    def __del__(self) -> None:
        # A server that never closes what it has sent: the request is over all the same.
        if getattr(self, "_record", None) is not None and self._is_last and self._record.what is not None:
            self._record.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)


class SizedBody(Body):
    """A body whose length servers turn into a Content-Length."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._body)


def describe(event: dict[str, Any], environ: dict[str, Any]) -> None:
    """Put the request of *environ* on *event*; its body is never touched here."""
    headers: dict[str, str] = {}
    for key, value in environ.items():
        if not isinstance(key, str) or not isinstance(value, str):
            continue
        if key.startswith("HTTP_"):
            headers[key[5:].replace("_", "-").title()] = value
        elif key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
            headers[key.replace("_", "-").title()] = value
    _request.add_request(
        event,
        url=url_of(environ),
        method=environ.get("REQUEST_METHOD", ""),
        query_string=environ.get("QUERY_STRING") or "",
        headers=headers,
        env={key: environ[key] for key in ("SERVER_NAME", "SERVER_PORT") if key in environ},
        client_address=environ.get("REMOTE_ADDR", ""),
    )


def url_of(environ: dict[str, Any]) -> str:
    """The request's URL without its query (https://peps.python.org/pep-3333/#url-reconstruction)."""
    forwarded = options.current().wsgi_use_x_forwarded_for
    scheme = (environ.get("HTTP_X_FORWARDED_PROTO") if forwarded else "") or environ.get(
        "wsgi.url_scheme", "http"
    )
    host = (environ.get("HTTP_X_FORWARDED_HOST") if forwarded else "") or environ.get("HTTP_HOST")
    if not host:
        host = environ.get("SERVER_NAME", "unknown")
        port = environ.get("SERVER_PORT", "")
        host = "%s:%s" % (host, port) if port else host
    path = (
        _decoded(environ.get("SCRIPT_NAME", "")).rstrip("/")
        + "/"
        + _decoded(environ.get("PATH_INFO", "")).lstrip("/")
    )
    return "%s://%s%s" % (scheme, _request.without_default_port(scheme, host), path)


def _decoded(path: str) -> str:
    """WSGI hands bytes over as latin-1 text; they are UTF-8 most of the time."""
    return path.encode("latin-1", "replace").decode("utf-8", "replace")
