"""asgi_servers: any ASGI application at the door of its server: reported once, served as without us."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import pickle
import subprocess
import sys
import time
import warnings
from collections import Counter
from typing import Any

import pytest

from web import OLD_UVICORN, Server, main_exception
from web_apps import ASGI

pytest.importorskip("uvicorn")

UVICORN = ("-m", "uvicorn", "--port", "PORT")
HYPERCORN = ("-m", "hypercorn", "--bind", "127.0.0.1:PORT")
DAPHNE = ("-m", "daphne", "-p", "PORT")
GRANIAN = ("-m", "granian", "--port", "PORT", "--interface")
WORKERS = ("-m", "gunicorn", "--bind", "127.0.0.1:PORT", "--worker-class")

#: Name -> the module that has to be there, and the command.
SERVERS = {
    "uvicorn": ("uvicorn", (*UVICORN, "shop:app")),
    "uvicorn-h11": ("uvicorn", (*UVICORN, "--http", "h11", "shop:own")),
    "uvicorn-asgi2": ("uvicorn", (*UVICORN, "shop:double")),
    "uvicorn-returning": (
        "uvicorn",
        (*UVICORN, "--no-proxy-headers", "--interface", "asgi3", "shop:returning"),
    ),
    "uvicorn-no-lifespan": ("uvicorn", (*UVICORN, "shop:without_lifespan")),
    "uvicorn-workers": ("uvicorn", (*UVICORN, "--workers", "2", "shop:app")),
    "hypercorn": ("hypercorn", (*HYPERCORN, "shop:app")),
    "daphne": ("daphne", (*DAPHNE, "shop:app")),
    "granian": ("granian", (*GRANIAN, "asgi", "shop:app")),
    "granian-no-lifespan": ("granian", (*GRANIAN, "asginl", "--workers", "2", "shop:app")),
    "gunicorn-uvicorn": ("gunicorn", (*WORKERS, "uvicorn.workers.UvicornWorker", "shop:app")),
    "gunicorn-uvicorn-preload": (
        "gunicorn",
        (*WORKERS, "uvicorn.workers.UvicornWorker", "--preload", "shop:app"),
    ),
    "gunicorn-asgi": ("gunicorn.workers.gasgi", (*WORKERS, "asgi", "shop:app")),
    "gunicorn-uvicorn-object": ("gunicorn", (*WORKERS, "uvicorn.workers.UvicornWorker", "shop:own")),
}


def serve(sandbox, kind: str, launched: bool = True, **env: str) -> Server:
    module, command = SERVERS[kind]
    if importlib.util.find_spec(module.partition(".")[0]) is None or importlib.util.find_spec(module) is None:
        pytest.skip(module + " is not installed")
    sandbox.write("shop.py", ASGI)
    env.setdefault("PYTHONWARNINGS", "ignore")
    return Server(sandbox, sys.executable, *command, launched=launched, **env)


@pytest.mark.parametrize("kind", sorted(SERVERS))
def test_each_failure_once(sandbox, kind: str) -> None:
    failures = {"/fail?b": "failed b", "/stream?c": "mid-stream c", "/cause?d": "caused"}
    if kind == "daphne":
        del failures["/stream?c"]  # after one of these it answers nobody any more, with us or without
    with serve(sandbox, kind) as server:
        assert server.get("/ok?a") == (200, b"fine a")
        assert {path: server.get(path)[0] for path in failures if "stream" not in path} == {
            path: 500 for path in failures if "stream" not in path
        }
        if "/stream?c" in failures:
            server.get("/stream?c")
    # Before its release 24 gunicorn logs as an error that a worker ends by the signal that it was sent.
    events = [event for event in sandbox.events() if event.get("logger") != "gunicorn.error"]
    events.sort(key=lambda event: event["request"]["query_string"])
    assert [(main_exception(e)["value"], e.get("tags")) for e in events] == [
        (value, {"query": path[-1]}) for path, value in failures.items()
    ], [e.get("logentry") for e in events]
    first = events[0]
    assert main_exception(first)["mechanism"]["type"] == "asgi"
    assert main_exception(first)["mechanism"]["handled"] is False
    assert (first["transaction"], first["transaction_info"]) == ("/fail", {"source": "url"})
    assert first["request"]["url"] == "http://127.0.0.1:%d/fail" % server.port
    assert (first["request"]["method"], first["request"]["query_string"]) == ("GET", "b")
    assert [v["type"] for v in events[-1]["exception"]["values"]] == ["KeyError", "RuntimeError"]


@pytest.mark.parametrize("kind", ["uvicorn", "hypercorn"])
def test_two_hundred_requests_at_once_keep_apart(sandbox, kind: str) -> None:
    mixed = [path % n for n in range(100) for path in ("/fail?n%d", "/ok?n%d")]
    with serve(sandbox, kind) as server:
        assert Counter(status for status, _ in server.get_all(mixed, 40)) == {200: 100, 500: 100}
    events = sandbox.events()
    assert len(events) == 100
    for event in events:
        query = event["request"]["query_string"]
        assert main_exception(event)["value"] == "failed " + query
        assert (event["tags"], event["user"]) == ({"query": query}, {"id": query})
        assert [c["message"] for c in event["breadcrumbs"]["values"] if "category" not in c] == [query]
    assert len({e["contexts"]["trace"]["trace_id"] for e in events}) == 100


def test_wsgi_application_that_uvicorn_runs(sandbox) -> None:
    sandbox.write("shop.py", ASGI)
    env = {"PYTHONWARNINGS": "ignore"}
    with Server.uvicorn(sandbox, "shop:wsgi", "--interface", "wsgi", **env) as server:
        assert server.get("/ok?a") == (200, b"fine a")
        assert server.get("/fail?b")[0] == 500
    event = sandbox.event()
    assert event["tags"] == {"query": "b"} and event["request"]["query_string"] == "b"


def test_wsgi_application_that_granian_runs(sandbox) -> None:
    pytest.importorskip("granian")
    sandbox.write("shop.py", ASGI)
    with Server(sandbox, sys.executable, *GRANIAN, "wsgi", "shop:wsgi") as server:
        assert server.get("/ok?a") == (200, b"fine a")
        assert server.get("/fail?b")[0] == 500
    event = sandbox.event()
    assert main_exception(event)["mechanism"]["type"] == "wsgi"
    assert event["tags"] == {"query": "b"} and event["request"]["query_string"] == "b"


RSGI = """
async def app(scope, protocol):
    raise RuntimeError("rsgi")
