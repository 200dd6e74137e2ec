"""asgi_servers: what a request is to an event, a transaction, a trace and a session, whichever server runs it."""

from __future__ import annotations

import http.client
import json
import socket
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from taken import Taken
from told import Told, path_of
from web import OLD_UVICORN, Server, main_exception, websocket

pytest.importorskip("uvicorn")

APP = Path(__file__).parent / "asgi_app.py"
TRACE = "771a43a4192642f0b136d5159a501700"
INCOMING = {
    "sentry-trace": TRACE + "-a0cfbde2bdff3adc-1",
    "baggage": "sentry-trace_id=%s,other=vendor" % TRACE,
}
HEADERS = {
    "Authorization": "Bearer sesame", "Cookie": "a=b", "X-Forwarded-For": "203.0.113.9, 198.51.100.7", "X-Api-Key": "sesame",
    "X-Real-Ip": "198.51.100.7", "X-Plain": "seen",
}  # fmt: skip


def uvicorn(told: Told, app: str = "asgi_app:app", *arguments: str, **env: str) -> Server:
    command = (sys.executable, "-m", "uvicorn", "--no-proxy-headers", "--port", "PORT", *arguments, app)
    return told.serve(*command, PYTHONWARNINGS="ignore", **env)


def raw(port: int, text: bytes) -> bytes:
    """The whole answer to *text*, until the server hangs up."""
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(text)
        answer = b""
        while True:
            piece = client.recv(10_000)
            if not piece:
                return answer
            answer += piece


def ask_for_everything(told: Told, server: Server) -> None:
    for path in (
        "ok exit cancelled cause grouped two handled inner threads doors after bad-send"
        " status?204 status?401 status?403 status?404 status?409 status?413 status?418 status?429 status?500 status?501"
        " status?503 status?504"
    ).split():
        told.answers[path] = server.get("/" + path)
    told.answers["fail"] = server.get("/fail?a=1&b=2", HEADERS)
    told.answers["traced"] = server.get("/traced/fail", INCOMING)
    for kind in ("function", "partial", "object"):
        server.get("/named?" + kind)
    for method in ("HEAD", "OPTIONS", "DELETE"):
        server.get("/%s/fail" % method, method=method)
    told.answers["count"] = server.get("/count", method="POST", body=b"x" * 300_000)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for path in ("/tags?kept-alive", "/tags"):
        connection.request("GET", path)
        connection.getresponse().read()
    connection.close()
    raw(server.port, b"GET /old/fail HTTP/1.0\r\n\r\n")
    odd = b"Accept: a\r\nAccept: b\r\nCookie: c=1\r\nCookie: d=2\r\nX-Odd: \xff\r\nConnection: close\r\n\r\n"
    raw(server.port, b"GET /odd%ff/fail HTTP/1.1\r\nHost: h\r\n" + odd)
    websocket(server.port, "/ws?fails", "a", "fail")
    websocket(server.port, "/ws/left?leaves", "a", "slow")
    told.wait_for("/ws")
    told.wait_for("/after")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, sandbox_in: Any) -> Told:
    """A server with the settings that users have, asked for everything."""
    told = Told(sandbox_in(tmp_path_factory.mktemp("asgi")), APP)
    with uvicorn(told) as server:
        ask_for_everything(told, server)
    told.output = server.output
    return told


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, sandbox_in: Any) -> Told:
    """The same, with traces and personal data."""
    told = Told(sandbox_in(tmp_path_factory.mktemp("traced")), APP, ERRTRACK_TRACES_SAMPLE_RATE="1")
    with uvicorn(told, ERRTRACK_SEND_DEFAULT_PII="1") as server:
        ask_for_everything(told, server)
    return told


def transactions(told: Told, path: str) -> list[dict[str, Any]]:
    found = told.transactions
    return [
        t
        for t in found
        if (t["request"] or {}).get("url", "").partition("//")[2].partition("/")[2] == path[1:]
    ]


def seconds(transaction: dict[str, Any]) -> float:
    begin, end = (
        datetime.fromisoformat(transaction[key].replace("Z", "+00:00"))
        for key in ("start_timestamp", "timestamp")
    )
    return (end - begin).total_seconds()


