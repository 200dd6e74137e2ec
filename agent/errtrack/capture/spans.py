# SPDX-License-Identifier: MIT
"""Spans of a transaction, put right: one that a server cannot read would cost the whole transaction."""

from __future__ import annotations

from errtrack.capture.jsonable import Cleaner
from errtrack.capture.shapes import exact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.capture.wire import Tree

#: Longest name of a span, in characters: statements and URLs.
LONGEST = 2000

#: Most values and characters that the data of one span may take up.
_VALUES = 100

_STATUSES = frozenset(
    (
        "ok", "cancelled", "unknown", "unknown_error", "invalid_argument", "deadline_exceeded", "not_found",
        "already_exists", "permission_denied", "resource_exhausted", "failed_precondition", "aborted",
        "out_of_range", "unimplemented", "internal_error", "unavailable", "data_loss", "unauthenticated",
    )
)  # fmt: skip


def clean(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> list[Tree]:
    """The spans in *value* that have ids and times; a list also where there is none."""
    if type(value) is not list:
        return []
    found = (_span(span, cleaner, (*path, index)) for index, span in enumerate(value))
    return [span for span in found if span is not None]


def _span(given: Any, cleaner: Cleaner, path: tuple[object, ...]) -> Tree | None:
    if type(given) is not dict:
        return None
    start: Any = given.get("start_timestamp")
    end: Any = given.get("timestamp")
    trace_id, span_id = exact(given.get("trace_id")), exact(given.get("span_id"))
    if not _is_time(start) or not _is_time(end) or not trace_id or not span_id:
        return None
    out: Tree = {
        "trace_id": trace_id,
        "span_id": span_id,
        "start_timestamp": start,
        "timestamp": end if end > start else start,
    }
    parent = exact(given.get("parent_span_id"))
    if parent:
        out["parent_span_id"] = parent
    for key, longest in (("op", 128), ("description", LONGEST), ("origin", 128)):
        text = cleaner.scalar(given.get(key), (*path, key), longest)
        if text:
            out[key] = text
    status = exact(given.get("status"))
    if status:
        out["status"] = status if status in _STATUSES else "unknown_error"
    # Each has bounds of its own: what the first spans hold must not empty the others.
    own = Cleaner(cleaner.scrubber, cleaner.notes, left=20_000)
    for key in ("data", "tags"):
        items = given.get(key)
        if type(items) is dict and items:
            out[key] = own.mapping(list(items.items())[:_VALUES], len(items), (*path, key), 0)
    return out


def _is_time(value: Any) -> bool:
    return (type(value) is float or type(value) is int) and 0 < value < 4e9
