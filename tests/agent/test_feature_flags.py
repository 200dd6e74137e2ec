"""Feature flags: the newest evaluation of each is on later errors; the first of a span are on the span."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import errtrack
from errtrack import client as clients
from errtrack import options
from errtrack.context import scope as scopes
from errtrack.context.scope import MOST_FLAGS, Scope


@pytest.fixture
def events(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What a client of its own captures, with tracing on."""
    monkeypatch.setattr(clients, "_clients", {})
    monkeypatch.setattr(options, "_current", {})
    token = scopes._scopes.set(None)
    kept: list[dict[str, Any]] = []

    def keep(event: dict[str, Any], hint: Any) -> None:
        kept.append(event)

    errtrack.init(
        pytest=True,
        store=str(tmp_path),
        traces_sample_rate=1.0,
        before_send=keep,
        before_send_transaction=keep,
    )
    yield kept
    errtrack.close(1)
    scopes._scopes.reset(token)


def flags_of(event: dict[str, Any]) -> list[tuple[str, Any]]:
    values = event["contexts"].get("flags", {}).get("values", [])
    return [(value["flag"], value["result"]) for value in values]


def test_in_the_order_of_their_newest_evaluation(events: list[dict[str, Any]]) -> None:
    for flag, result in (("a", True), ("b", False), ("c", True), ("a", False)):
        errtrack.add_feature_flag(flag, result)
    errtrack.capture_message("x")
    assert flags_of(events[-1]) == [("b", False), ("c", True), ("a", False)]


def test_the_one_evaluated_longest_ago_makes_room() -> None:
    scope = Scope()
    for number in range(MOST_FLAGS):
        scope.add_feature_flag("flag-%d" % number, None)
    scope.add_feature_flag("flag-0", None)
    assert scope.flags is not None
    assert len(scope.flags) == MOST_FLAGS
    scope.add_feature_flag("new", True)
    names = list(scope.flags)
    assert (names[0], names[-2:], len(names)) == ("flag-2", ["flag-0", "new"], MOST_FLAGS)


def test_order_holds_across_scopes(events: list[dict[str, Any]]) -> None:
    errtrack.get_global_scope().add_feature_flag("a", True)
    errtrack.get_global_scope().add_feature_flag("b", True)
    try:
        errtrack.add_feature_flag("a", False)
        errtrack.capture_message("x")
        assert flags_of(events[-1]) == [("b", True), ("a", False)]
    finally:
        errtrack.get_global_scope().flags = None


def test_they_join_what_the_application_put_there_itself(events: list[dict[str, Any]]) -> None:
    errtrack.set_context("flags", {"values": [{"flag": "own", "result": True}]})
    errtrack.add_feature_flag("a", True)
    errtrack.capture_message("x")
    assert flags_of(events[-1]) == [("own", True), ("a", True)]
    errtrack.capture_event(
        {"message": "y", "contexts": {"flags": {"values": [{"flag": "own", "result": False}]}}}
    )
    assert flags_of(events[-1]) == [("own", False), ("a", True)]


def test_threads_and_tasks_do_not_see_each_others(events: list[dict[str, Any]]) -> None:
    errtrack.add_feature_flag("hello", True)
    seen: list[list[str]] = []

    def work(flag: str) -> None:
        with errtrack.isolation_scope() as scope:
            errtrack.add_feature_flag(flag, True)
            seen.append(list(scope.flags or ()))

    async def main() -> None:
        async def task(flag: str) -> None:
            work(flag)

        await asyncio.gather(task("c"), task("d"))

    inherited = errtrack.get_isolation_scope()

    def in_thread(flag: str) -> None:
        with scopes.entered(inherited):
            work(flag)

    for flag in ("a", "b"):
        thread = threading.Thread(target=in_thread, args=(flag,))
        thread.start()
        thread.join()
    asyncio.run(main())
    assert seen == [["hello", flag] for flag in "abcd"]
    assert list(inherited.flags or ()) == ["hello"]


def test_copying_while_another_thread_writes() -> None:
    scope = Scope()
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            scope.add_feature_flag("flag-%d" % (number % 300), True)

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(1000):
            copied = scope.fork()
            assert len(list((copied.flags or {}).items())) <= MOST_FLAGS
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_spans_have_their_first_ten_and_transactions_no_context(events: list[dict[str, Any]]) -> None:
    with errtrack.start_transaction(name="work"):
        with errtrack.start_span(op="function", name="inner"):
            errtrack.add_feature_flag("f0", True)
            errtrack.add_feature_flag("f0", False)
            for number in range(1, 12):
                errtrack.add_feature_flag("f%d" % number, True)
            errtrack.add_feature_flag("f1", False)
        errtrack.add_feature_flag("outer token", True)
    (transaction,) = events
    assert "flags" not in transaction["contexts"]
    (span,) = transaction["spans"]
    flags = {name: value for name, value in span["data"].items() if name.startswith("flag.evaluation.")}
    assert flags == {"flag.evaluation.f%d" % number: number != 0 for number in range(10)}
    assert transaction["contexts"]["trace"]["data"] == {"flag.evaluation.outer token": True}
