"""wsgi_servers: what is true of one server or of a few: how they end, where they listen, what they put around."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import sys
import time
from collections import Counter
from typing import Any

import pytest

from web import Server, main_exception
from web_apps import ASGI, FLASK
from wsgi_kinds import COMMANDS, app_events, is_there, serve, started, traced, transactions


def outcome(server: Server, path: str) -> Any:
    """What comes of a request that may end the server: the status, and whether there is a server after it."""
    try:
        status = server.get(path, timeout=8)[0]
    except socket.timeout:
        status = -1
    time.sleep(0.5)
    try:
        return status, server.get("/one", timeout=3) == (200, b"just this")
    except OSError:
        return status, False


@pytest.mark.parametrize(
    "kind", ["gunicorn-sync", "wsgiref", "waitress", "cheroot", "gevent", "tornado", "uwsgi"]
)
def test_exit_in_the_application_ends_what_it_ends_without_us(sandbox, kind: str) -> None:
    outcomes = []
    for launched in (False, True):
        with serve(sandbox, kind, launched=launched) as server:
            outcomes.append(outcome(server, "/exit?1"))
    assert outcomes[0] == outcomes[1]
    (event,) = [e for e in app_events(sandbox, kind) if "exception" in e]
    assert (main_exception(event)["type"], main_exception(event)["value"]) == ("SystemExit", "1")
    assert (event["level"], main_exception(event)["mechanism"]["type"]) == ("fatal", "wsgi")
    assert event["tags"] == {"query": "1"} and event["request"]["url"].endswith("/exit")


@pytest.mark.parametrize("kind", ["gunicorn-sync", "wsgiref"])
def test_successful_exits_are_no_errors_and_an_interrupt_amid_a_body_is(sandbox, kind: str) -> None:
    with serve(sandbox, kind) as server:
        for path in ("/exit", "/exit?0", "/interrupt?i"):
            server.get(path, timeout=5)
    event = sandbox.event()
    assert main_exception(event)["type"] == "KeyboardInterrupt"
    assert main_exception(event)["mechanism"] == {"type": "wsgi", "handled": False}
    assert event["tags"] == {"query": "i"}


def of_a_unix_socket(path: str, asked: str, headers: str = "") -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(path)
        client.sendall(b"GET %s HTTP/1.0\r\nHost: h\r\n%s\r\n" % (asked.encode(), headers.encode()))
        answer = b""
        while True:
            more = client.recv(10_000)
            if not more:
                return answer
            answer += more


UNIX = {
    "gunicorn": "import sys; from gunicorn.app.wsgiapp import run; sys.argv[1:] = ['--bind', 'unix:s', 'wsgi_app:app']; run()",
    "waitress": "import waitress, wsgi_app; waitress.serve(wsgi_app.app, unix_socket='s')",
}


@pytest.mark.parametrize("kind", sorted(UNIX))
def test_unix_socket_has_no_client_address(sandbox, kind: str) -> None:
    if not is_there(kind):
        pytest.skip(kind + " is not installed")
    # Somebody has to listen where `Server` looks for it.
    code = (
        "import socket\ndoor = socket.create_server(('127.0.0.1', int(__import__('sys').argv[1])))\n"
        + UNIX[kind]
    )
    sandbox.write("serve_unix.py", code)
    env = {"ERRTRACK_SEND_DEFAULT_PII": "1", "PYTHONPATH": str(sandbox.folder)}
    serve(sandbox, "wsgiref")  # puts the application there
    with Server(sandbox, sys.executable, "serve_unix.py", "PORT", **env) as server:
        deadline = time.monotonic() + 30
        while True:
            try:
                assert b" 500 " in of_a_unix_socket(str(sandbox.folder / "s"), "/fail?u")
                of_a_unix_socket(str(sandbox.folder / "s"), "/fail?p", "X-Real-IP: 203.0.113.8\r\n")
                break
            except OSError:
                assert time.monotonic() < deadline, server.output
                time.sleep(0.1)
    event, behind_a_proxy = sandbox.events()
    assert event["user"] == {"id": "u"}
    assert behind_a_proxy["user"] == {"id": "p", "ip_address": "203.0.113.8"}
    assert event["request"]["env"].get("REMOTE_ADDR") in (None, "localhost")  # waitress says so


@pytest.mark.parametrize(
    "kind",
    ["gunicorn-gthread", "gunicorn-gevent", "waitress", "wsgiref", "cheroot", "tornado-threads", "uwsgi"],
)
def test_environs_and_scopes_are_let_go(sandbox, kind: str) -> None:
    """Also on one connection that is kept, after failures, and after bodies that were cut off."""
    paths = ["/ok?k", "/pieces?k", "/file?k", "/unsized?k"] + (["/fail?k"] if "tornado" not in kind else [])
    with serve(sandbox, kind) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        for _ in range(20):
            for path in paths:
                try:
                    connection.request("GET", path)
                    connection.getresponse().read()
                except http.client.RemoteDisconnected:  # after a failure, by some, or in place of its answer
                    connection.close()
                    if path != "/fail?k":
                        connection.request("GET", path)
                        connection.getresponse().read()
        connection.close()
        count, probes, scopes = map(int, server.get("/left")[1].split())
    assert count == 20 * len(paths) + 1
    # That of the request itself; a thread may hold what it did last.
    assert probes <= 3 and scopes <= 3, (probes, scopes)
    assert len(sandbox.events()) == (20 if "tornado" not in kind else 0)


def test_mounted_below_a_prefix(sandbox) -> None:
    with serve(sandbox, "gunicorn-sync", SCRIPT_NAME="/a") as server:
        assert server.get("/a/ok?x") == (200, b"fine x")
        server.get("/a/b/fail?q=1")
    event = sandbox.event()
    assert event["request"]["url"] == "http://127.0.0.1:%d/a/b/fail" % server.port
    assert event["request"]["query_string"] == "q=1"


@pytest.mark.parametrize("kind", ["gunicorn-gthread", "gunicorn-gevent", "waitress", "cheroot", "gevent"])
def test_requests_on_one_connection_share_nothing(sandbox, kind: str) -> None:
    with serve(sandbox, kind) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        for path in ("/tagging", "/message"):
            connection.request("GET", path)
            connection.getresponse().read()
        connection.close()
    event = sandbox.event()
    assert event["logentry"]["formatted"] == "told" and "left" not in event.get("tags", {})
    assert "left behind" not in json.dumps(event["breadcrumbs"])


def test_request_within_a_request(sandbox) -> None:
    with serve(sandbox, "gunicorn-sync") as server:
        server.get("/within?w")
    inner, outer = sandbox.events()
    assert (main_exception(inner)["value"], inner["request"]["url"]) == ("inner", "http://elsewhere/inner")
    assert inner["tags"] == {"query": "w", "inner": "yes"}
    assert (main_exception(outer)["value"], outer["tags"]) == ("outer", {"query": "w"})
    assert outer["request"]["url"].endswith("/within")


@pytest.mark.parametrize(
    "kind",
    [
        "gunicorn-gthread",
        "gunicorn-gevent",
        "gevent",
        "waitress",
        "tornado-threads",
        "uvicorn-wsgi",
        "a2wsgi",
    ],
)
def test_two_hundred_bodies_at_once_keep_apart(sandbox, kind: str) -> None:
    """They are made by turns, on one thread or each piece on another."""
    more = ("--threads", "8") if kind == "uwsgi" else ()
    with serve(sandbox, kind, *more) as server:
        answers = server.get_all(["/pieces?n%d" % n for n in range(200)], 40)
    assert Counter(answers) == {(200, b"firstsecond"): 200}
    events = sandbox.events()
    assert sorted(e["logentry"]["formatted"] for e in events) == sorted("between n%d" % n for n in range(200))
    for event in events:
        query = event["logentry"]["formatted"].split()[1]
        assert (event["tags"], event["user"]["id"]) == ({"query": query}, query)
        assert [c["message"] for c in event["breadcrumbs"]["values"] if "category" not in c] == [query]
        assert event["request"]["query_string"] == query
    assert len({e["contexts"]["trace"]["trace_id"] for e in events}) == 200


@pytest.mark.parametrize(("methods", "kept"), [("head", ["HEAD"]), ("get,options", ["GET", "OPTIONS"])])
def test_methods_that_are_transactions_may_be_chosen(sandbox, methods: str, kept: list[str]) -> None:
    env = traced(sandbox, ERRTRACK_HTTP_METHODS_TO_CAPTURE=methods)
    with serve(sandbox, "wsgiref", **env) as server:
        for method in ("GET", "HEAD", "OPTIONS", "POST"):
            server.get("/one?" + method, method=method)
    assert sorted(each.split()[0] for each in transactions(sandbox)) == kept


def test_proxies_are_believed_only_when_asked_for(sandbox) -> None:
    headers = {"Host": "inner:81", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "example.com"}
    with serve(sandbox, "wsgiref") as server:
        server.get("/fail?x", headers)
    assert sandbox.event()["request"]["url"] == "http://inner:81/fail"


@pytest.mark.parametrize(
    ("proto", "host", "url"),
    [
        ("https", "example.com:443", "https://example.com/fail"),
        ("http", "example.com:80", "http://example.com/fail"),
        ("https", "example.com:80", "https://example.com:80/fail"),
    ],
)
def test_default_ports_of_proxies_are_left_out(sandbox, proto: str, host: str, url: str) -> None:
    with serve(sandbox, "wsgiref", ERRTRACK_WSGI_USE_X_FORWARDED_FOR="1") as server:
        server.get("/fail?x", {"X-Forwarded-Proto": proto, "X-Forwarded-Host": host})
    assert sandbox.event()["request"]["url"] == url


SENDFILE = """
import os, socket
import wsgi_app
original = socket.socket.sendfile
def counted(self, *args, **kwargs):
    os.write(1, b"sendfile\\n")
    return original(self, *args, **kwargs)
