# SPDX-License-Identifier: MIT
"""Events: made from an exception or a message, put right, scrubbed, and encoded.

An event is a plain dict in the protocol's form, but for the frames, which are
:class:`~errtrack.capture.stacktrace.Frame` objects that hold their JSON already: :func:`encode` splices it
in. :func:`plain` makes dicts of them, for hooks.
https://develop.sentry.dev/sdk/foundations/data-model/event-payloads/
"""

from __future__ import annotations

from _thread import get_ident

from errtrack import guard
from errtrack.capture.exceptions import describe_exceptions, exception_values
from errtrack.capture.jsonable import Cleaner
from errtrack.capture.moments import new_id, stamp
from errtrack.capture.sanitiser import clean_event
from errtrack.capture.scrubber import FILTERED, Scrubber
from errtrack.capture.serializer import Describer, custom_of
from errtrack.capture.shapes import exact
from errtrack.capture.stacktrace import DETAILED, Frame, note, stacks_for
from errtrack.capture.variables import without
from errtrack.capture.wire import Fixed, Notes, dumps, quote, thawed, utf8
from errtrack.capture.words import Withheld

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Any

    from errtrack.capture.budget import Meter
    from errtrack.capture.wire import Tree
    from errtrack.options import Options

__all__ = (
    "encode", "exception_values", "finish", "from_exception", "from_message", "new_id", "plain", "sanitise",
    "stamp",
)  # fmt: skip

#: Largest event; servers refuse more than 1 MiB.
LIMIT = 1_000_000

_CONTAINERS = (tuple, list, dict)

#: Secrets that were found in this event's frames, on their way to :func:`finish`; no hook sees them.
_WITHHELD = "withheld"

#: How many levels below these parts of an event there may be a tree that is JSON already.
_LEVELS = {"contexts": 1, "_meta": 6}

# In place of a stack trace's frames while the rest is encoded. Chosen anew in every process: no text of an
# application can hold it.
_MARK = "frames:" + new_id()


def from_exception(
    error: BaseException,
    tb: TracebackType | None,
    mechanism: Tree,
    options: Options,
    scrubber: Scrubber | None = None,
    meter: Meter | None = None,
) -> Tree:
    """The event of *error*, raised with *tb* (may be None); *mechanism* tells what caught it, *meter* what it costs."""
    scrubber = scrubber or Scrubber(options)
    found = describe_exceptions(error, tb, mechanism, options, scrubber, meter)
    event: Tree = {"level": "error", "exception": {"values": found.values}}
    if meter is not None:
        meter.note(event)
    if found.remote:
        event["extra"] = {"remote_traceback": found.remote[-8000:]}
    if found.notes.tree:
        event["_meta"] = found.notes.tree
    if found.withheld:
        event[_WITHHELD] = found.withheld
    return event


def from_message(
    message: str,
    level: str,
    params: Any,
    options: Options,
    scrubber: Scrubber | None = None,
    frame: FrameType | None = None,
    meter: Meter | None = None,
) -> Tree:
    """The event of a text with *params* filled in by ``%``, and the stack of *frame* where one is given."""
    template = (exact(message) or "")[:20_000]
    entry: Tree = {"message": template}
    empty = any(type(params) is kind for kind in _CONTAINERS) and not params
    if params is not None and not empty:
        clean = Cleaner(None, Notes()).tree(params, ())
        if type(clean) is not dict and type(clean) is not list:
            clean = [clean]
        entry["params"] = clean
        try:
            entry["formatted"] = template % (clean if type(clean) is dict else tuple(clean))
        except Exception as error:
            guard.pass_on(error)
            entry["formatted"] = template  # the text does not fit its parameters; both are shown
    else:
        entry["formatted"] = template
    event: Tree = {"level": level, "logentry": entry}
    if frame is not None:
        scrubber = scrubber or Scrubber(options)
        describer = Describer(options, scrubber, meter)
        frames, count = stacks_for(options, scrubber).of_stack(frame, describer, [2 * DETAILED])
        if meter is not None:
            meter.note(event)
        if frames:
            without(frames, describer.withheld)
            event[_WITHHELD] = describer.withheld
            thread = {
                "id": str(get_ident()),
                "current": True,
                "crashed": False,
                "stacktrace": {"frames": frames},
            }
            event["threads"] = {"values": [thread]}
            notes = Notes()
            note(frames, count, notes, ("threads", "values", 0, "stacktrace", "frames"))
            if notes.tree:
                event["_meta"] = notes.tree
    return event


