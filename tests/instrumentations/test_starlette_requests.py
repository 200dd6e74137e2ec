"""starlette, starlette_middleware, starlette_templates: requests, users, transactions and spans, over real sockets."""

from __future__ import annotations

import http.client
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from told import Told, path_of
from web import OLD_UVICORN, Server, main_exception, websocket

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from starlette.middleware.exceptions import ExceptionMiddleware

#: Before 0.28.
IS_OLD = hasattr(ExceptionMiddleware, "_lookup_exception_handler")
APP = Path(__file__).parent / "starlette_app.py"
META = "<html><head>{{ sentry_trace_meta }}</head>{% if sentry_trace_meta %}yes{% endif %}</html>"
JANE = {"X-User": "jane"}


def made(folder: Path, sandbox_in: Any, **env: str) -> Told:
    told = Told(sandbox_in(folder), APP, PYTHONWARNINGS="ignore", **env)
    told.sandbox.write("templates/meta.html", META)
    told.sandbox.write("templates/meta.txt", "{{ sentry_trace_meta }}")
    told.sandbox.write("templates/without.html", "<html></html>")
    return told


def uvicorn(told: Told, app: str = "app", **env: str) -> Server:
    return told.serve(sys.executable, "-m", "uvicorn", "--port", "PORT", "starlette_app:" + app, **env)


def ask(told: Told, app: str, **env: str) -> Told:
    """Ask a server of *app* for everything."""
    ours = "/ok /fail/1 /sync/1 /thread /status/403 /status/404 /status/500 /status/503 /nowhere".split()
    more = {
        "app": "/in-middleware /user /page/meta.html /page/meta.txt /page/without.html /page/own /mounted/fail/1 /grouped/fail/1",
        "fast": "/api/v1/fail/1 /below/v2/fail/1 /below/v2/status/500 /status/x",
    }
    with uvicorn(told, app, **env) as server:
        for path in (*ours, *more[app].split()):
            told.answers[path] = server.get(path, JANE)
        told.answers["HEAD"] = server.get("/ok", method="HEAD")
        if app == "app":
            server.get("/fail/of-host", {"Host": "api.example.org"})
            server.get("/7/there", {"Host": "shop.example.net"})
        told.answers["/receive"] = server.get("/receive", method="POST", body=b"x" * 300_000)
        websocket(server.port, "/ws/fails", "a", "fail")
        websocket(server.port, "/ws/leaves", "a")
        told.wait_for("/ws/fails")
    told.output = server.output
    return told


TRACED = {"ERRTRACK_TRACES_SAMPLE_RATE": "1"}


@pytest.fixture(scope="module", params=["app", "fast"])
def told(request: Any, tmp_path_factory: pytest.TempPathFactory, sandbox_in: Any) -> Told:
    """Starlette and FastAPI with the settings that users have, asked for everything."""
    told = made(tmp_path_factory.mktemp(request.param), sandbox_in)
    told.kind = request.param
    return ask(told, request.param)


@pytest.fixture(scope="module", params=["app", "fast"])
def traced(request: Any, tmp_path_factory: pytest.TempPathFactory, sandbox_in: Any) -> Told:
    """The same with traces, spans of middlewares, personal data and another choice of statuses."""
    env = {
        **TRACED,
        "ERRTRACK_STARLETTE_MIDDLEWARE_SPANS": "1",
        "ERRTRACK_SEND_DEFAULT_PII": "1",
        "ERRTRACK_STARLETTE_FAILED_REQUEST_STATUS_CODES": "403",
    }
    told = made(tmp_path_factory.mktemp("traced"), sandbox_in, **env)
    told.kind = request.param
    return ask(told, request.param)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, sandbox_in: Any) -> Told:
    """Starlette with traces and names by endpoint, and no status that is a failure."""
    env = {**TRACED, "ERRTRACK_STARLETTE_TRANSACTION_STYLE": "endpoint"}
    told = made(tmp_path_factory.mktemp("plain"), sandbox_in, **env)
    told.sandbox.write("errtrack.toml", "[starlette]\nfailed_request_status_codes = []\n")
    return ask(told, "app")


def value(event: dict[str, Any]) -> str:
    return str(main_exception(event)["value"])


def transaction(told: Told, path: str) -> dict[str, Any]:
    found = [t for t in told.transactions if path_of(t) == path]
    assert len(found) == 1, [t["request"] for t in told.transactions]
    return found[0]


