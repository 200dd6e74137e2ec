"""The client: what is kept, what is dropped and counted, and that nothing of ours reaches the application."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from running import Running, raised

import errtrack
from errtrack import client as clients
from errtrack import guard


def test_without_launcher_and_init_calls_do_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "_clients", {})
    assert errtrack.capture_message("x") is None
    assert errtrack.capture_exception(ValueError()) is None
    assert errtrack.capture_event({}) is None
    assert not errtrack.is_initialized()
    assert errtrack.flush(1) is True
    errtrack.add_breadcrumb(message="x")
    errtrack.close()
    with errtrack.new_scope() as scope:
        scope.set_tag("a", "b")


def test_importing_the_face_is_free() -> None:
    import subprocess

    code = "import sys; before = set(sys.modules); import errtrack; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['errtrack']\n"


def test_exception_being_handled_is_the_default(running: Running) -> None:
    running.start()
    try:
        raise KeyError("k")
    except KeyError:
        event_id = errtrack.capture_exception()
    event = running.event()
    assert event["event_id"] == event_id == errtrack.last_event_id()
    assert event["exception"]["values"][0]["mechanism"] == {"type": "generic", "handled": True}
    assert errtrack.capture_exception() is None


def test_exc_info_tuple_is_taken(running: Running) -> None:
    running.start()
    try:
        raise KeyError("k")
    except KeyError:
        assert errtrack.capture_exception(sys.exc_info())
    assert running.event()["exception"]["values"][0]["stacktrace"]["frames"]


def test_scope_arguments_hold_for_one_call(running: Running) -> None:
    running.start()
    errtrack.capture_message(
        "one", level="warning", tags={"a": "1"}, user={"id": "7"}, extra={"e": 1}, fingerprint=["f"]
    )
    errtrack.capture_message("two")
    one, two = running.events()
    assert (one["level"], one["tags"], one["user"], one["fingerprint"]) == (
        "warning",
        {"a": "1"},
        {"id": "7"},
        ["f"],
    )
    assert one["extra"]["e"] == 1
    assert "tags" not in two and "user" not in two and two["level"] == "info"


def test_a_function_may_fill_the_scope_of_one_call(
    running: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    running.start()
    errtrack.capture_message("one", scope=lambda scope: scope.set_tag("a", "1"))
    errtrack.capture_exception(ValueError(), scope=lambda scope: 1 / 0, tags={"b": "2"})
    one, two = running.events()
    assert one["tags"] == {"a": "1"} and two["tags"] == {"b": "2"}


def test_scopes_reach_the_event(running: Running) -> None:
    running.start(tags={"static": "s"})
    errtrack.get_global_scope().set_tag("global", "g")
    try:
        errtrack.set_tag("isolation", "i")
        with errtrack.new_scope() as scope:
            scope.set_tag("current", "c")
            errtrack.capture_message("x")
    finally:
        errtrack.get_global_scope().remove_tag("global")
    assert running.event()["tags"] == {"static": "s", "global": "g", "isolation": "i", "current": "c"}


class Mine(LookupError):
    pass


@pytest.mark.parametrize(
    "rule", ["Mine", "LookupError", "test_client.Mine", "test_cl*", "agent.*", LookupError]
)
def test_ignored_errors(running: Running, rule: Any) -> None:
    module = Mine.__module__
    rule = (
        rule.replace("test_client", module).replace("test_cl*", module[:-2] + "*")
        if isinstance(rule, str)
        else rule
    )
    if rule == "agent.*":
        rule = module + ".*"
    running.start(ignore_errors=[rule])
    assert errtrack.capture_exception(Mine()) is None
    assert errtrack.capture_exception(ValueError()) is not None


def test_ignoring_runs_no_code_of_a_metaclass(running: Running) -> None:
    ran: list[str] = []

    class Meta(type):
        def __getattribute__(cls, name: str) -> Any:
            ran.append(name)
            return super().__getattribute__(name)

        def __eq__(cls, other: object) -> bool:
            ran.append("eq")
            return True

        def __hash__(cls) -> int:
            ran.append("hash")
            return 1

    class Odd(Exception, metaclass=Meta):
        pass

    running.start(ignore_errors=["KeyError", "Od", "some.module.*", LookupError])
    error = raised(Odd())
    ran.clear()
    assert errtrack.capture_exception(error)
    assert ran == []
    running.start(ignore_errors=["Odd"])
    assert errtrack.capture_exception(error) is None


def test_builtin_errors_are_ignored_by_full_name_too(running: Running) -> None:
    running.start(ignore_errors=["builtins.KeyError"])
    assert errtrack.capture_exception(KeyError()) is None


def test_sampling(running: Running) -> None:
    client = running.start(sample_rate=0.0)
    assert errtrack.capture_message("x") is None
    client.options.sample_rate = 0.5
    kept = sum(client._sampled() for _ in range(4000))
    assert 1800 < kept < 2200


def test_before_send_sees_plain_data_and_decides(running: Running) -> None:
    seen: list[Any] = []

    def hook(event: dict[str, Any], hint: dict[str, Any]) -> Any:
        seen.append((event, hint))
        event["tags"] = {"hooked": "yes"}
        return event if event["exception"]["values"][0]["type"] == "ValueError" else None

    running.start(before_send=hook)
    assert errtrack.capture_exception(raised(ValueError("x"))) is not None
    assert errtrack.capture_exception(raised(KeyError("x"))) is None
    event, hint = seen[0]
    assert type(event["exception"]["values"][0]["stacktrace"]["frames"][0]) is dict
    assert hint["exc_info"][0] is ValueError
    assert running.event()["tags"] == {"hooked": "yes"}


def test_what_a_hook_changes_in_an_event_is_not_changed_in_the_next(running: Running) -> None:
    seen: list[Any] = []

    def hook(event: dict[str, Any], hint: dict[str, Any]) -> Any:
        frame = event["_meta"]["exception"]["values"]["0"]["stacktrace"]["frames"]["0"]
        seen.append(
            (
                set(event["sdk"]),
                len(event["sdk"]["packages"]),
                set(event["contexts"]["runtime"]),
                set(frame["vars"]),
            )
        )
        event["sdk"]["packages"].clear()
        event["sdk"]["features"] = ["changed"]
        event["contexts"]["runtime"]["changed"] = "yes"
        frame["vars"]["changed"] = {}
        return event

    def fail() -> None:
        password = "x"
        raise ValueError(password)

    running.start(before_send=hook)
    for _ in range(2):
        try:
            fail()
        except ValueError as error:
            error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
            assert errtrack.capture_exception(error) is not None
    assert seen[0] == seen[1]


def test_before_send_that_raises_drops_and_tells_once(
    running: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    running.start(before_send=lambda event, hint: 1 / 0)
    assert errtrack.capture_message("x") is None
    assert errtrack.capture_message("y") is None
    assert running.events() == []


def test_before_send_may_return_rubbish(running: Running) -> None:
    running.start(
        before_send=lambda event, hint: {
            "unknown": 1,
            "tags": {"n": 5, "nan": float("nan")},
            "level": "ERROR",
        }
    )
    event_id = errtrack.capture_message("x")
    event = running.event()
    assert event["event_id"] == event_id and event["level"] == "error" and "unknown" not in event
    assert event["tags"]["n"] == "5"


def test_capture_inside_of_a_hook_is_dropped(running: Running) -> None:
    inner: list[Any] = []

    def hook(event: Any, hint: Any) -> Any:
        inner.append(errtrack.capture_message("inner"))
        errtrack.add_breadcrumb(message="inner")
        return event

    running.start(before_send=hook)
    assert errtrack.capture_message("outer")
    assert inner == [None]
    assert [e["logentry"]["formatted"] for e in running.events()] == ["outer"]


def test_before_breadcrumb(running: Running) -> None:
    running.start(
        before_breadcrumb=lambda crumb, hint: (
            None if crumb["message"] == "drop" else dict(crumb, category="c")
        )
    )
    errtrack.add_breadcrumb(message="drop")
    errtrack.add_breadcrumb({"message": "keep"})
    errtrack.capture_message("x")
    (crumb,) = running.event()["breadcrumbs"]["values"]
    assert (crumb["message"], crumb["category"]) == ("keep", "c")


def test_breadcrumbs_can_be_off(running: Running) -> None:
    running.start(max_breadcrumbs=0)
    errtrack.add_breadcrumb(message="x")
    errtrack.capture_message("x")
    assert "breadcrumbs" not in running.event()


def test_failing_event_processor_costs_only_itself(running: Running, faults_counted: dict[str, int]) -> None:
    running.start()
    errtrack.get_isolation_scope().add_event_processor(lambda event, hint: 1 / 0)  # type: ignore[arg-type, return-value]
    assert errtrack.capture_message("x")
    assert faults_counted == {"event processor": 1}


def test_event_processor_drops(running: Running) -> None:
    running.start()
    errtrack.get_isolation_scope().add_event_processor(lambda event, hint: None)
    assert errtrack.capture_message("x") is None


def test_fault_of_ours_never_reaches_the_caller(
    running: Running, faults_counted: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    running.start()
    monkeypatch.setattr(clients, "apply_scopes", lambda *args: 1 / 0)
    assert errtrack.capture_message("x") is None
    assert errtrack.capture_exception(ValueError()) is None
    assert faults_counted == {"client.capture": 2}


def test_inside_pytest_nothing_is_captured_unless_asked(running: Running) -> None:
    running.start(pytest=False)
    assert not errtrack.is_initialized()
    assert errtrack.capture_message("x") is None


def test_enabled_false(running: Running) -> None:
    running.start(enabled=False)
    assert errtrack.capture_message("x") is None


def test_init_again_puts_the_new_settings_in_force(running: Running) -> None:
    running.start(environment="one")
    errtrack.capture_message("1")
    running.start(environment="two")
    errtrack.capture_message("2")
    assert [e["environment"] for e in running.events()] == ["one", "two"]


def test_wrong_value_in_code_is_told_and_survived(
    running: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    client = running.start(sample_rate="lots")
    assert client.options.sample_rate == 1.0
    assert client.options.problems == ["init(): sample_rate must be a number between 0 and 1; using 1.0"]


def test_captures_from_many_threads(running: Running) -> None:
    running.start()

    def work(n: int) -> None:
        for m in range(20):
            errtrack.set_tag("thread", str(n))
            errtrack.capture_message("%d-%d" % (n, m))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = running.events()
    assert len(events) == 160
    assert all(e["tags"]["thread"] == e["logentry"]["formatted"].partition("-")[0] for e in events)


def test_captures_from_signal_handlers_and_finalisers(running: Running) -> None:
    running.start()
    accepted: list[str] = []

    def capture(name: str) -> None:
        event_id = errtrack.capture_message(name)
        if event_id:
            accepted.append(event_id)

    class Finalised:
        def __del__(self) -> None:
            capture("del")

    def handler(number: int, frame: Any) -> None:
        capture("signal")

    previous = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    try:
        for _ in range(200):
            capture("main")
            cycle: list[Any] = [Finalised()]
            cycle.append(cycle)
            del cycle
            gc.collect(0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    gc.collect()  # or a finaliser would capture in the middle of another test
    assert {e["event_id"] for e in running.events()} == set(accepted)
    assert len(accepted) > 200


def test_exception_and_its_frames_are_let_go(running: Running) -> None:
    import weakref

    running.start()

    class Local:
        pass

    def fail() -> weakref.ref[Local]:
        local = Local()
        try:
            raise ValueError("x")
        except ValueError as error:
            assert errtrack.capture_exception(error)
        return weakref.ref(local)

    gc.disable()
    try:
        assert fail()() is None  # at once: no cycle
    finally:
        gc.enable()


def test_release_is_detected(running: Running) -> None:
    running.start(project_root=str(Path(__file__).parent))
    errtrack.capture_message("x")
    release = running.event().get("release", "")
    assert release == "" or len(release) == 40  # a checkout has one, an unpacked archive has not


def test_guard_marks_this_thread_only() -> None:
    with guard.Inside():
        assert guard.is_inside()
        with guard.Inside():
            pass
        assert guard.is_inside()
        seen: list[bool] = []
        thread = threading.Thread(target=lambda: seen.append(guard.is_inside()))
        thread.start()
        thread.join()
        assert seen == [False]
    assert not guard.is_inside()


def test_exceptions_that_answer_no_question_are_captured_and_nothing_of_theirs_comes_back(
    running: Running,
) -> None:
    class Silent(Exception):
        def __getattribute__(self, name: str) -> Any:
            raise LookupError(name)

    class Covered(Exception):
        @property
        def __traceback__(self) -> Any:  # type: ignore[override]
            raise LookupError

    running.start()
    for error in (Silent("a"), Covered("b")):
        try:
            raise error
        except Exception as caught:
            assert errtrack.capture_exception(caught)
    first, second = running.events()
    assert first["exception"]["values"][-1]["stacktrace"]["frames"][-1]["lineno"]
    assert second["exception"]["values"][-1]["stacktrace"]["frames"][-1]["lineno"]
