# SPDX-License-Identifier: MIT
"""Shows the values in a frame without running the application's code, within bytes that were set beforehand.

A leaf becomes a text like its ``repr``, a container an object or array of leaves, everything else its class
and the attributes that lie in the instance: no ``__repr__``, no property, no query, no iteration of a user's
class. The result is JSON text at once, so that an object that stands in thirty frames is described only
once.
"""

from __future__ import annotations

from _collections import deque  # type: ignore[import-not-found]  # without the costs of collections

from errtrack.capture import shapes
from errtrack.capture.custom import custom_of
from errtrack.capture.scrubber import FILTERED
from errtrack.capture.shapes import (
    BYTES,
    CLASS,
    DICT,
    ENUM,
    ERROR,
    FLOAT,
    INT,
    LIST,
    NAMED,
    OBJECT,
    RECORD,
    SET,
    STANDARD,
    STR,
    TUPLE,
    first,
    shape_of,
    state_of,
)
from errtrack.capture.wire import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from errtrack.capture.scrubber import Scrubber
    from errtrack.capture.shapes import Shape
    from errtrack.options import Options

DEPTH = 3  # what is deeper, Sentry removes without a word
BREADTH = 10

_FILTERED = quote(FILTERED)
_CYCLE = quote("<cycle>")
_LARGE = 10**40
_MARGIN = 250
_HEAD = slice(0, BREADTH)
_OF_ONE_WORD = frozenset((CLASS, NAMED, STR, BYTES, INT, FLOAT, ENUM))
_OF_PARTS = frozenset((OBJECT, RECORD, ERROR))
_SEQUENCES = {LIST: list, TUPLE: tuple, SET: set}
_BUILTIN = frozenset((dict, list, tuple, set, frozenset, deque))


