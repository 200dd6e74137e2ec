# SPDX-License-Identifier: MIT
"""Brings an event that is too large below the limit: the least needed goes first, and is told in ``_meta``.

Order: variables of others' frames, all variables, request body, extra, data of breadcrumbs, breadcrumbs,
modules, source lines; at the very end everything but what names the error.
"""

from __future__ import annotations

from errtrack.capture.stacktrace import Frame
from errtrack.capture.wire import Notes, cut, thawed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from errtrack.capture.wire import Tree

_CONTEXT = ("pre_context", "context_line", "post_context")
_MECHANISM = ("type", "handled", "exception_id", "parent_id", "source", "is_exception_group")
_ESSENTIAL = (
    "event_id", "timestamp", "platform", "level", "release", "environment", "transaction", "server_name",
    "dist", "sdk", "fingerprint",
)  # fmt: skip


def shed(event: Tree, limit: int, encode: Callable[[Tree], bytes]) -> bytes:
    """JSON of *event* in at most *limit* bytes. *event* itself stays as it is."""
    small = dict(event)
    notes = Notes(_copy(small.get("_meta")))
    small["_meta"] = notes.tree
    if small.get("type") == "transaction":
        return _fewer_spans(small, notes, limit, encode)
    for step in _STEPS:
        step(small, notes)
        data = encode(small)
        if len(data) <= limit:
            return data
    for longest in (2000, 200):
        data = encode(_essence(small, longest))
        if len(data) <= limit:
            return data
    return encode({key: event[key] for key in ("event_id", "timestamp", "platform", "level") if key in event})


def _fewer_spans(event: Tree, notes: Notes, limit: int, encode: Callable[[Tree], bytes]) -> bytes:
    """A transaction with as many of its first spans as there is room for."""
    spans = event.get("spans")
    spans = spans if type(spans) is list else []
    told = _copy(notes.tree.get("spans", {})).get("", {}).get("len")
    notes.tree["spans"] = {"": {"len": told or len(spans)}}
    kept = [{**span, "description": str(span.get("description", ""))[:200]} for span in spans]
    for stripped in (kept, [{k: v for k, v in span.items() if k != "data"} for span in kept]):
        event["spans"] = stripped
        data = encode(event)
        if len(data) <= limit:
            return data
    while event["spans"]:
        event["spans"] = event["spans"][: len(event["spans"]) // 2]
        data = encode(event)
        if len(data) <= limit:
            return data
    bare = ("event_id", "type", "transaction", "transaction_info", "start_timestamp", "timestamp", "platform")
    trace = event["contexts"]["trace"] if "contexts" in event else {}
    return encode(
        {**{key: event[key] for key in bare if key in event}, "contexts": {"trace": trace}, "spans": []}
    )


def _copy(tree: Any) -> Tree:
    return thawed(tree) if tree else {}


def _foreign_vars(event: Tree, notes: Notes) -> None:
    _frames(event, notes, ("vars",), lambda in_app: not in_app)


def _all_vars(event: Tree, notes: Notes) -> None:
    _frames(event, notes, ("vars",), lambda in_app: True)


def _source(event: Tree, notes: Notes) -> None:
    _frames(event, notes, _CONTEXT, lambda in_app: True)


def _frames(event: Tree, notes: Notes, keys: tuple[str, ...], concerns: Callable[[Any], bool]) -> None:
    for part in ("exception", "threads"):
        values = event[part].get("values") if type(event.get(part)) is dict else None
        if type(values) is not list:
            continue
        kept: list[Any] = []
        for index, value in enumerate(values):
            trace = value.get("stacktrace") if type(value) is dict else None
            if type(trace) is not dict or type(trace.get("frames")) is not list:
                kept.append(value)
                continue
            frames: list[Any] = []
            for position, frame in enumerate(trace["frames"]):
                if type(frame) is Frame and keys == ("vars",):
                    if frame.vars is not None and concerns(frame.place.in_app):
                        path = (part, "values", index, "stacktrace", "frames", position)
                        notes.at(path).pop("vars", None)
                        notes.removed((*path, "vars"))
                        frame = frame.bare()
                    frames.append(frame)
                    continue
                tree = frame.plain() if type(frame) is Frame else dict(frame)
                if concerns(tree.get("in_app")):
                    path = (part, "values", index, "stacktrace", "frames", position)
                    for key in keys:
                        if tree.pop(key, None) is not None:
                            notes.at(path).pop(key, None)
                            notes.removed((*path, key))
                frames.append(tree)
            kept.append({**value, "stacktrace": {**trace, "frames": frames}})
        event[part] = {**event[part], "values": kept}


def _body(event: Tree, notes: Notes) -> None:
    request = event.get("request")
    if type(request) is dict and request.get("data") is not None:
        event["request"] = {key: value for key, value in request.items() if key != "data"}
        notes.removed(("request", "data"))


def _crumb_data(event: Tree, notes: Notes) -> None:
    crumbs = event.get("breadcrumbs")
    if type(crumbs) is dict and type(crumbs.get("values")) is list:
        kept = [
            {k: v for k, v in crumb.items() if k != "data"}
            for crumb in crumbs["values"]
            if type(crumb) is dict
        ]
        event["breadcrumbs"] = {"values": kept}
        for index in range(len(kept)):
            notes.removed(("breadcrumbs", "values", index, "data"))


def _without(key: str) -> Callable[[Tree, Notes], None]:
    def step(event: Tree, notes: Notes) -> None:
        if event.pop(key, None) is not None:
            notes.tree.pop(key, None)
            notes.removed((key,))

    return step


_STEPS: tuple[Callable[[Tree, Notes], None], ...] = (
    _foreign_vars, _all_vars, _body, _without("extra"), _crumb_data, _without("breadcrumbs"),
    _without("modules"), _source, _without("contexts"), _without("request"), _without("threads"),
)  # fmt: skip


def _essence(event: Tree, longest: int) -> Tree:
    """What names the error: its exceptions with short texts and their last frames."""
    out: Tree = {key: event[key] for key in _ESSENTIAL if key in event}
    notes = Notes()
    notes.removed(())
    out["_meta"] = notes.tree
    entry = event.get("logentry")
    if type(entry) is dict:
        out["logentry"] = {k: cut(v, longest) for k, v in entry.items() if type(v) is str}
    exception = event.get("exception")
    values = exception.get("values") if type(exception) is dict else None
    if type(values) is list:
        out["exception"] = {
            "values": [_short(value, longest) for value in values[-10:] if type(value) is dict]
        }
    return out


def _short(value: Tree, longest: int) -> Tree:
    out: Tree = {
        key: cut(value[key], longest) for key in ("type", "value", "module") if type(value.get(key)) is str
    }
    mechanism = value.get("mechanism")
    if type(mechanism) is dict:
        out["mechanism"] = {key: mechanism[key] for key in _MECHANISM if key in mechanism}
    trace = value.get("stacktrace")
    if type(trace) is dict and type(trace.get("frames")) is list:
        keys = ("filename", "function", "module", "lineno", "in_app")
        plain = [f.plain() if type(f) is Frame else f for f in trace["frames"][-20:]]
        out["stacktrace"] = {"frames": [{k: f[k] for k in keys if k in f} for f in plain]}
    return out