socket.socket.sendfile = counted
app = wsgi_app.app
"""


def test_files_are_sent_by_the_kernel_as_without_us(sandbox) -> None:
    """gunicorn asks the class of what it gets, uWSGI the identity."""
    for launched in (False, True):
        serve(sandbox, "wsgiref")
        sandbox.write("counting.py", SENDFILE)
        with started(sandbox, "gunicorn-sync", "counting:app", launched=launched) as server:
            assert server.get("/file")[1].startswith(b'"""A WSGI application')
            assert server.get("/own")[1].startswith(b'"""A WSGI application')
        assert server.output.count("sendfile") == 1
    with serve(sandbox, "uwsgi") as server:
        assert server.get("/file")[1].startswith(b'"""A WSGI application')
        assert server.get("/own")[1].startswith(b'"""A WSGI application')
    assert server.output.count("via sendfile()") == 1


@pytest.mark.parametrize("kind", ["waitress", "gevent", "wsgiref"])
def test_list_of_one_piece_keeps_its_length(sandbox, kind: str) -> None:
    with serve(sandbox, kind) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("GET", "/one")
        answer = connection.getresponse()
        assert (answer.getheader("Content-Length"), answer.read()) == ("9", b"just this")
        connection.close()


def test_workers_that_are_begun_anew(sandbox) -> None:
    """SIGHUP: the master stays, the workers and the application in them are new."""
    with serve(sandbox, "gunicorn-sync") as server:
        server.get("/fail?old")
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 40
        while server.output.count("Booting worker") < 2 or server.output.count("Worker exiting") < 1:
            assert time.monotonic() < deadline, server.output
            time.sleep(0.05)
        assert server.get("/fail?new")[0] == 500
    assert [event["tags"]["query"] for event in sandbox.events()] == ["old", "new"]


