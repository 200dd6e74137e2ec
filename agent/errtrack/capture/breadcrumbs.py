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


def clean(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> Tree | None:
    crumbs = value.get("values") if type(value) is dict else value
    if type(crumbs) is not list and type(crumbs) is not tuple:
        return None
    out: list[Tree] = []
    for crumb in crumbs[-_MOST:]:
        if type(crumb) is dict:
            out.append(_breadcrumb(crumb, cleaner, (*path, "values", len(out))))
    return {"values": out} if out else None


def _breadcrumb(crumb: Tree, cleaner: Cleaner, path: tuple[object, ...]) -> Tree:
    when = moment(crumb.get("timestamp"), cleaner, path)
    out: Tree = {"timestamp": when} if when else {}
    for key, limit in (("type", 128), ("category", 128), ("message", 4096), ("event_id", 32)):
        item = crumb.get(key)
        if item is not None and item != "":
            out[key] = cleaner.scalar(item, (*path, key), limit)
    if crumb.get("level") is not None:
        out["level"] = level(crumb["level"], cleaner, path)
    data = crumb.get("data")
    if data is not None and data != {}:
        tree = cleaner.tree(data, (*path, "data"))
        out["data"] = tree if type(tree) is dict else {"value": tree}
    return out
