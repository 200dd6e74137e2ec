# SPDX-License-Identifier: MIT
"""Which variables of a frame are shown, in which order, and within how many bytes."""

from __future__ import annotations

from errtrack.capture.cards import has_card_digits
from errtrack.capture.scrubber import FILTERED
from errtrack.capture.shapes import CLASS, NAMED, shape_of
from errtrack.capture.wire import dumps, quote, utf8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import CodeType
    from typing import Any

    from errtrack.capture.scrubber import Scrubber
    from errtrack.capture.serializer import Describer
    from errtrack.capture.stacktrace import Frame, Place

OPTIMIZED = 1  # CO_OPTIMIZED: a function; its f_locals is a copy, not the namespace itself
HIDDEN_BY = ("__traceback_hide__", "__tracebackhide__")
MISSING = object()
_NAMES = 25
#: Of ASCII, what is no part of a name.
_BLANKS = {code: " " for code in range(128) if not (chr(code).isalnum() or chr(code) == "_")}


def write(
    frame: Frame,
    pairs: list[tuple[str, Any]],
    describer: Describer,
    scrubber: Scrubber,
    share: tuple[int, int, int],
) -> None:
    """Put the JSON of *pairs* into *frame*.

    *share* is in how many bytes, how many levels of each value are left out, and how many of those that are neither
    parameters nor named by the line.
    """
    parts: list[str] = []
    total = 0
    left, depth, depth_of_rest = share
    first = frame.place.first
    text_of, texts, prefixes = describer.text, describer.texts, describer.prefixes
    for name, value in pairs:
        if value is MISSING:
            continue
        total += 1
        if left <= 0 or len(parts) >= _NAMES:
            continue
        prefix = prefixes[name] if name in prefixes else describer.prefix(name)
        if prefix is None:
            frame.filtered.append(name)
            part = '%s:"%s"' % (quote(name), FILTERED)
        elif type(value) is str and value in texts:
            part = prefix + texts[value]
        else:
            # No value takes more than half of what is left: the next ones are worth seeing as well.
            try:
                part = prefix + text_of(
                    value, depth if name in first else depth_of_rest, left >> 1 if left > 400 else 200
                )
            except Exception as error:
                part = prefix + describer.unreadable(error)
        left -= len(part) + 1
        parts.append(part)
    if not total:
        return
    if len(parts) < total:
        frame.total = total
    body = utf8("{%s}" % ",".join(parts))
    if has_card_digits(body):
        from json import loads

        body = utf8(dumps(scrubber.data(loads(body))))
    frame.vars = body


def of_namespace(place: Place, local: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The variables of a module or class body: no machinery, no functions, no classes."""
    wanted = [name for name in place.names if name in local]
    seen = set(wanted)
    for name in wanted + [name for name in list(local)[:500] if name not in seen]:
        if type(name) is not str or name[:2] == "__":
            continue
        value = local.get(name)
        kind = type(value)
        if kind is _FUNCTION or kind is _BUILTIN or shape_of(kind).kind in (CLASS, NAMED):
            continue
        yield name, value


_FUNCTION = type(utf8)
_BUILTIN = type(len)


def names_in_order(code: CodeType, line: str) -> tuple[tuple[str, ...], int]:
    """Names of the failing line, the parameters, the other variables; and how many the first two are."""
    parameters = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    everything = [*code.co_varnames, *code.co_cellvars, *code.co_freevars]
    on_line = line.partition("#")[0].translate(_BLANKS).split()
    if not code.co_flags & OPTIMIZED:
        everything = [*code.co_names]
        parameters = 0
    known = set(everything)
    first = _shown(name for name in [name for name in on_line if name in known] + everything[:parameters])
    if not code.co_flags & OPTIMIZED:
        return first, len(first)
    return _shown((*first, *everything)), len(first)


def _shown(names: Iterable[str]) -> tuple[str, ...]:
    # ".0" and the like are the compiler's own.
    return tuple(dict.fromkeys(name for name in names if name[:1] != "." and name not in HIDDEN_BY))
