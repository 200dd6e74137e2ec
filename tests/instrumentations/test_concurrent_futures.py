"""concurrent.futures (concurrent_futures): tasks know who submitted them; errors nobody collects are reported."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from typing import Any

import pytest

import errtrack
from web import main_exception


def fail(number: int = 0) -> None:
    raise ValueError(number)


def tell(text: str) -> None:
    errtrack.capture_message(text)


def texts(events: list[dict[str, Any]]) -> list[str]:
    return sorted(e["logentry"]["message"] for e in events)


@pytest.fixture
def pools(watching):
    def start(**settings: Any) -> Any:
        return watching("threading", "concurrent_futures", **settings)

    return start


def test_tasks_have_the_tags_of_their_submitter_and_of_nobody_else(pools) -> None:
    watching = pools()

    def work(text: str) -> None:
        tell(text)
        errtrack.set_tag("task", text)

    with ThreadPoolExecutor(1) as pool:
        for number in "12":
            with errtrack.isolation_scope() as scope:
                scope.set_tag("request", number)
                pool.submit(work, number).result()
        list(pool.map(work, ["mapped"]))
    by_text = {e["logentry"]["message"]: e.get("tags") for e in watching.events}
    assert by_text == {"1": {"request": "1"}, "2": {"request": "2"}, "mapped": None}
    assert errtrack.get_isolation_scope().tags == {}


def test_without_propagation_tasks_know_nothing_not_even_of_each_other(pools) -> None:
    watching = pools(threading_propagate_scope=False)
    errtrack.set_tag("request", "1")

    def work() -> None:
        tell("x")
        errtrack.set_tag("task", "1")

    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()
        pool.submit(work).result()
    assert [e.get("tags") for e in watching.events] == [None, None]


def test_tasks_leave_nothing_to_the_next_when_nothing_was_carried(pools) -> None:
    watching = pools()

    def work(task: str) -> None:
        tell(task)
        errtrack.set_tag("task", task)

    with ThreadPoolExecutor(1) as pool:
        errtrack.get_isolation_scope()
        from errtrack.context import scope

        token = scope._scopes.set(None)
        pool.submit(work, "1").result()
        pool.submit(work, "2").result()
        scope._scopes.reset(token)
    assert [e.get("tags") for e in watching.events] == [None, None]


def test_workers_start_with_nothing_of_the_first_submitter(pools) -> None:
    from multiprocessing.pool import ThreadPool

    from errtrack.context import scope

    watching = pools()
    with ThreadPoolExecutor(1) as pool, errtrack.isolation_scope() as first:
        first.set_tag("request", "1")
        pool.submit(tell, "first").result()
        with ThreadPool(1) as other:
            other.apply(tell, ("other",))
        token = scope._scopes.set(None)
        pool.submit(tell, "later").result()
        scope._scopes.reset(token)
    tags = {e["logentry"]["message"]: e.get("tags") for e in watching.events}
    assert tags == {"first": {"request": "1"}, "other": None, "later": None}


def test_map_carries_as_submit_does(pools) -> None:
    watching = pools()
    errtrack.set_tag("request", "1")
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(tell, "ab"))
    assert [e["tags"] for e in watching.events] == [{"request": "1"}] * 2


def test_the_programs_own_context_variables_stay_out_of_the_pool(pools) -> None:
    import contextvars

    own = contextvars.ContextVar("own", default="unset")
    pools()
    own.set("set")
    errtrack.set_tag("x", "y")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(own.get).result() == "unset"


def test_run_in_executor_carries(pools) -> None:
    watching = pools()

    async def main() -> None:
        errtrack.set_tag("main", "yes")
        await asyncio.get_running_loop().run_in_executor(None, tell, "in executor")

    asyncio.run(main())
    assert watching.event()["tags"] == {"main": "yes"}


def test_an_error_that_nobody_collects_is_reported_in_the_tasks_scope(pools) -> None:
    watching = pools()
    errtrack.set_tag("request", "1")

    def work() -> None:
        errtrack.set_tag("task", "1")
        fail()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(work)
    event = watching.event()
    assert main_exception(event)["mechanism"] == {"type": "concurrent.futures", "handled": False}
    assert event["tags"] == {"request": "1", "task": "1"}
    assert main_exception(event)["stacktrace"]["frames"][-1]["function"] == "fail"


def collect_result(future: Any) -> None:
    with pytest.raises(ValueError):
        future.result()


def collect_exception(future: Any) -> None:
    assert isinstance(future.exception(), ValueError)


def collect_late(future: Any) -> None:
    wait([future])
    collect_result(future)


def collect_as_completed(future: Any) -> None:
    for done in as_completed([future]):
        collect_result(done)


@pytest.mark.parametrize("collect", [collect_result, collect_exception, collect_late, collect_as_completed])
def test_an_error_that_somebody_collects_is_theirs(pools, collect) -> None:
    watching = pools()
    going = threading.Event()

    def work() -> None:
        going.wait(0.05)
        fail()

    with ThreadPoolExecutor(1) as pool:
        collect(pool.submit(work))
    gc.collect()
    assert watching.events == []


def test_a_callback_that_looks_collects(pools) -> None:
    watching = pools()
    seen = []
    with ThreadPoolExecutor(1) as pool:
        pool.submit(fail).add_done_callback(lambda future: seen.append(future.exception()))
    assert len(seen) == 1 and watching.events == []


def test_an_error_awaited_through_the_loop_is_no_event(pools) -> None:
    watching = pools()

    async def main() -> None:
        with pytest.raises(ValueError):
            await asyncio.get_running_loop().run_in_executor(None, fail)

    asyncio.run(main())
    gc.collect()
    assert watching.events == []


def test_a_future_that_has_a_result_already_refuses_as_ever(pools) -> None:
    watching = pools()
    future: Future[int] = Future()
    future.set_result(1)
    with pytest.raises(Exception, match="FINISHED"):
        future.set_exception(ValueError())
    del future
    assert watching.events == []


def test_a_failure_raised_to_the_top_by_result_is_one_event(sandbox) -> None:
    sandbox.python(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(1) as pool:\n    pool.submit(int, 'x').result()\n"
    )
    assert main_exception(sandbox.event())["mechanism"]["type"] == "excepthook"


def test_an_initializer_that_fails_is_one_event(sandbox) -> None:
    sandbox.python(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def fail(): raise KeyError('initializer')\n"
        "with ThreadPoolExecutor(1, initializer=fail) as pool:\n"
        "    try: pool.submit(int).result()\n"
        "    except Exception as error: print(type(error).__name__)\n"
    )
    event = sandbox.event()
    assert (event["logger"], main_exception(event)["type"]) == ("concurrent.futures", "KeyError")


def test_a_done_callback_that_fails_is_one_event(sandbox) -> None:
    sandbox.python(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(1) as pool:\n"
        "    pool.submit(int).add_done_callback(lambda f: 1 / 0)\n"
    )
    assert main_exception(sandbox.event())["type"] == "ZeroDivisionError"


@pytest.mark.parametrize("collected", [True, False])
def test_process_pools_report_in_the_process_that_submitted(sandbox, collected) -> None:
    sandbox.python(
        """
import os
from concurrent.futures import ProcessPoolExecutor
def fail(): raise ValueError(os.getpid())
if __name__ == "__main__":
    with ProcessPoolExecutor(1) as pool:
        future = pool.submit(fail)
        if %r:
            try: future.result()
            except ValueError: pass
    print(os.getpid())
    del future
"""
        % collected
    )
    if collected:
        assert sandbox.events() == []
    else:
        error = main_exception(sandbox.event())
        assert error["type"] == "ValueError"
        assert error["mechanism"] == {"type": "concurrent.futures", "handled": False}
