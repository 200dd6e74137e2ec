# SPDX-License-Identifier: MIT
"""One request of ``http.client``, from its headers to the end of the answer's body."""

from __future__ import annotations

from time import time

from errtrack import guard, options
from errtrack.instrumentation import Steps

from . import _breadcrumbs, _code, _outgoing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.context.span import Span

    from ._outgoing import Place

# A connection may be of a subclass that does something of its own there.
_set_attribute = object.__setattr__

#: The attribute of an answer that holds the span of its request, while the body is still to come.
_SPAN = "_errtrack_span"


def send(args: Any, kwargs: Any) -> Any:
    """HTTPConnection.endheaders(self, message_body=None, *, encode_chunked=False)"""
    connection = args[0]
    # Until here nothing has been sent, and only now the application's headers are known.
    lines = connection._buffer
    if not lines or (guard.inside and guard.is_inside()):
        return None
    settings = _outgoing.in_force
    if settings is None or options._current.get("options") is not settings.options:
        settings = _outgoing.settings()
    line, own = lines[0], settings.own
    if (
        own is not None
        and (connection.host == own[0] or connection._tunnel_host or line.find(b"://") >= 0)
        and _outgoing.is_to(own, connection, _outgoing.split(line)[1])
    ):
        return None
    tracing = _outgoing.trace or _outgoing.load_trace()
    span = None
    if tracing.tracer is not None:
        parent = tracing.recording()
        if parent is not None:
            span = begin(parent, connection, line)
    if settings.reaches_all or settings.is_target(connection, line):
        lines += settings.header_lines(lines, span)
    # What the request is known by until it is answered.
    _set_attribute(connection, "_errtrack_request", (line, span))
    return connection


def not_sent(connection: Any, error: BaseException) -> None:
    """Refused, no such host, bad certificate: connections are made here."""
    note(connection, *connection._errtrack_request)


def note_end(response: Any) -> None:
    """HTTPResponse._close_conn(self): all of the body was read, or the answer is closed"""
    span = response.__dict__.pop(_SPAN, None)
    if span is not None:
        span.extend()
        locate(span)


send_headers = Steps(send, failed=not_sent)


def begin(parent: Span, connection: Any, line: bytes) -> Span:
    """The span of a request whose first line is *line*."""
    method, target = _outgoing.split(line)
    url = target.partition("#")[0].partition("?")[0]
    name = "%s %s%s" % (method, _outgoing.base_url(_outgoing.place_of(connection), target), url)
    return parent.start_child("http.client", name, "auto.http.stdlib.httplib")


def note(connection: Any, line: bytes, span: Span | None, response: Any = None) -> None:
    """Leave the breadcrumb, and end the span; the answer has begun, or there is none."""
    _set_attribute(connection, "_errtrack_request", None)
    status, reason = (response.status, response.reason) if response is not None else (None, None)
    place = _outgoing.place_of(connection)
    if span is not None:
        span.data = {**data_of(place, line, status, reason), **_code.thread()}
        if response is None:
            span.status = "internal_error"
        else:
            span.set_http_status(response.status)
            span.set_tag("http.status_code", str(status))
        span.finish()
        if response is None or response.isclosed() or response.length == 0:
            locate(span)
        else:  # kept already, should nobody read the body; to the end of it if somebody does
            response._errtrack_span = span
    _breadcrumbs.keep_parts((breadcrumb, place, line, status, reason, time()))


def breadcrumb(
    place: Place, line: bytes, status: int | None, reason: str | None, when: float
) -> dict[str, Any]:
    """The breadcrumb of a request; without *status* where there was no answer."""
    data = data_of(place, line, status, reason)
    crumb: dict[str, Any] = {"type": "http", "category": "httplib", "data": data, "timestamp": when}
    if status is not None and status >= 400:
        crumb["level"] = "error" if status >= 500 else "warning"
    return crumb


def data_of(place: Place, line: bytes, status: int | None, reason: str | None) -> dict[str, Any]:
    """What a breadcrumb and a span say of a request to *place* whose first line is *line*."""
    method, url = _outgoing.split(line)
    base, query, fragment = _outgoing.base_url(place, url), "", ""
    if "#" in url:
        url, _, fragment = url.partition("#")
    if "?" in url:
        url, _, query = url.partition("?")
    data: dict[str, Any] = {
        "url": base + url,
        "http.method": method,
        "http.query": query,
        "http.fragment": fragment,
    }
    if place[2]:
        data["network.peer.address"], data["network.peer.port"] = place[:2]
    if status is not None:
        data["http.response.status_code"], data["reason"] = status, reason
    return data


def locate(span: Span) -> None:
    """Note whose request it was, if it was slow."""
    now = _outgoing.settings().options
    if now.enable_http_request_source:
        _code.locate(span, now.http_request_source_threshold_ms)
