"""Celery in threads, in greenlets and in the worker itself: as in processes, and with none of tracing's headers needed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("celery")

from celery_workers import Broker, Shop, kind, texts

SEND = """
sent = []
pool = os.environ["POOL"]
for task in (add.s(1, 2), fail.s(5, password="sesame"), log_and_fail.s(), declared.s(), again.s(), auto.s(), mended.s(),
             reject.s(), unencodable.s(), unpicklable.s(), on_success.s(), after_return.s(), swallow.s(),
             called.s(3), late.s(), nested.s(), shown_headers.s()):
    sent.append(task.apply_async(task_id=task.task.rpartition(".")[2]))
ignore.apply_async(task_id="ignore")
sent += [member.apply_async((n,), task_id="group-%d" % n) for n in (1, 2, 3)]
if pool != "solo":
    sent += [meet.apply_async((n,), task_id="meet-%d" % n) for n in (0, 1)]
    leave.apply_async((3,), task_id="leave")
if pool == "gevent":
    sent.append(hard.apply_async(task_id="hard"))
sent.append(add.apply_async((1, 2), task_id="receiver"))
tell(results(sent))
"""

CONCURRENCY = {"threads": "3", "solo": "1", "gevent": "10", "eventlet": "10"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    started = Broker(tmp_path_factory.mktemp("broker"))
    yield started
    started.stop()


class Ran:
    def __init__(self, shop: Shop, pool: str) -> None:
        self.pool = pool
        self.shop = shop
        with shop.worker(pool, "-c", CONCURRENCY[pool], ERRTRACK_DEBUG="1", **quiet(pool)) as worker:
            self.ended = shop.send(SEND, POOL=pool)
        self.output = worker.output


def quiet(pool: str) -> dict[str, str]:
    return {"PYTHONWARNINGS": "ignore"} if pool == "eventlet" else {}


@pytest.fixture(scope="module", params=list(CONCURRENCY))
def ran(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sandbox_in: Any, broker: Broker
) -> Ran:
    """A worker with that pool, without tracing, that was sent a task of each kind; personal data may be shown."""
    pool: str = request.param
    if pool in ("gevent", "eventlet") and importlib.util.find_spec(pool) is None:
        pytest.skip(pool + " is not installed")
    shop = Shop(sandbox_in(tmp_path_factory.mktemp(pool)), broker, ERRTRACK_SEND_DEFAULT_PII="1")
    return Ran(shop, pool)


def test_one_event_a_failed_task_and_none_for_others(ran: Ran) -> None:
    expected = {
        "fail": [("RuntimeError", "failed 5")],
        "again": [("KeyError", "'try 2'")],
        "auto": [("LookupError", "automatically")],
        "unpicklable": [("Odd", "odd")],
        "on_success": [("RuntimeError", "in on_success")],
        "after_return": [("RuntimeError", "in after_return")],
        "late": [("RuntimeError", "late")],
        "group-2": [("RuntimeError", "member 2")],
        "receiver": [("RuntimeError", "in a receiver")],
        "nested": [("RuntimeError", "outer RuntimeError")],
    }
    ended = {"again": "KeyError", "auto": "LookupError", "mended": 2, "late": "RuntimeError", "receiver": 3}
    assert {task_id: ran.ended[task_id] for task_id in ended} == ended, ran.output
    for task_id, events in expected.items():
        assert [kind(event) for event in ran.shop.events(task_id)] == events
    for task_id in ("unencodable", "called"):
        assert len(ran.shop.events(task_id)) == 1
    for task_id in (
        "add",
        "declared",
        "mended",
        "reject",
        "ignore",
        "swallow",
        "group-1",
        "group-3",
        "shown_headers",
    ):
        assert ran.shop.events(task_id) == [], task_id


def test_nothing_else_is_reported(ran: Ran) -> None:
    own = {"shop.fail"}  # called on the spot by a task, with an id that nobody knows
    others = [
        event
        for event in ran.shop.all
        if "celery_task_id" not in (event.get("tags") or {}) and event.get("transaction") not in own
    ]
    # Celery's finalisers fail in a dying gevent by themselves, and eventlet finds locks that it cannot make green.
    others = [
        e for e in others if "unraisablehook" not in str(e.get("exception")) and e.get("logger") != "eventlet"
    ]
    assert others == [], [texts(event) for event in others]


def test_arguments_are_shown_where_personal_data_may_be_and_secrets_are_not(ran: Ran) -> None:
    job = ran.shop.event("fail")["extra"]["celery-job"]
    assert job["task_name"] == "shop.fail"
    assert job["args"] == [5]
    assert list(job["kwargs"]) == ["password"]
    assert "sesame" not in str(job)


def test_scopes_are_the_tasks_own(ran: Ran) -> None:
    for task_id in ("late", "on_success", "unpicklable", "group-2"):
        event = ran.shop.event(task_id)
        assert not {"n", "healthy", "who", "outer"} & set(event["tags"])
        assert "about to fail" not in str(event.get("breadcrumbs"))
    assert ran.shop.event("fail")["tags"]["n"] == "5"


def test_two_tasks_at_once_do_not_meet(ran: Ran) -> None:
    if ran.pool == "solo":
        pytest.skip("one after the other")
    for n in (0, 1):
        event = ran.shop.event("meet-%d" % n)
        assert event["tags"]["who"] == str(n)
        assert kind(event)[1] == "met %d" % n


def test_exit_in_a_task_is_one_event(ran: Ran) -> None:
    if ran.pool == "solo":
        pytest.skip("it ends the worker")
    assert kind(ran.shop.event("leave")) == ("SystemExit", "3")


def test_hard_time_limit_is_one_event(ran: Ran) -> None:
    if ran.pool != "gevent":
        pytest.skip("no time limits in this pool")
    event = ran.shop.event("hard")
    assert kind(event)[0] == "TimeLimitExceeded"
    assert event["transaction"] == "shop.hard"


def test_log_line_belongs_to_its_task(ran: Ran) -> None:
    line, failure = ran.shop.events("log_and_fail")
    assert (line["logger"], kind(failure)[1]) == ("shop", "after a line")


def test_ours_does_not_show_in_the_request(ran: Ran) -> None:
    assert ran.ended["shown_headers"] == [{}, []]


def test_worker_ran_without_a_fault_of_ours(ran: Ran) -> None:
    assert "internal fault" not in ran.output
