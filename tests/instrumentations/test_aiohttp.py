"""aiohttp's server: one event a failure, with handler and request of its own."""

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

pytest.importorskip("aiohttp")

APP = Path(__file__).parent / "aiohttp_app.py"
TRACE = "12312012123120121231201212312012"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=B"
FILE = (
    b'--B\r\nContent-Disposition: form-data; name="field"\r\n\r\nvalue\r\n'
    b'--B\r\nContent-Disposition: form-data; name="upload"; filename="f.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\nsecret contents\r\n--B--\r\n"
)
CLIENT = """
import asyncio, sys, aiohttp

async def main(url):
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url) as ws:
            await ws.send_str("a")
            print((await ws.receive(20)).data)
            await ws.send_str("fail")
            print((await ws.receive(20)).type.name)
asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, sandbox_in: Any) -> Told:
    told = Told(sandbox_in(tmp_path_factory.mktemp("aiohttp")), APP)
    told.sandbox.write("client.py", CLIENT)
    with told.serve() as server:
        headers = {
            "Cookie": "a=b",
            "X-Forwarded-For": "203.0.113.9",
            "sentry-trace": TRACE + "-1121201211212012-1",
        }
        server.get("/crash/7?a=b", headers)
        paths = ("ok", "none", "stream", "nowhere", "sub/fail/1")
        for path in (*paths, *("answer/" + what for what in ("403", "500", "503", "returned", "timeout"))):
            told.answers[path] = server.get("/" + path)
        told.answers["mixed"] = server.get_all(["/mixed/%d" % n for n in range(60)], 30)
        for kind, content, body in (
            ("json", "application/json", b'{"foo": {"bar": 42}, "password": "hunter2"}'),
            ("form", FORM, b"a=1&b=2&b=3"),
            ("file", MULTIPART, FILE),
            ("text", "text/plain", b"some text"),
            ("unread", "application/json", b'{"a": 1}'),
        ):
            server.get("/body?" + kind, {"Content-Type": content}, "POST", body)
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"GET /disconnected HTTP/1.1\r\nHost: x\r\n\r\n")
            client.recv(100)
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"nonsense\r\n\r\n")
            client.recv(1000)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        for path in ("/crash/alive", "/crash/again"):
            connection.request("GET", path)
            connection.getresponse().read()
        connection.close()
        url = "http://127.0.0.1:%d/ws" % server.port
        done = told.sandbox.run(sys.executable, "client.py", url, launched=False)
        assert done.returncode == 0, done.stderr
        told.answers["ws"] = done.stdout.splitlines()
        told.wait_for("/ws")
    return told


def test_failing_handler_is_one_event_with_its_request(told: Told) -> None:
    event = told.event("/crash/7")
    error = main_exception(event)
    assert (error["mechanism"]["type"], error["mechanism"]["handled"]) == ("aiohttp", False)
    assert (event["transaction"], event["transaction_info"]) == ("__main__.crash", {"source": "component"})
    assert (event["request"]["method"], event["request"]["query_string"]) == ("GET", "a=b")
    assert event["request"]["headers"]["Cookie"] == "[Filtered]"
    assert "203.0.113.9" not in json.dumps(event)
    assert "REMOTE_ADDR" not in event["request"]["env"]
    assert "user" not in event
    assert event["tags"]["n"] == "7"
    assert [c["message"] for c in event["breadcrumbs"]["values"]] == ["about to fail"]
    assert event["contexts"]["trace"]["trace_id"] == TRACE


def test_answers_are_no_failures_below_500(told: Told) -> None:
    assert not told.events("/answer/403")
    assert not told.events("/answer/returned")
    assert not told.events("/nowhere")
    assert main_exception(told.event("/answer/500"))["type"] == "HTTPInternalServerError"
    assert main_exception(told.event("/answer/503"))["type"] == "HTTPServiceUnavailable"


def test_timeout_of_a_handler_is_a_failure(told: Told) -> None:
    assert told.answers["answer/timeout"][0] == 504
    assert main_exception(told.event("/answer/timeout"))["type"] == "TimeoutError"


def test_handler_that_returns_nothing_is_one_event(told: Told) -> None:
    assert told.answers["none"][0] in (0, 500)  # older releases cut the connection
    assert told.event("/none")["transaction"] == "__main__.none"


def test_failure_amid_the_answer_is_one_event(told: Told) -> None:
    assert main_exception(told.event("/stream"))["mechanism"]["type"] == "aiohttp"


def test_clients_that_go_away_or_speak_nonsense_are_no_failures(told: Told) -> None:
    assert not told.events("/disconnected")
    assert all("request" in event for event in told.all)
    assert not [e for e in told.all if "Bad" in main_exception(e)["type"]]


def test_sub_application(told: Told) -> None:
    assert told.event("/sub/fail/1")["transaction"] == "__main__.in_sub"


def test_requests_do_not_mix(told: Told) -> None:
    events = [event for event in told.all if "/mixed/" in event["request"]["url"]]
    assert len(events) == 60
    for event in events:
        n = event["request"]["url"].rpartition("/")[2]
        assert (main_exception(event)["value"], event["tags"]["n"], event["user"]["id"]) == (
            "mixed " + n,
            n,
            n,
        )
    first, second = told.event("/crash/alive"), told.event("/crash/again")
    assert len(second["breadcrumbs"]["values"]) == 1
    assert first["contexts"]["trace"]["trace_id"] != second["contexts"]["trace"]["trace_id"]


def test_websocket(told: Told) -> None:
    assert told.answers["ws"][0] == "echo a"
    event = told.event("/ws")
    assert main_exception(event)["value"] == "websocket"
    assert event["transaction"] == "__main__.socket"


def test_bodies_that_the_handler_has_read(told: Told) -> None:
    data = {event["request"]["query_string"]: event["request"]["data"] for event in told.events("/body")}
    assert data["json"] == {"foo": {"bar": 42}, "password": "[Filtered]"}
    assert data["form"] == {"a": "1", "b": ["2", "3"]}
    assert data["file"] == {"field": "value", "upload": ""}
    assert data["text"] == ""
    assert data["unread"] == "[not read by the application]"


def test_transactions_by_route_and_codes_of_failures(tmp_path: Path, sandbox_in: Any) -> None:
    told = Told(
        sandbox_in(tmp_path),
        APP,
        ERRTRACK_TRACES_SAMPLE_RATE="1",
        ERRTRACK_SEND_DEFAULT_PII="1",
        ERRTRACK_AIOHTTP_TRANSACTION_STYLE="method_and_path_pattern",
        ERRTRACK_AIOHTTP_FAILED_REQUEST_STATUS_CODES="403",
    )
    with told.serve() as server:
        server.get("/crash/1", {"sentry-trace": TRACE + "-1121201211212012-1", "Cookie": "a=b"})
        for path in ("/ok", "/answer/403", "/answer/500", "/sub/fail/2", "/nowhere"):
            server.get(path)
    found = {t["transaction"]: t for t in told.transactions}
    assert set(found) == {
        "GET /crash/{n}", "GET /ok", "GET /answer/{what}", "GET /sub/fail/{x}", "generic AIOHTTP request",
    }  # fmt: skip
    failed = found["GET /crash/{n}"]
    assert failed["transaction_info"] == {"source": "route"}
    assert (failed["contexts"]["trace"]["trace_id"], failed["contexts"]["trace"]["status"]) == (
        TRACE,
        "internal_error",
    )
    assert found["GET /ok"]["contexts"]["trace"]["status"] == "ok"
    assert found["generic AIOHTTP request"]["contexts"]["trace"]["status"] == "not_found"
    event = told.event("/crash/1")
    assert event["transaction"] == "GET /crash/{n}"
    assert event["contexts"]["trace"]["span_id"] == failed["contexts"]["trace"]["span_id"]
    assert (event["user"]["ip_address"], event["request"]["cookies"]) == ("127.0.0.1", {"a": "b"})
    assert main_exception(told.event("/answer/403"))["type"] == "HTTPForbidden"
    assert not told.events("/answer/500")


def test_answers_are_the_same_without_us(told: Told) -> None:
    def ask(server: Server) -> list[Any]:
        return [
            server.get(path)
            for path in ("/ok", "/crash/1", "/none", "/answer/403", "/answer/timeout", "/stream")
        ]

    with told.serve(launched=False) as bare:
        expected = ask(bare)
    with told.serve(ERRTRACK_STORE=str(told.sandbox.folder / "other")) as ours:
        assert ask(ours) == expected
