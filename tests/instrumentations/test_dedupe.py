"""One failure is one event, and a new failure is a new event."""

from __future__ import annotations

import gc
import types
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from errtrack_instrumentations.dedupe import is_repeat


def seen(error: BaseException) -> bool:
    return is_repeat(error, error.__traceback__, "0" * 32)


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_same_exception_on_its_way_up_is_one() -> None:
    first = []

    def inner() -> None:
        try:
            raise ValueError("x")
        except ValueError as error:
            first.append(seen(error))
            raise

    def outer() -> None:
        inner()

    with pytest.raises(ValueError) as caught:
        outer()
    assert first == [False]
    assert seen(caught.value)


def test_equal_exceptions_are_two() -> None:
    assert not seen(raised(ValueError("x")))
    assert not seen(raised(ValueError("x")))


def test_interleaved_exceptions_are_remembered() -> None:
    a, b = raised(ValueError("a")), raised(ValueError("b"))
    assert [seen(a), seen(b), seen(a)] == [False, False, True]


def test_failure_reported_by_handlers_on_its_way_is_one() -> None:
    """The traceback that a handler sees begins with the handler itself, and is another when it has gone on."""
    from errtrack.instrumentation import Call, driven

    found: list[bool] = []

    def handler(call: Call) -> Any:
        try:
            yield
        except Exception as error:
            found.append(is_repeat(error, error.__traceback__, "id"))
            raise

    handler = types.FunctionType(
        handler.__code__,
        {**globals(), "__name__": "errtrack_instrumentations.x"},
        closure=handler.__closure__,
    )

    def fail() -> None:
        raise ValueError

    def pass_on() -> None:
        kept = []
        try:
            driven("test", handler, fail)()
        except ValueError as error:
            for _ in range(50):  # entries of tracebacks, at addresses that have become free
                try:
                    raise KeyError
                except KeyError as other:
                    kept.append(other)
            raise error

    for _ in range(50):
        found.clear()
        try:
            driven("test", handler, pass_on)()
        except ValueError as error:
            found.append(is_repeat(error, error.__traceback__, "id"))
        assert found == [False, True, True]


def test_never_raised_exception_captured_twice_is_one() -> None:
    error = ValueError("x")
    assert [seen(error), seen(error)] == [False, True]


SINGLETON = LookupError("kept by a module")


def test_instance_raised_anew_is_a_new_failure() -> None:
    def fail() -> None:
        raise SINGLETON

    answers = []
    for _ in range(3):
        try:
            fail()
        except LookupError as error:
            answers.append(seen(error))
    assert answers == [False, False, False]
    assert seen(SINGLETON)


def test_failure_passed_on_by_a_future_is_one() -> None:
    answers = []

    def work() -> None:
        try:
            raise ValueError("in the pool")
        except ValueError as error:
            answers.append(seen(error))
            raise

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        try:
            future.result()
        except ValueError as error:
            answers.append(seen(error))
    assert answers == [False, True]


def test_failure_passed_on_by_await_is_one() -> None:
    import asyncio

    answers = []

    async def inner() -> None:
        try:
            raise ValueError("in a task")
        except ValueError as error:
            answers.append(seen(error))
            raise

    async def main() -> None:
        await asyncio.ensure_future(inner())

    try:
        asyncio.run(main())
    except ValueError as error:
        answers.append(seen(error))
    assert answers == [False, True]


def test_wrapping_exception_is_another() -> None:
    try:
        try:
            raise ValueError("cause")
        except ValueError as error:
            assert not seen(error)
            raise RuntimeError("effect") from error
    except RuntimeError as effect:
        assert not seen(effect)


def test_nothing_is_kept_alive() -> None:
    class Local:
        pass

    def fail() -> weakref.ref[Local]:
        local = Local()
        try:
            raise ValueError("x")
        except ValueError as error:
            assert not seen(error)
        return weakref.ref(local)

    reference = fail()
    gc.collect()
    assert reference() is None


def test_class_with_own_attribute_rules_is_no_obstacle() -> None:
    class Frozen(Exception):
        def __setattr__(self, name: str, value: Any) -> None:
            raise TypeError("frozen")

        @property
        def __dict__(self) -> Any:  # type: ignore[override]
            raise TypeError("hidden")

    error = raised(Frozen())
    assert [seen(error), seen(error)] == [False, True]


def test_crash_seen_by_application_and_excepthook_is_one_event(sandbox) -> None:
    sandbox.python(
        """
import errtrack
def work():
    try:
        1 / 0
    except ZeroDivisionError as error:
        errtrack.capture_exception(error)
        raise
work()
"""
    )
    event = sandbox.event()
    assert event["exception"]["values"][-1]["mechanism"] == {"type": "generic", "handled": True}
