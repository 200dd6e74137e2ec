# SPDX-License-Identifier: MIT
"""However a process ends, what it captured is delivered or on disk, and it ends as it would have without us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from deliveries import Child, waiting
from sink import Sink

CLOSE = """
import atexit
atexit.register(transport.close)
ids = [put() for _ in range(20)]
print(*ids, flush=True)
"""


def ids_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    return done.stdout.split()


@pytest.mark.parametrize(
    "ending, code",
    [("pass", 0), ("sys.exit(3)", 3), ("raise SystemExit('x')", 1), ("raise ValueError('x')", 1)],
)
def test_a_normal_end_delivers_everything_and_keeps_its_code(
    child: Child, sink: Sink, ending: str, code: int
) -> None:
    done = child.run(CLOSE + ending, sink.dsn)
    assert done.returncode == code
    assert sink.event_ids() == ids_of(done) and len(ids_of(done)) == 20
    assert "errtrack" not in done.stderr and "Exception ignored" not in done.stderr
    assert list(child.folder.rglob("seg-*")) == []


def test_a_healthy_server_delays_the_end_little(child: Child, sink: Sink) -> None:
    code = (
        CLOSE
        + "transport.flush(9); put(); a = time.monotonic(); transport.close(); print(time.monotonic() - a)"
    )
    assert float(ids_of(child.run(code, sink.dsn))[-1]) < 0.3


def test_server_that_hangs_is_waited_for_once_a_minute_and_not_by_every_process(
    child: Child, sink: Sink
) -> None:
    sink.mode = "hang"
    code = "a = time.monotonic()\n" + CLOSE + "transport.close(); print('took', time.monotonic() - a)"
    longest = {"ERRTRACK_SHUTDOWN_TIMEOUT": "6"}
    waits = [float(ids_of(child.run(code, sink.dsn, **longest))[-1]) for _ in range(3)]
    assert waits[0] > 5.9 and max(waits[1:]) < 4, waits
    assert len(waiting(child.folder)) == 60
    (mark,) = child.folder.rglob("away")
    os.utime(mark, (1, 1))  # as if that were long ago: it is waited for again
    sink.ok()
    assert float(ids_of(child.run(code, sink.dsn, **longest))[-1]) < 5.9
    assert not mark.exists()


def test_who_ends_soon_after_somebody_has_waited_in_vain_has_not_even_begun(child: Child, sink: Sink) -> None:
    sink.mode = "hang"
    child.run(CLOSE + "transport.close(0.5)", sink.dsn)
    (mark,) = child.folder.rglob("away")
    told_at = mark.stat().st_mtime
    patient = "from errtrack.delivery import worker; worker.PATIENCE = 60\n"
    done = child.run(patient + CLOSE + "transport.close(); print('urllib3' in sys.modules)", sink.dsn)
    assert ids_of(done)[-1] == "False"
    assert len(waiting(child.folder)) == 40
    assert mark.stat().st_mtime == told_at, "whoever has not tried has nothing to tell"


def test_a_server_that_is_back_is_not_left_alone_for_long(child: Child, sink: Sink) -> None:
    sink.mode = "hang"
    child.run(CLOSE + "transport.close(0.5)", sink.dsn)
    sink.ok()
    patient = "from errtrack.delivery import worker; worker.PATIENCE = 0.3\n"
    (one,) = ids_of(child.run(patient + "print(put(), flush=True); time.sleep(3); os._exit(0)", sink.dsn))
    assert one in sink.wait(1)
    assert list(child.folder.rglob("away")), "or it would not have been patient"
    asked = "put(); a = time.monotonic(); print(transport.flush(9), time.monotonic() - a, flush=True); os._exit(0)"
    patient = patient.replace("0.3", "60")
    settled, took = ids_of(child.run(patient + asked, sink.dsn))
    assert settled == "True" and float(took) < 9, "somebody waits for it"


def test_server_that_is_slow_but_answers_is_waited_for_by_the_next_process_too(
    child: Child, sink: Sink
) -> None:
    sink.mode, sink.delay = "slow", 0.5
    code = CLOSE + "transport.flush(1); transport.close(3)"
    ids = ids_of(child.run(code, sink.dsn))
    assert 0 < len(sink.event_ids()) < 20 and len(ids) == 20
    assert list(child.folder.rglob("away")) == []


def test_a_python_without_what_sending_needs_does_not_take_the_server_for_one_that_is_away(
    child: Child, sink: Sink
) -> None:
    lacking = "sys.modules['urllib3'] = None\n"
    done = child.run(lacking + "put(); transport.close(9)", sink.dsn)
    assert "cannot send: " in done.stderr and "install that for " + sys.executable in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(child.folder.rglob("away")) == []
    child.run("put(); transport.close(9)", sink.dsn)
    assert len(sink.event_ids()) == 2, "of both"


@pytest.mark.parametrize("ending", ["os._exit(0)", "os.kill(os.getpid(), 15)", "os.kill(os.getpid(), 1)", "os.kill(os.getpid(), 9)", "os.abort()",
                                    "os.execv('/bin/true', ['true'])", "import ctypes; ctypes.string_at(0)"])  # fmt: skip
def test_a_sudden_end_leaves_everything_to_the_next_process(child: Child, sink: Sink, ending: str) -> None:
    sink.answer(503)
    done = child.run(CLOSE + ending, sink.dsn)
    ids = ids_of(done)
    assert len(ids) == 20
    assert waiting(child.folder) == ids
    sink.ok()
    # The next run captures one event of its own, and with it takes the others along.
    again = child.run(
        "from errtrack.delivery import worker; worker.BACKLOG_GAP = 0.005\n"
        "ids = [put()]; transport.flush(9); time.sleep(0.5); print(*ids); transport.close()",
        sink.dsn,
    )
    assert sorted(sink.wait(21)) == sorted(ids + ids_of(again))
    assert len(sink.event_ids()) == 21


def test_sigterm_keeps_its_default_meaning(child: Child, sink: Sink) -> None:
    sink.mode = "hang"
    process = child.start(CLOSE + "time.sleep(30)", sink.dsn)
    assert process.stdout is not None
    ids = process.stdout.readline().split()
    process.terminate()
    assert process.wait(5) == -signal.SIGTERM
    process.communicate()
    assert waiting(child.folder) == ids


def test_a_server_that_never_answers_delays_the_end_by_the_timeout_and_no_more(
    child: Child, sink: Sink
) -> None:
    sink.mode = "hang"
    began = time.monotonic()
    done = child.run(CLOSE + "print(time.monotonic(), flush=True)", sink.dsn)
    ended = time.monotonic()
    *ids, at_the_end = ids_of(done)
    assert ended - float(at_the_end) < 6, "of a process that began %.1f s ago" % (ended - began)
    assert done.returncode == 0
    assert waiting(child.folder) == ids


def test_a_server_that_is_known_to_hang_does_not_delay_the_end(child: Child, sink: Sink) -> None:
    sink.mode = "hang"
    done = child.run(
        CLOSE
        + "while not transport._worker().destination.is_in_trouble(time.monotonic()): time.sleep(0.05)\n"
        + "a = time.monotonic(); transport.close(); print(time.monotonic() - a)",
        sink.dsn,
        ERRTRACK_SHUTDOWN_TIMEOUT="20",
    )
    *ids, took = ids_of(done)
    assert float(took) < 5
    assert waiting(child.folder) == ids


def test_a_server_that_is_known_to_be_down_does_not_delay_the_end(child: Child) -> None:
    code = CLOSE + "transport.flush(1); a = time.monotonic(); transport.close(); print(time.monotonic() - a)"
    done = child.run(code, "http://k@127.0.0.1:1/1")
    *ids, took = ids_of(done)
    assert float(took) < 0.2
    assert waiting(child.folder) == ids
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("timeout", ["0", "0.5"])
def test_the_timeout_is_a_setting(child: Child, sink: Sink, timeout: str) -> None:
    sink.mode = "hang"
    code = CLOSE + "a = time.monotonic(); transport.close(); print(time.monotonic() - a)"
    done = child.run(code, sink.dsn, ERRTRACK_SHUTDOWN_TIMEOUT=timeout)
    took = float(ids_of(done)[-1])
    assert took < float(timeout) + 0.35


def test_the_first_event_of_an_atexit_callback_is_delivered(child: Child, sink: Sink) -> None:
    done = child.run(
        "import atexit\natexit.register(transport.close)\natexit.register(lambda: print(put()))", sink.dsn
    )
    assert sink.event_ids() == ids_of(done) and len(ids_of(done)) == 1
    assert done.stderr == ""


def test_no_store_is_waited_for_at_the_end(child: Child) -> None:
    code = CLOSE + "a = time.monotonic(); transport.close(); print(time.monotonic() - a)"
    done = child.run(code)
    assert float(ids_of(done)[-1]) < 0.3
    assert done.stderr == ""


@pytest.mark.parametrize("numbers", ["2", "0, 1, 2"])
def test_closed_standard_streams_do_no_harm(child: Child, sink: Sink, numbers: str) -> None:
    code = (
        """
