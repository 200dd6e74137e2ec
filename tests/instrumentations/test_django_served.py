"""Django behind real servers: bodies by size, users without personal data, answers that look like errors, exits under
ASGI, switching tracing on, and what is there before us."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from web import Server, main_exception

pytest.importorskip("django")

from djangos import FORM, JSON, Story, gunicorn, multipart, shop_in, uvicorn

DJANGO = pytest.importorskip("django").VERSION
POST = {"method": "POST"}
TRACED = {"ERRTRACK_TRACES_SAMPLE_RATE": "1", "ERRTRACK_BEFORE_SEND_TRANSACTION": "spy:keep"}
TRACE = "0123456789abcdef0123456789abcdef"
FILES, FILES_HEADERS = multipart({"name": "ada"}, {"file": b"content"})
MANY = "&".join("f%d=1" % n for n in range(1_001))
COOKIE = {"Cookie": "basket=SESSION"}


def told(sandbox: Any, kind: str, requests: dict[str, dict[str, Any]]) -> Story:
    """The story of *requests*, by WSGI or by ASGI; SESSION in them is that of a user."""
    if kind == "asgi":
        pytest.importorskip("uvicorn")
    filled = json.loads(json.dumps(requests, default=str).replace("SESSION", getattr(sandbox, "session", "")))
    for case, request in requests.items():  # bytes are not for JSON
        filled[case].update({"body": request["body"]} if "body" in request else {})
    return Story.told(sandbox, uvicorn(sandbox) if kind == "asgi" else gunicorn(sandbox), filled)


USERS: dict[str, dict[str, Any]] = {
    "looked-at": {"path": "/looked-at/", "headers": COOKIE},
    "session-looked-at": {"path": "/session-looked-at/", "headers": COOKIE},
    "nobody": {"path": "/looked-at/"},
    "anot-looked-at": {"path": "/anot-looked-at/", "headers": COOKIE},
    **({"alooked-at": {"path": "/alooked-at/", "headers": COOKIE}} if DJANGO >= (5, 0) else {}),
}


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_user_is_nobodys_business_unless_asked_for(sandbox_in: Any, tmp_path: Any, kind: str) -> None:
    sandbox = shop_in(sandbox_in, tmp_path)
    story = told(sandbox, kind, USERS)
    for case in USERS:
        event = story.event(case)
        assert "user" not in event, case
        assert "ada" not in json.dumps(event["request"]) and sandbox.session not in json.dumps(event)


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_user_where_personal_data_may_be_sent(sandbox_in: Any, tmp_path: Any, kind: str) -> None:
    """Under ASGI a query would be refused in the middle of the loop: none is made."""
    sandbox = shop_in(sandbox_in, tmp_path, ERRTRACK_SEND_DEFAULT_PII="1")
    story = told(sandbox, kind, USERS)
    here = {"ip_address": "127.0.0.1"}
    ada = {**here, "id": "1", "email": "ada@example.com", "username": "ada"}
    users = {case: story.event(case).get("user") for case in USERS}
    if DJANGO >= (5, 0):
        assert users.pop("alooked-at") == ada
    assert users == {
        "looked-at": ada,
        "session-looked-at": {**here, "id": "1"},
        "nobody": here,
        "anot-looked-at": here,
    }
    for case in USERS:
        assert [value["type"] for value in story.event(case)["exception"]["values"]] == ["RuntimeError"]


def json_of(size: int) -> str:
    """An object of so many bytes, whose texts are short enough to be shown whole."""
    texts = {"k%d" % n: "x" * 900 for n in range(size // 910)}
    return json.dumps({**texts, "a": "x" * (size - len(json.dumps({**texts, "a": ""})))})


BODIES: dict[str, dict[str, Any]] = {
    **{
        "json-%d" % size: {"path": path, **POST, "headers": JSON, "body": json_of(size)}
        for path in ("/aunread/",)
        for size in (1_000, 1_001, 10_000, 10_001)
    },
    "read-10001": {"path": "/json/", **POST, "headers": JSON, "body": json_of(10_001)},
    "keys": {"path": "/unread/", **POST, "headers": JSON, "body": json.dumps({"k%d" % n: n for n in range(2_000)})},
    "form-1001": {"path": "/form/", **POST, "headers": FORM, "body": "a=1&b=" + "x" * 995},
    "aform-1001": {"path": "/aunread/", **POST, "headers": FORM, "body": "a=1&b=" + "x" * 995},
    "files": {"path": "/aunread/", **POST, "headers": FILES_HEADERS, "body": FILES},
    "nothing": {"path": "/fail/1/"},
}  # fmt: skip
KEPT = {
    "never": [],
    "small": ["files", "json-1000"],
    "medium": ["aform-1001", "files", "form-1001", "json-1000", "json-10000", "json-1001"],
    "always": [case for case in BODIES if case != "nothing"],
}


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
@pytest.mark.parametrize("limit", sorted(KEPT))
def test_bodies_by_their_size(sandbox_in: Any, tmp_path: Any, limit: str, kind: str) -> None:
    """Of async views, too."""
    sandbox = shop_in(sandbox_in, tmp_path, migrated=False, ERRTRACK_MAX_REQUEST_BODY_SIZE=limit)
    story = told(sandbox, kind, BODIES)
    events = {case: story.event(case) for case in BODIES}
    assert "data" not in events.pop("nothing")["request"]
    assert sorted(case for case in events if events[case]["request"]["data"] != "") == sorted(KEPT[limit])
    for case, event in events.items():
        if case not in KEPT[limit]:
            assert event["_meta"]["request"]["data"][""]["rem"][0][0] == "!config", case
        elif case.startswith("json"):
            assert event["request"]["data"] == json.loads(BODIES[case]["body"])
    if limit == "always":
        assert events["keys"]["request"]["data"] == {"k%d" % n: n for n in range(2_000)}
        assert events["aform-1001"]["request"]["data"] == {"a": "1", "b": "x" * 995}
    if limit != "never":
        assert events["files"]["request"]["data"] == {"name": "ada", "file": ""}
        assert events["files"]["tags"]["async"] == "yes"


def test_requests_that_django_refuses_are_no_errors(sandbox_in: Any, tmp_path: Any) -> None:
    """Too many fields, too large a body, a broken upload, a host that is not ours: 400 each, and logged."""
    sandbox = shop_in(sandbox_in, tmp_path, migrated=False, SHOP_HOSTS="127.0.0.1")
    odd = {"Content-Type": "multipart/form-data; boundary="}
    refused: dict[str, dict[str, Any]] = {
        "fields": {"path": "/form/", **POST, "headers": FORM, "body": MANY},
        "large": {"path": "/json/", **POST, "headers": JSON, "body": "[%s]" % ("1," * 1_400_000)},
        "multipart": {"path": "/form/", **POST, "headers": odd, "body": FILES},
        "host": {"path": "/host/", "headers": {"Host": "evil.example"}},
    }
    story = told(sandbox, "wsgi", {**refused, "fail": {"path": "/fail/1/"}})
    for case in refused:
        assert (story.answers[case][0], story.events(case)) == (400, []), case
    assert story.event("fail") and story.others == []


@pytest.mark.parametrize("path", ["/exit/", "/aexit/"])
def test_exit_in_a_view_under_asgi_is_one_event(sandbox_in: Any, tmp_path: Any, path: str) -> None:
    """It ends the server (with Django 3.2, the request), as without us; only what left the view knows of it."""
    pytest.importorskip("uvicorn")
    sandbox = shop_in(sandbox_in, tmp_path, migrated=False, **TRACED)
    ends = []
    for launched in (False, True):
        command = (sys.executable, "-m", "uvicorn", "--port", "PORT", "--log-level", "critical", "shop:asgi")
        with Server(sandbox, *command, launched=launched) as server:
            status = server.get(path)[0]
            ends.append((status, server.process.wait(30) if status == 0 else None))
    event = sandbox.event()
    error = main_exception(event)
    mechanism = error["mechanism"]
    assert (error["type"], mechanism["type"], mechanism["handled"]) == ("SystemExit", "asgi", False)
    assert (event["transaction"], event["level"]) == (path, "fatal")
    assert ends[0] == ends[1]
    (line,) = (sandbox.folder / "transactions").read_text().splitlines()
    transaction = json.loads(line)
    assert (transaction["transaction"], transaction["transaction_info"]) == (path, {"source": "route"})
    assert transaction["contexts"]["trace"]["origin"] == "auto.http.django"


def together(sandbox: Any) -> None:
    with uvicorn(sandbox) as server:
        server.get_all(["/together/?number=%d" % n for n in range(5)])
    events = sandbox.events()
    assert [main_exception(e)["value"] for e in events] == ["together"] * 5
    assert sorted(e["tags"]["number"] for e in events) == list("01234")
    for event in events:
        assert event["request"]["query_string"] == "number=" + event["tags"]["number"]


@pytest.mark.parametrize("bare", ["0", "1"])
def test_async_views_run_at_the_same_time_traced(sandbox_in: Any, tmp_path: Any, bare: str) -> None:
    """With middlewares that are async functions, and without any; each of them measured."""
    pytest.importorskip("uvicorn")
    together(shop_in(sandbox_in, tmp_path, SHOP_BARE=bare, ERRTRACK_DJANGO_MIDDLEWARE_SPANS="1", **TRACED))


WAYS: dict[str, dict[str, Any]] = {
    "ok": {"path": "/ok/1/"},
    "fail": {"path": "/fail/2/", "headers": {"X-Forwarded-Host": "evil.example"}},
    "other": {"path": "/other/3/"},
    "early": {"path": "/item/early/7/"},
    "stream": {"path": "/stream/"},
    "nowhere": {"path": "/nowhere/"},
    "head": {"path": "/fail/4/", "method": "HEAD"},
    "continued": {"path": "/ok/5/", "headers": {"sentry-trace": TRACE + "-0123456789abcdef-1"}},
    "page": {"path": "/traced-page/"},
    "named": {"path": "/named-by-itself/"},
    "one-of": {"path": "/one-of-templates/"},
    "query": {"path": "/query/"},
}


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def traced(
    request: pytest.FixtureRequest, sandbox_in: Any, tmp_path_factory: pytest.TempPathFactory
) -> Story:
    env = {**TRACED, "ERRTRACK_DJANGO_MIDDLEWARE_SPANS": "1", "SHOP_HOOKS": "1"}
    sandbox = shop_in(sandbox_in, tmp_path_factory.mktemp("django"), **env)
    return told(sandbox, request.param, WAYS)


@pytest.mark.parametrize(
    ("case", "name", "source", "status", "code"),
    [
        ("ok", "/ok/{n}/", "route", "ok", 200),
        ("fail", "/fail/{n}/", "route", "internal_error", 500),
        ("other", "/other/{pk}/", "route", "internal_error", 500),  # of the urlconf that a middleware chose
        ("early", "/item/early/{pk}/", "route", "internal_error", 500),
        ("stream", "/stream/", "route", "internal_error", 200),
        ("nowhere", "/nowhere/", "url", "not_found", 404),
    ],
)
def test_transactions_have_name_status_and_origin(
    traced: Story, case: str, name: str, source: str, status: str, code: int
) -> None:
    transaction = traced.transaction(case)
    trace = transaction["contexts"]["trace"]
    assert (transaction["transaction"], transaction["transaction_info"]["source"]) == (name, source)
    assert (trace["op"], trace["origin"], trace["status"]) == ("http.server", "auto.http.django", status)
    assert transaction["contexts"]["response"]["status_code"] == code
    if status == "internal_error":
        event = traced.event(case)
        assert event["transaction"] == name
        assert event["contexts"]["trace"]["trace_id"] == trace["trace_id"]


def test_what_the_application_names_keeps_its_name(traced: Story) -> None:
    transaction = traced.transaction("named")
    assert (transaction["transaction"], transaction["transaction_info"]) == ("mine", {"source": "custom"})


def test_host_is_what_was_asked_for_unless_proxies_are_trusted(traced: Story) -> None:
    for told in (traced.event("fail"), traced.transaction("fail")):
        assert told["request"]["url"].startswith("http://127.0.0.1:")


def test_head_is_no_transaction_but_its_error_is_an_event(traced: Story) -> None:
    assert traced.transactions("head") == []
    assert main_exception(traced.event("head"))["value"] == "failed 4"


def test_trace_that_comes_in_is_continued(traced: Story) -> None:
    trace = traced.transaction("continued")["contexts"]["trace"]
    assert (trace["trace_id"], trace["parent_span_id"]) == (TRACE, "0123456789abcdef")


def test_page_and_transaction_have_one_trace(traced: Story) -> None:
    trace = traced.transaction("page")["contexts"]["trace"]["trace_id"]
    assert trace.encode() in traced.answers["page"][1]
    assert traced.event("page")["contexts"]["trace"]["trace_id"] == trace


def test_hooks_of_middlewares_are_spans(traced: Story) -> None:
    def hooks(case: str) -> set[str]:
        spans = traced.spans(case, "middleware.django")
        return {s["description"] for s in spans if s["description"].startswith("shop.Hooks")}

    assert hooks("ok") == {"shop.Hooks.__call__", "shop.Hooks.process_view"}
    assert hooks("fail") == {*hooks("ok"), "shop.Hooks.process_exception"}
    assert hooks("one-of") == {*hooks("ok"), "shop.Hooks.process_template_response"}
    assert traced.answers["one-of"] == (200, b"top\n\nbottom\n")
    (span,) = [s for s in traced.spans("fail", "middleware.django") if "exception" in s["description"]]
    assert span["tags"] == {"django.function_name": "process_exception", "django.middleware_name": "Hooks"}


def test_template_is_named_and_asks_for_no_rows(traced: Story) -> None:
    (span,) = traced.spans("one-of", "template.render")
    assert span["description"] == "base.html" and span["data"]["context.n"] == 1
    assert span["data"]["context.users"].startswith("<QuerySet from django.db.models.query.QuerySet at 0x")
    assert not [s for s in traced.spans("one-of", "db") if "auth_user" in s["description"]]


def test_connection_to_the_database_is_told(traced: Story) -> None:
    crumbs = traced.event("query")["breadcrumbs"]["values"]
    assert "connect" in [crumb["message"] for crumb in crumbs if crumb.get("category") == "query"]
    assert [s for s in traced.spans("query", "db") if s["description"] == "connect"]


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_sampler_is_shown_the_request(sandbox_in: Any, tmp_path: Any, kind: str) -> None:
    sandbox = shop_in(
        sandbox_in,
        tmp_path,
        migrated=False,
        ERRTRACK_TRACES_SAMPLER="choose:sample",
        ERRTRACK_BEFORE_SEND_TRANSACTION="spy:keep",
    )
    sandbox.write(
        "choose.py",
        "def sample(context):\n"
        "    path = context['asgi_scope']['path'] if %r == 'asgi' else context['wsgi_environ']['PATH_INFO']\n"
        "    return 1.0 if path == '/ok/2/' else 0.0\n" % kind,
    )
    story = told(sandbox, kind, {n: {"path": "/ok/%s/" % n} for n in "123"})
    assert [len(story.transactions(n)) for n in "123"] == [0, 1, 0]


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_tracing_that_is_switched_on_in_a_running_process(sandbox_in: Any, tmp_path: Any, kind: str) -> None:
    """What only traces need is patched then: signals, views, responses."""
    sandbox = shop_in(sandbox_in, tmp_path)
    before, after = ("/ok/1/", "/switch-on/"), ("/ok/2/", "/fail/3/", "/template-response/", "/query/")
    story = told(sandbox, kind, {path: {"path": path} for path in (*before, *after)})
    assert [path for path in (*before, *after) if story.transactions(path)] == list(after)
    assert story.transaction("/ok/2/")["transaction"] == "/ok/{n}/"
    assert story.transaction("/ok/2/")["contexts"]["trace"]["data"]["thread.id"].isdigit()
    assert story.spans("/ok/2/", "event.django")
    assert story.spans("/template-response/", "view.response.render")
    assert story.spans("/template-response/", "template.render")
    assert [s for s in story.spans("/query/", "db") if "auth_user" in s["description"]]
    assert (
        story.event("/fail/3/")["contexts"]["trace"]["trace_id"]
        == story.transaction("/fail/3/")["contexts"]["trace"]["trace_id"]
    )


LATE = """
import sys
import shop  # handlers, middlewares and views are made
from errtrack_run import boot
boot.boot()
from wsgiref.simple_server import make_server
make_server("127.0.0.1", int(sys.argv[1]), shop.application).serve_forever()
"""


def test_project_that_was_there_before_us(sandbox_in: Any, tmp_path: Any) -> None:
    sandbox = shop_in(sandbox_in, tmp_path)
    path = sandbox.write("late.py", LATE)
    with Server(sandbox, sys.executable, str(path), "PORT", launched=False) as server:
        assert server.get("/fail/1/") == (500, b"custom page")
        assert server.get("/missing/")[0] == 404
        assert server.get("/query/")[0] == 500
        assert server.get("/page/?template=boom.html")[0] == 500
        assert b'<meta name="sentry-trace"' in server.get("/page/?template=meta.html")[1]
        assert server.get("/unread/", JSON, "POST", '{"a": 1}')[0] == 500
    fail, query, boom, unread = sandbox.events()
    assert (main_exception(fail)["mechanism"]["type"], fail["transaction"]) == ("django", "/fail/{n}/")
    assert any(crumb.get("category") == "query" for crumb in query["breadcrumbs"]["values"])
    assert main_exception(boom)["stacktrace"]["frames"][-1]["filename"] == "boom.html"
    # Out of a bare socket nothing is read for the event's sake: a reader may wait there for what never comes.
    assert unread["transaction"] == "/unread/" and "data" not in unread["request"]


def test_where_the_application_is_mounted_is_in_the_url(sandbox_in: Any, tmp_path: Any) -> None:
    sandbox = shop_in(sandbox_in, tmp_path, migrated=False)
    with Server.gunicorn(sandbox, "shop:application", SCRIPT_NAME="/mounted") as server:
        assert server.get("/mounted/fail/1/?q")[0] == 500
    event = sandbox.event()
    assert event["request"]["url"] == "http://127.0.0.1:%d/mounted/fail/1/" % server.port
    assert (event["request"]["query_string"], event["transaction"]) == ("q", "/fail/{n}/")


def test_template_outside_of_a_request_has_no_tags(sandbox_in: Any, tmp_path: Any) -> None:
    """A mail that a command renders leads to no browser's page."""
    sandbox = shop_in(sandbox_in, tmp_path, migrated=False)
    code = """
import shop
from django.template.loader import render_to_string
print(repr(render_to_string("meta.html")), render_to_string("meta.html", {"sentry_trace_meta": "mine"}))
"""
    assert sandbox.python(code).stdout == "'' mine\n"


