"""threading: a thread that dies is one event, with what was said where it was started; threads are as ever."""

from __future__ import annotations

import contextvars
import gc
import sys
import threading
import weakref
from typing import Any

import pytest

import errtrack
from web import main_exception


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """pytest reports threads that die; here they are meant to. What the program's own hook is given is kept."""
    seen: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append((args.exc_type, args.thread.name)))
    return seen


def fail() -> None:
    raise ZeroDivisionError("in a thread")


def run(thread: threading.Thread) -> None:
    thread.start()
    thread.join(30)
    assert not thread.is_alive()


SAMPLE = """
import threading
import errtrack

errtrack.set_tag("mytag", "myvalue")

def tries_to_work():
    1 / 0

thread = threading.Thread(target=tries_to_work)
thread.start()
thread.join()
"""


@pytest.mark.parametrize("propagate", ["true", "false", None])
def test_the_documented_sample(sandbox, propagate) -> None:
    sandbox.write("errtrack.toml", "[threading]\npropagate_scope = %s\n" % propagate if propagate else "")
    watched = sandbox.python(SAMPLE)
    assert watched.returncode == 0
    event = sandbox.event()
    assert event.get("tags", {}).get("mytag") == (None if propagate == "false" else "myvalue")
    error = main_exception(event)
    assert error["mechanism"] == {"type": "threading", "handled": False}
    assert [f["function"] for f in error["stacktrace"]["frames"]][-1] == "tries_to_work"
    assert event["contexts"]["thread"]["name"].startswith("Thread-1")


def test_output_is_as_without_us(sandbox) -> None:
    code = "import threading\nt = threading.Thread(target=lambda: 1 / 0)\nt.start()\nt.join()\n"
    bare = sandbox.python(code, launched=False)
    watched = sandbox.python(code)
    assert "ZeroDivisionError" in bare.stderr
    assert (watched.stdout, watched.stderr, watched.returncode) == (bare.stdout, bare.stderr, bare.returncode)


def test_a_failing_target_is_one_event_and_the_programs_hook_is_called_once(watching, quiet) -> None:
    watching("threading")
    run(threading.Thread(target=fail, name="worker"))
    assert main_exception(watching.event())["type"] == "ZeroDivisionError"
    assert watching.event()["level"] == "error"
    assert quiet == [(ZeroDivisionError, "worker")]


def test_switched_off_nothing_is_seen(watching) -> None:
    start = threading.Thread.start
    watching("threading", disable=["threading"])
    run(threading.Thread(target=fail))
    assert watching.events == [] and threading.Thread.start is start


def test_subclasses_instance_level_run_and_timers(watching) -> None:
    watching("threading")

    class Worker(threading.Thread):
        def run(self) -> None:
            fail()

    for _ in range(3):
        run(Worker())
    thread = threading.Thread()
    thread.run = fail  # type: ignore[method-assign]
    run(thread)
    run(threading.Timer(0, fail))
    assert len(watching.events) == 5


def test_system_exit_is_none_and_other_base_exceptions_are_events(watching) -> None:
    class Odd(BaseException):
        pass

    def leave() -> None:
        raise SystemExit(3)

    def odd() -> None:
        raise Odd()

    watching("threading")
    run(threading.Thread(target=leave))
    run(threading.Thread(target=odd))
    assert main_exception(watching.event())["type"].endswith("Odd")


def test_scopes_are_forked_both_ways(watching) -> None:
    watching("threading")
    errtrack.set_tag("parent", "yes")
    errtrack.add_breadcrumb(message="before")
    with errtrack.new_scope() as scope:
        scope.set_tag("block", "yes")

        def work() -> None:
            errtrack.set_tag("child", "yes")
            fail()

        run(threading.Thread(target=work))
    errtrack.capture_message("parent")
    child, parent = watching.events
    assert child["tags"] == {"parent": "yes", "block": "yes", "child": "yes"}
    assert [c["message"] for c in child["breadcrumbs"]["values"]] == ["before"]
    assert parent["tags"] == {"parent": "yes"}
    assert child["contexts"]["trace"]["trace_id"] == parent["contexts"]["trace"]["trace_id"]


def test_a_thread_that_starts_a_thread_hands_on(watching) -> None:
    def stage1() -> None:
        errtrack.set_tag("stage", "1")
        run(threading.Thread(target=fail))

    watching("threading")
    run(threading.Thread(target=stage1))
    assert watching.event()["tags"] == {"stage": "1"}


def test_without_propagation_the_thread_knows_nothing(watching) -> None:
    watching("threading", threading_propagate_scope=False)
    errtrack.set_tag("parent", "yes")
    run(threading.Thread(target=fail))
    assert "tags" not in watching.event()


