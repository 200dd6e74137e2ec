# SPDX-License-Identifier: MIT
"""What is shown in one word: texts, bytes, numbers, classes, members of enums, and names.

As JSON text, without running the application's code, and without the secrets that are recognised by their look.
"""

from __future__ import annotations

from errtrack import guard
from errtrack.capture import shapes
from errtrack.capture.scrubber import VALUES
from errtrack.capture.shapes import (
    BYTES,
    CLASS,
    ENUM,
    FLOAT,
    INT,
    NAMED,
    OBJECT,
    STR,
    first,
    shape_of,
    state_of,
)
from errtrack.capture.wire import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.capture.scrubber import Scrubber
    from errtrack.capture.shapes import Shape
    from errtrack.options import Options

DEPTH = 3  # what is deeper, Sentry removes without a word
BREADTH = 10
LARGE = 10**40
#: Whole numbers between these two are shown without a further look; machines compare them fast.
LOW, HIGH = -(10**15), 10**15
OF_ONE_WORD = frozenset((CLASS, NAMED, STR, BYTES, INT, FLOAT, ENUM))

_MARGIN = 250
_SHORTEST_SECRET, _LONGEST_SECRET, _MOST_SECRETS = 8, 200, 20
_DIGITS = frozenset("0123456789")
_OF_NUMBERS = "0123456789.:-/TZ+"
_QUOTES = frozenset("\"'\\")


class Withheld(list[str]):
    """What was filtered in one event by its name, as text: it may stand elsewhere in the event, in a message or under a
    name that tells nothing. A class of its own, which no event of an application's has in it.
    """

    def note(self, value: Any) -> None:
        """Note a secret's *value*, unless it is a word, a dotted name or a number, which say other things elsewhere."""
        kind = type(value)
        if kind is bytes:
            value = value[: _LONGEST_SECRET + 1].decode("latin-1")
        elif kind is tuple or kind is list:  # ("user", "password")
            for item in value[:5]:
                if type(item) is str or type(item) is bytes:
                    self.note(item)
            return
        elif kind is not str or value in self:
            return
        if not _SHORTEST_SECRET <= len(value) <= _LONGEST_SECRET or len(self) >= _MOST_SECRETS:
            return
        secret = value.strip().rpartition(" ")[2]  # "Bearer x"
        if (
            len(secret) >= _SHORTEST_SECRET
            and secret not in self
            and secret.isascii()
            and secret.isprintable()
            and _QUOTES.isdisjoint(secret)
            and secret.strip(_OF_NUMBERS)
            and not _DIGITS.isdisjoint(secret)
            and not ("." in secret and secret.replace(".", "_").isidentifier())
        ):
            self.append(secret)


class Words:
    """Describes what has no parts, for one event.

    What stands at the top of a frame keeps *max_value_length* characters of a text, what is nested a quarter.
    """

    __slots__ = ("_always", "_limits", "_scrubber", "_sensitive", "prefixes", "texts", "withheld")

    def __init__(self, options: Options, scrubber: Scrubber) -> None:
        self._scrubber = scrubber
        self._sensitive = scrubber.key_is_sensitive
        top = min(options.max_value_length, 1024)
        self._limits = (top, max(top // 4, 16), max(top // 8, 16), max(top // 8, 16), 100, 100)
        self._always = min(self._limits)  # a text of no more than this is never cut
        #: The frames of one event show the same words again and again.
        self.texts: dict[str, str] = {}
        self.prefixes: dict[str, str | None] = {}
        self.withheld = Withheld()

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

    def _text_of_repr(self, value: Any, shape: Shape, depth: int) -> str:
        try:
            text = repr(value)
            limit = self._limits[depth]
            text = self._scrubbed(str.__getitem__(text, slice(0, limit + _MARGIN)))
            return quote(text if len(text) <= limit else text[:limit] + "...")
        except Exception as error:
            guard.pass_on(error)
            return self._leaf("<%s: repr raised %s>" % (shape.label, shapes.label_of(type(error))))

    def _bytes(self, value: Any, depth: int) -> str:
        base = bytes if issubclass(type(value), bytes) else bytearray
        length = base.__len__(value)
        limit = self._limits[depth]
        kept = bytes(base.__getitem__(value, slice(0, limit + _MARGIN)))
        if length > 7:
            # As a text, not as its repr: there no line ends, and no name begins after one.
            plain = kept.decode("latin-1")
            clean = self._scrubbed(plain)
            if clean is not plain:
                kept = clean.encode("latin-1")
        text = repr(kept)
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

    def prefix(self, name: Any, pairs: list[tuple[Any, Any]] | None = None) -> str | None:
        """``"name":`` for a key, or None where the name is a secret's; where it is "value", as *pairs* tell whose."""
        if type(name) is str:
            if name.lower() in VALUES:  # never remembered
                secret = self._scrubber.is_secret_of(name, pairs or ())
                return None if secret else quote(name) + ":"
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
        else:
            for part in parts_of(name):
                if self._sensitive(part):
                    return None
        return None if self._sensitive(plain) else quote(text) + ":"

    def _key_text(self, name: Any) -> str:
        """A key as text: text as it is, anything else as it would be described."""
        text = shapes.exact(name)
        if text is None:
            kind = type(name)
            if kind is int and -LARGE < name < LARGE:
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


def parts_of(key: Any) -> list[str]:
    """The texts that a composed key is made of: a tuple's, and an object's attributes (botocore's names of headers)."""
    kind = type(key)
    parts: list[Any] = []
    if kind is tuple or kind is frozenset:
        parts = first(iter(key), BREADTH)
    elif key is not None and kind is not int:
        shape = shape_of(kind)
        if shape.kind == OBJECT:
            parts = [part for _, part in state_of(key, shape)[:BREADTH]]
    return [part for part in parts if type(part) is str]