def spans(told: Told, path: str, op: str) -> list[dict[str, Any]]:
    """The spans of the one transaction of *path* whose op is *op*, in the order of their beginning."""
    found = [span for span in transaction(told, path)["spans"] if span["op"] == op]
    return sorted(found, key=lambda span: str(span["start_timestamp"]))


def test_every_event_is_one_that_is_expected(told: Told) -> None:
    expected = "/fail/1 /sync/1 /status/500 /status/503 /receive /ws/fails".split()
    if told.kind == "app":
        expected += "/in-middleware /user /mounted/fail/1 /grouped/fail/1 /fail/of-host /7/there".split()
    else:
        expected += "/api/v1/fail/1 /below/v2/fail/1 /below/v2/status/500".split()
    seen = [e for e in told.all if not (OLD_UVICORN and "no close frame" in json.dumps(e))]
    assert sorted(path_of(e) for e in seen) == sorted(expected)


def test_answers_are_as_without_us(told: Told, traced: Told) -> None:
    for each in (told, traced):
        status = {path: each.answers["/status/" + path][0] for path in ("403", "404", "500", "503")}
        assert status == {"403": 403, "404": 404, "500": 500, "503": 503}
        assert each.answers["/nowhere"][0] == 404 and each.answers["/ok"][0] == 200
        assert each.answers["/receive"][0] == 500 and b"fine" in each.answers["/ok"][1]
    assert told.kind != "fast" or told.answers["/status/x"][0] == 422


def test_endpoints_of_both_kinds(told: Told) -> None:
    for path, text, name in (("/fail/1", "failed 1", "/fail/{n}"), ("/sync/1", "sync 1", "/sync/{n}")):
        event = told.event(path)
        error = main_exception(event)
        assert (error["value"], error["mechanism"]) == (text, {"type": "starlette", "handled": False})
        assert (event["transaction"], event["transaction_info"]) == (name, {"source": "route"})
        assert event["tags"]["n"] == "1" and "user" not in json.dumps(
            event["request"]["headers"].get("cookie", "")
        )


def test_answered_exceptions_by_their_status(told: Told) -> None:
    for path in ("/status/500", "/status/503"):
        error = main_exception(told.event(path))
        assert error["mechanism"] == {"type": "starlette", "handled": True}
        # Told at once: Starlette takes the traceback off once it has answered.
        functions = [frame["function"] for frame in error["stacktrace"]["frames"]]
        assert functions[-1].endswith("status")


def test_other_statuses_are_failures_where_asked_for(traced: Told) -> None:
    assert main_exception(traced.event("/status/403"))["mechanism"]["handled"] is True
    assert [traced.events("/status/%d" % code) for code in (404, 500, 503)] == [[], [], []]


def test_no_status_is_a_failure_where_none_is_named(plain: Told) -> None:
    assert [e for e in plain.all if "/status/" in path_of(e)] == []
    assert value(plain.event("/fail/1")) == "failed 1"


def test_what_reads_from_receive_gets_all_of_it(told: Told, traced: Told) -> None:
    for each in (told, traced):
        event = each.event("/receive")
        assert value(event) == "received 300000" and "data" not in event["request"]


def test_user_of_the_middleware_and_of_the_application(told: Told, traced: Told) -> None:
    assert told.event("/fail/1")["user"] == {"id": "1"} and "user" not in told.event("/sync/1")
    ip = "127.0.0.1"
    assert traced.event("/sync/1")["user"] == {"username": "jane", "ip_address": ip}
    assert traced.event("/fail/1")["user"] == {"id": "1", "username": "jane", "ip_address": ip}
    assert traced.event("/receive")["user"] == {"ip_address": ip}  # nobody has said who it is
    if traced.kind == "app":
        assert traced.event("/user")["user"] == {"username": "set by the application", "ip_address": ip}
    if told.kind == "app":
        assert told.event("/user")["user"] == {"username": "set by the application"}


