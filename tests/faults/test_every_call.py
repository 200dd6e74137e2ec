# SPDX-License-Identifier: MIT
"""The N-th call to the system fails, or the process dies there, for every N: nothing accepted is lost, nobody notices.

In CI every seventh call, from another one each time, with one error and with kill -9; ``nox -s faults`` takes every call and
every error.
"""

from __future__ import annotations

import collections
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sinks import Sink

PROGRAM = Path(__file__).parent / "nth_call.py"
ERRORS = ("EIO", "EINTR", "EDQUOT", "EROFS", "EMFILE", "EACCES", "ESTALE")
ALL = os.environ.get("ERRTRACK_TEST_LEVEL") in ("faults", "soak")
SCENARIOS = ("deliver", "server_away", "next_process", "store", "too_much")


def run(sink: Sink, folder: Path, scenario: str, fault: str, step: int) -> list[dict[str, Any]]:
    first = str(random.randint(1, step))
    dsn = "" if scenario == "store" else sink.dsn
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [sys.executable, str(PROGRAM), scenario, fault, dsn, str(folder), first, str(step)]
    done = subprocess.run(arguments, env=env, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows[-1]["at"] > 50
    return rows


def check(sink: Sink, rows: list[dict[str, Any]], scenario: str, fault: str) -> None:
    delivered = collections.Counter(sink.event_ids())
    accepted = lost = 0
    for row in rows:
        where = (scenario, fault, row["at"], row["told"], row["said"])
        # The application ends as it would, and is not told anything that it has not asked for.
        assert row["status"] == (9 if fault == "kill" and row is not rows[-1] else 0), where
        assert row["after"] == 0 and "Traceback" not in row["said"], where
        ids = set(row["accepted"])
        accepted += len(ids)
        gone = ids - set(delivered) - set(row["left"]) - set(row["stored"])
        if scenario == "too_much":
            continue  # that something is given up is what the bounds are for
        lost += len(gone)
        assert not gone, where
    if scenario != "next_process" and fault == "kill":
        assert accepted > len(rows)
    twice = sum(count - 1 for count in delivered.values())
    # What was killed or could not be marked between the server's answer and the mark is sent again.
    assert twice <= 2 + len(rows) // 3, twice
    print(
        "%s, %s: %d calls, %d accepted, %d lost, %d twice"
        % (scenario, fault, len(rows), accepted, lost, twice)
    )


@pytest.mark.parametrize("fault", ["kill", "ENOSPC"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_call_may_be_the_last_or_fail(sink: Sink, tmp_path: Path, scenario: str, fault: str) -> None:
    check(sink, run(sink, tmp_path, scenario, fault, 1 if ALL else 7), scenario, fault)


@pytest.mark.soak
@pytest.mark.skipif(not ALL, reason="nox -s faults")
@pytest.mark.parametrize("fault", [*ERRORS, "short"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_call_may_fail_in_every_way(sink: Sink, tmp_path: Path, scenario: str, fault: str) -> None:
    check(sink, run(sink, tmp_path, scenario, fault, 1), scenario, fault)
