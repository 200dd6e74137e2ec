# SPDX-License-Identifier: MIT
"""What a dead process left is delivered by the next one at its first request, or at its exit; without a need, nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "agent"))

from sink import Sink

#: Serves two requests, and then looks for what that has loaded and started.
SERVES = """
import logging, os, sys, time
from wsgiref.handlers import SimpleHandler
from wsgiref.simple_server import WSGIServer, WSGIRequestHandler, make_server
import threading, urllib.request
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"fine"]
class Quiet(WSGIRequestHandler):
    def log_message(self, *a): pass
server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
threading.Thread(target=server.serve_forever, daemon=True).start()
assert "errtrack.delivery.post" not in sys.modules
url = "http://127.0.0.1:%d/" % server.server_port
for _ in range(2):
    urllib.request.urlopen(url).read()
end = time.monotonic() + float(sys.argv[1]) if len(sys.argv) > 1 else 0
while time.monotonic() < end and not os.path.exists("arrived"):
    time.sleep(0.02)
"""


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


def leave_behind(sandbox: Any, sink: Sink, count: int = 3) -> list[str]:
    """Events of a process that was killed while the server was away; their ids."""
    sink.answer(503)
    code = (
        "import errtrack, os, signal\n"
        "print(*[errtrack.capture_message(str(i)) for i in range(%d)], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)" % count
    )
    done = sandbox.python(code, ERRTRACK_DSN=sink.dsn)
    ids: list[str] = done.stdout.split()
    assert len(ids) == count
    sink.ok()
    sink.requests.clear()
    return ids


def run_until(sandbox: Any, sink: Sink, code: str, count: int) -> Any:
    """Run *code* until *count* events have arrived: a busy machine may need more than one exit for that."""
    end = time.monotonic() + 60
    while True:
        done = sandbox.python(code, ERRTRACK_DSN=sink.dsn)
        if len(sink.event_ids()) >= count or time.monotonic() > end:
            return done


def test_script_that_has_nothing_to_report_delivers_it_at_exit(sandbox: Any, sink: Sink) -> None:
    ids = leave_behind(sandbox, sink)
    done = run_until(sandbox, sink, "import logging; print('hello')", len(ids))
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello\n", "")
    assert set(sink.event_ids()) == set(ids)


def test_crash_is_reported_by_a_script_that_has_nothing_to_report(sandbox: Any, sink: Sink) -> None:
    sandbox.python("import logging, os; os.abort()", ERRTRACK_DSN=sink.dsn)
    run_until(sandbox, sink, "import logging", 1)
    sandbox.python("import logging", ERRTRACK_DSN=sink.dsn)
    assert len(set(sink.event_ids())) == 1


def test_server_delivers_it_at_its_first_request(sandbox: Any, sink: Sink) -> None:
    import threading

    ids = leave_behind(sandbox, sink)

    def tell() -> None:
        end = time.monotonic() + 30
        while len(sink.event_ids()) < len(ids) and time.monotonic() < end:
            time.sleep(0.02)
        sandbox.write("arrived" if len(sink.event_ids()) >= len(ids) else "late", "")

    watching = threading.Thread(target=tell)
    watching.start()
    sandbox.write("app.py", SERVES)
    done = sandbox.run(sys.executable, "app.py", "30", ERRTRACK_DSN=sink.dsn)
    watching.join()
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(sink.event_ids()) == sorted(ids)
    assert (sandbox.folder / "arrived").exists()  # before it ended


@pytest.mark.parametrize("dsn", [True, False])
def test_without_anything_left_nothing_is_loaded_or_started(sandbox: Any, sink: Sink, dsn: bool) -> None:
    looks = SERVES + "print('errtrack.client' in sys.modules, 'errtrack.delivery.post' in sys.modules)"
    looks += "\nimport atexit; print(threading.active_count())"
    env = {"ERRTRACK_DSN": sink.dsn} if dsn else {}
    sandbox.python(looks, **env)  # a living sibling of this one has files there, a dead one has none
    done = sandbox.python(looks, **env)
    assert "True" not in done.stdout.splitlines()[0].split()[1], done
    assert sink.requests == []


def test_what_a_living_process_has_is_left_to_it(sandbox: Any, sink: Sink) -> None:
    sink.answer(503)
    code = """
import errtrack, subprocess, sys
errtrack.capture_message("mine")
subprocess.run(["errtrack-run-inner"] if 0 else [sys.executable, "-c", "import logging"], check=True)
print(open("/proc/self/stat").read() and "alive")
"""
    done = sandbox.python(code, ERRTRACK_DSN=sink.dsn, ERRTRACK_SHUTDOWN_TIMEOUT="0")
    assert done.stdout == "alive\n"
    assert len({request.envelope.event_id for request in sink.requests}) <= 1


def test_disabled_by_name(sandbox: Any, sink: Sink) -> None:
    leave_behind(sandbox, sink)
    sandbox.python("import logging", ERRTRACK_DSN=sink.dsn, ERRTRACK_DISABLE="backlog")
    assert sink.requests == []