def finish(event: Tree, options: Options, scrubber: Scrubber | None) -> None:
    """Put *event* right for every server and scrub it, in place; id, time and platform are set if absent.

    Frames made here were scrubbed when they were made. A *scrubber* of None leaves the scrubbing out.
    """
    notes = _take_notes(event)
    given = event.pop(_WITHHELD, None)
    withheld = given if type(given) is Withheld else Withheld()
    known = len(withheld)
    longest = max(options.max_value_length, 16)
    custom = custom_of(options)
    clean_event(event, Cleaner(scrubber, notes, longest, custom=custom, withheld=withheld))
    if withheld:
        _leave_out(event, withheld, withheld[known:])
    if notes.tree:
        event["_meta"] = notes.tree


def _leave_out(event: Tree, secrets: list[str], new: list[str]) -> None:
    """Filter *secrets* in what is said along with an error, the log line and the breadcrumbs' messages; those that are
    *new*, of the request or of what was attached, in the error as well.
    """
    said: list[Any] = [event.get("logentry"), *event.get("breadcrumbs", {}).get("values", ())]
    if type(said[0]) is dict:
        said.append(said[0].get("params"))
    if new:
        said += event.get("exception", {}).get("values", ())
        for trace in _stacktraces(event):
            without([frame for frame in trace.get("frames", ()) if type(frame) is Frame], new)
    for tree in said:
        keys: Any = range(len(tree)) if type(tree) is list else tree or ()
        for key in keys:
            text = tree[key]
            if type(text) is str:
                for secret in secrets:
                    if secret in text:
                        text = tree[key] = text.replace(secret, FILTERED)


def sanitise(event: Tree) -> None:
    """Put right what a hook returned: types, lengths, unknown attributes. It is not scrubbed again."""
    notes = _take_notes(event)
    clean_event(event, Cleaner(None, notes, 8192, 800_000))
    if notes.tree:
        event["_meta"] = notes.tree


def plain(event: Tree) -> Tree:
    """Make dicts of the frames in *event*, in place, and copies of what events share; return it."""
    event.pop(_WITHHELD, None)
    for key in ("_meta", "contexts", "modules", "sdk"):
        if key in event:
            event[key] = thawed(event[key])
    for trace in _stacktraces(event):
        frames = trace.get("frames")
        if type(frames) is list:
            trace["frames"] = [frame.plain() if type(frame) is Frame else frame for frame in frames]
    return event


def encode(event: Tree, limit: int = LIMIT) -> bytes:
    """The event's JSON in at most *limit* bytes; what must be left out is told in ``_meta``. *event* stays
    as is.
    """
    data = _encode(event)
    if len(data) > limit:
        from errtrack.capture.shedding import shed

        data = shed(event, limit, _encode)
    return data


def _encode(event: Tree) -> bytes:
    lists: list[list[Any]] = []
    shallow = dict(event)
    for key in ("exception", "threads"):
        part: Any = shallow.get(key)
        values = part.get("values") if type(part) is dict else None
        if type(values) is list:
            shallow[key] = {**part, "values": [_without_frames(value, lists) for value in values]}
    try:
        text = _text(shallow)
    except (TypeError, ValueError, RecursionError):
        text = dumps(Cleaner(None, Notes(), 8192, 500_000).tree(shallow, (), -2))
    if not lists:
        return utf8(text)
    parts = text.split('"%s"' % _MARK)
    out = [utf8(parts[0])]
    for frames, after in zip(lists, parts[1:]):
        out.append(b"[")
        out.append(b",".join([f.json() if type(f) is Frame else utf8(dumps(f)) for f in frames]))
        out.append(b"]")
        out.append(utf8(after))
    return b"".join(out)


def _text(tree: Tree, levels: int = -1) -> str:
    """JSON of *tree*, which may have trees in it that are JSON already; -1 levels: it is the event."""
    parts: list[str] = []
    for key, value in tree.items():
        kind = type(value)
        if kind is Fixed:
            text = value.text()
        elif kind is str:
            text = quote(value)
        else:
            below = levels - 1 if levels >= 0 else _LEVELS.get(key, 0)
            text = _text(value, below) if below > 0 and kind is dict else dumps(value)
        parts.append(f"{quote(key)}:{text}")
    return "{" + ",".join(parts) + "}"


def _without_frames(value: Any, lists: list[list[Any]]) -> Any:
    trace = value.get("stacktrace") if type(value) is dict else None
    if type(trace) is not dict or type(trace.get("frames")) is not list:
        return value
    lists.append(trace["frames"])
    return {**value, "stacktrace": {**trace, "frames": _MARK}}


def _stacktraces(event: Tree) -> list[Tree]:
    out: list[Tree] = []
    for key in ("exception", "threads"):
        part = event.get(key)
        values = part.get("values") if type(part) is dict else None
        if type(values) is list:
            traces = [value.get("stacktrace") for value in values if type(value) is dict]
            out += [trace for trace in traces if type(trace) is dict]
    return out


def _take_notes(event: Tree) -> Notes:
    meta = event.pop("_meta", None)
    return Notes(meta if type(meta) is dict else None)
