"""wsgi_servers: the same application behind every server: reported once, served as without us."""

from __future__ import annotations

import http.client
import importlib
import socket
import sys
from typing import Any

import pytest

from web import Server, main_exception
from web_apps import RAW

SERVE = """
import sys
sys.path.insert(0, ".")
kind, port = sys.argv[1], int(sys.argv[2])
import warnings
warnings.simplefilter("ignore")
if kind == "eventlet":
    import eventlet
    eventlet.monkey_patch()
if kind == "gevent":
    from gevent import monkey
    monkey.patch_all()
from shop import app

if kind == "waitress":
    import waitress
    waitress.serve(app, host="127.0.0.1", port=port)
elif kind == "werkzeug":
    from werkzeug.serving import run_simple
    run_simple("127.0.0.1", port, app, threaded=True)
elif kind == "debugger":
    from werkzeug.serving import run_simple
    run_simple("127.0.0.1", port, app, use_debugger=True, use_reloader=True)
elif kind == "cheroot":
    from cheroot.wsgi import Server
    Server(("127.0.0.1", port), app).start()
elif kind == "gevent":
    from gevent.pywsgi import WSGIServer
    WSGIServer(("127.0.0.1", port), app).serve_forever()
elif kind == "eventlet":
    import eventlet.wsgi
    eventlet.wsgi.server(eventlet.listen(("127.0.0.1", port)), app)
elif kind == "tornado":
    import asyncio
    from tornado.httpserver import HTTPServer
    from tornado.wsgi import WSGIContainer
    async def main():
        HTTPServer(WSGIContainer(app)).listen(port, "127.0.0.1")
        await asyncio.Event().wait()
    asyncio.run(main())
elif kind == "wsgiref":
    from wsgiref.simple_server import WSGIServer, WSGIRequestHandler
    class Own(WSGIServer):
        def get_app(self): return app
    Own(("127.0.0.1", port), WSGIRequestHandler).serve_forever()
"""

#: Server -> the module that has to be there.
KINDS = {
    "waitress": "waitress",
    "werkzeug": "werkzeug",
    "debugger": "werkzeug",
    "cheroot": "cheroot",
    "gevent": "gevent",
    "eventlet": "eventlet",
    "tornado": "tornado",
    "wsgiref": "wsgiref",
}


def serve(sandbox, kind: str, launched: bool = True, **env: str) -> Server:
    if kind != "eventlet":
        pytest.importorskip(KINDS[kind])
    elif importlib.util.find_spec("eventlet") is None:  # its import warns
        pytest.skip("eventlet is not installed")
    sandbox.write("shop.py", RAW)
    path = sandbox.write("serve.py", SERVE)
    return Server(sandbox, sys.executable, str(path), kind, "PORT", launched=launched, **env)


def answers(server: Server) -> list[Any]:
    """What a client sees, less what differs from one answer to the next."""
    seen = []
    for path in ("/one", "/ok?a", "/generator?ok", "/file", "/nothing", "/sized"):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        headers = {k.lower(): v for k, v in answer.getheaders() if k.lower() not in ("date", "etag")}
        seen.append((path, answer.status, headers, answer.read()))
        connection.close()
    return seen


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_failure_once_and_answers_as_without_us(sandbox, kind: str) -> None:
    with serve(sandbox, kind, launched=False) as server:
        bare = answers(server)
    with serve(sandbox, kind) as server:
        ours = answers(server)
        for path in ("/fail?f", "/generator?fail", "/close?c"):
            try:
                assert server.get(path, timeout=1 if kind == "tornado" else 30)[0] in (500, 200, 0)
            except socket.timeout:  # TimeoutError since 3.10: tornado's container just drops the connection
                assert kind == "tornado"
        assert server.get("/ok?again") == (200, b"fine again")
    assert ours == bare
    events = sandbox.events()
    if kind == "eventlet":  # some of its releases log that they have failed at patching a part of Python
        events = [e for e in events if "request" in e]
    assert [e.get("logentry") for e in events if "exception" not in e] == []
    assert [
        (main_exception(e)["value"], main_exception(e)["mechanism"]["type"], e.get("tags")) for e in events
    ] == [
        ("failed f", "wsgi", {"query": "f"}),
        ("mid-stream", "wsgi", {"query": "fail"}),
        ("in close", "wsgi", {"query": "c"}),
    ]
    first = events[0]
    assert main_exception(first)["mechanism"]["handled"] is False
    assert first["request"]["url"] == "http://127.0.0.1:%d/fail" % server.port
    assert (first["request"]["method"], first["request"]["query_string"]) == ("GET", "f")
    assert first["transaction"] == "generic WSGI request"
    assert [c["message"] for c in first["breadcrumbs"]["values"] if "category" not in c] == ["f"]


@pytest.mark.parametrize("kind", ["waitress", "gevent"])
def test_client_that_goes_away_is_no_error(sandbox, kind: str) -> None:
    with serve(sandbox, kind) as server:
        connection = socket.create_connection(("127.0.0.1", server.port), 10)
        connection.sendall(b"GET /endless?e HTTP/1.1\r\nHost: h\r\n\r\n")
        assert connection.recv(1000)
        connection.close()
        server.wait_for("generator closed e")
    assert sandbox.events() == []