def test_requests_of_a_test_client_are_transactions(sandbox_in: Any, tmp_path: Any) -> None:
    sandbox = shop_in(sandbox_in, tmp_path, migrated=False, **TRACED)
    code = """
import asyncio, shop
from django.test import AsyncClient, Client
Client().get("/ok/1/")
Client(raise_request_exception=False).get("/fail/2/")
asyncio.run(AsyncClient().get("/forbidden/"))
"""
    done = sandbox.python(code)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in (sandbox.folder / "transactions").read_text().splitlines()]
    contexts = [one["contexts"] for one in found]
    assert [one["transaction"] for one in found] == ["/ok/{n}/", "/fail/{n}/", "/forbidden/"]
    assert [one["response"]["status_code"] for one in contexts] == [200, 500, 403]
    statuses = ["ok", "internal_error", "permission_denied"]
    assert [one["trace"]["status"] for one in contexts] == statuses
    assert {one["trace"]["origin"] for one in contexts} == {"auto.http.django"}


@pytest.mark.skipif(DJANGO < (6, 0), reason="tasks came with Django 6.0")
def test_tasks_enqueued_by_async_code_are_spans(sandbox_in: Any, tmp_path: Any) -> None:
    sandbox = shop_in(sandbox_in, tmp_path, migrated=False, **TRACED)
    code = """
import asyncio, errtrack, shop
from django.tasks import task
@task
def add(a, b): return a + b
async def main():
    with errtrack.start_transaction(op="test", name="enqueue"):
        print((await add.aenqueue(1, b=2)).return_value)
asyncio.run(main())
"""
    sandbox.write("jobs.py", code)
    assert sandbox.python("import jobs").stdout == "3\n"
    (line,) = (sandbox.folder / "transactions").read_text().splitlines()
    spans = [span for span in json.loads(line)["spans"] if span["op"] == "queue.submit.django"]
    assert [span["description"] for span in spans] == ["jobs.add"]
