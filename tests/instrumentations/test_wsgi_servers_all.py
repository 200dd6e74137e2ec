"""wsgi_servers: the same application behind every server: reported once, traced once, served as without us."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from web import Server, main_exception
from wsgi_kinds import BRIDGES, KINDS, started

APP = Path(__file__).with_name("wsgi_app.py")

#: They never answer where the application has failed: the connection stays open.
SILENT = ("tornado", "tornado-threads", "gunicorn-tornado")
#: They never call `close`.
UNCLOSED = ("asgiref", "starlette")
#: ASGI servers, which have the request in hand when the bridge gets it: it is named by its path.
ASGI = ("uvicorn-wsgi", *BRIDGES)
#: Errors of the server's own making, with us or without: it raises what `start_response` is given, or begins an answer
#: with the first piece only.
OTHERS = {
    **dict.fromkeys(("uvicorn-wsgi", "a2wsgi", "starlette"), {"taken"}),
    **dict.fromkeys(SILENT, {"Tried to write more data than Content-Length"}),
    "hypercorn-wsgi": {"Unexpected message type"},
}
#: They give a client that leaves no thought until all of the body has been made.
PATIENT = ("tornado", "tornado-threads", "gunicorn-tornado", "hypercorn-wsgi", *ASGI)

ANSWERED = (
    *("GET /" + name for name in "one ok?a tuple nothing none pieces long sized unsized file own written again".split()),
    *("HEAD /" + name for name in "one pieces long sized unsized file again".split()),
    "OPTIONS /one",
    "POST /echo",
    "GET /closed",
)


def serve(sandbox: Any, kind: str, *more: str, **env: Any) -> Server:
    shutil.copy(APP, sandbox.folder / "wsgi_app.py")
    return started(sandbox, kind, "wsgi_app:app", *more, **env)


def answers(server: Server) -> list[Any]:
    """What a client sees, less what differs from one answer to the next."""
    seen: list[Any] = []
    for asked in ANSWERED:
        method, path = asked.split()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        try:
            connection.request(method, path, b'{"a": 1}' if method == "POST" else None)
            answer = connection.getresponse()
            headers = sorted((k.lower(), v) for k, v in answer.getheaders() if k.lower() not in ("date", "etag"))
            seen.append((asked, answer.status, answer.reason, headers, answer.read()))
        except (http.client.HTTPException, ConnectionError) as error:
            seen.append((asked, type(error)))  # as servers do with what they do not like
        finally:
            connection.close()
    return seen


def ask(server: Server, kind: str, path: str, *headers: str, method: str = "GET") -> bytes:
    """All that comes of one request, over a socket of our own; of a failure, until it is there."""
    with socket.create_connection(("127.0.0.1", server.port), 10 if kind not in SILENT else 2) as client:
        lines = ("%s %s HTTP/1.1" % (method, path), "Host: shop:8000", "Connection: close", *headers, "", "")
        client.sendall("\r\n".join(lines).encode())
        answer = b""
        try:
            while True:
                more = client.recv(100_000)
                if not more:
                    return answer
                answer += more
        except (socket.timeout, ConnectionError):
            return answer


def app_events(sandbox: Any, kind: str) -> list[dict[str, Any]]:
    found = sandbox.events()
    # Some releases of eventlet log that they have failed at patching a part of Python.
    return [event for event in found if "request" in event] if "eventlet" in kind else found


@pytest.mark.parametrize("kind", KINDS)
def test_each_failure_once_and_answers_as_without_us(sandbox, kind: str) -> None:
    with serve(sandbox, kind, launched=False) as server:
        bare = answers(server)
    with serve(sandbox, kind) as server:
        assert answers(server) == bare
        for path in ("/fail?f", "/middle?m", "/close?c"):
            first = ask(server, kind, path)
            # Tornado, and what makes a page of errors, have no piece of the body out when it fails.
            assert b"first" in first or path != "/middle?m" or kind in SILENT
        assert server.get("/ok?again") == (200, b"fine again")
    events = app_events(sandbox, kind)
    others = [e for e in events if not e.get("tags")]
    assert {main_exception(e)["value"].partition(",")[0] for e in others} == OTHERS.get(kind, set())
    events = [e for e in events if e.get("tags")]
    assert [e.get("logentry") for e in events if "exception" not in e] == []
    expected = ["failed f", "middle m", "close c"]
    assert [
        (main_exception(e)["value"], main_exception(e)["mechanism"]["type"], e.get("tags"), (e.get("user") or {}).get("id"))
        for e in events
    ] == [(value, "wsgi", {"query": value[-1]}, value[-1]) for value in expected[: 2 + (kind not in UNCLOSED)]]
    for event, path in zip(events, ("/fail", "/middle", "/close")):
        assert main_exception(event)["mechanism"]["handled"] is False and event["level"] == "error"
        request = event["request"]
        assert request["url"] == "http://shop:8000" + path
        assert (request["method"], request["query_string"]) == ("GET", path[1])
        assert {name.title(): value for name, value in request["headers"].items()}["Host"] == "shop:8000"
        assert event["transaction"] == (path if kind in ASGI else "generic WSGI request")
        crumbs = [c["message"] for c in event["breadcrumbs"]["values"] if "category" not in c]
        assert crumbs == [path[1]]
        assert set(request.get("env") or ()) <= {"SERVER_NAME", "SERVER_PORT"}
        assert "data" not in request and "cookies" not in request
    assert main_exception(events[0])["type"] == "ZeroDivisionError"
    assert len({event["contexts"]["trace"]["trace_id"] for event in events}) == len(events)
