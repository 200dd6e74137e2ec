# SPDX-License-Identifier: MIT
"""Connections and look-ups of names are breadcrumbs, and spans: for protocols that nothing else of us knows.

Opt-in. Seen is what goes through ``socket.create_connection`` and ``socket.getaddrinfo``, under whatever name they
were imported after Python started.
"""

from __future__ import annotations

from errtrack import guard
from errtrack.instrumentation import Call, Instrumentation, Patch

from . import _breadcrumbs, _outgoing

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
        yield from noted("socket.connection", data["address"], data)
    else:
        yield


def note_lookup(call: Call) -> Advice:
    """getaddrinfo(host, port, family=0, type=0, proto=0, flags=0)"""
    address = text(call.get(0, "host"), call.get(1, "port"))
    host, _, port = address.rpartition(":")
    yield from noted("socket.dns", address, {"host": host, "port": port})


def noted(category: str, message: str, data: dict[str, Any]) -> Advice:
    """Leave a breadcrumb, and make the call in a span where one is recorded around it."""
    if guard.is_inside():
        yield
        return
    _breadcrumbs.keep({"type": "default", "category": category, "message": message, "data": data})
    parent = (_outgoing.trace or _outgoing.load_trace()).recording()
    if parent is None:
        yield
        return
    with parent.start_child(category, message, "auto.socket.socket") as span:
        span.update_data(data)
        yield


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