class Describer:
    """Describes values for one event; dies with it, and with it every reference to a value.

    What stands at the top of a frame keeps *max_value_length* characters of a text, what is nested a quarter.
    """

    __slots__ = (
        "_always", "_calls_repr", "_custom", "_known", "_limits", "_scrubber", "_sensitive", "prefixes",
        "texts",
    )  # fmt: skip

    def __init__(self, options: Options, scrubber: Scrubber) -> None:
        self._scrubber = scrubber
        self._sensitive = scrubber.key_is_sensitive
        self._calls_repr = options.locals == "repr"
        self._custom = custom_of(options)
        top = min(options.max_value_length, 1024)
        self._limits = (top, max(top // 4, 16), max(top // 8, 16), max(top // 8, 16), 100, 100)
        self._always = min(self._limits)  # a text of no more than this is never cut
        # id -> (the value, so that the address stays its own; depth; its text, or _CYCLE while it is described)
        self._known: dict[int, tuple[Any, int, str]] = {}
        # The frames of one event show the same words again and again.
        self.texts: dict[str, str] = {}
        self.prefixes: dict[str, str | None] = {}

    def describe(self, value: Any, budget: int) -> str:
        """JSON text of *value* in about *budget* bytes. A value that cannot be read costs only itself."""
        try:
            return self.text(value, 0, budget)
        except Exception as error:
            return self.unreadable(error)

    def unreadable(self, error: Exception) -> str:
        """What is said of a value that :meth:`text` failed on with *error*."""
        self._known.clear()
        return quote("<could not be read: %s>" % type(error).__name__)

    def text(self, value: Any, depth: int, left: int) -> str:
        """JSON text of *value*; where there is more of it than *left* bytes, its beginning. May raise.

        A value at *depth* is as brief as if it lay that deep in another one.
        """
        kind = type(value)
        if kind is str:
            return self.texts.get(value) or self._text(value, depth)
        if kind is int:
            if -_LARGE < value < _LARGE:
                return '"%d"' % value
            return '"<int of %d bits>"' % value.bit_length()
        if value is None or kind is bool or kind is float:
            return '"%r"' % value
        if depth >= DEPTH and (kind is dict or kind is list or kind is tuple):
            return '"<%s of %d>"' % (kind.__name__, len(value))
        known = self._known.get(id(value))
        if known is not None and known[0] is value and (known[1] == depth or known[2] is _CYCLE):
            return known[2]
        if kind is dict or kind is list or kind is tuple:
            return self._whole(value, kind, None, depth, left)
        return self._compound(value, kind, depth, left)

    def _leaf(self, text: str) -> str:
        return quote(text if len(text) <= 500 else text[:497] + "...")

    def _text(self, value: str, depth: int, length: int = 0) -> str:
        """A text; *length* is its whole length where *value* is only its beginning."""
        length = length or len(value)
        limit = self._limits[depth]
        if length > limit:
            # Scrubbed with some margin: a secret on the edge would lose what it is recognised by.
            text = self._scrubbed(value[: limit + _MARGIN])[:limit]
            return quote("%r... (%d characters)" % (text, length))
        text = quote(repr(self._scrubbed(value) if length > 7 else value))
        if length <= self._always:
            self.texts[value] = text
        return text

    def _scrubbed(self, value: str) -> str:
        scrubber = self._scrubber
        return scrubber.known_suspect(value) if scrubber.is_suspicious(value) else value

    def _compound(self, value: Any, kind: type, depth: int, left: int) -> str:
        if kind is bytes or kind is bytearray:
            return self._bytes(value, depth)
        shape = shape_of(kind)
        sort = shape.kind
        if sort == STANDARD and shape.show is not None:
            text = shape.show(value)
            return self._leaf(text if shape.is_harmless else self._scrubbed(text))
        if sort in _OF_ONE_WORD:
            return self._word(value, shape, depth)
        if self._custom is not None and kind not in _BUILTIN:
            own = self._custom(value)
            if own is not None:
                return self._text(own, depth)
        if depth >= DEPTH and sort in _OF_PARTS and not self._calls_repr:
            return shape.word
        return self._whole(value, kind, shape, depth, left)

    def _whole(self, value: Any, kind: type, shape: Shape | None, depth: int, left: int) -> str:
        """What has parts; *shape* is None for the very classes dict, list and tuple. Met within itself, a cycle."""
        address = id(value)
        self._known[address] = (value, depth, _CYCLE)
        if kind is dict:
            text = self._mapping(first(value.items(), BREADTH), len(value), depth, None, left)
        elif shape is None:
            text = self._items(value[:BREADTH], len(value), depth, left)
        elif shape.kind == DICT:
            # dict.items of the base class: OrderedDict's own would hash the keys, which are anyone's.
            pairs = first(dict.items(value), BREADTH)
            size = dict.__len__(value)
            if depth < DEPTH:
                text = self._mapping(pairs, size, depth, shape, left)
            else:
                text = self._leaf("<%s of %d>" % (shape.label, size))
        elif shape.kind in _SEQUENCES:
            text = self._sequence(value, kind, shape, depth, left)
        elif kind is deque and depth < DEPTH:
            text = self._items(first(iter(value), BREADTH), len(value), depth, left)
        else:
            text = self._object(value, shape, depth, left)
        if len(text) <= left:
            self._known[address] = (value, depth, text)
        else:
            del self._known[address]
        return text

    def _sequence(self, value: Any, kind: type, shape: Shape, depth: int, left: int) -> str:
        base: Any = _SEQUENCES[shape.kind]
        if base is set and not issubclass(kind, set):
            base = frozenset
        size = base.__len__(value)
        if depth >= DEPTH:
            return self._leaf("<%s of %d>" % (shape.label, size))
        if shape.kind == SET:
            head = first(base.__iter__(value), BREADTH)
        else:
            head = base.__getitem__(value, _HEAD)
        return self._items(head, size, depth, left)

    def _items(self, head: Iterable[Any], size: int, depth: int, left: int) -> str:
        parts: list[str] = []
        below = depth + 1
        hide = False
        texts = self.texts
        for item in head:
            if left <= 0:
                break
            kind = type(item)
            if hide:
                text = _FILTERED
            elif kind is str and item in texts:
                text = texts[item]
            else:
                text = self.text(item, below, left)
            left -= len(text) + 1
            parts.append(text)
            # A pair whose first is a secret's name: a header, a form field.
            if size == 2:
                hide = (kind is str or kind is bytes) and self.prefix(item) is None
        if len(parts) < size:
            parts.append('"... %d more"' % (size - len(parts)))
        return "[%s]" % ",".join(parts)

    def _mapping(
        self, pairs: list[tuple[Any, Any]], size: int, depth: int, shape: Shape | None, left: int
    ) -> str:
        parts: list[str] = []
        if shape is not None:
            parts.append(shape.head)
            left -= len(shape.head)
        below = depth + 1
        shown = 0
        prefixes, texts = self.prefixes, self.texts
        for name, item in pairs:
            if left <= 0:
                break
            shown += 1
            prefix = prefixes[name] if type(name) is str and name in prefixes else self.prefix(name)
            kind = type(item)
            if prefix is None:
                part = "%s:%s" % (quote(self._key_text(name)), _FILTERED)
            elif kind is str and item in texts:
                part = prefix + texts[item]
            elif item is None or kind is bool or kind is float:
                part = '%s"%r"' % (prefix, item)
            else:
                part = prefix + self.text(item, below, left - len(prefix))
            left -= len(part) + 1
            parts.append(part)
        if shown < size:
            parts.append('"...":"%d more"' % (size - shown))
        return "{%s}" % ",".join(parts)

    def _object(self, value: Any, shape: Shape, depth: int, left: int) -> str:
        if self._calls_repr and shape.kind != RECORD:
            return self._text_of_repr(value, shape, depth)
        if depth >= DEPTH:
            return shape.word
        if shape.kind == RECORD:
            fields = list(zip(shape.fields, tuple.__iter__(value)))
            return self._mapping(fields[:BREADTH], len(fields), depth, shape, left)
        state = state_of(value, shape)
        if shape.kind == ERROR:
            arguments = BaseException.__dict__["args"].__get__(value)
            state = [("args", arguments), *state]
        if not state:
            return shape.word
        return self._mapping(state[:BREADTH], len(state), depth, shape, left)

    def _text_of_repr(self, value: Any, shape: Shape, depth: int) -> str:
        try:
            text = repr(value)
            limit = self._limits[depth]
            text = self._scrubbed(str.__getitem__(text, slice(0, limit + _MARGIN)))
            return quote(text if len(text) <= limit else text[:limit] + "...")
        except Exception as error:
            return self._leaf("<%s: repr raised %s>" % (shape.label, shapes.label_of(type(error))))

    def _bytes(self, value: Any, depth: int) -> str:
        base = bytes if issubclass(type(value), bytes) else bytearray
        length = base.__len__(value)
        limit = self._limits[depth]
        text = repr(bytes(base.__getitem__(value, slice(0, limit + _MARGIN))))
        if length > 7:
            text = self._scrubbed(text)
        if length > limit:
            text = "%s... (%d bytes)" % (text[:limit], length)
        return quote(text)

    def _word(self, value: Any, shape: Shape, depth: int) -> str:
        """What has no parts: classes, modules, members of enums, and whatever derives from text or number."""
        sort = shape.kind
        if sort == CLASS:
            return self._leaf("<class %s>" % shapes.label_of(value))
        if sort == NAMED:
            return self._leaf("<module %s>" % shapes.module_name(value))
        if sort == ENUM:
            state = dict(state_of(value, shape))
            return self._leaf("<%s.%s>" % (shape.label, shapes.exact(state.get("_name_"))))
        if sort == STR:
            kept = str.__getitem__(value, slice(0, self._limits[depth] + _MARGIN))
            return self._text(kept, depth, str.__len__(value))
        if sort == BYTES:
            return self._bytes(value, depth)
        if sort == FLOAT:
            return self._leaf(float.__repr__(value))
        bits = int.bit_length(value)
        return self._leaf("<%s of %d bits>" % (shape.label, bits) if bits > 130 else int.__repr__(value))

    def prefix(self, name: Any) -> str | None:
        """``"name":`` for a key, or None where the name is a secret's."""
        if type(name) is str:
            prefix = self.prefixes.get(name, "")
            if prefix == "":
                prefix = None if self._sensitive(name) else quote(self._key_text(name)) + ":"
                if len(name) <= 100:
                    self.prefixes[name] = prefix
            return prefix
        text = self._key_text(name)
        plain = text
        if type(name) is bytes:
            plain = name[:200].decode("latin-1")
        elif type(name) is tuple or type(name) is frozenset:
            # A secret's name anywhere in a composed key.
            for part in first(iter(name), BREADTH):
                if type(part) is str and self._sensitive(part):
                    return None
        return None if self._sensitive(plain) else quote(text) + ":"

    def _key_text(self, name: Any) -> str:
        """A key as text: text as it is, anything else as it would be described."""
        text = shapes.exact(name)
        if text is None:
            kind = type(name)
            if kind is int and -_LARGE < name < _LARGE:
                return "%d" % name
            if kind is bytes:
                text = repr(name[:100])
            elif name is None or kind is bool or kind is float:
                text = repr(name)
            elif kind is tuple:
                text = "(%s)" % ", ".join(
                    self._key_text(part) for part in name[:5] if type(part) is not tuple
                )
            else:
                shape = shape_of(kind)
                text = shape.show(name) if shape.show is not None else "<%s>" % shape.label
                if shape.kind == ENUM:
                    text = "<%s.%s>" % (shape.label, shapes.exact(dict(state_of(name, shape)).get("_name_")))
        if len(text) > 100:
            text = text[:97] + "..."
        if "\0" in text:
            text = text.replace("\0", "\ufffd")
        return self._scrubbed(text) if len(text) > 7 else text
