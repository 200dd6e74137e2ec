# SPDX-License-Identifier: MIT
"""A program at a terminal ends at once, and a process of its own delivers what was pending."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from deliveries import Child, waiting
from sink import Sink

from errtrack.delivery import uploader
from errtrack.options import Options

needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="processes are found in /proc")

#: Ends with what it captured pending, and says how long the end took and what was imported for it.
END = """
ids = [put() for _ in range(10)]
a = time.monotonic()
transport.close()
print(*ids, time.monotonic() - a, "urllib3" in sys.modules, flush=True)
"""


def uploaders(folder: Path) -> list[int]:
    """The processes that upload from below *folder*."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            words = Path("/proc", entry, "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(b"uploader.upload" in word for word in words) and any(
            word.startswith(os.fsencode(str(folder))) for word in words
        ):
            found.append(int(entry))
    return found


@pytest.fixture
def program(child: Child, sink: Sink) -> Iterator[Child]:
    """Programs that have an uploader; none of these outlives the test."""
    child.env.update(ERRTRACK_DSN=sink.dsn, ERRTRACK_UPLOADER="on", ERRTRACK_REQUEST_TIMEOUT="1")
    yield child
    for pid in uploaders(child.folder):
        os.kill(pid, signal.SIGKILL)


def ended(done: subprocess.CompletedProcess[str]) -> tuple[list[str], float, bool]:
    *ids, took, has_imported = done.stdout.split()
    assert done.returncode == 0 and done.stderr == "", done
    return ids, float(took), has_imported == "True"


def test_end_takes_no_time_and_everything_arrives(program: Child, sink: Sink) -> None:
    ids, took, has_imported = ended(program.run(END, sink.dsn))
    assert took < 0.1 and not has_imported
    assert sorted(sink.wait(10, timeout=30)) == sorted(ids)


@needs_proc
def test_uploader_is_gone_when_it_has_delivered(
    program: Child, sink: Sink, until: Callable[..., Any]
) -> None:
    program.run(END, sink.dsn)
    sink.wait(10, timeout=30)
    until(lambda: not uploaders(program.folder))
    assert waiting(program.folder) == [] and len(sink.event_ids()) == 10


def test_server_that_hangs_delays_no_end_and_gets_everything_when_it_is_back(
    program: Child, sink: Sink
) -> None:
    sink.mode = "hang"
    ids, took, _ = ended(program.run(END, sink.dsn))
    assert took < 0.1
    time.sleep(1.5)
    assert sorted(waiting(program.folder)) == sorted(ids)
    sink.ok()
    assert set(sink.wait(10, timeout=30)) == set(ids)


def test_delivery_that_has_begun_is_waited_for_a_tenth_of_a_second(program: Child, sink: Sink) -> None:
    sink.mode = "hang"
    begun = "put(); transport.flush(0.5)\n"
    ids, took, has_imported = ended(program.run(begun + END, sink.dsn))
    # A thread in the middle of an import or a request is given a moment to end.
    assert has_imported and took < 0.1 + 0.3 + 0.3
    sink.ok()
    assert set(sink.wait(11, timeout=30)) > set(ids)


@needs_proc
def test_there_is_one_at_a_time_and_it_delivers_what_came_later(program: Child, sink: Sink) -> None:
    sink.mode = "hang"
    ids = []
    for _ in range(4):
        ids += ended(program.run(END, sink.dsn))[0]
        time.sleep(0.3)
    assert len(uploaders(program.folder)) == 1
    sink.ok()
    assert set(sink.wait(40, timeout=40)) == set(ids)


def test_who_ends_while_one_is_at_work_starts_no_other(program: Child, sink: Sink) -> None:
    code = """
from errtrack.delivery import uploader
put()
at_work = uploader._take(transport._folder())
def never(*args, **kwargs): print("started", flush=True)
os.posix_spawn = never
transport.close()
"""
    assert program.run(code, sink.dsn).stdout == ""


def test_what_is_left_in_an_uploaders_last_moment_is_delivered_too(program: Child, sink: Sink) -> None:
    """Whoever ends just then has seen the lock."""
    code = """
from errtrack.delivery import uploader
first = put(); transport.close(0)
tell, late = uploader.away.tell, []
def leave_another(folder, in_vain):
    tell(folder, in_vain)
    if not late:
        another = Transport(options, Dsn.parse(sys.argv[1]))
        one = os.urandom(16).hex()
        another.put(build(one, "event", ('{"event_id":"%s"}' % one).encode()))
        late.append(one)
        another.close(0)
uploader.away.tell = leave_another
uploader.upload(transport._folder(), 30)
print(first, *late)
"""
    done = program.run(code, sink.dsn)
    assert sorted(sink.event_ids()) == sorted(done.stdout.split()) and len(sink.event_ids()) == 2, done


