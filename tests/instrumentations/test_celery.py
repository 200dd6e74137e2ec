"""Celery in a pool of processes: one event a failed task, whichever way it ended; one transaction a run."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("celery")
if sys.platform == "win32":
    pytest.skip("a pool of processes needs fork", allow_module_level=True)

from celery_workers import Broker, Shop, kind, texts

SEND = """
sent = []
with errtrack.start_transaction(op="test", name="sender") as root:
    errtrack.set_tag("sender", "yes")
    for task in (add.s(1, 2), fail.s(5, password="sesame"), log_and_fail.s(), declared.s(), again.s(), mended.s(),
                 auto.s(), reject.s(), soft.s(), hard.s(), leave.s(3), interrupt.s(), unencodable.s(),
                 unpicklable.s(), before_start.s(), on_failure.s(), on_success.s(), after_return.s(), swallow.s(),
                 exploding.s(), late.s(), shown_headers.s(), nested.s(), sends.s()):
        name = task.task.rpartition(".")[2]
        sent.append(task.apply_async(task_id=name))
    for n in range(4):
        sent.append(called.apply_async((n,), task_id="called-%d" % n))
    sent.append(shown_headers.apply_async(headers={"x": "y"}, task_id="with-headers"))
    sent.append(add.apply_async((1, 2), task_id="receiver"))
    ignored = ignore.apply_async(task_id="ignore")
    by_name = app.send_task("shop.fail", (6,), task_id="by-name")
    bare = app.send_task("shop.add", args=None, kwargs={"x": 1}, headers=None, task_id="bare")
    delayed = fail.delay(8)
    waiting = busy.apply_async(task_id="busy")
    pid = await_mark("busy")
    time.sleep(0.5)  # until the parent knows that it is busy
    os.kill(pid, signal.SIGKILL)
    members = group(member.s(n).set(task_id="group-%d" % n) for n in (1, 2, 3)).apply_async()
    whole = chord([member.s(n).set(task_id="chord-%d" % n) for n in (1, 2, 3)])(total.s().set(task_id="chord-body"))
    links = chain(add.s(1, 2).set(task_id="link-1"), member.si(2).set(task_id="link-2"),
                  add.s(1).set(task_id="link-3")).apply_async()
    trace = root.trace_id
    ended_by_hand = busy.apply_async(task_id="revoked")

await_mark("revoked")
app.control.revoke("revoked", terminate=True)
ended = results([*sent, by_name, bare, delayed, waiting, ended_by_hand, *members.results, whole])
try:
    links.parent.get(timeout=90)
except RuntimeError:
    pass
