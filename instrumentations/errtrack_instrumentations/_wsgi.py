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
from errtrack.instrumentation import Call, Changed, Steps, driven, is_async

from . import _request, _watched, _wsgi_body

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextvars import Token
    from typing import Any

    from errtrack.context.scope import Pair
    from errtrack.instrumentation import Advice

    #: A request, what restores the scopes that were in force before it, and the server's start_response.
    State = tuple["Request", Token[Pair | None], Any]

KEY = _request.KEY

_NAME = "generic WSGI request"

#: Nothing can fail in those any more.
_FINISHED = (list, tuple)

report, _proxies, proxy_of = _wsgi_body.report, _wsgi_body.proxies, _wsgi_body.proxy_of


class Request(_request.Record):
    """The request in hand, of a WSGI environ."""

    mechanism = "wsgi"

    # On the path of every request a constructor in Python is too dear.
    __init__ = object.__init__

    def begin(self, environ: dict[str, Any]) -> Request:
        """Be the request of *environ*, as a constructor would have it."""
        self.prepare(self)
        self.what = environ
        environ[KEY] = self
        if tracing.tracer is not None or "HTTP_SENTRY_TRACE" in environ or "HTTP_TRACEPARENT" in environ:
            self.join(environ)
        return self

    def join(self, environ: dict[str, Any]) -> None:
        """Take up the trace that came in, or begin one."""
        get = environ.get
        trace = None
        if "HTTP_SENTRY_TRACE" in environ or "HTTP_TRACEPARENT" in environ:
            trace = (get("HTTP_SENTRY_TRACE", ""), get("HTTP_BAGGAGE", ""), get("HTTP_TRACEPARENT", ""))
        asked, method = {"wsgi_environ": environ}, get("REQUEST_METHOD", "")
        self.trace("http.server", _NAME, "route", "auto.http.wsgi", trace, asked, method)

    def describe(self, event: dict[str, Any], what: dict[str, Any]) -> None:
        describe(event, what)
        if self.enrich is not None:
            self.enrich(self.holder, event)
        event.setdefault("transaction", _NAME)
        event.setdefault("transaction_info", {"source": "route"})


def find() -> Advice:
    """Let gunicorn find its application, and return that."""
    try:
        return (yield)
    except Exception as error:
        # It logs any other, or dies of it: this one's reason it only prints
        if type(error).__name__ == "AppImportError":
            errtrack.report_exception(error, "wsgi", level="fatal")
        raise


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
        else driven("wsgi_servers", handle_request, app)
    )
    return _watched.watched(app, call, False)


def begin(args: Any, kwargs: Any) -> Any:
    """app([self,] environ, start_response) -> iterable of bytes"""
    try:
        environ = args[-2]
        if KEY in environ:  # an outer layer is at it
            return None
    except (IndexError, TypeError):
        return None
    if type(environ) is not dict and not isinstance(environ, dict):
        return None
    record = Request().begin(environ)
    state: State = (record, scopes.enter(record.pair), args[-1])
    if record.span is not None:
        return Changed((*args[:-1], learning_status(record, args[-1])), kwargs, state)
    return state


def is_odd(args: Any) -> bool:
    """Whether this is no call of a WSGI application, as the specification has it: none of our business."""
    return len(args) < 2 or not isinstance(args[-2], dict)


def answer(state: State, body: Any) -> Any:
    """The application has returned *body*: it is handed on, behind a proxy if anything in it can fail."""
    record, token, _ = state
    try:
        scopes.reset(token)
    except ValueError:
        scopes.leave(token)
    kind = type(body)
    if kind in _FINISHED or is_file(body, record.what):
        record.close()
        return None
    return (_proxies.get(kind) or proxy_of(kind))(body, record)


def give_up(state: State, error: BaseException) -> None:
    """The application has raised *error*."""
    record, token, start_response = state
    try:
        report(error, start_response)
        record.close("internal_error")
    finally:
        scopes.leave(token)


handle_request = Steps(begin, answer, give_up)


def handle_answered(call: Call) -> Advice:
    """app(environ, start_response), inside of what answers its errors: they are reported here, by whichever record"""
    record = call.args[-2].get(KEY)
    if record is None:
        return (yield from handle_request.handle(call))
    token = scopes.enter(record.pair)
    try:
        body = yield
    except BaseException as error:
        report(error, call.args[-1])
        raise
    finally:
        scopes.leave(token)
    if type(body) in _FINISHED or is_file(body, call.args[-2]):
        return None
    return proxy_of(type(body))(body, record, False)


def is_file(body: Any, environ: dict[str, Any] | None) -> bool:
    """Whether *body* is what the server has for files: it knows its own by its identity."""
    wrapper = environ.get("wsgi.file_wrapper") if environ else None  # a class, or a function of the server's
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


#: Names of headers by their names in environs.
_names: dict[str, str] = {}


def describe(event: dict[str, Any], environ: dict[str, Any]) -> None:
    """Put the request of *environ* on *event*; its body is never touched here."""
    headers: dict[str, str] = {}
    for key, value in environ.items():
        if not isinstance(key, str) or not isinstance(value, str):
            continue
        if key.startswith("HTTP_"):
            name = _names.get(key)
            if name is None:
                name = key[5:].replace("_", "-").title()
                if len(_names) < 100:
                    _names[key] = name
            headers[name] = value
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