@pytest.mark.parametrize("propagate", [True, False])
def test_threads_that_run_in_a_context_of_their_own(watching, propagate) -> None:
    """As Python 3.14 does for every thread, with a copy of the starter's context where it inherits."""

    class Contextual(threading.Thread):
        def __init__(self) -> None:
            super().__init__()
            self._context = contextvars.copy_context()

        def run(self) -> None:
            self._context.run(self.work)

        def work(self) -> None:
            errtrack.set_tag("child", "yes")
            seen.append(errtrack.get_isolation_scope().tags)
            fail()

    seen: list[Any] = []
    watching("threading", threading_propagate_scope=propagate)
    errtrack.set_tag("parent", "yes")
    run(Contextual())
    expected = {"parent": "yes", "child": "yes"} if propagate else {"child": "yes"}
    assert watching.event()["tags"] == expected
    assert errtrack.get_isolation_scope().tags == {"parent": "yes"}
    assert seen == [expected]


class Strict(threading.Thread):
    """Takes no attribute a second time."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_invoke_excepthook" and name in vars(self):
            raise AttributeError(name)
        super().__setattr__(name, value)


def test_a_thread_of_a_class_that_refuses_attributes_is_seen_as_any(watching, faults_counted) -> None:
    watching("threading")
    run(Strict(target=fail))
    assert faults_counted == {}
    assert main_exception(watching.event())["mechanism"]["type"] == "threading"


def test_starting_twice_fails_as_ever(watching) -> None:
    watching("threading")
    errtrack.set_tag("parent", "yes")
    thread = threading.Thread(target=int)
    run(thread)
    with pytest.raises(RuntimeError, match="threads can only be started once"):
        thread.start()
    assert watching.events == [] and vars(thread)["_invoke_excepthook"].carried is None


def test_a_thread_that_could_not_be_started_keeps_nothing_and_starts_later(watching) -> None:
    watching("threading")
    errtrack.set_tag("parent", "early")
    thread = threading.Thread(target=fail)
    former = threading.stack_size(1 << 46)  # no system has so much
    try:
        with pytest.raises(RuntimeError, match="can't start new thread"):
            thread.start()
    finally:
        threading.stack_size(former)
    assert vars(thread)["_invoke_excepthook"].carried is None
    errtrack.set_tag("parent", "late")
    if sys.version_info >= (3, 13):  # which takes it for one that was started
        thread = threading.Thread(target=fail)
    run(thread)
    assert watching.event()["tags"] == {"parent": "late"}


def test_a_class_of_threads_that_answers_for_what_is_not_there_is_asked_for_nothing_that_hurts(
    watching,
) -> None:
    class Answers(threading.Thread):
        def __getattr__(self, name: str) -> Any:
            raise LookupError(name)

    watching("threading")
    errtrack.set_tag("parent", "yes")
    run(Answers(target=fail))
    assert watching.event()["tags"] == {"parent": "yes"}


def test_names_and_identities_stay(watching) -> None:
    plain_run = threading.Thread.run
    hook = threading.excepthook
    watching("threading")
    thread = threading.Thread(target=fail)
    assert threading.Thread.start.__qualname__ == "Thread.start"
    assert threading.Thread.run is plain_run and thread.run.__qualname__ == "Thread.run"
    run(thread)
    assert threading.excepthook is hook


def test_a_finished_thread_goes_without_the_collector(watching) -> None:
    watching("threading")
    errtrack.set_tag("parent", "yes")
    gc.disable()
    try:
        thread = threading.Thread(target=fail)
        run(thread)
        gone = weakref.ref(thread)
        watching.hints.clear()
        del thread
        assert gone() is None
    finally:
        gc.enable()


def test_threads_started_before_anything_was_said_load_nothing(sandbox) -> None:
    done = sandbox.python(
        "import threading, sys\nt = threading.Thread(target=int)\nt.start()\nt.join()\n"
        "print([n for n in ('errtrack.client', 'errtrack.context.scope', 'wrapt', 'logging') if n in sys.modules])\n"
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    "module",
    ["threading", "logging", "asyncio", "asyncio.base_events", "concurrent.futures", "concurrent.futures.thread",
     "concurrent.futures.process", "multiprocessing", "multiprocessing.process", "multiprocessing.pool", "queue",
     "subprocess", "logging.handlers", "logging.config"],
)  # fmt: skip
def test_modules_imported_first_are_as_bare(sandbox, module) -> None:
    code = (
        "import %s as m, sys\n"
        "print(sorted(n for n in sys.modules if not n.startswith('errtrack')))\n"
        "print(sorted(vars(m)), type(m.__loader__).__name__, m.__spec__.name)\n" % module
    )
    bare = sandbox.python(code, launched=False)
    watched = sandbox.python(code)
    assert watched.stderr == bare.stderr == ""
    modules, rest = watched.stdout.splitlines()
    bare_modules, bare_rest = bare.stdout.splitlines()
    assert rest == bare_rest
    more = set(eval(modules)) - set(eval(bare_modules))
    assert set(eval(bare_modules)) <= set(eval(modules))
    assert more <= {
        "sitecustomize",
        "difflib",
        "heapq",
        "_heapq",
        "atexit",
        "__future__",
        "fcntl",
        "faulthandler",
    }
