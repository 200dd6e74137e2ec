# SPDX-License-Identifier: MIT
"""Errors of asyncio that reach nobody are reported: tasks never awaited, failing callbacks; on uvloop as well.

An error that somebody awaits is theirs. Each task works on a fork of the scopes that it was created in: its tags and
breadcrumbs stay its own. The program's own exception handler is called as ever. ``asyncio.task_spans`` makes spans of
tasks.
"""

from __future__ import annotations

import errtrack
from errtrack import options
from errtrack.instrumentation import Call, Instrumentation, Patch

from ._late import _carried

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice

_FOLDER = Call.get.__code__.co_filename.rpartition("errtrack")[0] + "errtrack"

#: Ways to end, not failures; a cancelled task never comes here by itself.
_ENDS = frozenset(("CancelledError", "SystemExit", "KeyboardInterrupt", "GeneratorExit"))


def report(call: Call) -> Advice:
    """BaseEventLoop.call_exception_handler(self, context)"""
    context = call.get(1, "context")
    error = context.get("exception")
    # Before the call: the default handler logs it with the exception, which is then known already.
    if isinstance(error, BaseException) and type(error).__name__ not in _ENDS:
        scope = errtrack.Scope()
        scope.set_extra("message", context.get("message"))
        for key in ("task", "future", "handle", "protocol", "transport", "asyncgen"):
            if context.get(key) is not None:
                scope.set_extra(key, name_of(context[key]))
        in_scopes_of(context)(errtrack.report_exception, error, "asyncio", scope=scope)
    yield


def fork(call: Call) -> Advice:
    """BaseEventLoop.create_task(self, coro, **kwargs)"""
    forks = _carried.forked() if call.kwargs.get("context") is None else None
    if forks is None:
        hide_our_frames((yield))
        return
    with forks as scope:  # a task copies the context that it is created in
        span = None
        if scope.span is not None and options.current().asyncio_task_spans:
            name = getattr(call.get(1, "coro"), "__qualname__", "")
            span = scope.span = scope.span.start_child("function", name, "auto.function.asyncio")
        task = yield
        hide_our_frames(task)
        if span is not None:
            task.add_done_callback(ender_of(span))


def hide_our_frames(task: Any) -> None:
    """In asyncio's debug mode a task tells where it was created; that is where the application has done so."""
    source = getattr(task, "_source_traceback", None) or ()
    while source and source[-1].filename.startswith(_FOLDER):
        del source[-1]


def ender_of(span: Any) -> Any:
    """What ends *span* with its task, however that ended."""

    def end(task: Any) -> None:
        if task.cancelled():
            span.set_status("cancelled")
        # The attribute: to ask for the exception would be to retrieve it.
        elif getattr(task, "_exception", None) is not None:
            span.set_status("internal_error")
        span.finish()

    return end


def name_of(thing: Any) -> str:
    """What *thing* is; a task by its name and coroutine. No repr: that of a future shows its result."""
    text = type(thing).__name__
    if hasattr(thing, "get_coro"):
        coroutine = thing.get_coro()
        text += " %s: %s" % (thing.get_name(), getattr(coroutine, "__qualname__", type(coroutine).__name__))
    else:
        callback = getattr(thing, "_callback", None)
        text += " " + str(getattr(callback, "__qualname__", "")) if callback is not None else ""
    return text


def in_scopes_of(context: dict[str, Any]) -> Any:
    """What calls a function in the scopes of the task or callback that failed, where Python tells them."""
    task = context.get("task") or context.get("future")
    if task is not None and hasattr(task, "get_context"):  # Python 3.12
        own = task.get_context()
    else:
        own = getattr(context.get("handle"), "_context", None)
    if own is None:
        return _carried.call
    return _carried.runner(own.copy())  # that itself may be entered right now


INSTRUMENTATION = Instrumentation(
    "asyncio",
    patches=[
        Patch("asyncio.base_events", "BaseEventLoop.call_exception_handler", report),
        Patch("asyncio.base_events", "BaseEventLoop.create_task", fork),
        Patch("uvloop", "Loop.call_exception_handler", report),
        Patch("uvloop", "Loop.create_task", fork),
    ],
)
