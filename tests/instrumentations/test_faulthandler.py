"""Fatal signals leave their stacks in a crash file of the process; a process that ends well leaves nothing."""

from __future__ import annotations

import re
import signal
import stat
from pathlib import Path

import pytest


def crash_files(sandbox) -> list[Path]:
    return sorted((sandbox.store / "spool" / "v1" / "crash").glob("crash-*.txt"))


def parts_of(path: Path) -> tuple[dict[str, str], str]:
    head, _, stacks = path.read_text().partition("\n\n")
    return dict(line.split(": ", 1) for line in head.splitlines()), stacks


CRASH = "import logging, os, signal, sys, threading\ndef fail():\n    %s\nfail()"


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGFPE", "SIGBUS", "SIGILL"])
def test_fatal_signal_leaves_its_stacks_and_still_kills(sandbox, name: str) -> None:
    code = CRASH % ("os.kill(os.getpid(), signal.%s); import time; time.sleep(5)" % name)
    bare = sandbox.python(code, launched=False)
    watched = sandbox.python(code, ERRTRACK_RELEASE="shop 1", ERRTRACK_ENVIRONMENT="stage")
    assert (watched.returncode, watched.stdout, watched.stderr) == (bare.returncode, bare.stdout, bare.stderr)
    assert watched.returncode == -getattr(signal, name)
    (path,) = crash_files(sandbox)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    head, stacks = parts_of(path)
    assert head["errtrack-crash"] == "1" and head["pid"] in path.name and head["destination"] == "store"
    assert (head["release"], head["environment"]) == ("shop 1", "stage")
    assert stacks.startswith("Fatal Python error: ")
    assert re.search(r'app\.py", line \d+ in fail', stacks)


def test_all_threads_are_in_it(sandbox) -> None:
    code = """
started = threading.Event()
    def waits():
        started.set(); threading.Event().wait()
    threading.Thread(target=waits, daemon=True).start(); started.wait()
    os.abort()""".lstrip()
    sandbox.python(CRASH % code)
    (path,) = crash_files(sandbox)
    _, stacks = parts_of(path)
    assert "in waits" in stacks and "in fail" in stacks and "Current thread" in stacks


@pytest.mark.parametrize("end", ["pass", "sys.exit(3)", "1 / 0", "raise KeyboardInterrupt"])
def test_process_that_ends_by_itself_leaves_nothing(sandbox, end: str) -> None:
    listing = "print(len(os.listdir(os.environ['ERRTRACK_STORE'] + '/spool/v1/crash')))\n    "
    done = sandbox.python(CRASH % (listing + end))
    assert done.stdout == "1\n"
    assert crash_files(sandbox) == []


def test_nothing_is_opened_where_nothing_is_instrumented(sandbox) -> None:
    code = "import os, faulthandler; print(faulthandler.is_enabled(), os.path.exists(os.environ['ERRTRACK_STORE']))"
    assert sandbox.python(code).stdout == "False False\n"


def test_forked_child_has_a_file_of_its_own(sandbox) -> None:
    code = CRASH % "pid = os.fork() or os.abort(); os.waitpid(pid, 0); print(pid)"
    done = sandbox.python(code)
    (path,) = crash_files(sandbox)
    head, stacks = parts_of(path)
    assert head["pid"] == done.stdout.strip() and "in fail" in stacks


def test_parent_of_a_child_that_ended_well_still_has_its_file(sandbox) -> None:
    sandbox.python(CRASH % "pid = os.fork() or sys.exit(); os.waitpid(pid, 0); os.abort()")
    (path,) = crash_files(sandbox)
    assert "in fail" in parts_of(path)[1]


def test_file_is_locked_while_the_process_lives(sandbox) -> None:
    code = """
import fcntl
    folder = os.environ["ERRTRACK_STORE"] + "/spool/v1/crash/"
    (name,) = os.listdir(folder)
    with open(folder + name) as file:
        try: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError: print("locked")""".lstrip()
    assert sandbox.python(CRASH % code).stdout == "locked\n"


def test_handler_of_the_application_stays(sandbox) -> None:
    done = sandbox.python(CRASH % "os.abort()", PYTHONFAULTHANDLER="1")
    assert "Fatal Python error: Aborted" in done.stderr and crash_files(sandbox) == []


def test_application_that_enables_it_later_has_its_way(sandbox) -> None:
    later = "import faulthandler; faulthandler.enable()\n    "
    bare = sandbox.python(CRASH % (later + "os.abort()"), launched=False)
    done = sandbox.python(CRASH % (later + "os.abort()"))
    assert "Fatal Python error: Aborted" in done.stderr
    assert done.stderr.count("File") == bare.stderr.count("File")
    at_exit = later + "import atexit; atexit.register(lambda: print(faulthandler.is_enabled()))"
    assert sandbox.python(CRASH % at_exit).stdout == "True\n"


def test_keys_of_the_dsn_are_not_written(sandbox) -> None:
    sandbox.python(CRASH % "os.abort()", ERRTRACK_DSN="http://secretkey@127.0.0.1:9/7")
    (path,) = crash_files(sandbox)
    assert "secretkey" not in path.read_text()
    assert parts_of(path)[0]["destination"] == "http://***@127.0.0.1:9/7"


