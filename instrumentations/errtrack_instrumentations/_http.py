# SPDX-License-Identifier: MIT
"""What frameworks share that are their own HTTP servers: one unit of work a request, and the request on its events.

What describes the request is taken as it comes in, in a few references. The framework's own request object, with its
body, is let go at the end: a background task or an idle connection may hold on to the scope for hours.
"""

from __future__ import annotations

import errtrack
from errtrack import options
from errtrack.context import trace as tracing

from . import _body, _request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


#: Loggers of the servers themselves.
_SERVERS = ("tornado.", "sanic.", "aiohttp.")


def prepare() -> None:
    """Start the client where requests that end well matter as well: an error would start it by itself."""
    asked = options.current()
    if asked.auto_session_tracking or asked.traces:
        errtrack.is_initialized()


class Facts:
    """A request as it came in. *path* may hold the query still; *headers* is any mapping of texts."""

    __slots__ = ("address", "headers", "host", "method", "path", "query", "scheme")

    def __init__(
        self, scheme: str, host: str, path: str, query: str, method: str, headers: Any, address: str
    ) -> None:
        self.scheme = scheme
        self.host = host
        self.path = path
        self.query = query
        self.method = method
        self.headers = headers
        self.address = address


class Request(_request.Record):
    """The request in hand, as *facts* tell it; events from after its end are described by them too.

    ``record.enrich(event, hint)`` is what the framework adds while the request is on; False drops the event.
    """

    __slots__ = ("facts", "name", "settled", "source")

    def __init__(
        self,
        facts: Facts,
        mechanism: str,
        op: str,
        name: str,
        source: str,
        sampling: dict[str, Any] | None = None,
        continues: bool = True,
    ) -> None:
        get = facts.headers.get
        trace = None
        if continues and ("sentry-trace" in facts.headers or "traceparent" in facts.headers):
            trace = (get("sentry-trace") or "", get("baggage") or "", get("traceparent") or "")
        method = facts.method if op == "http.server" else ""
        self.prepare(self)
        if trace is not None or tracing.tracer is not None:
            self.trace(op, name, source, "auto.http." + mechanism, trace, sampling, method)
        self.mechanism = mechanism
        self.name = name
        self.source = source
        self.facts = facts
        #: Whether it is known how it failed: what is logged about that later is no news.
        self.settled = False
        self.enrich: Callable[..., Any] | None = None

    def rename(self, name: str, source: str) -> None:
        """Name the unit, where the application has not done so itself."""
        self.name = name
        self.source = source
        if self.span is not None and self.scope.transaction is None:
            self.scope.set_transaction_name(name, source)

    def __call__(self, event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any] | None:
        describe(event, self.facts)
        if self.facts.address and not errtrack.should_send_default_pii():
            _drop_crumbs(event, self.facts.address)
        if self.enrich is not None and self.enrich(event, hint) is False:
            return None
        event.setdefault("transaction", self.name)
        event.setdefault("transaction_info", {"source": self.source})
        return event

    def report(self, error: BaseException) -> None:
        """Report what the application's handler let out."""
        self.settled = True
        errtrack.report_exception(error, self.mechanism)

    def close(self, status: str = "", http_status: int = 0) -> None:
        """The request is over: *status* as for a unit's end, *http_status* of its answer."""
        self.end(status, http_status)  # a transaction is an event, and described like one
        self.enrich = None


def describe(event: dict[str, Any], facts: Facts) -> None:
    """Put the request of *facts* on *event*."""
    headers: dict[str, str] = {}
    for key, value in facts.headers.items():
        key = key.title()
        headers[key] = "%s, %s" % (headers[key], value) if key in headers else value
    path, separator, query = facts.path.partition("?")
    name, colon, port = facts.host.rpartition(":")
    if not colon or not port.isdigit():
        name, port = facts.host, "443" if facts.scheme in ("https", "wss") else "80"
    shown = _request.without_default_port(facts.scheme, facts.host)
    _request.add_request(
        event,
        url="%s://%s%s" % (facts.scheme, shown, path),
        method=facts.method,
        query_string=query if separator else facts.query,
        headers=headers,
        env={"SERVER_NAME": name, "SERVER_PORT": port},
        client_address=facts.address,
    )


def _drop_crumbs(event: dict[str, Any], address: str) -> None:
    """Leave the servers' own log lines about a failure out where they name the client."""
    crumbs = event.get("breadcrumbs")
    values = crumbs.get("values") if isinstance(crumbs, dict) else None
    if isinstance(values, list):
        kept = [
            crumb
            for crumb in values
            if not str(crumb.get("category")).startswith(_SERVERS) or address not in str(crumb.get("message"))
        ]
        if len(kept) < len(values):
            event["breadcrumbs"] = {**crumbs, "values": kept}  # type: ignore[dict-item]


def add_body(event: dict[str, Any], facts: Facts, raw: bytes, parse: Callable[[], Any] | None = None) -> None:
    """Put the body on *event*: see :func:`_body.add_body`."""
    get = facts.headers.get
    _body.add_body(
        event,
        content_type=get("content-type") or "",
        length=get("content-length") or "",
        raw=raw,
        parse=parse,
    )