NATIVE_TORNADO = """
import errtrack, tornado.web
class Fail(tornado.web.RequestHandler):
    def get(self):
        errtrack.set_tag("query", self.request.query)
        if self.request.path == "/fail": raise RuntimeError("failed")
        self.write("fine")
app = tornado.web.Application([("/.*", Fail)])
"""


def test_tornado_application_in_gunicorns_worker_of_that_name(sandbox) -> None:
    sandbox.write("native.py", NATIVE_TORNADO)
    with started(sandbox, "gunicorn-tornado", "native:app") as server:
        assert server.get("/ok") == (200, b"fine")
        assert server.get("/fail?x")[0] == 500
    event = sandbox.event()
    assert (main_exception(event)["mechanism"]["type"], event["tags"]) == ("tornado", {"query": "x"})


def test_asgi_application_in_gunicorns_own_worker(sandbox) -> None:
    if not is_there("gunicorn.workers.gasgi"):
        pytest.skip("this gunicorn has no worker for ASGI applications")
    sandbox.write("native.py", ASGI)
    mixed = [path % n for n in range(100) for path in ("/fail?n%d", "/ok?n%d")]
    command = (*COMMANDS["gunicorn-sync"][1], "-k", "asgi", "native:app")
    with Server(sandbox, sys.executable, *command) as server:
        assert Counter(status for status, _ in server.get_all(mixed, 40)) == {200: 100, 500: 100}
    events = sandbox.events()
    assert len(events) == 100
    for event in events:
        query = event["request"]["query_string"]
        assert (main_exception(event)["value"], event["tags"]) == ("failed " + query, {"query": query})
        assert main_exception(event)["mechanism"]["type"] == "asgi"


