"""wsgi_servers: the same application behind every server: reported once, traced once, served as without us."""

from __future__ import annotations

import http.client
import socket
import time
from importlib.metadata import version
from typing import Any

import pytest

from web import Server, main_exception
from wsgi_kinds import BRIDGES, KINDS, app_events, serve, traced, transactions

#: They never answer where the application has failed: the connection stays open.
SILENT = ("tornado", "tornado-threads", "gunicorn-tornado")
#: They send a body once there is enough of it, or all.
UNSENT = (*SILENT, "eventlet")
#: They never call `close`.
UNCLOSED = ("asgiref", "starlette")
#: ASGI servers, which have the request in hand when the bridge gets it: it is named by its path.
ASGI = ("uvicorn-wsgi", *BRIDGES)
#: Errors of the server's own making, with us or without: it raises what `start_response` is given, or begins an answer
#: with the first piece only.
OTHERS = {
    **{kind: {"taken"} for kind in ("uvicorn-wsgi", "a2wsgi", "starlette")},
    **{kind: {"Tried to write more data than Content-Length"} for kind in SILENT},
    "hypercorn-wsgi": {"Unexpected message type"},
    "uwsgi": {"<built-in function uwsgi_spit> returned a result with an exception set"},
}
PERSONAL = {
    "Authorization": "Bearer abc",
    "Proxy-Authorization": "Basic abc",
    "Cookie": "session=abc; theme=dark",
    "X-Forwarded-For": "203.0.113.7, 10.0.0.1",
    "X-Real-Ip": "203.0.113.8",
    "X-Api-Key": "abc",
    "X-Csrftoken": "abc",
}
HEADERS = ("X-Thing: shown", *("%s: %s" % header for header in PERSONAL.items()))
#: They give a client that leaves no thought until all of the body has been made.
PATIENT = ("tornado", "tornado-threads", "gunicorn-tornado", "hypercorn-wsgi", *ASGI)

ANSWERED = (
    *(
        "GET /" + name
        for name in "one ok?a tuple nothing none pieces long sized unsized file own written again".split()
    ),
    *("HEAD /" + name for name in "one pieces long sized unsized file again".split()),
    "OPTIONS /one",
    "POST /echo",
    "GET /closed",
)


def needs_generators(kind: str) -> None:
    """Applications that are generators call `start_response` as their body is begun."""
    if kind == "hypercorn-wsgi" and version("hypercorn") < "0.18":
        pytest.skip("hypercorn before 0.18 refuses applications that are generators")


def answers(server: Server) -> list[Any]:
    """What a client sees, less what differs from one answer to the next."""
    seen: list[Any] = []
    for asked in ANSWERED:
        method, path = asked.split()
        if path == "/closed":
            time.sleep(0.2)  # a body is closed once its client has all of it
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        kept = None
        try:
            connection.request(method, path, b'{"a": 1}' if method == "POST" else None)
            if asked == "HEAD /unsized":
                kept = connection.sock.dup()
            answer = connection.getresponse()
            headers = sorted(
                (k.lower(), v) for k, v in answer.getheaders() if k.lower() not in ("date", "etag")
            )
            seen.append((asked, answer.status, answer.reason, headers, answer.read()))
            if kept is not None:
                # http.client leaves as the head has come, which may keep a server from closing its body.
                kept.settimeout(0.5)
                try:
                    while kept.recv(1000):
                        pass
                except OSError:
                    pass
        except (http.client.HTTPException, ConnectionError) as error:
            seen.append((asked, type(error)))  # as servers do with what they do not like
        finally:
            connection.close()
            if kept is not None:
                kept.close()
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


