# SPDX-License-Identifier: MIT
"""Stack frames for events: where, which source lines, and with which values - at the price of the values
alone.

What is constant about a place in the code (file, function, source lines, whose code it is) is made JSON once
and remembered by code object and line; a capture only describes the variables. Nothing that is remembered
leads to a frame, a traceback or a value.
"""

from __future__ import annotations

import sys

from errtrack import guard
from errtrack.capture import paths, source, variables
from errtrack.capture.serializer import Describer
from errtrack.capture.wire import Fixed, Notes, dumps, utf8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FrameType, TracebackType
    from typing import Any, Optional

    from errtrack.capture.scrubber import Scrubber
    from errtrack.options import Options

    # A frame, where in its code it is, and the traceback's entry if there is one.
    Step = tuple[FrameType, int, Optional[TracebackType]]

#: Of a longer stack trace the first 50 and the last 200 frames are kept; values and source on 25 at either
#: end.
HEAD, TAIL, DETAILED = 50, 200, 25

#: Bytes for the values of a frame, how many levels of them are left out, and of those that are neither parameters nor
#: named by the line. An error is mostly explained by the frame that raised it and by the last few of the
#: application's own; the others tell how one came there.
RAISING, NEAR, FAR, FAR_LIBRARY = (4096, 0, 0), (2048, 0, 0), (1024, 1, 3), (512, 2, 3)
_NEAR_FRAMES = 6
_REMEMBERED = 2000

# Up to 3.12 f_locals leaves its copy on the frame, which would keep the values alive as long as the frame.
_LEAVES_COPY = sys.version_info < (3, 13)


class Place:
    """The constant part of a frame. Keeps the code object, so that its address stays its own."""

    __slots__ = (
        "code",
        "first",
        "full",
        "hide_names",
        "in_app",
        "is_own",
        "links",
        "loaded",
        "module",
        "names",
        "rows",
        "shown",
        "slim",
    )

    def __init__(self, code: CodeType, module: str | None) -> None:
        self.code = code
        self.module = module
        self.is_own = paths.is_own(module)
        named = code.co_varnames  # made anew each time
        self.hide_names = [name for name in variables.HIDDEN_BY if name in named]
        self.loaded = False
        self.in_app: bool | None = None
        self.shown: dict[str, Any] = {}
        self.full = self.slim = b""
        self.names: tuple[str, ...] = ()
        self.first: frozenset[str] = frozenset()  # of the names: parameters, and those on the line
        self.links: variables.Links = None
        self.rows: list[variables.Row] = []  # what write() needs to know of each of the names

    def load(self, lineno: int | None, namespace: Any, stack: Stacks, reads_source: bool = True) -> None:
        """Read the source and make the JSON; once a place."""
        code = self.code
        path, short, self.in_app = stack.territory.file_of(code.co_filename, self.module, namespace)
        shown: dict[str, Any] = {
            "filename": short,
            "abs_path": path,
            "function": code.co_name[:512] or "<unknown>",
        }
        if self.module:
            shown["module"] = self.module[:256]
        if lineno is not None and lineno > 0:
            shown["lineno"] = lineno
        if self.in_app is not None:
            shown["in_app"] = self.in_app
        line, around = "", ""
        if stack.options.include_source_context and lineno and reads_source:
            found = source.context(path, lineno, self.module, namespace)
            if found is not None:
                before, line, after = found
                clean = stack.scrubber.source_lines([*before, line, *after])
                here = len(before)
                pre, shown["context_line"], post = clean[:here], clean[here], clean[here + 1 :]
                around = ',"pre_context":%s,"post_context":%s' % (dumps(pre), dumps(post))
        self.slim = utf8(dumps(shown)[:-1])
        self.full = self.slim + utf8(around)
        if around:
            shown["pre_context"], shown["post_context"] = pre, post
        self.shown = shown
        self.names, count = variables.names_in_order(code, line)
        self.first = frozenset(self.names[:count])
        self.rows = variables.rows_of(self.names, self.first, stack.scrubber)
        self.links = variables.links_of(self.names)
        self.loaded = True


