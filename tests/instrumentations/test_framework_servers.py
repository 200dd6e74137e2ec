"""Flask and Django behind every server: a good request, a failing view, a stream that fails; each failure once."""

from __future__ import annotations

import socket
import sys
from typing import Any

import pytest

from djangos import shop_in
from flasks import till_in
from web import Server, main_exception
from wsgi_kinds import started

WSGI = ("gunicorn-sync", "gunicorn-preload", "gunicorn-gthread", "gunicorn-gevent", "waitress", "werkzeug", "debugger",
        "cheroot", "gevent", "eventlet", "tornado", "wsgiref")  # fmt: skip
#: Server -> its command, and the package that has to be there.
ASGI = {
    "uvicorn": ("uvicorn", ["uvicorn", "--port", "PORT", "--log-level", "critical"]),
    "two-uvicorns": ("uvicorn", ["uvicorn", "--port", "PORT", "--log-level", "critical", "--workers", "2"]),
    "uvicorn-that-reloads": ("uvicorn", ["uvicorn", "--port", "PORT", "--log-level", "critical", "--reload"]),
    "hypercorn": ("hypercorn", ["hypercorn", "--bind", "127.0.0.1:PORT"]),
    "daphne": ("daphne", ["daphne", "-b", "127.0.0.1", "-p", "PORT"]),
}
#: They leave the client of a stream that fails alone.
LEAVING = ("tornado", "daphne")
FRAMEWORKS = {"flask": "till:app", "django": "shop:application"}


def place(framework: str, sandbox_in: Any, folder: Any) -> Any:
    pytest.importorskip(framework)
    return (
        till_in(sandbox_in, folder) if framework == "flask" else shop_in(sandbox_in, folder, migrated=False)
    )


def walk(server: Server, slash: str, kind: str) -> None:
    """Ask for each of three, twice."""
    for n in (1, 2):
        assert server.get("/ok/%d%s" % (n, slash)) == (200, b"fine %d" % n)
        assert server.get("/fail/%d%s" % (n, slash))[0] == 500
        try:
            assert server.get("/stream" + slash, timeout=2 if kind in LEAVING else 30)[0] in (0, 200, 500)
        except socket.timeout:
            assert kind in LEAVING
    assert server.get("/ok/3" + slash) == (200, b"fine 3")


def assert_each_failed_once(events: list[dict[str, Any]], mechanism: str, slash: str) -> None:
    told = [
        (main_exception(e)["value"], main_exception(e)["mechanism"]["type"])
        for e in events
        if "exception" in e
    ]
    stream = "mid-stream of /stream" if mechanism == "flask" else "mid-stream"
    layer = "asgi" if mechanism == "asgi" else "wsgi"
    view = "django" if mechanism == "asgi" else mechanism
    assert sorted(told) == sorted([("failed 1", view), ("failed 2", view), (stream, layer), (stream, layer)])
    for event in events:
        value = main_exception(event)["value"]
        if value.startswith("failed"):
            number = value[-1]
            assert event["tags"] == {"n": number}
            # Nothing of the requests before, on the same thread.
            crumbs = [c["message"] for c in event["breadcrumbs"]["values"] if "category" not in c]
            assert crumbs == ["about to fail " + number]
            assert event["request"]["url"].endswith("/fail/%s%s" % (number, slash))
        else:
            assert event["tags"] == {"streamed": "yes"} and event["request"]["url"].endswith(
                "/stream" + slash
            )
            assert event["transaction"] in ("stream", "/stream/")
    assert len({event["contexts"]["trace"]["trace_id"] for event in events}) == 4


@pytest.mark.parametrize("framework", sorted(FRAMEWORKS))
@pytest.mark.parametrize("kind", WSGI)
def test_each_failure_once_whatever_serves(sandbox_in: Any, tmp_path: Any, kind: str, framework: str) -> None:
    sandbox = place(framework, sandbox_in, tmp_path)
    slash = "/" if framework == "django" else ""
    with started(sandbox, kind, FRAMEWORKS[framework]) as server:
        walk(server, slash, kind)
    # Some releases of eventlet log that they have failed at patching a part of Python.
    events = [event for event in sandbox.events() if kind != "eventlet" or "request" in event]
    assert_each_failed_once(events, framework, slash)


@pytest.mark.parametrize("kind", sorted(ASGI))
def test_each_failure_once_whatever_serves_by_asgi(sandbox_in: Any, tmp_path: Any, kind: str) -> None:
    sandbox = place("django", sandbox_in, tmp_path)
    package, command = ASGI[kind]
    pytest.importorskip(package)
    with Server(sandbox, sys.executable, "-m", *command, "shop:asgi") as server:
        walk(server, "/", kind)
    assert_each_failed_once(sandbox.events(), "asgi", "/")
