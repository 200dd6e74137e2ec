# SPDX-License-Identifier: MIT
"""Exceptions with everything that hangs on them: causes, contexts, groups, notes, error numbers.

``exception.values`` in the protocol's order, the oldest cause first and the raised exception last, each with
the ids that let a server draw the tree
(https://develop.sentry.dev/sdk/foundations/data-model/event-payloads/exception/).
"""

from __future__ import annotations

from _thread import get_ident

from errtrack import guard
from errtrack.capture.exception_text import text_of
from errtrack.capture.scrubber import FILTERED
from errtrack.capture.serializer import Describer
from errtrack.capture.shapes import exact, mro_of, names_of, namespace_of, shape_of
from errtrack.capture.stacktrace import DETAILED, note, stacks_for
from errtrack.capture.variables import without
from errtrack.capture.wire import Notes, cut
from errtrack.capture.words import Withheld

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from errtrack.capture.budget import Meter
    from errtrack.capture.scrubber import Scrubber
    from errtrack.capture.stacktrace import Frame
    from errtrack.options import Options

#: Exceptions in one event: the newest 49, and the first cause of all.
MOST = 50
_WALKED = 20_000

_fields = BaseException.__dict__
_cause_of = _fields["__cause__"].__get__
_context_of = _fields["__context__"].__get__
_suppresses = _fields["__suppress_context__"].__get__
_traceback_of = _fields["__traceback__"].__get__
_errno_of = OSError.__dict__["errno"].__get__

#: Stand-ins that process pools put in place of the cause: their text is the traceback in the other process.
_REMOTE = (("_RemoteTraceback", "concurrent.futures.process"), ("RemoteTraceback", "multiprocessing.pool"))


class Link:
    """One exception of the tree, and how it was reached."""

    __slots__ = ("error", "is_group", "number", "parent", "source", "spine")

    def __init__(self, error: BaseException, parent: Link | None, source: str, spine: bool) -> None:
        self.error = error
        self.parent = parent
        self.source = source
        self.spine = spine  # reached from the raised exception by causes and contexts alone
        self.number = 0
        self.is_group = False


class Found:
    """What :func:`describe_exceptions` found: the values, the notes about them, remote tracebacks' text, and what was
    filtered by its name.
    """

    __slots__ = ("notes", "remote", "values", "withheld")

    def __init__(self) -> None:
        self.values: list[dict[str, Any]] = []
        self.notes = Notes()
        self.remote: str | None = None
        self.withheld = Withheld()


def describe_exceptions(
    error: BaseException,
    tb: TracebackType | None,
    mechanism: dict[str, Any],
    options: Options,
    scrubber: Scrubber,
    meter: Meter | None = None,
) -> Found:
    """Describe *error*, raised with *tb*, and all that is linked to it."""
    found = Found()
    links, total = _walk(error, found)
    handled = mechanism.get("handled", True)
    thread = str(get_ident())
    describer = Describer(options, scrubber, meter)
    stacks = stacks_for(options, scrubber)
    quota = [2 * DETAILED]
    last = len(links) - 1
    shown: list[Frame] = []
    for link in links:
        at: tuple[object, ...] = ("exception", "values", last - link.number)
        own = _mechanism(link, mechanism, handled, with_ids=last > 0 or link.is_group)
        name, module = names_of(type(link.error))
        value: dict[str, Any] = {
            "type": cut(name, 256),
            "value": text_of(link.error, options, found.notes, (*at, "value")),
            "thread_id": thread,
            "mechanism": own,
        }
        if module is not None:
            value["module"] = cut(module, 256)
        number = _error_number(link.error)
        if number is not None:
            meta = dict(own["meta"]) if type(own.get("meta")) is dict else {}
            meta.setdefault("errno", number)
            own["meta"] = meta
        found.values.append(value)
        try:
            trace = tb if link.number == 0 else _traceback_of(link.error)
            ours, count = stacks.of_traceback(trace, describer, quota)
            frames: list[Any] = [*ours]
            shown += ours
            note(ours, count, found.notes, (*at, "stacktrace", "frames"))
            if issubclass(type(link.error), SyntaxError):
                frames += _syntax_frame(link.error)
            if frames:
                value["stacktrace"] = {"frames": frames}
        except Exception as failure:
            guard.pass_on(failure)
            found.notes.removed((*at, "stacktrace"))
    if total > len(links):
        found.notes.add(("exception", "values"), {"len": total})
    found.values.reverse()
    if describer.withheld:
        found.withheld = describer.withheld
        without(shown, describer.withheld)
        for value in found.values:
            for secret in describer.withheld:
                value["value"] = value["value"].replace(secret, FILTERED)
    return found


