"""wsgi_servers: any WSGI application at the door of its server: reported once, served as without us."""

from __future__ import annotations

import importlib.util
import json
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from web import Server, main_exception
from web_apps import FLASK, RAW

WORKERS = {
    "sync": [],
    "gthread": ["--worker-class", "gthread", "--threads", "16"],
    "gevent": ["--worker-class", "gevent"],
    "eventlet": ["--worker-class", "eventlet"],
}
#: Healthy and failing requests take turns, and stay for a while: they are at work side by side.
MIXED = [path % n for n in range(100) for path in ("/fail?n%d", "/ok?n%d")]


def assert_each_has_its_own(events) -> None:
    """A hundred failed of two hundred requests: no tag, user, breadcrumb or request is another's."""
    assert sorted(e["request"]["query_string"] for e in events) == sorted("n%d" % n for n in range(100))
    for event in events:
        query = event["request"]["query_string"]
        assert main_exception(event)["value"] == "failed " + query
        assert event["tags"] == {"query": query}
        assert event["user"] == {"id": query}
        assert [c["message"] for c in event["breadcrumbs"]["values"]] == [query]
        assert event["request"]["url"].endswith("/fail") and event["request"]["method"] == "GET"
    assert len({e["contexts"]["trace"]["trace_id"] for e in events}) == 100


@pytest.mark.parametrize(
    ("worker", "app"),
    [
        ("sync", RAW),
        ("sync", FLASK),
        ("gthread", RAW),
        ("gthread", FLASK),
        ("gevent", RAW),
        ("eventlet", RAW),
    ],
    ids=["sync-raw", "sync-flask", "gthread-raw", "gthread-flask", "gevent-raw", "eventlet-raw"],
)
def test_two_hundred_requests_at_once_keep_apart(sandbox, app: str, worker: str) -> None:
    if worker in ("gevent", "eventlet") and importlib.util.find_spec(worker) is None:
        pytest.skip(worker + " is not installed")
    if worker == "eventlet" and importlib.util.find_spec("gunicorn.workers.geventlet") is None:
        pytest.skip("this gunicorn has no such worker any more")
    sandbox.write("shop.py", app)
    with Server.gunicorn(sandbox, "shop:app", "--workers", "2", *WORKERS[worker]) as server:
        statuses = Counter(status for status, _ in server.get_all(MIXED, 40))
    assert statuses == {200: 100, 500: 100}
    assert_each_has_its_own(sandbox.events())


def test_gunicorn_hands_the_same_application_out_each_time(watching) -> None:
    base = pytest.importorskip("gunicorn.app.base")
    watching("wsgi_servers")

    class Application(base.BaseApplication):
        def __init__(self) -> None:  # without gunicorn's own settings
            self.callable = None

        def load(self):
            return lambda environ, start_response: []

    application = Application()
    assert application.wsgi() is application.wsgi() is application.callable


def test_preloaded_application(sandbox) -> None:
    sandbox.write("shop.py", RAW)
    with Server.gunicorn(sandbox, "shop:app", "--workers", "2", "--preload") as server:
        server.get_all("/fail?%d" % n for n in range(10))
    assert len(sandbox.events()) == 10


def test_reloaded_application(sandbox) -> None:
    sandbox.write("shop.py", RAW)
    with Server.gunicorn(sandbox, "shop:app", "--reload") as server:
        server.get("/fail?before")
        sandbox.write("shop.py", RAW.replace('"failed "', '"changed "'))
        server.wait_for("Worker reloading")
        deadline = time.monotonic() + 40
        while not any("changed" in str(main_exception(e)["value"]) for e in sandbox.events()):
            assert time.monotonic() < deadline, server.output
            server.get("/fail?after")
            time.sleep(0.1)


def test_server_that_executes_itself_anew(sandbox) -> None:
    sandbox.write("shop.py", RAW)
    pid_file = sandbox.folder / "pid"
    # Not as a module: old releases begin anew as a file, and find their own package `http` for Python's.
    command = (str(Path(sys.executable).parent / "gunicorn"), "--bind", "127.0.0.1:PORT", "shop:app")
    with Server(sandbox, *command, "--pid", str(pid_file)) as server:
        server.get("/fail?old")
        server.process.send_signal(signal.SIGUSR2)
        deadline = time.monotonic() + 40
        while server.output.count("Booting worker") < 2:
            assert time.monotonic() < deadline, server.output
            time.sleep(0.05)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(40)
        assert server.get("/fail?new")[0] == 500
        assert [event["request"]["query_string"] for event in sandbox.events()] == ["old", "new"]