class Frame:
    """One frame of an event: its place, and what its variables held as JSON."""

    __slots__ = ("detailed", "filtered", "place", "total", "vars")

    def __init__(self, place: Place, detailed: bool) -> None:
        self.place = place
        self.detailed = detailed
        self.vars: bytes | None = None
        self.total = 0  # how many variables there were, where not all are shown
        self.filtered: list[str] = []

    def json(self) -> bytes:
        """The frame as JSON."""
        head = self.place.full if self.detailed else self.place.slim
        if self.vars is None:
            return head + b"}"
        return b"".join((head, b',"vars":', self.vars, b"}"))

    def bare(self) -> Frame:
        """The same frame without its variables."""
        return Frame(self.place, self.detailed)

    def plain(self) -> dict[str, Any]:
        """The frame as a dict of its own, for hooks."""
        out = dict(self.place.shown)
        if not self.detailed:
            out.pop("pre_context", None)
            out.pop("post_context", None)
        else:
            for key in ("pre_context", "post_context"):
                if key in out:
                    out[key] = list(out[key])
        if self.vars is not None:
            from json import loads

            out["vars"] = loads(self.vars)
        return out

    def notes(self) -> Fixed | None:
        """What is missing among the variables, as the node of ``_meta`` for this frame; None when nothing is."""
        if not self.total and not self.filtered:
            return None
        key = (self.total, *self.filtered)
        known = _said.get(key)
        if known is None:
            about: dict[str, Any] = {"": {"len": self.total}} if self.total else {}
            for name in self.filtered:
                about[name] = {"": {"rem": [["!config", "s"]]}}
            if len(_said) >= _REMEMBERED:
                _said.clear()
            known = _said[key] = Fixed(vars=about)
        return known


#: What is said of frames' variables, by how many there were and what was filtered: few things, in many frames.
_said: dict[tuple[Any, ...], Fixed] = {}


def note(frames: list[Frame], count: int, notes: Notes, path: tuple[object, ...]) -> None:
    """Say in *notes* what is missing in *frames* at *path*, of which there were *count*."""
    said = {str(position): own for position, own in enumerate(map(Frame.notes, frames)) if own is not None}
    if said:
        notes.at(path).update(said)
    if count > len(frames):
        notes.add(path, {"len": count})