@needs_proc
def test_many_that_end_together_lose_nothing(program: Child, sink: Sink, until: Callable[..., Any]) -> None:
    running = [program.start(END, sink.dsn) for _ in range(8)]
    ids = [one for process in running for one in process.communicate(timeout=60)[0].split()[:10]]
    assert sorted(sink.wait(80, timeout=60)) == sorted(ids)
    until(lambda: not uploaders(program.folder))


@needs_proc
def test_uploader_gives_up_after_its_life_and_what_is_left_is_not_tried_again_at_once(
    program: Child, sink: Sink, until: Callable[..., Any]
) -> None:
    sink.mode = "hang"
    short = "from errtrack.delivery import uploader; uploader.LIFE = 2\n"
    ids, _, _ = ended(program.run(short + END, sink.dsn))
    until(lambda: not uploaders(program.folder))
    assert sorted(waiting(program.folder)) == sorted(ids)
    assert list(program.folder.rglob("away"))
    _, took, _ = ended(program.run(END, sink.dsn))
    assert took < 0.5 and not uploaders(program.folder)
    assert len(waiting(program.folder)) == 20


@needs_proc
def test_uploader_has_nothing_of_the_program(program: Child, sink: Sink, until: Callable[..., Any]) -> None:
    """No terminal's session, no stream, no folder, no descriptor; a lock held by one of these is free at once."""
    sink.mode = "hang"
    lock = program.folder / "lock"
    code = """
import fcntl
held = open("lock", "w"); os.dup2(held.fileno(), 77); fcntl.flock(77, fcntl.LOCK_EX)
assert os.get_inheritable(77)
"""
    ended(program.run(code + END, sink.dsn))  # its pipes are at their end: nobody else holds them
    with lock.open() as free:
        fcntl.flock(free, fcntl.LOCK_EX | fcntl.LOCK_NB)
    (pid,) = until(lambda: uploaders(program.folder))
    assert os.getsid(pid) == pid
    until(lambda: os.readlink("/proc/%d/cwd" % pid) == "/")
    links = [os.readlink("/proc/%d/fd/%s" % (pid, name)) for name in ("0", "1", "2")]
    assert links == [os.devnull] * 3


@needs_proc
def test_settings_given_in_code_are_the_uploaders_too(program: Child, sink: Sink) -> None:
    del program.env["ERRTRACK_DSN"], program.env["ERRTRACK_UPLOADER"], program.env["ERRTRACK_STORE"]
    code = """
import errtrack
errtrack.init(dsn=sys.argv[1], uploader="on", store=sys.argv[2])
print(errtrack.capture_message("pending"), flush=True)
errtrack.close()
"""
    done = program.run(code, sink.dsn, str(program.folder / "elsewhere"))
    assert sink.wait(1, timeout=30) == done.stdout.split(), done


def test_what_was_lost_is_told_with_what_was_pending(program: Child, sink: Sink) -> None:
    lost = "transport.lost('sample_rate', 'error')\n"
    ended(program.run(lost + END, sink.dsn))
    sink.wait(10, timeout=30)
    end = time.monotonic() + 10
    while time.monotonic() < end and not any(b'"discarded_events"' in one for one in bodies(sink)):
        time.sleep(0.05)
    assert any(b'"reason":"sample_rate","category":"error","quantity":1' in one for one in bodies(sink))


def bodies(sink: Sink) -> list[bytes]:
    return [request.body for request in list(sink.requests)]


def test_nothing_pending_starts_nothing(program: Child, sink: Sink) -> None:
    code = """
put(); transport.flush(20)
def never(*args, **kwargs): print("started", flush=True)
os.posix_spawn = never
transport.close()
"""
    assert program.run(code, sink.dsn).stdout == ""


def test_python_that_cannot_be_started_leaves_all_on_disk_and_says_nothing(
    program: Child, sink: Sink
) -> None:
    gone = "sys.executable = '/nowhere/python3'\n"
    ids, took, _ = ended(program.run(gone + END, sink.dsn))
    assert took < 0.5
    assert waiting(program.folder) == ids


@pytest.mark.parametrize("executable", ["'/usr/bin/uwsgi'", "''", "None"])
def test_what_is_no_python_is_not_started(program: Child, sink: Sink, executable: str) -> None:
    program.env["ERRTRACK_SHUTDOWN_TIMEOUT"] = "9"
    uwsgi = (
        """
def never(*args, **kwargs): print("started", flush=True)
os.posix_spawn, sys.executable = never, %s
transport = Transport(options, Dsn.parse(sys.argv[1]))
"""
        % executable
    )
    ids, _, has_imported = ended(program.run(uwsgi + END, sink.dsn))
    assert has_imported and sorted(sink.event_ids()) == sorted(ids), "it delivered by itself"


