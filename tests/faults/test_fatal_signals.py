# SPDX-License-Identifier: MIT
"""A process that dies of a fatal signal is reported by whoever comes next: once, with the stacks of its threads."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sinks import Sink

CRASH = """
import logging, os, signal, sys, threading, time
def waits():
    started.set(); time.sleep(60)
def fail():
    secret = "password='hunter2hunter2'"; %s
started = threading.Event()
threading.Thread(target=waits, name="waiter", daemon=True).start()
started.wait()
fail()
"""

REAL = {
    "SIGSEGV": "import ctypes; ctypes.string_at(0)",
    "SIGABRT": "os.abort()",
    "SIGBUS": "import mmap; f = open('m', 'wb+'); f.truncate(4096); m = mmap.mmap(f.fileno(), 4096); f.truncate(0); m[0]",
    "SIGFPE": "os.kill(os.getpid(), signal.SIGFPE); time.sleep(5)",
    "SIGILL": "os.kill(os.getpid(), signal.SIGILL); time.sleep(5)",
}


def crash_files(sandbox: Any) -> list[Path]:
    return sorted((sandbox.store / "spool" / "v1" / "crash").glob("crash-*.txt"))


def age(path: Path) -> None:
    """As if it had been written a minute ago."""
    os.utime(path, (time.time() - 60,) * 2)


@pytest.mark.parametrize("name", REAL)
def test_crash_is_one_fatal_event_with_the_stacks_of_all_threads(sandbox: Any, name: str) -> None:
    done = sandbox.python(CRASH % REAL[name], ERRTRACK_RELEASE="shop 1", ERRTRACK_ENVIRONMENT="stage")
    assert done.returncode == -getattr(signal, name), done.stderr
    event = sandbox.event()
    assert crash_files(sandbox) == []
    assert (event["level"], event["release"], event["environment"]) == ("fatal", "shop 1", "stage")
    (value,) = event["exception"]["values"]
    assert value["type"] == name
    mechanism = value["mechanism"]
    assert (mechanism["type"], mechanism["handled"]) == ("faulthandler", False)
    assert mechanism["meta"]["signal"]["number"] == getattr(signal, name)
    raising = next(f for f in reversed(value["stacktrace"]["frames"]) if f["filename"] == "app.py")
    assert (raising["function"], raising["in_app"], raising["lineno"]) == ("fail", True, 6)
    assert "def fail" in raising["pre_context"][-1] and "hunter2" not in raising["context_line"]
    crashed, *others = sorted(event["threads"]["values"], key=lambda thread: not thread["crashed"])
    assert crashed["id"] == value["thread_id"]
    (waiter,) = (t for t in others if any(f["function"] == "waits" for f in t["stacktrace"]["frames"]))
    assert not waiter["crashed"]
    assert sandbox.event()["event_id"] == event["event_id"]  # asked once more: not told twice


#: Where faulthandler can say least: the stack is used up, or objects are being taken apart.
ODD = {
    "C stack": """
import ctypes, logging, resource, sys
_, most = resource.getrlimit(resource.RLIMIT_STACK)
resource.setrlimit(resource.RLIMIT_STACK, (1 << 19, most))  # used up before 3.12 and later count too many C calls
sys.setrecursionlimit(10**8)
again = ctypes.CFUNCTYPE(None)(lambda: again())
again()
""",
    "collector": """
import ctypes, gc, logging
class Dies:
    def __init__(self): self.me = self
    def __del__(self): ctypes.string_at(0)
Dies()
gc.collect()
""",
}


@pytest.mark.parametrize("where", ODD)
def test_crash_where_little_can_be_said_is_one_event_all_the_same(sandbox: Any, where: str) -> None:
    done = sandbox.python(ODD[where])
    assert done.returncode == -signal.SIGSEGV, done.stderr
    event = sandbox.event()
    (value,) = event["exception"]["values"]
    assert (value["type"], event["level"]) == ("SIGSEGV", "fatal")
    assert any(frame["filename"] == "app.py" for frame in value["stacktrace"]["frames"])


def test_forked_childs_crash_is_its_own(sandbox: Any) -> None:
    code = "pid = os.fork() or os.abort(); os.waitpid(pid, 0); print(pid)"
    done = sandbox.python("import logging, os\n" + code)
    assert sandbox.event()["contexts"]["process"]["pid"] == int(done.stdout)


def test_next_process_with_an_event_reports_it_to_the_server_before_its_own(sandbox: Any, sink: Sink) -> None:
    sandbox.python(CRASH % "os.abort()", ERRTRACK_DSN=sink.dsn)
    assert sink.event_ids() == []
    sandbox.python("1 / 0", ERRTRACK_DSN=sink.dsn)
    types = [event["exception"]["values"][-1]["type"] for event in sink.events()]
    assert sorted(types) == ["SIGABRT", "ZeroDivisionError"]
    assert crash_files(sandbox) == []


def test_living_sibling_reports_it(sandbox: Any, sink: Sink) -> None:
    code = """
