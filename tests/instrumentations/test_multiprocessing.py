"""multiprocessing and os.fork: a child that dies is one event, however it was started, and dies as ever."""

from __future__ import annotations

import os

import pytest

from web import main_exception

CODE = """
import errtrack, multiprocessing, os, sys

def fail():
    print(os.getpid(), flush=True)
    1 / 0

def tell():
    errtrack.capture_message("from the child")

def leave():
    sys.exit(3)

class Own(multiprocessing.Process):
    def run(self):
        fail()

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    errtrack.set_tag("parent", "yes")
    child = Own() if sys.argv[2] == "own" else multiprocessing.Process(target=globals()[sys.argv[2]])
    child.start()
    child.join()
    print("exit code", child.exitcode)
"""
METHODS = [
    pytest.param("fork", marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")),
    "spawn",
    "forkserver",
]


def run(sandbox, method: str, what: str, **env: str):
    import sys

    sandbox.write("app.py", CODE)
    return sandbox.run(sys.executable, "app.py", method, what, **env)


@pytest.mark.parametrize("what", ["fail", "own"])
@pytest.mark.parametrize("method", METHODS)
def test_a_child_that_fails_is_one_event_from_the_child(sandbox, method, what) -> None:
    done = run(sandbox, method, what)
    pid, code = done.stdout.splitlines()
    assert code == "exit code 1"
    assert "ZeroDivisionError" in done.stderr and "errtrack" not in done.stderr.partition("Traceback")[0]
    event = sandbox.event()
    error = main_exception(event)
    assert error["mechanism"] == {"type": "multiprocessing", "handled": False}
    assert error["stacktrace"]["frames"][-1]["function"] == "fail"
    assert event["contexts"]["process"]["pid"] == int(pid)
    if method == "fork":
        assert event["tags"]["parent"] == "yes"


HANDS_ITSELF = """
import multiprocessing, sys, traceback

class Own(multiprocessing.Process):
    def helper(self):
        print("helps", self.name, flush=True)
        1 / 0

    def run(self):
        try:
            child = multiprocessing.Process(target=self.helper)
            child.start()
            child.join()
            print("exit code", child.exitcode, sorted(key for key in vars(self) if key[0] != "_"), flush=True)
        except Exception:
            traceback.print_exc()

def instead():
    print("run", callable(multiprocessing.current_process().run), flush=True)

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    for made in Own(name="own"), Own(name="run of its own"):
        if made.name != "own":
            made.run = instead
        made.start()
        made.join()
        print("exit code", made.exitcode, flush=True)
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_child_can_be_handed_on_to_a_child_of_its_own(sandbox, method) -> None:
    import sys

    sandbox.write("app.py", HANDS_ITSELF)
    bare = sandbox.run(sys.executable, "app.py", method, launched=False)
    watched = sandbox.run(sys.executable, "app.py", method)
    assert bare.stdout.splitlines() == [
        "helps own",
        "exit code 1 []",
        "exit code 0",
        "run True",
        "exit code 0",
    ]
    assert watched.stdout == bare.stdout
    if sys.version_info >= (3, 11):
        assert watched.stderr == bare.stderr
    assert main_exception(sandbox.event())["mechanism"]["type"] == "multiprocessing"


@pytest.mark.parametrize("method", METHODS)
def test_what_a_child_captured_arrives_before_the_parent_ends(sandbox, method) -> None:
    from agent.sink import Sink

    with Sink() as sink:
        run(sandbox, method, "tell", ERRTRACK_DSN="http://key@127.0.0.1:%d/1" % sink.port)
        events = [item for r in sink.accepted for item in r.envelope.items if item[0].get("type") == "event"]
    assert len(events) == 1


def test_leaving_is_no_failure(sandbox) -> None:
    assert run(sandbox, "fork", "leave").stdout == "exit code 3\n"
    assert sandbox.events() == []


def test_switched_off_the_child_dies_unseen(sandbox) -> None:
    run(sandbox, "fork", "fail", ERRTRACK_DISABLE="multiprocessing")
    assert sandbox.events() == []


def test_an_error_in_a_pools_task_is_the_parents(sandbox) -> None:
    sandbox.python(
        """
import multiprocessing
def fail(): raise ValueError("in a pool")
if __name__ == "__main__":
    with multiprocessing.Pool(1) as pool:
        pool.apply(fail)
"""
    )
    error = main_exception(sandbox.event())
    assert (error["type"], error["mechanism"]["type"]) == ("ValueError", "excepthook")


def test_a_plain_fork_is_as_any_process_and_sends_nothing_of_its_parents(sandbox) -> None:
    from agent.sink import Sink

    with Sink() as sink:
        sandbox.python(
            """
import errtrack, os
errtrack.capture_message("parent")
pid = os.fork()
if not pid:
    raise ValueError("child")
os.waitpid(pid, 0)
""",
            ERRTRACK_DSN="http://key@127.0.0.1:%d/1" % sink.port,
        )
        bodies = [
            item[1] for r in sink.accepted for item in r.envelope.items if item[0].get("type") == "event"
        ]
    assert len(bodies) == 2
    assert sum(b'"child"' in body for body in bodies) == 1
