# SPDX-License-Identifier: MIT
"""Tracebacks as Python prints them, oldest cause first, with the source around each line and the locals."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from errtrack_run.terminal import Terminal, escape, escape_lines, shorten, wrap

if TYPE_CHECKING:
    from typing import Any

    Values = list[dict[str, Any]]
    Frame = dict[str, Any]

_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"

#: Source lines before and after: around the application's last frame, around its others.
_NEAR, _FAR = 5, 2
#: Lines of one variable's value without ``--full``.
_VALUE_LINES = 3
#: The same line so often in a row is told by its number, as Python does.
_REPEATED = 3


def print_stacks(terminal: Terminal, event: dict[str, Any], full: bool) -> None:
    """Print the exceptions of *event* with their stacks, else the stacks of its threads."""
    from errtrack.delivery import grouping

    printer = _Printer(terminal, full)
    exceptions = grouping.values_of(event, "exception")
    for index, value in enumerate(exceptions):
        following = exceptions[index + 1] if index + 1 < len(exceptions) else None
        terminal.print()
        label = _label(value, following, exceptions)
        if label:
            terminal.print(terminal.paint(label, "bold"))
        printer.print_exception(value, _left_out(event, "exception", index))
        link = _link(value, following)
        if link:
            terminal.print()
            terminal.print(link)
    if exceptions:
        return
    for index, thread in enumerate(grouping.values_of(event, "threads")):
        frames = grouping.frames_of(thread)
        if frames:
            terminal.print()
            terminal.print(
                terminal.paint("Stack of %s (most recent call last):" % _thread_name(thread), "bold")
            )
            printer.print_frames(frames, _left_out(event, "threads", index))


def _thread_name(thread: dict[str, Any]) -> str:
    return "thread " + escape(thread["name"]) if thread.get("name") else "the caller"


def _link(value: dict[str, Any], following: dict[str, Any] | None) -> str:
    """The sentence between an exception and the one that followed from it."""
    source, parent = _mechanism(value, "source"), _mechanism(value, "parent_id")
    if following is None or parent not in (None, _mechanism(following, "exception_id")):
        return ""
    if source == "__cause__":
        return _CAUSE
    # Without ids (other clients) the order alone says that they are a chain.
    return "" if isinstance(source, str) and source.startswith("exceptions[") else _CONTEXT


def _label(value: dict[str, Any], following: dict[str, Any] | None, values: Values) -> str:
    """A heading where the sentence between neighbours would not do: members of a group, remote causes."""
    source, parent = _mechanism(value, "source"), _mechanism(value, "parent_id")
    if not isinstance(source, str) or parent is None:
        return ""
    is_member = source.startswith("exceptions[")
    if not is_member and following is not None and parent == _mechanism(following, "exception_id"):
        return ""
    owner = next((v for v in values if _mechanism(v, "exception_id") == parent), None)
    name = escape(owner.get("type")) if owner is not None else "an exception"
    if is_member:
        number = source[len("exceptions[") : -1]
        number = str(int(number) + 1) if number.isdigit() else escape(number)
        return "Member %s of the %s below:" % (number, name)
    return "%s of the %s below:" % ("Cause" if source == "__cause__" else "Context", name)


def _mechanism(value: dict[str, Any], name: str) -> Any:
    mechanism = value.get("mechanism")
    return mechanism.get(name) if isinstance(mechanism, dict) else None


def _left_out(event: dict[str, Any], key: str, index: int) -> int:
    """How many frames the stack had when it was captured, by its note in ``_meta``; 0 without a note."""
    node: Any = event.get("_meta")
    for part in (key, "values", str(index), "stacktrace", "frames", "", "len"):
        node = node.get(part) if isinstance(node, dict) else None
    return node if type(node) is int else 0


class _Printer:
    def __init__(self, terminal: Terminal, full: bool) -> None:
        self.terminal = terminal
        self.full = full

    def print_exception(self, value: dict[str, Any], original_length: int) -> None:
        from errtrack.delivery import grouping

        frames = grouping.frames_of(value)
        if frames:
            self.terminal.print("Traceback (most recent call last):")
            self.print_frames(frames, original_length)
        name = value.get("type") or ""
        if value.get("module"):
            name = "%s.%s" % (value["module"], name)
        text = value.get("value")
        lines = escape_lines("%s: %s" % (name, text) if text not in (None, "") else str(name))
        for index, line in enumerate(lines):
            # Further lines are set in, so that a text cannot pass itself off as a part of this page.
            indent = "  " if index else ""
            for part in wrap(line, self.terminal.width - len(indent)):
                self.terminal.print(indent + self.terminal.paint(part, "bold", "red"))

    def print_frames(self, frames: list[Frame], original_length: int) -> None:
        from errtrack.delivery import grouping

        chosen = grouping.own_of(frames)
        nearest, own = chosen[-1], {id(frame) for frame in chosen if frame.get("in_app") is not False}
        repeated, before = 0, None  # type: tuple[int, Any]
        for index, frame in enumerate(frames):
            if original_length > len(frames) and index == min(50, len(frames) - 1):
                note = "  ... %d more frames were not kept ..." % (original_length - len(frames))
                self.terminal.print(self.terminal.paint(note, "dim"))
            place = (
                frame.get("abs_path") or frame.get("filename"),
                frame.get("lineno"),
                frame.get("function"),
            )
            if place == before:
                repeated += 1
                if repeated >= _REPEATED and not self.full:
                    continue
            else:
                self._print_repeated(repeated)
                repeated, before = 0, place
            self._print_frame(frame, id(frame) in own, frame is nearest)
        self._print_repeated(repeated)

    def _print_repeated(self, repeated: int) -> None:
        if repeated >= _REPEATED and not self.full:
            more = repeated - _REPEATED + 1
            self.terminal.print(
                "  [Previous line repeated %d more time%s]" % (more, "" if more == 1 else "s")
            )

    def _print_frame(self, frame: Frame, is_own: bool, is_nearest: bool) -> None:
        terminal = self.terminal
        own = is_own or is_nearest
        path = escape(frame.get("abs_path") or frame.get("filename") or "?")
        place = '  File "%s"' % path
        if frame.get("lineno") is not None:
            place += ", line %s" % escape(frame["lineno"])
        if frame.get("function"):
            place += ", in %s" % escape(frame["function"])
        terminal.print(place if own else terminal.paint(place, "dim"))
        if own or self.full:
            self._print_source(frame, _NEAR if is_nearest or self.full else _FAR)
            self._print_variables(frame)
        elif isinstance(frame.get("context_line"), str):
            line = shorten("    " + escape(frame["context_line"].strip()), terminal.width)
            terminal.print(terminal.paint(line, "dim"))

    def _print_source(self, frame: Frame, around: int) -> None:
        line = frame.get("context_line")
        if not isinstance(line, str):
            return
        before, after = _texts(frame.get("pre_context"))[-around:], _texts(frame.get("post_context"))[:around]
        while before and not before[0].strip():
            del before[0]
        while after and not after[-1].strip():
            del after[-1]
        block = textwrap.dedent("\n".join(_flat(text) for text in [*before, line, *after])).split("\n")
        lineno = frame.get("lineno")
        first = lineno - len(before) if type(lineno) is int else None
        digits = len(str(first + len(block))) if first is not None else 0
        for offset, text in enumerate(block):
            number = str(first + offset).rjust(digits) if first is not None else ""
            is_it = offset == len(before)
            lead = "   %s %s  " % (">" if is_it else " ", number)
            shown = shorten(lead + escape(text), self.terminal.width).rstrip()
            self.terminal.print(
                self.terminal.paint(shown, "bold") if is_it else self.terminal.paint(shown, "dim")
            )

    def _print_variables(self, frame: Frame) -> None:
        from errtrack_run.show import describe

        variables = frame.get("vars")
        if not isinstance(variables, dict):
            return
        for name, value in variables.items():
            lead = "      %s = " % escape(name)
            hanging = " " * min(len(lead), 12)
            width = max(self.terminal.width - len(hanging), 20)
            lines = wrap(lead + escape(describe(value)), self.terminal.width)
            if len(lines) > 1:
                first, rest = lines[0], (lead + escape(describe(value)))[len(lines[0]) :].lstrip(" ")
                lines = [first] + [hanging + part for part in wrap(rest, width)]
            if not self.full and len(lines) > _VALUE_LINES:
                lines = lines[:_VALUE_LINES]
                lines[-1] = shorten(lines[-1] + " " * 8, len(lines[-1]) - 3).rstrip() + "..."
            if lines[0].startswith(lead):
                lines[0] = "      " + self.terminal.paint(escape(name), "cyan") + lines[0][len(lead) - 3 :]
            for line in lines:
                self.terminal.print(line)


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _flat(line: str) -> str:
    """One source line with its tabs widened and no line break left in it (it would forge another line)."""
    return line.expandtabs(4).replace("\n", "\\n").replace("\r", "\\r")