def test_no_folder_no_file_and_no_word(sandbox) -> None:
    sandbox.write("plain-file", "")
    code = CRASH % "pass"
    unusable = {"ERRTRACK_STORE": str(sandbox.folder / "plain-file"), "HOME": "/", "TMPDIR": "/dev/null"}
    done = sandbox.python(code, **unusable)
    assert (done.returncode, done.stderr) == (0, "")


def test_daemon_that_closes_all_descriptors_gets_no_stacks_in_its_files(sandbox) -> None:
    code = """
os.closerange(3, 64)
    data = [os.open("data-%d" % n, os.O_CREAT | os.O_WRONLY) for n in range(20)]
    if os.fork() == 0: sys.exit()
    os.wait()
    print(sum(os.fstat(n).st_size for n in data))""".lstrip()
    assert sandbox.python(CRASH % code).stdout == "0\n"


CLOSES = """
import time
    logging.error("before")
    time.sleep(0.5)  # for our thread to have done what it does; less than the second in which we look again
    os.closerange(3, 2000)
    data = [os.open("data-%%d" %% n, os.O_CREAT | os.O_WRONLY) for n in range(20)]
    for n in range(5): logging.error("after %%d", n)
    print(sum(os.fstat(n).st_size for n in data), flush=True)
    %s""".lstrip()


@pytest.mark.parametrize("end", ["os.abort()", "os.fork() or os.abort(); os.wait()"])
def test_daemon_that_closes_all_descriptors_gets_nothing_of_ours_in_its_files(sandbox, end: str) -> None:
    dsn = "http://key@127.0.0.1:9/1"
    done = sandbox.python(CRASH % (CLOSES % end), ERRTRACK_DSN=dsn, ERRTRACK_SHUTDOWN_TIMEOUT="0")
    assert done.stdout == "0\n"
    files = sorted(sandbox.folder.glob("data-*"))
    assert len(files) == 20 and [path.read_bytes() for path in files] == [b""] * 20
    kept = b"".join(path.read_bytes() for path in sandbox.store.rglob("seg-*.log"))
    assert [n for n in range(5) if b'"after %d"' % n not in kept and b"after %d" % n not in kept] == []


SOCKETS = """
import socket, time
    logging.error("before")
    time.sleep(1)
    os.closerange(3, 2000)
    pairs = [socket.socketpair() for _ in range(10)]
    logging.error("after")
    time.sleep(1)
    heard = b""
    for end in sum(pairs, ()):
        end.setblocking(False)
        try: heard += end.recv(100)
        except BlockingIOError: pass
    print(heard)""".lstrip()


def test_daemon_that_closes_all_descriptors_gets_nothing_of_ours_in_its_connections(sandbox) -> None:
    from agent.sink import Sink

    with Sink() as sink:
        done = sandbox.python(CRASH % SOCKETS, ERRTRACK_DSN="http://key@127.0.0.1:%d/1" % sink.port)
        kept = b"".join(item[1] for request in sink.accepted for item in request.envelope.items)
    assert done.stdout == "b''\n"
    assert b"before" in kept and b"after" in kept


def test_file_never_takes_the_place_of_stderr(sandbox) -> None:
    code = "import os; os.close(2)\nimport logging\nos.write(os.open('data', os.O_CREAT | os.O_WRONLY), b'x')"
    code += "\nprint(open('data').read(), os.fstat(2).st_size, flush=True)\nimport os; os.abort()"
    assert sandbox.python(code).stdout == "x 1\n"
    (path,) = crash_files(sandbox)
    assert "Fatal Python error" in parts_of(path)[1]


def test_disabled_by_name(sandbox) -> None:
    sandbox.python(CRASH % "os.abort()", ERRTRACK_DISABLE="faulthandler")
    assert crash_files(sandbox) == []
    sandbox.python(CRASH % "os.abort()")
    assert len(crash_files(sandbox)) == 1


def test_to_a_program_that_asks_it_is_not_enabled(sandbox) -> None:
    code = """
import faulthandler
    print(faulthandler.is_enabled(), faulthandler.is_enabled.__name__)
    if not faulthandler.is_enabled():
        faulthandler.enable(open("crash.log", "w"))
    print(faulthandler.is_enabled(), faulthandler.disable(), faulthandler.is_enabled(), flush=True)
    faulthandler.enable(file=open("crash.log", "w"), all_threads=True)
    print(faulthandler.is_enabled(), flush=True)
    os.abort()""".lstrip()
    bare = sandbox.python(CRASH % code, launched=False)
    assert bare.stdout.split() == ["False", "is_enabled", "True", "True", "False", "True"]
    done = sandbox.python(CRASH % code)
    assert (done.returncode, done.stdout, done.stderr) == (bare.returncode, bare.stdout, bare.stderr)
    assert "Fatal Python error: Aborted" in (sandbox.folder / "crash.log").read_text()
