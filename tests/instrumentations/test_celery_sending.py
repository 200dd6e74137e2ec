"""Sending Celery tasks: headers and spans, the caller's own things untouched; tasks that are run on the spot."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("celery")

from celery_apps import SHOP, SPY
from celery_workers import kind

TRACE = "0123456789abcdef0123456789abcdef"

PRELUDE = """
import json
from shop import *

def message():
    '''The next message in the queue.'''
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue("celery")
        try:
            found = queue.get(block=False)
            found.ack()
            return found
        finally:
            queue.close()

def sent():
    '''Its headers that are not Celery's.'''
    wanted = ("sentry-", "baggage", "traceparent", "x")
    return {key: value for key, value in message().headers.items() if key.startswith(wanted)}

told = []
tell = told.append
"""


def ran(sandbox: Any, code: str, launched: bool = True, **env: str) -> list[Any]:
    """What *code* told; it has the tasks, a broker in memory, ``sent()`` and ``tell()``."""
    sandbox.write("shop.py", SHOP)
    sandbox.write("spy.py", SPY)
    settings = {"BROKER": "memory://", "RESULTS": "cache+memory://", **env}
    if "ERRTRACK_TRACES_SAMPLE_RATE" in env:
        settings.update(ERRTRACK_BEFORE_SEND_TRANSACTION="spy:keep", PYTHONPATH=str(sandbox.folder))
    done = sandbox.python(PRELUDE + code + "\nprint(json.dumps(told))\n", launched=launched, **settings)
    assert done.returncode == 0, done.stderr
    assert "internal fault" not in done.stderr
    told: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def transactions(sandbox: Any) -> list[dict[str, Any]]:
    path = sandbox.folder / "transactions"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


WAYS = """
ours = {"x": "y"}
add.delay(1); tell(sent())
add.apply_async(); tell(sent())
add.apply_async((1,), {"y": 2}); tell(sent())
add.apply_async((1,), headers=ours); tell(sent())
add.apply_async((1,), headers=None); tell(sent())
app.send_task("shop.add", (1,), None, headers=ours); tell(sent())
add.s(1).apply_async(); tell(sent())
tell(ours)
from errtrack import get_isolation_scope
tell(get_isolation_scope().get_propagation().trace_id)
"""


def test_every_way_of_sending_carries_the_trace_and_the_callers_headers_stay(sandbox) -> None:
    *messages, ours, trace_id = ran(sandbox, WAYS.replace("add.apply_async(); tell(sent())\n", ""))
    for headers in messages:
        assert headers["sentry-trace"].startswith(trace_id)
        assert "sentry-trace_id=" + trace_id in headers["baggage"]
        assert float(headers["sentry-task-enqueued-time"]) > 1_700_000_000
    assert ours == {"x": "y"}
    assert [headers.get("x") for headers in messages] == [None, None, "y", None, "y", None]


def test_task_with_arguments_of_none_is_sent(sandbox) -> None:
    (headers,) = ran(sandbox, "whoami.apply_async(None, None); tell(sent())")
    assert "sentry-trace" in headers


def test_without_propagation_nothing_of_ours_is_sent(sandbox) -> None:
    code = WAYS.replace("add.apply_async(); tell(sent())\n", "").replace(
        "tell(get_isolation", "str(get_isolation"
    )
    told = ran(sandbox, code, ERRTRACK_CELERY_PROPAGATE_TRACES="0")
    assert told == [{}, {}, {"x": "y"}, {}, {"x": "y"}, {}, {"x": "y"}]


def test_one_call_can_go_without_propagation(sandbox) -> None:
    code = """
ours = {"sentry-propagate-traces": False, "x": "y"}
add.apply_async((1,), headers=ours); tell(sent()); tell(ours)
"""
    assert ran(sandbox, code) == [{"x": "y"}, {"sentry-propagate-traces": False, "x": "y"}]


def test_baggage_of_the_caller_is_kept(sandbox) -> None:
    code = (
        """
