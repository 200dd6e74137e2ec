"""Celery beat: each run of the schedule is a trace of its own and, by option, a cron check-in that a worker ends."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("celery")

sys.path.insert(0, str(Path(__file__).parent.parent / "agent"))

from sink import Sink

from celery_workers import Broker, Shop, Worker, kind

CLOCK = """
from datetime import timedelta
from celery.schedules import crontab, schedule
from shop import *

FIRST = {}

def once(self, last_run_at):
    '''Due until it was run.'''
    first = FIRST.setdefault(repr(self), last_run_at)
    return (True, 0) if last_run_at == first else (False, 3600.0)

class Soon(schedule):
    is_due = once

class SoonAt(crontab):
    is_due = once

app.conf.beat_schedule = {
    "Every hour!": {"task": "shop.add", "schedule": Soon(timedelta(hours=1)), "args": (1,), "options": {"headers": {"x": "y"}}},
    "nightly": {"task": "shop.fail", "schedule": SoonAt(minute=30, hour="1,3"), "args": ("at night",)},
    "odd-times": {"task": "shop.again", "schedule": Soon(90.0)},
    "too-often": {"task": "shop.add", "schedule": Soon(30.0), "args": (2,)},
    "quiet-1": {"task": "shop.add", "schedule": Soon(60.0), "args": (3,)},
    "unsendable": {"task": "shop.add", "schedule": Soon(120.0), "args": (object(),)},
}
"""


class Beat(Worker):
    """A process of ``celery beat``."""

    def __init__(self, shop: Shop, **env: str) -> None:
        super().__init__(shop, "none", **env)
        self._command = shop.sandbox.command(
            sys.executable, "-m", "celery", "-A", "clock", "beat", "-l", "info", "--max-interval", "1",
            "-s", "schedule", "--pidfile", "",
        )  # fmt: skip

    def await_output(self, text: str, times: int = 1) -> None:
        super().await_output("beat: Starting..." if text == " ready." else text, times)


class Ran:
    def __init__(self, shop: Shop, sink: Sink) -> None:
        self.sink = sink
        shop.sandbox.write("clock.py", CLOCK)
        env = {"ERRTRACK_DEBUG": "1"}
        options = {
            "ERRTRACK_CELERY_MONITOR_BEAT_TASKS": "1",
            "ERRTRACK_CELERY_EXCLUDE_BEAT_TASKS": "quiet-.*,other",
        }
        with shop.worker("threads", "-c", "2", **env) as worker, Beat(shop, **env, **options) as beat:
            beat.await_output("Sending due task", 6)
            worker.await_output("succeeded in", 3)
            worker.await_output("raised unexpected", 2)
            self.wait_for(8)
        self.output = beat.output + worker.output

    def wait_for(self, count: int) -> None:
        until = time.monotonic() + 60
        while len(self.items("check_in")) < count and time.monotonic() < until:
            time.sleep(0.05)

    def items(self, type: str) -> list[dict[str, Any]]:
        found = [item for request in list(self.sink.accepted) for item in request.envelope.items]
        return [json.loads(payload) for headers, payload in found if headers["type"] == type]

    def check_ins(self, slug: str) -> list[dict[str, Any]]:
        found = [item for item in self.items("check_in") if item["monitor_slug"] == slug]
        # The scheduler tells of the beginning and a worker of the end: which of the two processes delivers first is open.
        return sorted(found, key=lambda item: item["status"] != "in_progress")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, sandbox_in: Any) -> Iterator[Ran]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    try:
        with Sink() as sink:
            yield Ran(Shop(sandbox_in(tmp_path_factory.mktemp("beat")), broker, ERRTRACK_DSN=sink.dsn), sink)
    finally:
        broker.stop()


def test_run_is_in_progress_and_then_ok(ran: Ran) -> None:
    began, ended = ran.check_ins("every-hour")
    assert (began["status"], ended["status"]) == ("in_progress", "ok")
    assert began["check_in_id"] == ended["check_in_id"]
    assert 0 <= ended["duration"] < 120
    assert began["monitor_config"]["schedule"] == {"type": "interval", "value": 1, "unit": "hour"}
    assert began["monitor_config"]["timezone"] == "Europe/Berlin"


def test_failing_run_is_an_error(ran: Ran) -> None:
    began, ended = ran.check_ins("nightly")
    assert (began["status"], ended["status"]) == ("in_progress", "error")
    assert began["monitor_config"]["schedule"] == {"type": "crontab", "value": "30 1,3 * * *"}


def test_run_that_is_retried_is_an_error_once(ran: Ran) -> None:
    began, ended = ran.check_ins("odd-times")
    assert (began["status"], ended["status"]) == ("in_progress", "error")
    assert began["monitor_config"]["schedule"] == {"type": "interval", "value": 2, "unit": "minute"}


def test_excluded_entries_and_those_below_a_minute_are_not_told(ran: Ran) -> None:
    assert ran.check_ins("quiet-1") == ran.check_ins("too-often") == []
    assert ran.output.count("beat: too-often is not monitored") == 1


def test_run_that_cannot_be_sent_is_an_error_and_an_event(ran: Ran) -> None:
    assert [item["status"] for item in ran.check_ins("unsendable")] == ["in_progress", "error"]
    (event,) = [e for e in ran.items("event") if e["contexts"].get("celery_beat")]
    assert kind(event)[0] == "SchedulingError"
    assert event["transaction"] == "shop.add"
    assert event["contexts"]["celery_beat"]["entry"] == "unsendable"


def test_each_run_is_a_trace_of_its_own_that_the_worker_continues(ran: Ran) -> None:
    begun = {
        item["monitor_slug"]: item["contexts"]["trace"]["trace_id"]
        for item in ran.items("check_in")
        if item["status"] == "in_progress"
    }
    assert len(set(begun.values())) == len(begun) == 4
    (failed,) = [e for e in ran.items("event") if kind(e)[1] == "failed at night"]
    assert failed["contexts"]["trace"]["trace_id"] == begun["nightly"]
    (again,) = [e for e in ran.items("event") if kind(e)[1] == "'try 2'"]
    assert again["contexts"]["trace"]["trace_id"] == begun["odd-times"]


def test_nothing_went_wrong_inside(ran: Ran) -> None:
    assert "internal fault" not in ran.output


def test_schedule_is_not_changed_and_nothing_is_told_without_the_option(sandbox: Any) -> None:
    code = """
