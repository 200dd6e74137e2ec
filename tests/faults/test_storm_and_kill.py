# SPDX-License-Identifier: MIT
"""``kill -9`` in a storm: full events and told counts together are what was captured, of every process that died."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sinks import Sink
from test_every_call import run

#: Captures the same few errors from threads and a signal handler, and notes each capture once it has returned.
STORM = """
import os, signal, sys, threading
import errtrack
from errtrack import guard
threads, handler = int(sys.argv[1]), sys.argv[2] == "signals"
log = os.open(sys.argv[3], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
errtrack.set_extra("full", True)
def fail(i):
    [][i]
def elsewhere(i):
    {}[i]
def capture(function, i):
    try:
        function(i)
    except LookupError as error:
        errtrack.capture_exception(error)
    os.write(log, b".")
def work():
    i = 0
    while True:
        i += 1
        capture(fail if i % 3 else elsewhere, i)
        if forks and i % 300 == 0 and os.fork() == 0:
            for _ in range(3):
                errtrack.capture_exception(ValueError("of the child"))
            os._exit(0)
forks = sys.argv[2] == "forks"
if handler:
    # What interrupts our own work is not captured; see row 42.
    signal.signal(signal.SIGALRM, lambda *_: guard.is_inside() or capture(fail, 1))
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
if forks:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("begun", flush=True)
others = [threading.Thread(target=work, daemon=True) for _ in range(threads - 1)]
for other in others:
    other.start()
work()
"""

KILLS = int(os.environ.get("ERRTRACK_TEST_KILLS", "200")) // 10


def summed(events: list[dict[str, Any]], release: str) -> int:
    """Full events of *release*, and those that they and the short ones tell of; what came twice counts once."""
    full: set[str] = set()
    told: dict[str, int] = {}
    for event in events:
        extra = event.get("extra") or {}
        if event.get("release") == release and "of the child" not in str(event.get("exception")):
            if extra.get("full"):
                full.add(event["event_id"])
            told[event["event_id"]] = extra.get("suppressed_events", 0)
    return len(full) + sum(told.values())


def environment(folder: Path, sink: Sink, release: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "ERRTRACK_STORE": str(folder / "state"),
        "ERRTRACK_DSN": sink.dsn,
        "ERRTRACK_RELEASE": release,
        "ERRTRACK_MAX_EVENTS_BURST": "2",
        "ERRTRACK_MAX_EVENTS_PER_MINUTE": "1200",
    }


#: ``errtrack spool drain``
DRAIN = [
    sys.executable, "-c", "import sys; from errtrack_run.cli import main; sys.exit(main())", "spool", "drain",
    "--timeout", "60",
]  # fmt: skip


def drain(folder: Path, sink: Sink) -> None:
    env = environment(folder, sink, "drain")
    done = subprocess.run(DRAIN, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.stdout, done.stderr)


@pytest.mark.parametrize("how", ["alone", "threads", "signals", "forks"])
def test_counts_survive_kill_9_at_any_moment(sink: Sink, tmp_path: Path, how: str) -> None:
    chance = random.Random()
    threads = 3 if how == "threads" else 1
    ran: list[tuple[str, int]] = []
    for number in range(max(KILLS // 4, 2)):
        release, log = "%s-%d" % (how, number), tmp_path / ("log-%d" % number)
        process = subprocess.Popen(
            [sys.executable, "-m", "errtrack_run", sys.executable, "-c", STORM, str(threads), how, str(log)],
            env=environment(tmp_path, sink, release),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout and select.select([process.stdout], [], [], 60)[0]
        time.sleep(chance.random() * 0.8)
        process.send_signal(signal.SIGKILL)
        _, said = process.communicate()
        assert b"Traceback" not in said, said
        ran.append((release, log.stat().st_size if log.exists() else 0))
    time.sleep(0.3)  # orphaned children
    drain(tmp_path, sink)
    assert not list(tmp_path.rglob("counts-*"))
    events = sink.events()
    for release, captured in ran:
        # Whoever was in the middle of a capture may have counted it already.
        assert 0 <= summed(events, release) - captured <= threads + 1, (release, captured)
    assert sum(captured for _, captured in ran) > 50 * len(ran)


@pytest.mark.parametrize("fault", ["kill", "ENOSPC"])
def test_counts_are_exact_whichever_call_is_the_last_or_fails(sink: Sink, tmp_path: Path, fault: str) -> None:
    rows = run(sink, tmp_path, "storm", fault, 1 if os.environ.get("ERRTRACK_TEST_LEVEL") else 7)
    events = sink.events()
    for row in rows:
        assert row["after"] == 0 and "Traceback" not in row["said"], row
        captured, counted = len(row["accepted"]), summed(events, "storm-%s-%d" % (fault, row["at"]))
        assert 0 <= counted - captured <= (row["status"] == 9), (captured, counted, row)
    assert sum(len(row["accepted"]) for row in rows) > 5 * len(rows)


DIFFERENT = """
import os, signal, sys
import errtrack
errtrack.set_extra("full", True)
code = "def f%d():\\n    raise ValueError\\n"
exec("".join(code % number for number in range(3000)))
for number in range(3000):
    try:
        globals()["f%d" % number]()
    except ValueError as error:
        errtrack.capture_exception(error)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_errors_that_were_only_counted_for_their_cost_survive_kill_9(sink: Sink, tmp_path: Path) -> None:
    env = {**environment(tmp_path, sink, "different"), "ERRTRACK_MAX_CAPTURE_CPU": "0.5"}
    done = subprocess.run([sys.executable, "-m", "errtrack_run", sys.executable, "-c", DIFFERENT], env=env)
    assert done.returncode == -signal.SIGKILL
    drain(tmp_path, sink)
    events = sink.events()
    assert summed(events, "different") == 3000
    assert any("only counted" in str(event.get("logentry")) for event in events)


LEAVES_A_CHILD = """
import os, signal, time
import errtrack
errtrack.set_extra("full", True)
def capture(count):
    for _ in range(count):
        errtrack.capture_exception(KeyError("of a storm"))
capture(50)
child = os.fork()
if not child:
    capture(3)
    print(os.getpid(), flush=True)
    os.close(1)
    time.sleep(100)
time.sleep(1)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_counts_are_the_parents_alone_and_told_once_though_a_child_lives_on(
    sink: Sink, tmp_path: Path
) -> None:
    env = {**environment(tmp_path, sink, "parent"), "ERRTRACK_MAX_EVENTS_PER_MINUTE": "0.001"}
    done = subprocess.run(
        [sys.executable, "-m", "errtrack_run", sys.executable, "-c", LEAVES_A_CHILD],
        env=env,
        stdout=subprocess.PIPE,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL
    try:
        running = [subprocess.Popen(DRAIN, env=env, stdout=subprocess.DEVNULL) for _ in range(3)]
        for one in running:
            one.wait(60)
        # The parent's two full events and 48; the child has a bucket of its own, and still holds its count.
        assert summed(sink.events(), "parent") == 50 + 2
    finally:
        os.kill(int(done.stdout), signal.SIGKILL)
    time.sleep(0.2)
    drain(tmp_path, sink)
    assert summed(sink.events(), "parent") == 50 + 3
    assert not list(tmp_path.rglob("counts-*"))