idle = whoami.delay().get(timeout=60)
await_idle()
os.kill(idle, signal.SIGKILL)
tell({"ended": ended, "trace": trace, "delayed": delayed.id, "idle": idle})
"""


class Ran:
    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        with shop.worker("prefork", "-c", "3", ERRTRACK_DEBUG="1") as worker:
            self.threads_before = worker.threads() if sys.platform == "linux" else 1
            self.told = shop.send(SEND)
            worker.await_output("pid:%d exited with" % self.told["idle"])
        self.output = worker.output
        self.ended: dict[str, Any] = self.told["ended"]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    started = Broker(tmp_path_factory.mktemp("broker"))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, sandbox_in: Any, broker: Broker) -> Ran:
    """A worker with three processes that was sent one task of each kind."""
    shop = Shop(sandbox_in(tmp_path_factory.mktemp("prefork")), broker, ERRTRACK_TRACES_SAMPLE_RATE="1")
    return Ran(shop)


@pytest.fixture
def shop(ran: Ran) -> Shop:
    return ran.shop


def test_failed_task_is_one_event_with_its_name_and_id(shop: Shop) -> None:
    event = shop.event("fail")
    assert kind(event) == ("RuntimeError", "failed 5")
    assert event["exception"]["values"][-1]["mechanism"] == {
        "type": "celery",
        "handled": False,
        "exception_id": 0,
    } or (
        event["exception"]["values"][-1]["mechanism"]["type"],
        event["exception"]["values"][-1]["mechanism"]["handled"],
    ) == ("celery", False)
    assert event["transaction"] == "shop.fail"
    assert event["transaction_info"] == {"source": "task"}
    assert event["tags"]["n"] == "5"
    assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]][-1] == "about to fail 5"


def test_frames_show_the_tasks_variables(shop: Shop) -> None:
    frame = shop.event("fail")["exception"]["values"][-1]["stacktrace"]["frames"][-1]
    assert (frame["function"], frame["vars"]["place"]) == ("fail", "'fail 5'")
    functions = [f["module"] for f in shop.event("fail")["exception"]["values"][-1]["stacktrace"]["frames"]]
    assert not any(module.startswith("errtrack") for module in functions)


def test_arguments_are_personal_data(shop: Shop) -> None:
    event = shop.event("fail")
    assert event["extra"]["celery-job"] == {
        "task_name": "shop.fail",
        "args": "[Filtered]",
        "kwargs": "[Filtered]",
    }
    assert "sesame" not in str(event)


def test_event_says_where_the_task_came_from(shop: Shop) -> None:
    context = shop.event("fail")["contexts"]["celery"]
    assert context["queue"] == shop.env["QUEUE"]
    assert context["retries"] == 0
    assert context["hostname"]
    assert shop.event("late")["contexts"]["celery"]["acks_late"] is True
    assert "acks_late" not in context


def test_however_it_is_sent_it_is_one_event(ran: Ran) -> None:
    for task_id in ("fail", "by-name", ran.told["delayed"]):
        event = ran.shop.event(task_id)
        assert event["transaction"] == "shop.fail"
        assert len(ran.shop.transactions(task_id)) == 1


def test_healthy_tasks_and_declared_errors_are_no_events(ran: Ran) -> None:
    assert ran.ended["add"] == 3
    assert ran.ended["declared"] == "KeyError"
    assert ran.ended["bare"] == 1
    for task_id in ("add", "declared", "bare", "swallow", "shown_headers"):
        assert ran.shop.events(task_id) == []


def test_ignore_and_reject_are_no_events(shop: Shop) -> None:
    assert [len(shop.transactions(task_id)) for task_id in ("ignore", "reject")] == [1, 1]
    assert shop.events("ignore") == shop.events("reject") == []


def test_task_that_was_revoked_while_it_ran_is_no_event(ran: Ran) -> None:
    assert ran.ended["revoked"] == "TaskRevokedError"
    assert ran.shop.events("revoked") == []


def test_retries_are_one_event_at_their_end(shop: Shop) -> None:
    assert kind(shop.event("again")) == ("KeyError", "'try 2'")
    assert shop.event("again")["contexts"]["celery"]["retries"] == 2
    assert kind(shop.event("auto"))[0] == "LookupError"
    assert shop.events("mended") == []


def test_attempts_are_transactions_of_one_trace(ran: Ran) -> None:
    attempts = ran.shop.transactions("again")
    counts = [span_of(t)["data"]["messaging.message.retry.count"] for t in attempts]
    statuses = [t["contexts"]["trace"]["status"] for t in attempts]
    assert sorted(zip(counts, statuses)) == [(0, "aborted"), (1, "aborted"), (2, "internal_error")]
    assert {t["contexts"]["trace"]["trace_id"] for t in attempts} == {ran.told["trace"]}


def test_soft_time_limit_has_a_fingerprint(shop: Shop) -> None:
    event = shop.event("soft")
    assert kind(event)[0] == "SoftTimeLimitExceeded"
    assert event["fingerprint"] == ["celery", "SoftTimeLimitExceeded", "shop.soft"]


def test_soft_time_limit_that_strikes_in_our_code_is_the_tasks(
    faults_counted: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from billiard.exceptions import SoftTimeLimitExceeded

    from errtrack import guard
    from errtrack.instrumentation import Call, driven
    from errtrack_instrumentations import _celery_pool

    monkeypatch.setattr(guard, "passing", set())
    monkeypatch.setattr(_celery_pool, "_pool_process", [])
    next(_celery_pool.enter_pool(Call((), {})))

    def struck_before(call: Call) -> Any:
        raise SoftTimeLimitExceeded()
        yield

    def struck_after(call: Call) -> Any:
        yield
        raise SoftTimeLimitExceeded()

    for handler in (struck_before, struck_after):
        with pytest.raises(SoftTimeLimitExceeded):
            driven("celery", handler, lambda: 1)()
    assert faults_counted == {}


def test_hard_time_limit_is_reported_by_the_parent(ran: Ran) -> None:
    event = ran.shop.event("hard")
    assert kind(event)[0] == "TimeLimitExceeded"
    assert event["transaction"] == "shop.hard"
    assert event["extra"]["celery-job"]["task_name"] == "shop.hard"
    assert event["contexts"]["trace"]["trace_id"] == ran.told["trace"]
    assert ran.ended["hard"] == "TimeLimitExceeded"


def test_task_whose_process_was_killed_is_reported_by_the_parent(ran: Ran) -> None:
    event = ran.shop.event("busy")
    assert kind(event)[0] == "WorkerLostError"
    assert "exited prematurely" in kind(event)[1]
    assert event["transaction"] == "shop.busy"
    assert event["contexts"]["trace"]["trace_id"] == ran.told["trace"]
    assert event["fingerprint"] == ["celery", "WorkerLostError", "shop.busy"]


def test_death_of_an_idle_process_is_reported_once(ran: Ran) -> None:
    deaths = [e for e in ran.shop.all if e.get("logger") == "multiprocessing"]
    assert len(deaths) == 1, [texts(event) for event in deaths]
    assert str(ran.told["idle"]) in deaths[0]["logentry"]["formatted"]


def test_exit_in_a_task_is_one_event(shop: Shop) -> None:
    event = shop.event("leave")
    assert kind(event)[0] in ("SystemExit", "WorkerLostError")  # billiard before 4.3: the parent tells
    assert event["transaction"] == "shop.leave"
    assert kind(shop.event("interrupt"))[0] in ("KeyboardInterrupt", "WorkerLostError")


def test_exception_that_cannot_be_pickled_has_its_own_type(shop: Shop) -> None:
    assert kind(shop.event("unpicklable")) == ("Odd", "odd")


def test_result_that_cannot_be_encoded_is_one_event(ran: Ran) -> None:
    event = ran.shop.event("unencodable")
    assert kind(event)[0] == "EncodeError"
    assert event["transaction"] == "shop.unencodable"


def test_failing_callbacks_are_events_of_their_own(ran: Ran) -> None:
    if hasattr(__import__("celery").Task, "before_start"):  # Celery 5.2
        assert kind(ran.shop.event("before_start")) == ("RuntimeError", "in before_start")
    assert kind(ran.shop.event("on_success")) == ("RuntimeError", "in on_success")
    assert kind(ran.shop.event("after_return")) == ("RuntimeError", "in after_return")
    both = [kind(event)[1] for event in ran.shop.events("on_failure")]
    assert both == ["of the task", "in on_failure"]


def test_failing_receiver_of_a_signal_is_one_event_and_the_task_runs(ran: Ran) -> None:
    assert kind(ran.shop.event("receiver")) == ("RuntimeError", "in a receiver")
    assert ran.ended["receiver"] == 3


def test_custom_call_is_made_once_and_what_it_swallows_is_none_of_our_business(ran: Ran) -> None:
    assert ran.ended["swallow"] == "swallowed"
    assert kind(ran.shop.event("called-3"))[0] == "RuntimeError"
    for n in range(3):
        assert ran.shop.events("called-%d" % n) == []


def test_task_with_exploding_attributes_runs(ran: Ran) -> None:
    assert ran.ended["exploding"] == "ran"


def test_failed_task_that_acknowledges_late_is_one_event(shop: Shop) -> None:
    assert kind(shop.event("late"))[1] == "late"


def test_log_line_of_a_task_is_an_event_of_that_task_and_celerys_own_is_none(shop: Shop) -> None:
    line, failure = shop.events("log_and_fail")
    assert line["logger"] == "shop"
    assert line["extra"]["celery-job"]["task_name"] == "shop.log_and_fail"
    assert kind(failure)[1] == "after a line"
    celerys = [e for e in shop.all if (e.get("logger") or "").startswith("celery.app.trace")]
    assert {kind(event)[1] for event in celerys} <= {"in on_success", "in after_return"}


def test_members_of_groups_chords_and_chains_fail_alone(ran: Ran) -> None:
    for task_id in ("group-2", "chord-2", "link-2"):
        assert kind(ran.shop.event(task_id)) == ("RuntimeError", "member 2")
    for task_id in ("group-1", "group-3", "chord-1", "chord-3", "chord-body", "link-1", "link-3"):
        assert ran.shop.events(task_id) == [], task_id
    named = [
        e
        for e in ran.shop.all
        if "Dependency" in str(e.get("exception")) or "Chord" in str(e.get("logentry"))
    ]
    assert named == []


def test_every_event_belongs_to_a_task_that_failed(ran: Ran) -> None:
    known = [e for e in ran.shop.all if "celery_task_id" in (e.get("tags") or {})]
    others = [e for e in ran.shop.all if e not in known]
    assert [e.get("logger") for e in others] == ["multiprocessing"], [texts(event) for event in others]


def test_tags_and_breadcrumbs_end_with_the_task(shop: Shop) -> None:
    for task_id in ("late", "on_success", "after_return", "unpicklable"):
        event = shop.event(task_id)
        assert "n" not in event["tags"] and "healthy" not in event["tags"]
        assert "about to fail" not in str(event.get("breadcrumbs")) and "added" not in str(
            event.get("breadcrumbs")
        )
    assert "sender" not in shop.event("fail")["tags"]


def test_task_called_on_the_spot_has_scopes_of_its_own(shop: Shop) -> None:
    (outer,) = shop.events("nested")
    assert (outer["tags"]["outer"], outer["tags"].get("n")) == ("yes", None)
    inner = [e for e in shop.all if (e.get("tags") or {}).get("n") == "77"]
    assert [kind(event)[1] for event in inner] == ["failed 77"]
    assert inner[0]["transaction"] == "shop.fail"
    assert inner[0]["contexts"]["celery"]["eager"] is True


def test_headers_of_the_caller_arrive_and_ours_do_not_show(ran: Ran) -> None:
    custom, own = ran.ended["with-headers"]
    if hasattr(__import__("celery.app.task").app.task.Context, "_get_custom_headers"):  # Celery 5.3
        assert custom == {"x": "y"}
    assert own == []
    assert ran.ended["shown_headers"] == [{}, []]


def test_task_continues_the_trace_of_its_sender(ran: Ran) -> None:
    (sender,) = ran.shop.transactions(name="sender")
    submitted = {s["span_id"]: s for s in sender["spans"] if s["op"] == "queue.submit.celery"}
    (consumer,) = ran.shop.transactions("fail")
    trace = consumer["contexts"]["trace"]
    assert trace["trace_id"] == ran.told["trace"] == sender["contexts"]["trace"]["trace_id"]
    assert submitted[trace["parent_span_id"]]["description"] == "shop.fail"
    assert ran.shop.event("fail")["contexts"]["trace"]["trace_id"] == ran.told["trace"]


def test_sending_is_one_span_with_one_publication_below_it(ran: Ran) -> None:
    (sender,) = ran.shop.transactions(name="sender")
    submitted = [s["span_id"] for s in sender["spans"] if s["op"] == "queue.submit.celery"]
    published = [s for s in sender["spans"] if s["op"] == "queue.publish"]
    assert len(submitted) == len(published) > 30
    assert {s["parent_span_id"] for s in published} == set(submitted)
    data = next(s["data"] for s in published if s["data"]["messaging.message.id"] == "fail")
    assert data["messaging.destination.name"] == ran.shop.env["QUEUE"]
    assert data["messaging.message.retry.count"] == 0
    assert data["messaging.system"] in ("redis", "filesystem")


def test_a_run_is_a_transaction_with_the_message_it_came_in(ran: Ran, broker: Broker) -> None:
    (healthy,) = ran.shop.transactions("add")
    assert (healthy["transaction"], healthy["transaction_info"]) == ("shop.add", {"source": "task"})
    trace = healthy["contexts"]["trace"]
    assert (trace["op"], trace["origin"], trace["status"]) == ("queue.task.celery", "auto.queue.celery", "ok")
    data = span_of(healthy)["data"]
    assert data["messaging.destination.name"] == ran.shop.env["QUEUE"]
    assert data["messaging.message.id"] == "add"
    assert data["messaging.message.retry.count"] == 0
    assert data["messaging.system"] == ("redis" if broker.is_redis else "filesystem")
    assert 0 <= data["messaging.message.receive.latency"] < 120_000
    (failed,) = ran.shop.transactions("fail")
    assert failed["contexts"]["trace"]["status"] == "internal_error"
    assert span_of(failed)["status"] == "internal_error"


def test_what_a_task_sends_continues_its_trace(ran: Ran) -> None:
    (parent,) = ran.shop.transactions("sends")
    (child,) = ran.shop.transactions("sent-by-a-task")
    assert child["contexts"]["trace"]["trace_id"] == ran.told["trace"]
    submits = [s for s in parent["spans"] if s["op"] == "queue.submit.celery"]
    assert [s["span_id"] for s in submits] == [child["contexts"]["trace"]["parent_span_id"]]
    assert submits[0]["parent_span_id"] == span_of(parent)["span_id"]


def test_parent_of_the_pool_starts_no_thread(ran: Ran, broker: Broker) -> None:
    if not broker.is_redis:
        pytest.skip("this broker has threads by itself")
    assert ran.threads_before == 1


def test_worker_tells_its_errors_as_ever(ran: Ran) -> None:
    assert re.search(r"Task shop\.fail\[fail\] raised unexpected: RuntimeError\('failed 5'", ran.output)
    assert "internal fault" not in ran.output


def span_of(transaction: dict[str, Any]) -> dict[str, Any]:
    (span,) = [s for s in transaction["spans"] if s["op"] == "queue.process"]
    return span
