# SPDX-License-Identifier: MIT
"""Exceptions and threads of an event: ours pass nearly untouched, those built by hand are put right.

Bugsink and GlitchTip lose an event or its stack trace for one attribute of a wrong type.
"""

from __future__ import annotations

from errtrack.capture.jsonable import Cleaner
from errtrack.capture.shapes import exact
from errtrack.capture.stacktrace import HEAD, TAIL, Frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.capture.wire import Tree

    Path = tuple[object, ...]

_MOST = 100


def exceptions(value: Any, cleaner: Cleaner, path: Path) -> Tree | None:
    """``exception`` as an object with ``values``; None when none is left."""
    out: list[Tree] = []
    for given in _values(value):
        at = (*path, "values", len(out))
        clean: Tree = {}
        for key, limit in (("type", 256), ("value", 8192), ("module", 256)):
            text = cleaner.scalar(given.get(key), (*at, key), limit)
            if text is not None and (text or key == "value"):
                clean[key] = text
        if not clean.get("type") and not clean.get("value"):
            continue
        thread = _thread_id(given.get("thread_id"))
        if thread:
            clean["thread_id"] = thread
        mechanism = _mechanism(given.get("mechanism"), cleaner, (*at, "mechanism"))
        if mechanism:
            clean["mechanism"] = mechanism
        trace = stacktrace(given.get("stacktrace"), cleaner, (*at, "stacktrace"))
        if trace:
            clean["stacktrace"] = trace
        out.append(clean)
    return {"values": out} if out else None


def threads(value: Any, cleaner: Cleaner, path: Path) -> Tree | None:
    """``threads`` as an object with ``values``; None when none is left."""
    out: list[Tree] = []
    for given in _values(value):
        at = (*path, "values", len(out))
        clean: Tree = {}
        thread = _thread_id(given.get("id"))
        if thread:
            clean["id"] = thread
        for key, limit in (("name", 1024), ("state", 64)):
            text = cleaner.scalar(given.get(key), (*at, key), limit)
            if text:
                clean[key] = text
        for key in ("crashed", "current", "main"):
            if type(given.get(key)) is bool:
                clean[key] = given[key]
        trace = stacktrace(given.get("stacktrace"), cleaner, (*at, "stacktrace"))
        if trace:
            clean["stacktrace"] = trace
        if clean:
            out.append(clean)
    return {"values": out} if out else None


def _values(value: Any) -> list[Tree]:
    if type(value) is dict:
        value = value.get("values", [value] if "type" in value or "value" in value else None)
    if type(value) is not list and type(value) is not tuple:
        return []
    return [item for item in value[-_MOST:] if type(item) is dict]


def _thread_id(value: Any) -> str | None:
    """Thread ids look like card numbers to the scrubber; they are numbers and nothing else."""
    text = "%d" % value if type(value) is int and 0 <= value < 2**64 else exact(value)
    return text if text and len(text) <= 32 and text.isascii() and text.isalnum() else None


def _mechanism(value: Any, cleaner: Cleaner, path: Path) -> Tree | None:
    if type(value) is not dict:
        return None
    out: Tree = {"type": cleaner.scalar(value.get("type"), path, 128) or "generic"}
    for key, limit in (("description", 8192), ("source", 128)):
        text = cleaner.scalar(value.get(key), (*path, key), limit)
        if text:
            out[key] = text
    link = exact(value.get("help_link"))
    if link and link.startswith(("http://", "https://")):
        out["help_link"] = cleaner.text(link, path, 1024)
    for key in ("handled", "synthetic", "is_exception_group"):
        if type(value.get(key)) is bool:
            out[key] = value[key]
    for key in ("exception_id", "parent_id"):
        if type(value.get(key)) is int and value[key] >= 0:
            out[key] = value[key]
    for key in ("data", "meta"):
        if type(value.get(key)) is dict and value[key]:
            out[key] = cleaner.tree(value[key], (*path, key))
    return out


def stacktrace(value: Any, cleaner: Cleaner, path: Path) -> Tree | None:
    """A stack trace with at least one frame; None otherwise: an empty one is an error to servers."""
    frames = value.get("frames") if type(value) is dict else None
    if type(frames) is not list or not frames:
        return None
    if len(frames) > HEAD + TAIL:
        frames = frames[:HEAD] + frames[-TAIL:]
    out: list[Any] = []
    for given in frames:
        if type(given) is Frame:
            out.append(given)
        elif type(given) is dict:
            frame = _frame(given, cleaner, (*path, "frames", len(out)))
            if frame:
                out.append(frame)
    return {"frames": out} if out else None


def _frame(given: Tree, cleaner: Cleaner, path: Path) -> Tree:
    out: Tree = {}
    for key, limit in (
        ("filename", 512),
        ("abs_path", 2048),
        ("module", 256),
        ("function", 512),
        ("raw_function", 512),
        ("context_line", 512),
        ("package", 256),
        ("platform", 64),
    ):
        text = cleaner.scalar(given.get(key), (*path, key), limit)
        if text or (text is not None and key == "context_line"):
            out[key] = text
    for key in ("lineno", "colno"):
        if type(given.get(key)) is int and given[key] >= 0:
            out[key] = given[key]
    for key in ("pre_context", "post_context"):
        lines = given.get(key)
        if type(lines) is list:
            out[key] = [cleaner.scalar(line, (*path, key), 512) or "" for line in lines[:20]]
    if type(given.get("in_app")) is bool:
        out["in_app"] = given["in_app"]
    variables = given.get("vars")
    if type(variables) is dict and variables:
        clean = cleaner.mapping(variables.items(), len(variables), (*path, "vars"), 0)
        # One server drops the whole stack trace for a variable that is a bare number or null.
        out["vars"] = {k: v if type(v) in (str, dict, list) else repr(v) for k, v in clean.items()}
    return out
