# SPDX-License-Identifier: MIT
"""Which variables of a frame are shown, in which order, and within how many bytes."""

from __future__ import annotations

from errtrack.capture.cards import has_card_digits
from errtrack.capture.scrubber import FILTERED
from errtrack.capture.shapes import CLASS, NAMED, shape_of
from errtrack.capture.wire import dumps, quote, utf8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType
    from typing import Any

    from errtrack.capture.scrubber import Scrubber
    from errtrack.capture.serializer import Describer
    from errtrack.capture.stacktrace import Frame, Place

OPTIMIZED = 1  # CO_OPTIMIZED: a function; its f_locals is a copy, not the namespace itself
HIDDEN_BY = ("__traceback_hide__", "__tracebackhide__")
MISSING = object()
_NAMES = 25


def write(
    frame: Frame,
    pairs: list[tuple[str, Any]],
    describer: Describer,
    scrubber: Scrubber,
    budget: int,
    depth: int,
) -> None:
    """Put the JSON of *pairs* into *frame*, in about *budget* bytes; a greater *depth* shows values more briefly."""
    parts: list[str] = []
    total = 0
    left = budget
    for name, value in pairs:
        if value is MISSING:
            continue
        total += 1
        if left <= 0 or len(parts) >= _NAMES:
            continue
        prefix = describer.prefix(name)
        if prefix is None:
            frame.filtered.append(name)
            part = '%s:"%s"' % (quote(name), FILTERED)
        else:
            # No value takes more than half of what is left: the next ones are worth seeing as well.
            half = left >> 1
            part = prefix + describer.describe(value, half if half > 200 else 200, depth)
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


def names_in_order(code: CodeType, line: str) -> tuple[str, ...]:
    """Names of the failing line first, then the parameters, then the other variables."""
    parameters = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    everything = [*code.co_varnames, *code.co_cellvars, *code.co_freevars]
    on_line = "".join(c if c.isalnum() or c == "_" else " " for c in line.partition("#")[0]).split()
    if not code.co_flags & OPTIMIZED:
        everything = [*code.co_names]
        return tuple(dict.fromkeys(name for name in on_line if name in everything))
    known = set(everything)
    ordered = [name for name in on_line if name in known] + everything[:parameters] + everything
    # ".0" and the like are the compiler's own.
    return tuple(dict.fromkeys(name for name in ordered if name[:1] != "." and name not in HIDDEN_BY))
