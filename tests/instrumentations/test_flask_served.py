"""Flask behind real servers, over real sockets: what each kind of request, answer and failure leaves behind."""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import sys
from collections import Counter
from importlib import metadata
from typing import Any

import pytest

from web import Server, main_exception

pytest.importorskip("flask")

from djangos import FORM, JSON, Story, multipart
from flasks import TRACED, gunicorn, till_in, told

FILES, FILES_HEADERS = multipart({"name": "ada", "password": "hunter2"}, {"file": b"content"})
TEXT = {"Content-Type": "text/plain"}
POST = {"method": "POST"}
TRACE = "0123456789abcdef0123456789abcdef"

REQUESTS: dict[str, dict[str, Any]] = {
    "ok": {"path": "/ok/1"},
    "fail": {"path": "/fail/7?q=1", "headers": {"X-Thing": "y", "Cookie": "theme=dark", "X-Forwarded-For": "203.0.113.9"}},
    "blueprint": {"path": "/outer/inner/hi"},
    "things": {"path": "/things"},
    "abort-401": {"path": "/abort/401"},
    "abort-500": {"path": "/abort/500"},
    "abort-503": {"path": "/abort/503"},
    "teapot": {"path": "/teapot"},
    "answers-500": {"path": "/answers-500"},
    "redirect": {"path": "/slash"},
    "nowhere": {"path": "/nowhere"},
    "not-allowed": {"path": "/ok/1", "method": "DELETE"},
    "known": {"path": "/known"},
    "odd": {"path": "/odd"},
    "logs": {"path": "/logs"},
    "logs-and-raises": {"path": "/logs-and-raises"},
    "json": {"path": "/json", **POST, "headers": JSON, "body": '{"a": 1, "password": "hunter2"}'},
    "json-of-its-own": {"path": "/json", **POST, "headers": {"Content-Type": "application/vnd.api+json; charset=utf-8"}, "body": "[1, 2]"},
    "empty-object": {"path": "/json", **POST, "headers": JSON, "body": "{}"},
    "empty-list": {"path": "/json", **POST, "headers": JSON, "body": "[]"},
    "bad-json": {"path": "/raw", **POST, "headers": JSON, "body": '{"a": '},
    "form": {"path": "/form", **POST, "headers": FORM, "body": "b=2&b=3&token=hunter2"},
    "files": {"path": "/form", **POST, "headers": FILES_HEADERS, "body": FILES},
    "raw": {"path": "/raw", **POST, "headers": TEXT, "body": "just bytes"},
    "large-raw": {"path": "/raw", **POST, "headers": TEXT, "body": "x" * 10_001},
    "drained": {"path": "/drained", **POST, "headers": JSON, "body": '{"a": 1}'},
    "unread": {"path": "/unread", **POST, "headers": JSON, "body": '{"a": 1}'},
    "stream": {"path": "/stream"},
    "after": {"path": "/after"},
    "before": {"path": "/before"},
    "teardown": {"path": "/teardown"},
    "named": {"path": "/named-by-itself"},
    "nested": {"path": "/nested/9"},
    "async": {"path": "/async/5"},
    "head": {"path": "/fail/3", "method": "HEAD"},
    "options": {"path": "/fail/4", "method": "OPTIONS"},
    "page": {"path": "/page/head"},
    "extended": {"path": "/page/child"},
    "odd-page": {"path": "/page/odd"},
    "unescaped": {"path": "/page/unescaped"},
    "mine": {"path": "/page/head?sentry_trace_meta=mine"},
    "of-a-processor": {"path": "/page/head?processor=1"},
    "text": {"path": "/text"},
    "continued": {"path": "/fail/8", "headers": {"sentry-trace": TRACE + "-0123456789abcdef-1"}},
    "continued-page": {"path": "/page/head", "headers": {"sentry-trace": TRACE + "-0123456789abcdef-1", "baggage": "sentry-environment=a%22b"}},
}  # fmt: skip

HAS_ASYNC = hasattr(pytest.importorskip("flask").Flask, "ensure_sync")
if HAS_ASYNC:
    pytest.importorskip("asgiref")