def test_names_below_hosts_mounts_and_routers(told: Told) -> None:
    names = {
        "app": {
            "/mounted/fail/1": "/mounted/fail/{n}",
            "/fail/of-host": "/fail/{n}",
            "/7/there": "/{n}/there",
        },
        "fast": {"/api/v1/fail/1": "/api/v1/fail/{n}", "/below/v2/fail/1": "/below/v2/fail/{n}"},
    }[told.kind]
    for path, name in names.items():
        event = told.event(path)
        assert (event["transaction"], event["transaction_info"]) == (name, {"source": "route"})
    if told.kind == "app":
        assert told.event("/fail/of-host")["request"]["url"] == "http://api.example.org/fail/of-host"


def test_error_of_a_middleware_has_the_path_for_a_name(told: Told) -> None:
    if told.kind == "app":
        event = told.event("/in-middleware")
        assert value(event) == "in a middleware"
        assert (event["transaction"], event["transaction_info"]) == ("/in-middleware", {"source": "url"})


def test_group_of_one_is_told_as_the_one_in_the_scopes_of_its_task(told: Told) -> None:
    if told.kind == "app":
        event = told.event("/grouped/fail/1")
        assert [v["value"] for v in event["exception"]["values"]] == ["failed 1"]
        if IS_OLD:  # it asks for a handler once, outside of the task
            return
        assert (event["tags"], event["user"]) == ({"n": "1"}, {"id": "1"})
        assert [c["message"] for c in event["breadcrumbs"]["values"] if "category" not in c] == ["1"]


def test_websocket_that_fails_and_one_that_is_left(told: Told, traced: Told) -> None:
    event = told.event("/ws/fails")
    assert (value(event), event["transaction"]) == ("websocket", "/ws/{n}")
    assert told.events("/ws/leaves") == []
    for path, status in (("/ws/fails", "internal_error"), ("/ws/leaves", "ok")):
        found = transaction(traced, path)
        trace = found["contexts"]["trace"]
        assert (found["transaction"], trace["op"], trace["status"]) == ("/ws/{n}", "websocket.server", status)


def test_transactions(traced: Told) -> None:
    expected = {
        "/ok": ("/ok", "route", "ok", 200),
        "/fail/1": ("/fail/{n}", "route", "internal_error", 500),
        "/nowhere": ("/nowhere", "url", "not_found", 404),
        "/status/404": ("/status/{code}", "route", "not_found", 404),
        "/status/403": ("/status/{code}", "route", "permission_denied", 403),
        "/status/503": ("/status/{code}", "route", "unavailable", 503),
    }
    for path, (name, source, status, code) in expected.items():
        found = transaction(traced, path)
        trace = found["contexts"]["trace"]
        assert (found["transaction"], found["transaction_info"]["source"]) == (name, source)
        assert (trace["op"], trace["origin"], trace["status"]) == (
            "http.server",
            "auto.http.starlette",
            status,
        )
        assert found["contexts"]["response"] == {"status_code": code}
    assert "HEAD" not in {t["request"]["method"] for t in traced.transactions}


def test_names_by_endpoint(plain: Told) -> None:
    event = plain.event("/fail/1")
    assert (event["transaction"], event["transaction_info"]) == (
        "starlette_app.fail",
        {"source": "component"},
    )
    found = transaction(plain, "/ok")
    assert (found["transaction"], found["transaction_info"]) == ("starlette_app.ok", {"source": "component"})
    assert transaction(plain, "/nowhere")["transaction"] == "/nowhere"


def test_thread_of_a_sync_endpoint_is_told(traced: Told) -> None:
    ident = traced.answers["/thread"][1].decode()
    assert transaction(traced, "/thread")["contexts"]["trace"]["data"]["thread.id"] == ident
    assert "thread.id" not in transaction(traced, "/ok")["contexts"]["trace"]["data"]


def test_middlewares_are_spans_in_one_another(traced: Told) -> None:
    root = transaction(traced, "/ok")
    found = spans(traced, "/ok", "middleware.starlette")
    names = [span["description"] for span in found]
    assert [name for name in names if name in ("AuthenticationMiddleware", "Plain", "Based")] == [
        "AuthenticationMiddleware", "Plain", "Based",
    ]  # fmt: skip
    assert (
        names[0] == "ServerErrorMiddleware" and "ExceptionMiddleware" in names and "factory" not in str(names)
    )
    above = root["contexts"]["trace"]["span_id"]
    for span in found:
        assert span["parent_span_id"] == above
        above = span["span_id"]
        assert span["tags"] == {"starlette.middleware_name": span["description"]}
        assert span["origin"] == "auto.http.starlette"


