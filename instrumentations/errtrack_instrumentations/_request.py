# SPDX-License-Identifier: MIT
"""A request in hand and the ``request`` part of its events, the same for every server and framework."""

from __future__ import annotations

import errtrack
from errtrack.context import scope as scopes
from errtrack.context import unit as units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

#: Where environ or ASGI scope have the record, for the layers further in.
KEY = "errtrack.request"

_FILTERED = "[Filtered]"

#: Sent only with ``send_default_pii``; their names stay visible, their values do not.
_PERSONAL_HEADERS = frozenset(
    (
        "authorization",
        "cookie",
        "forwarded",
        "proxy-authorization",
        "set-cookie",
        "x-api-key",
        "x-forwarded-for",
        "x-real-ip",
    )
)


class Record(units.Unit):
    """The request in hand; as an event processor it puts the request on each event of its scope.

    *what* is the environ or ASGI scope; a record lets it go at the request's end: uWSGI re-uses environs, and a
    thread may hold on to the scope. *mechanism* names the layer that reports what escapes the application.
    """

    # Defaults that the class has: a healthy request sets next to none of them.
    touches_frames = False
    is_request = True
    mechanism = ""
    #: What the framework knows the request by: its request object, most times.
    holder: Any = None
    #: What a framework adds: called with *holder* and the event.
    enrich: Callable[[Any, dict[str, Any]], None] | None = None
    #: What a framework calls it, once it is over: called with *holder*, answers a name and its source.
    named: Callable[[Any], tuple[str, str] | None] | None = None
    #: The identity of an exception on its way out, and the scopes that it was raised in.
    raised: tuple[int, Any] | None = None
    #: Of the answer, and of the work (a span status); 0 and empty where nothing is known.
    http_status = 0
    status = ""

    #: Which has the record under KEY.
    what: dict[str, Any] | None = None

    def __call__(self, event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any] | None:
        if self.what is not None:
            self.describe(event, self.what)
        return event

    def describe(self, event: dict[str, Any], what: dict[str, Any]) -> None:
        """Put what is known of the request on *event*."""
        raise NotImplementedError

    def close(self, status: str = "") -> None:
        """The request is over; environ or ASGI scope may live on elsewhere, without us."""
        what = self.what
        if what is not None:
            what.pop(KEY, None)
            if self.span is not None or self.session is not None:
                if self.span is not None and self.named is not None and self.scope.transaction is None:
                    name = self.named(self.holder)
                    if name is not None:
                        self.scope.set_transaction_name(*name)
                # A transaction is an event, and described like one.
                self.end(status or self.status, self.http_status)
            self.what = self.holder = self.enrich = self.raised = None
            # The scope may live on elsewhere, too. It has no use for us any more, and a circle of the two would have
            # Python's garbage collector run for each hundred of requests.
            scope = self.pair[0]
            others = scope.processors
            scope.processors = tuple([p for p in others if p is not self]) if len(others) > 1 else ()


def in_hand() -> Record | None:
    """The record of the request in hand, if there is one."""
    for scope in scopes.merged_scopes()[1:2]:
        for processor in reversed(scope.processors):
            if isinstance(processor, Record):
                return processor if processor.what is not None else None
    return None


def add_request(
    event: dict[str, Any],
    *,
    url: str,
    method: str,
    query_string: str,
    headers: Mapping[str, str],
    env: Mapping[str, str],
    client_address: str,
) -> None:
    """Put request and, where personal data may be sent, the client's address and cookies on *event*.

    What the application set itself stays. *env* is ``SERVER_NAME`` and ``SERVER_PORT``.
    """
    request = dict(event.get("request") or {})
    shown = dict(headers)
    environment = dict(env)
    if errtrack.should_send_default_pii():
        by_name = {name.lower(): value for name, value in shown.items()}
        first = by_name.get("x-forwarded-for", "").partition(",")[0].strip()
        address = first or by_name.get("x-real-ip", "").strip() or client_address
        if client_address:  # none on a Unix socket
            environment["REMOTE_ADDR"] = client_address
        if address:
            event["user"] = {"ip_address": address, **(event.get("user") or {})}
        cookies = _parse_cookies(by_name.get("cookie", ""))
        if cookies:
            request.setdefault("cookies", cookies)
    else:
        for name in shown:
            if name.lower() in _PERSONAL_HEADERS:
                shown[name] = _FILTERED
    request.setdefault("url", url)
    request.setdefault("method", method)
    if query_string:
        request.setdefault("query_string", query_string)
    request.setdefault("headers", shown)
    request.setdefault("env", environment)
    event["request"] = request


def _parse_cookies(header: str) -> dict[str, str]:
    cookies: dict[str, str] = {}
    for part in header.split(";"):
        name, separator, value = part.strip().partition("=")
        if separator and name:
            cookies.setdefault(name, value.strip('"'))
    return cookies


def without_default_port(scheme: str, host: str) -> str:
    """*host* as it stands in a URL of *scheme*."""
    default_port = ":443" if scheme in ("https", "wss") else ":80"
    return host[: -len(default_port)] if host.endswith(default_port) else host
