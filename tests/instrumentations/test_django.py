"""Django: one event a failure, with its route and its own request, under WSGI, ASGI and the test client."""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from typing import Any

import pytest

from web import Server, main_exception

pytest.importorskip("django")

from djangos import FORM, JSON, Story, gunicorn, multipart, shop_in, uvicorn

DJANGO = pytest.importorskip("django").VERSION

FILES, FILES_HEADERS = multipart({"name": "ada", "password": "hunter2"}, {"file": b"content"})

REQUESTS: dict[str, dict[str, Any]] = {
    "ok": {"path": "/ok/1/"},
    "fail": {"path": "/fail/7/?q=1", "headers": {"X-Thing": "y"}},
    "afail": {"path": "/afail/7/"},
    "missing": {"path": "/missing/"},
    "nowhere": {"path": "/nowhere/"},
    "forbidden": {"path": "/forbidden/"},
    "aforbidden": {"path": "/aforbidden/"},
    "bad": {"path": "/bad/"},
    "suspicious": {"path": "/suspicious/"},
    "answers-500": {"path": "/answers-500/"},
    "twice": {"path": "/twice/"},
    "broken-404": {"path": "/broken-404/"},
    "thing": {"path": "/thing/"},
    "async-thing": {"path": "/async-thing/"},
    "threads": {"path": "/through-threads/"},
    "nested-a": {"path": "/a/hi/"},
    "nested-b": {"path": "/b/hi/"},
    "nested-regex": {"path": "/b/y2020/3/de/"},
    "other": {"path": "/other/3/"},
    "german": {"path": "/de/greeting/ada/"},
    "traced-page": {"path": "/traced-page/"},
    "early": {"path": "/item/early/7/"},
    "stream": {"path": "/stream/"},
    "json": {"path": "/json/", "method": "POST", "headers": JSON, "body": '{"a": 1, "password": "hunter2"}'},
    "bad-json": {"path": "/json/", "method": "POST", "headers": JSON, "body": '{"a": '},
    "unread-json": {"path": "/unread/", "method": "POST", "headers": JSON, "body": '{"a": 1}'},
    "empty-json": {"path": "/unread/", "method": "POST", "headers": JSON, "body": "[]"},
    "octets": {"path": "/unread/", "method": "POST", "headers": {"Content-Type": "application/octet-stream"}, "body": b"\0\1"},
    "large": {"path": "/unread/", "method": "POST", "headers": JSON, "body": json.dumps(["x" * 11_000])},
    "form": {"path": "/form/", "method": "POST", "headers": FORM, "body": "b=2&b=3&token=hunter2"},
    "unread-form": {"path": "/unread/", "method": "POST", "headers": FORM, "body": "b=2&token=hunter2"},
    "files": {"path": "/form/", "method": "POST", "headers": FILES_HEADERS, "body": FILES},
    "unread-files": {"path": "/unread/", "method": "POST", "headers": FILES_HEADERS, "body": FILES},
    "is-read": {"path": "/is-read/", "method": "POST", "headers": JSON, "body": '{"a": 1}'},
    "large-is-read": {"path": "/is-read/", "method": "POST", "headers": JSON, "body": json.dumps(["x" * 11_000])},
    "consumed": {"path": "/consumed/", "method": "POST", "headers": JSON, "body": '{"a": 1}'},
    "before": {"path": "/before/", "method": "POST", "headers": JSON, "body": '{"a": 1}'},
    "before-stream": {"path": "/before/?stream=1", "method": "POST", "headers": JSON, "body": '{"a": 1}'},
    "uploads-later": {"path": "/uploads-later/", "method": "POST", "headers": FILES_HEADERS, "body": FILES},
    "queries": {"path": "/queries/"},
    "cookies": {"path": "/fail/8/", "headers": {"Cookie": "basket=sesame; forgery=sesame; theme=dark"}},
    "trace": {"path": "/fail/9/", "headers": {"sentry-trace": "0123456789abcdef0123456789abcdef-0123456789abcdef"}},
}  # fmt: skip


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def story(request: pytest.FixtureRequest, sandbox_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """All of the requests above, to gunicorn (threads) or to uvicorn."""
    sandbox = shop_in(sandbox_in, tmp_path_factory.mktemp("django"))
    if request.param == "asgi":
        pytest.importorskip("uvicorn")
        return Story.told(sandbox, uvicorn(sandbox), REQUESTS)
    return Story.told(sandbox, gunicorn(sandbox), REQUESTS)


def test_failing_view_is_one_event(story: Story) -> None:
    event = story.event("fail")
    mechanism = main_exception(event)["mechanism"]
    assert (mechanism["type"], mechanism["handled"]) == ("django", False)
    assert (event["transaction"], event["transaction_info"]) == ("/fail/{n}/", {"source": "route"})
    assert event["level"] == "error"
    assert event["request"]["url"].endswith("/fail/7/")
    assert event["request"]["method"] == "GET"
    assert event["request"]["query_string"] == "q=1"
    assert {k.lower(): v for k, v in event["request"]["headers"].items()}["x-thing"] == "y"
    assert "data" not in event["request"] and "cookies" not in event["request"]
    assert event["tags"]["n"] == "7"
    assert [c["message"] for c in event["breadcrumbs"]["values"]] == ["about to fail 7"]
    assert story.answers["fail"] == (500, b"custom page")


def test_failing_async_view_is_one_event(story: Story) -> None:
    event = story.event("afail")
    assert main_exception(event)["mechanism"]["type"] == "django"
    assert event["transaction"] == "/afail/{n}/"
    assert event["tags"]["n"] == "7"


def test_frames_end_in_the_view_and_have_none_of_ours(story: Story) -> None:
    for case, function in (("fail", "fail"), ("afail", "afail")):
        frames = main_exception(story.event(case))["stacktrace"]["frames"]
        assert (frames[-1]["function"], frames[-1]["in_app"]) == (function, True)
        assert not any(frame.get("module", "").startswith("errtrack") for frame in frames)


@pytest.mark.parametrize(
    "case", ["ok", "missing", "nowhere", "forbidden", "aforbidden", "bad", "suspicious", "answers-500"]
)
def test_answers_are_not_errors(story: Story, case: str) -> None:
    assert story.events(case) == []


def test_nothing_is_reported_beside_the_requests(story: Story) -> None:
    """Neither what Django's loggers repeat, nor what the server would say of it."""
    assert [main_exception(e) if "exception" in e else e.get("logentry") for e in story.others] == []


def test_error_in_the_view_and_another_in_middleware_are_two_events(story: Story) -> None:
    assert [main_exception(e)["value"] for e in story.events("twice")] == ["unread", "second"]


def test_failing_404_handler_is_one_event(story: Story) -> None:
    assert main_exception(story.event("broken-404"))["value"] == "in the 404 handler"


def test_class_based_views(story: Story) -> None:
    assert story.event("thing")["transaction"] == "/thing/"
    assert main_exception(story.event("thing"))["value"] == "class-based"
    if DJANGO >= (4, 1):  # before, classes had no async methods
        assert main_exception(story.event("async-thing"))["value"] == "async class-based"


def test_tags_cross_threads_and_loops_inside_a_view(story: Story) -> None:
    event = story.event("threads")
    assert {"outside", "inside", "deeper"} <= set(event["tags"])
    assert event["transaction"] == "/through-threads/"


def test_routes_included_twice_keep_their_own_prefix(story: Story) -> None:
    assert story.event("nested-a")["transaction"] == "/a/{name}/"
    assert story.event("nested-b")["transaction"] == "/b/{name}/"
    assert story.event("nested-regex")["transaction"] == "/b/y{year}/{page}/{var}/"


def test_language_of_a_route_is_shown_as_it_appears(story: Story) -> None:
    assert story.event("german")["transaction"] == "/de/greeting/{name}/"


@pytest.mark.parametrize(
    ("route", "name"),
    [
        ("", "/"),
        ("b/item/<int:pk>/", "/b/item/{pk}/"),
        ("<name>/x", "/{name}/x"),
        (r"^api/(?P<version>(v1|v2))/author/$", "/api/{version}/author/"),
        (r"^api/(?P<id>[^\/]+)/product/(?P<pid>(?:\d+|[A-Fa-f0-9-]{32,36}))/$", "/api/{id}/product/{pid}/"),
        (r"api/^items/(?P<pk>[^/.)]+)\.json\Z", "/api/items/{pk}.json"),
        (r"^(?:a|b)/(\d+)/(?=x)x?$", "/a/{var}/x"),
        (r"^(?i)x/(?P<unclosed", "/x/"),
    ],
)
def test_names_of_routes(route: str, name: str) -> None:
    from errtrack_instrumentations._django_names import name_of_route

    assert name_of_route(route) == name


def test_template_and_event_have_the_same_trace(story: Story) -> None:
    body = story.answers["traced-page"][1]
    assert story.event("traced-page")["contexts"]["trace"]["trace_id"] in body.decode()


def test_route_of_an_urlconf_that_a_middleware_chose(story: Story) -> None:
    assert story.event("other")["transaction"] == "/other/{pk}/"


def test_error_in_a_middleware_has_the_views_route(story: Story) -> None:
    assert story.event("early")["transaction"] == "/item/early/{pk}/"


def test_path_that_leads_nowhere_is_named_by_itself(story: Story) -> None:
    event = story.event("broken-404")
    assert (event["transaction"], event["transaction_info"]["source"]) == ("/broken-404/", "url")


def test_error_while_streaming_has_the_requests_tags(story: Story) -> None:
    event = story.events("stream")[0]
    assert len(story.events("stream")) == 1
    assert main_exception(event)["value"] == "mid-stream"
    assert event["tags"]["streamed"] == "yes"
    assert event["transaction"] == "/stream/"


def test_json_is_shown_scrubbed(story: Story) -> None:
    assert story.event("json")["request"]["data"] == {"a": 1, "password": "[Filtered]"}


def test_json_that_the_view_did_not_read_is_shown(story: Story) -> None:
    assert story.event("unread-json")["request"]["data"] == {"a": 1}
    assert story.event("empty-json")["request"]["data"] == []


def test_bodies_that_are_no_json_are_marked_as_left_out(story: Story) -> None:
    for case, rule in (("bad-json", "!raw"), ("octets", "!raw"), ("large", "!config")):
        event = story.event(case)
        assert event["request"]["data"] == "", case
        assert event["_meta"]["request"]["data"][""]["rem"][0][0] == rule


def test_forms_are_shown_scrubbed(story: Story) -> None:
    assert story.event("form")["request"]["data"] == {"b": ["2", "3"], "token": "[Filtered]"}
    assert story.event("unread-form")["request"]["data"] == {"b": "2", "token": "[Filtered]"}


@pytest.mark.parametrize("case", ["files", "unread-files"])
def test_files_are_named_and_not_shown(story: Story, case: str) -> None:
    event = story.event(case)
    assert event["request"]["data"] == {"name": "ada", "password": "[Filtered]", "file": ""}
    assert event["_meta"]["request"]["data"]["file"][""]["rem"][0][0] == "!raw"


def test_body_that_the_view_consumed_is_not_shown(story: Story) -> None:
    assert "data" not in story.event("consumed")["request"]


def test_body_that_is_too_large_to_be_shown_is_not_read(story: Story) -> None:
    assert (story.answers["is-read"][1], story.answers["large-is-read"][1]) == (b"True", b"False")


@pytest.mark.parametrize("case", ["before", "before-stream"])
def test_view_reads_its_body_after_a_capture_has_shown_it(story: Story, case: str) -> None:
    assert story.answers[case] == (200, b'{"a": 1}')
    assert story.event(case)["request"]["data"] == {"a": 1}


def test_view_may_set_upload_handlers_after_a_capture(story: Story) -> None:
    assert story.answers["uploads-later"] == (200, b"content")


def test_capture_makes_no_query(story: Story) -> None:
    assert story.answers["queries"] == (200, b"[]")
    event = story.event("queries")
    variables = main_exception(event)["stacktrace"]["frames"][-1]["vars"]
    shown = re.sub("0x[0-9a-f]+", "0x1", str(variables["kept"]))
    assert shown.count("<QuerySet from django.db.models.query.QuerySet at 0x1>") == 2, variables


def test_personal_data_stays_home(story: Story) -> None:
    event = story.event("cookies")
    assert "sesame" not in str(event["request"]) and "dark" not in str(event["request"])
    assert event.get("user") == {"id": "user-8"}  # what the application itself said


def test_trace_goes_on_with_tracing_off(story: Story) -> None:
    assert story.event("trace")["contexts"]["trace"]["trace_id"] == "0123456789abcdef0123456789abcdef"
    assert len(story.event("fail")["contexts"]["trace"]["trace_id"]) == 32


PERSONAL: dict[str, dict[str, Any]] = {
    "fail": {"path": "/fail/8/"},
    "thing": {"path": "/thing/"},
    "broken-404": {"path": "/broken-404/"},
    "missing": {"path": "/missing/"},
    "forbidden": {"path": "/forbidden/"},
    "twice": {"path": "/twice-forbidden/"},
    "suspicious": {"path": "/suspicious/"},
    "answers-500": {"path": "/answers-500/"},
    "cookies": {"path": "/who/", "headers": {"Cookie": "basket=sesame; forgery=sesame; theme=dark"}},
    "looked-at": {"path": "/looked-at/", "headers": {"Cookie": "basket=SESSION"}},
    "session-looked-at": {"path": "/session-looked-at/", "headers": {"Cookie": "basket=SESSION"}},
    "not-looked-at": {"path": "/not-looked-at/", "headers": {"Cookie": "basket=SESSION"}},
    "queries": {"path": "/queries/", "headers": {"Cookie": "basket=SESSION"}},
    "said-by-the-app": {"path": "/fail/9/?look", "headers": {"Cookie": "basket=SESSION"}},
    "forwarded": {"path": "/who/", "headers": {"X-Forwarded-Host": "shop.example", "X-Forwarded-For": "203.0.113.9"}},
    "write": {"path": "/write/"},
    "write-again": {"path": "/write/"},
    "broken": {"path": "/broken-transaction/"},
    "exit": {"path": "/exit/"},
}  # fmt: skip


@pytest.fixture(scope="module")
def personal(sandbox_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Requests of a user, personal data allowed, answers as errors, names of views, requests in transactions."""
    sandbox = shop_in(
        sandbox_in,
        tmp_path_factory.mktemp("django"),
        ERRTRACK_SEND_DEFAULT_PII="1",
        ERRTRACK_DJANGO_FAILED_REQUEST_STATUS_CODES="400,403,404",
        ERRTRACK_DJANGO_TRANSACTION_STYLE="function_name",
        ERRTRACK_LOCALS="repr",
        SHOP_FORWARDED="1",
        SHOP_ATOMIC="1",
    )
    requests = json.loads(json.dumps(PERSONAL).replace("SESSION", sandbox.session))
    return Story.told(sandbox, gunicorn(sandbox, "--workers", "1"), requests)


@pytest.mark.parametrize(
    ("case", "kind"),
    [("missing", "Http404"), ("forbidden", "PermissionDenied"), ("suspicious", "SuspiciousOperation")],
)
def test_answers_named_by_their_status_are_reported(personal: Story, case: str, kind: str) -> None:
    value = main_exception(personal.event(case))
    assert (value["type"], value["mechanism"]["type"], value["mechanism"]["handled"]) == (
        kind,
        "django",
        True,
    )


def test_answer_of_a_middleware_is_reported_after_the_error_of_its_view(personal: Story) -> None:
    told = [main_exception(event) for event in personal.events("twice")]
    assert [(e["type"], e["mechanism"]["handled"]) for e in told] == [
        ("RuntimeError", False),
        ("PermissionDenied", True),
    ]


def test_ordinary_error_stays_one_event_that_is_not_handled(personal: Story) -> None:
    assert main_exception(personal.event("fail"))["mechanism"]["handled"] is False
    assert len(personal.events("broken-404")) == 1
    assert personal.events("answers-500") == []


def test_transaction_is_named_by_its_view(personal: Story) -> None:
    event = personal.event("fail")
    assert (event["transaction"], event["transaction_info"]) == ("shop.fail", {"source": "component"})
    assert personal.event("thing")["transaction"] == "shop.Thing"
    assert personal.event("broken-404")["transaction"] == "shop.handler404"


def test_session_and_csrf_cookies_are_never_shown(personal: Story) -> None:
    request = personal.event("cookies")["request"]
    assert request["cookies"] == {"basket": "[Filtered]", "forgery": "[Filtered]", "theme": "dark"}
    assert "sesame" not in str(request)


def test_user_that_the_application_looked_at_is_shown(personal: Story) -> None:
    user = personal.event("looked-at")["user"]
    assert (user["id"], user["email"], user["username"]) == ("1", "ada@example.com", "ada")


def test_user_of_a_session_that_was_loaded(personal: Story) -> None:
    user = personal.event("session-looked-at")["user"]
    assert user["id"] == "1" and "username" not in user


def test_user_that_nobody_looked_at_is_not_asked_for(personal: Story) -> None:
    assert not {"id", "email", "username"} & set(personal.event("not-looked-at")["user"])
    assert personal.answers["queries"] == (200, b"[]")


def test_user_that_the_application_set_wins(personal: Story) -> None:
    assert personal.event("said-by-the-app")["user"]["id"] == "user-9"


def test_host_that_a_trusted_proxy_was_asked_for(personal: Story) -> None:
    event = personal.event("forwarded")
    assert event["request"]["url"] == "http://shop.example/who/"
    assert event["user"]["ip_address"] == "203.0.113.9"


def test_request_in_a_transaction_is_rolled_back_and_reported(personal: Story) -> None:
    for case in ("write", "write-again"):  # the second finds nothing of the first
        assert main_exception(personal.event(case))["value"] == "rolled back"
    assert main_exception(personal.event("broken"))["value"] == "the query failed"


def test_exit_in_a_view_is_reported_by_the_server_layer(personal: Story) -> None:
    value = main_exception(personal.event("exit"))
    assert (value["type"], value["mechanism"]["type"]) == ("SystemExit", "wsgi")


def test_clients_of_tests_share_nothing_between_requests(sandbox_in: Any, tmp_path: Any) -> None:
    sandbox = shop_in(sandbox_in, tmp_path)
    code = """
import shop, asyncio
from django.test import AsyncClient, Client
client = Client(raise_request_exception=False)
for n in (1, 2, 3):
    client.get("/fail/%d/" % n, HTTP_X_CASE=str(n))
asyncio.run(AsyncClient(raise_request_exception=False).get("/afail/4/"))
try:
    Client().get("/fail/5/")
except RuntimeError as error:
    print(error)
list(client.get("/stream/"))
"""
    done = sandbox.python(code.replace("list(", "try: list(", 1).rstrip() + "\nexcept RuntimeError: pass\n")
    assert done.stdout == "failed 5\n", done.stderr
    events = sandbox.events()
    assert [e["request"]["url"].split("/")[-2] for e in events[:5]] == ["1", "2", "3", "4", "5"]
    for number, event in enumerate(events[:5], 1):
        assert event["transaction"] in ("/fail/{n}/", "/afail/{n}/")
        assert event["tags"]["n"] == str(number)
        assert [c["message"] for c in event["breadcrumbs"]["values"]] == ["about to fail %d" % number]


def test_management_command_that_fails_reaches_the_excepthook(sandbox_in: Any, tmp_path: Any) -> None:
    sandbox = shop_in(sandbox_in, tmp_path)
    code = """
import shop, sys
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
class Command(BaseCommand):
    def add_arguments(self, parser): parser.add_argument("--expected", action="store_true")
    def handle(self, *args, **options):
        raise CommandError("told to the user") if options["expected"] else RuntimeError("in a command")
Command().run_from_argv(["manage.py", "work", *sys.argv[1:]])
"""
    failed = sandbox.python(code)
    assert failed.returncode == 1 and "RuntimeError: in a command" in failed.stderr
    value = main_exception(sandbox.event())
    assert (value["value"], value["mechanism"]["type"]) == ("in a command", "excepthook")


@pytest.mark.parametrize("kind", ["gthread", "gevent", "uvicorn"])
def test_requests_at_once_keep_apart(sandbox_in: Any, tmp_path: Any, kind: str) -> None:
    sandbox = shop_in(sandbox_in, tmp_path)
    if kind == "gthread":
        server = gunicorn(sandbox, "--threads", "20")
    else:
        pytest.importorskip(kind)
        server = gunicorn(sandbox, "--worker-class", "gevent") if kind == "gevent" else uvicorn(sandbox)
    # Greenlets of one thread cannot have an event loop each.
    views = ("fail", "fail" if kind == "gevent" else "afail")
    paths = ["/%s/%d/" % (views[n % 2], n) for n in range(200)]
    with server:
        assert {status for status, _ in server.get_all(paths)} == {500}
    events = sandbox.events()
    assert len(events) == 200
    for event in events:
        number = event["request"]["url"].split("/")[-2]
        assert event["tags"]["n"] == number
        assert event["user"]["id"] == "user-" + number
        assert [c["message"] for c in event["breadcrumbs"]["values"]] == ["about to fail " + number]
        assert main_exception(event)["value"] == "failed " + number


def test_async_views_run_at_the_same_time(sandbox_in: Any, tmp_path: Any) -> None:
    """With async middlewares, a function and classes: none of ours takes a request through a thread."""
    pytest.importorskip("uvicorn")
    sandbox = shop_in(sandbox_in, tmp_path)
    with uvicorn(sandbox) as server:
        server.get_all(["/together/?number=%d" % n for n in range(5)])
    events = sandbox.events()
    assert [main_exception(e)["value"] for e in events] == ["together"] * 5
    assert sorted(int(e["tags"]["number"]) for e in events) == list(range(5))
    for event in events:
        assert event["request"]["query_string"] == "number=" + event["tags"]["number"]


@pytest.mark.skipif(DJANGO < (5, 0), reason="before, nobody told a view that its client had gone")
def test_client_that_goes_away_is_no_error(sandbox_in: Any, tmp_path: Any) -> None:
    pytest.importorskip("uvicorn")
    sandbox = shop_in(sandbox_in, tmp_path)
    with uvicorn(sandbox) as server:
        with socket.create_connection(("127.0.0.1", server.port), 30) as client:
            client.sendall(b"GET /left/ HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_for(tmp_path / "begun")
        wait_for(tmp_path / "left")
        assert server.get("/ok/1/")[0] == 200
    assert sandbox.events() == []


def wait_for(path: Any) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)


def test_runserver_with_its_reloader_and_debug_reports_once(sandbox_in: Any, tmp_path: Any) -> None:
    sandbox = shop_in(sandbox_in, tmp_path, SHOP_DEBUG="1")
    sandbox.write(
        "manage.py",
        "import shop, sys\nfrom django.core.management import execute_from_command_line as e\ne(sys.argv)\n",
    )
    with Server(sandbox, sys.executable, "manage.py", "runserver", "PORT") as server:
        assert server.get("/fail/3/")[0] == 500
        assert server.get("/unread/", JSON, "POST", '{"a": 1}')[0] == 500
    event, unread = sandbox.events()
    assert (event["transaction"], main_exception(event)["mechanism"]["type"]) == ("/fail/{n}/", "django")
    assert (unread["transaction"], unread["request"]["data"]) == ("/unread/", {"a": 1})


def test_answers_are_byte_identical_with_and_without_us(sandbox_in: Any, tmp_path: Any) -> None:
    sandbox = shop_in(sandbox_in, tmp_path)
    answers = []
    for launched in (False, True):
        with Server.gunicorn(sandbox, "shop:application", launched=launched) as server:
            paths = (
                "/ok/1/",
                "/fail/1/",
                "/missing/",
                "/forbidden/",
                "/bad/",
                "/suspicious/",
                "/stream/",
                "/twice/",
            )
            answers.append([server.get(path) for path in paths])
    assert answers[0] == answers[1]


def test_requests_are_let_go(sandbox_in: Any, tmp_path: Any) -> None:
    """WSGI, ASGI and test clients, traced and not: no request object outlives its request, but for caught errors."""
    sandbox = shop_in(sandbox_in, tmp_path)
    code = """
import asyncio, errtrack, gc, io, shop
from django.http import HttpRequest
from django.test import AsyncClient, Client
def ask(path):
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "SERVER_NAME": "x", "SERVER_PORT": "80",
               "wsgi.input": io.BytesIO(), "wsgi.url_scheme": "http", "HTTP_HOST": "x"}
    body = shop.application(environ, lambda *_: None)
    b"".join(body), body.close()
    assert "errtrack.request" not in environ
async def aask(path):
    asgi = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [(b"host", b"x")]}
    messages = [{"type": "http.request", "body": b""}]
    async def receive():
        return messages.pop() if messages else await asyncio.sleep(60)
    async def send(message): pass
    await shop.asgi(asgi, receive, send)
    assert "errtrack.request" not in asgi
for path in ("/ok/1/", "/fail/1/", "/thing/", "/query/", "/page/?template=boom.html"):
    ask(path)
    asyncio.run(aask(path))
    Client(raise_request_exception=False).get(path)
    asyncio.run(AsyncClient(raise_request_exception=False).get(path))
gc.collect()
print([one.path for one in gc.get_objects() if isinstance(one, HttpRequest)])
"""
    for env in ({}, {"ERRTRACK_TRACES_SAMPLE_RATE": "1", "ERRTRACK_DJANGO_MIDDLEWARE_SPANS": "1"}):
        done = sandbox.python(code, **env)
        assert done.stdout == "[]\n", done.stderr + done.stdout


def test_disabled_by_name(sandbox_in: Any, tmp_path: Any) -> None:
    sandbox = shop_in(sandbox_in, tmp_path, ERRTRACK_DISABLE="django,logging,wsgi_servers")
    sandbox.python(
        "import shop\nfrom django.test import Client\nClient(raise_request_exception=False).get('/fail/1/')"
    )
    assert sandbox.events() == []