@pytest.mark.parametrize("kind", KINDS)
def test_each_failure_once_and_answers_as_without_us(sandbox, kind: str) -> None:
    needs_generators(kind)
    with serve(sandbox, kind, launched=False) as server:
        bare = answers(server)
    with serve(sandbox, kind) as server:
        assert answers(server) == bare
        for path in ("/fail?f", "/middle?m", "/close?c"):
            first = ask(server, kind, path, *HEADERS)
            assert b"first" in first or path != "/middle?m" or kind in UNSENT
        assert server.get("/ok?again") == (200, b"fine again")
    events = app_events(sandbox, kind)
    others = [e for e in events if not e.get("tags")]
    assert {main_exception(e)["value"].partition(",")[0] for e in others} == OTHERS.get(kind, set())
    events = [e for e in events if e.get("tags")]
    assert [e.get("logentry") for e in events if "exception" not in e] == []
    expected = ["failed f", "middle m", "close c"]
    assert [
        (
            main_exception(e)["value"],
            main_exception(e)["mechanism"]["type"],
            e.get("tags"),
            (e.get("user") or {}).get("id"),
        )
        for e in events
    ] == [
        (value, "wsgi", {"query": value[-1]}, value[-1]) for value in expected[: 2 + (kind not in UNCLOSED)]
    ]
    for event, path in zip(events, ("/fail", "/middle", "/close")):
        assert main_exception(event)["mechanism"]["handled"] is False and event["level"] == "error"
        request = event["request"]
        assert request["url"] == "http://shop:8000" + path
        assert (request["method"], request["query_string"]) == ("GET", path[1])
        shown = {name.title(): value for name, value in request["headers"].items()}
        assert shown.pop("Host") == "shop:8000" and shown.pop("X-Thing") == "shown"
        assert {shown[name] for name in PERSONAL} == {"[Filtered]"}
        assert event["transaction"] == (path if kind in ASGI else "generic WSGI request")
        crumbs = [c["message"] for c in event["breadcrumbs"]["values"] if "category" not in c]
        assert crumbs == [path[1]]
        assert set(request.get("env") or ()) <= {"SERVER_NAME", "SERVER_PORT"}
        assert "data" not in request and "cookies" not in request
    assert main_exception(events[0])["type"] == "ZeroDivisionError"
    assert len({event["contexts"]["trace"]["trace_id"] for event in events}) == len(events)


TRACE = "771a43a4192642f0b136d5159a501700"