def _walk(root: BaseException, found: Found) -> tuple[list[Link], int]:
    """The tree in depth-first order, each exception once, and how many there were before the cap."""
    links: list[Link] = []
    seen: set[int] = set()  # by address: == is the application's. The links keep the objects alive.
    waiting = [Link(root, None, "", True)]
    while waiting and len(links) < _WALKED:
        link = waiting.pop()
        error = link.error
        if id(error) in seen:
            continue
        seen.add(id(error))
        link.number = len(links)
        links.append(link)
        members = _members(error)
        if members is not None:
            link.is_group = True
            waiting.extend(
                Link(members[position], link, "exceptions[%d]" % position, False)
                for position in range(min(len(members), _WALKED) - 1, -1, -1)
                if issubclass(type(members[position]), BaseException)
            )
        source = "__cause__"
        below = _cause_of(error)
        if below is None and not _suppresses(error):
            source, below = "__context__", _context_of(error)
        if below is None:
            continue
        if names_of(type(below)) in _REMOTE:
            if found.remote is None:
                found.remote = exact(_own_attributes(below).get("tb"))
            continue
        waiting.append(Link(below, link, source, link.spine))
    total = len(links)
    if total > MOST:
        # The first cause of all explains more than the fiftieth link.
        first_cause = [link for link in links if link.spine][-1]
        kept = links[: MOST - 1] + [first_cause if first_cause.number >= MOST else links[MOST - 1]]
        parent = kept[-1].parent
        while parent is not None and parent.number >= MOST - 1:
            parent = parent.parent
        kept[-1].parent = parent
        kept[-1].number = MOST - 1
        links = kept
    return links, total


def _mechanism(link: Link, given: dict[str, Any], handled: Any, with_ids: bool) -> dict[str, Any]:
    if link.number == 0:
        own = dict(given)
        own.setdefault("type", "generic")
    else:
        own = {"type": "chained", "handled": handled}
        if link.parent is not None:
            own["parent_id"] = link.parent.number
        own["source"] = link.source
    if with_ids:
        own["exception_id"] = link.number
    if link.is_group:
        own["is_exception_group"] = True
    return own


def _members(error: BaseException) -> tuple[BaseException, ...] | None:
    """The members of an exception group, also of the backport's; None for any other exception."""
    own = _own_attributes(error)
    for cls in mro_of(type(error)):
        names = namespace_of(cls)
        if "derive" in names and "exceptions" in names:
            if names_of(cls)[1] is None:  # the interpreter's own: a member of the C structure
                inside = names["exceptions"].__get__(error)
            else:
                inside = own.get("_exceptions")
            return inside if type(inside) is tuple else ()
    return None


def _own_attributes(error: BaseException) -> dict[str, Any]:
    read = shape_of(type(error)).read_dict
    own = read(error) if read is not None else None
    return own if type(own) is dict else {}


def _error_number(error: BaseException) -> dict[str, Any] | None:
    number = _errno_of(error) if issubclass(type(error), OSError) else _own_attributes(error).get("errno")
    if type(number) is not int or not -(2**31) <= number < 2**31:
        return None
    from errno import errorcode

    name = errorcode.get(number)
    return {"number": number, "name": name} if name else {"number": number}


def _syntax_frame(error: BaseException) -> list[dict[str, Any]]:
    """The place that a SyntaxError speaks of, which no traceback frame shows."""
    fields = SyntaxError.__dict__
    filename = exact(fields["filename"].__get__(error))
    lineno = fields["lineno"].__get__(error)
    line = exact(fields["text"].__get__(error))
    if not filename or type(lineno) is not int or lineno < 1:
        return []
    frame: dict[str, Any] = {
        "filename": filename.rpartition("/")[2],
        "abs_path": filename,
        "function": "<module>",
        "lineno": lineno,
    }
    if line:
        frame["context_line"] = line[:512].rstrip("\r\n")
    return [frame]


def exception_values(
    error: BaseException,
    tb: TracebackType | None,
    mechanism: dict[str, Any],
    options: Options,
    scrubber: Scrubber,
) -> list[dict[str, Any]]:
    """``exception.values`` for *error*: oldest cause first, the raised exception last."""
    return describe_exceptions(error, tb, mechanism, options, scrubber).values