def test_where_nothing_can_be_sent_that_is_told(program: Child, sink: Sink) -> None:
    code = """
sys.path[:] = [entry for entry in sys.path if not os.path.isdir(os.path.join(entry, "urllib3"))]
transport = Transport(options, Dsn.parse(sys.argv[1]))
"""
    done = program.run(code + END, sink.dsn)
    assert "cannot send" in done.stderr and not list(program.folder.rglob("uploader"))
    assert waiting(program.folder) == done.stdout.split()[:10]


def test_what_no_disk_took_is_delivered_before_the_end(program: Child, sink: Sink) -> None:
    program.env["ERRTRACK_SHUTDOWN_TIMEOUT"] = "9"
    code = """
from errtrack.delivery.spool import Spool
Spool.put = lambda self, payload, kind=1, fatal=False: False
one = os.urandom(16).hex()
transport.put(build(one, "event", ('{"event_id":"%s"}' % one).encode()))
transport.close()
print(one)
"""
    done = program.run(code, sink.dsn)
    assert sink.event_ids() == done.stdout.split()


def test_timeout_that_somebody_asks_for_is_kept(program: Child, sink: Sink) -> None:
    code = "one = put(); print(transport.close(20), one)"
    settled, one = program.run(code, sink.dsn).stdout.split()
    assert settled == "True" and sink.event_ids() == [one]


@pytest.mark.parametrize("setting", ["off", "auto"])
def test_without_a_terminal_nobody_is_waiting(program: Child, sink: Sink, setting: str) -> None:
    program.env.update(ERRTRACK_UPLOADER=setting, ERRTRACK_SHUTDOWN_TIMEOUT="20")
    ids, _, has_imported = ended(program.run(END, sink.dsn))
    assert has_imported and sorted(sink.event_ids()) == sorted(ids)


class Terminal:
    """Descriptor 2 of this process is a terminal meanwhile."""

    def __enter__(self) -> None:
        self.kept = os.dup(2)
        self.ends = pty.openpty()
        os.dup2(self.ends[1], 2)

    def __exit__(self, *exc: object) -> None:
        os.dup2(self.kept, 2)
        for descriptor in (self.kept, *self.ends):
            os.close(descriptor)


@pytest.mark.parametrize(
    "setting, environ, files, expected",
    [
        ("auto", {}, (), True),
        ("off", {}, (), False),
        ("auto", {"DYNO": "web.1"}, (), False),
        ("auto", {"AWS_LAMBDA_FUNCTION_NAME": "f"}, (), False),
        ("auto", {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, (), False),
        ("auto", {}, (".dockerenv",), False),
        ("auto", {}, ("run/.containerenv",), False),
        ("on", {"DYNO": "web.1"}, (".dockerenv",), True),
    ],
)
def test_auto_is_for_terminals_outside_of_containers(
    tmp_path: Path, setting: str, environ: dict[str, str], files: tuple[str, ...], expected: bool
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    options = Options()
    assert options.set("uploader", setting, "test")
    with Terminal():
        assert uploader.applies(options, environ, str(tmp_path)) is expected


def test_at_a_terminal_the_prompt_is_back_at_once(program: Child, sink: Sink) -> None:
    """The whole of it: errtrack-run, a program that crashes, a server that takes its time."""
    del program.env["ERRTRACK_UPLOADER"], program.env["PYTHONPATH"]
    program.env["PATH"] = os.path.dirname(sys.executable) + os.pathsep + program.env["PATH"]
    sink.mode, sink.delay = "slow", 1.0
    script = program.folder / "crash.py"
    # Continuous integration runs in containers; there a program would wait.
    outside = "from errtrack import surroundings\nsurroundings.detect = lambda environ, root='': {}\n"
    script.write_text(outside + "1/0\n")
    mine, theirs = pty.openpty()
    began = time.monotonic()
    process = subprocess.Popen(
        ["errtrack-run", sys.executable, str(script)], env=program.env, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    assert process.wait(30) == 1
    took = time.monotonic() - began
    text = os.read(mine, 10_000).decode()
    os.close(mine)
    assert "ZeroDivisionError" in text and "errtrack" not in text.replace("errtrack_run", "")
    assert sink.event_ids() == [] and took < 5
    assert len(sink.wait(1, timeout=30)) == 1
