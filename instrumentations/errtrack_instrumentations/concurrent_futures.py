# SPDX-License-Identifier: MIT
"""Tasks of thread pools know the work that submitted them, and errors that nobody collects are reported.

A task's events carry the tags, user and breadcrumbs of the submitting thread (``threading.propagate_scope``), and
never those of the task before. An error in a task is the business of whoever asks for its result; when its future is
thrown away and nobody asked, it is reported. Process pools: the same, in the process that submitted.
"""

from __future__ import annotations

import sys

import errtrack
from errtrack import options
from errtrack.instrumentation import Call, Instrumentation, Patch, shielded

from ._late import _carried

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice

_SCOPES = "_errtrack_scopes"
_TOKEN = "_errtrack_uncollected"


def carry(call: Call) -> Advice:
    """_WorkItem.__init__(self, ...): made by submit(), in the submitting thread"""
    if options.current().threading_propagate_scope:
        carried = _carried.forked()
        if carried is not None:
            vars(call.args[0])[_SCOPES] = carried
    yield


def run(call: Call) -> Advice:
    """_WorkItem.run(self, ...), in a worker thread"""
    held = vars(call.args[0])
    carried = held.pop(_SCOPES, None)
    try:
        if carried is None:
            yield
        else:
            with carried:
                yield
    finally:
        # A failed task's traceback holds this frame's callers, one of which holds the work item.
        held.pop("future", None)
        left = _carried.blank()
        if left is not None:  # the first to say something; the next task shall not hear of it
            left.__enter__()


class Uncollected:
    """Lies in a failed future, and reports the error when it goes and nobody has asked for it."""

    __slots__ = ("_carried", "_error", "_tb", "collected")

    def __init__(self, error: BaseException) -> None:
        self.collected = False
        self._error = error
        # Whoever raises it again, such as result(), puts an entry in front.
        self._tb = error.__traceback__
        self._carried = _carried.forked()

    def __del__(self) -> None:
        if not self.collected and self._error.__traceback__ is self._tb and not sys.is_finalizing():
            report(self._error, self._carried)


def remember(call: Call) -> Advice:
    """Future.set_exception(self, exception)"""
    held, error = vars(call.args[0]), call.get(1, "exception")
    if isinstance(error, BaseException) and not isinstance(error, (SystemExit, KeyboardInterrupt)):
        held[_TOKEN] = Uncollected(error)  # before the call: it wakes up whoever waits
    try:
        yield
    except BaseException:
        collect(held)  # the future had a result already
        raise


def look(call: Call) -> Advice:
    """Future.exception(self, timeout=None) and what else hands the error out without raising it"""
    yield
    collect(vars(call.args[0]))


def collect(held: dict[str, Any]) -> None:
    """Take note that somebody knows of the error."""
    token = held.pop(_TOKEN, None)
    if token is not None:
        token.collected = True


def report_uncollected(error: BaseException, carried: Any) -> None:
    """Report *error* in the scopes that it failed in."""
    if carried is None:
        errtrack.report_exception(error, "concurrent.futures")
    else:
        with carried:
            errtrack.report_exception(error, "concurrent.futures")


report = shielded("concurrent_futures", report_uncollected)

_BASE = "concurrent.futures._base"
INSTRUMENTATION = Instrumentation(
    "concurrent_futures",
    patches=[
        Patch("concurrent.futures.thread", "_WorkItem.__init__", carry),
        Patch("concurrent.futures.thread", "_WorkItem.run", run),
        Patch(_BASE, "Future.set_exception", remember),
        Patch(_BASE, "Future.exception", look),
        # asyncio asks in this way from Python 3.14 on.
        *([Patch(_BASE, "Future._get_snapshot", look)] if sys.version_info >= (3, 14) else []),
    ],
)
