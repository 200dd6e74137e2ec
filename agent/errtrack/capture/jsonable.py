# SPDX-License-Identifier: MIT
"""Makes what an application attached to an event fit for JSON: bounded, scrubbed, and without running its
code.

Numbers stay numbers and text stays text (unlike frame variables, where everything is shown like its repr).
"""

from __future__ import annotations

from errtrack import guard
from errtrack.capture import shapes
from errtrack.capture.exception_text import show
from errtrack.capture.scrubber import FILTERED, is_row, tells_nothing
from errtrack.capture.shapes import exact, first, shape_of, state_of
from errtrack.capture.wire import Notes, cut
from errtrack.capture.words import Withheld, parts_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.capture.custom import Custom
    from errtrack.capture.scrubber import Scrubber

DEPTH, BREADTH = 5, 50
_LARGEST = 2**63
_INFINITY = float("inf")


class Cleaner:
    """Cleans the trees of one event. *scrubber* may be None, after hooks; *notes* takes down what was
    changed.

    *left* is how many characters all its trees may still take; beyond it values are left out.
    """

    __slots__ = ("breadth", "custom", "depth", "left", "longest", "notes", "scrubber", "withheld")

    def __init__(
        self,
        scrubber: Scrubber | None,
        notes: Notes,
        longest: int = 1024,
        left: int = 200_000,
        custom: Custom | None = None,
        depth: int = DEPTH,
        breadth: int = BREADTH,
        withheld: Withheld | None = None,
    ) -> None:
        self.breadth = breadth
        self.depth = depth
        self.scrubber = scrubber
        self.notes = notes
        self.longest = longest
        self.left = left
        self.custom = custom
        self.withheld = Withheld() if withheld is None else withheld

    def text(self, value: str, path: tuple[object, ...], limit: int = 0) -> str:
        """An exact text, cut, scrubbed, without NUL."""
        limit = limit or self.longest
        length = len(value)
        if length > limit:
            clean = value[: limit + 250]
            if self.scrubber is not None:
                clean = self.scrubber.text(clean)
            self.notes.add(path, {"len": length, "rem": [["!limit", "x", max(limit - 3, 0), limit]]})
            clean = cut(clean, limit)
        elif length > 7 and self.scrubber is not None:
            clean = self.scrubber.text(value)
            if clean is not value and clean != value:
                self.notes.filtered(path)
        else:
            clean = value
        if "\0" in clean:
            clean = clean.replace("\0", "\ufffd")
        self.left -= len(clean)
        return clean

    def tree(self, value: Any, path: tuple[object, ...], depth: int = 0) -> Any:
        """*value* as a tree of dict, list, str, int, float, bool and None. A value that fails costs only
        itself.
        """
        kind = type(value)
        if kind is str:
            return self.text(value, path)
        if value is None or kind is bool:
            return value
        if kind is int:
            if -_LARGEST <= value < _LARGEST:
                if self.scrubber is not None and self.scrubber.number_is_sensitive(value):
                    self.notes.filtered(path)
                    return FILTERED
                return value
            return show(value)
        if kind is float:
            return value if -_INFINITY < value < _INFINITY else repr(value)
        try:
            return self._compound(value, kind, path, depth)
        except Exception as error:
            guard.pass_on(error)
            return "<could not be read: %s>" % shapes.label_of(type(error))

    def _compound(self, value: Any, kind: type, path: tuple[object, ...], depth: int) -> Any:
        if kind is bytes or kind is bytearray:
            return self.text(bytes(value[: self.longest + 250]).decode("utf-8", "replace"), path)
        if kind is dict:
            if depth >= self.depth:
                return self._too_deep(value, dict.__len__(value), path)
            return self.mapping(value.items(), len(value), path, depth)
        if kind is list or kind is tuple:
            if depth >= self.depth:
                return self._too_deep(value, len(value), path)
            return self._list(value[: self.breadth], len(value), path, depth)
        shape = shape_of(kind)
        if shape.kind == shapes.STR:
            return self.text(exact(value) or "", path)
        if shape.kind == shapes.INT:
            return self.tree(int.__add__(value, 0), path, depth)
        if shape.kind == shapes.FLOAT:
            return self.tree(float.__add__(value, 0.0), path, depth)
        if shape.kind in (shapes.STANDARD, shapes.CLASS, shapes.ENUM, shapes.NAMED):
            if shapes.is_named(kind, "datetime", "datetime") or shapes.is_named(kind, "datetime", "date"):
                return self.text(shape.show(value) if shape.show else "", path)
            if shape.show is not None and shape.label in ("uuid.UUID", "decimal.Decimal"):
                return self.text(str(value) if value.__sizeof__() < 1000 else shape.show(value), path)
            return self.text(show(value), path)
        if self.custom is not None and kind is not set and kind is not frozenset:
            own = self.custom(value)
            if own is not None:
                return self.text(own, path)
        if depth >= self.depth:
            return "<%s>" % shape.label
        if shape.kind == shapes.DICT:
            return self.mapping(dict.items(value), dict.__len__(value), path, depth)
        if shape.kind == shapes.LIST:
            return self._list(
                list.__getitem__(value, slice(0, self.breadth)), list.__len__(value), path, depth
            )
        if shape.kind == shapes.TUPLE:
            return self._list(
                tuple.__getitem__(value, slice(0, self.breadth)), tuple.__len__(value), path, depth
            )
        if shape.kind == shapes.SET:
            base = set if issubclass(kind, set) else frozenset
            return self._list(first(base.__iter__(value), self.breadth), base.__len__(value), path, depth)
        if shape.kind == shapes.RECORD:
            state = list(zip(shape.fields, tuple.__iter__(value)))
        elif shape.kind == shapes.ERROR:
            return self.text(show(value), path)
        else:
            state = state_of(value, shape)
        if not state:
            return "<%s>" % shape.label
        return {"__class__": "<%s>" % shape.label, **self.mapping(state, len(state), path, depth)}

    def _too_deep(self, value: Any, size: int, path: tuple[object, ...]) -> str:
        self.notes.add(path, {"len": size, "rem": [["!limit", "s"]]})
        return "<%s of %d>" % (type(value).__name__, size)

    def mapping(self, pairs: Any, size: int, path: tuple[object, ...], depth: int) -> dict[str, Any]:
        """A dict with text for keys; values under a secret's name are filtered."""
        out: dict[str, Any] = {}
        scrubber = self.scrubber
        pairs = first(pairs, self.breadth)
        for key, value in pairs:
            if self.left <= 0:
                break
            name = self.key(key)
            if scrubber is not None and not tells_nothing(value) and self._is_secret(key, name, pairs):
                out[name] = FILTERED
                self.withheld.note(value)
                self.notes.filtered((*path, name))
                self.left -= len(name) + 10
                continue
            self.left -= len(name) + 4
            out[name] = self.tree(value, (*path, name), depth + 1)
        if len(out) < size:
            self.notes.add(path, {"len": size})
        return out

    def _list(self, head: Any, size: int, path: tuple[object, ...], depth: int) -> list[Any]:
        out: list[Any] = []
        scrubber = self.scrubber
        if scrubber is not None and any(type(item) is str and item[:1] == "-" for item in head):
            given, head = head, scrubber.argv(list(head))
            for index, item in enumerate(given):
                if head[index] is not item and type(item) is str and head[index] != item:
                    self.notes.filtered((*path, index))
        for index, item in enumerate(head):
            if self.left <= 0:
                break
            self.left -= 2
            # A pair whose first is a secret's name: a header, a form field.
            if index == size - 1 and scrubber is not None and is_row(head, index) and not tells_nothing(item):
                before = head[0]
                if self._is_secret(before, self.key(before)):
                    out.append(FILTERED)
                    self.withheld.note(item)
                    self.notes.filtered((*path, index))
                    continue
            out.append(self.tree(item, (*path, index), depth + 1))
        if len(out) < size:
            self.notes.add(path, {"len": size})
        return out

    def _is_secret(self, key: Any, name: str, pairs: Any = ()) -> bool:
        scrubber = self.scrubber
        if scrubber is None:
            return False
        if type(key) is not str and any(scrubber.key_is_sensitive(part) for part in parts_of(key)):
            return True
        return scrubber.is_secret_of(name, pairs)

    def key(self, key: Any) -> str:
        """A key as text of at most 200 characters."""
        name = exact(key)
        if name is None:
            name = key[:200].decode("latin-1") if type(key) is bytes else show(key)
        if "\0" in name:
            name = name.replace("\0", "\ufffd")
        if len(name) > 200:
            name = name[:197] + "..."
        if len(name) > 12 and self.scrubber is not None:
            return self.scrubber.text(name)
        return name

    def scalar(self, value: Any, path: tuple[object, ...], limit: int) -> str | None:
        """Any value as one text of at most *limit* characters; None for None."""
        if value is None:
            return None
        text = exact(value)
        if text is None:
            if value is True or value is False:
                text = "true" if value else "false"
            elif type(value) is bytes:
                text = value[:limit].decode("utf-8", "replace")
            else:
                text = show(value)
        return self.text(text, path, limit)


def pairs_of(value: Any, count: int) -> list[tuple[Any, Any]]:
    """The first pairs of a dict or of a list of pairs; of anything else none, as asking it would run its code."""
    kind = type(value)
    if issubclass(kind, dict):
        return first(dict.items(value), count)
    if kind is not list and kind is not tuple:
        return []
    pairs = [item for item in value[:count] if type(item) is tuple or type(item) is list]
    return [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]
