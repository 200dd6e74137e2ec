"""Sanic: one event a failure, with route and request of its own, whatever runs the application."""

from __future__ import annotations

import http.client
import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from told import Told
from web import Server, main_exception

pytest.importorskip("sanic")

APP = Path(__file__).parent / "sanic_app.py"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=B"
FILE = (
    b'--B\r\nContent-Disposition: form-data; name="field"\r\n\r\nvalue\r\n'
    b'--B\r\nContent-Disposition: form-data; name="upload"; filename="f.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\nsecret contents\r\n--B--\r\n"
)
CLIENT = """
import asyncio, sys, websockets

async def main(url, *messages):
    async with websockets.connect(url) as connection:
        for message in messages:
            await connection.send(message)
            try:
                print(await asyncio.wait_for(connection.recv(), 20))
            except websockets.ConnectionClosed:
                print("closed")
asyncio.run(main(*sys.argv[1:]))
"""
HANDLED = ("known", "silenced", "spoilt", "spoilt2")


def made(folder: Path, sandbox_in: Any, **env: str) -> Told:
    # uvloop loses a signal that comes as a thread is being started, with or without us: SIGTERM, here.
    told = Told(sandbox_in(folder), APP, SANIC_USE_UVLOOP="false", **env)
    told.sandbox.write("client.py", CLIENT)
    return told


def ask_for_everything(told: Told, server: Server) -> None:
    ask = lambda key, *request, **more: told.answers.update({key: server.get(*request, **more)})  # noqa: E731
    headers = {"X-Thing": "y", "Cookie": "a=b", "X-Forwarded-For": "203.0.113.9"}
    ask("crash", "/crash?n=7&foo=bar", headers)
    for path in ("ok", "sync", "bp/hi", "junk", "stream", "early", "middleware", "after", "nowhere"):
        ask(path, "/" + path)
    for what in ("400", "404", "500"):
        ask(what, "/answer/" + what)
    for what in HANDLED:
        ask(what, "/handled/" + what)
    ask("unread", "/unread", method="POST", body=b"secret")
    ask("task", "/task")
    ask("awaited", "/awaited")
    told.answers["mixed"] = server.get_all(["/mixed/%d" % n for n in range(100)], 50)
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET /disconnected HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(100)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    told.answers["alive"] = []
    for path in ("/crash?alive=1", "/sync?alive=2"):
        connection.request("GET", path)
        told.answers["alive"].append(connection.getresponse().read())
    connection.close()
    url = "ws://127.0.0.1:%d/ws" % server.port
    done = told.sandbox.run(sys.executable, "client.py", url, "a", "fail", launched=False)
    assert done.returncode == 0, done.stderr
    told.answers["ws"] = done.stdout.splitlines()
    told.wait_for("/task")
    told.wait_for("/ws")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, sandbox_in: Any) -> Told:
    """A server with the settings that users have, asked for everything."""
    told = made(tmp_path_factory.mktemp("sanic"), sandbox_in)
    with told.serve() as server:
        ask_for_everything(told, server)
    return told


def one(told: Told, path: str, query: str = "") -> dict[str, Any]:
    found = [e for e in told.events(path) if (e["request"].get("query_string") or "").startswith(query)]
    found = found if query else [e for e in found if "alive" not in (e["request"].get("query_string") or "")]
    assert len(found) == 1, [e.get("exception") or e.get("logentry") for e in found]
    return found[0]


def test_failing_handler_is_one_event_with_its_request(told: Told) -> None:
    event = one(told, "/crash")
    error = main_exception(event)
    assert (error["mechanism"]["type"], error["mechanism"]["handled"]) == ("sanic", False)
    assert (event["transaction"], event["transaction_info"]) == ("crash", {"source": "component"})
    request = event["request"]
    assert request["url"].startswith("http://127.0.0.1:")
    assert (request["method"], request["query_string"]) == ("GET", "n=7&foo=bar")
    assert request["headers"]["X-Thing"] == "y"
    assert request["headers"]["Host"] == request["url"].split("/")[2]
    assert event["tags"]["n"] == "7"
    assert [c["message"] for c in event["breadcrumbs"]["values"]] == ["about to fail"]
    assert told.answers["crash"][0] == 500


def test_personal_data_stays_out(told: Told) -> None:
    event = one(told, "/crash")
    assert "REMOTE_ADDR" not in event["request"]["env"]
    assert "cookies" not in event["request"]
    assert "user" not in event
    assert event["request"]["headers"]["Cookie"] == "[Filtered]"
    assert "203.0.113.9" not in json.dumps(event)


@pytest.mark.parametrize(
    ("path", "name"), [("/sync", "sync"), ("/bp/hi", "bp.hi"), ("/middleware", "middleware")]
)
def test_names_of_routes(told: Told, path: str, name: str) -> None:
    event = one(told, path)
    assert event["transaction"] == name
    assert "healthy" not in event.get("tags", {})
    assert main_exception(event)["mechanism"]["type"] == "sanic"


