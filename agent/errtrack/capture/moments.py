# SPDX-License-Identifier: MIT
"""Ids, times and levels in the protocol's form."""

from __future__ import annotations

import time

from errtrack.capture.shapes import exact
from errtrack.context import ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.capture.jsonable import Cleaner

_LEVELS = {
    "fatal": "fatal", "error": "error", "warning": "warning", "info": "info", "debug": "debug",
    "critical": "fatal", "exception": "error", "warn": "warning", "notice": "info", "log": "info",
    "success": "info", "trace": "debug", "notset": "info",
}  # fmt: skip


def new_id() -> str:
    """A random event id: 32 hex digits, a version 4 UUID."""
    digits = ids.trace_id()  # drawn in advance: an error that is only counted has an id as well
    return digits[:12] + "4" + digits[13:16] + "89ab"[int(digits[16], 16) & 3] + digits[17:]


def stamp(seconds: float) -> str:
    """RFC 3339 in UTC with microseconds, of seconds since 1970."""
    whole = int(seconds // 1)
    moment = time.gmtime(whole)
    return "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ" % (*moment[:6], int((seconds - whole) * 1_000_000))


def moment(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> str | None:
    """A time as RFC 3339 in UTC; None for what is none."""
    if type(value) is int or type(value) is float:
        return stamp(value) if 0 < value < 4e9 else None
    clean = cleaner.tree(value, path)
    text = clean if type(clean) is str else ""
    if len(text) < 19 or len(text) > 40 or not text[:4].isdigit() or text[4] != "-" or text[10] not in "T ":
        return None
    text = text[:10] + "T" + text[11:]
    if text[-1] in "zZ":
        return text[:-1] + "Z"
    return text if "+" in text or text[-6] == "-" else text + "Z"


def level(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> str:
    """One of the five levels; numbers are those of ``logging``."""
    if type(value) is int:
        return ("debug", "debug", "info", "warning", "error", "fatal")[max(0, min(5, value // 10))]
    return _LEVELS.get((exact(value) or "").strip().lower(), "error")