async def exiting(scope, receive, send):
    raise SystemExit(3)
"""


@pytest.mark.parametrize("interface", ["rsgi", "asginl"])
def test_what_nobody_else_reports_under_granian_is_reported_as_it_is_logged(sandbox, interface: str) -> None:
    pytest.importorskip("granian")
    sandbox.write("shop.py", RSGI)
    app = "shop:app" if interface == "rsgi" else "shop:exiting"
    with Server(sandbox, sys.executable, *GRANIAN, interface, app) as server:
        server.get("/")
    text = sandbox.event()["logentry"]["message"]
    assert text.startswith("Application callable raised an exception")


def failing_start(sandbox, kind: str, failing: str, **env: str) -> Any:
    sandbox.write("shop.py", ASGI)
    server = serve(sandbox, kind, FAILING=failing, **env)
    if failing == "shutdown":
        with server:
            server.get("/ok?x")
        return sandbox.event()
    command, options = server._command, server._options
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **options)
    assert "in lifespan." + failing in done.stdout + done.stderr or kind == "hypercorn"
    return sandbox.event()


@pytest.mark.parametrize("failing", ["startup", "shutdown"])
@pytest.mark.parametrize("silent", ["", "1"])
def test_failing_lifespan_is_one_event(sandbox, failing: str, silent: str) -> None:
    if failing == "startup" and silent:
        env = {
            "FAILING": failing,
            "SILENT": silent,
        }  # the server thinks that there is no lifespan, and goes on
        with serve(sandbox, "uvicorn", **env) as server:
            assert server.get("/ok?x")[0] == 200
        event = sandbox.event()
    else:
        event = failing_start(sandbox, "uvicorn", failing, SILENT=silent)
    error = main_exception(event)
    assert (error["value"], error["mechanism"]["type"]) == ("in lifespan." + failing, "asgi")
    assert error["mechanism"]["handled"] is False


IMPATIENT = """
import asyncio, traceback

async def app(scope, receive, send):
    if scope["type"] != "lifespan":
        print("waiting", flush=True)
        return await asyncio.sleep(60)
    try:  # as Starlette does it
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
    except BaseException:
        await send({"type": "lifespan.shutdown.failed", "message": traceback.format_exc()})
        raise
