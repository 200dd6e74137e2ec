"""uwsgi: any application that uWSGI loads: by module, by file, by mounts; with master, lazy, with threads."""

from __future__ import annotations

import time

import pytest

from web import Server, main_exception
from web_apps import RAW
from wsgi_kinds import UWSGI

# It has to be compiled, so it is no part of the test extra.
pytestmark = pytest.mark.skipif(UWSGI is None, reason="uWSGI is not installed (see tests/bootstrap/rooms.py)")

#: How it is started; what its application is called.
STARTS = {
    "module": ("--module", "shop:app"),
    "module-master": ("--module", "shop", "--callable", "app", "--master", "--processes", "2"),
    "lazy": ("--module", "shop:app", "--master", "--lazy-apps", "--processes", "2"),
    "threads": ("--module", "shop:app", "--master", "--enable-threads", "--threads", "4"),
    "file": ("--wsgi-file", "shop.py", "--callable", "app"),
    "file-lazy": ("--wsgi-file", "shop.py", "--callable", "app", "--master", "--lazy-apps"),
    "instance": ("--module", "shop:instance"),
}

MORE = """
class Instance:
    def __call__(self, environ, start_response):
        return app(environ, start_response)
instance = Instance()
"""


def serve(sandbox, *arguments: str, **env: str) -> Server:
    assert UWSGI is not None
    sandbox.write("shop.py", RAW + MORE)
    env.setdefault("PYTHONPATH", str(sandbox.folder))
    start = (UWSGI, "--http-socket", "127.0.0.1:PORT", "--die-on-term", "--need-app", "--disable-logging")
    return Server(sandbox, *start, *arguments, **env)


@pytest.mark.parametrize("kind", sorted(STARTS))
def test_each_failure_once_however_the_application_is_found(sandbox, kind: str) -> None:
    with serve(sandbox, *STARTS[kind]) as server:
        # A worker of uWSGI's that is told to end while it loads its application does not.
        workers = 2 if kind == "lazy" else 1
        deadline = time.monotonic() + 30
        while server.output.count("WSGI app 0") < workers and time.monotonic() < deadline:
            time.sleep(0.05)
        assert server.get("/ok?a") == (200, b"fine a")
        assert server.get("/one") == (200, b"just this")
        assert server.get("/file")[1].startswith(b"\nimport errtrack")
        server.get("/fail?b")
        server.get("/generator?fail")
        server.get("/close?c")
        assert server.get("/generator?ok") == (200, b"firstsecond")
    events = sorted(sandbox.events(), key=lambda event: event["request"]["query_string"])
    assert [(main_exception(e)["value"], e["tags"]) for e in events] == [
        ("failed b", {"query": "b"}),
        ("in close", {"query": "c"}),
        ("mid-stream", {"query": "fail"}),
    ]
    assert main_exception(events[0])["mechanism"]["type"] == "wsgi"
    assert events[0]["request"]["url"] == "http://127.0.0.1:%d/fail" % server.port


def test_several_mounts(sandbox) -> None:
    sandbox.write("other.py", RAW.replace("failed ", "other "))
    mounts = ("--mount", "/first=shop:app", "--mount", "/second=other.py", "--callable", "app")
    with serve(sandbox, *mounts, "--manage-script-name", "--module", "shop:app") as server:
        server.get("/first/fail?1")
        server.get("/second/fail?2")
    events = sorted(sandbox.events(), key=lambda event: event["request"]["query_string"])
    assert [main_exception(event)["value"] for event in events] == ["failed 1", "other 2"]
    assert events[0]["request"]["url"].endswith("/first/fail")


def test_requests_side_by_side_in_threads_keep_apart(sandbox) -> None:
    paths = [path % n for n in range(50) for path in ("/fail?n%d", "/ok?n%d")]
    with serve(sandbox, "--module", "shop:app", "--master", "--enable-threads", "--threads", "8") as server:
        server.get_all(paths)
    events = sandbox.events()
    assert len(events) == 50
    for event in events:
        query = event["request"]["query_string"]
        assert (main_exception(event)["value"], event["tags"]) == ("failed " + query, {"query": query})


def test_applications_are_left_alone_where_it_is_disabled(sandbox) -> None:
    with serve(sandbox, "--module", "shop:app", ERRTRACK_DISABLE="uwsgi") as server:
        server.get("/fail?b")
    # uWSGI hands what an application raises to sys.excepthook, which knows of no request.
    assert [main_exception(e)["mechanism"]["type"] for e in sandbox.events()] == ["excepthook"]
