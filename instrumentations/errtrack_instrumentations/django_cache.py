# SPDX-License-Identifier: MIT
"""Traced Django requests show what they read from caches and write to them: with ``django.cache_spans``.

Keys, hits and misses, sizes and the server's address; never its password.
"""

from __future__ import annotations

from errtrack import options
from errtrack.instrumentation import Call, Instrumentation, Patch, driven

from ._late import _django_spans, tracing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from errtrack.instrumentation import Advice

_NAME = "django_cache"
_METHODS = {"get": "cache.get", "get_many": "cache.get", "set": "cache.put", "set_many": "cache.put"}

_SIZED = frozenset((str, bytes, int, float, bool))


def watch_backend(call: Call) -> Advice:
    """CacheHandler.create_connection(self, alias) -> backend, one a thread"""
    backend = yield
    if options.current().django_cache_spans:
        address = address_of(call.args[0].settings[call.get(1, "alias")].get("LOCATION"))
        for method, op in _METHODS.items():
            original = getattr(backend, method)
            setattr(
                backend, method, driven(_NAME, measure(op, method, address), original, _django_spans.is_off)
            )


def measure(op: str, method: str, address: dict[str, Any]) -> Any:
    """The handler of a cache's *method*."""

    def handler(call: Call) -> Advice:
        """get(key, default=None, ...), get_many(keys, ...), set(key, value, ...), set_many(data, ...)"""
        parent = tracing.recording()
        if parent is None:
            return (yield)
        first = call.get(0, {"get_many": "keys", "set_many": "data"}.get(method, "key"))
        if method == "get_many" and not isinstance(first, (list, tuple, set, frozenset, dict)):
            first = list(first)  # an iterator can be walked only once
            call.replace(0, "keys", first)
        keys = [str(key) for key in first] if method.endswith("_many") else [str(first)]
        with parent.start_child(op=op, name=", ".join(keys), origin="auto.http.django") as span:
            span.update_data({"cache.key": keys, **address})
            result = yield
            span.update_data(dict(told(method, call, result)))
        return None

    return handler


def told(method: str, call: Call, result: Any) -> Iterator[tuple[str, Any]]:
    """Whether it was there, and how large it is where that can be told without asking the value."""
    if method == "get_many":
        yield "cache.hit", bool(result)
        return
    value = call.get(1, "value") if method == "set" else None
    if method == "get":
        hit = result is not call.get(1, "default")  # by identity: a value may well equal the default
        yield "cache.hit", hit
        value = result if hit else None
    if type(value) in _SIZED:
        yield "cache.item_size", len(value if type(value) is bytes else str(value))


def address_of(location: Any) -> dict[str, Any]:
    """``network.peer.*`` of a LOCATION that is one address."""
    if not isinstance(location, str) or "://" not in location:
        return {}
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(location)
        found: dict[str, Any] = {
            "network.peer.address": "%s://%s%s" % (parts.scheme, parts.hostname or "", parts.path)
        }
        if parts.port:
            found["network.peer.port"] = parts.port
    except ValueError:
        return {}
    return found


INSTRUMENTATION = Instrumentation(
    _NAME,
    supports=">=3.2",
    distribution="django",
    patches=[Patch("django.core.cache", "CacheHandler.create_connection", watch_backend)],
)