@pytest.fixture(scope="module")
def plain(sandbox_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The defaults: one thread after the other works at the requests."""
    return told(till_in(sandbox_in, tmp_path_factory.mktemp("flask")), REQUESTS)


@pytest.fixture(scope="module")
def traced(sandbox_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Tracing is on, names are URL rules, personal data may be sent."""
    sandbox = till_in(
        sandbox_in,
        tmp_path_factory.mktemp("flask"),
        ERRTRACK_FLASK_TRANSACTION_STYLE="url",
        ERRTRACK_SEND_DEFAULT_PII="1",
        **TRACED,
    )
    return told(sandbox, REQUESTS)


@pytest.fixture(params=["plain", "traced"])
def story(request: pytest.FixtureRequest) -> Story:
    found: Story = request.getfixturevalue(request.param)
    return found


def test_failing_view_is_one_event_with_all_that_is_known(plain: Story) -> None:
    event = plain.event("fail")
    mechanism = main_exception(event)["mechanism"]
    assert (mechanism["type"], mechanism["handled"], event["level"]) == ("flask", False, "error")
    assert (event["transaction"], event["transaction_info"]) == ("fail", {"source": "component"})
    request = event["request"]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/fail/7", request["url"])
    assert (request["method"], request["query_string"]) == ("GET", "q=1")
    assert request["headers"]["X-Thing"] == "y"
    assert request["headers"]["Cookie"] == request["headers"]["X-Forwarded-For"] == "[Filtered]"
    assert set(request["env"]) == {"SERVER_NAME", "SERVER_PORT"}
    assert not {"data", "cookies"} & set(request) and "user" not in event
    # Nothing of the healthy request before it.
    assert event["tags"] == {"n": "7"}
    assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]] == ["about to fail 7"]
    assert len(event["contexts"]["trace"]["trace_id"]) == 32
    assert plain.answers["fail"] == (500, b"sorry")
    frames = main_exception(event)["stacktrace"]["frames"]
    assert (frames[-1]["function"], frames[-1]["in_app"]) == ("fail", True)
    assert not any(frame.get("module", "").startswith("errtrack") for frame in frames)


def test_personal_data_where_it_may_be_sent(traced: Story) -> None:
    event = traced.event("fail")
    assert event["user"] == {"ip_address": "203.0.113.9"}
    assert event["request"]["cookies"] == {"theme": "dark"}
    assert event["request"]["env"]["REMOTE_ADDR"] == "127.0.0.1"


def test_names_by_endpoint_and_by_rule(plain: Story, traced: Story) -> None:
    rule = traced.event("fail")
    assert (rule["transaction"], rule["transaction_info"]) == ("/fail/<n>", {"source": "route"})
    endpoint = "outer.inner.hi" if HAS_ASYNC else "inner.hi"
    assert plain.event("blueprint")["transaction"] == endpoint
    assert traced.event("blueprint")["transaction"] == "/outer/inner/hi"
    assert (plain.event("things")["transaction"], traced.event("things")["transaction"]) == (
        "the_things",
        "/things",
    )


@pytest.mark.parametrize(
    ("case", "status"),
    [("ok", 200), ("abort-401", 401), ("abort-500", 500), ("abort-503", 503), ("teapot", 418), ("answers-500", 500),
     ("redirect", 308), ("nowhere", 404), ("not-allowed", 405), ("known", 400), ("options", 200)],
)  # fmt: skip
def test_answers_are_not_errors(story: Story, case: str, status: int) -> None:
    if case != "options":  # that of our view fails
        assert story.answers[case][0] == status
        assert story.events(case) == []


def test_nothing_is_reported_beside_the_requests(story: Story) -> None:
    """But what the test client asks for in the middle of a request."""
    assert [event["request"]["url"] for event in story.others] == ["http://localhost/fail/inner-9"]


def test_error_in_an_error_handler_shows_what_it_was_called_for(story: Story) -> None:
    event = story.event("odd")
    assert [value["value"] for value in event["exception"]["values"]] == ["first", "in the handler"]
    assert event["exception"]["values"][-1]["type"] == "ValueError"


def test_logged_errors_alone_and_on_their_way_up(story: Story) -> None:
    event = story.event("logs")
    assert event["logentry"]["formatted"] == "only logged" and "exception" not in event
    assert event["request"]["url"].endswith("/logs")
    event = story.event("logs-and-raises")
    assert main_exception(event)["value"] == "logged and raised"


