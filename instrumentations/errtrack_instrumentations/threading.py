# SPDX-License-Identifier: MIT
"""Threads that die of an exception are reported, with what was said of the work that started them.

Tags, user and breadcrumbs of the starting thread are on the events of the new one; what is said there stays there.
``threading.propagate_scope = false`` starts threads with nothing. ``threading.excepthook`` is not touched. Workers of
thread pools outlive the work that started them: theirs comes with each task (``concurrent_futures``).
"""

from __future__ import annotations

import sys

import errtrack
from errtrack import options
from errtrack.instrumentation import Instrumentation, Patch, Steps, shielded

from ._late import _carried

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_KEY = "_errtrack_scopes"
_POOLS = frozenset(("concurrent.futures.thread", "multiprocessing.pool"))


def carry(args: Any, kwargs: Any) -> Any:
    """Thread.start(self)"""
    thread = args[0]
    carried = None
    if options.current().threading_propagate_scope and not is_pool_worker(thread):
        carried = _carried.forked()
    if carried is None:
        return None
    held = vars(thread)
    held[_KEY] = carried
    return held


def not_started(held: dict[str, Any], error: BaseException) -> None:
    """It was running already, or the system has no more threads."""
    held.pop(_KEY, None)


def begin(args: Any, kwargs: Any) -> Any:
    """Thread._bootstrap_inner(self), in the new thread"""
    held = vars(args[0])
    invoke = held.get("_invoke_excepthook")
    if invoke is not None:
        held["_invoke_excepthook"] = reporting(invoke)
    in_context = _carried.runner(held.get("_context"))  # Python 3.14: what run() is called in
    carried = held.pop(_KEY, None) or in_context(_carried.blank)  # Python may let threads inherit contexts
    if carried is None:
        return None
    in_context(carried.__enter__)
    return in_context, carried


def end(state: tuple[Any, Any], outcome: Any) -> None:
    """The thread is about to end."""
    in_context, carried = state
    in_context(carried.__exit__, None, None, None)


def reporting(invoke: Callable[[Any], None]) -> Callable[[Any], None]:
    """A thread's way to ``threading.excepthook``, whoever has replaced that: reports before it is called."""

    def invoke_excepthook(thread: Any) -> None:
        report(thread)
        invoke(thread)

    return invoke_excepthook


def report_failure(thread: Any) -> None:
    """Report the exception that *thread* dies of; SystemExit is a way to end it."""
    error = sys.exc_info()[1]
    if error is None or isinstance(error, SystemExit) or sys.is_finalizing():
        return
    scope = errtrack.Scope()
    scope.set_context("thread", {"name": thread.name, "id": thread.ident, "daemon": thread.daemon})
    in_context = _carried.runner(vars(thread).get("_context"))
    in_context(errtrack.report_exception, error, "threading", scope=scope)


def is_pool_worker(thread: Any) -> bool:
    """Whether *thread* is there for work of whatever origin."""
    return getattr(vars(thread).get("_target"), "__module__", None) in _POOLS


report = shielded("threading", report_failure)

INSTRUMENTATION = Instrumentation(
    "threading",
    patches=[
        Patch("threading", "Thread.start", Steps(carry, failed=not_started)),
        Patch("threading", "Thread._bootstrap_inner", Steps(begin, end, end)),
    ],
)
