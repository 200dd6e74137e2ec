"""asyncio: what reaches nobody is one event, what somebody awaits is none; each task has a scope of its own."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
from typing import Any

import pytest

import errtrack
from web import main_exception


async def boom() -> None:
    raise ZeroDivisionError("in a task")


@pytest.fixture
def loops(watching):
    return watching("logging", "asyncio")


def test_a_task_that_nobody_awaits_is_one_event(loops) -> None:
    async def main() -> None:
        asyncio.get_running_loop().create_task(boom(), name="lost")
        await asyncio.sleep(0.01)
        gc.collect()

    asyncio.run(main())
    event = loops.event()  # the asyncio logger repeats it
    error = main_exception(event)
    assert (error["type"], error["mechanism"]) == ("ZeroDivisionError", {"type": "asyncio", "handled": False})
    assert event["extra"]["message"] == "Task exception was never retrieved"
    assert "lost: boom" in event["extra"]["future"]


def test_a_failing_callback_is_one_event_with_its_scope(loops) -> None:
    async def main() -> None:
        errtrack.set_tag("where", "main")
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0.01)

    asyncio.run(main())
    event = loops.event()
    assert main_exception(event)["mechanism"]["type"] == "asyncio"
    assert event["tags"] == {"where": "main"}
    assert "Handle" in event["extra"]["handle"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks tell their context from Python 3.12 on")
def test_an_abandoned_task_is_reported_in_its_own_scope(loops) -> None:
    async def work() -> None:
        errtrack.set_tag("task", "lost")
        await boom()

    async def main() -> None:
        errtrack.set_tag("main", "yes")
        asyncio.get_running_loop().create_task(work())
        await asyncio.sleep(0.01)

    asyncio.run(main())
    gc.collect()
    assert loops.event()["tags"] == {"main": "yes", "task": "lost"}


def test_what_somebody_awaits_is_theirs(loops) -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await asyncio.create_task(boom())
        await asyncio.gather(boom(), boom(), return_exceptions=True)
        task = asyncio.create_task(asyncio.sleep(10))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    gc.collect()
    assert loops.events == []


def test_the_programs_exception_handler_is_called_with_what_it_would_get(loops) -> None:
    seen: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: seen.append(context))
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert len(seen) == 1 and isinstance(seen[0]["exception"], ZeroDivisionError)
    assert len(loops.events) == 1


def test_switched_off_only_the_logger_tells(watching) -> None:
    watching("logging", "asyncio", disable=["asyncio"])

    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert main_exception(watching.event())["mechanism"]["type"] == "logging"


def test_each_task_has_a_scope_of_its_own(loops) -> None:
    async def work(number: str) -> None:
        errtrack.set_tag("task", number)
        await asyncio.sleep(0.01)
        errtrack.capture_message(number)

    async def main() -> None:
        errtrack.set_tag("main", "yes")
        await asyncio.gather(work("1"), work("2"))
        errtrack.capture_message("main")

    asyncio.run(main())
    tags = {e["logentry"]["message"]: e["tags"] for e in loops.events}
    assert tags == {
        "1": {"main": "yes", "task": "1"},
        "2": {"main": "yes", "task": "2"},
        "main": {"main": "yes"},
    }


@pytest.mark.skipif(sys.version_info < (3, 11), reason="new in Python 3.11")
def test_a_context_that_is_given_is_the_tasks_own(loops) -> None:
    own: contextvars.ContextVar[str] = contextvars.ContextVar("own")

    async def work() -> None:
        own.set("from the task")

    async def main() -> None:
        errtrack.set_tag("main", "yes")
        context = contextvars.copy_context()
        await asyncio.get_running_loop().create_task(work(), context=context)  # type: ignore[call-arg,unused-ignore]
        assert context[own] == "from the task"

    asyncio.run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="new in Python 3.12")
def test_eager_tasks_go_on_working(loops) -> None:
    async def main() -> None:
        errtrack.set_tag("main", "yes")
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]

        async def work() -> str:
            errtrack.set_tag("eager", "yes")
            return "done"

        assert await loop.create_task(work()) == "done"
        errtrack.capture_message("main")

    asyncio.run(main())
    assert loops.event()["tags"] == {"main": "yes"}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="new in Python 3.11")
def test_a_failing_group_is_one_event_at_the_top(sandbox) -> None:
    sandbox.python(
        """
import asyncio
async def boom(): raise ValueError("in the group")
async def main():
    async with asyncio.TaskGroup() as group:
        group.create_task(boom())
asyncio.run(main())
"""
    )
    event = sandbox.event()
    assert {e["type"] for e in event["exception"]["values"]} == {"ExceptionGroup", "ValueError"}
    assert "excepthook" in {e["mechanism"]["type"] for e in event["exception"]["values"]}


def test_output_is_as_without_us(sandbox) -> None:
    code = """
import asyncio
async def main():
    asyncio.get_running_loop().call_soon(int, "x")
    await asyncio.sleep(0.01)
asyncio.run(main())
"""
    bare = sandbox.python(code, launched=False)
    watched = sandbox.python(code)
    assert "Exception in callback" in bare.stderr
    assert watched.stderr == bare.stderr
    assert main_exception(sandbox.event())["mechanism"]["type"] == "asyncio"


DEBUGGED = """
import asyncio, sys

async def work():
    pass

async def main():
    loop = asyncio.get_running_loop()
    for task in asyncio.create_task(work()), loop.create_task(work()), asyncio.ensure_future(work()):
        print(task, [(entry.filename, entry.lineno) for entry in task._source_traceback][-2:])
        await task

if sys.argv[1:] == ["tag"]:
    import errtrack
    errtrack.set_tag("a", "b")
asyncio.run(main(), debug=True)
"""


@pytest.mark.parametrize("said", ["tag", "nothing"])
def test_in_debug_mode_a_task_tells_where_the_program_created_it(sandbox, said: str) -> None:
    sandbox.write("app.py", DEBUGGED)
    bare = sandbox.run(sys.executable, "app.py", said, launched=False)
    assert bare.stdout.count("created at") == 3
    watched = sandbox.run(sys.executable, "app.py", said)
    assert (watched.returncode, watched.stdout, watched.stderr) == (0, bare.stdout, bare.stderr)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_uvloop_is_watched_alike(loops) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def lost() -> None:
        asyncio.get_running_loop().create_task(boom())
        await asyncio.sleep(0.01)
        gc.collect()

    async def failing() -> None:
        asyncio.get_running_loop().call_soon(lambda: {}["key"])
        await asyncio.sleep(0.01)

    async def scoped() -> None:
        errtrack.set_tag("main", "yes")
        await asyncio.get_running_loop().create_task(tagging())
        errtrack.capture_message("main")

    async def tagging() -> None:
        errtrack.set_tag("task", "yes")

    for main in (lost, failing, scoped):
        loop = uvloop.new_event_loop()
        try:
            loop.run_until_complete(main())
        finally:
            loop.close()
    first, second, third = loops.events
    assert main_exception(first)["mechanism"]["type"] == "asyncio"
    assert main_exception(second)["type"] == "KeyError"
    assert third["tags"] == {"main": "yes"}
