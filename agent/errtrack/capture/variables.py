# SPDX-License-Identifier: MIT
"""Which variables of a frame are shown, in which order, and within how many bytes."""

from __future__ import annotations

from errtrack.capture.cards import has_card_digits
from errtrack.capture.names import FILLED_IN, STATEMENTS, secret_by_company
from errtrack.capture.scrubber import FILTERED, NAMES, VALUES, tells_nothing
from errtrack.capture.shapes import CLASS, NAMED, shape_of
from errtrack.capture.wire import dumps, quote, utf8
from errtrack.capture.words import DEPTH, HIGH, LOW

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import CodeType
    from typing import Any, Optional

    from errtrack.capture.scrubber import Scrubber
    from errtrack.capture.serializer import Describer
    from errtrack.capture.stacktrace import Frame, Place

    # A name, its JSON with the colon, whether it is shown first, and whether it is a secret's.
    Row = tuple[str, str, bool, bool]
    Links = Optional[tuple[tuple[str, ...], tuple[str, ...]]]

OPTIMIZED = 1  # CO_OPTIMIZED: a function; its f_locals is a copy, not the namespace itself
HIDDEN_BY = ("__traceback_hide__", "__tracebackhide__")
MISSING = object()
_FILTERED = quote(FILTERED)
_NAMES = 25
#: A variable "path" is mostly a URL's or a file's, and "params" are what is sent there.
_VALUES, _NAMING = VALUES - FILLED_IN, NAMES - {"path"}
_REMEMBERED = 2000
#: Of ASCII, what is no part of a name; a table that makes blanks of it.
_SIGNS = bytes(range(128)).translate(None, b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")
_BLANKS = bytes.maketrans(_SIGNS, b" " * len(_SIGNS))


def rows_of(names: tuple[str, ...], first: frozenset[str], scrubber: Scrubber) -> list[Row]:
    """What :func:`write` needs to know of each of *names*; the same at every event."""
    rows: list[Row] = []
    keys = scrubber.names  # most names stand in many places
    by_company = secret_by_company(names)
    for name in names:
        known = keys.get(name)
        if known is None:
            is_secret = scrubber.key_is_sensitive(name)
            shown = name if is_secret or len(name) <= 100 else name[:97] + "..."
            key = quote(shown if is_secret else scrubber.text(shown).replace("\0", "\ufffd")) + ":"
            if len(keys) >= _REMEMBERED:
                keys.clear()
            known = keys[name] = key, is_secret
        rows.append((name, known[0], name in first, known[1] or name in by_company))
    return rows


def links_of(names: Iterable[str]) -> Links:
    """Those of variables' *names* that hold SQL beside what is filled into it, and the name of a value beside it."""
    known = frozenset(names)
    statements = () if FILLED_IN.isdisjoint(known) else tuple(STATEMENTS & known)
    naming = () if _VALUES.isdisjoint(known) else tuple(_NAMING & known)
    return (statements, naming) if statements or naming else None


def linked(rows: list[Row], links: Links, values: Mapping[str, Any], scrubber: Scrubber) -> list[Row]:
    """*rows*; a value is secret where its name is one's, and what is filled into a statement where that names a
    column that holds secrets.
    """
    if links is None:
        return rows
    statements, naming = links
    secret: frozenset[str] = frozenset()
    if statements and scrubber.is_of_secrets([(name, values[name]) for name in statements if name in values]):
        secret = FILLED_IN
    for name in naming:
        if scrubber.names_secret(values.get(name)):
            secret |= _VALUES
    if not secret:
        return rows
    return [(name, key, first, is_secret or name in secret) for name, key, first, is_secret in rows]


def write(
    frame: Frame,
    rows: list[Row],
    values: Mapping[str, Any],
    describer: Describer,
    scrubber: Scrubber,
    share: tuple[int, int, int],
) -> int:
    """Put the JSON of those of *values* that *rows* name into *frame*; return how many there are.

    *share* is in how many bytes, how many levels of each value are left out, and how many of those that are neither
    parameters nor named by the line.
    """
    parts: list[str] = []
    left, depth, depth_of_rest = share
    get, text_of, texts = values.get, describer.text, describer.texts
    shown = rows
    if len(rows) > _NAMES:
        shown = [row for row in rows if row[0] in values][:_NAMES]
    for name, key, is_first, is_secret in shown:
        value = get(name, MISSING)
        if value is MISSING:
            continue
        # The commonest kinds without a call, as everywhere that values are walked over; f-strings are the fastest.
        kind = type(value)
        if is_secret and not tells_nothing(value):
            frame.filtered.append(name)
            describer.withheld.note(value)
            part = key + _FILTERED
        elif kind is str and value in texts:
            part = key + texts[value]
        elif kind is int and LOW < value < HIGH:
            part = f'{key}"{value}"'
        elif value is None or kind is bool or kind is float:
            part = f'{key}"{value!r}"'
        else:
            level = depth if is_first else depth_of_rest
            if level >= DEPTH and (kind is dict or kind is list or kind is tuple):
                part = f'{key}"<{kind.__name__} of {len(value)}>"'
            else:
                # No value takes more than half of what is left: the next ones are worth seeing as well.
                try:
                    part = key + text_of(value, level, left >> 1 if left > 400 else 200)
                except Exception as error:
                    part = key + describer.unreadable(error)
        parts.append(part)
        left -= len(part) + 1
        if left <= 0:
            break
    if not parts:
        return 0
    total = len(parts)
    if left <= 0 or shown is not rows:
        total = sum([row[0] in values for row in rows])
        if len(parts) < total:
            frame.total = total
    body = utf8("{" + ",".join(parts) + "}")
    if has_card_digits(body):
        from json import loads

        body = utf8(dumps(scrubber.data(loads(body))))
    frame.vars = body
    return total


def without(frames: Iterable[Frame], secrets: Iterable[str]) -> None:
    """Filter *secrets*, as :meth:`Withheld.note` took them, wherever they stand in *frames*."""
    cores = [secret.encode() for secret in secrets]
    for frame in frames:
        body = frame.vars
        if body is not None:
            for core in cores:
                if core in body and b"\\" + core not in body:  # its first sign may be that of an escape
                    body = body.replace(core, FILTERED.encode())
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
    everything = code.co_varnames + code.co_cellvars + code.co_freevars
    # Bytes are translated by a table, text character by character.
    on_line = line.partition("#")[0].encode("utf-8", "replace").translate(_BLANKS).decode("utf-8").split()
    if not code.co_flags & OPTIMIZED:
        everything = code.co_names
        parameters = 0
    known = dict.fromkeys(everything)
    for name in HIDDEN_BY:
        known.pop(name, None)
    if "." in "".join(everything):  # ".0" and the like are the compiler's own
        known = {name: None for name in known if name[0] != "."}
    first = dict.fromkeys([name for name in [*on_line, *everything[:parameters]] if name in known])
    if not code.co_flags & OPTIMIZED:
        return tuple(first), len(first)
    return tuple({**first, **known}), len(first)