CHERRYPY = """
import sys
import cherrypy, errtrack

class Shop:
    @cherrypy.expose
    def ok(self): return "fine"
    @cherrypy.expose
    def fail(self, n):
        errtrack.set_tag("query", n)
        raise RuntimeError("failed " + n)
    @cherrypy.expose
    def gone(self): raise cherrypy.HTTPError(503)
    @cherrypy.expose
    def moved(self): raise cherrypy.HTTPRedirect("/ok")
    @cherrypy.expose
    def stream(self):
        errtrack.set_tag("query", "s")
        def pieces():
            yield "first"
            raise RuntimeError("mid-stream")
        return pieces()
    stream._cp_config = {"response.stream": True}

cherrypy.config.update({"server.socket_port": int(sys.argv[1]), "engine.autoreload.on": False})
cherrypy.quickstart(Shop())
"""


@pytest.mark.parametrize("launched", [False, True])
def test_pages_of_cherrypy_under_its_own_server(sandbox, launched: bool) -> None:
    if not is_there("cherrypy"):
        pytest.skip("CherryPy is not installed")
    path = sandbox.write("pages.py", CHERRYPY)
    env = {"PYTHONWARNINGS": "ignore"}
    with Server(sandbox, sys.executable, str(path), "PORT", launched=launched, **env) as server:
        paths = ("/ok", "/fail?n=1", "/gone", "/moved", "/nowhere", "/stream")
        assert [server.get(path)[0] for path in paths] == [200, 500, 503, 303, 404, 0]
    events = sandbox.events()
    assert [
        (main_exception(e)["value"], main_exception(e)["mechanism"]["type"], e["tags"]) for e in events
    ] == (
        [("failed 1", "cherrypy", {"query": "1"}), ("mid-stream", "wsgi", {"query": "s"})] if launched else []
    )


DJANGO = """
import django, errtrack, time
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x")
django.setup(set_prefix=False)

def fail(request):
    errtrack.set_tag("query", request.GET.urlencode(safe="") .rstrip("="))
    raise RuntimeError("failed " + request.META["QUERY_STRING"])

def stream(request):
    errtrack.set_tag("query", request.META["QUERY_STRING"])
    def pieces():
        yield b"first"
        raise RuntimeError("mid-stream")
    return StreamingHttpResponse(pieces())

urlpatterns = [
    path("ok", lambda request: HttpResponse("fine")), path("fail", fail), path("stream", stream),
]
app = WSGIHandler()
"""
STREAM = """
@app.get("/stream")
def stream():
    errtrack.set_tag("query", flask.request.query_string.decode())
    def pieces():
        yield "first"
        raise RuntimeError("mid-stream")
    return flask.Response(pieces())
"""
#: Name -> its text, the mechanism of a failing view, and the transactions of /ok, /fail and /stream.
FRAMEWORKS = {
    "flask": (FLASK + STREAM, "flask", ["ok", "fail", "stream"]),
    "django": (DJANGO, "django", ["/ok", "/fail", "/stream"]),
}
BEHIND = (
    *("gunicorn-sync", "gunicorn-preload", "gunicorn-gthread", "gunicorn-gevent", "gunicorn-gevent_pywsgi"),
    *("gunicorn-tornado", "waitress", "wsgiref", "werkzeug", "cherrypy", "tornado-threads", "uwsgi"),
    *("hypercorn-wsgi", "uvicorn-wsgi", "asgiref", "a2wsgi", "starlette"),
)