def test_gunicorn_by_its_own_command(sandbox) -> None:
    import shutil

    command = shutil.which("gunicorn", path=sys.prefix + "/bin")
    assert command
    sandbox.write("shop.py", RAW)
    with Server(sandbox, command, "--bind", "127.0.0.1:PORT", "shop:app") as server:
        assert server.get("/fail?x")[0] == 500
    assert main_exception(sandbox.event())["mechanism"]["type"] == "wsgi"


WSGIREF = """
import sys
from wsgiref.simple_server import make_server
import shop
make_server("127.0.0.1", int(sys.argv[1]), shop.app).serve_forever()
"""


def wsgiref(sandbox, launched: bool = True) -> Server:
    sandbox.write("shop.py", RAW)
    path = sandbox.write("serve.py", WSGIREF)
    return Server(sandbox, sys.executable, str(path), "PORT", launched=launched)


@pytest.mark.parametrize("preload", [[], ["--preload"]], ids=["worker", "preload"])
def test_gunicorn_that_finds_no_application_is_reported_with_its_reason(sandbox, preload: list[str]) -> None:
    """gunicorn prints it and logs nothing: that a worker has failed is all that its log tells."""
    pytest.importorskip("gunicorn")
    sandbox.write("shop.py", RAW)
    command = ["-m", "gunicorn", "--bind", "127.0.0.1:0", *preload, "shop:nosuch"]
    bare = sandbox.run(sys.executable, *command, launched=False)
    watched = sandbox.run(sys.executable, *command)
    assert watched.returncode == bare.returncode != 0
    reported = [main_exception(event) for event in sandbox.events() if "exception" in event]
    assert [(e["type"], e["value"]) for e in reported] == [
        ("AppImportError", "Failed to find attribute 'nosuch' in 'shop'.")
    ]


def test_wsgiref(sandbox) -> None:
    with wsgiref(sandbox) as server:
        assert server.get("/fail?x")[0] == 500
        assert server.get("/ok?y") == (200, b"fine y")
    event = sandbox.event()
    assert main_exception(event)["mechanism"]["type"] == "wsgi"
    assert event["transaction"] == "generic WSGI request"
    assert event["tags"] == {"query": "x"}


EARLY = """
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
import wsgiref.handlers, sys
import errtrack, shop
make_server("127.0.0.1", int(sys.argv[1]), shop.app, WSGIServer, WSGIRequestHandler).serve_forever()
"""


def test_server_made_and_served_by_an_early_import(sandbox) -> None:
    """The application's sitecustomize, and names that were taken before anything of ours was needed."""
    sandbox.write("shop.py", RAW)
    sandbox.write("sitecustomize.py", "from wsgiref.simple_server import WSGIServer as taken")
    path = sandbox.write(
        "serve.py",
        EARLY.replace("WSGIRequestHandler, WSGIServer,", "WSGIRequestHandler,").replace(
            "import errtrack, shop", "import errtrack, shop\nfrom sitecustomize import taken as WSGIServer"
        ),
    )
    with Server(sandbox, sys.executable, str(path), "PORT", PYTHONPATH=str(sandbox.folder)) as server:
        assert server.get("/fail?x")[0] == 500
    assert sandbox.event()["tags"] == {"query": "x"}


def test_errors_while_iterating_and_in_close(sandbox) -> None:
    sandbox.write("shop.py", RAW)
    with Server.gunicorn(sandbox, "shop:app") as server:
        server.get("/generator?fail")
        server.get("/close?c")
        assert server.get("/generator?ok") == (200, b"firstsecond")
    events = sandbox.events()
    assert [(main_exception(e)["value"], e["tags"]["query"]) for e in events] == [
        ("mid-stream", "fail"),
        ("in close", "c"),
    ]


def test_exits_inside_a_request(sandbox) -> None:
    with wsgiref(sandbox) as server:
        server.get("/exit?one")
        server.get("/exit0?zero")
    events = sandbox.events()
    assert [(main_exception(e)["type"], e["tags"]["query"]) for e in events] == [("SystemExit", "one")]


def test_responses_are_the_same_as_without_us(sandbox) -> None:
    answers = []
    for launched in (False, True):
        with wsgiref(sandbox, launched=launched) as server:
            import http.client

            seen = []
            for path in ("/one", "/ok?a", "/generator?ok", "/file", "/fail?b"):
                connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
                connection.request("GET", path)
                answer = connection.getresponse()
                headers = {k.lower(): v for k, v in answer.getheaders() if k.lower() != "date"}
                seen.append((answer.status, headers, answer.read()))
                connection.close()
            answers.append(seen)
    assert answers[0] == answers[1]
    assert answers[1][0][1]["content-length"] == "9"  # a list of one piece keeps its length


