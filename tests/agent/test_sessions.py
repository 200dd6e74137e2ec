# SPDX-License-Identifier: MIT
"""Release health: counted by what became of each unit of work, and only where that was asked for."""

from __future__ import annotations

import json
import os
import threading
from typing import Any

import pytest
from running import Running, raised
from sink import Sink

import errtrack
from errtrack import api, sessions
from errtrack.context import scope as scopes


def counts(trees: list[dict[str, Any]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for tree in trees:
        for row in tree["aggregates"]:
            for outcome, count in row.items():
                if outcome != "started":
                    total[outcome] = total.get(outcome, 0) + count
    return total


def unit(*errors: tuple[BaseException, bool]) -> None:
    pair = scopes.unit_of_work()
    token = scopes.enter(pair)
    try:
        for error, handled in errors:
            api.report_exception(error, "test", handled=handled)
    finally:
        scopes.leave(token)
    if pair[0].session is not None:
        pair[0].session.end()
        pair[0].session.end()  # twice is once


def sent(sink: Sink) -> list[dict[str, Any]]:
    items = [item for request in sink.accepted for item in request.envelope.items]
    return [json.loads(payload) for headers, payload in items if headers["type"] == "sessions"]


def test_units_of_work_are_counted_by_their_outcome(running: Running, sink: Sink) -> None:
    client = running.send_to(sink, auto_session_tracking=True, release="shop@1", environment="test")
    for _ in range(5):
        unit()
    unit((raised(ValueError("handled")), True))
    unit((raised(ValueError("escaped")), False), (raised(KeyError("handled later")), True))
    client.close(5)
    (tree,) = sent(sink)
    assert tree["attrs"] == {"release": "shop@1", "environment": "test"}
    assert counts([tree]) == {"exited": 5, "errored": 1, "crashed": 1}
    assert all(row["started"].endswith(":00.000000Z") for row in tree["aggregates"])


def test_messages_do_not_count_as_errors_and_sampled_out_errors_do(running: Running, sink: Sink) -> None:
    client = running.send_to(sink, auto_session_tracking=True, release="r", sample_rate=0.0)
    errtrack.start_session()
    errtrack.capture_message("x", level="error")
    errtrack.end_session()
    errtrack.start_session()
    errtrack.capture_exception(raised(ValueError()))
    errtrack.end_session()
    client.close(5)
    assert counts(sent(sink)) == {"exited": 1, "errored": 1}


def test_errors_dropped_by_before_send_do_not_count(running: Running, sink: Sink) -> None:
    client = running.send_to(
        sink, auto_session_tracking=True, release="r", before_send=lambda event, hint: None
    )
    errtrack.start_session()
    errtrack.capture_exception(raised(ValueError()))
    client.close(5)  # ends the session in hand
    assert counts(sent(sink)) == {"exited": 1}


@pytest.mark.parametrize("settings", [{}, {"auto_session_tracking": True, "project_root": "/"}])
def test_nothing_is_sent_unless_asked_for_and_with_a_release(
    running: Running, sink: Sink, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from errtrack import release

    for name in release.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    client = running.send_to(sink, **settings)
    errtrack.start_session()
    unit()
    errtrack.end_session()
    client.close(5)
    assert sent(sink) == []
    assert scopes.new_session is None


def test_no_thread_is_started_for_sessions(running: Running, sink: Sink) -> None:
    before = (
        threading.active_count(),
        len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0,
    )
    running.send_to(sink, auto_session_tracking=True, release="r")
    for _ in range(100):
        unit()
    after = (
        threading.active_count(),
        len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0,
    )
    # The server's own thread of an earlier connection may have ended meanwhile.
    assert after <= before


def test_counts_leave_once_a_minute_while_work_goes_on(
    running: Running, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(sessions, "monotonic", lambda: now[0])
    running.send_to(sink, auto_session_tracking=True, release="r")
    unit()
    assert running.trees(sink, "sessions") == []
    now[0] += 61.0
    unit()
    unit()
    assert counts(running.trees(sink, "sessions")) == {"exited": 2}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_does_not_send_its_parents_sessions(running: Running, sink: Sink) -> None:
    client = running.send_to(sink, auto_session_tracking=True, release="r")
    unit()
    pid = os.fork()
    if not pid:
        assert client.sessions is not None
        os._exit(0 if client.sessions._take() == [] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    client.close(5)
    assert counts(sent(sink)) == {"exited": 1}


def test_requests_of_a_wsgi_server_are_counted(sandbox: Any, sink: Sink) -> None:
    code = """
import wsgiref.simple_server, threading, urllib.request
def app(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        raise ValueError("x")
    start_response("200 OK", [])
    return [b"ok"]
server = wsgiref.simple_server.make_server("127.0.0.1", 0, app)
threading.Thread(target=server.serve_forever, daemon=True).start()
for path in ("/ok", "/ok", "/fail"):
    try:
        urllib.request.urlopen("http://127.0.0.1:%d%s" % (server.server_port, path)).read()
    except Exception:
        pass
server.shutdown()
"""
    done = sandbox.python(
        code, ERRTRACK_DSN=sink.dsn, ERRTRACK_AUTO_SESSION_TRACKING="1", ERRTRACK_RELEASE="shop@2"
    )
    assert done.returncode == 0, done.stderr
    assert counts(sent(sink)) == {"exited": 2, "crashed": 1}
