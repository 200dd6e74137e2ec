"""asgi_servers: any ASGI application at the door of its server: reported once, served as without us."""

from __future__ import annotations

import pytest

from web import Server, main_exception
from web_apps import ASGI

pytest.importorskip("uvicorn")


def test_failing_request_of_a_plain_application(sandbox) -> None:
    sandbox.write("shop.py", ASGI)
    with Server.uvicorn(sandbox, "shop:app") as server:
        assert server.get("/fail?x")[0] == 500
        assert server.get("/ok?y") == (200, b"fine y")
    event = sandbox.event()
    assert main_exception(event)["mechanism"] == {"type": "asgi", "handled": False}
    assert (event["transaction"], event["transaction_info"]) == ("/fail", {"source": "url"})
    assert event["tags"] == {"query": "x"}
    assert event["request"]["url"] == "http://127.0.0.1:%d/fail" % server.port
    assert (event["request"]["method"], event["request"]["query_string"]) == ("GET", "x")
