# SPDX-License-Identifier: MIT
"""Breadcrumbs in the form that every server takes: known attributes, texts cut, secrets filtered."""

from __future__ import annotations

from errtrack.capture.moments import level, moment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.capture.jsonable import Cleaner
    from errtrack.capture.wire import Tree

_MOST = 1000
_REMEMBERED = 400
_TEXTS = (("type", 128), ("category", 128), ("message", 4096), ("event_id", 32))

# What a crumb became, by all that it holds: in a storm of errors each event carries nearly the crumbs of the
# one before, and cleaning a hundred costs as much as the stack trace.
_known: dict[Any, tuple[Tree, int]] = {}


def clean(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> Tree | None:
    """``breadcrumbs`` as an object with ``values``; None when there are none."""
    crumbs = value.get("values") if type(value) is dict else value
    if type(crumbs) is not list and type(crumbs) is not tuple:
        return None
    out: list[Tree] = []
    for crumb in crumbs[-_MOST:]:
        if type(crumb) is dict:
            out.append(_remembered(crumb, cleaner, (*path, "values", len(out))))
    return {"values": out} if out else None


def _remembered(crumb: Tree, cleaner: Cleaner, path: tuple[object, ...]) -> Tree:
    signature = _signature(crumb, cleaner)
    known = _known.get(signature) if signature is not None else None
    if known is not None:
        tree, size = known
        cleaner.left -= size
    else:
        before = cleaner.left
        tree = _breadcrumb(crumb, cleaner, path)
        told = cleaner.notes.tree.get("breadcrumbs", {}).get("values", {}).get(str(path[-1]))
        # One with notes, or cut because the event is full, is not the same in another event.
        if signature is None or told is not None or cleaner.left <= 0:
            return tree
        if len(_known) >= _REMEMBERED:
            _known.clear()
        _known[signature] = tree, before - cleaner.left
    # A copy: hooks may change what they are given.
    return {**tree, "data": dict(tree["data"])} if "data" in tree else dict(tree)


def _signature(crumb: Tree, cleaner: Cleaner) -> tuple[Any, ...] | None:
    """All that *crumb* holds, where that is plain and can be compared without the application; else None."""
    parts: list[Any] = [cleaner.scrubber, cleaner.longest]
    for source in (crumb, crumb.get("data")):
        if type(source) is not dict:
            parts.append(None)
            continue
        for name, item in source.items():
            kind = type(item)
            if type(name) is not str:
                return None
            if item is None or kind is str or kind is int or kind is float or kind is bool:
                # The kind too: 1, 1.0 and True are equal.
                parts += (name, kind, item)
            elif name != "data" or kind is not dict or source is not crumb:
                return None
    return tuple(parts)


def _breadcrumb(crumb: Tree, cleaner: Cleaner, path: tuple[object, ...]) -> Tree:
    when = moment(crumb.get("timestamp"), cleaner, path)
    out: Tree = {"timestamp": when} if when else {}
    for key, limit in _TEXTS:
        text = cleaner.scalar(crumb.get(key), (*path, key), limit)
        if text:
            out[key] = text
    if crumb.get("level") is not None:
        out["level"] = level(crumb["level"], cleaner, path)
    data = crumb.get("data")
    if data is not None and (type(data) is not dict or data):
        tree = cleaner.tree(data, (*path, "data"))
        out["data"] = tree if type(tree) is dict else {"value": tree}
    return out