def texts(event: dict[str, Any]) -> list[str]:
    return [value["value"] for value in event["exception"]["values"]]


def said(told: Told, path: str) -> dict[str, dict[str, Any]]:
    """The messages of requests to *path*, by their text."""
    return {e["logentry"]["formatted"]: e for e in told.events(path)}


def test_every_event_is_one_that_is_expected(told: Told) -> None:
    expected = [
        "/" + p for p in "cause grouped two handled inner of-the-inner/fail threads threads threads".split()
    ]
    expected += [
        "/after",
        "/bad-send",
        "/status",
        "/fail",
        "/traced/fail",
        "/HEAD/fail",
        "/OPTIONS/fail",
        "/DELETE/fail",
    ]
    expected += ["/named", "/named", "/named", "/tags", "/tags", "/old/fail", "/odd\ufffd/fail", "/ws"]
    seen = [e for e in told.all if not (OLD_UVICORN and "no close frame" in json.dumps(e))]
    log, *seen = seen
    # uvicorn answers 500 to a SystemExit and logs it: that is where it shows.
    assert (log["logger"], texts(log)) == ("uvicorn.error", ["3"])
    paths = [e["request"]["url"].split("/", 3)[3] for e in seen]
    assert sorted("/" + path for path in paths) == sorted(expected)


def test_answers_are_as_without_us(told: Told, traced: Told) -> None:
    for answers in (told.answers, traced.answers):
        assert (answers["ok"], answers["count"]) == ((200, b"fine "), (200, b"300000"))
        assert {
            answers[name][0] for name in ("fail", "exit", "cancelled", "cause", "grouped", "two", "traced")
        } == {500}
        assert answers["after"] == (200, b"fine ") and answers["status?418"][0] == 418


def test_receive_and_send_are_the_servers_own(told: Told, traced: Told) -> None:
    assert told.answers["doors"] == (200, b"RequestResponseCycle.receive RequestResponseCycle.send")
    # For its transaction the status of the answer is learned as it passes.
    receive, send = traced.answers["doors"][1].decode().split(" ")
    assert receive == "RequestResponseCycle.receive" and send != "RequestResponseCycle.send"


def test_cause_is_intact_where_the_server_sees_it(told: Told) -> None:
    assert texts(told.event("/cause")) == ["'cause'", "effect"]
    told_of = told.output.partition("KeyError: 'cause'")[2].partition("RuntimeError: effect")[0]
    assert "The above exception was the direct cause of the following exception" in told_of


def test_group_of_one_is_taken_apart_and_of_two_is_not(told: Told) -> None:
    assert texts(told.event("/grouped")) == ["alone in a group"]
    assert {"first of two", "'second of two'"} < set(texts(told.event("/two")))


def test_error_after_the_answer_and_error_that_the_server_raises(told: Told) -> None:
    assert texts(told.event("/after")) == ["after the answer"]
    assert "http.response.start" in texts(told.event("/bad-send"))[-1]
    assert main_exception(told.event("/bad-send"))["mechanism"] == {"type": "asgi", "handled": False}


def test_cancelled_request_is_no_event(told: Told) -> None:
    assert "CancelledError" in told.output
    assert told.events("/cancelled") == []
    assert "CancelledError" not in {
        v["type"] for e in told.all if "exception" in e for v in e["exception"]["values"]
    }


def test_request_of_the_event(told: Told) -> None:
    event = told.event("/fail")
    request = event["request"]
    assert (request["method"], request["query_string"]) == ("GET", "a=1&b=2")
    assert request["headers"]["x-plain"] == "seen"
    for name in ("authorization", "cookie", "x-forwarded-for", "x-api-key", "x-real-ip"):
        assert request["headers"][name] == "[Filtered]"
    assert "cookies" not in request and "user" not in event
    assert "sesame" not in json.dumps(event) and "203.0.113.9" not in json.dumps(event)
    assert "query_string" not in told.event("/cause")["request"]


