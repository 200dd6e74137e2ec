# SPDX-License-Identifier: MIT
"""Each run of beat's schedule begins a trace of its own, and the server can be told of it (cron check-ins).

With ``celery.monitor_beat_tasks`` every entry of the schedule is a monitor, which the server makes by itself: in
progress when the task is sent, ok or error when a worker has run it. Entries that ``celery.exclude_beat_tasks``
matches are left out, and intervals below a minute, which no server takes. The schedule itself is not touched. What
cannot be sent is reported with its entry. RedBeat and the schedules of django-celery-beat are schedulers like any.
"""

from __future__ import annotations

import errtrack
from errtrack import guard, options
from errtrack.context import scope as scopes
from errtrack.instrumentation import Call, Instrumentation, Patch

from . import _celery

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))

_told: set[str] = set()


def fire(call: Call) -> Advice:
    """Scheduler.apply_async(self, entry, producer=None, advance=True, **kwargs) -> AsyncResult"""
    entry = call.get(1, "entry")
    pair = scopes.unit_of_work()
    pair[0].set_transaction_name(str(entry.task), "task")
    pair[0].set_context("celery_beat", {"entry": str(entry.name), "schedule": str(entry.schedule)})
    token = scopes.enter(pair)
    headers: dict[str, Any] = {}
    try:
        if options.current().celery_monitor_beat_tasks:
            headers = check_in(call.args[0], entry)
            _celery.firing.headers = headers
        yield
    except Exception as error:
        errtrack.report_exception(error, "celery")
        _celery.end_check_in(headers, False)
        raise
    finally:
        _celery.firing.headers = None
        scopes.leave(token)


def check_in(scheduler: Any, entry: Any) -> dict[str, Any]:
    """Tell the server that *entry* is under way; the headers by which a worker can tell how it ends."""
    from re import fullmatch
    from time import time

    name = str(entry.name)
    if any(fullmatch(pattern, name) for pattern in options.current().celery_exclude_beat_tasks):
        return {}
    schedule = schedule_of(entry.schedule)
    if schedule is None:
        if name not in _told:
            _told.add(name)
            guard.tell("beat: %s is not monitored, its schedule is none from minutes to years" % name)
        return {}
    zone = getattr(entry.schedule, "tz", None) or getattr(scheduler.app, "timezone", None) or "UTC"
    config = {"schedule": schedule, "timezone": str(zone)}
    check_in_id = errtrack.capture_checkin(name, status="in_progress", monitor_config=config)
    if check_in_id is None:
        return {}
    return {_celery.MONITOR: name, _celery.CHECK_IN: check_in_id, _celery.BEGAN: "%.6f" % time()}


def schedule_of(schedule: Any) -> dict[str, Any] | None:
    """*schedule* as servers know it: crontab, or interval; None where it is neither.

    An interval of one and a half hours is 90 minutes; of 90 seconds, 2 minutes: no run is then expected too early.
    """
    fields = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
    times = [getattr(schedule, "_orig_" + field, None) for field in fields]
    if None not in times:
        return {"type": "crontab", "value": " ".join(str(time).replace(" ", "") for time in times)}
    every: Any = getattr(schedule, "run_every", None)
    if not hasattr(every, "total_seconds") or every.total_seconds() < 60:
        return None
    seconds = every.total_seconds()
    for length, unit in _UNITS:
        if seconds % length == 0:
            return {"type": "interval", "value": int(seconds // length), "unit": unit}
    return {"type": "interval", "value": int(-(-seconds // 60)), "unit": "minute"}


INSTRUMENTATION = Instrumentation(
    "celery_beat",
    supports=">=5.0",
    distribution="celery",
    patches=[Patch("celery.beat", "Scheduler.apply_async", fire)],
)