class Stacks:
    """Makes frames for the settings in *options*; one a client, shared by its threads."""

    __slots__ = ("_places", "options", "scrubber", "territory")

    def __init__(self, options: Options, scrubber: Scrubber) -> None:
        self.options = options
        self.scrubber = scrubber
        self.territory = paths.Territory(options)
        self._places: dict[tuple[int, int], Place] = {}

    def of_traceback(
        self, tb: TracebackType | None, describer: Describer, quota: list[int]
    ) -> tuple[list[Frame], int]:
        """Frames of a traceback, the raising one last, and how many there were.

        *quota* holds how many frames may still be detailed in this event.
        """
        steps: list[Step] = []
        while tb is not None:
            # The traceback's own place: the frame may have moved on since. Where it was made by hand, only its line
            # may be right.
            at = tb.tb_lasti
            steps.append((tb.tb_frame, at if at > 0 else -(tb.tb_lineno or 0), tb))
            tb = tb.tb_next
        return self._frames(steps, describer, quota)

    def of_stack(
        self, frame: FrameType | None, describer: Describer, quota: list[int]
    ) -> tuple[list[Frame], int]:
        """Frames of a running stack, *frame* last, and how many there were."""
        steps: list[Step] = []
        while frame is not None:
            steps.append((frame, frame.f_lasti, None))
            frame = frame.f_back
        steps.reverse()
        return self._frames(steps, describer, quota)

    def _frames(self, steps: list[Step], describer: Describer, quota: list[int]) -> tuple[list[Frame], int]:
        hidden = 0
        if len(steps) <= 1000:
            chosen = [pair for pair in map(self._visible, steps) if pair is not None]
            hidden = len(steps) - len(chosen)
            if not chosen and steps:
                chosen = [(steps[-1], self._place(steps[-1]))]
                hidden -= 1
            if len(chosen) > HEAD + TAIL:
                chosen = chosen[:HEAD] + chosen[-TAIL:]
        else:
            # Endless recursion: only the two ends are looked at.
            head = _take(map(self._visible, steps), HEAD)
            tail = _take(map(self._visible, reversed(steps)), TAIL)
            chosen = head + tail[::-1]
        frames: list[Frame] = []
        meter = describer.meter
        last = len(chosen) - 1
        for position, (step, place) in enumerate(chosen):
            detailed = (position < DETAILED or position > last - DETAILED) and quota[0] > 0
            quota[0] -= detailed
            frames.append(Frame(place, detailed))
            try:
                if not place.loaded:
                    running, _, entry = step
                    lineno = running.f_lineno if entry is None else entry.tb_lineno
                    reads_source = meter is None or not meter.is_over_for_source()
                    if not reads_source:
                        place = Place(place.code, place.module)  # for this event alone
                        frames[-1] = Frame(place, False)
                    place.load(lineno, running.f_globals, self, reads_source)
            except Exception as error:
                guard.pass_on(error)
                place.slim = place.full = utf8(
                    dumps({"function": place.code.co_name[:512] or "<unknown>"})[:-1]
                )
                place.loaded = True
        if self.options.include_local_variables and (meter is None or meter.shows_locals):
            near = _NEAR_FRAMES
            for position in range(last, -1, -1):  # the raising frame first: it shows most of what they share
                frame = frames[position]
                if not frame.detailed:
                    continue
                if meter is not None and meter.is_over():
                    break
                is_library = frame.place.in_app is False
                share = RAISING if position == last else NEAR if near > 0 and not is_library else FAR
                if share is FAR and is_library:
                    share = FAR_LIBRARY if position <= last - _NEAR_FRAMES else FAR
                near -= not is_library
                try:
                    self._describe(frame, chosen[position][0][0], describer, share)
                except Exception as error:
                    guard.pass_on(error)
                    frame.vars = None
        return frames, len(steps) - hidden

    def _visible(self, step: Step) -> tuple[Step, Place] | None:
        place = self._place(step)
        if place.is_own:
            return None
        if place.hide_names:
            local = step[0].f_locals
            for name in place.hide_names:
                value = local.get(name)
                if value is True or (type(value) is int and value):
                    return None
        return step, place

    def _place(self, step: Step) -> Place:
        frame, at, _ = step
        code = frame.f_code
        module = dict.get(frame.f_globals, "__name__")
        if type(module) is not str:
            module = None
        key = (id(code), at)  # not the line: that would have to be found out each time
        place = self._places.get(key)
        # The same code may run in another namespace (exec, runpy): then it is another place.
        if place is not None and place.code is code and place.module == module:
            return place
        place = Place(code, module)
        if len(self._places) >= _REMEMBERED:
            self._places.clear()
        self._places[key] = place
        return place

    def _describe(
        self, frame: Frame, running: FrameType, describer: Describer, share: tuple[int, int, int]
    ) -> None:
        local = running.f_locals
        place = frame.place
        if place.code.co_flags & variables.OPTIMIZED:
            rows = place.rows
            if place.links is not None:
                rows = variables.linked(rows, place.links, local, self.scrubber)
            found = variables.write(frame, rows, local, describer, self.scrubber, share)
            if _LEAVES_COPY and type(local) is dict and sys.getrefcount(local) == 3:
                # Nobody else holds the copy (an application's locals() is this very dict). What exec() put there
                # stays.
                if found == len(local):
                    local.clear()
                else:
                    for name in place.names:
                        local.pop(name, None)
        elif issubclass(type(local), dict):
            shown = dict(variables.of_namespace(place, local))
            rows = variables.rows_of(tuple(shown), place.first, self.scrubber)
            variables.write(frame, rows, shown, describer, self.scrubber, share)
        # else a class body in a mapping of the application's own


def _take(pairs: Iterator[Any], count: int) -> list[Any]:
    out: list[Any] = []
    for pair in pairs:
        if pair is not None:
            out.append(pair)
            if len(out) == count:
                break
    return out


_stacks: list[Stacks] = []


def stacks_for(options: Options, scrubber: Scrubber) -> Stacks:
    """The maker of frames for these settings; the last one asked for is remembered."""
    for stacks in _stacks:
        if stacks.options is options and stacks.scrubber is scrubber:
            return stacks
    made = Stacks(options, scrubber)
    _stacks[:] = [made]
    return made