@pytest.mark.parametrize("kind", KINDS)
def test_each_request_is_one_transaction(sandbox, kind: str) -> None:
    needs_generators(kind)
    env = traced(sandbox, ERRTRACK_SEND_DEFAULT_PII="1", ERRTRACK_WSGI_USE_X_FORWARDED_FOR="1")
    trace = "sentry-trace: %s-a0cfbde2bdff3adc-1" % TRACE
    asked = ["GET /ok?a", "GET /fail?b", "HEAD /fail?c", "OPTIONS /fail?d", "GET /middle?e", "GET /pieces?n"]
    forwarded = ("X-Forwarded-Proto: https", "X-Forwarded-Host: example.com:443", *HEADERS)
    answered: dict[str, int] = {}
    with serve(sandbox, kind, **env) as server:
        for each in [*asked, "GET /again?f"]:
            method, path = each.split()
            answer = ask(server, kind, path, *([trace] if path == "/fail?b" else []), method=method)
            answered[each] = int(answer[9:12] or 0)
        ask(server, kind, "/fail?g", *forwarded)
        assert server.get("/one")[0] == 200  # what was asked before is over
    kept = transactions(sandbox)
    events = {e["tags"]["query"]: e for e in app_events(sandbox, kind) if e.get("tags") and "exception" in e}
    assert set(events) - {"f"} == set("bcdeg")
    assert {"%s" % each for each in kept} >= {
        *(each for each in asked if each.split()[0] == "GET"),
        "GET /fail?g",
    }, server.output
    assert not [each for each in kept if each.split()[0] in ("HEAD", "OPTIONS")]
    for each, trx in kept.items():
        context = trx["contexts"]["trace"]
        origin = "auto.http." + ("asgi" if kind in ASGI else "wsgi")
        assert (context["op"], context["origin"]) == ("http.server", origin)
        assert trx["transaction"] == (each.split("?")[0][4:] if kind in ASGI else "generic WSGI request")
        assert trx["transaction_info"] == {"source": "url" if kind in ASGI else "route"}
    # What came in is continued; error and transaction share it, without a decision of ours where there is none.
    for query, path in (("b", "/fail"), ("e", "/middle"), ("g", "/fail")):
        ours = kept["GET %s?%s" % (path, query)]["contexts"]["trace"]
        theirs = events[query]["contexts"]["trace"]
        assert ours["trace_id"] == theirs["trace_id"] and ours["status"] == "internal_error"
        assert theirs["span_id"] == ours["span_id"]
        assert (ours["trace_id"] == TRACE) == (query == "b") == (ours.get("parent_span_id") is not None)
    assert kept["GET /fail?b"]["contexts"]["trace"]["parent_span_id"] == "a0cfbde2bdff3adc"
    # Methods that are no transactions: their errors have a trace all the same.
    assert len({events[query]["contexts"]["trace"]["trace_id"] for query in "cdeg"} | {TRACE}) == 5
    for each in ("GET /ok?a", "GET /again?f"):
        if each in kept and not (kind == "uwsgi" and "again" in each):  # see OTHERS
            contexts = kept[each]["contexts"]
            assert contexts["response"]["status_code"] == answered[each]
            status = "ok" if answered[each] == 200 else "invalid_argument"
            raises = "again" in each and "taken" in OTHERS.get(kind, ())
            assert contexts["trace"]["status"] == ("internal_error" if raises else status)
    assert answered["GET /again?f"] in (200, 418)
    # The body is part of it.
    whole = kept["GET /pieces?n"]
    assert _seconds(whole["timestamp"]) - _seconds(whole["start_timestamp"]) > 0.04
    # traces_sampler saw each of them before it began.
    sampled = (sandbox.folder / "sampled").read_text().split()
    assert sampled.count("/fail") == 2 and sampled.count("/pieces") == 1
    # Personal data may be sent here; secrets are no part of it. Proxies are believed here.
    event = events["g"]
    shown = {name.title(): value for name, value in event["request"]["headers"].items()}
    assert shown["X-Forwarded-For"] == PERSONAL["X-Forwarded-For"]
    assert {shown[name] for name in ("Authorization", "Cookie", "X-Api-Key", "X-Csrftoken")} == {"[Filtered]"}
    assert event["user"] == {"id": "g", "ip_address": "203.0.113.7"}
    assert event["request"]["cookies"] == {"session": "[Filtered]", "theme": "dark"}
    if kind not in ASGI:
        assert event["request"]["url"] == "https://example.com/fail"
        assert event["request"]["env"]["REMOTE_ADDR"] == "127.0.0.1"


def _seconds(timestamp: Any) -> float:
    from datetime import datetime

    if isinstance(timestamp, (int, float)):
        return float(timestamp)
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in PATIENT])
def test_client_that_goes_away_is_no_error(sandbox, kind: str) -> None:
    """A generator ends in its request's scope; `write` fails in the application, which is no error of it."""
    with serve(sandbox, kind) as server:
        for path in ("/endless?e", "/writes?w"):
            with socket.create_connection(("127.0.0.1", server.port), 10) as client:
                client.sendall(b"GET %s HTTP/1.1\r\nHost: h\r\n\r\n" % path.encode())
                assert client.recv(1000)
            server.wait_for("generator closed " + path[-1])
        assert "generator exit" in server.output
        assert server.get("/one")[0] == 200
    events = app_events(sandbox, kind)
    assert [
        (e.get("exception") or e["logentry"]["formatted"], e["tags"], e["request"]["url"]) for e in events
    ] == [("over", {"query": "e"}, "http://h/endless"), ("over", {"query": "w"}, "http://h/writes")]