"""


def test_ctrl_c_twice_is_no_error(sandbox) -> None:
    import signal
    import socket

    sandbox.write("shop.py", IMPATIENT)
    with Server.uvicorn(sandbox, "shop:app") as server:
        connection = socket.create_connection(("127.0.0.1", server.port), 10)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        for told in ("waiting\n", "Waiting for connections to close"):
            deadline = time.monotonic() + 20
            while told not in server.output:
                assert time.monotonic() < deadline, server.output
                time.sleep(0.02)
            server.process.send_signal(signal.SIGINT)
        connection.close()  # since 3.12 asyncio's servers wait for their connections
        server.process.wait(20)
    assert "Traceback" in server.output
    assert sandbox.events() == []


def test_failing_start_under_hypercorn_is_one_event(sandbox) -> None:
    pytest.importorskip("hypercorn")
    assert main_exception(failing_start(sandbox, "hypercorn", "startup"))["value"] == "in lifespan.startup"


def test_client_that_goes_away_is_no_error_but_an_error_of_the_same_kind_is(sandbox) -> None:
    import socket

    with serve(sandbox, "uvicorn") as server:
        connection = socket.create_connection(("127.0.0.1", server.port), 10)
        connection.sendall(b"GET /endless?e HTTP/1.1\r\nHost: h\r\n\r\n")
        assert connection.recv(1000)
        connection.close()
        server.wait_for("left e")
        deadline = time.monotonic() + 30
        while not sandbox.events() and time.monotonic() < deadline:
            time.sleep(0.2)
    assert main_exception(sandbox.event())["value"] == "not of the server's making"


@pytest.mark.parametrize("kind", ["uvicorn", "hypercorn", "daphne", "gunicorn-asgi"])
def test_websocket_that_fails_and_one_that_is_left(sandbox, kind: str) -> None:
    clients = pytest.importorskip("websockets.sync.client")
    with serve(sandbox, kind) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in ("/ws?fails", "/ws?leaves"):
            with clients.connect("ws://127.0.0.1:%d%s" % (server.port, path)) as websocket:
                if path == "/ws?fails":
                    websocket.send("go")
                    try:
                        websocket.recv(20)
                    except Exception:
                        pass
    # Old releases of uvicorn log that a client of new releases of websockets has hung up.
    (event,) = (e for e in sandbox.events() if not (OLD_UVICORN and "no close frame" in json.dumps(e)))
    assert main_exception(event)["value"] == "websocket"
    assert event["tags"] == {"query": "fails", "asgi.type": "websocket"}
    assert event["request"]["url"].startswith("ws://127.0.0.1:")


def test_trace_is_continued_and_a_head_request_reported_too(sandbox) -> None:
    trace = "771a43a4192642f0b136d5159a501700"
    with serve(sandbox, "uvicorn") as server:
        server.get("/fail?a", {"sentry-trace": trace + "-a0cfbde2bdff3adc-1"})
        server.get("/fail?b", {"traceparent": "00-%s-a0cfbde2bdff3adc-01" % trace}, method="HEAD")
        server.get("/fail?c")
    first, second, third = (event["contexts"]["trace"] for event in sandbox.events())
    assert (first["trace_id"], first["parent_span_id"]) == (trace, "a0cfbde2bdff3adc")
    assert second["trace_id"] == trace and third["trace_id"] != trace


async def plain(scope: Any, receive: Any, send: Any) -> None: ...


def test_watched_application_is_itself_to_who_looks() -> None:
    from errtrack_instrumentations import _asgi

    class App:
        name = "mine"

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    app = App()
    watched = _asgi.watch(app)
    assert watched.name == "mine" and isinstance(watched, App) and _asgi.watch(watched) is watched
    assert asyncio.iscoroutinefunction(watched.__call__) if sys.version_info < (3, 14) else True
    assert pickle.loads(pickle.dumps(_asgi.watch(plain))) is plain
    with pytest.raises(TypeError):
        _asgi.watch(plain)()
    assert _asgi.watch(None) is None


URLS = [
    ({"headers": [(b"host", b"h")], "path": "/a"}, "http://h/a"),
    ({"headers": [(b"host", b"h:443")], "path": "/a", "scheme": "https"}, "https://h/a"),
    ({"server": ("s", 8000), "path": "/a"}, "http://s:8000/a"),
    ({"server": ("s", None), "path": "/a"}, "http://s/a"),
    ({"server": None, "path": "/a"}, "http://unknown/a"),
    ({"server": ("s", 80), "path": "/a", "root_path": "/mounted"}, "http://s/mounted/a"),
    ({"server": ("s", 80), "path": "/mounted/a", "root_path": "/mounted"}, "http://s/mounted/a"),
    ({"server": ("s", 80), "path": "/mountedness", "root_path": "/mounted"}, "http://s/mounted/mountedness"),
]


@pytest.mark.parametrize(("scope", "url"), URLS)
def test_url(scope: dict[str, Any], url: str) -> None:
    from errtrack_instrumentations import _asgi

    assert _asgi.url_of({"type": "http", **scope}) == url


def test_headers_of_one_name_are_joined(watching) -> None:
    from errtrack_instrumentations import _asgi

    event: dict[str, Any] = {}
    headers = [(b"accept", b"a"), (b"accept", b"b"), (b"cookie", b"c=1"), (b"cookie", b"d=2")]
    _asgi.describe(event, {"type": "http", "path": "/", "headers": headers, "query_string": b""})
    assert event["request"]["headers"] == {"accept": "a, b", "cookie": "[Filtered]"}
    assert "query_string" not in event["request"] and "user" not in event


def test_send_of_a_server_that_fails_is_no_error(watching) -> None:
    from errtrack_instrumentations import _asgi

    started = watching()

    async def send(message: Any) -> None:
        raise OSError("broken pipe")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start"})

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise OSError("disk full")

    for each in (app, broken):
        with pytest.raises(OSError):
            asyncio.run(_asgi.watch(each)({"type": "http", "path": "/"}, None, send))
    assert main_exception(started.event())["value"] == "disk full"


def test_scope_is_let_go_and_nothing_grows(watching) -> None:
    import gc
    import weakref

    from errtrack import get_isolation_scope
    from errtrack_instrumentations import _asgi

    watching()
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(weakref.ref(get_isolation_scope()))

    async def many() -> None:
        watched = _asgi.watch(app)
        for _ in range(1000):
            scope: dict[str, Any] = {"type": "http", "path": "/"}
            await watched(scope, None, None)
            assert _asgi.KEY not in scope

    asyncio.run(many())
    gc.collect()
    assert [reference for reference in seen if reference() is not None] == []
