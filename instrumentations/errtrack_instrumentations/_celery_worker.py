# SPDX-License-Identifier: MIT
"""Where Celery's tasks run: each in scopes of its own, and what it fails of is reported before Celery clears it."""

from __future__ import annotations

import sys
from functools import partial

from errtrack import options
from errtrack.context import trace as tracing
from errtrack.context import unit as units
from errtrack.instrumentation import Call, driven

from . import _celery, _celery_pool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.context.span import Span
    from errtrack.instrumentation import Advice


def watch_tracer(call: Call) -> Advice:
    """build_tracer(name, task, ...) -> trace_task"""
    tracer = yield
    return driven("celery", partial(run, call.get(0, "name"), call.get(1, "task")), tracer)


def run(name: str, task: Any, call: Call) -> Advice:
    """trace_task(uuid, args, kwargs, request=None) -> trace_ok_t"""
    args, kwargs, request = call.get(1, "args"), call.get(2, "kwargs"), call.get(3, "request")
    if type(request) is not dict:
        request = {}
    trace, own = _celery.taken(request)
    on_the_spot = request.get("is_eager")
    if on_the_spot and trace is None and options.current().celery_propagate_traces:
        trace = (*tracing.outgoing_headers(), "")
    sampling = {"celery_job": {"task": name, "args": args, "kwargs": kwargs}}
    unit = units.Unit("queue.task.celery", name, "task", _celery.ORIGIN, trace, sampling)
    job = _celery.Job(name, task, args, kwargs, request)
    scope = unit.scope
    scope.set_transaction_name(name, "task")
    scope.set_tag("celery_task_id", call.get(0, "uuid"))
    scope.processors = (*scope.processors, job)
    token = unit.enter()
    state, span = "FAILURE", None
    try:
        if unit.span is not None:
            span, held = begin_span(unit.span, job, own)
        result = yield
        info = getattr(result, "info", None)
        state = "" if info is None else info.state
    except BaseException as error:
        if _celery.is_expected(task, error):
            state = "REJECTED"
        elif is_failure(error, on_the_spot):
            _celery.report(name, error)
        raise
    finally:
        status = "internal_error" if state == "FAILURE" else "aborted" if state else ""
        if span is not None:
            span.leave(held)
            span.set_status(status or "ok")
            span.finish()
        if own:
            _celery.end_check_in(own, state in ("", "IGNORED"))
        unit.leave(token)
        unit.end(status)


def begin_span(transaction: Span, job: _celery.Job, own: dict[str, Any]) -> tuple[Span, Any]:
    """The span of the task's own work, which says what message it came in; and what ends it as the span in hand."""
    span = transaction.start_child(op="queue.process", name=job.name, origin=_celery.ORIGIN)
    span.update_data(_celery.messaging_of(job))
    waited = _celery.seconds_since(own.get(_celery.SENT_AT))
    if waited is not None:
        span.set_data("messaging.message.receive.latency", waited * 1000)
    return span, span.enter()


def is_failure(error: BaseException, on_the_spot: Any) -> bool:
    """Whether what leaves the task's whole run is its failure; as an exit it is, where nobody waits for it."""
    if isinstance(error, Exception):
        return True
    if on_the_spot or not isinstance(error, (SystemExit, KeyboardInterrupt)):
        return False
    if type(error).__module__ == "celery.exceptions":
        return False  # the worker's own
    if isinstance(error, KeyboardInterrupt) and not _celery_pool.is_pool_process():
        return False
    tb = error.__traceback__
    while tb is not None:
        if tb.tb_frame.f_globals.get("__name__") == "billiard.common":
            return False  # a signal: the process was told to end
        tb = tb.tb_next
    return not _celery_pool.parent_reports_exits()


def report_failure(call: Call) -> Advice:
    """TraceInfo.handle_failure(self, task, req, ...) -> ExceptionInfo: before it clears the frames"""
    task, error = call.get(1, "task"), call.args[0].retval
    if isinstance(error, BaseException) and not _celery.is_expected(task, error):
        _celery.report(_celery.name_of(task), error)
    try:
        yield
    except Exception as raised:
        # Celery then tells the task's callback of the callback's own error, which may raise it once more.
        if _celery.place_of(raised) == _celery.place_of(error):
            _celery.hush(raised)
        raise


def report_retry(call: Call) -> Advice:
    """TraceInfo.handle_retry(self, task, req, ...) -> ExceptionInfo"""
    if options.current().celery_report_retries:
        reason = call.args[0].retval
        error = getattr(reason, "exc", None) or getattr(reason, "__context__", None)
        if isinstance(error, BaseException):
            _celery.report(_celery.name_of(call.get(1, "task")), error, handled=True, level="warning")
    yield


def report_internal(call: Call) -> Advice:
    """_signal_internal_error(task, uuid, args, kwargs, request, exc): Celery's own part has failed, or raises on"""
    task, error = call.get(0, "task"), call.get(5, "exc")
    if isinstance(error, BaseException) and not _celery.is_expected(task, error):
        _celery.report(_celery.name_of(task), error)
    yield


def follow_exit(call: Call) -> Advice:
    """apply_target(target, args, kwargs, callback, ...), in pools without processes"""
    try:
        yield
    except TypeError as error:
        # A task that exits has been reported. Its callback cannot take what Celery hands it in place of a result.
        if type(error.__context__).__name__ == "WorkerLostError":
            _celery.hush(error)
        raise


def deliver(call: Call) -> Advice:
    """Worker._do_exit(self, pid, exitcode, exc=None): a process of the pool runs no exit functions after this"""
    client = sys.modules.get("errtrack.client")
    if client is not None:
        client.end()  # what is captured after this is kept on disk
    yield


def submit(call: Call) -> Advice:
    """Celery.send_task(self, name, args=None, kwargs=None, ...) -> AsyncResult"""
    parent = tracing.recording()
    if parent is None:
        yield
        return
    name = str(call.get(1, "name"))
    with parent.start_child(op="queue.submit.celery", name=name, origin=_celery.ORIGIN):
        yield
