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

    from errtrack.context.scope import entered

_set_attribute = object.__setattr__  # a subclass may do something of its own there
_POOLS = frozenset(("concurrent.futures.thread", "multiprocessing.pool"))


def carry(args: Any, kwargs: Any) -> Any:
    """Thread.start(self)"""
    thread = args[0]
    if not options.current().threading_propagate_scope or is_pool_worker(thread):
        return None
    carried = _carried.forked()
    hook = reporting(thread) if carried is not None else None
    if hook is not None:
        hook.carried = carried
    return hook


def not_started(hook: Reporting, error: BaseException) -> None:
    """It was running already, or the system has no more threads; or who has started it was interrupted."""
    hook.carried = None


def begin(args: Any, kwargs: Any) -> Any:
    """Thread._bootstrap_inner(self), in the new thread"""
    thread = args[0]
    hook, carried, in_context = reporting(thread), None, _carried.thread_runner(thread)
    if hook is not None:
        carried, hook.carried = hook.carried, None
    carried = carried or in_context(_carried.blank)  # Python may let threads inherit contexts
    if carried is None:
        return None
    in_context(carried.__enter__)
    return in_context, carried


def end(state: tuple[Any, Any], outcome: Any) -> None:
    """The thread is about to end."""
    in_context, carried = state
    in_context(carried.__exit__, None, None, None)


class Reporting:
    """A thread's way to ``threading.excepthook``: reports before that is called. Holds what is *carried* until then."""

    __slots__ = ("carried", "invoke")

    def __init__(self, invoke: Callable[[Any], None]) -> None:
        self.invoke = invoke
        self.carried: entered | None = None

    def __call__(self, thread: Any) -> None:
        report(thread)
        self.invoke(thread)


def reporting(thread: Any) -> Reporting | None:
    """The :class:`Reporting` of *thread*, made if it has none; None where it has no such way.

    Not by the thread's ``__dict__``: to ask for that makes every later access to the thread slower.
    """
    hook = getattr(thread, "_invoke_excepthook", None)
    if hook is not None and type(hook) is not Reporting:
        hook = Reporting(hook)
        _set_attribute(thread, "_invoke_excepthook", hook)
    return hook


def report_failure(thread: Any) -> None:
    """Report the exception that *thread* dies of; SystemExit is a way to end it."""
    error = sys.exc_info()[1]
    if error is None or isinstance(error, SystemExit) or sys.is_finalizing():
        return
    scope = errtrack.Scope()
    scope.set_context("thread", {"name": thread.name, "id": thread.ident, "daemon": thread.daemon})
    _carried.thread_runner(thread)(errtrack.report_exception, error, "threading", scope=scope)


def is_pool_worker(thread: Any) -> bool:
    """Whether *thread* is there for work of whatever origin."""
    return getattr(getattr(thread, "_target", None), "__module__", None) in _POOLS


report = shielded("threading", report_failure)

INSTRUMENTATION = Instrumentation(
    "threading",
    patches=[
        Patch("threading", "Thread.start", Steps(carry, failed=not_started)),
        Patch("threading", "Thread._bootstrap_inner", Steps(begin, end, end)),
    ],
)
