# SPDX-License-Identifier: MIT
"""A storm of one error: a burst, then a few events a minute, and no count is lost."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from running import Running
from sink import Sink

import errtrack
from errtrack import storms
from errtrack.storms import COUNT, Storms, key_of


def fail() -> Exception:
    try:
        raise ValueError("the same place")
    except ValueError as error:
        return error


def elsewhere() -> Exception:
    try:
        raise ValueError("another place")
    except ValueError as error:
        return error


def held_back(events: list[dict[str, Any]]) -> int:
    return sum(event.get("extra", {}).get(COUNT, 0) for event in events)


def leftover(known: Storms) -> list[tuple[dict[str, Any], int]]:
    """What is told at exit, as if it arrived."""
    told = []
    for storm, last, number in known.leftover():
        told.append((last, number))
        storm.settle(number)
    return told


def test_several_hundred_failures_at_once_are_all_kept_by_default(running: Running) -> None:
    client = running.start()
    assert all(errtrack.capture_exception(fail()) for _ in range(400))
    assert client.options.max_events_burst == 500


def test_beyond_the_burst_errors_are_counted_and_the_last_event_tells_how_many(
    running: Running, sink: Sink
) -> None:
    client = running.send_to(sink, max_events_burst=5, max_events_per_minute=0.001)
    accepted = [errtrack.capture_exception(fail()) for _ in range(1000)]
    assert sum(1 for one in accepted if one) == 5 and all(accepted[:5])
    assert errtrack.capture_exception(elsewhere())  # another error is not held back
    client.close(5)
    events = running_trees(sink)
    assert len(events) == 5 + 1 + 1
    assert held_back(events) == 995
    last = next(event for event in events if COUNT in event.get("extra", {}))
    (value,) = last["exception"]["values"]
    assert value["value"] == "the same place" and value["stacktrace"]["frames"]
    assert sink.reports() == {("backpressure", "error"): 995}


def running_trees(sink: Sink) -> list[dict[str, Any]]:
    import json

    items = [item for request in sink.accepted for item in request.envelope.items]
    return [json.loads(payload) for headers, payload in items if headers["type"] == "event"]


def test_the_next_event_of_the_error_tells_what_was_held_back(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(storms, "monotonic", lambda: now[0])
    running.start(max_events_burst=2, max_events_per_minute=6)
    assert [bool(errtrack.capture_exception(fail())) for _ in range(10)] == [True] * 2 + [False] * 8
    now[0] += 10.0  # a sixth of a minute: one more
    assert [bool(errtrack.capture_exception(fail())) for _ in range(2)] == [True, False]
    assert [event.get("extra", {}).get(COUNT) for event in running.events()] == [None, None, 8]


def test_a_minute_after_a_storm_its_count_is_told_by_whatever_comes_next(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(storms, "monotonic", lambda: now[0])
    running.start(max_events_burst=1, max_events_per_minute=0.001)
    for _ in range(10):
        errtrack.capture_exception(fail())
    errtrack.capture_message("at once")
    assert held_back(running.events()) == 0
    now[0] += 61.0
    errtrack.capture_message("later")
    (told,) = (event for event in running.events() if COUNT in event.get("extra", {}))
    assert told["extra"][COUNT] == 9
    assert told["exception"]["values"][0]["value"] == "the same place"


def test_no_cap_at_zero(running: Running) -> None:
    running.start(max_events_burst=1, max_events_per_minute=0)
    assert all(errtrack.capture_exception(fail()) for _ in range(20))


def test_messages_are_told_apart_by_their_text(running: Running) -> None:
    running.start(max_events_burst=3, max_events_per_minute=0.001)
    assert [bool(errtrack.capture_message("a")) for _ in range(4)] == [True, True, True, False]
    assert errtrack.capture_message("b")


def test_an_event_that_was_dropped_gives_its_count_back(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(storms, "monotonic", lambda: now[0])
    drop: list[bool] = []
    running.start(
        max_events_burst=1, max_events_per_minute=6, before_send=lambda event, hint: None if drop else event
    )
    for _ in range(5):
        errtrack.capture_exception(fail())
    drop.append(True)
    now[0] += 10.0
    assert errtrack.capture_exception(fail()) is None
    drop.clear()
    now[0] += 10.0
    assert errtrack.capture_exception(fail())
    assert held_back(running.events()) == 4


def test_counts_are_exact_from_many_threads(running: Running) -> None:
    client = running.start(max_events_burst=10, max_events_per_minute=0.001)
    kept: list[int] = []
    errors = [fail() for _ in range(8)]

    def work(error: Exception) -> None:
        kept.append(sum(1 for _ in range(1500) if errtrack.capture_exception(error)))

    threads = [threading.Thread(target=work, args=(error,)) for error in errors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close(0)
    events = running.events()
    assert len(events) == sum(kept) + 1
    assert held_back(events) + sum(kept) == 8 * 1500


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_does_not_tell_what_its_parent_held_back() -> None:
    known = Storms(0.001, 1)
    storm = known.storm_of("a")
    assert known.admits(storm) and not known.admits(storm)
    storm.last = {"level": "error"}
    pid = os.fork()
    if not pid:
        clean = leftover(known) == [] and known.admits(known.storm_of("a"))
        os._exit(0 if clean else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert leftover(known) == [({"level": "error"}, 1)]


def test_errors_are_told_apart_by_class_and_place() -> None:
    first, second = fail(), fail()
    assert key_of(first, first.__traceback__) == key_of(second, second.__traceback__)
    other = elsewhere()
    assert key_of(other, other.__traceback__) != key_of(first, first.__traceback__)
    assert key_of(KeyError(), None) != key_of(ValueError(), None)


def test_errors_that_were_never_raised_are_told_apart_by_who_captures_them(running: Running) -> None:
    running.start(max_events_burst=1, max_events_per_minute=0.001)
    assert errtrack.capture_exception(ValueError("here"))
    assert errtrack.capture_exception(ValueError("there"))
    assert [bool(errtrack.capture_exception(ValueError("in a loop"))) for _ in range(3)] == [
        True,
        False,
        False,
    ]


def test_what_is_remembered_is_bounded_and_keeps_what_has_something_to_tell() -> None:
    known = Storms(0.001, 1)
    storm = known.storm_of("told")
    known.admits(storm)
    known.admits(storm)
    storm.last = {}
    for number in range(5000):
        known.admits(known.storm_of(number))
    assert len(known._known) <= storms.REMEMBERED
    assert leftover(known) == [({}, 1)]
