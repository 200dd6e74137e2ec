# SPDX-License-Identifier: MIT
"""Connections and look-ups of names are breadcrumbs: for protocols that nothing else of us knows.

Opt-in. Seen is what goes through ``socket.create_connection`` and ``socket.getaddrinfo``, under whatever name they
were imported after Python started.
"""

from __future__ import annotations

from errtrack.instrumentation import Call, Instrumentation, Patch

from . import _breadcrumbs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice


def note_connection(call: Call) -> Advice:
    """create_connection(address, timeout=..., source_address=None, *, all_errors=False)"""
    address = call.get(0, "address")
    if isinstance(address, tuple) and len(address) > 1:
        data = {"address": text(address[0], address[1])}
        timeout, source = call.get(1, "timeout"), call.get(2, "source_address")
        if isinstance(timeout, (int, float)):
            data["timeout"] = "%g" % timeout
        if isinstance(source, tuple) and len(source) > 1:
            data["source_address"] = text(source[0], source[1])
        note("socket.connection", data["address"], data)
    yield


def note_lookup(call: Call) -> Advice:
    """getaddrinfo(host, port, family=0, type=0, proto=0, flags=0)"""
    address = text(call.get(0, "host"), call.get(1, "port"))
    host, _, port = address.rpartition(":")
    note("socket.dns", address, {"host": host, "port": port})
    yield


def note(category: str, message: str, data: dict[str, Any]) -> None:
    """Leave a breadcrumb."""
    crumb = {"type": "default", "category": category, "message": message, "data": data}
    _breadcrumbs.note(crumb)


def text(*parts: Any) -> str:
    """``host:port``; both may be text, bytes, numbers, or missing."""
    words = [part.decode("utf-8", "replace") if isinstance(part, bytes) else part for part in parts]
    return ":".join("" if word is None else str(word) for word in words)


INSTRUMENTATION = Instrumentation(
    "socket",
    opt_in=True,
    patches=[
        Patch("socket", "create_connection", note_connection),
        Patch("socket", "getaddrinfo", note_lookup),
    ],
)