add.apply_async((1,), headers={"baggage": "vendor=1"}); tell(sent()["baggage"])
add.apply_async((1,), headers={"baggage": "vendor=1,sentry-environment=theirs"}); tell(sent()["baggage"])
add.apply_async((1,), headers={"sentry-trace": "%s-0123456789abcdef-1"}); tell(sent()["sentry-trace"])
"""
        % TRACE
    )
    own, given, trace = ran(sandbox, code)
    assert own.startswith("vendor=1,sentry-")
    assert given == "vendor=1,sentry-environment=theirs"
    assert trace == TRACE + "-0123456789abcdef-1"


def test_signature_of_overridden_sending_stays(sandbox) -> None:
    code = """
import inspect
class Once(Task):
    def apply_async(self, args=None, kwargs=None, **options):
        tell(sorted(options))
        return super().apply_async(args=args, kwargs=kwargs, **options)
@app.task(base=Once)
def once(n):
    return n
once.delay(1); tell(sorted(sent()))
tell(list(inspect.signature(Task.apply_async).parameters)[:4])
tell(list(inspect.signature(app.send_task).parameters)[:3])
"""
    options, headers, parameters, of_app = ran(sandbox, code)
    assert options == []
    assert headers == ["baggage", "sentry-task-enqueued-time", "sentry-trace"]
    assert parameters == ["self", "args", "kwargs", "task_id"]
    assert of_app == ["name", "args", "kwargs"]


def test_sending_that_fails_is_a_failed_span(sandbox) -> None:
    code = """
with errtrack.start_transaction(op="test", name="sender"):
    try:
        add.apply_async((object(),), serializer="json")
    except Exception as error:
        tell(type(error).__name__)
"""
    (error,) = ran(sandbox, code, ERRTRACK_TRACES_SAMPLE_RATE="1")
    assert error in ("EncodeError", "TypeError")
    (transaction,) = transactions(sandbox)
    (span,) = [s for s in transaction["spans"] if s["op"] == "queue.submit.celery"]
    assert (span["description"], span["status"]) == ("shop.add", "internal_error")


def test_with_sampled_out_work_there_are_no_spans_but_headers(sandbox) -> None:
    code = "add.delay(1); tell(sent())"
    (headers,) = ran(sandbox, code, ERRTRACK_TRACES_SAMPLE_RATE="1")
    assert "sentry-trace" in headers
    assert transactions(sandbox) == []


EAGER = """
errtrack.set_tag("caller", "yes")
for call in (lambda: fail.delay(1), lambda: fail.apply_async((2,)), lambda: fail.apply((3,)), lambda: fail.apply(args=[4])):
    result = call()
    tell([result.state, str(result.result)])
errtrack.capture_message("afterwards")
"""


@pytest.mark.parametrize("rate", ["", "1"])
def test_task_that_is_run_on_the_spot_is_one_event(sandbox, rate: str) -> None:
    env = {"ERRTRACK_TRACES_SAMPLE_RATE": rate} if rate else {}
    told = ran(sandbox, EAGER, EAGER="1", **env)
    assert told == [["FAILURE", "failed %d" % n] for n in (1, 2, 3, 4)]
    *failures, afterwards = sandbox.events()
    assert [kind(event)[1] for event in failures] == ["failed %d" % n for n in (1, 2, 3, 4)]
    assert {event["transaction"] for event in failures} == {"shop.fail"}
    assert {event["tags"]["caller"] for event in failures} == {"yes"}
    assert afterwards["tags"].get("caller") == "yes"
    assert not {"n", "celery_task_id"} & set(afterwards["tags"])
    assert len({e["contexts"]["trace"]["trace_id"] for e in (*failures, afterwards)}) == 1
    assert len(transactions(sandbox)) == (4 if rate else 0)


def test_error_that_an_eager_task_passes_on_is_one_event(sandbox) -> None:
    code = """
