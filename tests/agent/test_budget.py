# SPDX-License-Identifier: MIT
"""What a capture may cost, and all of them together: less of each event, then counts, and nothing is lost unsaid."""

from __future__ import annotations

import threading
import time
from typing import Any

from running import Running

import errtrack
from errtrack.capture.budget import Budget
from errtrack.storms import COUNT


class Dear:
    """Takes 5 ms of the processor to describe."""


def describe(value: Any) -> str | None:
    if type(value) is not Dear:
        return None
    until = time.thread_time() + 0.005
    while time.thread_time() < until:
        pass
    return "dear"


def deep(left: int) -> None:
    mine = Dear()
    if left:
        deep(left - 1)
    raise LookupError(id(mine))


def fail(count: int = 0) -> Exception:
    try:
        deep(count)
    except LookupError as error:
        return error
    raise AssertionError


def frames_of(event: dict[str, Any], number: int = -1) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = event["exception"]["values"][number]["stacktrace"]["frames"]
    return frames


def different(count: int) -> list[Exception]:
    """As many errors at different places."""
    errors: list[Exception] = []
    namespace: dict[str, Any] = {}
    code = "def f%d(value=1):\n    text = 'of a variable'\n    raise ValueError(value)\n"
    exec("".join(code % number for number in range(count)), namespace)
    for number in range(count):
        try:
            namespace["f%d" % number]()
        except ValueError as error:
            errors.append(error)
    return errors


def test_a_dear_capture_goes_on_without_variables_and_says_so(running: Running) -> None:
    running.start(custom_repr=describe, max_capture_time=30)
    began = time.thread_time()
    assert errtrack.capture_exception(fail(29))
    assert time.thread_time() - began < 0.14, "thirty of them would take 0.15 s"
    event = running.event()
    with_variables = ["vars" in frame for frame in frames_of(event)]
    # The raising frame comes first, and the frames are those of an ordinary event otherwise.
    assert with_variables[-1] and not with_variables[1] and 3 <= sum(with_variables) <= 10
    assert all("context_line" in frame for frame in frames_of(event))
    said = event["contexts"]["errtrack"]
    assert said == {"left_out": "local variables", "setting": "max_capture_time"}


def test_then_source_is_left_out_where_it_would_have_to_be_read(running: Running) -> None:
    running.start(custom_repr=describe, max_capture_time=20)
    try:
        try:
            int("no number")
        except ValueError:
            deep(20)
    except LookupError as error:
        assert errtrack.capture_exception(error)
        first = running.event()
        assert errtrack.capture_exception(error)
    assert "context_line" in frames_of(first)[-1]
    assert "context_line" not in frames_of(first, 0)[-1]
    assert frames_of(first, 0)[-1]["lineno"] and frames_of(first, 0)[-1]["filename"]
    assert first["contexts"]["errtrack"]["left_out"] == "local variables, source lines"


def test_no_bound_at_zero(running: Running) -> None:
    running.start(custom_repr=describe, max_capture_time=0, max_capture_cpu=0)
    assert errtrack.capture_exception(fail(14))
    event = running.event()
    assert "errtrack" not in event["contexts"]
    assert all("vars" in frame for frame in frames_of(event)[1:])


def test_other_threads_that_burn_the_processor_cost_an_event_nothing(running: Running) -> None:
    running.start()
    ends = threading.Event()

    def burn() -> None:
        while not ends.is_set():
            pass

    burning = [threading.Thread(target=burn) for _ in range(20)]
    for thread in burning:
        thread.start()
    try:
        assert errtrack.capture_exception(fail(29))
    finally:
        ends.set()
    for thread in burning:
        thread.join()
    event = running.event()
    assert all("vars" in frame for frame in frames_of(event)[-25:])
    assert "errtrack" not in event["contexts"]


def test_a_burst_of_one_error_is_whole(running: Running) -> None:
    running.start()
    error = fail(29)
    assert all(errtrack.capture_exception(error) for _ in range(500))
    events = running.events()
    assert len(events) == 500
    assert all("vars" in frames_of(event)[-1] for event in events)


def test_a_storm_of_different_errors_loses_its_variables_then_its_events_and_no_count(
    running: Running,
) -> None:
    client = running.start(max_capture_cpu=0.5)  # 0.05 s, then 0.1 s
    kept = [bool(errtrack.capture_exception(error)) for error in different(2000)]
    assert kept[0] and not all(kept)
    client.close(5)
    events = running.events_stored()
    full = [event for event in events if "exception" in event]
    assert len(full) == sum(kept)
    assert "vars" in frames_of(full[0])[-1]
    bare = [event for event in full if "vars" not in frames_of(event)[-1]]
    assert bare and all(event["contexts"]["errtrack"]["setting"] == "max_capture_cpu" for event in bare)
    told = [event for event in events if COUNT in event.get("extra", {})]
    assert sum(event["extra"][COUNT] for event in told) + len(full) == 2000
    assert "max_capture_cpu" in told[-1]["logentry"]["formatted"]


def test_what_ends_a_process_is_always_an_event(running: Running) -> None:
    client = running.start(max_capture_cpu=0.1)
    errors = different(300)
    assert not all(errtrack.capture_exception(error) for error in errors[1:])
    assert client.capture_exception(errors[0], level="fatal")


def test_the_share_is_that_of_the_last_seconds(monkeypatch: Any) -> None:
    from errtrack import options
    from errtrack.capture import budget

    now, used = [100.0], [0.0]
    monkeypatch.setattr(budget, "monotonic", lambda: now[0])
    monkeypatch.setattr(budget, "_cpu", lambda: used[0])
    made = Budget(options.Options())  # 20 percent of ten seconds
    states = []
    for _ in range(5):
        meter = made.admit()
        states.append(meter.shows_locals if meter is not None else None)
        used[0] += 1.1
        if meter is not None:
            made.spend(meter)
    assert states == [True, True, False, False, None]
    now[0] += 4.0  # a fifth of that is paid back
    meter = made.admit()
    assert meter is not None and not meter.shows_locals
    now[0] += 10.0
    meter = made.admit()
    assert meter is not None and meter.shows_locals