def test_what_middlewares_receive_and_send_are_spans(traced: Told) -> None:
    sent = [
        (s["tags"]["starlette.middleware_name"], s["description"])
        for s in spans(traced, "/ok", "middleware.starlette.send")
    ]
    assert ("ServerErrorMiddleware", "RequestResponseCycle.send") in sent
    assert ("Based", "partial") in sent  # it has no name of its own
    received = spans(traced, "/receive", "middleware.starlette.receive")
    middlewares = {span["tags"]["starlette.middleware_name"] for span in received}
    assert {"ServerErrorMiddleware", "Plain", "Based"} <= middlewares
    assert "RequestResponseCycle.receive" in {span["description"] for span in received}


def test_middlewares_are_no_spans_unless_asked_for(plain: Told) -> None:
    assert transaction(plain, "/ok")["spans"] == []


def test_meta_tags_carry_the_trace_of_the_request(plain: Told, told: Told) -> None:
    page = plain.answers["/page/meta.html"][1].decode()
    trace = transaction(plain, "/page/meta.html")["contexts"]["trace"]
    assert '<meta name="sentry-trace" content="%(trace_id)s-%(span_id)s-1">' % trace in page
    baggage = re.search('<meta name="baggage" content="([^"]*)">', page)
    assert baggage is not None and "sentry-trace_id=" + trace["trace_id"] in baggage.group(1).split(",")
    assert page.endswith("yes</html>")
    text = plain.answers["/page/meta.txt"][1].decode()
    assert text.startswith('<meta name="sentry-trace" content="')
    assert plain.answers["/page/without.html"][1] == b"<html></html>"
    assert b"<head>mine</head>" in plain.answers["/page/own"][1]
    if told.kind == "app":
        assert re.search(
            '<meta name="sentry-trace" content="[0-9a-f]{32}-[0-9a-f]{16}">',
            told.answers["/page/meta.html"][1].decode(),
        )


def test_meta_tags_are_empty_outside_of_a_request(tmp_path: Path, sandbox_in: Any) -> None:
    """starlette_templates"""
    told = made(tmp_path, sandbox_in)
    code = """
from starlette.templating import Jinja2Templates
import jinja2
print(Jinja2Templates(directory="templates").get_template("meta.html").render())
mine = jinja2.Environment(loader=jinja2.FileSystemLoader("templates"))
mine.globals["sentry_trace_meta"] = "of the application"
if hasattr(Jinja2Templates, "_setup_env_defaults"):  # Starlette 0.28
    print(Jinja2Templates(env=mine).get_template("meta.txt").render())
"""
    done = told.sandbox.python(code)
    lines = done.stdout.splitlines()
    assert lines[0] == "<html><head></head></html>", done.stderr
    assert lines[1:] in (["of the application"], [])


@pytest.mark.parametrize("kind", ["app", "fast"])
def test_two_hundred_requests_at_once_keep_apart(tmp_path: Path, sandbox_in: Any, kind: str) -> None:
    told = made(tmp_path, sandbox_in)
    mixed = [path % n for n in range(100) for path in ("/fail/n%d", "/ok?n%d")]
    with uvicorn(told, kind) as server:
        assert Counter(status for status, _ in server.get_all(mixed, 40)) == {200: 100, 500: 100}
    assert len(told.all) == 100
    for event in told.all:
        n = path_of(event).rpartition("/")[2]
        assert (value(event), event["tags"], event["user"]) == ("failed " + n, {"n": n}, {"id": n})
        assert [c["message"] for c in event["breadcrumbs"]["values"] if "category" not in c] == [n]
    assert len({e["contexts"]["trace"]["trace_id"] for e in told.all}) == 100