app.conf.task_eager_propagates = True
try:
    fail.delay(1)
except RuntimeError as error:
    tell(str(error))
    errtrack.capture_exception(error)
import logging
try:
    fail.apply((2,), throw=True)
except RuntimeError:
    logging.exception("seen again")
"""
    assert ran(sandbox, code, EAGER="1") == ["failed 1"]
    assert [kind(event)[1] for event in sandbox.events()] == ["failed 1", "failed 2"]


def test_declared_and_retried_errors_on_the_spot(sandbox) -> None:
    code = """
tell(declared.delay().state); tell(ignore.delay().state); tell(mended.delay().get())
tell(again.delay().state)
from celery.exceptions import Retry
try:
    again.apply(throw=True)
except Retry:
    tell("retried")
"""
    told = ran(sandbox, code, EAGER="1")
    assert told[0] == "FAILURE" and told[2] == 2 and told[4] == "retried"
    assert [kind(event)[1] for event in sandbox.events()] == ["'try 2'"]


def test_eager_task_in_a_transaction_is_one_of_its_own(sandbox) -> None:
    code = """
with errtrack.start_transaction(op="test", name="caller") as root:
    add.delay(1)
    with errtrack.start_span(op="after", name="after"):
        pass
tell(root.trace_id)
"""
    (trace_id,) = ran(sandbox, code, EAGER="1", ERRTRACK_TRACES_SAMPLE_RATE="1")
    task, caller = transactions(sandbox)
    assert (task["transaction"], caller["transaction"]) == ("shop.add", "caller")
    assert task["contexts"]["trace"]["trace_id"] == caller["contexts"]["trace"]["trace_id"] == trace_id
    assert task["contexts"]["trace"]["parent_span_id"] == caller["contexts"]["trace"]["span_id"]
    (after,) = [s for s in caller["spans"] if s["op"] == "after"]
    assert after["parent_span_id"] == caller["contexts"]["trace"]["span_id"]


def test_exit_of_an_eager_task_is_the_callers(sandbox) -> None:
    code = """
try:
    leave.apply((3,))
except SystemExit as error:
    tell(error.code)
"""
    assert ran(sandbox, code, EAGER="1") == [3]
    assert sandbox.events() == []


def test_sampler_is_shown_the_job(sandbox) -> None:
    sandbox.write(
        "sampler.py",
        "import json\n"
        "def sample(context):\n"
        "    if 'celery_job' in context:\n"
        "        with open('jobs', 'a') as file: file.write(json.dumps(context['celery_job']) + chr(10))\n"
        "    return 1.0\n",
    )
    env = {"ERRTRACK_TRACES_SAMPLER": "sampler:sample", "PYTHONPATH": str(sandbox.folder)}
    ran(sandbox, "add.apply_async(([1, 2], ), {'y': [3]})", EAGER="1", **env)
    job = json.loads((sandbox.folder / "jobs").read_text())
    assert job == {"task": "shop.add", "args": [[1, 2]], "kwargs": {"y": [3]}}


def test_retries_are_reported_by_option(sandbox) -> None:
    ran(sandbox, "again.delay()", EAGER="1", ERRTRACK_CELERY_REPORT_RETRIES="1")
    found = sandbox.events()
    assert [(kind(event)[1], event["level"]) for event in found] == [
        ("'try 0'", "warning"),
        ("'try 1'", "warning"),
        ("'try 2'", "error"),
    ]
    handled = [event["exception"]["values"][-1]["mechanism"]["handled"] for event in found]
    assert handled == [True, True, False]


def test_another_tools_tracer_and_ours_both_work(sandbox) -> None:
    code = """
import celery.app.trace as trace
ours = trace.build_tracer
def theirs(name, task, *args, **kwargs):
    tracer = ours(name, task, *args, **kwargs)
    def traced(*args, **kwargs):
        tell("theirs")
        return tracer(*args, **kwargs)
    return traced