import errtrack, os, sys, time
from errtrack.delivery import worker
worker.LOOK_EVERY = 0.2
errtrack.capture_message("I live")
if os.fork() == 0:
    os.abort()
while not os.path.exists("looked"):
    time.sleep(0.05)
"""
    import threading

    from errtrack.delivery import forks

    # Where a thread that comes back in a fork hook is warned of, ours does with the next event, or the end.
    patience, seen = 1 if forks._COUNTS_LATE else 30, []

    def watch() -> None:
        end = time.monotonic() + patience
        while time.monotonic() < end and len(sink.event_ids()) < 2:
            time.sleep(0.05)
        seen.append(len(sink.event_ids()))
        sandbox.write("looked", "")

    watcher = threading.Thread(target=watch)
    watcher.start()
    sandbox.python(code, ERRTRACK_DSN=sink.dsn)
    watcher.join()
    assert seen == [1 if forks._COUNTS_LATE else 2]
    assert {e["level"] for e in sink.events()} == {"info", "fatal"}


def test_crash_for_another_destination_is_left_to_those_who_report_there(sandbox: Any, sink: Sink) -> None:
    sandbox.python(CRASH % "os.abort()", ERRTRACK_DSN="http://key@127.0.0.1:9/7")
    sandbox.python("1 / 0", ERRTRACK_DSN=sink.dsn)
    assert len(sink.wait(1)) == 1
    assert sandbox.events() == []
    assert len(crash_files(sandbox)) == 1


def test_what_a_killed_process_left_without_a_crash_goes(sandbox: Any) -> None:
    sandbox.python("import logging, os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    (left,) = crash_files(sandbox)
    age(left)
    assert sandbox.events() == [] and crash_files(sandbox) == []


def test_file_of_a_living_process_is_left_alone(sandbox: Any) -> None:
    code = """
import logging, os, subprocess, sys, glob
(path,) = glob.glob(os.environ["ERRTRACK_STORE"] + "/spool/v1/crash/*")
os.utime(path, (1, 1))
subprocess.run([sys.executable, "-m", "errtrack_run.cli", "list"], check=True)
print(os.path.exists(path))
"""
    assert sandbox.python(code, ERRTRACK_PROPAGATE="0").stdout.endswith("True\n")


def test_hook_of_the_application_sees_the_crash_and_a_command_leaves_it_to_the_application(
    sandbox: Any, sink: Sink
) -> None:
    sandbox.write(
        "hooks.py", "def tag(event, hint):\n    event['tags'] = {'seen': 'yes'}\n    return event\n"
    )
    env = {
        "ERRTRACK_DSN": sink.dsn,
        "ERRTRACK_BEFORE_SEND": "hooks:tag",
        "PYTHONPATH": str(sandbox.folder),
    }
    sandbox.python(CRASH % "os.abort()", **env)
    sandbox.errtrack("list", **env)
    assert len(crash_files(sandbox)) == 1
    sandbox.python("1 / 0", **env)
    assert [event["tags"]["seen"] for event in sink.events()] == ["yes", "yes"]


@pytest.mark.parametrize(
    "damage", [b"\xff\xfe\x00", b"Fatal Python error: \n" + b"Thread 0xzz (most recent call first):\n"]
)
def test_damaged_text_is_still_reported(sandbox: Any, damage: bytes) -> None:
    sandbox.python(CRASH % "os.abort()")
    (path,) = crash_files(sandbox)
    head = path.read_bytes().partition(b"\n\n")[0]
    path.write_bytes(head + b"\n\n" + damage)
    assert sandbox.event()["exception"]["values"][0]["type"] == "FatalError"


def test_text_of_newer_pythons_is_read() -> None:
    from errtrack.delivery import crash_report

    words, threads, rest = crash_report.parse(
        "Fatal Python error: Bus error\n\n"
        'Thread 0x00007f5c [pool 1] (most recent call first):\n  File "/a b/c.py", line 7 in <lambda>\n  ...\n\n'
        "Current thread 0x00007f5d [MainThread] (most recent call first):\n  Garbage-collecting\n"
        '  File "/x.py", line 3 in f\n  <no Python frame>\n\n'
        'Current thread\'s C stack trace (most recent call first):\n  Binary file "/usr/bin/python", at +0x1\n'
        "\nExtension modules: numpy.core (total: 1)\n"
    )
    assert words == "Bus error"
    assert [(t.name, t.current, t.frames) for t in threads] == [
        ("pool 1", False, [("/a b/c.py", 7, "<lambda>")]),
        ("MainThread", True, [("/x.py", 3, "f")]),
    ]
    assert any("Extension modules" in line for line in rest)


@pytest.mark.skipif(sys.platform != "linux", reason="kills itself by RLIMIT_CORE semantics of Linux")
def test_crash_in_a_thread_names_that_thread(sandbox: Any) -> None:
    code = """
import logging, threading, os
def boom():
    os.abort()
t = threading.Thread(target=boom); t.start(); t.join()
"""
    sandbox.python(code)
    event = sandbox.event()
    frames = event["exception"]["values"][0]["stacktrace"]["frames"]
    assert frames[-1]["function"] == "boom"