def test_bodies_that_the_view_has_read(story: Story) -> None:
    def data(case: str) -> Any:
        return story.event(case)["request"].get("data")

    assert data("json") == {"a": 1, "password": "[Filtered]"}
    assert data("json-of-its-own") == [1, 2]
    assert data("empty-object") == {} and data("empty-list") == []
    assert data("form") == {"b": ["2", "3"], "token": "[Filtered]"}
    assert data("files") == {"name": "ada", "password": "[Filtered]", "file": ""}
    assert data("drained") is None and data("unread") is None


def remark(event: dict[str, Any], *path: str) -> str:
    node = event["_meta"]["request"]["data"]
    for key in path:
        node = node[key]
    rule: str = node[""]["rem"][0][0]
    return rule


def test_bodies_that_cannot_be_shown_are_marked(story: Story) -> None:
    for case, rule in (("raw", "!raw"), ("bad-json", "!raw"), ("large-raw", "!config")):
        event = story.event(case)
        assert (event["request"]["data"], remark(event)) == ("", rule), case
    assert remark(story.event("files"), "file") == "!raw"


def json_of(size: int) -> str:
    """An object of so many bytes, whose texts are short enough to be shown whole."""
    texts = {"k%d" % n: "x" * 900 for n in range(size // 910)}
    return json.dumps({**texts, "a": "x" * (size - len(json.dumps({**texts, "a": ""})))})


SIZED: dict[str, dict[str, Any]] = {
    **{
        "json-%d" % size: {"path": "/json", **POST, "headers": JSON, "body": json_of(size)}
        for size in (1_000, 1_001, 2_012, 10_000, 10_001, 60_000)
    },
    "keys": {"path": "/json", **POST, "headers": JSON, "body": json.dumps({"k%d" % n: n for n in range(2_000)})},
    "form-1001": {"path": "/form", **POST, "headers": FORM, "body": "a=1&b=" + "x" * 995},
    "files-large": {"path": "/form", **POST, "headers": FILES_HEADERS, "body": FILES.replace(b"ada", b"a" * 1_000)},
    "raw-1001": {"path": "/raw", **POST, "headers": TEXT, "body": "x" * 1_001},
    "nothing": {"path": "/fail/1"},
}  # fmt: skip
KEPT = {
    "never": [],
    "small": ["json-1000"],
    "medium": ["files-large", "form-1001", "json-1000", "json-1001", "json-10000", "json-2012"],
    "always": [case for case in SIZED if case not in ("nothing", "raw-1001")],
}


@pytest.mark.parametrize("limit", sorted(KEPT))
def test_bodies_by_their_size(sandbox_in: Any, tmp_path: Any, limit: str) -> None:
    sandbox = till_in(sandbox_in, tmp_path, ERRTRACK_MAX_REQUEST_BODY_SIZE=limit)
    story = told(sandbox, SIZED)
    events = {case: story.event(case) for case in SIZED}
    assert "data" not in events.pop("nothing")["request"]
    kept = sorted(case for case, event in events.items() if event["request"]["data"] != "")
    assert kept == sorted(KEPT[limit])
    for case, event in events.items():
        if case not in kept:
            is_too_large = limit in ("never", "small") or case != "raw-1001"
            assert remark(event) == ("!config" if is_too_large and limit != "always" else "!raw"), case
    if limit == "always":
        assert events["keys"]["request"]["data"] == {"k%d" % n: n for n in range(2_000)}
    for size in (2_012, 10_000, 60_000):
        if "json-%d" % size in kept:
            assert events["json-%d" % size]["request"]["data"] == json.loads(json_of(size))


def test_views_read_their_body_whole_in_any_order(sandbox_in: Any, tmp_path: Any) -> None:
    sandbox = till_in(sandbox_in, tmp_path)
    asked = {
        words: {"path": "/read/" + words, **POST, "headers": headers, "body": body}
        for words, headers, body in (
            ("json-data-form", JSON, '{"a": 1}'),
            ("data-json", JSON, '{"a": 1}'),
            ("form-json", JSON, '{"a": 1}'),
            ("form-data", FORM, "a=1"),
            ("data-form", FORM, "a=1"),
        )
    }
    bare = [json.loads(body) for _, body in served_bare(sandbox, asked)]
    story = told(sandbox, asked)
    assert [json.loads(body) for _, body in story.answers.values()] == bare
    assert bare[0] == [{"a": 1}, '{"a": 1}', {}] and bare[3] == [{"a": "1"}, ""]
    for words in asked:
        shown = [event["request"].get("data") for event in story.events(words)]
        assert len(shown) == 1 + len(words.split("-"))
        # Before it was read there is nothing to show.
        assert (shown[0], shown[-1]) == (None, {"a": 1} if "json" in words else {"a": "1"})


def served_bare(sandbox: Any, asked: dict[str, dict[str, Any]]) -> list[tuple[int, bytes]]:
    answers = []
    with Server.gunicorn(sandbox, "till:app", launched=False) as server:
        for request in asked.values():
            given = dict(request)
            answers.append(server.get(given.pop("path"), **given))
    return answers


def test_error_while_streaming_is_the_requests(story: Story, traced: Story) -> None:
    event = story.event("stream")
    error = main_exception(event)
    assert (error["value"], error["mechanism"]["type"]) == ("mid-stream of /stream", "wsgi")
    assert event["transaction"] == ("/stream" if story is traced else "stream")
    assert event["tags"] == {"streamed": "yes"} and event["request"]["url"].endswith("/stream")
    assert story.answers["stream"][0] in (0, 200)


@pytest.mark.parametrize(
    ("case", "value", "mechanism"),
    [("after", "after_request", "flask"), ("before", "before_request", "flask"), ("teardown", "teardown", "wsgi")],
)  # fmt: skip
def test_what_fails_around_a_view_is_one_event(story: Story, case: str, value: str, mechanism: str) -> None:
    error = main_exception(story.event(case))
    assert (error["value"], error["mechanism"]["type"], error["mechanism"]["handled"]) == (
        value,
        mechanism,
        False,
    )


def test_exit_in_a_view_is_reported_by_the_server_layer(sandbox_in: Any, tmp_path: Any) -> None:
    sandbox = till_in(sandbox_in, tmp_path, **TRACED)
    story = told(sandbox, {"exit": {"path": "/exit"}}, "--worker-class", "sync")
    error = main_exception(story.event("exit"))
    assert (error["type"], error["mechanism"]["type"]) == ("SystemExit", "wsgi")
    transaction = story.transaction("exit")
    assert (transaction["transaction"], transaction["contexts"]["trace"]["status"]) == (
        "leave",
        "internal_error",
    )


def test_request_inside_of_a_request_has_its_own(story: Story) -> None:
    (inner,) = story.others
    assert inner["request"]["url"] == "http://localhost/fail/inner-9"
    assert inner["tags"]["n"] == "inner-9" and inner["transaction"] in ("fail", "/fail/<n>")
    assert [crumb["message"] for crumb in inner["breadcrumbs"]["values"]] == ["about to fail inner-9"]
    outer = story.event("nested")
    assert outer["logentry"]["formatted"] == "outer 9" and outer["tags"] == {"outer": "9"}
    assert outer["request"]["url"].endswith("/nested/9")


@pytest.mark.skipif(not HAS_ASYNC, reason="Flask 1 knows no asynchronous views")
def test_asynchronous_view_is_one_event(story: Story) -> None:
    event = story.event("async")
    assert main_exception(event)["value"] == "async 5" and event["tags"] == {"n": "5"}


def test_error_has_its_own_trace_or_the_one_that_came_in(story: Story) -> None:
    traces = [
        story.event(case)["contexts"]["trace"]["trace_id"] for case in ("fail", "blueprint", "continued")
    ]
    assert len(set(traces)) == 3 and traces[2] == TRACE
    assert story.event("head")["contexts"]["trace"]["trace_id"] not in traces


TAGS = re.compile(
    rb'<meta name="sentry-trace" content="([0-9a-f]{32})-[0-9a-f]{16}(?:-[01])?"><meta name="baggage" content="([^"<>]*)">'
)


def test_template_carries_the_trace_of_its_request_on(story: Story) -> None:
    status, body = story.answers["page"]
    found = TAGS.findall(body)
    assert status == 200 and len(found) == 1 and body.startswith(b"<head><meta name=")
    trace = story.event("page")["contexts"]["trace"]["trace_id"].encode()
    assert found[0][0] == trace and b"sentry-trace_id=" + trace in found[0][1]
    # Wherever it is asked for, safe as it is, and the same every time.
    assert len(set(TAGS.findall(story.answers["extended"][1]))) == 1
    assert len(TAGS.findall(story.answers["extended"][1])) == 3
    assert len(TAGS.findall(story.answers["odd-page"][1])) == 4
    assert b"&lt;</" not in story.answers["odd-page"][1] and b"&lt;meta" not in story.answers["odd-page"][1]
    for case in ("text", "unescaped"):
        assert len(TAGS.findall(story.answers[case][1])) == 1


def test_what_the_application_calls_by_that_name_stays(story: Story) -> None:
    assert story.answers["mine"][1] == b"<head>mine</head>"
    assert story.answers["of-a-processor"][1] == b"<head>of a processor</head>"


def test_template_continues_the_trace_that_came_in(story: Story) -> None:
    ((trace, baggage),) = TAGS.findall(story.answers["continued-page"][1])
    assert trace.decode() == TRACE and b"&quot;" not in baggage and b"sentry-environment=a%22b" in baggage


def test_template_outside_of_a_request_has_no_tags(sandbox_in: Any, tmp_path: Any) -> None:
    sandbox = till_in(sandbox_in, tmp_path)
    code = """
import till, flask, errtrack
with till.app.test_request_context("/"):
    print(repr(flask.render_template("head.html")))
    print(flask.render_template("head.html", sentry_trace_meta="mine"))
"""
    assert sandbox.python(code).stdout == "'<head></head>'\n<head>mine</head>\n"


def test_transactions_have_name_status_and_origin(traced: Story) -> None:
    def shown(case: str) -> tuple[Any, ...]:
        transaction = traced.transaction(case)
        trace = transaction["contexts"]["trace"]
        code = transaction["contexts"].get("response", {}).get("status_code")
        return transaction["transaction"], transaction["transaction_info"]["source"], trace["status"], code

    assert shown("ok") == ("/ok/<n>", "route", "ok", 200)
    assert shown("fail") == ("/fail/<n>", "route", "internal_error", 500)
    assert shown("nowhere") == ("generic WSGI request", "route", "not_found", 404)
    assert shown("not-allowed") == ("generic WSGI request", "route", "invalid_argument", 405)
    assert shown("abort-401") == ("/abort/<int:code>", "route", "unauthenticated", 401)
    assert shown("abort-503") == ("/abort/<int:code>", "route", "unavailable", 503)
    assert shown("named") == ("mine", "custom", "ok", 200)
    assert shown("stream")[:3] == ("/stream", "route", "internal_error")
    for case in ("ok", "fail", "nowhere", "stream"):
        trace = traced.transaction(case)["contexts"]["trace"]
        assert trace["op"] == "http.server"
        # That no rule matches, Flask says, too.
        assert trace["origin"] == "auto.http.flask"
    assert (
        traced.event("fail")["contexts"]["trace"]["trace_id"]
        == traced.transaction("fail")["contexts"]["trace"]["trace_id"]
    )
    continued = traced.transaction("continued")["contexts"]["trace"]
    assert (continued["trace_id"], continued["parent_span_id"]) == (TRACE, "0123456789abcdef")


def test_head_and_options_are_no_transactions_but_their_errors_are_events(traced: Story) -> None:
    for case in ("head", "options"):
        assert traced.transactions(case) == []
        assert main_exception(traced.event(case))["mechanism"]["type"] == "flask"


@pytest.mark.parametrize("pii", ["", "1"])
def test_who_is_logged_in(sandbox_in: Any, tmp_path: Any, pii: str) -> None:
    pytest.importorskip("flask_login")
    sandbox = till_in(sandbox_in, tmp_path, TILL_LOGIN="1", ERRTRACK_SEND_DEFAULT_PII=pii)
    with gunicorn(sandbox) as server:
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("GET", "/login")
        answer = connection.getresponse()
        answer.read()
        cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]
        connection.close()
        assert cookie.startswith("who=")
        for path, headers in (
            ("/guarded", {"Cookie": cookie}),
            ("/fail/1", {"Cookie": cookie}),
            ("/fail/2", {}),
            ("/says-so", {"Cookie": cookie}),
        ):
            assert server.get(path, headers)[0] == 500
    events = sandbox.events()
    users = [event.get("user") for event in events]
    here = {"ip_address": "127.0.0.1"}
    jane = {**here, "id": "42", "email": "jane@example.com", "username": "jane"}
    said = {"id": "said"}
    assert users == ([jane, {**here, "id": "42"}, here, {**jane, **said}] if pii else [None] * 3 + [said])
    assert cookie[4:] not in json.dumps(events)


MODES = {"": False, "/debug": True, "/testing": True, "/both": True, "/propagating": True, "/bare": False}


def test_each_mode_of_flask_reports_once_and_propagates_as_ever(sandbox_in: Any, tmp_path: Any) -> None:
    sandbox = till_in(sandbox_in, tmp_path, **TRACED)
    asked = {mode or "/": {"path": mode + "/fail"} for mode in MODES}
    story = told(sandbox, {**asked, "/covered": {"path": "/covered/fail"}}, app="modes:application")
    for mode, propagates in MODES.items():
        event = story.event(mode or "/")
        error = main_exception(event)
        assert (error["value"], error["mechanism"]["type"], error["mechanism"]["handled"]) == (
            "failed",
            "flask",
            False,
        )
        status, body = story.answers[mode or "/"]
        assert (status, b"The server encountered" in body) == (500, not propagates)
        # Mounted: the prefix is in the URL, and the request is one transaction.
        assert event["request"]["url"].endswith(mode + "/fail")
        assert story.transaction(mode or "/")["transaction"] == "fail"
    error = main_exception(story.event("/covered"))
    assert (error["value"], error["mechanism"]["type"]) == ("in the middleware", "wsgi")
    assert story.others == []


def test_streams_at_once_keep_apart(sandbox_in: Any, tmp_path: Any) -> None:
    sandbox = till_in(sandbox_in, tmp_path)
    with gunicorn(sandbox, "--threads", "8") as server:
        answers = server.get_all(["/pieces/%d" % n for n in range(8)], 8)
    assert [Counter(body.split()) for _, body in answers] == [{str(n).encode(): 1000} for n in range(8)]
    halves = sorted((event["logentry"]["formatted"], event["tags"]) for event in sandbox.events())
    assert halves == [("half of %d" % n, {"n": str(n)}) for n in range(8)]


def test_client_that_leaves_is_no_error(sandbox_in: Any, tmp_path: Any) -> None:
    sandbox = till_in(sandbox_in, tmp_path)
    with gunicorn(sandbox) as server:
        with socket.create_connection(("127.0.0.1", server.port), 30) as client:
            client.sendall(b"GET /endless HTTP/1.1\r\nHost: h\r\n\r\n")
            assert client.recv(1000)
        server.wait_for("generator closed")
        assert server.get("/ok/1")[0] == 200
    assert sandbox.events() == []


def test_command_that_fails_is_the_excepthooks_alone(sandbox_in: Any, tmp_path: Any) -> None:
    """A command of Flask's own command line: the runner of tests shows the error, a process dies of it."""
    sandbox = till_in(sandbox_in, tmp_path)
    sandbox.write(
        "desk.py",
        "from till import app\n@app.cli.command('work')\ndef work(): raise RuntimeError('in a command')\n",
    )
    done = sandbox.python(
        "import desk\nprint(repr(desk.app.test_cli_runner().invoke(args=['work']).exception))"
    )
    assert done.stdout == "RuntimeError('in a command')\n", done.stderr
    assert sandbox.events() == []
    done = sandbox.run(sys.executable, "-m", "flask", "work", FLASK_APP="desk")
    assert done.returncode == 1 and "RuntimeError: in a command" in done.stderr
    error = main_exception(sandbox.event())
    assert (error["value"], error["mechanism"]["type"]) == ("in a command", "excepthook")


def test_sampler_is_shown_the_environ(sandbox_in: Any, tmp_path: Any) -> None:
    sandbox = till_in(
        sandbox_in,
        tmp_path,
        ERRTRACK_TRACES_SAMPLER="choose:sample",
        ERRTRACK_BEFORE_SEND_TRANSACTION="spy:keep",
    )
    sandbox.write(
        "choose.py",
        "def sample(context): return 1.0 if context['wsgi_environ']['PATH_INFO'] == '/ok/2' else 0.0\n",
    )
    story = told(sandbox, {n: {"path": "/ok/" + n} for n in "123"})
    assert [len(story.transactions(n)) for n in "123"] == [0, 1, 0]


def test_tracing_that_is_switched_on_in_a_running_process(sandbox_in: Any, tmp_path: Any) -> None:
    sandbox = till_in(sandbox_in, tmp_path, TILL_SPY="1")
    asked = {path: {"path": path} for path in ("/ok/1", "/switch-on", "/ok/2", "/fail/3", "/page/head")}
    story = told(sandbox, asked)
    assert [path for path in asked if story.transactions(path)] == ["/ok/2", "/fail/3", "/page/head"]
    assert story.transaction("/ok/2")["transaction"] == "ok"
    assert (
        story.event("/fail/3")["contexts"]["trace"]["trace_id"]
        == story.transaction("/fail/3")["contexts"]["trace"]["trace_id"]
    )


LATE = """
import sys
from flask import Flask, render_template_string
app = Flask("late")
app.jinja_env  # made long before
@app.route("/fail")
def fail(): raise RuntimeError("late")
@app.route("/page")
def page(): return render_template_string("{{ sentry_trace_meta }}")
from errtrack_run import boot
boot.boot()
from wsgiref.simple_server import make_server
make_server("127.0.0.1", int(sys.argv[1]), app).serve_forever()
"""


def test_application_that_was_there_before_us(sandbox_in: Any, tmp_path: Any) -> None:
    sandbox = till_in(sandbox_in, tmp_path)
    path = sandbox.write("late.py", LATE)
    with Server(sandbox, sys.executable, str(path), "PORT", launched=False) as server:
        assert server.get("/fail")[0] == 500
        assert len(TAGS.findall(server.get("/page")[1])) == 1
    event = sandbox.event()
    assert (main_exception(event)["mechanism"]["type"], event["transaction"]) == ("flask", "fail")


def test_errors_are_reported_without_blinker(sandbox_in: Any, tmp_path: Any) -> None:
    """Before 2.3 Flask has signals only where blinker is installed."""
    if metadata.version("flask").startswith(("2.3", "3", "4")):
        pytest.skip("Flask needs blinker")
    sandbox = till_in(sandbox_in, tmp_path)
    sandbox.write("bare.py", "import sys\nsys.modules['blinker'] = None\nfrom till import app\n")
    story = told(sandbox, {"fail": {"path": "/fail/1"}, "known": {"path": "/known"}}, app="bare:app")
    assert main_exception(story.event("fail"))["mechanism"]["type"] == "flask" and story.events("known") == []


RESTFUL = """
import flask, flask_restful
app = flask.Flask(__name__)
api = flask_restful.Api(app)
class Thing(flask_restful.Resource):
    def get(self, n):
        if n == "gone": flask_restful.abort(410)
        raise RuntimeError("failed " + n)
api.add_resource(Thing, "/thing/<n>")
"""


def test_errors_in_restful_resources_are_reported(sandbox_in: Any, tmp_path: Any) -> None:
    """Its Api stands in the way of Flask.handle_exception, and sends the signal itself."""
    pytest.importorskip("flask_restful")
    sandbox = till_in(sandbox_in, tmp_path)
    sandbox.write("resources.py", RESTFUL)
    asked = {n: {"path": "/thing/" + n} for n in ("1", "gone")}
    story = told(sandbox, asked, app="resources:app")
    assert story.answers["1"] == (500, b'{"message": "Internal Server Error"}\n')
    assert (story.answers["gone"][0], story.events("gone")) == (410, [])
    event = story.event("1")
    # Before Flask 2.3 there are signals only where blinker is; the log tells of it then.
    mechanism = "flask" if importlib.util.find_spec("blinker") else "logging"
    assert (main_exception(event)["mechanism"]["type"], event["transaction"]) == (mechanism, "thing")
