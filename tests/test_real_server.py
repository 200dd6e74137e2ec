"""Against a real Sentry-compatible server with strict validation: everything captured is stored, as it was captured."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bugsink import Bugsink, complaints
from web import Server
from web_apps import FLASK, RAW


@pytest.fixture(scope="module")
def bugsink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bugsink]:
    with Bugsink(tmp_path_factory.mktemp("bugsink")) as server:
        yield server


stored_before: list[str] = []


def new_events(bugsink: Bugsink, wanted: int) -> list[dict]:
    found = [e for e in bugsink.events(wanted + len(stored_before)) if e["event_id"] not in stored_before]
    stored_before.extend(e["event_id"] for e in found)
    return found


@pytest.mark.parametrize("app", [RAW, FLASK], ids=["raw", "flask"])
def test_every_failed_request_of_two_workers_is_stored(bugsink: Bugsink, sandbox, app: str) -> None:
    sandbox.write("shop.py", app)
    paths = [p for n in range(50) for p in ("/fail?n%d" % n, "/ok?n%d" % n)]
    with Server.gunicorn(sandbox, "shop:app", "--workers", "2", ERRTRACK_DSN=bugsink.dsn) as server:
        server.get_all(paths)
        events = new_events(bugsink, 50)
    assert sorted(e["request"]["query_string"] for e in events) == sorted("n%d" % n for n in range(50))
    assert complaints(events) == []


def test_crash_with_everything_on_it_is_stored(bugsink: Bugsink, sandbox) -> None:
    code = """
import errtrack, datetime, decimal, sys
errtrack.set_user({"id": 42, "email": "ada@example.test", "plan": "gold"})
errtrack.set_tags({"bad key!": 5, "flag": True, "none": None, "long": "x" * 500, "line": "a\\nb"})
errtrack.set_context("order", {"id": 17, "when": datetime.datetime(2026, 1, 1), "sum": decimal.Decimal("1.5"), "nan": float("nan")})
errtrack.set_extra("deep", {"a": [{"b": {"c": {"d": {"e": {"f": 1}}}}}]})
errtrack.set_extra("odd", {"bytes": b"\\xff\\x00", "surrogate": "\\ud800", "big": 2**70, 5: "int key", "set": {1, 2}})
errtrack.set_level("critical")
errtrack.set_fingerprint(["{{ default }}", "x"])
errtrack.set_transaction_name("job", source="nonsense")
for n in range(150):
    errtrack.add_breadcrumb(message="crumb %d" % n, category="c", level="log", data={"n": n}, unknown="x")
def inner(depth):
    local = "\\x00 nul", object(), ...
    try:
        raise KeyError("inner")
    except KeyError as error:
        raise OSError(2, "no such file") from error
try:
    inner(3)
except OSError as error:
    if sys.version_info >= (3, 11):
        error.add_note("a note")
        raise ExceptionGroup("several", [error, ValueError("v"), TypeError("t")])
    raise
"""
    done = sandbox.python(
        code,
        ERRTRACK_DSN=bugsink.dsn,
        ERRTRACK_RELEASE="shop/1.0",
        ERRTRACK_ENVIRONMENT="a/b",
        ERRTRACK_DIST="x y",
        ERRTRACK_SEND_DEFAULT_PII="1",
    )
    assert "errtrack" not in done.stderr
    events = new_events(bugsink, 1)
    assert len(events) == 1
    assert complaints(events) == []
    assert len(events[0]["breadcrumbs"]["values"]) == 100


def test_messages_and_hand_made_events_are_stored(bugsink: Bugsink, sandbox) -> None:
    code = """
