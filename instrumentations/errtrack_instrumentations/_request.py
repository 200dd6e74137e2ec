# SPDX-License-Identifier: MIT
"""The ``request`` part of an event, the same for every server and framework."""

from __future__ import annotations

import errtrack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

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
        if client_address:
            environment["REMOTE_ADDR"] = client_address
            first = shown.get("X-Forwarded-For", "").partition(",")[0].strip()
            user = dict(event.get("user") or {})
            user.setdefault("ip_address", first or shown.get("X-Real-Ip", "").strip() or client_address)
            event["user"] = user
        cookies = _parse_cookies(shown.get("Cookie", ""))
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
