# SPDX-License-Identifier: MIT
"""A crash that a process could not report any more becomes an event: what faulthandler wrote, read back.

One event for each process: the signal as its exception, the stack of the thread that it hit, and beside it those of
all other threads. Its id follows from the file's name, so whoever reads the file makes the same event.
"""

from __future__ import annotations

import os

from errtrack.capture import paths, source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.capture.scrubber import Scrubber
    from errtrack.delivery.crash_file import Crash
    from errtrack.options import Options

#: What faulthandler says -> the signal, its number on Linux and macOS where both agree.
SIGNALS = {
    "Segmentation fault": "SIGSEGV",
    "Aborted": "SIGABRT",
    "Bus error": "SIGBUS",
    "Floating point exception": "SIGFPE",
    "Floating-point exception": "SIGFPE",
    "Illegal instruction": "SIGILL",
}

_FATAL = ("Fatal Python error: ", "Windows fatal exception: ")
_MOST_FRAMES = 250
_LONGEST_REST = 4000


class Thread:
    """The stack of one thread: ``frames`` are (path, line, function), newest call first, as they are written."""

    __slots__ = ("current", "frames", "ident", "name")

    def __init__(self, ident: str, name: str, current: bool) -> None:
        self.ident = ident
        self.name = name
        self.current = current
        self.frames: list[tuple[str, int, str]] = []


def parse(text: str) -> tuple[str, list[Thread], list[str]]:
    """What faulthandler wrote, as (words of the error, threads, lines that are neither)."""
    words, rest = "", []
    threads: list[Thread] = []
    for line in text.splitlines():
        if line.startswith(_FATAL):
            words = words or line.partition(": ")[2].strip()
        elif line.startswith(("Thread 0x", "Current thread 0x")) and "most recent call first" in line:
            head, _, name = line.partition("(most recent")[0].partition("[")
            ident = head.split("0x", 1)[1].strip()
            threads.append(
                Thread(_decimal(ident), name.rpartition("]")[0].strip(), line.startswith("Current"))
            )
        elif line.startswith('  File "') and threads:
            frame = _frame(line)
            if frame is not None:
                threads[-1].frames.append(frame)
        elif line.strip():
            rest.append(line)
    return words, threads, rest


def event_of(crash: Crash, options: Options, scrubber: Scrubber) -> dict[str, Any]:
    """The event of *crash*, not yet put right and scrubbed."""
    words, threads, rest = parse(crash.text)
    name = SIGNALS.get(words, "FatalError")
    maker = _Frames(crash.head.get("root", ""), options, scrubber)
    mechanism: dict[str, Any] = {"type": "faulthandler", "handled": False, "synthetic": True}
    if name in SIGNALS.values():
        mechanism["meta"] = {"signal": {"name": name, "number": _number(name)}}
    value: dict[str, Any] = {"type": name, "value": words or "the process crashed", "mechanism": mechanism}
    shown = []
    for thread in threads:
        one: dict[str, Any] = {"id": thread.ident, "crashed": thread.current, "current": thread.current}
        if thread.name:
            one["name"] = thread.name
        stack = maker.of(thread)
        if thread.current:
            value["thread_id"] = thread.ident
            if stack:
                value["stacktrace"] = {"frames": stack}
        elif stack:
            one["stacktrace"] = {"frames": stack}
        shown.append(one)
    event: dict[str, Any] = {
        "event_id": crash.event_id,
        "timestamp": crash.at,
        "level": "fatal",
        "platform": "python",
        "exception": {"values": [value]},
        "contexts": _contexts(crash.head),
    }
    if shown:
        event["threads"] = {"values": shown}
    if rest:
        event["extra"] = {"faulthandler": "\n".join(rest)[:_LONGEST_REST]}
    for key, row in (("environment", "environment"), ("release", "release"), ("server_name", "server")):
        if crash.head.get(row):
            event[key] = crash.head[row]
    return event


def _contexts(head: dict[str, str]) -> dict[str, Any]:
    contexts: dict[str, Any] = {}
    if head.get("pid", "").isdigit():
        contexts["process"] = {"pid": int(head["pid"])}
    if head.get("python"):
        contexts["runtime"] = {"type": "runtime", "name": "CPython", "version": head["python"]}
    return contexts


class _Frames:
    """Makes frames of stacks: *root* is the folder of the application that crashed."""

    def __init__(self, root: str, options: Options, scrubber: Scrubber) -> None:
        self._root = root.rstrip(os.sep) + os.sep if os.path.isabs(root) and root != os.sep else ""
        self._options = options
        self._scrubber = scrubber
        self._territory = paths.Territory(options)

    def of(self, thread: Thread) -> list[dict[str, Any]]:
        """The frames of *thread*, oldest call first, as events have them."""
        return [self._frame(*frame) for frame in reversed(thread.frames[:_MOST_FRAMES])]

    def _frame(self, path: str, line: int, function: str) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "filename": paths.short(path, None, None) or "<unknown>",
            "abs_path": path,
            "function": function,
            "lineno": line,
        }
        in_app = self._in_app(path)
        if in_app is not None:
            shown["in_app"] = in_app
        if self._options.include_source_context:
            found = source.context(path, line, None, None)
            if found is not None:
                before, here, after = found
                clean, at = self._scrubber.source_lines([*before, here, *after]), len(before)
                shown["pre_context"], shown["context_line"] = clean[:at], clean[at]
                shown["post_context"] = clean[at + 1 :]
        return shown

    def _in_app(self, path: str) -> bool | None:
        known = self._territory.in_app(path, None)
        if known is False or "/lib/python3" in path:
            return False
        if self._root and path.startswith(self._root):
            return True
        return known


def _frame(line: str) -> tuple[str, int, str] | None:
    path, quote, tail = line[len('  File "') :].rpartition('", line ')
    number, _, function = tail.partition(" in ")
    if not quote or not number.isdigit():
        return None
    return path, int(number), function or "<unknown>"


def _decimal(ident: str) -> str:
    """Thread ids as the other events have them."""
    try:
        return str(int(ident, 16))
    except ValueError:
        return ident[:32]


def _number(name: str) -> int:
    import signal

    return int(getattr(signal, name, 0))