trace.build_tracer = theirs
fail.apply((1,))
"""
    assert ran(sandbox, code) == ["theirs"]
    assert kind(sandbox.event()) == ("RuntimeError", "failed 1")


def test_a_task_called_often_is_not_wrapped_again_and_again(sandbox) -> None:
    code = """
import traceback
@app.task
def depth():
    return len(traceback.extract_stack())
tell(len({depth.apply().result for _ in range(50)}))
tell("run" in vars(depth))
"""
    launched = ran(sandbox, code)
    assert launched == ran(sandbox, code, launched=False) and launched[0] == 1


def test_without_us_off_means_off(sandbox) -> None:
    code = "fail.apply((1,)); add.delay(1); tell(sent())"
    assert ran(sandbox, code, ERRTRACK_DISABLE="celery,kombu") == [{}]
    assert [event.get("logger") for event in sandbox.events()] == ["celery.app.trace"]


def test_switched_off_in_code_the_log_line_is_an_event_again(sandbox) -> None:
    code = "import errtrack; errtrack.init(disable=['celery']); fail.apply((1,))"
    ran(sandbox, code)
    assert [event.get("logger") for event in sandbox.events()] == ["celery.app.trace"]


def test_worker_with_bad_keyword_arguments_reports_it(sandbox) -> None:
    code = """
from celery.app.trace import build_tracer
tracer = build_tracer("shop.add", add, app=app)
import warnings
warnings.simplefilter("ignore")
tell(type(tracer("id-1", (1,), [2], {}).retval).__name__)
"""
    assert ran(sandbox, code) == ["ExceptionInfo"]
    event = sandbox.event()
    assert kind(event)[0] == "InvalidTaskError"
    assert event["tags"]["celery_task_id"] == "id-1"


RUN_AS_A_WORKER_DOES = """
import sqlite3
from celery.app.trace import build_tracer

@app.task
def ask():
    connection = sqlite3.connect(":memory:")
    connection.execute("SELECT 1").fetchall()
    connection.close()

tracer = build_tracer(ask.name, ask, app=app)
for exchange in ("", "shop"):
    request = {"id": "id" + exchange, "delivery_info": {"exchange": exchange, "routing_key": "orders"},
               "sentry-task-enqueued-time": "%f" % (time.time() - 2), "retries": 1,
               "traceparent": "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"}
    tracer(request["id"], (), {}, request)
    tell(sorted(request))
"""


def test_run_is_described_by_its_message_and_what_the_task_asks_is_below_it(sandbox: Any) -> None:
    left, _ = ran(sandbox, RUN_AS_A_WORKER_DOES, ERRTRACK_TRACES_SAMPLE_RATE="1")
    assert left == ["delivery_info", "id", "retries", "traceparent"]
    for transaction, destination in zip(transactions(sandbox), ("orders", None)):
        assert transaction["contexts"]["trace"]["trace_id"] == TRACE
        (process,) = [s for s in transaction["spans"] if s["op"] == "queue.process"]
        assert process["data"].get("messaging.destination.name") == destination
        assert process["data"]["messaging.message.retry.count"] == 1
        assert process["data"]["messaging.system"] == "memory"
        assert 2_000 <= process["data"]["messaging.message.receive.latency"] < 60_000
        queries = [s for s in transaction["spans"] if "SELECT 1" in (s["description"] or "")]
        assert {s["parent_span_id"] for s in queries} == {process["span_id"]}


def test_without_propagation_a_task_run_on_the_spot_is_a_trace_of_its_own(sandbox: Any) -> None:
    code = 'fail.delay(1); errtrack.capture_message("afterwards")'
    ran(sandbox, code, EAGER="1", ERRTRACK_CELERY_PROPAGATE_TRACES="0")
    failure, afterwards = sandbox.events()
    assert failure["contexts"]["trace"]["trace_id"] != afterwards["contexts"]["trace"]["trace_id"]
