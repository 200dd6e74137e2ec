# SPDX-License-Identifier: MIT
"""A storm: exact counts, a bounded disk, and an application that goes on; ten thousand a second for a minute in soak."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import pytest
from sinks import Sink

LEVEL = os.environ.get("ERRTRACK_TEST_LEVEL", "")

STORM = """
import sys, time, errtrack
seconds, rate = float(sys.argv[1]), float(sys.argv[2])
def work(i):
    raise ValueError(i)
def busy(function):
    began = time.perf_counter(); done = 0
    while time.perf_counter() - began < seconds:
        try:
            work(done)
        except ValueError as error:
            function(error)
        done += 1
        ahead = began + done / rate - time.perf_counter()
        if ahead > 0:
            time.sleep(ahead)
    return done
raised = busy(errtrack.capture_exception)
print(raised)
"""


def counted(events: list[dict[str, Any]]) -> tuple[int, int]:
    """Full events, and how many they say were held back."""
    return len(events), sum((event.get("extra") or {}).get("suppressed_events", 0) for event in events)


def blow(sandbox: Any, sink: Sink, seconds: float, rate: float) -> int:
    sandbox.write("app.py", STORM)
    done = sandbox.run(
        sys.executable, "app.py", str(seconds), str(rate), timeout=seconds * 3 + 120, ERRTRACK_DSN=sink.dsn,
        ERRTRACK_MAX_EVENTS_BURST="20",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_every_error_of_a_storm_is_told_or_counted(sandbox: Any, sink: Sink) -> None:
    raised = blow(sandbox, sink, 2, 10_000)
    full, held_back = counted(sink.events())
    # The short event at exit stands for those that it counts; there is none if a full one came last.
    assert raised - held_back in (full, full - 1), (raised, full, held_back)
    assert 20 <= full <= 25 and raised > 1000
    assert sum(path.stat().st_size for path in sandbox.store.rglob("seg-*")) < 1_000_000


@pytest.mark.soak
@pytest.mark.skipif(LEVEL != "soak", reason="nox -s soak")
def test_storm_of_ten_thousand_a_second_for_a_minute(sandbox: Any, sink: Sink) -> None:
    raised = blow(sandbox, sink, 60, 10_000)
    full, held_back = counted(sink.events())
    assert raised - held_back in (full, full - 1)
    assert full <= 20 + 6 + 1
    print(json.dumps({"raised": raised, "full": full, "held_back": held_back}))
