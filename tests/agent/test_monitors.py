# SPDX-License-Identifier: MIT
"""Cron check-ins: a begin and an end with one id, whatever the job does."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from running import Running
from sink import Sink

import errtrack
from errtrack import monitors


def test_a_job_that_ends_well(running: Running, sink: Sink) -> None:
    running.send_to(sink, release="r@1", environment="test")

    @errtrack.monitor("Nightly Report", schedule="0 3 * * *", max_runtime=5, timezone="Europe/Vienna", junk=1)
    def job(a: int, b: int = 2) -> int:
        """Adds."""
        errtrack.capture_message("inside")
        return a + b

    assert (job(1, b=5), job.__name__, job.__doc__) == (6, "job", "Adds.")
    errtrack.capture_message("outside")
    begin, end = running.trees(sink, "check_in")
    assert begin["check_in_id"] == end["check_in_id"] and len(begin["check_in_id"]) == 32
    assert (begin["status"], end["status"]) == ("in_progress", "ok")
    assert "duration" not in begin and 0 <= end["duration"] < 5
    config = {
        "schedule": {"type": "crontab", "value": "0 3 * * *"}, "max_runtime": 5, "timezone": "Europe/Vienna"
    }  # fmt: skip
    for tree in (begin, end):
        assert (tree["monitor_slug"], tree["release"], tree["environment"]) == (
            "nightly-report",
            "r@1",
            "test",
        )
        assert tree["monitor_config"] == config
        assert len(tree["contexts"]["trace"]["trace_id"]) == 32
    inside, outside = running.trees(sink, "event")
    assert inside["contexts"]["monitor"] == {"slug": "nightly-report", "id": begin["check_in_id"]}
    assert "monitor" not in outside["contexts"]


def test_a_job_that_fails_is_raised_on(running: Running, sink: Sink) -> None:
    running.send_to(sink)
    with pytest.raises(KeyError), errtrack.monitor("sync"):
        raise KeyError("x")
    assert [tree["status"] for tree in running.trees(sink, "check_in")] == ["in_progress", "error"]
    assert "monitor_config" not in running.trees(sink, "check_in")[0]


def test_a_successful_exit_is_no_failure(running: Running, sink: Sink) -> None:
    running.send_to(sink)
    for code in (0, 3):
        with pytest.raises(SystemExit), errtrack.monitor("sync"):
            raise SystemExit(code)
    assert [tree["status"] for tree in running.trees(sink, "check_in")][1::2] == ["ok", "error"]


def test_coroutines(running: Running, sink: Sink) -> None:
    running.send_to(sink)

    @errtrack.monitor("async-job")
    async def job(number: int) -> int:
        await asyncio.sleep(0.01)
        if number == 2:
            raise ValueError(number)
        return number

    async def main() -> list[Any]:
        async with errtrack.monitor("block"):
            pass
        return await asyncio.gather(*[job(n) for n in range(3)], return_exceptions=True)

    assert inspect.iscoroutinefunction(job)
    assert asyncio.run(main())[:2] == [0, 1]
    trees = running.trees(sink, "check_in")
    by_id: dict[str, list[str]] = {}
    for tree in trees:
        by_id.setdefault(tree["check_in_id"], []).append(tree["status"])
    assert sorted(by_id.values()) == sorted([["in_progress", "ok"]] * 3 + [["in_progress", "error"]])


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("*/5  * * * *", {"type": "crontab", "value": "*/5 * * * *"}),
        ("@daily", {"type": "crontab", "value": "@daily"}),
        ((10, "minutes"), {"type": "interval", "value": 10, "unit": "minute"}),
        ({"type": "interval", "value": 1, "unit": "day"}, {"type": "interval", "value": 1, "unit": "day"}),
        ({"type": "crontab", "value": "0 * * * *"}, {"type": "crontab", "value": "0 * * * *"}),
        ((30, "seconds"), None),
        ((0, "hour"), None),
        ("nonsense", None),
        (17, None),
    ],
)
def test_schedules(schedule: Any, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(monitors.guard, "tell", told.append)
    assert monitors._config_of({"schedule": schedule}, "job").get("schedule") == expected
    assert len(told) == (expected is None)


@pytest.mark.parametrize(
    ("name", "slug"), [("Ä b/c", "b-c"), ("x" * 80, "x" * 50), ("a_b-1", "a_b-1"), ("!!", "")]
)
def test_slugs_are_what_servers_take(name: str, slug: str) -> None:
    assert monitors.slug_of(name) == slug


def test_without_a_client_or_a_server_the_job_runs_as_ever(running: Running) -> None:
    with errtrack.monitor("x"):
        done = True
    running.start()  # events go to the embedded store, which has no use for check-ins
    with errtrack.monitor("x"):
        assert errtrack.capture_checkin("x") is None
    assert done and running.events() == []


def test_check_ins_by_hand_in_the_names_of_sentry(running: Running, sink: Sink) -> None:
    running.send_to(sink)
    check_in_id = errtrack.capture_checkin(monitor_slug="job", status="in_progress")
    assert (
        errtrack.capture_checkin(monitor_slug="job", check_in_id=check_in_id, status="ok", duration=1.5)
        == check_in_id
    )
    with errtrack.monitor(
        monitor_slug="job", monitor_config={"schedule": {"type": "crontab", "value": "* * * * *"}}
    ):
        pass
    trees = running.trees(sink, "check_in")
    assert [(tree["status"], tree.get("duration")) for tree in trees[:2]] == [
        ("in_progress", None),
        ("ok", 1.5),
    ]
    assert trees[2]["monitor_config"]["schedule"]["value"] == "* * * * *"


def test_check_ins_are_neither_sampled_nor_hooked(running: Running, sink: Sink) -> None:
    running.send_to(sink, sample_rate=0.0, before_send=lambda event, hint: None)
    assert errtrack.capture_checkin("job")
    assert len(running.trees(sink, "check_in")) == 1
