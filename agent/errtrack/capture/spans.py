# SPDX-License-Identifier: MIT
"""Spans of a transaction, put right: one that a server cannot read would cost the whole transaction."""

from __future__ import annotations

from errtrack.capture.jsonable import Cleaner
from errtrack.capture.shapes import exact
from errtrack.capture.wire import Notes
from errtrack.context.shortened import Shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.capture.wire import Tree

#: Longest name of a span, in characters: statements and URLs.
LONGEST = 2000

#: Most values and characters that the data of one span may take up.
_VALUES = 100

#: Names that the protocol has given: those of numbers say nothing of secrets, though there is "token" in them.
_GIVEN_NAMES = ("gen_ai.", "flag.evaluation.")

#: Most characters of one text of a conversation, of all texts under one name, of those as JSON (where signs are
#: escaped), and of what a transaction has of all that.
_LONGEST_SAID, _SAID, _SAID_AS_JSON, _SAID_IN_ALL = 10_003, 30_000, 70_000, 300_000

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
    said = Said(cleaner)
    found = (_span(span, cleaner, (*path, index), said) for index, span in enumerate(value))
    return [span for span in found if span is not None]


def _span(given: Any, cleaner: Cleaner, path: tuple[object, ...], said: Said) -> Tree | None:
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
    out.update(_rest(given, cleaner, path, said))
    return out


#: What was made of spans that are alike but for ids and times, and the characters that took. Most of them come again:
#: the same statement, the same receiver.
_known: dict[tuple[Any, ...], tuple[Tree, int]] = {}

#: Most that are known, and most characters that one of them may take.
_MOST_KNOWN, _SHORT = 500, 600
_SCALARS = frozenset((str, int, float, bool, type(None)))
_TEXTS = frozenset((str,))


def _rest(given: Tree, cleaner: Cleaner, path: tuple[object, ...], said: Said) -> Tree:
    """What a span has beside ids and times."""
    key = _key_of(given, cleaner)
    if key is None:
        return _cleaned(given, cleaner, path, said)
    known = _known.get(key)
    if known is None:
        own = Cleaner(cleaner.scrubber, Notes(), cleaner.longest)
        before = own.left
        made = _cleaned(given, own, path, Said(own))
        if own.notes.tree:  # what was changed in it is told of each
            return _cleaned(given, cleaner, path, said)
        known = (made, before - own.left)
        if known[1] <= _SHORT:
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            _known[key] = known
    cleaner.left -= known[1]
    rest = dict(known[0])
    for name in ("data", "tags"):
        if name in rest:
            rest[name] = dict(rest[name])
    return rest


def _key_of(given: Tree, cleaner: Cleaner) -> tuple[Any, ...] | None:
    """What tells whether a span is known; None for one that is like no other."""
    op, name, origin, status = (
        given.get("op"), given.get("description"), given.get("origin"), given.get("status")
    )  # fmt: skip
    if not _SCALARS.issuperset(map(type, (op, name, origin, status))):
        return None
    key: tuple[Any, ...] = (cleaner.scrubber, cleaner.longest, op, name, origin, status)
    for part in (given.get("data"), given.get("tags")):
        if part is None:
            key += (None,)
        elif (
            type(part) is dict
            and _TEXTS.issuperset(map(type, part))
            and _SCALARS.issuperset(map(type, part.values()))
        ):
            key += (tuple(part.items()), tuple(map(type, part.values())))
        else:
            return None
    return key


def _cleaned(given: Tree, cleaner: Cleaner, path: tuple[object, ...], said: Said) -> Tree:
    out: Tree = {}
    for key, longest in (("op", 128), ("description", LONGEST), ("origin", 128)):
        text = cleaner.scalar(given.get(key), (*path, key), longest)
        if text:
            out[key] = text
    status = exact(given.get("status"))
    if status:
        out["status"] = status if status in _STATUSES else "unknown_error"
    # Each has bounds of its own: what the first spans hold must not empty the others.
    own = Cleaner(cleaner.scrubber, cleaner.notes, left=20_000)
    items = data(given.get("data"), own, (*path, "data"), said)
    if items:
        out["data"] = items
    tags = given.get("tags")
    if type(tags) is dict and tags:
        out["tags"] = own.mapping(tags.items(), len(tags), (*path, "tags"), 0)
    return out


def data(given: Any, cleaner: Cleaner, path: tuple[object, ...], said: Said) -> Tree:
    """The data of a span."""
    if type(given) is not dict:
        return {}
    pairs = list(given.items())[:_VALUES]
    named = [pair for pair in pairs if type(pair[0]) is str and pair[0].startswith(_GIVEN_NAMES)]
    others = [pair for pair in pairs if pair not in named] if named else pairs
    out = cleaner.mapping(others, len(given) - len(named), path, 0)
    for name, item in named:
        out[name] = said.clean(item, (*path, name))
    return out


class Said:
    """Cleans what stands under names of the protocol: conversations with models, as JSON where they are no texts.

    They are longer than other data of spans, and cut JSON could not be read; so they have bounds of their own.
    """

    def __init__(self, cleaner: Cleaner) -> None:
        self._cleaner = cleaner
        self._left = _SAID_IN_ALL

    def clean(self, value: Any, path: tuple[object, ...]) -> Any:
        """*value* as a text, a number or a boolean."""
        notes = self._cleaner.notes
        kind = type(value)
        if kind is Shortened:
            notes.add(path, {"len": value.whole})
            value, kind = list(value), list
        if kind is not list and kind is not dict:
            if kind is str and self._left <= 0:
                notes.add(path, {"len": len(value), "rem": [["!limit", "x", 0, 0]]})
                return ""
            out = Cleaner(self._cleaner.scrubber, notes, _SAID_AS_JSON).tree(value, path)
        else:
            import json

            # What is cut or filtered inside of a JSON text has no path of its own.
            own = Cleaner(self._cleaner.scrubber, Notes(), _LONGEST_SAID, min(_SAID, self._left))
            out = json.dumps(own.tree(value, path, -10), ensure_ascii=False)
        if type(out) is str:
            self._left -= len(out)
        return out


def _is_time(value: Any) -> bool:
    return (type(value) is float or type(value) is int) and 0 < value < 4e9