for number in (%s,): os.close(number)
ids = [put() for _ in range(3)]
code = transport.close(9)
open("out", "w").write(" ".join(ids))
os._exit(0 if code else 1)
"""
        % numbers
    )
    done = child.run(code, sink.dsn)
    assert done.returncode == 0
    assert sink.event_ids() == (child.folder / "out").read_text().split()


def test_the_exit_code_is_kept_when_no_descriptor_is_left(child: Child) -> None:
    code = (
        CLOSE
        + """
import resource
transport.flush(1)
resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))
taken = []
try:
    while True: taken.append(os.open("/dev/null", 0))
except OSError: pass
os.write(1, (put() + chr(10)).encode())
raise ValueError("x")
"""
    )
    done = child.run(code, "http://k@127.0.0.1:1/1")
    assert done.returncode == 1, done.stderr
    assert waiting(child.folder) == ids_of(done) and len(ids_of(done)) == 21


def test_no_thread_of_ours_is_alive_when_the_interpreter_is_torn_down(child: Child, sink: Sink) -> None:
    sink.mode = "hang"
    code = (
        CLOSE
        + """
import atexit
def last():
    os.write(1, (" threads=%d" % len(os.listdir("/proc/self/task"))).encode())
transport.close(0.3); time.sleep(0.05); last()
"""
    )
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("threads are counted in /proc")
    assert ids_of(child.run(code, sink.dsn))[-1] == "threads=1"


def test_home_and_every_folder_missing_still_delivers(child: Child, sink: Sink, tmp_path: Path) -> None:
    del child.env["HOME"], child.env["ERRTRACK_STORE"]
    code = "ids = [put()]; transport.close(9); print(*ids)"
    done = child.run(code, sink.dsn, XDG_STATE_HOME=str(tmp_path / "x"))
    assert done.returncode == 0 and done.stderr == ""
    assert sink.event_ids() == ids_of(done)


def test_a_resolver_that_hangs_delays_the_end_by_the_timeout_and_no_more(child: Child) -> None:
    code = (
        "import socket\n"
        "real = socket.getaddrinfo\n"
        "def hangs(*args, **kwargs): time.sleep(40); return real(*args, **kwargs)\n"
        "socket.getaddrinfo = hangs\n"
        + CLOSE
        + "a = time.monotonic(); transport.close(); print(time.monotonic() - a)"
    )
    done = child.run(code, "http://k@errtrack.invalid/1", ERRTRACK_SHUTDOWN_TIMEOUT="1")
    *ids, took = ids_of(done)
    assert 0.9 < float(took) < 10 and done.returncode == 0
    assert waiting(child.folder) == ids and len(ids) == 20


def test_a_crash_loop_of_a_program_with_a_slow_server_delivers_as_it_goes(child: Child, sink: Sink) -> None:
    sink.mode, sink.delay = "slow", 1.0
    code = "import atexit\natexit.register(transport.close)\nprint(put(), flush=True)\ntime.sleep(0.2)\nraise ValueError"
    ids = [one for _ in range(3) for one in ids_of(child.run(code, sink.dsn, ERRTRACK_SHUTDOWN_TIMEOUT="20"))]
    assert sink.event_ids() == ids and len(ids) == 3


def test_a_living_sibling_delivers_what_a_killed_process_left(child: Child, sink: Sink) -> None:
    sibling = child.start(
        "from errtrack.delivery import worker\nworker.LOOK_EVERY = 0.3\n"
        "put(); transport.flush(20); print('lives', flush=True); time.sleep(90)",
        sink.dsn,
    )
    try:
        assert sibling.stdout is not None and sibling.stdout.readline() == "lives\n"
        sink.answer(503)
        ids = ids_of(child.run(CLOSE + "os.kill(os.getpid(), 9)", sink.dsn))
        sink.ok()
        assert set(sink.wait(21, timeout=60)) >= set(ids) and len(ids) == 20
    finally:
        sibling.kill()
        sibling.communicate()