def test_answers_are_no_failures(told: Told) -> None:
    assert [told.answers[what][0] for what in ("400", "404", "500", "nowhere")] == [400, 404, 500, 404]
    assert not [e for e in told.all if "/answer/" in e["request"]["url"] or "/nowhere" in e["request"]["url"]]
    assert told.answers["early"] == (402, b"stopped")


def test_handler_that_returns_nonsense_is_a_failure(told: Told) -> None:
    assert main_exception(one(told, "/junk"))["type"] == "ServerError"


def test_exception_handlers_answer_as_without_us(told: Told) -> None:
    assert told.answers["known"] == (400, b"handled")
    assert told.answers["silenced"][0] == 500
    assert told.answers["spoilt"] == (500, b"An error occurred while handling an error")
    assert told.answers["spoilt2"] == (500, b"An error occurred while handling an error")


def test_what_an_exception_handler_answered_is_no_failure(told: Told) -> None:
    assert not told.events("/handled/known")


def test_what_an_exception_handler_let_pass_is_a_failure(told: Told) -> None:
    assert main_exception(one(told, "/handled/silenced"))["type"] == "Silenced"


@pytest.mark.parametrize("what", ["spoilt", "spoilt2"])
def test_failing_exception_handler_is_a_second_event(told: Told, what: str) -> None:
    types = [main_exception(event)["type"] for event in told.events("/handled/" + what)]
    assert types == [what.title(), "KeyError"]


def test_failing_response_middleware_is_one_event(told: Told) -> None:
    assert told.answers["after"] == (200, b"fine")
    assert main_exception(one(told, "/after"))["value"] == "response middleware"


def test_failure_amid_the_answer_is_one_event(told: Told) -> None:
    event = one(told, "/stream")
    assert event["transaction"] == "stream"
    assert event["tags"]["streamed"] == "yes"
    assert main_exception(event)["mechanism"]["type"] == "sanic"


def test_client_that_went_away_is_no_failure(told: Told) -> None:
    assert not told.events("/disconnected")


def test_streamed_body_is_not_touched(told: Told) -> None:
    assert "data" not in one(told, "/unread")["request"]


def test_background_task_is_one_event_with_what_its_creator_said(told: Told) -> None:
    event = one(told, "/task")
    assert main_exception(event)["value"] == "background task"
    assert event["tags"]["creator"] == "task"


def test_background_task_that_is_awaited_is_its_caller_s(told: Told) -> None:
    assert told.answers["awaited"] == (200, b"caught")
    assert not told.events("/awaited")


def test_websocket(told: Told) -> None:
    assert told.answers["ws"] == ["echo a", "closed"]
    event = one(told, "/ws")
    assert main_exception(event)["value"] == "websocket"
    assert main_exception(event)["mechanism"]["type"] == "sanic"
    assert event["transaction"] == "socket"
    assert event["tags"]["opened"] == "yes"
    crumbs = [c["message"] for c in event["breadcrumbs"]["values"]]
    assert [crumb for crumb in crumbs if "connection" not in crumb] == ["a", "fail"]


def test_requests_of_one_connection_do_not_mix(told: Told) -> None:
    second = one(told, "/sync", "alive")
    assert "n" not in second.get("tags", {})
    assert "breadcrumbs" not in second
    assert one(told, "/crash", "alive")["contexts"]["trace"] != second["contexts"]["trace"]


def test_concurrent_requests_do_not_mix(told: Told) -> None:
    events = [event for event in told.all if "/mixed/" in event["request"]["url"]]
    assert len(events) == 100
    for event in events:
        n = event["request"]["url"].rpartition("/")[2]
        assert main_exception(event)["value"] == "mixed " + n
        assert (event["tags"]["n"], event["tags"]["m"], event["user"]["id"]) == (n, n, n)
        assert [c["message"] for c in event["breadcrumbs"]["values"]] == ["crumb " + n]


def test_nothing_but_failures_is_reported(told: Told) -> None:
    assert {event["request"]["url"].split("/", 3)[3].split("/")[0] for event in told.all} == {
        "crash", "sync", "bp", "junk", "handled", "stream", "middleware", "after", "unread", "task", "mixed", "ws",
    }  # fmt: skip
    assert all("exception" in event for event in told.all)


@pytest.fixture(scope="module")
def personal(tmp_path_factory: pytest.TempPathFactory, sandbox_in: Any) -> Told:
    """A server that may send personal data, with a log of requests."""
    told = made(tmp_path_factory.mktemp("sanic"), sandbox_in, ERRTRACK_SEND_DEFAULT_PII="1")
    with told.serve(sys.executable, "sanic_app.py", "PORT", "log") as server:
        server.get("/crash", {"Cookie": "a=b; c=d"})
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
    event = personal.event("/crash")
    assert event["user"] == {"ip_address": "127.0.0.1"}
    assert event["request"]["env"]["REMOTE_ADDR"] == "127.0.0.1"
    assert event["request"]["cookies"] == {"a": "b", "c": "d"}


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


TRACE = "12312012123120121231201212312012"


