"""Transactions and spans by the public functions: what is sent of them, and what happens where nothing is recorded."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from typing import Any

import pytest
from running import Running
from sink import Sink

import errtrack
from errtrack.context import propagation, scope, trace
from errtrack.context.unit import Unit

TRACE, PARENT = "771a43a4192642f0b136d5159a501700", "1234567890abcdef"


def transactions(running: Running, sink: Sink) -> list[dict[str, Any]]:
    return running.trees(sink, "transaction")


def header_of(sink: Sink, kind: str = "transaction") -> dict[str, Any]:
    """The ``trace`` of the first envelope with an item of this *kind*."""
    for request in sink.accepted:
        if request.envelope.items[0][0]["type"] == kind:
            found: dict[str, Any] = request.envelope.headers["trace"]
            return found
    raise AssertionError("no " + kind)


def test_transaction_is_sent_with_its_spans(running: Running, sink: Sink) -> None:
    running.send_to(sink, traces_sample_rate=1.0, release="shop@1", environment="test")
    errtrack.set_tag("tenant", "a")
    errtrack.set_user({"id": "7"})
    before = time.time()
    with errtrack.start_transaction(name="import", op="task", source="task") as transaction:
        transaction.set_data("rows", 3)
        with errtrack.start_span(op="function", name="parse") as outer:
            outer.set_tag("kind", "csv")
            with errtrack.start_span(op="db", description="SELECT 1") as inner:
                inner.set_data("db.system", "sqlite")
                inner.update_data({"rows": 1})
    (sent,) = transactions(running, sink)
    assert (sent["type"], sent["transaction"]) == ("transaction", "import")
    assert sent["transaction_info"] == {"source": "task"}
    assert (sent["tags"], sent["user"]["id"], sent["release"]) == ({"tenant": "a"}, "7", "shop@1")
    assert "level" not in sent and "exception" not in sent
    root = sent["contexts"]["trace"]
    assert (root["op"], root["status"], root["origin"], root["data"]) == ("task", "ok", "manual", {"rows": 3})
    inner_row, outer_row = sent["spans"]  # in the order they ended
    assert (outer_row["description"], outer_row["op"], outer_row["tags"]) == (
        "parse",
        "function",
        {"kind": "csv"},
    )
    assert (inner_row["description"], inner_row["data"]) == ("SELECT 1", {"db.system": "sqlite", "rows": 1})
    assert outer_row["parent_span_id"] == root["span_id"]
    assert inner_row["parent_span_id"] == outer_row["span_id"]
    assert {row["trace_id"] for row in sent["spans"]} == {root["trace_id"]}
    assert before - 0.01 <= outer_row["start_timestamp"] <= inner_row["start_timestamp"]
    assert inner_row["timestamp"] <= outer_row["timestamp"] <= time.time() + 0.01
    head = header_of(sink)
    assert head.pop("sample_rand").startswith("0.")
    assert head == {
        "trace_id": root["trace_id"], "public_key": running.clients[-1].dsn.public_key, "release": "shop@1",
        "environment": "test", "sample_rate": "1", "sampled": "true", "transaction": "import",
    }  # fmt: skip


def test_off_nothing_is_recorded_and_errors_have_a_trace(running: Running, sink: Sink) -> None:
    running.send_to(sink)
    with errtrack.start_transaction(name="import", op="task") as transaction:
        assert trace.recording() is None and errtrack.get_current_span() is None
        transaction.set_data("a", 1)
        transaction.set_tag("a", 1)
        transaction.set_status("ok")
        transaction.set_http_status(200)
        transaction.set_name("other")
        with errtrack.start_span(op="db", name="x") as span:
            assert not span.sampled
            span.start_child(op="y").finish()
        errtrack.update_current_span(name="nothing")
        header = errtrack.get_traceparent()
        errtrack.capture_message("inside")
    (event,) = running.trees(sink, "event")
    own = event["contexts"]["trace"]
    assert header == "%s-%s" % (own["trace_id"], own["span_id"])
    assert transactions(running, sink) == []


def test_error_inside_of_a_span_is_linked_to_it(running: Running, sink: Sink) -> None:
    running.send_to(sink, traces_sample_rate=1.0)
    with (
        errtrack.start_transaction(name="import", op="task") as transaction,
        errtrack.start_span("db") as span,
    ):
        errtrack.capture_message("inside")
    (event,) = running.trees(sink, "event")
    own = event["contexts"]["trace"]
    assert (own["trace_id"], own["span_id"]) == (transaction.trace_id, span.span_id)
    assert (own["parent_span_id"], own["op"]) == (transaction.span_id, "db")
    assert event["transaction"] == "import"
    assert header_of(sink, "event")["trace_id"] == transaction.trace_id


def test_failing_blocks_have_a_status(running: Running, sink: Sink) -> None:
    running.send_to(sink, traces_sample_rate=1.0)
    with pytest.raises(KeyError), errtrack.start_transaction(name="fails"), errtrack.start_span("function"):
        raise KeyError("x")
    with pytest.raises(SystemExit), errtrack.start_transaction(name="exits", op="task"):
        raise SystemExit(0)
    failed, left = transactions(running, sink)
    assert failed["contexts"]["trace"]["status"] == failed["spans"][0]["status"] == "internal_error"
    assert left["contexts"]["trace"]["status"] == "ok"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (200, "ok"), (304, "ok"), (400, "invalid_argument"), (401, "unauthenticated"), (403, "permission_denied"),
        (404, "not_found"), (409, "already_exists"), (413, "failed_precondition"), (418, "invalid_argument"),
        (429, "resource_exhausted"), (500, "internal_error"), (501, "unimplemented"), (503, "unavailable"),
        (504, "deadline_exceeded"), (599, "internal_error"), (700, "unknown_error"),
    ],
)  # fmt: skip
def test_status_of_http_codes(code: int, status: str) -> None:
    from errtrack.context.span import status_of_http

    assert status_of_http(code) == status


def test_unit_is_a_transaction_with_the_answer_and_the_errors_of_its_work(
    running: Running, sink: Sink
) -> None:
    running.send_to(sink, traces_sample_rate=1.0)
    for end in ({"http_status": 404}, {"status": "cancelled"}, {}):
        unit = Unit("http.server", "generic", "route", "auto.http.test")
        token = unit.enter()
        unit.scope.set_transaction_name("/x/<id>", "route")
        if not end:
            errtrack.report_exception(KeyError("x"), "test")
        unit.leave(token)
        unit.end(**end)
        unit.end(status="ok")  # a second time does nothing
        assert trace.recording() is None
    answered, cancelled, failed = transactions(running, sink)
    root = answered["contexts"]["trace"]
    assert (root["status"], root["op"], root["origin"]) == ("not_found", "http.server", "auto.http.test")
    assert root["data"] == {"http.response.status_code": 404}
    assert answered["contexts"]["response"] == {"status_code": 404}
    assert answered["tags"]["http.status_code"] == "404"
    assert cancelled["contexts"]["trace"]["status"] == "cancelled"
    assert failed["contexts"]["trace"]["status"] == "internal_error"
    assert {t["transaction"] for t in (answered, cancelled, failed)} == {"/x/<id>"}


def test_incoming_trace_is_continued(running: Running, sink: Sink) -> None:
    running.send_to(sink, traces_sample_rate=0.0)
    given = ("%s-%s-1" % (TRACE, PARENT), "other=1, sentry-sample_rate=0.25, sentry-trace_id=" + TRACE, "")
    unit = Unit("http.server", "generic", "route", "auto.http.test", given)
    token = unit.enter()
    header, baggage = trace.outgoing_headers()
    unit.leave(token)
    unit.end()
    (sent,) = transactions(running, sink)
    root = sent["contexts"]["trace"]
    assert (root["trace_id"], root["parent_span_id"]) == (TRACE, PARENT)
    assert header == "%s-%s-1" % (TRACE, root["span_id"])
    assert baggage == "sentry-sample_rate=0.25,sentry-trace_id=" + TRACE


@pytest.mark.parametrize(
    ("name", "is_told"), [("job", True), ("/reset?token=hunter2", False), ("a:b@c", False)]
)
def test_name_that_may_hold_a_secret_is_not_told_to_whoever_is_called(
    running: Running, sink: Sink, name: str, is_told: bool
) -> None:
    running.send_to(sink, traces_sample_rate=1.0)
    with errtrack.start_transaction(op="task", name=name):
        _, baggage = trace.outgoing_headers()
    assert ("sentry-transaction=" in baggage) is is_told and "hunter2" not in baggage
    assert running.items(sink, "transaction")
    assert not any(b"hunter2" in request.body for request in sink.requests)


def test_decision_of_the_head_is_kept_whatever_the_rate(running: Running, sink: Sink) -> None:
    running.send_to(sink, traces_sample_rate=1.0)
    unit = Unit("http.server", "x", "route", "test", ("%s-%s-0" % (TRACE, PARENT), "", ""))
    token = unit.enter()
    assert trace.recording() is None
    assert trace.outgoing_headers()[0].endswith("-0")
    unit.leave(token)
    unit.end(http_status=200)
    assert transactions(running, sink) == []


def test_w3c_traceparent_is_continued_where_there_is_no_other(running: Running, sink: Sink) -> None:
    running.send_to(sink, traces_sample_rate=1.0)
    w3c = "00-%s-%s-01" % (TRACE, PARENT)
    Unit("http.server", "w3c", "route", "test", ("", "", w3c)).end()
    Unit("http.server", "both", "route", "test", ("%s-%s-1" % ("a" * 32, "b" * 16), "", w3c)).end()
    first, second = (t["contexts"]["trace"] for t in transactions(running, sink))
    assert (first["trace_id"], first["parent_span_id"]) == (TRACE, PARENT)
    assert (second["trace_id"], second["parent_span_id"]) == ("a" * 32, "b" * 16)


@pytest.mark.parametrize("header", ["", "garbage", "0" * 32 + "-" + PARENT + "-1", TRACE[:-1] + "-" + PARENT])
def test_garbage_in_headers_begins_a_new_trace(header: str) -> None:
    assert propagation.continue_trace(header, "sentry-sampled=true", "00-nonsense") is None


def test_headers_are_read_tolerantly() -> None:
    found = propagation.continue_trace(" %s-%s-1 , second" % (TRACE.upper(), PARENT))
    assert found is not None and (found.trace_id, found.parent_span_id, found.sampled) == (
        TRACE,
        PARENT,
        True,
    )
    found = propagation.continue_trace(TRACE)
    assert found is not None and (found.trace_id, found.parent_span_id, found.sampled) == (TRACE, None, None)


def test_trace_without_baggage_stays_without(running: Running) -> None:
    running.start(traces_sample_rate=1.0)
    unit = Unit("http.server", "x", "route", "test", ("%s-%s-1" % (TRACE, PARENT), "vendor=1", ""))
    token = unit.enter()
    assert trace.outgoing_headers()[1] == ""
    unit.leave(token)
    unit.end()


def test_sampling_by_rate_is_within_three_sigma_and_counted(running: Running, sink: Sink) -> None:
    client = running.send_to(sink, traces_sample_rate=0.1)
    count = 10_000
    for _ in range(count):
        unit = Unit("http.server", "x", "route", "test")
        if unit.span is not None:
            unit.span.drop()  # only the decision is looked at
        unit.end()
    client.close(10)
    reports = sink.reports()
    kept = reports[("event_processor", "transaction")]
    assert abs(kept - count * 0.1) < 3 * math.sqrt(count * 0.1 * 0.9)
    assert reports[("sample_rate", "transaction")] == count - kept == reports[("sample_rate", "span")]


def test_parents_decision_is_kept_ten_thousand_times(running: Running) -> None:
    running.start(traces_sample_rate=0.5)
    for index in range(10_000):
        flag = index % 2
        unit = Unit("http.server", "x", "route", "test", ("%032x-%s-%d" % (index + 1, PARENT, flag), "", ""))
        assert (unit.span is not None) is bool(flag)


def test_services_that_share_a_trace_agree_by_its_number(running: Running) -> None:
    running.start(traces_sample_rate=0.5)
    for rand, sampled in (("0.499999", True), ("0.500000", False)):
        unit = Unit("x", "x", "task", "test", ("%s-%s" % (TRACE, PARENT), "sentry-sample_rand=" + rand, ""))
        assert (unit.span is not None) is sampled
    # Without one it comes out of the trace's id: the same wherever it is asked for.
    first, second = (propagation.continue_trace("%s-%s" % (TRACE, PARENT)) for _ in "ab")
    assert first is not None and second is not None and first.sample_rand == second.sample_rand


@pytest.mark.parametrize("sampled", [True, False])
def test_missing_number_is_made_to_fit_the_decision(sampled: bool) -> None:
    for index in range(1, 200):
        header = "%032x-%s-%d" % (index * 7919**8 % 16**32, PARENT, sampled)
        found = propagation.continue_trace(header, "sentry-sample_rate=0.25")
        assert found is not None and (found.sample_rand < 0.25) is sampled


def test_sampler_decides_before_the_head_and_the_rate(running: Running, sink: Sink) -> None:
    shown: list[dict[str, Any]] = []

    def sampler(context: dict[str, Any]) -> Any:
        shown.append(context)
        return {"/in": True, "/out": 0.0, "/head": None}[context["wsgi_environ"]["PATH_INFO"]]

    client = running.send_to(sink, traces_sample_rate=0.0, traces_sampler=sampler)
    for path, flag in (("/in", 0), ("/out", 1), ("/head", 1), ("/head", 0)):
        incoming = ("%s-%s-%d" % (TRACE, PARENT, flag), "sentry-sample_rate=0.5", "")
        Unit("http.server", path, "url", "test", incoming, {"wsgi_environ": {"PATH_INFO": path}}).end()
    assert [t["transaction"] for t in transactions(running, sink)] == ["/in", "/head"]
    assert shown[0]["transaction_context"] == {"name": "/in", "op": "http.server", "source": "url"}
    assert (shown[0]["parent_sampled"], shown[0]["parent_sample_rate"]) == (False, 0.5)
    client.close(5)
    assert sink.reports()[("sample_rate", "transaction")] == 2


def test_sampler_that_fails_is_told_and_the_rate_decides(running: Running, sink: Sink, capfd: Any) -> None:
    running.send_to(sink, traces_sample_rate=1.0, traces_sampler=lambda context: 1 / 0)
    with errtrack.start_transaction(name="kept", op="task"):
        pass
    assert len(transactions(running, sink)) == 1
    assert "traces_sampler failed (ZeroDivisionError" in capfd.readouterr().err


def test_decision_by_hand_wins(running: Running, sink: Sink) -> None:
    running.send_to(sink, traces_sample_rate=0.0)
    with errtrack.start_transaction(name="yes", op="task", sampled=True):
        pass
    running.clients[-1].options.traces_sample_rate = 1.0
    with errtrack.start_transaction(name="no", op="task", sampled=False):
        assert errtrack.get_traceparent().endswith("-0")
    assert [t["transaction"] for t in transactions(running, sink)] == ["yes"]


def test_spans_beyond_the_limit_are_counted(running: Running, sink: Sink) -> None:
    running.send_to(sink, traces_sample_rate=1.0, max_spans=10)
    with errtrack.start_transaction(name="many", op="task"):
        for index in range(15):
            with errtrack.start_span(op="function", name=str(index)):
                pass
    (sent,) = transactions(running, sink)
    assert [span["description"] for span in sent["spans"]] == [str(index) for index in range(10)]
    assert sent["_meta"]["spans"][""]["len"] == 15


def test_thousand_spans_with_data_are_all_kept(running: Running, sink: Sink) -> None:
    running.send_to(sink, traces_sample_rate=1.0)
    with errtrack.start_transaction(name="many", op="task"):
        for index in range(1000):
            with errtrack.start_span(op="db", name="SELECT * FROM t WHERE a = ? " + "x" * 100) as span:
                span.update_data({"db.system": "postgresql", "index": index, "code.function": "f"})
    (sent,) = transactions(running, sink)
    assert len(sent["spans"]) == 1000
    assert [span["data"]["index"] for span in sent["spans"]] == list(range(1000))


def test_secrets_in_spans_are_filtered(running: Running, sink: Sink) -> None:
    running.send_to(sink, traces_sample_rate=1.0)
    with errtrack.start_transaction(name="x", op="task") as transaction:
        transaction.set_data("api_key", "hunter2")
        with errtrack.start_span(
            op="http.client", name="GET https://user:hunter2@h.test/?token=hunter2"
        ) as span:
            span.set_data("password", "hunter2")
            span.set_tag("secret", "hunter2")
    assert b"hunter2" not in b"".join(body for _, body in running.items(sink, "transaction"))


def test_what_json_cannot_hold_does_not_cost_the_transaction(running: Running, sink: Sink) -> None:
    running.send_to(sink, traces_sample_rate=1.0)
    odd: Any = {"op": 7, "name": b"bytes", "origin": None}
    with errtrack.start_transaction(name="x", op="task"), errtrack.start_span(**odd) as span:
        span.set_data("nan", float("nan"))
        span.set_data("object", object())
        span.set_data(("odd",), 1)  # type: ignore[arg-type]
        span.set_status("made up")
    (sent,) = transactions(running, sink)
    (span_row,) = sent["spans"]
    assert span_row["status"] == "unknown_error" and span_row["data"]["nan"] == "nan"


def test_decorated_functions_are_spans(running: Running, sink: Sink) -> None:
    @errtrack.trace
    def double(number: int) -> int:
        """Twice as much."""
        return 2 * number

    @errtrack.trace(op="cache", name="look up", attributes={"size": 1})
    async def look_up(key: str) -> str:
        return key * double(1)

    running.send_to(sink, traces_sample_rate=1.0)
    assert (double(2), double.__name__, double.__doc__) == (4, "double", "Twice as much.")
    with errtrack.start_transaction(name="x", op="task"):
        assert asyncio.run(look_up("a")) == "aa"
    (sent,) = transactions(running, sink)
    inner, outer = sent["spans"]
    assert (outer["op"], outer["description"], outer["data"]) == ("cache", "look up", {"size": 1})
    assert inner["description"].endswith("double") and inner["parent_span_id"] == outer["span_id"]


def test_trace_is_continued_by_hand(running: Running, sink: Sink) -> None:
    running.send_to(sink, traces_sample_rate=0.0)
    for headers in (
        {"Sentry-Trace": "%s-%s-1" % (TRACE, PARENT), "Baggage": "sentry-sample_rate=1"},
        {"HTTP_SENTRY_TRACE": "%s-%s-1" % (TRACE, PARENT)},
    ):
        continued = errtrack.continue_trace(headers, op="job", name="nightly")
        with errtrack.start_transaction(continued):
            pass
        errtrack.capture_message("afterwards")
    first, second = transactions(running, sink)
    assert (first["transaction"], first["contexts"]["trace"]["op"]) == ("nightly", "job")
    for tree in (first, second, *running.trees(sink, "event")):
        assert tree["contexts"]["trace"]["trace_id"] == TRACE
        assert tree["contexts"]["trace"]["parent_span_id"] == PARENT


def test_meta_tags_continue_the_trace_in_the_browser(running: Running) -> None:
    running.start(traces_sample_rate=1.0, environment='a"b')
    with errtrack.start_transaction(name="page", op="task") as transaction:
        tags = errtrack.trace_propagation_meta()
    assert tags.startswith(
        '<meta name="sentry-trace" content="%s-%s-1">' % (transaction.trace_id, transaction.span_id)
    )
    assert 'name="baggage"' in tags and 'a"b' not in tags


def test_transactions_in_a_row_are_traces_of_their_own(running: Running, sink: Sink) -> None:
    running.send_to(sink, traces_sample_rate=1.0)
    outside = errtrack.get_traceparent()
    for name in "ab":
        with errtrack.start_transaction(name=name, op="task"):
            pass
    assert errtrack.get_traceparent() == outside
    first, second = transactions(running, sink)
    assert first["contexts"]["trace"]["trace_id"] != second["contexts"]["trace"]["trace_id"]
    assert scope.get_isolation_scope().transaction is None


def test_work_in_hand_is_named_and_described_later(running: Running, sink: Sink) -> None:
    running.send_to(sink, traces_sample_rate=1.0)
    with errtrack.start_transaction(name="before", op="task"):
        errtrack.set_transaction_name("after", source="route")
        errtrack.update_current_span(op="other", attributes={"a": 1}, data={"b": 2})
    (sent,) = transactions(running, sink)
    assert (sent["transaction"], sent["transaction_info"]["source"]) == ("after", "route")
    assert (sent["contexts"]["trace"]["op"], sent["contexts"]["trace"]["data"]) == ("other", {"a": 1, "b": 2})


def test_thread_that_outlives_its_request_loses_no_more_than_its_span(running: Running, sink: Sink) -> None:
    running.send_to(sink, traces_sample_rate=1.0)
    unit = Unit("http.server", "short", "route", "test")
    token = unit.enter()
    span = errtrack.start_span(op="function", name="long")
    unit.leave(token)
    unit.end()
    thread = threading.Thread(target=span.finish)
    thread.start()
    thread.join()
    (sent,) = transactions(running, sink)
    assert sent["spans"] == []


def test_span_that_ends_out_of_order_is_not_in_hand_again(running: Running, sink: Sink) -> None:
    """Tasks that share a scope, as under trio, end their spans in any order."""
    running.send_to(sink, traces_sample_rate=1.0)
    unit = Unit("http.server", "shared", "route", "test")
    token = unit.enter()
    first = errtrack.start_span(op="function", name="first")
    first.__enter__()
    second = errtrack.start_span(op="function", name="second")
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert errtrack.get_current_span() is unit.span
    unit.leave(token)
    unit.end()
    (sent,) = transactions(running, sink)
    assert [span["description"] for span in sent["spans"]] == ["first", "second"]


def test_ignored_answers_and_methods_are_no_transactions(running: Running, sink: Sink) -> None:
    client = running.send_to(sink, traces_sample_rate=1.0, trace_ignore_status_codes=["404", "500-599"])
    for status in (200, 404, 503):
        Unit("http.server", str(status), "route", "test", method="GET").end(http_status=status)
    Unit("http.server", "head", "route", "test", method="HEAD").end(http_status=200)
    assert [t["transaction"] for t in transactions(running, sink)] == ["200"]
    client.close(5)
    assert sink.reports() == {("event_processor", "transaction"): 2, ("event_processor", "span"): 2}


def test_methods_may_be_chosen(running: Running, sink: Sink) -> None:
    running.send_to(sink, traces_sample_rate=1.0, http_methods_to_capture=["head"])
    for method in ("HEAD", "GET"):
        Unit("http.server", method, "route", "test", method=method).end(http_status=200)
    assert [t["transaction"] for t in transactions(running, sink)] == ["HEAD"]


def test_transaction_goes_no_further_than_the_hook_lets_it(running: Running, sink: Sink) -> None:
    client = running.send_to(sink, traces_sample_rate=1.0, before_send_transaction=lambda event, hint: None)
    with (
        errtrack.start_transaction(name="x", op="task"),
        errtrack.start_span(op="a"),
        errtrack.start_span(op="b"),
    ):
        pass
    client.close(5)
    assert sink.reports() == {("before_send", "transaction"): 1, ("before_send", "span"): 3}


def test_transactions_are_not_events_of_the_store(running: Running) -> None:
    running.start(traces_sample_rate=1.0)
    with errtrack.start_transaction(name="x", op="task"):
        errtrack.capture_message("an event")
    (event,) = running.events()
    assert event["logentry"]["formatted"] == "an event"


def test_client_that_is_closed_begins_no_more(running: Running, sink: Sink) -> None:
    client = running.send_to(sink, traces_sample_rate=1.0)
    client.close(5)
    assert trace.tracer is None
    unit = Unit("http.server", "x", "route", "test")
    assert unit.span is None
    unit.end()


def test_clock_that_is_set_back_does_not_cost_the_transaction(
    running: Running, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.send_to(sink, traces_sample_rate=1.0)
    with errtrack.start_transaction(name="x", op="task"), monkeypatch.context() as patched:
        patched.setattr("time.time", lambda: 1_700_000_000.0)
        with errtrack.start_span(op="function", name="y"):
            pass
    (sent,) = transactions(running, sink)
    (span,) = sent["spans"]
    assert span["start_timestamp"] <= span["timestamp"]
    assert sent["start_timestamp"] <= sent["timestamp"]
    assert abs(span["start_timestamp"] - time.time()) < 60
    assert json.dumps(sent)


def test_rate_is_halved_while_nothing_gets_through(
    running: Running, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    from errtrack import tracer as tracers

    client = running.send_to(sink, traces_sample_rate=1.0)
    tracer = client.tracer
    assert tracer is not None
    monkeypatch.setattr(tracers, "LOOK_EVERY", 0.0)
    kept = [0, 0, 0]
    for phase, strain in enumerate((0, 1, 0)):
        monkeypatch.setattr(client.transport, "strain", lambda strain=strain: strain)
        for _ in range(200):
            unit = Unit("http.server", "x", "route", "test")
            if unit.span is not None:
                kept[phase] += 1
                unit.span.drop()
            unit.end()
    assert kept[0] == kept[2] == 200
    assert kept[1] < 20  # 1/2 + 1/4 + ... of them, and 1/1024 of the rest
    # The decision of another service's head is not ours to change.
    monkeypatch.setattr(client.transport, "strain", lambda: 1)
    assert Unit("x", "x", "task", "test", ("%s-%s-1" % (TRACE, PARENT), "", "")).span is not None
    client.close(5)
    assert sink.reports()[("backpressure", "transaction")] == 200 - kept[1]


def test_back_pressure_may_be_switched_off(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    client = running.start(traces_sample_rate=1.0, enable_backpressure_handling=False)
    monkeypatch.setattr(client.transport, "strain", lambda: 1)
    assert all(Unit("x", "x", "task", "test").span is not None for _ in range(50))


def test_transactions_never_take_the_room_of_errors(running: Running, sink: Sink) -> None:
    sink.mode, sink.status = "status", 503
    client = running.send_to(
        sink, traces_sample_rate=1.0, spool_max_size=400_000, enable_backpressure_handling=False
    )
    errtrack.capture_message("kept")
    deadline = time.monotonic() + 30
    while client.transport.strain() == 0 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert client.transport.strain() == 1
    tracer = client.tracer
    assert tracer is not None
    for _ in range(100):
        tracer._look_for_room_at = 0.0
        with errtrack.start_transaction(name="large", op="task"):
            errtrack.set_context("large", {str(n): "x" * 1000 for n in range(20)})
    assert client.transport.strain() == 2
    errtrack.capture_message("kept as well")
    sink.mode = "ok"
    assert client.flush(30)
    messages = [tree["logentry"]["formatted"] for tree in running.trees(sink, "event")]
    assert messages == ["kept", "kept as well"]
    assert 0 < len(transactions(running, sink)) < 30


def test_transaction_that_is_too_large_keeps_what_there_is_room_for(running: Running, sink: Sink) -> None:
    running.send_to(sink, traces_sample_rate=1.0)
    with errtrack.start_transaction(name="large", op="task"):
        for index in range(900):
            with errtrack.start_span(op="db", name="%d " % index + "select " * 250) as span:
                span.update_data({str(n): "x" * 200 for n in range(10)})
    ((_, body),) = running.items(sink, "transaction")
    sent = json.loads(body)
    assert len(body) <= 1_000_000
    assert len(sent["spans"]) == 900 and sent["spans"][899]["description"].startswith("899 select")
    assert "data" not in sent["spans"][0]
    assert sent["contexts"]["trace"]["op"] == "task" and sent["transaction"] == "large"


def test_transaction_with_too_many_spans_keeps_the_first(running: Running, sink: Sink) -> None:
    running.send_to(sink, traces_sample_rate=1.0, max_spans=20_000)
    with errtrack.start_transaction(name="many", op="task"):
        for _ in range(10_000):
            errtrack.start_span(op="db", name="select " * 20).finish()
    ((_, body),) = running.items(sink, "transaction")
    sent = json.loads(body)
    assert len(body) <= 1_000_000
    assert 1000 < len(sent["spans"]) < 10_000
    assert sent["_meta"]["spans"][""]["len"] == 10_000


@pytest.mark.parametrize(
    ("theirs", "ours", "strict", "continues"),
    [
        ("1", "1", False, True), ("", "1", False, True), ("1", "", False, True), ("", "", False, True),
        ("1", "2", False, False), ("1", "1", True, True), ("", "", True, True), ("", "1", True, False),
        ("1", "", True, False), ("1", "2", True, False),
    ],
)  # fmt: skip
def test_traces_of_other_organisations(
    running: Running, theirs: str, ours: str, strict: bool, continues: bool
) -> None:
    running.start(traces_sample_rate=1.0, org_id=ours, strict_trace_continuation=strict)
    baggage = "sentry-org_id=" + theirs if theirs else "sentry-sample_rate=1"
    unit = Unit("http.server", "x", "route", "test", ("%s-%s-1" % (TRACE, PARENT), baggage, ""))
    assert (unit.scope.get_propagation().trace_id == TRACE) is continues
    if not continues and ours:
        token = unit.enter()
        assert "sentry-org_id=" + ours in trace.outgoing_headers()[1]
        unit.leave(token)


def test_ignored_transactions_are_counted(running: Running, sink: Sink) -> None:
    client = running.send_to(sink, traces_sample_rate=1.0, ignore_transactions=["health", "/internal/*"])
    for name in ("health", "/internal/a", "healthy"):
        with errtrack.start_transaction(name=name, op="task"):
            pass
    assert [t["transaction"] for t in transactions(running, sink)] == ["healthy"]
    client.close(5)
    assert sink.reports() == {("event_processor", "transaction"): 2, ("event_processor", "span"): 2}


def test_breadcrumbs_are_for_errors(running: Running, sink: Sink) -> None:
    running.send_to(sink, traces_sample_rate=1.0)
    with errtrack.start_transaction(name="x", op="task"):
        errtrack.add_breadcrumb(message="before")
        errtrack.capture_message("inside")
    (event,) = running.trees(sink, "event")
    assert event["breadcrumbs"]["values"][0]["message"] == "before"
    assert "breadcrumbs" not in transactions(running, sink)[0]


def test_block_of_its_own_is_in_the_trace_around_it(running: Running, sink: Sink) -> None:
    running.send_to(sink, traces_sample_rate=1.0)
    unit = Unit("http.server", "x", "route", "test", method="HEAD")  # not recorded
    token = unit.enter()
    with errtrack.isolation_scope():
        errtrack.capture_message("inside")
    errtrack.capture_message("outside")
    unit.leave(token)
    unit.end()
    inside, outside = running.trees(sink, "event")
    assert inside["contexts"]["trace"]["trace_id"] == outside["contexts"]["trace"]["trace_id"]