@pytest.mark.parametrize(
    ("count", "env"), [(1000, {}), (150, {**TRACED, "ERRTRACK_STARLETTE_MIDDLEWARE_SPANS": "1"})]
)
def test_two_thousand_requests_leave_nothing_behind(
    tmp_path: Path, sandbox_in: Any, count: int, env: dict[str, str]
) -> None:
    """Neither in memory nor on the stack, where each request would be one layer deeper."""
    told = made(tmp_path, sandbox_in, **env)
    told.sandbox.write("drop.py", "def drop(event, hint): return None\n")
    told.env.pop("ERRTRACK_BEFORE_SEND_TRANSACTION", None)
    with uvicorn(told, "fast", ERRTRACK_BEFORE_SEND_TRANSACTION="drop:drop") as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)

        def ask(path: str) -> int:
            connection.request("GET", path)
            return int(connection.getresponse().read())

        depths = {ask("/depth/%d" % n) for n in range(100)}
        kept = [ask("/objects")]
        for half in range(2):
            # Of traces, what is alike is remembered, within bounds.
            depths |= {
                ask("/depth/%d" % (n % 100 if env else n)) for n in range(half * count, (half + 1) * count)
            }
            kept.append(ask("/objects"))
        connection.close()
    assert len(depths) == 1
    # What the delivering thread imports, whenever it does, is there once; what requests leave would be there twice.
    assert min(kept[1] - kept[0], kept[2] - kept[1]) < 100


def test_sampler_is_shown_path_and_scope(tmp_path: Path, sandbox_in: Any) -> None:
    told = made(tmp_path, sandbox_in)
    told.sandbox.write(
        "sampling.py",
        "def sample(context):\n"
        "    asked = context['transaction_context']\n"
        "    print('asked', asked['name'], context['asgi_scope']['path'], flush=True)\n"
        "    return asked['name'] != '/ok'\n",
    )
    env = {"ERRTRACK_TRACES_SAMPLER": "sampling:sample", "ERRTRACK_BEFORE_SEND_TRANSACTION": "spy:keep"}
    with uvicorn(told, "fast", **env) as server:
        for path in ("/fail/1", "/ok"):
            server.get(path)
    asked = [line for line in server.output.splitlines() if line.startswith("asked ")]
    assert asked == ["asked /fail/1 /fail/1", "asked /ok /ok"]
    assert [t["transaction"] for t in told.transactions] == ["/fail/{n}"]


LATE = "from errtrack_run import boot\nboot.boot()\n"
CLIENT = """
from starlette.testclient import TestClient
for app in (starlette_app.app, starlette_app.fast):
    try:
        TestClient(app).get("/fail/1")
    except RuntimeError as error:
        print("raised", error)
    print(TestClient(app, raise_server_exceptions=False).get("/sync/2").status_code)
    try:
        with TestClient(app).websocket_connect("/ws/1") as socket:
            socket.send_text("fail")
            socket.receive_text()
    except RuntimeError as error:
        print("raised", error)
"""


@pytest.mark.parametrize("is_late", [False, True])
def test_clients_of_tests_need_no_server_and_no_early_start(
    tmp_path: Path, sandbox_in: Any, is_late: bool
) -> None:
    """Late: frameworks were imported, and applications made, before errtrack came."""
    if not hasattr(pytest.importorskip("anyio"), "start_blocking_portal") and IS_OLD:
        pytest.skip("the client of this Starlette wants an anyio before 4")
    told = made(tmp_path, sandbox_in)
    start = "import starlette_app\n" + LATE if is_late else "import starlette_app\n"
    done = told.sandbox.python(start + CLIENT, launched=not is_late, PYTHONWARNINGS="ignore")
    assert done.stdout.splitlines() == ["raised failed 1", "500", "raised websocket"] * 2, done.stderr
    assert [(value(e), e["transaction"]) for e in told.all] == [
        ("failed 1", "/fail/{n}"), ("sync 2", "/sync/{n}"), ("websocket", "/ws/{n}"),
    ] * 2  # fmt: skip
    for event in told.all:
        assert main_exception(event)["mechanism"] == {"type": "starlette", "handled": False}


def test_late_start_below_a_server_that_runs_already(tmp_path: Path, sandbox_in: Any) -> None:
    told = made(tmp_path, sandbox_in)
    told.sandbox.write("late.py", "from starlette_app import app, fast\n" + LATE)
    for kind in ("app", "fast"):
        with told.serve(
            sys.executable, "-m", "uvicorn", "--port", "PORT", "late:" + kind, launched=False
        ) as server:
            assert (server.get("/fail/" + kind)[0], server.get("/ok")[0], server.get("/status/503")[0]) == (
                500,
                200,
                503,
            )
    found = {path_of(e): e for e in told.all}
    # An old Starlette has put its handlers of statuses together as the application was made.
    assert len(told.all) == 4 - IS_OLD and set(found) == {"/fail/app", "/fail/fast", "/status/503"}
    assert found["/fail/app"]["transaction"] == "/fail/{n}" and found["/fail/app"]["tags"] == {"n": "app"}


