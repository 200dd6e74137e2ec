# SPDX-License-Identifier: MIT
"""What a Django request is called: its URL pattern as a person would write it, or its view.

The pattern is Django's own ``resolver_match.route``, so that prefixes and a request's own urlconf are in it.
"""

from __future__ import annotations

import sys

from errtrack import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MOST = 1000

_names: dict[str, str] = {}


def name_of(request: Any) -> tuple[str, str]:
    """The name of the transaction and its source, by ``django.transaction_style``."""
    by_url = options.current().django_transaction_style == "url"
    match = getattr(request, "resolver_match", None) or _resolve(request)
    if match is None:
        handler = None if by_url else _handler_of_404(request)
        return (request.path_info, "url") if handler is None else (name_of_view(handler), "component")
    if by_url:
        return name_of_route(match.route), "route"
    return name_of_view(match.func), "component"


def name_of_view(view: Any) -> str:
    """The dotted name of a view: a function's own, a class's for what its ``as_view`` made."""
    view = getattr(view, "view_class", None) or getattr(view, "cls", None) or view
    while hasattr(view, "func") and not hasattr(view, "__qualname__"):
        view = view.func  # a partial
    if not hasattr(view, "__qualname__"):
        view = type(view)
    return "%s.%s" % (view.__module__, view.__qualname__)


def name_of_route(route: str) -> str:
    """``b/item/<int:pk>/`` and its like in regular expressions as ``/b/item/{pk}/``."""
    known = _names.get(route)
    if known is None:
        if len(_names) >= _MOST:
            _names.clear()
        simple = "/" + _simplified(route, 0, "")[0]
        while "//" in simple:
            simple = simple.replace("//", "/")
        known = _names[route] = simple
    return known


def _simplified(route: str, at: int, end: str) -> tuple[str, int]:
    """The text of *route* from *at* to the *end* of its group, of its first alternative; and where that is."""
    out: list[str] = []
    taken = True
    while at < len(route):
        sign = route[at]
        piece = ""
        if sign == end:
            return "".join(out), at + 1
        if sign == "\\" and at + 1 < len(route):
            following = route[at + 1]
            at += 2
            piece = "" if following in "AZbB" else following if not following.isalnum() else "\\" + following
        elif sign == "(":
            piece, at = _group(route, at)
        elif sign == "<" and ">" in route[at:]:
            stop = route.index(">", at)
            piece, at = "{%s}" % route[at + 1 : stop].rpartition(":")[2].strip(), stop + 1
        elif sign == "[" and "]" in route[at + 2 :]:
            stop = route.index("]", at + 2) + 1  # a bracket that comes first stands for itself
            piece, at = route[at:stop], stop
        else:
            at += 1
            if sign == "|" and end:
                taken = False
            elif sign not in "^$?":
                piece = sign
        if taken:
            out.append(piece)
    return "".join(out), at


def _group(route: str, at: int) -> tuple[str, int]:
    """The name for the group of a regular expression that begins at *at*, and where it ends."""
    inside = at + 1
    if route.startswith("(?P<", at):
        stop = route.find(">", at)
        if stop < 0:
            return "", len(route)
        return "{%s}" % route[at + 4 : stop], _simplified(route, stop + 1, ")")[1]
    if route.startswith("(?:", at):
        return _simplified(route, at + 3, ")")
    if route.startswith("(?", at):  # what looks ahead or sets a flag matches nothing
        return "", _simplified(route, inside, ")")[1]
    return "{var}", _simplified(route, inside, ")")[1]


def _resolve(request: Any) -> Any:
    """What the path will resolve to, for an error that comes before Django has asked; None where nothing fits."""
    try:
        return sys.modules["django.urls"].resolve(request.path_info, getattr(request, "urlconf", None))
    except Exception:
        return None


def _handler_of_404(request: Any) -> Any:
    try:
        resolver = sys.modules["django.urls"].get_resolver(getattr(request, "urlconf", None))
        return resolver.resolve_error_handler(404)
    except Exception:
        return None