def traced_by(told: Told, server: Server) -> Told:
    server.get("/crash", {"sentry-trace": TRACE + "-1121201211212012-1"}, "POST")
    for path in ("/ok", "/early", "/answer/400", "/nowhere", "/stream"):
        server.get(path)
    server.get("/crash", method="HEAD")
    return told


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory, sandbox_in: Any) -> Told:
    """A server that records every request."""
    told = made(tmp_path_factory.mktemp("sanic"), sandbox_in, ERRTRACK_TRACES_SAMPLE_RATE="1")
    with told.serve() as server:
        return traced_by(told, server)


def transaction(told: Told, name: str) -> dict[str, Any]:
    found = [t for t in told.transactions if t["transaction"] == name]
    assert len(found) == 1, [t["transaction"] for t in told.transactions]
    return found[0]


def test_failed_request_and_its_event_share_the_trace_that_came_in(traced: Told) -> None:
    recorded = transaction(traced, "crash")
    trace = recorded["contexts"]["trace"]
    assert (trace["trace_id"], trace["parent_span_id"]) == (TRACE, "1121201211212012")
    assert (trace["op"], trace["status"], trace["origin"]) == (
        "http.server",
        "internal_error",
        "auto.http.sanic",
    )
    assert recorded["transaction_info"] == {"source": "component"}
    event = next(e for e in traced.events("/crash") if e["request"]["method"] == "POST")["contexts"]["trace"]
    assert (event["trace_id"], event["span_id"]) == (TRACE, trace["span_id"])


def test_healthy_and_refused_requests_are_recorded_but_for_404(traced: Told) -> None:
    assert transaction(traced, "ok")["contexts"]["trace"]["status"] == "ok"
    assert transaction(traced, "plain")["contexts"]["trace"]["status"] == "invalid_argument"
    assert transaction(traced, "answer")["contexts"]["trace"]["status"] == "invalid_argument"
    assert transaction(traced, "stream")
    assert not [t for t in traced.transactions if "nowhere" in t["transaction"]]


@pytest.mark.parametrize(("statuses", "names"), [("599", ["/nowhere", "ok"]), ("200", ["/nowhere"])])
def test_statuses_that_are_not_recorded(
    tmp_path: Path, sandbox_in: Any, statuses: str, names: list[str]
) -> None:
    told = made(
        tmp_path, sandbox_in, ERRTRACK_TRACES_SAMPLE_RATE="1", ERRTRACK_SANIC_UNSAMPLED_STATUSES=statuses
    )
    with told.serve() as server:
        server.get("/nowhere")
        server.get("/ok")
    assert sorted(t["transaction"] for t in told.transactions) == names
    nowhere = transaction(told, "/nowhere")
    assert nowhere["transaction_info"] == {"source": "url"}
    assert nowhere["contexts"]["trace"]["status"] == "not_found"


def test_under_an_asgi_server(tmp_path: Path, sandbox_in: Any) -> None:
    pytest.importorskip("uvicorn")
    told = made(tmp_path, sandbox_in, ERRTRACK_TRACES_SAMPLE_RATE="1")
    with told.serve(
        sys.executable, "-m", "uvicorn", "--loop", "asyncio", "--port", "PORT", "sanic_app:app"
    ) as server:
        traced_by(told, server)
        server.get("/answer/500")
        server.get("/handled/known")
    events = told.events("/stream")
    assert [main_exception(event)["mechanism"]["type"] for event in events] == ["sanic"]
    event = next(e for e in told.events("/crash") if e["request"]["method"] == "POST")
    assert event["contexts"]["trace"]["trace_id"] == TRACE
    assert (event["transaction"], main_exception(event)["mechanism"]["type"]) == ("crash", "sanic")
    assert transaction(told, "crash")["contexts"]["trace"]["trace_id"] == TRACE
    assert transaction(told, "ok")
    assert not told.events("/answer/500")
    assert not told.events("/handled/known")


@pytest.mark.parametrize("mode", ["workers", "reload"])
def test_workers_and_reloader(tmp_path: Path, sandbox_in: Any, mode: str) -> None:
    told = made(tmp_path, sandbox_in)
    pids: set[str] = set()
    with told.serve(sys.executable, "sanic_app.py", "PORT", mode) as server:
        for _ in range(30):
            assert {status for status, _ in server.get_all(["/pid"] * 6, 6)} == {500}
            told._events = None
            pids = {event["tags"]["pid"] for event in told.all}
            if len(pids) == (2 if mode == "workers" else 1):
                break
    assert len(pids) == (2 if mode == "workers" else 1)
    assert {main_exception(event)["mechanism"]["type"] for event in told.all} == {"sanic"}


def test_answers_are_the_same_without_us(told: Told) -> None:
    def ask(server: Server) -> list[Any]:
        paths = (
            "/ok",
            "/crash",
            "/answer/500",
            "/junk",
            "/handled/known",
            "/handled/silenced",
            "/handled/spoilt",
        )
        return [
            server.get(path)
            for path in (*paths, "/handled/spoilt2", "/early", "/after", "/stream", "/awaited")
        ]

    with told.serve(launched=False) as bare:
        expected = ask(bare)
    with told.serve(ERRTRACK_STORE=str(told.sandbox.folder / "other")) as ours:
        assert ask(ours) == expected