import os
os.environ.update(BROKER="memory://", RESULTS="cache+memory://")
from clock import app
from celery.beat import Scheduler
with app.connection_for_write() as connection:
    scheduler = Scheduler(app)
    entry = scheduler.Entry(name="Every hour!", app=app, **app.conf.beat_schedule["Every hour!"])
    scheduler.apply_entry(entry, app.amqp.Producer(connection))
    scheduler.apply_entry(entry, producer=None)
    queue = connection.SimpleQueue("celery")
    traces = {queue.get(block=False).headers["sentry-trace"][:32] for _ in range(2)}
    print("sentry" in repr(dict(entry)), len(traces), entry.options["headers"]["x"])
"""
    from celery_apps import SHOP

    sandbox.write("shop.py", SHOP)
    sandbox.write("clock.py", CLOCK)
    with Sink() as sink:
        sandbox.env.update(BROKER="memory://", RESULTS="cache+memory://")
        for monitored in ("0", "1"):
            done = sandbox.python(code, ERRTRACK_DSN=sink.dsn, ERRTRACK_CELERY_MONITOR_BEAT_TASKS=monitored)
            assert done.stdout == "False 2 y\n", done.stdout + done.stderr
            found = [item[0]["type"] for request in sink.accepted for item in request.envelope.items]
            assert found.count("check_in") == (2 if monitored == "1" else 0)
