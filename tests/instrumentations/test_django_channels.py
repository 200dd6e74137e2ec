"""Django Channels: failing websocket consumers, under uvicorn, daphne and a test's communicator."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from web import Server, main_exception

pytest.importorskip("channels")
client = pytest.importorskip("websockets.sync.client")

from djangos import shop_in, uvicorn  # noqa: E402


def daphne(sandbox: Any, app: str) -> Server:
    pytest.importorskip("daphne")
    return Server(sandbox, sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", "PORT", app)


def talk(port: int, path: str, *texts: str) -> list[str]:
    """What comes back for each text, until the server hangs up."""
    from websockets.exceptions import ConnectionClosed

    answers = []
    with client.connect("ws://127.0.0.1:%d%s" % (port, path), open_timeout=30) as socket:
        try:
            for text in texts:
                socket.send(text)
                answers.append(socket.recv(timeout=30))
        except ConnectionClosed:
            pass
    return answers


@pytest.mark.parametrize("serve", [uvicorn, daphne])
def test_failing_consumers_are_one_event_each(sandbox_in: Any, tmp_path: Any, serve: Any) -> None:
    if serve is uvicorn:
        pytest.importorskip("uvicorn")
    sandbox = shop_in(sandbox_in, tmp_path)
    with serve(sandbox, "sockets:application") as server:
        assert talk(server.port, "/ws/red/", "hello", "fail") == ["hello"]
        assert talk(server.port, "/aws/blue/", "hello", "fail") == ["hello"]
        assert talk(server.port, "/ws/green/", "goodbye") == ["goodbye"]
        assert server.get("/fail/1/")[0] == 500
    # Old releases of uvicorn log that a client of new releases of websockets has hung up.
    chat, async_chat, view = (event for event in sandbox.events() if event.get("logger") != "uvicorn.error")
    assert [main_exception(e)["value"] for e in (chat, async_chat)] == ["in receive", "in async receive"]
    mechanism = main_exception(chat)["mechanism"]
    assert (mechanism["type"], mechanism["handled"]) == ("asgi", False)
    assert chat["request"]["url"] == "ws://127.0.0.1:%d/ws/red/" % server.port
    assert chat["tags"]["asgi.type"] == "websocket"
    assert (chat["transaction"], chat["transaction_info"]) == ("sockets.Chat", {"source": "component"})
    assert async_chat["transaction"] == "sockets.AsyncChat"
    assert (chat["tags"]["room"], async_chat["tags"]["room"]) == ("red", "blue")
    assert (view["transaction"], main_exception(view)["mechanism"]["type"]) == ("/fail/{n}/", "django")
    assert "room" not in view["tags"]


def test_consumer_under_a_communicator_is_reported(sandbox_in: Any, tmp_path: Any) -> None:
    pytest.importorskip("daphne")  # channels.testing wants it
    sandbox = shop_in(sandbox_in, tmp_path)
    code = """
import asyncio
import sockets
from channels.testing import WebsocketCommunicator
async def main(app, path):
    communicator = WebsocketCommunicator(app, path)
    await communicator.connect(timeout=20)
    await communicator.send_to(text_data="fail")
    try:
        await communicator.wait(timeout=20)
    except RuntimeError as error:
        print(error)
asyncio.run(main(sockets.application, "/aws/blue/"))
async def alone(scope, receive, send):
    scope = {**scope, "url_route": {"kwargs": {"room": "none"}}}
    await sockets.AsyncChat.as_asgi()(scope, receive, send)
asyncio.run(main(alone, "/x/"))
"""
    done = sandbox.python(code)
    assert done.stdout == "in async receive\nin async receive\n", done.stderr
    events = sandbox.events()
    assert [e["transaction"] for e in events] == ["sockets.AsyncChat"] * 2
    assert [e["tags"]["room"] for e in events] == ["blue", "none"]


def test_websocket_is_a_transaction(sandbox_in: Any, tmp_path: Any) -> None:
    pytest.importorskip("uvicorn")
    env = {"ERRTRACK_TRACES_SAMPLE_RATE": "1", "ERRTRACK_BEFORE_SEND_TRANSACTION": "spy:keep"}
    sandbox = shop_in(sandbox_in, tmp_path, **env)
    with uvicorn(sandbox, "sockets:application") as server:
        talk(server.port, "/ws/red/", "fail")
    text = (sandbox.folder / "transactions").read_text()
    assert '"op": "websocket.server"' in text and '"transaction": "sockets.Chat"' in text
