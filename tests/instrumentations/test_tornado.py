"""Tornado: one event a failure, with handler and request of its own, over HTTP and websockets, from a real server."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from told import Told
from web import Server, main_exception

pytest.importorskip("tornado")

APP = Path(__file__).parent / "tornado_app.py"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=B"
FILE = (
    b'--B\r\nContent-Disposition: form-data; name="field"\r\n\r\nvalue\r\n'
    b'--B\r\nContent-Disposition: form-data; name="upload"; filename="f.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\nsecret contents\r\n--B--\r\n"
)

#: Talks over a websocket: arguments are URL and messages, "-" waits for an answer.
CLIENT = """
import asyncio, sys
from tornado.websocket import websocket_connect

async def main(url, *messages):
    connection = await websocket_connect(url)
    for message in messages:
        if message == "-":
            print(await asyncio.wait_for(connection.read_message(), 20))
        else:
            await connection.write_message(message)
    connection.close()
    if "-" not in messages[-1:]:
        print(await asyncio.wait_for(connection.read_message(), 20))
asyncio.run(main(*sys.argv[1:]))
"""


def made(folder: Path, sandbox_in: Any, **env: str) -> Told:
    told = Told(sandbox_in(folder), APP, **env)
    told.sandbox.write("client.py", CLIENT)
    return told


def talk(told: Told, server: Server, path: str, *messages: str) -> str:
    url = "ws://127.0.0.1:%d%s" % (server.port, path)
    done = told.sandbox.run(sys.executable, "client.py", url, *messages, launched=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, sandbox_in: Any) -> Told:
    """A server with the settings that users have, asked for everything."""
    told = made(tmp_path_factory.mktemp("tornado"), sandbox_in)
    with told.serve() as server:
        ask = lambda key, *request, **more: told.answers.update({key: server.get(*request, **more)})  # noqa: E731
        headers = {"X-Thing": "y", "Cookie": "a=b", "X-Forwarded-For": "203.0.113.9"}
        ask("crash", "/crash?n=7&foo=bar", headers)
        for path in ("ok", "native", "generator", "user?name=x", "never", "silent", "write_error"):
            ask(path, "/" + path)
        for path in ("prepare", "on_finish", "flushed", "nested", "callback", "spawned"):
            ask(path, "/" + path)
        for what in ("400", "404", "500", "503", "missing", "finish"):
            ask(what, "/answer/" + what)
        ask("nowhere", "/nowhere")
        ask("405", "/ok", method="PUT")
        ask("static", "/static/tornado_app.py")
        ask("plain", "/plain/client.py")
        ask("wsgi", "/wsgi/ok")
        ask("upload", "/upload", method="POST", body=b"good")
        ask("bad upload", "/upload?bad", method="POST", body=b"bad")
        told.answers["mixed"] = server.get_all(["/mixed/%d" % n for n in range(100)], 50)
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"GET /disconnected HTTP/1.1\r\nHost: x\r\n\r\n")
            client.recv(100)
        # Tornado never answers where a WSGI application has failed.
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"GET /wsgi/fail HTTP/1.1\r\nHost: x\r\n\r\n")
            told.wait_for("/wsgi/fail")
        told.answers["ws"] = talk(told, server, "/ws/plain", "a", "-", "b", "-", "fail", "-")
        for path in ("silent", "native", "generator"):
            told.answers["ws " + path] = talk(told, server, "/ws/" + path, "a", "-", "fail", "-")
        told.answers["ws open"] = talk(told, server, "/ws/open", "-")
        told.answers["ws close"] = talk(told, server, "/ws/close", "a", "-", "b", "-")
        for path in ("/callback", "/spawned", "/ws/close"):
            told.wait_for(path)
        told.answers["output"] = server.output
    return told


def test_failing_handler_is_one_event_with_its_request(told: Told) -> None:
    event = told.event("/crash")
    error = main_exception(event)
    assert error["type"] == "ZeroDivisionError"
    assert (error["mechanism"]["type"], error["mechanism"]["handled"]) == ("tornado", False)
    assert error["stacktrace"]["frames"][-1]["function"] == "get"
    assert event["transaction"] == "__main__.Crash.get"
    assert event["transaction_info"] == {"source": "component"}
    request = event["request"]
    assert request["url"].startswith("http://127.0.0.1:")
    assert (request["method"], request["query_string"]) == ("GET", "n=7&foo=bar")
    assert request["headers"]["X-Thing"] == "y"
    assert request["headers"]["Host"] == request["url"].split("/")[2]
    assert event["tags"]["n"] == "7"
    assert [c["message"] for c in event["breadcrumbs"]["values"]] == ["about to fail"]
    assert told.answers["crash"] == (500, b"answered 500")


def test_personal_data_stays_out(told: Told) -> None:
    event = told.event("/crash")
    assert "REMOTE_ADDR" not in event["request"]["env"]
    assert "cookies" not in event["request"]
    assert "user" not in event
    assert event["request"]["headers"]["Cookie"] == "[Filtered]"
    assert "203.0.113.9" not in json.dumps(event)
    assert "user" not in told.event("/user")


@pytest.mark.parametrize("kind", ["native", "generator"])
def test_coroutine_handler(told: Told, kind: str) -> None:
    event = told.event("/" + kind)
    assert event["tags"]["kind"] == kind
    assert "healthy" not in event["tags"]
    assert event["transaction"].endswith("." + kind.title() + ".get")
    assert main_exception(event)["type"] == "ZeroDivisionError"


def test_answers_are_no_failures(told: Told) -> None:
    assert [told.answers[what][0] for what in ("400", "404", "500", "503", "missing", "finish")] == [
        400, 404, 500, 503, 400, 200,
    ]  # fmt: skip
    assert not [e for e in told.all if "/answer/" in e.get("request", {}).get("url", "")]
    assert (told.answers["nowhere"][0], told.answers["405"][0]) == (404, 405)
    assert not told.events("/nowhere")
    assert not told.events("/ok")


def test_nothing_but_failures_is_reported(told: Told) -> None:
    """No line of tornado.access, no `Cannot send error response`, no event without a request."""
    assert all("exception" in event for event in told.all)
    assert {event["request"]["url"].split("/", 3)[3].split("/")[0] for event in told.all} == {
        "crash", "native", "generator", "user", "never", "silent", "write_error", "prepare", "on_finish", "flushed",
        "nested", "inner", "callback", "spawned", "static", "upload", "mixed", "ws", "wsgi",
    }  # fmt: skip


def test_log_exception_that_tells_nobody(told: Told) -> None:
    assert main_exception(told.event("/silent"))["mechanism"]["type"] == "tornado"


def test_failing_write_error_is_a_second_event(told: Told) -> None:
    types = [main_exception(event)["type"] for event in told.events("/write_error")]
    assert types == ["ValueError", "KeyError"]
    assert told.answers["write_error"][0] == 500
    # Tornado has logged the first one, with the client's address.
    assert "remote_ip" not in json.dumps([e.get("breadcrumbs") for e in told.events("/write_error")])


@pytest.mark.parametrize("place", ["prepare", "on_finish", "flushed"])
def test_failure_before_after_and_amid_the_answer_is_one_event(told: Told, place: str) -> None:
    assert main_exception(told.event("/" + place))["mechanism"]["type"] == "tornado"


def test_request_inside_of_a_request_has_its_own_scopes(told: Told) -> None:
    outer, inner = told.event("/nested"), told.event("/inner")
    assert (outer["tags"].get("outer"), outer["tags"].get("inner")) == ("yes", None)
    assert (inner["tags"].get("outer"), inner["tags"].get("inner")) == (None, "yes")
    assert inner["transaction"].endswith(".Inner.get")


def test_client_that_went_away_is_no_failure(told: Told) -> None:
    assert not told.events("/disconnected")


def test_streamed_body(told: Told) -> None:
    assert told.answers["upload"] == (200, b"took it")
    event = told.event("/upload")
    assert main_exception(event)["value"] == "chunk"
    assert main_exception(event)["mechanism"]["type"] == "tornado"
    assert event["tags"]["chunk"] == "3"
    assert event["transaction"].endswith(".Upload.post")
    assert "data" not in event["request"]


@pytest.mark.parametrize("what", ["callback", "spawned"])
def test_failing_callback_knows_the_request_that_left_it(told: Told, what: str) -> None:
    event = told.event("/" + what)
    assert event["tags"]["creator"] == {"callback": "callback", "spawned": "spawn"}[what]
    assert event["request"]["method"] == "GET"


def test_wsgi_application_in_tornado(told: Told) -> None:
    assert told.answers["wsgi"] == (200, b"wsgi")
    event = told.event("/wsgi/fail")
    assert main_exception(event)["mechanism"]["type"] == "wsgi"
    assert event["transaction"] == "generic WSGI request"


def test_static_files(told: Told) -> None:
    assert told.answers["plain"][0] == 200
    event = told.event("/static/tornado_app.py")
    assert event["transaction"].endswith(".Static.get")


def test_concurrent_requests_do_not_mix(told: Told) -> None:
    events = [event for event in told.all if "/mixed/" in event["request"]["url"]]
    assert len(events) == 100
    for event in events:
        n = event["request"]["url"].rpartition("/")[2]
        assert main_exception(event)["value"] == "mixed " + n
        assert (event["tags"]["n"], event["tags"]["m"], event["user"]["id"]) == (n, n, n)
        assert [c["message"] for c in event["breadcrumbs"]["values"]] == ["crumb " + n]


@pytest.mark.parametrize("path", ["plain", "silent", "native", "generator"])
def test_websocket_message_has_scopes_of_its_own(told: Told, path: str) -> None:
    event = told.event("/ws/" + path)
    assert main_exception(event)["value"] == "fail"
    assert main_exception(event)["mechanism"]["type"] == "tornado"
    assert event["tags"]["opened"] == "/ws/" + path
    assert event["tags"]["fail"] == "yes"
    assert "a" not in event["tags"]
    assert [c["message"] for c in event["breadcrumbs"]["values"]] == ["fail"]
    assert event["transaction"].endswith("Socket.on_message")
    assert told.answers["ws" if path == "plain" else "ws " + path].splitlines()[-1] == "None"


def test_websocket_answers_as_without_us(told: Told) -> None:
    assert told.answers["ws"].splitlines() == ["echo a", "echo b", "None"]


@pytest.mark.parametrize("place", ["open", "close"])
def test_websocket_that_fails_as_it_opens_or_closes(told: Told, place: str) -> None:
    event = told.event("/ws/" + place)
    assert main_exception(event)["value"] == place
    assert main_exception(event)["mechanism"]["type"] == "tornado"


@pytest.fixture(scope="module")
def personal(tmp_path_factory: pytest.TempPathFactory, sandbox_in: Any) -> Told:
    """A server that may send personal data."""
    told = made(tmp_path_factory.mktemp("tornado"), sandbox_in, ERRTRACK_SEND_DEFAULT_PII="1")
    with told.serve() as server:
        server.get("/user?name=x", {"Cookie": "a=b"})
        server.get("/never")
        ask = lambda query, kind, body: server.get(  # noqa: E731
            "/body?" + query, {"Content-Type": kind}, "POST", body
        )
        ask("json", "application/json; charset=utf-8", b'{"foo": {"bar": 42}, "password": "hunter2"}')
        ask("form", FORM, b"a=1&b=2&b=3")
        ask("file", MULTIPART, FILE)
        ask("bad", "application/json", b"{nonsense")
        ask("text", "text/plain", b"some text")
        ask("large", "application/json", json.dumps(["x" * 11_000]).encode())
    return told


def test_personal_data_where_it_may_be_sent(personal: Told) -> None:
    event = personal.event("/user")
    assert event["user"] == {"ip_address": "127.0.0.1", "data": {"is_authenticated": True}}
    assert event["request"]["env"]["REMOTE_ADDR"] == "127.0.0.1"
    assert event["request"]["cookies"] == {"a": "b"}


def test_user_is_never_asked_for(personal: Told) -> None:
    event = personal.event("/never")
    assert "data" not in event["user"]
    assert "asked" not in event.get("tags", {})


def test_bodies(personal: Told) -> None:
    data = {event["request"]["query_string"]: event["request"]["data"] for event in personal.events("/body")}
    meta = {event["request"]["query_string"]: event.get("_meta") for event in personal.events("/body")}
    assert data["json"]["foo"] == {"bar": 42}
    assert data["json"]["password"] == "[Filtered]"
    assert data["form"] == {"a": "1", "b": ["2", "3"]}
    assert data["file"] == {"field": "value", "upload": ""}
    assert meta["file"]["request"]["data"]["upload"] == {"": {"rem": [["!raw", "x"]]}}
    for kind, rule in (("bad", "!raw"), ("text", "!raw"), ("large", "!config")):
        assert data[kind] == ""
        assert meta[kind]["request"]["data"][""] == {"rem": [[rule, "x"]]}


def test_answers_are_the_same_without_us(told: Told) -> None:
    def ask(server: Server) -> list[Any]:
        paths = (
            "/ok",
            "/crash",
            "/answer/500",
            "/write_error",
            "/on_finish",
            "/plain/client.py",
            "/silent",
            "/wsgi/ok",
        )
        return [server.get(path) for path in paths]

    with told.serve(launched=False) as bare:
        expected = ask(bare)
    with told.serve(ERRTRACK_STORE=str(told.sandbox.folder / "other")) as ours:
        assert ask(ours) == expected


TRACE = "12312012123120121231201212312012"


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, sandbox_in: Any) -> Told:
    """A server that records every request."""
    told = made(tmp_path_factory.mktemp("tornado"), sandbox_in, ERRTRACK_TRACES_SAMPLE_RATE="1")
    with told.serve() as server:
        server.get("/crash", {"sentry-trace": TRACE + "-1121201211212012-1"}, "POST")
        server.get("/ok")
        server.get("/nowhere")
        server.get("/answer/403")
        talk(told, server, "/ws/plain", "a", "-", "fail", "-")
    return told


def transaction(told: Told, name: str) -> dict[str, Any]:
    found = [t for t in told.transactions if t["transaction"] == name]
    assert len(found) == 1, [t["transaction"] for t in told.transactions]
    return found[0]


def test_failed_request_and_its_event_share_the_trace_that_came_in(traced: Told) -> None:
    recorded = transaction(traced, "__main__.Crash.post")
    trace = recorded["contexts"]["trace"]
    assert (trace["trace_id"], trace["parent_span_id"]) == (TRACE, "1121201211212012")
    assert (trace["op"], trace["status"]) == ("http.server", "internal_error")
    assert recorded["contexts"]["trace"]["data"]["http.response.status_code"] == 500
    assert recorded["transaction_info"] == {"source": "component"}
    event = traced.event("/crash")["contexts"]["trace"]
    assert (event["trace_id"], event["span_id"]) == (TRACE, trace["span_id"])


def test_healthy_and_refused_requests_are_recorded(traced: Told) -> None:
    assert transaction(traced, "__main__.Ok.get")["contexts"]["trace"]["status"] == "ok"
    refused = transaction(traced, "__main__.Answer.get")
    assert refused["contexts"]["trace"]["status"] == "permission_denied"
    nowhere = transaction(traced, "/nowhere")
    assert nowhere["transaction_info"] == {"source": "url"}
    assert nowhere["contexts"]["trace"]["status"] == "not_found"


def test_websocket_is_recorded_by_handshake_and_messages(traced: Told) -> None:
    handshake = transaction(traced, "__main__.Socket.get")
    assert handshake["contexts"]["trace"]["data"]["http.response.status_code"] == 101
    messages = [t for t in traced.transactions if t["transaction"] == "__main__.Socket.on_message"]
    assert [m["contexts"]["trace"]["op"] for m in messages] == ["websocket.server"] * 2
    assert handshake["timestamp"] <= messages[0]["start_timestamp"]
    assert (
        messages[1]["contexts"]["trace"]["trace_id"]
        == traced.event("/ws/plain")["contexts"]["trace"]["trace_id"]
    )


def test_trace_is_continued_where_nothing_is_recorded(tmp_path: Path, sandbox_in: Any) -> None:
    told = made(tmp_path, sandbox_in)
    with told.serve() as server:
        server.get("/crash", {"sentry-trace": TRACE + "-1121201211212012-1"})
        server.get("/silent")
    trace = told.event("/crash")["contexts"]["trace"]
    assert (trace["trace_id"], trace["parent_span_id"]) == (TRACE, "1121201211212012")
    assert told.event("/silent")["contexts"]["trace"]["trace_id"] != TRACE
