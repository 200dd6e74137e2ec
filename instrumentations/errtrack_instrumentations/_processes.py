# SPDX-License-Identifier: MIT
"""Programs that are started: a breadcrumb, the trace in their environment, and spans of start and end."""

from __future__ import annotations

from errtrack import guard

from . import _breadcrumbs, _outgoing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice, Call

_ORIGIN = "auto.subprocess.stdlib.subprocess"


def begin(call: Call) -> Advice:
    """Popen.__init__(self, args, ..., cwd=None, env=None, ...): the tenth and eleventh"""
    if guard.is_inside() or _outgoing.is_noise():
        yield
        return
    settings = _outgoing.settings()
    message = _outgoing.command_text(call.get(1, "args"), settings.scrubber)
    cwd = call.get(10, "cwd")
    data = {"subprocess.cwd": _outgoing.command_text([cwd], settings.scrubber)} if cwd else {}
    _breadcrumbs.note({"type": "subprocess", "category": "subprocess", "message": message, "data": data})
    tracing = _outgoing.trace or _outgoing.load_trace()
    parent = tracing.recording()
    span = None
    if parent is not None:
        span = parent.start_child("subprocess", message, _ORIGIN)
        span.update_data(data)
    trace, baggage = tracing.outgoing_headers(span)
    env = call.get(11, "env")
    is_taken = env is None or (
        hasattr(env, "items") and hasattr(env, "__getitem__")
    )  # else Python may refuse it
    if trace and is_taken and settings.options.subprocess_propagate_trace and settings.options.propagate:
        call.replace(11, "env", _outgoing.with_trace(env, trace, baggage))
    if span is None:
        yield
        return
    with span:
        yield
        span.set_tag("subprocess.pid", getattr(call.args[0], "pid", None))


def is_unwatched(args: Any) -> bool:
    """Whether nobody records, or the wait is a part of another: ``communicate`` waits twice, and so does ``run``."""
    parent = _outgoing.trace.recording() if _outgoing.trace is not None else None
    return parent is None or parent.op.startswith("subprocess.") or args[0].returncode is not None


def communicate(call: Call) -> Advice:
    """Popen.communicate(self, input=None, timeout=None)"""
    return (yield from waiting(call, "subprocess.communicate"))


def wait(call: Call) -> Advice:
    """Popen.wait(self, timeout=None)"""
    return (yield from waiting(call, "subprocess.wait"))


def waiting(call: Call, op: str) -> Advice:
    """Popen.communicate(...) or Popen.wait(...)"""
    parent = (_outgoing.trace or _outgoing.load_trace()).recording()
    if parent is None:
        yield
        return
    with parent.start_child(op, "", _ORIGIN) as span:
        span.set_tag("subprocess.pid", call.args[0].pid)
        yield