def test_personal_data_where_it_is_asked_for(traced: Told) -> None:
    event = traced.event("/fail")
    assert event["user"] == {"ip_address": "203.0.113.9"}  # the first of two
    assert event["request"]["headers"]["x-forwarded-for"] == "203.0.113.9, 198.51.100.7"
    assert event["request"]["cookies"] == {"a": "b"}
    assert event["request"]["env"] == {"REMOTE_ADDR": "127.0.0.1"}
    assert event["request"]["headers"]["authorization"] == "[Filtered]"  # no personal datum: a secret
    assert "sesame" not in json.dumps(event)
    assert traced.event("/cause")["user"] == {"ip_address": "127.0.0.1"}


def test_request_without_host_is_told_by_the_servers_address(told: Told) -> None:
    url = told.event("/old/fail")["request"]["url"]
    assert url == told.event("/fail")["request"]["url"].replace("/fail", "/old/fail")


def test_odd_bytes_and_headers_of_one_name(told: Told, traced: Told) -> None:
    (event,), (personal,) = ([e for e in each.all if "/odd" in path_of(e)] for each in (told, traced))
    headers = event["request"]["headers"]
    assert (headers["accept"], headers["x-odd"], headers["cookie"]) == ("a, b", "\xff", "[Filtered]")
    assert personal["request"]["cookies"] == {"c": "1", "d": "2"}


def test_what_was_said_in_tasks_executors_and_threads_is_said_of_the_request(told: Told) -> None:
    assert set(said(told, "/threads")) == {"in an executor", "in a task", "in a thread"}


def test_second_request_of_a_connection_begins_anew(told: Told) -> None:
    first, second = told.events("/tags")
    assert (first["tags"], first["breadcrumbs"]["values"][-1]["message"]) == (
        {"n": "kept-alive"},
        "kept-alive",
    )
    assert "tags" not in second and "kept-alive" not in json.dumps(second)


def test_request_within_a_request_has_a_scope_of_its_own(told: Told) -> None:
    inner, outer = told.event("/of-the-inner/fail"), told.event("/inner")
    assert (inner["tags"], inner["request"]["url"]) == ({"n": "inner"}, "http://inner/of-the-inner/fail")
    assert outer["logentry"]["formatted"] == "of the outer" and "tags" not in outer


def test_trace_is_continued_also_where_tracing_is_off(told: Told, traced: Told) -> None:
    for each in (told, traced):
        context = each.event("/traced/fail")["contexts"]["trace"]
        assert context["trace_id"] == TRACE
    assert told.event("/traced/fail")["contexts"]["trace"]["parent_span_id"] == "a0cfbde2bdff3adc"
    (transaction,) = transactions(traced, "/traced/fail")
    context = transaction["contexts"]["trace"]
    assert (context["trace_id"], context["parent_span_id"]) == (TRACE, "a0cfbde2bdff3adc")
    ids = {event["contexts"]["trace"]["trace_id"] for event in told.all if "request" in event}
    assert len(ids) > 10  # of their own, where none came in


def test_errors_are_in_the_transaction_of_their_request(traced: Told) -> None:
    (transaction,) = transactions(traced, "/fail")
    error = traced.event("/fail")["contexts"]["trace"]
    assert transaction["contexts"]["trace"]["span_id"] == error["span_id"]
    assert transaction["contexts"]["trace"]["trace_id"] == error["trace_id"]


def test_transaction_of_a_request(traced: Told) -> None:
    (ok,) = transactions(traced, "/ok")
    assert (ok["transaction"], ok["transaction_info"]) == ("/ok", {"source": "url"})
    trace = ok["contexts"]["trace"]
    assert (trace["op"], trace["origin"], trace["status"]) == ("http.server", "auto.http.asgi", "ok")
    assert ok["contexts"]["response"] == {"status_code": 200} and ok["tags"]["http.status_code"] == "200"
    assert ok["request"]["method"] == "GET"


def test_endpoint_that_a_router_left_is_the_name(told: Told, traced: Told) -> None:
    names = [(e["transaction"], e["transaction_info"]["source"]) for e in told.events("/named")]
    assert names == [
        ("asgi_app.http", "component"),
        ("asgi_app.http", "component"),
        ("asgi_app.Thing", "component"),
    ]
    assert [t["transaction"] for t in transactions(traced, "/named")] == [name for name, _ in names]


