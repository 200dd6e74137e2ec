# SPDX-License-Identifier: MIT
"""Failed Celery tasks are reported with their arguments, retries and queue, in every pool, and the lost ones as well.

One event a failure: the last retry, time limits, a killed process, an exit in a task, results that cannot be encoded,
failing callbacks. ``Ignore``, ``Reject``, ``Retry`` and what a task declares in ``throws`` are no failures
(``celery.report_retries`` reports what a retry is for). Arguments are shown with ``send_default_pii``. The trace goes
along with the message (``celery.propagate_traces``), whose headers the caller keeps as they are.
"""

from __future__ import annotations

from errtrack import loggers
from errtrack.instrumentation import Instrumentation, Late, OnImport, Patch, active, shielded

from ._late import _celery, _celery_pool, _celery_worker, loaded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_TASK_FAILED = "Task %(name)s[%(id)s] %(description)s: %(exc)s"


def connect(signals: ModuleType) -> None:
    """celery.signals has been loaded; receivers are held weakly unless told otherwise."""
    signals.before_task_publish.connect(shielded("celery", send_along), weak=False)


def send_along(**named: Any) -> None:
    """before_task_publish(sender, headers, ...)"""
    _celery.send_along(**named)


def get_ready(concurrency: ModuleType) -> None:
    """celery.concurrency.base has been loaded, by a worker: what its processes need they shall not each load."""
    loaded("errtrack_instrumentations._celery_worker")


def cover_log(trace: ModuleType) -> None:
    """celery.app.trace has been loaded: what is reported with its task is not reported again from the log."""

    def always(record: Any) -> bool:
        return "celery" in active

    def explained(record: Any) -> bool:
        return "celery" in active and _celery_pool.is_explained(record.args[1])

    def of_a_member(record: Any) -> bool:
        if "celery" not in active:
            return False
        error, tb = record.exc_info[1:]
        while tb is not None and tb.tb_frame.f_globals.get("__name__") != "celery.result":
            tb = tb.tb_next  # whoever waits for the members is told of theirs
        return "Dependency " in str(record.args[1]) or (
            tb is not None and type(error).__name__ != "TimeoutError"
        )

    loggers.cover("celery.app.trace", _TASK_FAILED, always)
    loggers.cover("celery.worker.request", "Hard time limit (%ss) exceeded for %s[%s]", always)
    loggers.cover("celery.worker.request", "Task handler raised error: %r", always)
    loggers.cover("multiprocessing", "Process %r pid:%r exited with %r", explained)
    for place in ("backends.redis", "backends.base", "backends.gcs", "app.builtins"):
        loggers.cover("celery." + place, "Chord %r raised: %r", of_a_member)


INSTRUMENTATION = Instrumentation(
    "celery",
    supports=">=5.0",
    patches=[
        # Where a task runs: its worker's process, a thread or greenlet of it, or whoever calls apply().
        Patch("celery.app.trace", "build_tracer", Late(lambda: _celery_worker.watch_tracer)),
        Patch("celery.app.trace", "TraceInfo.handle_failure", Late(lambda: _celery_worker.report_failure)),
        Patch("celery.app.trace", "TraceInfo.handle_retry", Late(lambda: _celery_worker.report_retry)),
        Patch("celery.app.trace", "_signal_internal_error", Late(lambda: _celery_worker.report_internal)),
        Patch("celery.concurrency.base", "apply_target", Late(lambda: _celery_worker.follow_exit)),
        Patch("billiard.pool", "Worker.after_fork", Late(lambda: _celery_pool.enter_pool)),
        Patch("billiard.pool", "Worker._do_exit", Late(lambda: _celery_worker.deliver)),
        # The parent of a pool of processes.
        Patch("billiard.pool", "Pool._join_exited_workers", Late(lambda: _celery_pool.know_the_busy)),
        Patch("celery.worker.request", "Request.on_failure", Late(lambda: _celery_pool.report_lost)),
        Patch("celery.worker.request", "Request.on_timeout", Late(lambda: _celery_pool.report_timeout)),
        # Whoever sends a task.
        Patch("celery.app.base", "Celery.send_task", Late(lambda: _celery_worker.submit), traced=True),
    ],
    on_import=[
        OnImport("celery.concurrency.base", get_ready),
        OnImport("celery.app.trace", cover_log),
        OnImport("celery.signals", connect),
    ],
)