def test_worker_timeout_is_reported_with_the_line_it_hung_at(sandbox) -> None:
    code = "import time\ndef app(environ, start_response):\n    if environ['PATH_INFO'] == '/slow':\n        time.sleep(30)\n    start_response('200 OK', [])\n    return []\n"
    sandbox.write("shop.py", code)
    with Server.gunicorn(sandbox, "shop:app", "--timeout", "1") as server:
        server.get("/slow")
    (event,) = [e for e in sandbox.events() if "exception" in e]  # the arbiter logs that it lost patience
    assert (main_exception(event)["type"], event["level"]) == ("SystemExit", "fatal")
    assert any(
        f.get("context_line", "").strip() == "time.sleep(30)"
        for f in main_exception(event)["stacktrace"]["frames"]
    )


def test_asgi_applications_are_left_alone() -> None:
    from errtrack_instrumentations import _wsgi

    async def app(scope, receive, send): ...

    assert _wsgi.watch(app) is app
    assert _wsgi.watch(None) is None


def test_watched_application_looks_like_itself() -> None:
    from errtrack_instrumentations import _wsgi

    class App:
        name = "mine"

        def __call__(self, environ, start_response):
            return []

    app = App()
    watched = _wsgi.watch(app)
    assert watched.name == "mine" and isinstance(watched, App) and _wsgi.watch(watched) is watched


URLS = [
    (
        {"wsgi.url_scheme": "http", "HTTP_HOST": "h", "SCRIPT_NAME": "/a", "PATH_INFO": "/b/c"},
        "http://h/a/b/c",
    ),
    ({"wsgi.url_scheme": "https", "HTTP_HOST": "h:443", "PATH_INFO": "/"}, "https://h/"),
    ({"wsgi.url_scheme": "http", "HTTP_HOST": "h:8000", "PATH_INFO": ""}, "http://h:8000/"),
    ({"wsgi.url_scheme": "http", "SERVER_NAME": "s", "SERVER_PORT": "80", "PATH_INFO": "/x"}, "http://s/x"),
    ({"wsgi.url_scheme": "http", "PATH_INFO": "/x"}, "http://unknown/x"),
    ({"wsgi.url_scheme": "http", "HTTP_HOST": "h", "PATH_INFO": "/\u00c3\u00a9"}, "http://h/\u00e9"),
]


@pytest.mark.parametrize(("environ", "url"), URLS)
def test_url(environ: dict[str, str], url: str) -> None:
    from errtrack_instrumentations import _wsgi

    assert _wsgi.url_of(environ) == url


def test_forwarded_host_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from errtrack import options
    from errtrack_instrumentations import _wsgi

    environ = {
        "wsgi.url_scheme": "http",
        "HTTP_HOST": "inner",
        "PATH_INFO": "/",
        "HTTP_X_FORWARDED_HOST": "example.com:443",
        "HTTP_X_FORWARDED_PROTO": "https",
    }
    assert _wsgi.url_of(environ) == "http://inner/"
    asked = options.resolve({"ERRTRACK_WSGI_USE_X_FORWARDED_FOR": "1"})
    monkeypatch.setattr(options, "_current", {"options": asked})
    assert _wsgi.url_of(environ) == "https://example.com/"


def test_continued_trace_is_on_the_event(sandbox) -> None:
    trace = "771a43a4192642f0b136d5159a501700"
    sandbox.write("shop.py", RAW)
    with Server.gunicorn(sandbox, "shop:app") as server:
        server.get("/fail?x", {"sentry-trace": trace + "-a0cfbde2bdff3adc-1"})
    context = sandbox.event()["contexts"]["trace"]
    assert (context["trace_id"], context["parent_span_id"]) == (trace, "a0cfbde2bdff3adc")


def test_configuration_told_once_a_process_and_survived(sandbox) -> None:
    sandbox.write("shop.py", RAW)
    with Server.gunicorn(sandbox, "shop:app", ERRTRACK_SAMPLE_RATE="lots") as server:
        assert server.get("/ok?x") == (200, b"fine x")
        server.get("/fail?x")
        server.get("/fail?y")
    assert server.output.count("sample_rate must be a number between 0 and 1") == 1
    assert len(sandbox.events()) == 2
    assert json.loads(sandbox.errtrack("config", "--json", ERRTRACK_SAMPLE_RATE="lots").stdout)["problems"]
