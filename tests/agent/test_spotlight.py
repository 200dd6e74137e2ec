# SPDX-License-Identifier: MIT
"""Spotlight: a copy of everything on the developer's own machine, and no harm where nobody listens."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
from running import Running
from sink import Sink

import errtrack
from errtrack import options
from errtrack.delivery import spotlight as module
from errtrack.delivery.spotlight import Spotlight


def url_of(sink: Sink) -> str:
    return "http://127.0.0.1:%d/stream" % sink.port


def closed_port() -> int:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return int(closed.getsockname()[1])


DEFAULT = "http://localhost:8969/stream"


@pytest.mark.parametrize(
    ("code", "variable", "expected"),
    [
        (None, None, ""), (None, "1", DEFAULT), (None, "TRUE", DEFAULT), (None, "0", ""), (None, "off", ""),
        (None, "http://h:1/s", "http://h:1/s"), (False, "1", ""), (False, "http://h:1/s", ""),
        (True, None, DEFAULT), (True, "0", DEFAULT), (True, "http://h:1/s", "http://h:1/s"),
        ("http://c/s", "http://h:1/s", "http://c/s"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["ERRTRACK_SPOTLIGHT", "SENTRY_SPOTLIGHT"])
def test_where_to(
    monkeypatch: pytest.MonkeyPatch, name: str, code: Any, variable: str | None, expected: str
) -> None:
    if variable is not None:
        monkeypatch.setenv(name, variable)
    resolved = options.resolve(code={"spotlight": code})
    assert (resolved.spotlight, resolved.problems) == (expected, [])


def test_nonsense_is_told() -> None:
    (problem,) = options.resolve({"ERRTRACK_SPOTLIGHT": "perhaps"}).problems
    assert "spotlight must be true, false, or the URL" in problem


def test_a_copy_of_each_envelope_arrives_beside_the_store(running: Running, sink: Sink) -> None:
    client = running.start(spotlight=url_of(sink))
    event_id = errtrack.capture_message("x")
    assert sink.wait(1) == [event_id]
    (request,) = sink.accepted
    assert request.path == "/stream"
    assert request.headers["content-type"] == "application/x-sentry-envelope"
    assert "content-encoding" not in request.headers and request.envelope.headers["sent_at"]
    assert running.event()["event_id"] == event_id
    client.close(2)


def test_what_was_captured_last_is_copied_before_the_end(running: Running, sink: Sink) -> None:
    client = running.start(spotlight=url_of(sink))
    accepted = [errtrack.capture_message("message %d" % number) for number in range(20)]
    client.close(5)
    assert sink.event_ids() == accepted


def test_events_that_the_server_limits_are_copied_all_the_same(running: Running, sink: Sink) -> None:
    with Sink() as limited:
        limited.answer(429, {"X-Sentry-Rate-Limits": "60::organization"})
        running.start(dsn=limited.dsn, spotlight=url_of(sink))
        errtrack.capture_message("one")
        limited.wait(1, of="requests")
        errtrack.capture_message("two")
        sink.wait(2)
        running.clients[-1].close(0)


def test_nobody_listens_costs_one_line_and_a_pause_that_doubles(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    now = [1000.0]
    monkeypatch.setattr(module.guard, "tell", told.append)
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    copies = Spotlight("http://127.0.0.1:%d/stream" % closed_port())
    pauses = []
    for _ in range(8):
        copies.put(b"{}\n")
        until = time.monotonic() + 5
        while copies._ready_at <= now[0] and time.monotonic() < until:
            time.sleep(0.005)
        pauses.append(copies._ready_at - now[0])
        copies.put(b"{}\n")  # not even tried
        now[0] = copies._ready_at + 0.1
        while copies._busy.locked():
            time.sleep(0.005)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert len(told) == 1 and "no Spotlight at" in told[0]


def test_a_hanging_spotlight_does_not_hold_up_the_exit(running: Running, sink: Sink) -> None:
    sink.mode = "hang"
    client = running.start(spotlight=url_of(sink))
    errtrack.capture_message("x")
    began = time.monotonic()
    client.close(10)
    assert time.monotonic() - began < 3
