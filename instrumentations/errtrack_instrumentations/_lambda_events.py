# SPDX-License-Identifier: MIT
"""What a Lambda function was invoked with: a request of API Gateway, a function URL or a load balancer, or records.

Payloads are anybody's JSON: every part may be absent, null or of another type.
"""

from __future__ import annotations

import errtrack

from . import _body, _request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TRACE_HEADERS = ("sentry-trace", "baggage", "traceparent")


def parsed(body: Any) -> Any:
    """The event in the bytes (or text) of *body*; None where they are no JSON."""
    from json import loads

    try:
        return loads(body)
    except (TypeError, ValueError, RecursionError):
        return None


def may_hold_trace(body: Any) -> bool:
    """Whether a trace may have come in; a search in the bytes, so that most events need not be parsed twice."""
    if not isinstance(body, bytes):
        body = body.encode("utf-8", "replace") if isinstance(body, str) else b""
    return b"entry-trace" in body or b"raceparent" in body or b"entry-Trace" in body or b"ENTRY-TRACE" in body


def trace_of(event: Any) -> tuple[str, str, str] | None:
    """The texts of the headers that carry a trace; None where there is none."""
    headers = {name.lower(): value for name, value in headers_of(first_of(event)).items()}
    texts = [headers.get(name, "") for name in _TRACE_HEADERS]
    return (texts[0], texts[1], texts[2]) if texts[0] or texts[2] else None


def first_of(event: Any) -> dict[str, Any]:
    """The event, or the first of a list of them; empty for what is no object."""
    if isinstance(event, list) and event:
        event = event[0]
    return event if isinstance(event, dict) else {}


def headers_of(event: dict[str, Any]) -> dict[str, str]:
    """The headers of a request, those with several values joined."""
    headers = {name: value for name, value in _table(event.get("headers")).items() if isinstance(value, str)}
    for name, values in _table(event.get("multiValueHeaders")).items():
        if isinstance(values, list):
            headers[name] = ", ".join(value for value in values if isinstance(value, str))
    cookies = event.get("cookies")
    if isinstance(cookies, list):  # payload format 2.0 takes them out of the headers
        headers.setdefault("Cookie", "; ".join(cookie for cookie in cookies if isinstance(cookie, str)))
    return headers


def tags_of(event: Any) -> dict[str, str]:
    """Where the event came from, and how many it is: ``event_source``, ``batch_request``, ``batch_size``."""
    tags: dict[str, str] = {}
    batch = event if isinstance(event, list) else None
    first = first_of(event)
    records = first.get("Records")
    context = _table(first.get("requestContext"))
    if isinstance(records, list) and records and isinstance(records[0], dict):
        source = records[0].get("eventSource") or records[0].get("EventSource")  # SNS writes it large
        batch = batch if batch is not None else records
    elif "elb" in context:
        source = "aws:elb"
    elif "http" in context or "httpMethod" in first:
        host = context.get("domainName")
        is_url = isinstance(host, str) and ".lambda-url." in host
        source = "aws:lambda-url" if is_url else "aws:apigateway"
    elif "detail-type" in first:
        source = first.get("source")
    else:
        source = None
    if isinstance(source, str):
        tags["event_source"] = source
    if batch is not None and len(batch) > 1:
        tags["batch_request"] = "true"
        tags["batch_size"] = str(len(batch))
    return tags


def add_request(out: dict[str, Any], event: dict[str, Any], function: str) -> None:
    """Put the request that *event* is, if it is one, on the event *out* of ours."""
    context = _table(event.get("requestContext"))
    http = _table(context.get("http"))
    method = _text(event.get("httpMethod")) or _text(http.get("method"))
    if not method:
        return
    headers = headers_of(event)
    by_name = {name.lower(): value for name, value in headers.items()}
    path = _text(event.get("path")) or _text(event.get("rawPath")) or _text(http.get("path"))
    scheme, host = by_name.get("x-forwarded-proto", ""), by_name.get("host", "")
    identity = _table(context.get("identity"))
    _request.add_request(
        out,
        url="%s://%s%s" % (scheme, host, path) if scheme and host and path else "awslambda:///" + function,
        method=method,
        query_string=_query_of(event),
        headers=headers,
        env={},
        client_address=_text(identity.get("sourceIp")) or _text(http.get("sourceIp")),
    )
    if errtrack.should_send_default_pii() and _text(identity.get("userArn")):
        out["user"] = {"id": identity["userArn"], **(out.get("user") or {})}
    _add_body(out, event, by_name)


def _add_body(out: dict[str, Any], event: dict[str, Any], headers: dict[str, str]) -> None:
    body = event.get("body")
    if not isinstance(body, str) or not body:
        return
    raw = body.encode("utf-8", "replace")
    if event.get("isBase64Encoded") is True:
        from base64 import b64decode

        try:
            raw = b64decode(raw)
        except ValueError:
            pass
    if not errtrack.should_send_default_pii():
        _body.leave_out(out)
        return
    kind, length = headers.get("content-type", ""), headers.get("content-length", "")
    _body.add_body(out, content_type=kind, length=length, raw=raw, parse=lambda: _form(raw))


def _form(raw: bytes) -> tuple[dict[str, list[str]], list[str]]:
    """The fields of a form; of one in several parts nothing is known."""
    from urllib.parse import parse_qs

    return parse_qs(raw.decode("utf-8", "replace"), keep_blank_values=True), []


def _query_of(event: dict[str, Any]) -> str:
    from urllib.parse import urlencode

    raw = event.get("rawQueryString")
    if isinstance(raw, str):
        return raw
    several = _table(event.get("multiValueQueryStringParameters"))
    values = several or _table(event.get("queryStringParameters"))
    return urlencode({str(k): v for k, v in values.items() if v is not None}, doseq=True)


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
