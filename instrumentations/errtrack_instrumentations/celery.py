# SPDX-License-Identifier: MIT
"""Failed Celery tasks are reported with their arguments, retries and queue, in every pool, and the lost ones as well.

One event a failure: the last retry, time limits, a killed process, an exit in a task, results that cannot be encoded,
failing callbacks. ``Ignore``, ``Reject``, ``Retry`` and what a task declares in ``throws`` are no failures
(``celery.report_retries`` reports what a retry is for). Arguments are shown with ``send_default_pii``. The trace goes
along with the message (``celery.propagate_traces``), whose headers the caller keeps as they are.
"""

from __future__ import annotations

from errtrack.instrumentation import Instrumentation, OnImport, Patch, shielded

from . import _celery, _celery_pool, _celery_worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


def connect(signals: ModuleType) -> None:
    """celery.signals has been loaded; receivers are held weakly unless told otherwise."""
    signals.before_task_publish.connect(shielded("celery", _celery.send_along), weak=False)


INSTRUMENTATION = Instrumentation(
    "celery",
    supports=">=5.0",
    patches=[
        # Where a task runs: its worker's process, a thread or greenlet of it, or whoever calls apply().
        Patch("celery.app.trace", "build_tracer", _celery_worker.watch_tracer),
        Patch("celery.app.trace", "TraceInfo.handle_failure", _celery_worker.report_failure),
        Patch("celery.app.trace", "TraceInfo.handle_retry", _celery_worker.report_retry),
        Patch("celery.app.trace", "_signal_internal_error", _celery_worker.report_internal),
        Patch("celery.concurrency.base", "apply_target", _celery_worker.follow_exit),
        Patch("billiard.pool", "Worker.after_fork", _celery_pool.enter_pool),
        Patch("billiard.pool", "Worker._do_exit", _celery_worker.deliver),
        # The parent of a pool of processes.
        Patch("billiard.pool", "Pool._join_exited_workers", _celery_pool.know_the_busy),
        Patch("celery.worker.request", "Request.on_failure", _celery_pool.report_lost),
        Patch("celery.worker.request", "Request.on_timeout", _celery_pool.report_timeout),
        # Whoever sends a task.
        Patch("celery.app.base", "Celery.send_task", _celery_worker.submit, _celery_worker.is_not_traced),
    ],
    on_import=[
        OnImport("celery.app.trace", _celery_pool.cover_log),
        OnImport("celery.signals", connect),
    ],
)
