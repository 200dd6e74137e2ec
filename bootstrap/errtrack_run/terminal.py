# SPDX-License-Identifier: MIT
"""Text that is safe and legible on a terminal: nothing in an event can move the cursor, colour or forge a
line.

Events hold what strangers sent to the application: request paths, header values, exception texts. Every
character that a terminal would obey rather than show is written as an escape (``\\x1b``), also the ones that
turn the reading direction. Colours are ours alone, and only where a person looks.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_MIN_WIDTH, _MAX_WIDTH = 60, 160
#: For a program that reads along: it wants whole lines.
_BOUNDLESS = 1_000_000


def escape(text: object) -> str:
    r"""Write what is not plainly visible as an escape: ``\n``, ``\t``, ``\x1b``, ``\u202e``."""
    text = text if isinstance(text, str) else str(text)
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if _is_visible(character) else _escaped(character) for character in text)


def escape_lines(text: str) -> list[str]:
    """Escape *text* line by line; only a real newline starts a new one."""
    return [escape(line.expandtabs(4)) for line in text.split("\n")]


def cells(text: str) -> int:
    """How many columns *text* takes; wide characters of East Asian scripts take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def shorten(text: str, width: int) -> str:
    """Cut *text* to *width* columns, with three dots when something is missing."""
    if cells(text) <= width:
        return text
    room, kept = max(width - 3, 0), []
    for character in text:
        room -= _cells(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept) + "..."[: max(width, 0)]


def wrap(text: str, width: int) -> list[str]:
    """Break *text* into lines of at most *width* columns, at blanks where there are some in time."""
    lines: list[str] = []
    while cells(text) > width:
        room, cut = width, 0
        for character in text:
            room -= _cells(character)
            if room < 0:
                break
            cut += 1
        cut = max(cut, 1)
        blank = text.rfind(" ", cut // 2, cut + 1)
        if blank > 0:
            lines.append(text[:blank])
            text = text[blank + 1 :]
        else:
            lines.append(text[:cut])
            text = text[cut:]
    return lines + [text]


def pad(text: str, width: int, right: bool = False) -> str:
    """Fill *text* with blanks to *width* columns."""
    blanks = " " * (width - cells(text))
    return blanks + text if right else text + blanks


class Terminal:
    """Where the output of a command goes: its width, whether it takes colours, and a ``print`` for it."""

    def __init__(self, stream: TextIO | None = None, environ: Mapping[str, str] | None = None) -> None:
        self.stream = sys.stdout if stream is None else stream
        environ = os.environ if environ is None else environ
        self.is_tty = self.stream.isatty()
        # https://no-color.org: any value but the empty one
        self.colours = self.is_tty and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        is_for_people = self.is_tty or environ.get("COLUMNS")
        columns = min(self._columns(environ), _MAX_WIDTH) if is_for_people else _BOUNDLESS
        self.width = max(_MIN_WIDTH, columns)
        reconfigure = getattr(self.stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")  # an ASCII terminal gets \xe9 instead of a traceback

    def print(self, line: str = "") -> None:
        """Write one line. Whatever came from an event in it must have been escaped."""
        self.stream.write(line + "\n")

    def paint(self, text: str, *styles: str) -> str:
        """Give *text* colours or weight, where the terminal takes them."""
        if not self.colours or not text or not styles:
            return text
        return "\x1b[%sm%s\x1b[0m" % (";".join(_CODES[style] for style in styles), text)

    def level(self, level: str, text: str | None = None) -> str:
        """Paint *text* (or the level itself) as severe as *level* is."""
        style = {"fatal": "red", "error": "red", "warning": "yellow"}.get(level)
        text = level if text is None else text
        return self.paint(text, style) if style else text

    def _columns(self, environ: Mapping[str, str]) -> int:
        try:
            return int(environ.get("COLUMNS", "")) or 80
        except ValueError:
            pass
        try:
            return os.get_terminal_size(self.stream.fileno()).columns or 80
        except (OSError, ValueError, AttributeError):
            return 80


def ago(moment: float, now: float) -> str:
    """How long ago *moment* was, in one unit: ``5 min ago``."""
    passed = now - moment
    if passed < 5:
        return "just now"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if passed >= size * 2 or (unit == "min" and passed >= size):
            return "%d %s ago" % (passed // size, unit)
    return "%d s ago" % passed


def clock(moment: float) -> str:
    """The date and time of *moment* in the local time zone, with its offset."""
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(moment))


def size(number: int) -> str:
    """A number of bytes for people."""
    for unit, factor in (("MB", 1_000_000), ("kB", 1_000)):
        if number >= factor:
            return "%.1f %s" % (number / factor, unit)
    return "%d bytes" % number


def plural(number: int, noun: str) -> str:
    """``1 event``, ``2 events``."""
    return "%d %s%s" % (number, noun, "" if number == 1 else "s")


def _is_visible(character: str) -> bool:
    # isprintable is false for controls, formats (bidi, zero width), surrogates, unassigned and private
    # characters; also for other blanks than the space (Zs), which do no harm.
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escaped(character: str) -> str:
    short = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character)
    if short:
        return short
    code = ord(character)
    return "\\x%02x" % code if code < 0x100 else "\\u%04x" % code if code < 0x10000 else "\\U%08x" % code


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
