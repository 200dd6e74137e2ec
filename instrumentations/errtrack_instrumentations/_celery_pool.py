# SPDX-License-Identifier: MIT
"""The parent of a pool of processes: tasks that their process could not report, as it was killed or left."""

from __future__ import annotations

import os
import sys

from errtrack import distributions, guard
from errtrack.context import scope as scopes
from errtrack.context import trace as tracing
from errtrack.instrumentation import Call

from . import _celery

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice

_REPORTED = "_errtrack_reported"

#: Pids of processes whose end is told by a task, and of those that run one just now.
_explained: dict[Any, None] = {}
_busy: set[Any] = set()

#: Our own pid where we are a process of a pool.
_pool_process: list[int] = []


def report_lost(call: Call) -> Advice:
    """Request.on_failure(self, exc_info, send_failed_event=True, return_ok=False), in the parent"""
    if not call.get(3, "return_ok", False):  # else it came to its end, and was reported there
        request, error = call.args[0], call.get(1, "exc_info").exception
        error = getattr(error, "exc", error) if type(error).__name__ == "ExceptionWithTraceback" else error
        if isinstance(error, (SystemExit, KeyboardInterrupt)):  # reported there, and it has ended of it
            explain(request)
        elif is_news(request, error):
            report(request, error)
    yield


def report_timeout(call: Call) -> Advice:
    """Request.on_timeout(self, soft, timeout): of a hard limit the task itself hears nothing"""
    state = sys.modules.get("celery.worker.state")
    exceptions = sys.modules.get("billiard.exceptions")
    if not call.get(1, "soft") and exceptions is not None and not getattr(state, "should_terminate", None):
        request = call.args[0]
        explain(request)
        error = exceptions.TimeLimitExceeded(call.get(2, "timeout"))
        if is_news(request, error):
            report(request, error)
    yield


def is_news(request: Any, error: BaseException) -> bool:
    """Whether nobody has reported *error* yet: what ended with revoked tasks on purpose is none."""
    if _REPORTED in vars(request) or type(error).__name__ == "Terminated":
        return False
    if type(error).__name__ == "MaybeEncodingError" and "<ExceptionInfo" in str(error):
        return False  # an exception that cannot travel; the process that it happened in has reported it
    return not _celery.is_expected(request.task, error) and not _celery.was_reported(error)


def report(request: Any, error: BaseException) -> None:
    """Report *error* as that of the task in *request*, in the trace of whoever has sent it."""
    vars(request)[_REPORTED] = True
    message = dict(request.request_dict)
    trace, own = _celery.taken(message)
    pair = scopes.unit_of_work()
    scope = pair[0]
    scope.propagation = tracing.continue_trace(*trace) if trace is not None else None
    scope.set_transaction_name(request.type, "task")
    scope.set_tag("celery_task_id", request.id)
    job = _celery.Job(request.type, request.task, message.get("args"), message.get("kwargs"), message)
    scope.processors = (*scope.processors, job)
    token = scopes.enter(pair)
    try:
        _celery.report(request.type, error)
        _celery.end_check_in(own, False)
    finally:
        scopes.leave(token)


def explain(request: Any) -> None:
    """The process that ran *request* ends because of it."""
    while len(_explained) >= 200:
        del _explained[next(iter(_explained))]
    _explained[request.worker_pid] = None


def know_the_busy(call: Call) -> Advice:
    """Pool._join_exited_workers(self, shutdown=False): logs each process that has died, and gives up on its task"""
    jobs = [job for job in list(call.args[0]._cache.values()) if not job.ready()]
    _busy.update(pid for job in jobs for pid in job.worker_pids())
    _busy.update(getattr(getattr(job, "_write_to", None), "pid", None) for job in jobs)
    try:
        yield
    finally:
        _busy.clear()


def enter_pool(call: Call) -> Advice:
    """Worker.after_fork(self), in the new process: from here on a signal may raise a task's soft time limit"""
    _pool_process[:] = [os.getpid()]
    guard.passing.add("SoftTimeLimitExceeded")
    yield


def is_explained(pid: Any) -> bool:
    """Whether the end of the process *pid* is told by a task."""
    return pid in _busy or pid in _explained


def is_pool_process() -> bool:
    """Whether we are a process of a pool."""
    return _pool_process == [os.getpid()]


def parent_reports_exits() -> bool:
    """Whether we are a process of a pool whose parent cannot tell an exit of the task from any other death."""
    if not is_pool_process():
        return False
    version = distributions.version_of("billiard")
    return version is not None and not distributions.satisfies(version, ">=4.3")