def test_status_of_transactions(traced: Told) -> None:
    found = {
        t["contexts"]["response"]["status_code"]: t["contexts"]["trace"]["status"]
        for t in transactions(traced, "/status")
    }
    assert found == {
        204: "internal_error",  # the server complained: a 204 has no body
        401: "unauthenticated", 403: "permission_denied", 404: "not_found", 409: "already_exists",
        413: "failed_precondition", 418: "invalid_argument", 429: "resource_exhausted", 500: "internal_error",
        501: "unimplemented", 503: "unavailable", 504: "deadline_exceeded",
    }  # fmt: skip
    status = {
        p: [t["contexts"]["trace"]["status"] for t in transactions(traced, p)]
        for p in ("/fail", "/cancelled")
    }
    assert status == {"/fail": ["internal_error"], "/cancelled": ["cancelled"]}


def test_head_and_options_are_no_transactions_and_their_errors_are_events(traced: Told) -> None:
    count = {
        method: len(transactions(traced, "/%s/fail" % method)) for method in ("HEAD", "OPTIONS", "DELETE")
    }
    assert count == {"HEAD": 0, "OPTIONS": 0, "DELETE": 1}
    for method in count:
        event = traced.event("/%s/fail" % method)
        assert event["request"]["method"] == method and event["contexts"]["trace"]["trace_id"]


def test_time_after_the_answer_counts(traced: Told) -> None:
    (after,) = transactions(traced, "/after")
    assert seconds(after) >= 0.2
    assert after["contexts"]["trace"]["status"] == "internal_error"


def test_websocket_is_one_transaction_however_long(traced: Told) -> None:
    for path, status in (("/ws", "internal_error"), ("/ws/left", "ok")):
        (transaction,) = transactions(traced, path)
        trace = transaction["contexts"]["trace"]
        assert (trace["op"], trace["status"]) == ("websocket.server", status)
        assert transaction["tags"]["asgi.type"] == "websocket"
        assert (transaction["transaction"], transaction["transaction_info"]) == (path, {"source": "url"})
    assert seconds(transaction) >= 0.2
    error = traced.event("/ws")
    assert error["contexts"]["trace"]["op"] == "websocket.server" and error["tags"]["n"] == "fails"
    assert error["request"]["url"].startswith("ws://127.0.0.1:")


def test_nested_layers_are_one_transaction_and_one_event(tmp_path: Path, sandbox_in: Any) -> None:
    told = Told(sandbox_in(tmp_path), APP, ERRTRACK_TRACES_SAMPLE_RATE="1")
    with uvicorn(told, "asgi_app:wrapped") as server:
        assert server.get("/fail?n")[0] == 500
    assert told.event("/fail")["tags"] == {"n": "n"}
    assert [t["transaction"] for t in told.transactions] == ["/fail"]


def test_methods_and_sampler(tmp_path: Path, sandbox_in: Any) -> None:
    sandbox = sandbox_in(tmp_path)
    sandbox.write(
        "sampling.py",
        "def sample(context):\n"
        "    asked = context['transaction_context']\n"
        "    print('asked', asked['name'], asked['op'], context['asgi_scope']['path'], context['asgi_scope']['type'], flush=True)\n"
        "    return 'no' not in context['asgi_scope']['path']\n",
    )
    told = Told(sandbox, APP)
    told.sandbox.env["ERRTRACK_BEFORE_SEND_TRANSACTION"] = "spy:keep"
    env = {"ERRTRACK_TRACES_SAMPLER": "sampling:sample", "ERRTRACK_HTTP_METHODS_TO_CAPTURE": "head, options"}
    with uvicorn(told, **env) as server:
        for method in ("HEAD", "OPTIONS", "GET"):
            server.get("/" + method, method=method)
        server.get("/no", method="HEAD")
        websocket(server.port, "/ws", "a")
    assert sorted(t["transaction"] for t in told.transactions) == ["/HEAD", "/OPTIONS", "/ws"]
    asked = [line for line in server.output.splitlines() if line.startswith("asked ")]
    assert asked[0] == "asked /HEAD http.server /HEAD http"
    assert [line.split()[1] for line in asked] == ["/HEAD", "/OPTIONS", "/no", "/ws"]
    assert asked[-1] == "asked /ws websocket.server /ws websocket"


