# SPDX-License-Identifier: MIT
"""Shows the values in a frame without running the application's code, within bytes that were set beforehand.

A leaf becomes a text like its ``repr``, a container an object or array of leaves, everything else its class
and the attributes that lie in the instance: no ``__repr__``, no property, no query, no iteration of a user's
class. The result is JSON text at once, so that an object that stands in thirty frames is described only
once.
"""

from __future__ import annotations

from _collections import deque  # type: ignore[import-not-found]  # without the costs of collections

from errtrack import guard
from errtrack.capture.scrubber import FILTERED, is_row, tells_nothing
from errtrack.capture.shapes import (
    DICT,
    ERROR,
    LIST,
    OBJECT,
    RECORD,
    SET,
    STANDARD,
    TUPLE,
    first,
    shape_of,
    state_of,
)
from errtrack.capture.wire import quote
from errtrack.capture.words import BREADTH, DEPTH, HIGH, LARGE, LOW, OF_ONE_WORD, Words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from errtrack.capture.budget import Meter
    from errtrack.capture.custom import Custom
    from errtrack.capture.scrubber import Scrubber
    from errtrack.capture.shapes import Shape
    from errtrack.options import Options

_FILTERED = quote(FILTERED)
_CYCLE = quote("<cycle>")
_HEAD = slice(0, BREADTH)
_OF_PARTS = frozenset((OBJECT, RECORD, ERROR))
_SEQUENCES = {LIST: list, TUPLE: tuple, SET: set}
_BUILTIN = frozenset((dict, list, tuple, set, frozenset, deque))


def custom_of(options: Options) -> Custom | None:
    """What ``custom_repr`` names as a function that never raises; None when it is not set."""
    if options.custom_repr is None:
        return None
    from errtrack.capture import custom

    return custom.custom_of(options.custom_repr)


class Describer(Words):
    """Describes values for one event; dies with it, and with it every reference to a value."""

    __slots__ = ("_calls_repr", "_custom", "_known", "meter")

    def __init__(self, options: Options, scrubber: Scrubber, meter: Meter | None = None) -> None:
        super().__init__(options, scrubber)
        self.meter = meter
        self._calls_repr = options.locals == "repr"
        self._custom = custom_of(options)
        # id -> (the value, so that the address stays its own; depth; its text, or _CYCLE while it is described)
        self._known: dict[int, tuple[Any, int, str]] = {}

    def describe(self, value: Any, budget: int) -> str:
        """JSON text of *value* in about *budget* bytes. A value that cannot be read costs only itself."""
        try:
            return self.text(value, 0, budget)
        except Exception as error:
            return self.unreadable(error)

    def unreadable(self, error: Exception) -> str:
        """What is said of a value that :meth:`text` failed on with *error*."""
        guard.pass_on(error)
        self._known.clear()
        return quote("<could not be read: %s>" % type(error).__name__)

    def text(self, value: Any, depth: int, left: int) -> str:
        """JSON text of *value*; where there is more of it than *left* bytes, its beginning. May raise.

        A value at *depth* is as brief as if it lay that deep in another one.
        """
        # What is commonest here first: the callers have done numbers and known texts themselves.
        kind = type(value)
        if kind is dict or kind is list or kind is tuple:
            if depth >= DEPTH:
                return f'"<{kind.__name__} of {len(value)}>"'
            known = self._known.get(id(value))
            if known is not None and known[0] is value and (known[1] == depth or known[2] is _CYCLE):
                return known[2]
            return self._whole(value, kind, None, depth, left)
        if kind is str:
            return self.texts.get(value) or self._text(value, depth)
        if kind is int:
            if -LARGE < value < LARGE:
                return '"%d"' % value
            return '"<int of %d bits>"' % value.bit_length()
        if value is None or kind is bool or kind is float:
            return '"%r"' % value
        if kind is bytes or kind is bytearray:
            return self._bytes(value, depth)
        return self._compound(value, kind, depth, left)

    def _compound(self, value: Any, kind: type, depth: int, left: int) -> str:
        shape = shape_of(kind)
        sort = shape.kind
        if sort == STANDARD and shape.show is not None:
            text = shape.show(value)
            return self._leaf(text if shape.is_harmless else self._scrubbed(text))
        if sort in OF_ONE_WORD:
            return self._word(value, shape, depth)
        known = self._known.get(id(value))
        if known is not None and known[0] is value and (known[1] == depth or known[2] is _CYCLE):
            return known[2]
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
            size = len(value)
            try:
                pairs = list(value.items()) if size <= BREADTH else first(value.items(), BREADTH)
            except RuntimeError:  # another thread is changing it
                pairs = first(value.items(), BREADTH)
            text = self._mapping(pairs, size, depth, None, left)
        elif shape is None:
            text = self._items(value[:BREADTH], len(value), depth, left)
        elif shape.kind in _OF_PARTS and kind is not deque:
            text = self._object(value, shape, depth, left)
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

    def _items(self, head: Sequence[Any], size: int, depth: int, left: int, is_command: bool = False) -> str:
        parts: list[str] = []
        below = depth + 1
        texts = self.texts
        whole = left
        for item in head:
            if left <= 0:
                break
            kind = type(item)
            if kind is str and item[:1] == "-" and not is_command:
                return self._items(self._scrubber.argv(list(head)), size, depth, whole, True)
            if kind is str and item in texts:
                text = texts[item]
            elif kind is int and LOW < item < HIGH:
                text = f'"{item}"'
            elif item is None or kind is bool or kind is float:
                text = f'"{item!r}"'
            else:
                text = self.text(item, below, left)
            left -= len(text) + 1
            parts.append(text)
            # A pair whose first is a secret's name: a header, a form field.
            if (
                size < 4
                and len(parts) == size - 1
                and (kind is str or kind is bytes)
                and is_row(head, size - 1)
                and self.prefix(head[0]) is None
                and not tells_nothing(head[size - 1])
            ):
                self.withheld.note(head[size - 1])
                parts.append(_FILTERED)
                break
        if len(parts) < size:
            parts.append('"... %d more"' % (size - len(parts)))
        return "[" + ",".join(parts) + "]"

    def _mapping(
        self, pairs: list[tuple[Any, Any]], size: int, depth: int, shape: Shape | None, left: int
    ) -> str:
        parts: list[str] = []
        if shape is not None:
            parts.append(shape.head)
            left -= len(shape.head)
        shown = -len(parts)
        below = depth + 1
        prefixes, texts = self.prefixes, self.texts
        for name, item in pairs if left > 0 else ():
            prefix = prefixes[name] if type(name) is str and name in prefixes else self.prefix(name, pairs)
            kind = type(item)
            if prefix is None:
                prefix = quote(self._key_text(name)) + ":"
                is_secret = not tells_nothing(item)
            else:
                is_secret = False
            if is_secret:
                self.withheld.note(item)
                part = prefix + _FILTERED
            elif kind is str and item in texts:
                part = prefix + texts[item]
            elif kind is int and LOW < item < HIGH:
                part = f'{prefix}"{item}"'
            elif item is None or kind is bool or kind is float:
                part = f'{prefix}"{item!r}"'
            else:
                part = prefix + self.text(item, below, left - len(prefix))
            parts.append(part)
            left -= len(part) + 1
            if left <= 0:
                break
        shown += len(parts)
        if shown < size:
            parts.append('"...":"%d more"' % (size - shown))
        return "{" + ",".join(parts) + "}"

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
