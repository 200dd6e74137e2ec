"""The last events: delivered when the server is there, kept when it is not, and no exit is held up for long."""

from __future__ import annotations

import http.server
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from standing_still import seconds, watched

#: Where delivery is looked at and not its time: two seconds are much for this, and little where others have the processors.
PATIENT = {"ERRTRACK_SHUTDOWN_TIMEOUT": "20"}


@pytest.fixture
def healthy() -> Iterator[tuple[str, list[bytes]]]:
    """A server that takes everything: its DSN, and the bodies it has got."""
    bodies: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield "http://key@127.0.0.1:%d/1" % server.server_port, bodies
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def hanging() -> Iterator[str]:
    """A server that accepts and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield "http://key@127.0.0.1:%d/1" % server.getsockname()[1]


MESSAGES = "import errtrack\nfor n in range(20): errtrack.capture_message('message %d' % n)\n"


def cost_of(run: Callable[[], Any]) -> tuple[Any, float]:
    """What *run* returns, and the seconds of a processor that its process took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    returned = run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return returned, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.mark.parametrize("end", ["", "import sys; sys.exit(3)", "1 / 0", "raise SystemExit('text')"])
def test_events_of_the_last_moment_are_delivered(sandbox, healthy, end: str) -> None:
    dsn, bodies = healthy
    bare, cost_of_bare = cost_of(lambda: sandbox.python(end, launched=False))
    done, cost = cost_of(lambda: sandbox.python(MESSAGES + end, ERRTRACK_DSN=dsn, **PATIENT))
    assert cost - cost_of_bare < 2
    assert done.returncode == bare.returncode
    assert len(bodies) == 20 + end.startswith("1 / 0")
    assert "errtrack" not in done.stderr


def test_exit_waits_no_longer_than_the_timeout_for_a_hanging_server(sandbox, hanging: str) -> None:
    def waited(**env: str) -> float:
        note = sandbox.folder / "note"
        assert sandbox.python(watched(MESSAGES, note), **env).returncode == 0
        return seconds(note)

    assert waited(ERRTRACK_DSN=hanging, ERRTRACK_SHUTDOWN_TIMEOUT="0") < 0.7
    assert 0.5 < waited(ERRTRACK_DSN=hanging, ERRTRACK_SHUTDOWN_TIMEOUT="1") < 1.7


def test_nothing_captured_means_no_wait_and_nothing_loaded(sandbox, hanging: str) -> None:
    done = sandbox.python(
        "import sys; import atexit; atexit.register(lambda: print(sorted(sys.modules)))", ERRTRACK_DSN=hanging
    )
    assert "errtrack.client" not in done.stdout and "'threading'" not in done.stdout


def test_event_captured_in_a_callback_of_the_application_at_exit(sandbox, healthy) -> None:
    dsn, bodies = healthy
    code = "import atexit, errtrack\natexit.register(lambda: errtrack.capture_message('late'))"
    done = sandbox.python(code, ERRTRACK_DSN=dsn, **PATIENT)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(bodies) == 1


@pytest.mark.parametrize("disabled", ["atexit", ""])
def test_disabled_by_name_nobody_waits_and_events_are_left_on_disk(
    sandbox, hanging: str, disabled: str
) -> None:
    note = sandbox.folder / "note"
    env = {"ERRTRACK_SHUTDOWN_TIMEOUT": "2", "ERRTRACK_DISABLE": disabled}
    assert sandbox.python(watched(MESSAGES, note), ERRTRACK_DSN=hanging, **env).returncode == 0
    assert (seconds(note) < 1) is bool(disabled)
    assert [path for path in sandbox.store.rglob("seg-*") if path.stat().st_size]


def test_embedded_store_needs_no_wait(sandbox) -> None:
    note = sandbox.folder / "note"
    sandbox.python(watched(MESSAGES, note))
    assert seconds(note) < 0.5
    assert len(sandbox.events()) == 20


TERMINATED = """
import errtrack, os, signal, sys, threading, time
%s
errtrack.capture_message("last")
os.kill(os.getpid(), signal.%s)
time.sleep(10)
"""


@pytest.fixture
def slow() -> Iterator[tuple[str, list[bytes]]]:
    """A server that takes everything, half a second late."""
    bodies: list[bytes] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(0.5)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            try:
                self.end_headers()
                self.wfile.write(b"{}")
            except OSError:
                return
            bodies.append(body)

        def log_message(self, *args: object) -> None:
            pass

    class Quiet(http.server.ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield "http://key@127.0.0.1:%d/1" % server.server_port, bodies
    server.shutdown()
    thread.join()
    server.server_close()


def delivered(bodies: list[bytes]) -> int:
    deadline = time.monotonic() + 1
    while not bodies and time.monotonic() < deadline:
        time.sleep(0.02)
    return len(bodies)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_signal_by_option_delivers_and_still_kills(sandbox, slow, name: str) -> None:
    import signal

    dsn, bodies = slow
    signals = {"ERRTRACK_ATEXIT_SIGNALS": "sigterm,SIGHUP", **PATIENT}
    done = sandbox.python(TERMINATED % ("", name), ERRTRACK_DSN=dsn, **signals)
    assert done.returncode == -getattr(signal, name)
    assert delivered(bodies) == 1


def test_without_the_option_no_handler_is_installed(sandbox, slow) -> None:
    code = "import errtrack, signal; errtrack.capture_message('x')\n"
    code += "print([signal.getsignal(n) is signal.SIG_DFL for n in (signal.SIGTERM, signal.SIGHUP)])"
    assert sandbox.python(code).stdout == "[True, True]\n"
    assert sandbox.python(code, ERRTRACK_ATEXIT_SIGNALS="SIGTERM").stdout == "[False, True]\n"
    assert sandbox.python(TERMINATED % ("", "SIGTERM")).returncode == -15


def test_handlers_of_the_application_stay(sandbox) -> None:
    mine = "def mine(*a): print('mine', flush=True); sys.exit(7)\nsignal.signal(signal.SIGTERM, mine)"
    done = sandbox.python(TERMINATED % (mine, "SIGTERM"), ERRTRACK_ATEXIT_SIGNALS="SIGTERM")
    assert (done.returncode, done.stdout) == (7, "mine\n")
    ignored = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    code = (TERMINATED % (ignored, "SIGHUP")).replace("sleep(10)", "sleep(0.1)")
    assert sandbox.python(code, ERRTRACK_ATEXIT_SIGNALS="SIGHUP").returncode == 0


def test_first_event_in_another_thread_is_survived(sandbox) -> None:
    first = "t = threading.Thread(target=errtrack.capture_message, args=('t',)); t.start(); t.join()"
    done = sandbox.python(
        TERMINATED % (first, "SIGTERM"), ERRTRACK_ATEXIT_SIGNALS="SIGTERM", ERRTRACK_DEBUG="1"
    )
    assert (done.returncode, done.stderr) == (-15, "")
    assert len(sandbox.events()) == 2


def test_event_of_the_parent_is_not_sent_again_by_a_forked_child(sandbox, healthy) -> None:
    dsn, bodies = healthy
    code = "import os, errtrack\nerrtrack.capture_message('x')\npid = os.fork()\nif pid: os.waitpid(pid, 0)\n"
    assert sandbox.python(code, ERRTRACK_DSN=dsn, **PATIENT).returncode == 0
    assert len(bodies) == 1