import errtrack
errtrack.capture_message("stock is low", level="warning", tags={"item": "7"})
errtrack.capture_message("stock of %s is low", params=["tea"])
errtrack.capture_event({"message": "by hand", "level": "FATAL", "unknown": 1, "tags": {"a": 1}, "user": {"id": 5}, "extra": [1], "contexts": {"x": "text"}})
"""
    done = sandbox.python(code, ERRTRACK_DSN=bugsink.dsn, ERRTRACK_ATTACH_STACKTRACE="1")
    assert (done.returncode, done.stderr) == (0, "")
    events = new_events(bugsink, 3)
    assert len(events) == 3
    assert complaints(events) == []
    assert {e["level"] for e in events} == {"warning", "info", "fatal"}


def test_errtrack_test_prints_the_servers_answer(bugsink: Bugsink, sandbox) -> None:
    done = sandbox.errtrack("test", ERRTRACK_DSN=bugsink.dsn)
    assert done.returncode == 0, done.stderr
    assert "200" in done.stdout
    assert len(new_events(bugsink, 1)) == 1
    wrong = bugsink.dsn.replace(bugsink.dsn.split("//")[1].split("@")[0], "0" * 32)
    refused = sandbox.errtrack("test", ERRTRACK_DSN=wrong)
    assert refused.returncode == 1 and "403" in refused.stdout + refused.stderr


def test_what_a_process_could_not_deliver_the_next_one_does(bugsink: Bugsink, sandbox) -> None:
    """The server is away for the whole life of the first process."""
    import socket

    dsn = bugsink.dsn
    host = dsn.split("@")[1].split("/")[0]
    port = int(host.split(":")[1])
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        away = dsn.replace(":%d/" % port, ":%d/" % closed.getsockname()[1])
    # One destination is one DSN: the same one is first unreachable by a proxy that is not there.
    dead_proxy = "http://" + away.split("@")[1].split("/")[0]
    code = "import errtrack\nfor n in range(20): errtrack.capture_message('kept %d' % n)\n"
    first = sandbox.python(
        code, ERRTRACK_DSN=dsn, ERRTRACK_HTTP_PROXY=dead_proxy, ERRTRACK_SHUTDOWN_TIMEOUT="0.5"
    )
    assert first.returncode == 0
    # Old events go out at most ten a second, and exit does not wait for all of them: the process has to live a while.
    sandbox.python("import errtrack, time; errtrack.capture_message('next'); time.sleep(6)", ERRTRACK_DSN=dsn)
    titles = {e["logentry"]["formatted"] for e in new_events(bugsink, 21)}
    assert titles == {"next", *("kept %d" % n for n in range(20))}


def test_harness_finds_what_is_wrong() -> None:
    """A checker that cannot fail would prove nothing."""
    assert complaints([{"event_id": "0" * 31 + "1", "platform": "python", "level": "nonsense"}])


def test_an_event_with_all_that_can_be_said_and_what_goes_beside_it(bugsink: Bugsink, sandbox) -> None:
    code = """
import errtrack
errtrack.start_session()
errtrack.add_attachment(b"notes", "notes.txt")
errtrack.add_feature_flag("new-cart", True)
errtrack.add_feature_flag("variant", "b")
errtrack.set_user({"id": 1, "username": "ada", "email": "a@example.test", "ip_address": "10.0.0.1",
    "geo": {"city": "Vienna", "country_code": "AT"}, "segment": "x", "data": {"plan": "gold"}, "own": [1, None]})
errtrack.set_transaction_name("nightly", source="task")
errtrack.add_breadcrumb(type="http", category="http", message="GET", level="info", data={"url": "https://x.test", "status_code": 200})
try:
    with errtrack.monitor("nightly", schedule="0 3 * * *"):
        1 / 0
except ZeroDivisionError:
    errtrack.capture_exception(contexts={"state": {"a": [1, {"b": None}]}, "culture": {"locale": "de_AT"}}, extra={"n": 1.5})
errtrack.capture_event({"type": "transaction", "transaction": "t", "start_timestamp": 1790000000.0, "timestamp": 1790000001.0,
    "spans": [], "contexts": {"trace": {"trace_id": "a" * 32, "span_id": "b" * 16}}})
for n in range(5):
    try:
        raise KeyError("storm")
    except KeyError as error:
        errtrack.capture_exception(error)
errtrack.end_session()
"""
    done = sandbox.python(
        code, ERRTRACK_DSN=bugsink.dsn, ERRTRACK_RELEASE="shop@2.0", ERRTRACK_DIST="7", ERRTRACK_SEND_DEFAULT_PII="1",
        ERRTRACK_AUTO_SESSION_TRACKING="1", ERRTRACK_MAX_EVENTS_BURST="2", ERRTRACK_MAX_EVENTS_PER_MINUTE="0.01",
        DYNO="web.1", KUBERNETES_SERVICE_HOST="10.0.0.1", HOSTNAME="pod-1",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    events = new_events(bugsink, 4)
    assert len(events) == 4
    assert complaints(events) == []
    full = next(e for e in events if e["exception"]["values"][0]["type"] == "ZeroDivisionError")
    assert full["contexts"]["flags"]["values"] == [
        {"flag": "new-cart", "result": True}, {"flag": "variant", "result": "b"}
    ]  # fmt: skip
    assert full["contexts"]["cloud_resource"]["cloud.provider"] == "heroku"
    assert full["contexts"]["container"]["k8s.pod.name"] == "pod-1"
    assert sum(e.get("extra", {}).get("suppressed_events", 0) for e in events) == 3