@pytest.mark.parametrize("kind", ["uvicorn", "hypercorn"])
def test_root_path_stands_once_in_the_url(tmp_path: Path, sandbox_in: Any, kind: str) -> None:
    """uvicorn puts it before the path that an application is shown, hypercorn does not."""
    pytest.importorskip(kind)
    told = Told(sandbox_in(tmp_path), APP)
    with told.serve(sys.executable, *SERVERS[kind], "--root-path", "/base", "asgi_app:app") as server:
        server.get("/fail")
    event = told.all[0]
    assert event["request"]["url"] == "http://127.0.0.1:%d/base/fail" % server.port
    assert event["transaction"] == "/base/fail"


SERVERS = {
    "uvicorn": ("-m", "uvicorn", "--port", "PORT"),
    "uvicorn-workers": ("-m", "uvicorn", "--port", "PORT", "--workers", "2"),
    "hypercorn": ("-m", "hypercorn", "--bind", "127.0.0.1:PORT"),
    "daphne": ("-m", "daphne", "-p", "PORT"),
    "gunicorn": (
        "-m",
        "gunicorn",
        "--bind",
        "127.0.0.1:PORT",
        "--worker-class",
        "uvicorn.workers.UvicornWorker",
    ),
}


@pytest.mark.parametrize("kind", ["uvicorn", "hypercorn", "daphne", "gunicorn-asgi"])
def test_websocket_that_talks_to_a_client_that_has_left_is_no_error(
    tmp_path: Path, sandbox_in: Any, kind: str
) -> None:
    pytest.importorskip("gunicorn.workers.gasgi" if kind == "gunicorn-asgi" else kind)
    command = {**SERVERS, "gunicorn-asgi": (*SERVERS["gunicorn"][:-1], "asgi")}[kind]
    told = Told(sandbox_in(tmp_path), APP, PYTHONWARNINGS="ignore")
    with told.serve(sys.executable, *command, "asgi_app:app") as server:
        websocket(server.port, "/ws", "a", "talk")
        server.wait_for("talked enough")
        assert server.get("/fail?b")[0] == 500
    seen = [e for e in told.all if not (OLD_UVICORN and "no close frame" in json.dumps(e))]
    assert [path_of(e) for e in seen] == ["/fail"]


@pytest.mark.parametrize("kind", SERVERS)
def test_release_health_counts_requests_by_their_outcome(tmp_path: Path, sandbox_in: Any, kind: str) -> None:
    """Delivered as the server ends, with what was captured last."""
    pytest.importorskip(SERVERS[kind][1])
    with Taken() as taken:
        env = {"ERRTRACK_AUTO_SESSION_TRACKING": "1", "ERRTRACK_RELEASE": "shop@1", "ERRTRACK_DSN": taken.dsn}
        told = Told(sandbox_in(tmp_path), APP, LAST_WORD="1", PYTHONWARNINGS="ignore", **env)
        with told.serve(sys.executable, *SERVERS[kind], "asgi_app:app") as server:
            for path in ("/ok", "/ok", "/status?404", "/handled", "/fail", "/fail"):
                server.get(path)
        trees, said = taken.items("sessions"), [e.get("logentry", {}).get("formatted") for e in taken.events]
    counted: dict[str, int] = {}
    for tree in trees:
        assert tree["attrs"]["release"] == "shop@1"
        for row in tree["aggregates"]:
            for outcome in set(row) - {"started"}:
                counted[outcome] = counted.get(outcome, 0) + row[outcome]
    assert counted == {"exited": 3, "errored": 1, "crashed": 2}
    if kind != "daphne":  # knows no lifespan
        assert said.count("the last word") == (2 if kind == "uvicorn-workers" else 1)