WORKERS = ("-m", "gunicorn", "--bind", "127.0.0.1:PORT", "--workers", "2", "--worker-class")
SERVERS = {
    "hypercorn": ("-m", "hypercorn", "--bind", "127.0.0.1:PORT", "starlette_app:app"),
    "daphne": ("-m", "daphne", "-p", "PORT", "starlette_app:fast"),
    "uvicorn-workers": ("-m", "uvicorn", "--port", "PORT", "--workers", "2", "starlette_app:fast"),
    "gunicorn": (*WORKERS, "uvicorn.workers.UvicornWorker", "--preload", "starlette_app:app"),
    "gunicorn-asgi": (*WORKERS, "asgi", "starlette_app:fast"),
}


@pytest.mark.parametrize("kind", SERVERS)
def test_every_server(tmp_path: Path, sandbox_in: Any, kind: str) -> None:
    pytest.importorskip("gunicorn.workers.gasgi" if kind == "gunicorn-asgi" else kind.partition("-")[0])
    told = made(tmp_path, sandbox_in)
    with told.serve(sys.executable, *SERVERS[kind]) as server:
        assert (server.get("/ok")[0], server.get("/fail/1")[0]) == (200, 500), server.output
        try:
            server.get("/stream", timeout=5 if kind == "daphne" else 30)
        except OSError:  # daphne leaves the answer open, with us or without
            assert kind == "daphne"
    # A worker may still report the one as another has the next. Before its release 24 gunicorn logs as an error that a
    # worker ends by the signal that it was sent.
    events = [e for e in told.all if e.get("logger") != "gunicorn.error"]
    assert sorted((value(e), e["transaction"], e["tags"]) for e in events) == [
        ("failed 1", "/fail/{n}", {"n": "1"}), ("mid-stream", "/stream", {"n": "streamed"}),
    ]  # fmt: skip
    assert {main_exception(e)["mechanism"]["type"] for e in events} == {"starlette"}


BRIDGED = """
import errtrack, flask, django
from django.conf import settings
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x")
django.setup()
from django.core.wsgi import get_wsgi_application
from django.urls import path
from starlette.applications import Starlette
from starlette.middleware.wsgi import WSGIMiddleware
from starlette.routing import Mount
import a2wsgi

shop = flask.Flask(__name__)

@shop.route("/fail")
def fail():
    raise RuntimeError("in flask")

def view(request):
    raise RuntimeError("in django")

urlpatterns = [path("fail", view)]
routes = []
for name, bridge in (("a2wsgi", a2wsgi.WSGIMiddleware), ("starlette", WSGIMiddleware)):
    routes.append(Mount("/%s/flask" % name, bridge(shop)))
    routes.append(Mount("/%s/django" % name, bridge(get_wsgi_application())))
app = Starlette(routes=routes)

def tagged(app):
    async def outer(scope, receive, send):
        errtrack.set_tag("of", "the outer application")
        errtrack.add_breadcrumb(message="of the outer application")
        await app(scope, receive, send)
    return outer

app.add_middleware(tagged)
"""


def test_frameworks_behind_bridges_are_one_event_in_the_scopes_of_the_request(
    tmp_path: Path, sandbox_in: Any
) -> None:
    for module in ("a2wsgi", "flask", "django"):
        pytest.importorskip(module)
    told = made(tmp_path, sandbox_in, **TRACED)
    told.sandbox.write("bridged.py", BRIDGED)
    paths = ["/%s/%s/fail" % (b, f) for b in ("a2wsgi", "starlette") for f in ("flask", "django")]
    with told.serve(sys.executable, "-m", "uvicorn", "--port", "PORT", "bridged:app") as server:
        for path in paths:
            assert server.get(path)[0] == 500
    assert [path_of(e) for e in told.all] == paths
    for path, event in zip(paths, told.all):
        framework = path.split("/")[2]
        assert value(event) == "in " + framework
        assert event["tags"] == {"of": "the outer application"}
        crumbs = [crumb.get("message") for crumb in event["breadcrumbs"]["values"]]
        assert crumbs.count("of the outer application") == 1
        assert main_exception(event)["mechanism"] == {"type": framework, "handled": False}
    assert [path_of(t) for t in told.transactions] == paths
