# SPDX-License-Identifier: MIT
"""``errtrack-run --monitor``: a scheduled job checks in, with no line of it changed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "agent"))

from sink import Sink

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the launcher is no parent with a fork there")


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


def run(sandbox: Any, sink: Sink, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    path = sandbox.write("job.py", code)
    command = [sys.executable, "-m", "errtrack_run", *options, "--", sys.executable, str(path)]
    return sandbox.run(*command, launched=False, ERRTRACK_DSN=sink.dsn, ERRTRACK_RELEASE="r1")  # type: ignore[no-any-return]


def items(sink: Sink, kind: str) -> list[dict[str, Any]]:
    found = [item for request in list(sink.accepted) for item in request.envelope.items]
    return [json.loads(payload) for headers, payload in found if headers["type"] == kind]


def test_a_job_that_ends_well_checks_in_twice(sandbox: Any, sink: Sink) -> None:
    done = run(sandbox, sink, "print('done')", "--monitor", "nightly", "--schedule", "0 3 * * *")
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    begin, end = items(sink, "check_in")
    assert (begin["monitor_slug"], begin["status"], end["status"]) == ("nightly", "in_progress", "ok")
    assert begin["check_in_id"] == end["check_in_id"]
    assert begin["monitor_config"] == {"schedule": {"type": "crontab", "value": "0 3 * * *"}}
    assert begin["release"] == "r1" and "duration" not in begin and end["duration"] > 0


def test_a_schedule_that_is_none_is_told_once(sandbox: Any, sink: Sink) -> None:
    done = run(sandbox, sink, "", "--monitor", "nightly", "--schedule", "soon")
    assert (done.returncode, done.stderr.count("its schedule must be")) == (0, 1)
    assert [item["status"] for item in items(sink, "check_in")] == ["in_progress", "ok"]


@pytest.mark.parametrize(
    "code, status",
    [("1 / 0", 1), ("import os; os._exit(7)", 7), ("import os; os.kill(os.getpid(), 15)", -15)],
)
def test_a_job_that_fails_says_so_and_ends_as_ever(sandbox: Any, sink: Sink, code: str, status: int) -> None:
    done = run(sandbox, sink, code, "--monitor=nightly")
    assert done.returncode == status
    assert [item["status"] for item in items(sink, "check_in")] == ["in_progress", "error"]
    assert "monitor_config" not in items(sink, "check_in")[0]


def test_errors_of_the_job_are_in_the_trace_of_its_check_in(sandbox: Any, sink: Sink) -> None:
    run(sandbox, sink, "1 / 0", "--monitor", "nightly")
    (event,) = items(sink, "event")
    traces = {item["contexts"]["trace"]["trace_id"] for item in items(sink, "check_in")}
    assert traces == {event["contexts"]["trace"]["trace_id"]}


def test_a_job_that_is_killed_checks_in_and_its_death_is_reported(sandbox: Any, sink: Sink) -> None:
    done = run(sandbox, sink, "import os; os.kill(os.getpid(), 9)", "--monitor", "nightly")
    assert done.returncode == -signal.SIGKILL
    assert [item["status"] for item in items(sink, "check_in")] == ["in_progress", "error"]
    assert [e["exception"]["values"][0]["type"] for e in items(sink, "event")] == ["SIGKILL"]


def test_without_a_server_the_job_runs_as_ever(sandbox: Any) -> None:
    path = sandbox.write("job.py", "print('done')")
    command = [sys.executable, "-m", "errtrack_run", "--monitor", "nightly", sys.executable, str(path)]
    done = sandbox.run(*command, launched=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    assert sandbox.events() == []


def test_a_schedule_without_a_job_is_bad_usage(sandbox: Any) -> None:
    command = [sys.executable, "-m", "errtrack_run", "--schedule", "0 3 * * *", sys.executable, "-c", ""]
    done = sandbox.run(*command, launched=False)
    assert done.returncode == 2 and "--monitor" in done.stderr