@pytest.mark.parametrize("framework", sorted(FRAMEWORKS))
@pytest.mark.parametrize("kind", BEHIND)
def test_framework_behind_a_server_is_one_event_and_one_transaction(
    sandbox, kind: str, framework: str
) -> None:
    if not is_there(framework):
        pytest.skip(framework + " is not installed")
    text, mechanism, names = FRAMEWORKS[framework]
    sandbox.write("shop.py", text)
    with started(sandbox, kind, "shop:app", **traced(sandbox)) as server:
        assert server.get("/ok?o") == (200, b"fine")
        assert server.get("/fail?f")[0] == 500
        try:
            server.get("/stream?s", timeout=3)
        except socket.timeout:  # Tornado's container does not answer
            assert "tornado" in kind
        assert server.get("/ok?p") == (200, b"fine")
        deadline = time.monotonic() + 20
        while len(transactions(sandbox)) < 4 and time.monotonic() < deadline:
            time.sleep(0.1)  # servers close a body after the answer is out
    events = app_events(sandbox, kind)
    assert not [e["logentry"] for e in events if "exception" not in e]
    assert [(main_exception(e)["value"], e.get("tags")) for e in events] == [
        ("failed f", {"query": "f"}),
        ("mid-stream", {"query": "s"}),
    ]
    assert main_exception(events[0])["mechanism"]["type"] == mechanism
    kept = transactions(sandbox)
    assert sorted(kept) == ["GET /fail?f", "GET /ok?o", "GET /ok?p", "GET /stream?s"]
    assert [kept[each]["transaction"] for each in ("GET /ok?o", "GET /fail?f", "GET /stream?s")] == names
    assert [e["transaction"] for e in events] == names[1:]
    for event, each in zip(events, ("GET /fail?f", "GET /stream?s")):
        trace = kept[each]["contexts"]["trace"]
        assert event["contexts"]["trace"]["trace_id"] == trace["trace_id"]
        assert trace["status"] == "internal_error"


#: What layers above the application do with its body, which they may leave in the middle.
LAYERS = """
import itertools, os
def app(environ, start_response):
    def pieces():
        try:
            for number in range(5):
                yield b"%d" % number
        finally:
            print("closed", flush=True)
    start_response("200 OK", [])
    return pieces()
if os.environ.get("WATCHED"):
    from errtrack_run.by_hand import wsgi
    app = wsgi(app)
environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.url_scheme": "http", "SERVER_NAME": "h", "SERVER_PORT": "80"}
def body():
    return app(dict(environ), lambda *args: None)
def delegating(pieces):
    yield from pieces
left = body()
layer = delegating(left)
print(next(layer), next(layer))
layer.close()
print("left", list(left))
peeked = body()
print(next(iter(peeked)), b"".join(itertools.chain(peeked)))
halted = body()
for piece in halted:
    break
print(piece, b"".join(halted))
ended = body()
print(b"".join(delegating(ended)))
ended.close()
"""


def test_layers_that_delegate_to_a_body_or_peek_into_it_find_it_as_without_us(sandbox) -> None:
    bare = sandbox.python(LAYERS, launched=False)
    ours = sandbox.python(LAYERS, WATCHED="1")
    assert (bare.stderr, bare.stdout.count("closed")) == ("", 4)
    assert (ours.returncode, ours.stdout, ours.stderr) == (bare.returncode, bare.stdout, bare.stderr)
