# SPDX-License-Identifier: MIT
"""The user's own functions, without a line of the application changed: found by their place, and fail as promised."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from running import Running, raised
from sink import Sink

import errtrack
from errtrack import hooks, options
from errtrack.hooks import Hook, HookFailed

MODULE = """
import errtrack
calls = []
def add_tag(event, hint):
    event.setdefault("tags", {})["by"] = "processor"
    return event
class Dropper:
    def __call__(self, event, hint):
        return None if "drop" in str(event.get("logentry")) else event
def fails(*args): raise LookupError("hook is broken")
def junk(*args): return 17
def keep_all(event, hint): return 1.0
def keep_none(event, hint): return False
def describe(value):
    return "money of %s" % value.amount if type(value).__name__ == "Money" else None
def before_transaction(event, hint):
    if event["transaction"] == "health": return None
    event["tags"] = {"seen": "yes"}
    return event
not_callable = 5
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_hooks.py").write_text(MODULE)
    (tmp_path / "own_broken.py").write_text("raise RuntimeError('at import')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("own_hooks", "own_broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return "own_hooks"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    from errtrack import guard

    lines: list[str] = []
    monkeypatch.setattr(guard, "tell", lines.append)
    return lines


def transaction(name: str) -> dict[str, Any]:
    return {
        "type": "transaction", "transaction": name, "start_timestamp": 1_790_000_000.0, "timestamp": 1_790_000_001.0,
        "contexts": {"trace": {"trace_id": "a" * 32, "span_id": "b" * 16}},
        "spans": [{"span_id": "c" * 16, "trace_id": "a" * 32, "start_timestamp": 1.0, "timestamp": 2.0}],
    }  # fmt: skip


def test_processors_run_in_order_and_may_be_classes(running: Running) -> None:
    running.start(processors=["own_hooks:add_tag", "own_hooks.Dropper"])
    assert errtrack.capture_message("keep")
    assert errtrack.capture_message("drop me") is None
    assert running.event()["tags"]["by"] == "processor"


@pytest.mark.parametrize(
    "place",
    [
        "own_hooks:fails",
        "own_hooks:no_such",
        "no_such_module:f",
        "own_broken:f",
        "own_hooks:not_callable",
        "alone",
    ],
)
@pytest.mark.parametrize("option", ["before_send", "processors"])
def test_filters_that_fail_drop_the_event_count_it_and_say_so_once(
    running: Running, sink: Sink, told: list[str], option: str, place: str
) -> None:
    value = [place] if option == "processors" else place
    client = running.send_to(sink, **{option: value})
    assert errtrack.capture_message("x") is None
    assert errtrack.capture_message("y") is None
    client.close(5)
    assert sink.event_ids() == []
    assert sink.reports() == {("callback_error", "error"): 2}
    assert len(told) == 1 and told[0].startswith(option + " failed (")


def test_filter_that_is_no_place_of_a_function_drops_the_event(
    running: Running, sink: Sink, told: list[str]
) -> None:
    client = running.send_to(sink, before_send="own_hooks: drops secrets")
    assert errtrack.capture_message("x") is None
    client.close(5)
    assert sink.event_ids() == [] and len(told) == 2  # the setting, and what came of it


@pytest.mark.parametrize(
    ("answer", "kept"), [("keep_all", True), ("keep_none", False), ("fails", True), ("junk", True)]
)
def test_error_sampler_decides_and_a_bad_one_keeps_the_event(
    running: Running, sink: Sink, told: list[str], answer: str, kept: bool
) -> None:
    client = running.send_to(sink, error_sampler="own_hooks:" + answer, sample_rate=0.0)
    assert bool(errtrack.capture_exception(raised(ValueError("x")))) is kept
    client.close(5)
    assert len(sink.event_ids()) == int(kept)
    assert sink.reports() == ({} if kept else {("sample_rate", "error"): 1})
    assert len(told) == (answer in ("fails", "junk"))


def test_error_sampler_sees_the_event_and_the_exception(running: Running) -> None:
    seen: list[Any] = []

    def sampler(event: Any, hint: Any) -> float:
        seen.append((event["exception"]["values"][0]["type"], hint["exc_info"][0]))
        return 0.5

    running.start(error_sampler=sampler, max_events_per_minute=0)
    error = raised(KeyError("x"))
    kept = sum(1 for _ in range(400) if errtrack.capture_exception(error))
    assert 120 < kept < 280
    assert set(seen) == {("KeyError", KeyError)}


def test_before_send_transaction_filters_transactions_only(running: Running, sink: Sink) -> None:
    client = running.send_to(
        sink, before_send_transaction="own_hooks:before_transaction", before_send="own_hooks:fails"
    )
    assert errtrack.capture_event(transaction("health")) is None
    assert errtrack.capture_event(transaction("checkout"))
    (tree,) = running.trees(sink, "transaction")
    assert (tree["type"], tree["transaction"], tree["tags"]["seen"]) == ("transaction", "checkout", "yes")
    assert "level" not in tree
    client.close(5)
    assert sink.reports() == {("before_send", "transaction"): 1, ("before_send", "span"): 2}


class Money:
    def __init__(self, amount: int) -> None:
        self.amount = amount


def test_custom_repr_describes_objects_wherever_they_stand(running: Running) -> None:
    running.start(custom_repr="own_hooks:describe")

    def pay() -> None:
        price = Money(7)
        basket = {"price": price}
        raise ValueError(basket["price"])

    try:
        pay()
    except ValueError:
        errtrack.capture_exception(extra={"paid": [Money(8)]})
    event = running.event()
    shown = event["exception"]["values"][0]["stacktrace"]["frames"][-1]["vars"]
    assert shown["price"] == "'money of 7'" and shown["basket"] == {"price": "'money of 7'"}
    assert event["extra"]["paid"] == ["money of 8"]


@pytest.mark.parametrize("place", ["own_hooks:fails", "own_hooks:junk", "own_broken:f"])
def test_custom_repr_that_fails_leaves_values_as_they_were(
    running: Running, told: list[str], place: str
) -> None:
    running.start(custom_repr=place)
    errtrack.capture_message("x", extra={"paid": Money(8)})
    assert running.event()["extra"]["paid"]["amount"] == 8


def test_a_hook_is_imported_at_its_first_use_only(running: Running) -> None:
    running.start(before_send="own_hooks:add_tag")
    assert "own_hooks" not in sys.modules
    errtrack.capture_message("x")
    assert "own_hooks" in sys.modules


def test_a_hook_that_keeps_failing_is_told_again_after_a_minute(
    monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(hooks, "monotonic", lambda: now[0])
    hook = Hook("before_send", "own_hooks:fails")
    for at in (0.0, 1.0, 59.0, 61.0):
        now[0] = at
        with pytest.raises(HookFailed):
            hook({}, {})
    assert len(told) == 2 and "LookupError: hook is broken" in told[0]


def test_hooks_from_the_environment_and_the_file(tmp_path: Path) -> None:
    resolved = options.resolve({"ERRTRACK_PROCESSORS": "a.b:c, d.e", "ERRTRACK_ERROR_SAMPLER": "a:b"})
    assert (resolved.processors, resolved.error_sampler, resolved.problems) == (("a.b:c", "d.e"), "a:b", [])
    assert options.resolve({"ERRTRACK_PROCESSORS": "a b"}).problems


def test_nothing_is_captured_while_a_hook_runs(running: Running) -> None:
    inner: list[Any] = []

    def sampler(event: Any, hint: Any) -> float:
        inner.append(errtrack.capture_message("inner"))
        return 1.0

    running.start(error_sampler=sampler)
    assert errtrack.capture_message("outer")
    assert inner == [None]
