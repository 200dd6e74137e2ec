# SPDX-License-Identifier: MIT
"""aiohttp's requests as units of work, and which of their exceptions are failures."""

from __future__ import annotations

from functools import partial

import errtrack
from errtrack import options
from errtrack.context import scope as scopes

from . import _http

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def begin(request: Any) -> _http.Request:
    """The unit of work of *request*."""
    message = request._message
    facts = _http.Facts(
        request.scheme,
        request.host,
        str(message.path),
        "",
        message.method,
        message.headers,
        request.remote or "",
    )
    record = _http.Request(
        facts, "aiohttp", "http.server", "generic AIOHTTP request", "route", {"aiohttp_request": request}
    )
    record.enrich = partial(enrich, request, record)
    return record


def current() -> _http.Request | None:
    """The record of the request in hand."""
    for processor in scopes.get_isolation_scope().processors:
        if isinstance(processor, _http.Request):
            return processor
    return None


def name(request: Any, match: Any) -> None:
    """Name the unit by what *match* has found, if it has."""
    record = current()
    if record is None or match.http_exception is not None:
        return
    if options.current().aiohttp_transaction_style == "method_and_path_pattern":
        pattern = getattr(match.route.resource, "canonical", None)
        if pattern is not None:
            record.rename("%s %s" % (request.method, pattern), "route")
        return
    handler = match.handler
    handler = getattr(handler, "func", handler)  # a partial
    if not hasattr(handler, "__qualname__"):
        handler = type(handler)
    record.rename("%s.%s" % (handler.__module__, handler.__qualname__), "component")


def is_failure(request: Any, error: BaseException) -> bool:
    """Whether *error*, let out by a handler, is more than an answer or a client that went away."""
    for cls in type(error).__mro__:
        if cls.__name__ == "HTTPException" and cls.__module__ == "aiohttp.web_exceptions":
            return getattr(error, "status", 0) in options.current().aiohttp_failed_request_status_codes
    return not is_disconnect(request, error)


def is_disconnect(request: Any, error: BaseException) -> bool:
    """Whether *error* tells that the client of *request* has gone."""
    if not isinstance(error, ConnectionError):
        return False
    transport = request.transport
    return transport is None or bool(transport.is_closing())


def report(error: BaseException) -> None:
    """Report *error*; in the scopes of the request."""
    record = current()
    if record is not None:
        record.report(error)
    else:
        errtrack.report_exception(error, "aiohttp")


def enrich(request: Any, record: _http.Request, event: dict[str, Any], hint: dict[str, Any]) -> bool:
    """Add the body that the application has read; False for what the server logs of its clients' faults, and of a
    failure that has been reported."""
    logged = hint.get("log_record")
    error = (hint.get("exc_info") or (None, None))[1]
    if logged is not None and str(logged.name).startswith("aiohttp."):
        if error is None and record.settled and str(logged.msg).startswith("Error handling request"):
            return False
        bad = any(cls.__module__ == "aiohttp.http_exceptions" for cls in type(error).__mro__)
        if error is not None and (bad or is_disconnect(request, error)):
            return False
    raw, post = getattr(request, "_read_bytes", None), getattr(request, "_post", None)
    if raw or post:
        _http.add_body(event, record.facts, raw or b"form", lambda: _form(raw, post))
    elif raw is None and getattr(request, "body_exists", False) and isinstance(event.get("request"), dict):
        event["request"].setdefault("data", "[not read by the application]")
    return True


def _form(raw: bytes | None, post: Any) -> tuple[dict[str, list[Any]], list[str]]:
    """The fields of a form, and the names of those that hold files."""
    fields: dict[str, list[Any]] = {}
    files: list[str] = []
    if post is None:
        from urllib.parse import parse_qs

        return dict(parse_qs((raw or b"").decode("utf-8", "replace"), keep_blank_values=True)), files
    for key, value in post.items():
        if isinstance(value, (str, bytes, bytearray)):
            fields.setdefault(key, []).append(value if isinstance(value, str) else bytes(value))
        else:
            files.append(key)
    return fields, files
