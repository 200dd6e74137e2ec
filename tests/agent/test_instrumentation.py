"""The kit: one driver, and whatever a handler does, the application's call happens once and ends as it would."""

from __future__ import annotations

import asyncio
import inspect
import pickle
import sys
import types
import typing
from typing import Any

import pytest

from errtrack import guard, options
from errtrack.driver_flat import followed
from errtrack.guard import MOST_FAULTS
from errtrack.instrumentation import (
    Call,
    Changed,
    Instrumentation,
    Late,
    LateSteps,
    OnImport,
    Patch,
    Steps,
    driven,
    is_async,
    shielded,
    trace_now,
)

calls: list[Any] = []


def target(a: int, b: int = 2) -> int:
    """Adds."""
    calls.append((a, b))
    if a < 0:
        raise ValueError(a)
    return a + b


@pytest.fixture(autouse=True)
def no_calls() -> None:
    calls.clear()


def test_handler_sees_result_before_and_after() -> None:
    seen = []

    def handler(call: Call) -> Any:
        seen.append(call.args)
        seen.append((yield))

    assert driven("x", handler, target)(1) == 3
    assert seen == [(1,), 3]


def test_handler_changes_arguments_and_result() -> None:
    def handler(call: Call) -> Any:
        call.replace(0, "a", 10)
        call.replace(1, "b", 20)
        result = yield
        return result * 2

    assert driven("x", handler, target)(1, b=5) == 60
    assert calls == [(10, 20)]


def variadic(a: int, *, b: int = 2) -> int:
    return target(a, b)


@pytest.mark.parametrize("original", [target, variadic])
@pytest.mark.parametrize("a", [1, -1])
def test_a_handler_after_the_call_sees_its_arguments_however_it_ended(
    a: int, original: Any, faults_counted: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(guard.breakers, "x", lambda error: None)
    seen = []

    def after(a: int, b: int) -> None:
        seen.append((a, b, list(calls)))
        raise RuntimeError("ours")

    function = followed("x", after, original)
    for _ in range(MOST_FAULTS + 2):  # then it is switched off
        if a < 0:
            with pytest.raises(ValueError) as found:
                function(a, b=5)
            assert found.value.__context__ is None
        else:
            assert function(a, b=5) == 6
    assert seen[0] == (a, 5, [(a, 5)])
    assert len(seen) == MOST_FAULTS
    assert faults_counted == {"x": MOST_FAULTS}
    assert (function.__name__, inspect.signature(function)) == (
        original.__name__,
        inspect.signature(original),
    )
    for wrong in ({"a": 1, "c": 2}, {"a": 1, "b": 2, "self": 3}, {}):
        with pytest.raises(TypeError):
            function(**wrong)


def test_get_finds_positional_and_keyword() -> None:
    call = Call((1,), {"b": 2})
    assert (call.get(0, "a"), call.get(1, "b"), call.get(2, "c", 3)) == (1, 2, 3)


def test_exception_is_seen_and_goes_on_unchanged() -> None:
    seen = []

    def handler(call: Call) -> Any:
        try:
            yield
        except ValueError as error:
            seen.append(error)
            raise

    with pytest.raises(ValueError) as caught:
        driven("x", handler, target)(-1)
    assert seen == [caught.value]
    assert caught.value.__context__ is None
    names = [entry.name for entry in caught.traceback]
    assert names[-2:] == [NO_FRAME_OF_OURS or "wrapper", "target"]  # and none of the handler's


#: Python 3.11 and later `raise` what we leave of a traceback, so the caller is seen next to the function it called.
NO_FRAME_OF_OURS = "test_exception_is_seen_and_goes_on_unchanged" if sys.version_info >= (3, 11) else ""


class Refusing(Exception):
    """As a frozen dataclass: it takes no attribute, and no traceback that way."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("cannot assign to field %r" % name)


def refuse(number: int) -> None:
    raise Refusing(number)


async def refuse_later(number: int) -> None:
    raise Refusing(number)


async def refuse_anything_later(*args: Any) -> None:
    raise Refusing(*args)


def refuse_two(self: int, number: int) -> None:
    raise Refusing(number)


def refuse_three(self: int, number: int, third: int) -> None:
    raise Refusing(number)


def refuse_anything(*args: int) -> None:
    raise Refusing(*args)


def passing(call: Call) -> Any:
    yield


def ended(*args: Any) -> None:
    """A handler after the call."""


STEPS = Steps(failed=lambda state, error: None)
CHANGING = Steps(lambda args, kwargs: Changed(args, kwargs, "state"))
REFUSALS = [
    driven("x", passing, refuse),
    driven("x", passing, refuse, lambda args: True),
    driven("x", passing, refuse_later),
    driven("x", passing, refuse_anything_later),
    driven("x", passing, refuse_later, lambda args: True),
    driven("x", STEPS, refuse),
    driven("x", CHANGING, refuse),
    driven("x", STEPS, refuse_two),
    driven("x", CHANGING, refuse_two),
    driven("x", STEPS, refuse_three),
    driven("x", Steps(lambda args, kwargs: None), refuse_three),
    driven("x", STEPS, refuse_anything),
    driven("x", CHANGING, refuse_anything),
    driven("x", STEPS, refuse_later),
    followed("x", ended, refuse_two),
    followed("x", ended, refuse_anything),
]


@pytest.mark.parametrize("function", REFUSALS)
def test_exception_that_takes_no_attribute_goes_on_and_its_traceback_is_as_ever(function: Any) -> None:
    count = len(inspect.signature(function).parameters)
    with pytest.raises(Refusing) as caught:
        result = function(*range(count))
        asyncio.run(result)
    ours = [entry.name for entry in caught.traceback if "errtrack" in str(entry.path)]
    assert caught.traceback[-1].name.startswith("refuse")
    if sys.version_info >= (3, 11):
        assert ours == []


def test_handler_cannot_swallow_the_exception() -> None:
    def handler(call: Call) -> Any:
        try:
            yield
        except ValueError:
            return "fine"

    with pytest.raises(ValueError):
        driven("x", handler, target)(-1)


@pytest.mark.parametrize("kind", [StopIteration, GeneratorExit, KeyboardInterrupt, SystemExit])
def test_control_flow_passes_through(kind: type[BaseException]) -> None:
    def handler(call: Call) -> Any:
        yield

    raised = kind()

    def raising() -> None:
        raise raised

    with pytest.raises(kind) as caught:
        driven("x", handler, raising)()
    assert caught.value is raised


def test_fault_before_the_call_leaves_the_call_alone(faults_counted: dict[str, int]) -> None:
    def handler(call: Call) -> Any:
        call.args = (99,)
        raise RuntimeError("ours")
        yield

    assert driven("x", handler, target)(1) == 3
    assert calls == [(1, 2)]
    assert faults_counted == {"x": 1}


def test_fault_after_the_call_leaves_the_result_alone(faults_counted: dict[str, int]) -> None:
    def handler(call: Call) -> Any:
        yield
        raise RuntimeError("ours")

    assert driven("x", handler, target)(1) == 3
    assert calls == [(1, 2)]
    assert faults_counted == {"x": 1}


def test_fault_while_an_exception_passes_is_not_chained_to_it(faults_counted: dict[str, int]) -> None:
    def handler(call: Call) -> Any:
        try:
            yield
        except ValueError:
            raise RuntimeError("ours") from None

    with pytest.raises(ValueError) as caught:
        driven("x", handler, target)(-1)
    assert caught.value.__context__ is None
    assert faults_counted == {"x": 1}


def test_second_yield_is_a_fault_of_ours(faults_counted: dict[str, int]) -> None:
    def handler(call: Call) -> Any:
        yield
        yield

    assert driven("x", handler, target)(1) == 3
    assert calls == [(1, 2)]
    assert faults_counted == {"x": 1}


def test_handler_that_ends_before_its_yield() -> None:
    def handler(call: Call) -> Any:
        call.args = (5,)
        return
        yield

    assert driven("x", handler, target)(1) == 7


def test_one_handler_serves_async_functions() -> None:
    seen = []

    async def work(a: int) -> int:
        await asyncio.sleep(0)
        if a < 0:
            raise ValueError(a)
        return a

    def handler(call: Call) -> Any:
        try:
            seen.append((yield))
        except ValueError:
            seen.append("raised")
            raise

    wrapped = driven("x", handler, work)
    assert inspect.iscoroutinefunction(wrapped)
    assert asyncio.run(wrapped(1)) == 1
    with pytest.raises(ValueError):
        asyncio.run(wrapped(-1))
    assert seen == [1, "raised"]


def test_handler_can_tell_whether_the_call_is_awaited() -> None:
    seen = []

    def handler(call: Call) -> Any:
        seen.append(call.awaited)
        yield

    async def awaited() -> None:
        pass

    driven("x", handler, target)(1)
    asyncio.run(driven("x", handler, awaited)())
    assert seen == [False, True]


def test_cancellation_passes_through() -> None:
    seen = []

    async def work() -> None:
        await asyncio.sleep(10)

    def handler(call: Call) -> Any:
        try:
            yield
        except BaseException as error:
            seen.append(type(error))
            raise

    async def main() -> None:
        task = asyncio.ensure_future(driven("x", handler, work)())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert seen == [asyncio.CancelledError]


def handler_that_does_nothing(call: Call) -> Any:
    yield


def test_function_keeps_its_looks() -> None:
    wrapped = driven("x", handler_that_does_nothing, target)
    assert (wrapped.__name__, wrapped.__doc__, wrapped.__module__) == ("target", "Adds.", __name__)
    assert inspect.signature(wrapped) == inspect.signature(target)


class Kept:
    """Named by an annotation of :func:`annotated`; the driver's own module does not know it."""


def annotated(kept: Kept, number: int = 1) -> Kept:
    return kept


@pytest.mark.parametrize("handler", [passing, STEPS])
def test_type_hints_are_those_of_the_function(handler: Any) -> None:
    expected = {"kept": Kept, "number": int, "return": Kept}
    assert typing.get_type_hints(annotated) == expected
    assert typing.get_type_hints(driven("x", handler, annotated)) == expected
    assert typing.get_type_hints(driven("x", handler, str.upper)) == {}


def test_async_function_refuses_bad_arguments_as_it_is_called() -> None:
    """uvicorn tells an application from a factory of applications by calling it without arguments."""

    class App:
        async def __call__(self, scope: Any, receive: Any, send: Any = None) -> Any:
            return (scope, receive, send)

    async def loose(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    def handler(call: Call) -> Any:
        yield

    method = driven("test", handler, App.__call__)
    for application in (driven("test", handler, App()), driven("test", handler, App().__call__)):
        with pytest.raises(TypeError, match="missing 2 required positional"):
            application()
        assert asyncio.run(application(1, receive=2)) == (1, 2, None)
        assert asyncio.run(application(1, 2, 3)) == (1, 2, 3)
    with pytest.raises(TypeError, match="missing 3 required positional"):
        method()
    assert asyncio.run(method(App(), 1, 2, send=3)) == (1, 2, 3)
    assert asyncio.run(driven("test", handler, loose)(1, a=2)) == ((1,), {"a": 2})


def test_async_objects_are_recognised() -> None:
    class App:
        async def __call__(self) -> None: ...

    class Sync:
        def __call__(self) -> None: ...

    assert is_async(App()) and is_async(App().__call__)
    assert not is_async(Sync()) and not is_async(App) and not is_async(len)


def make_library() -> types.ModuleType:
    module = types.ModuleType("library")
    exec(  # a module of its own, as an import would make it
        """
class Base:
    def inherited(self): return "inherited"

class Thing(Base):
    def method(self, x): return x
    @classmethod
    def made(cls, x): return cls, x
    @staticmethod
    def plain(x): return x

def function(x): return x
""",
        vars(module),
    )
    return module


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> options.Options:
    fresh = options.Options()
    monkeypatch.setattr(options, "_current", {"options": fresh})
    return fresh


def doubled(call: Call) -> Any:
    result = yield
    return (result, "seen")


def everything() -> Instrumentation:
    names = ("Thing.method", "Thing.made", "Thing.plain", "Thing.inherited", "function")
    return Instrumentation("library", patches=[Patch("library", name, doubled) for name in names])


def test_apply_patches_every_kind_and_remove_restores(settings: options.Options) -> None:
    library = make_library()
    before = dict(vars(library.Thing))
    instrumentation = everything()
    instrumentation.apply("library", library)
    thing = library.Thing()
    assert thing.method(1) == (1, "seen")
    assert library.Thing.made(1) == ((library.Thing, 1), "seen")
    assert library.Thing.plain(1) == (1, "seen") and thing.plain(1) == (1, "seen")
    assert thing.inherited() == ("inherited", "seen") and library.Base().inherited() == "inherited"
    assert library.function(1) == (1, "seen")
    instrumentation.remove()
    assert dict(vars(library.Thing)) == before
    assert thing.inherited() == "inherited" and library.function(1) == 1


def test_apply_twice_wraps_once(settings: options.Options) -> None:
    library = make_library()
    instrumentation = everything()
    instrumentation.apply("library", library)
    instrumentation.apply("library", library)
    assert library.function(1) == (1, "seen")
    instrumentation.remove()


def test_remove_leaves_a_later_patch_of_somebody_else(settings: options.Options) -> None:
    library = make_library()
    instrumentation = everything()
    instrumentation.apply("library", library)
    ours = library.function
    library.function = theirs = lambda x: ("theirs", ours(x))
    instrumentation.remove()
    assert library.function is theirs


def test_disabled_by_name_touches_nothing(settings: options.Options) -> None:
    settings.set("disable", "library", "test")
    library = make_library()
    everything().apply("library", library)
    assert library.function(1) == 1


def test_missing_attribute_is_noted_and_the_rest_applied(settings: options.Options) -> None:
    library = make_library()
    instrumentation = Instrumentation(
        "library",
        patches=[Patch("library", "Gone.method", doubled), Patch("library", "function", doubled)],
    )
    instrumentation.apply("library", library)
    assert instrumentation.missing == ["library.Gone.method"]
    assert library.function(1) == (1, "seen")
    instrumentation.remove()


def test_unsupported_version_touches_nothing(settings: options.Options) -> None:
    library = make_library()
    instrumentation = Instrumentation(
        "library", distribution="pytest", supports=">=1,<2", patches=[Patch("library", "function", doubled)]
    )
    instrumentation.apply("library", library)
    assert library.function(1) == 1
    assert "outside of >=1,<2" in instrumentation.refused


def test_builtin_is_patched_with_its_binding(settings: options.Options) -> None:
    module = types.ModuleType("library")
    module.function = len  # type: ignore[attr-defined]
    instrumentation = Instrumentation("library", patches=[Patch("library", "function", doubled)])
    instrumentation.apply("library", module)
    instrumentation.apply("library", module)
    assert module.function([1, 2]) == (2, "seen")  # type: ignore[attr-defined]
    instrumentation.remove()
    assert module.function is len  # type: ignore[attr-defined]


def test_method_of_a_builtin_class_is_patched_on_a_class_of_python(settings: options.Options) -> None:
    seen = []

    def handler(call: Call) -> Any:
        seen.append((call.get(1, "value"), (yield)))

    class Stack(list):  # type: ignore[type-arg]
        pass

    module = types.ModuleType("stacks")
    module.Stack = Stack  # type: ignore[attr-defined]
    instrumentation = Instrumentation("stacks", patches=[Patch("stacks", "Stack.count", handler)])
    instrumentation.apply("stacks", module)
    stack = Stack((1, 1))
    assert stack.count(1) == 2
    assert isinstance(vars(Stack)["count"], types.FunctionType)
    instrumentation.remove()
    assert "count" not in vars(Stack) and stack.count(1) == 2
    assert seen == [(1, 2)]


def test_on_import_runs_with_the_module(settings: options.Options) -> None:
    library = make_library()
    seen: list[Any] = []
    Instrumentation("library", on_import=[OnImport("library", seen.append)]).apply("library", library)
    assert seen == [library]


def test_failing_on_import_is_a_fault_of_ours(
    settings: options.Options, faults_counted: dict[str, int]
) -> None:
    Instrumentation("library", on_import=[OnImport("library", lambda module: 1 / 0)]).apply(
        "library", make_library()
    )
    assert faults_counted == {"library: library": 1}


def test_shielded_callback_never_raises(faults_counted: dict[str, int]) -> None:
    shielded("x", lambda: 1 / 0)()
    assert faults_counted == {"x": 1}


def test_patched_function_can_be_pickled(settings: options.Options, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    module = sys.modules[__name__]
    original = module.target
    instrumentation = Instrumentation("x", patches=[Patch(__name__, "target", handler_that_does_nothing)])
    instrumentation.apply(__name__, module)
    try:
        assert pickle.loads(pickle.dumps(module.target)) is module.target
    finally:
        instrumentation.remove()
    assert module.target is original


def test_builtin_function_of_a_module_is_patched_by_a_plain_function(
    settings: options.Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wrapper that objects need imports half of the standard library: too much for what is early, like sqlite3."""
    import sys
    from types import FunctionType, ModuleType

    module = ModuleType("early")
    module.measure = len  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wrapt", None)  # whoever imports it fails
    instrumentation = Instrumentation("x", patches=[Patch("early", "measure", handler_that_does_nothing)])
    instrumentation.apply("early", module)
    assert type(module.measure) is FunctionType and module.measure([1, 2]) == 2
    instrumentation.remove()
    assert module.measure is len


def in_steps(seen: list[Any], fails_in: str = "") -> Steps:
    """Steps that note what they are given, and fail in one of them."""

    def note(step: str, answer: Any, *given: Any) -> Any:
        seen.append((step, *given))
        if step == fails_in:
            raise RuntimeError("ours")
        return answer

    return Steps(
        lambda args, kwargs: note("before", "state", args, kwargs),
        lambda state, result: note("returned", None, state, result),
        lambda state, error: note("failed", None, state, type(error)),
    )


def of_one(a: int) -> int:
    return target(a)


def of_three(a: int, b: int, c: int = 7) -> int:
    return target(a, b) + c


@pytest.mark.parametrize(
    "original, args", [(of_one, (1,)), (target, (1, 5)), (of_three, (1, 5, 2)), (variadic, (1,))]
)
def test_steps_see_the_call_and_its_end(original: Any, args: tuple[int, ...]) -> None:
    seen: list[Any] = []
    function = driven("x", in_steps(seen), original)
    assert function(*args) == original(*args)
    assert seen == [("before", args, {}), ("returned", "state", original(*args))]
    assert (function.__name__, inspect.signature(function)) == (
        original.__name__,
        inspect.signature(original),
    )
    del seen[:]
    with pytest.raises(ValueError) as caught:
        function(-1, *args[1:])
    assert seen == [("before", (-1, *args[1:]), {}), ("failed", "state", ValueError)]
    assert caught.value.__context__ is None
    theirs = [entry.path.name == "test_instrumentation.py" and entry.name for entry in caught.traceback]
    assert theirs.index("target") == len(theirs) - 1 <= 3  # the handler's way is not in it
    with pytest.raises(TypeError, match=r"%s\(\)" % original.__name__):
        function(*args, 1, 2)


def test_steps_are_given_defaults_and_keywords_as_the_function_takes_them() -> None:
    seen: list[Any] = []
    assert driven("x", in_steps(seen), of_three)(b=2, a=1) == 10
    assert seen[0] == ("before", (1, 2, 7), {})
    del seen[:]
    assert driven("x", in_steps(seen), variadic)(1, b=5) == 6
    assert seen[0] == ("before", (1,), {"b": 5})


@pytest.mark.parametrize("step", ["before", "returned", "failed"])
@pytest.mark.parametrize("original", [target, variadic, of_one, of_three])
def test_faults_in_steps_leave_the_call_alone_and_switch_them_off(
    step: str, original: Any, faults_counted: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(guard.breakers, "x", lambda error: None)
    seen: list[Any] = []
    args = (-1, 5) if original is of_three else (-1,)
    function = driven("x", in_steps(seen, step), original)
    for _ in range(MOST_FAULTS + 2):
        if step == "failed":
            with pytest.raises(ValueError) as caught:
                function(*args)
            assert caught.value.__context__ is None
        else:
            assert function(*(-a for a in args[:1]), *args[1:]) == original(1, *args[1:])
    assert [given[0] for given in seen].count(step) == MOST_FAULTS
    assert faults_counted == {"x": MOST_FAULTS}


@pytest.mark.parametrize("original", [target, variadic, of_one, of_three])
def test_steps_change_arguments_and_result_or_let_a_call_be(original: Any) -> None:
    def before(args: Any, kwargs: Any) -> Any:
        return None if args[0] == 1 else Changed((10, *args[1:]), kwargs, "state")

    steps = Steps(before, lambda state, result: (state, result))
    more = (5,) if original is of_three else ()
    function = driven("x", steps, original)
    assert function(2, *more) == ("state", original(10, *more))
    assert function(1, *more) == original(1, *more)


def test_steps_without_a_before_have_the_arguments_for_state() -> None:
    seen: list[Any] = []
    function = driven("x", Steps(returned=lambda args, result: seen.append((args, result))), target)
    assert function(1, b=5) == 6
    assert seen == [((1, 5), 6)]


def test_steps_serve_functions_that_are_awaited() -> None:
    async def work(a: int) -> int:
        if a < 0:
            raise ValueError(a)
        return a

    seen: list[Any] = []
    function = driven("x", in_steps(seen), work)
    assert inspect.iscoroutinefunction(function)
    assert asyncio.run(function(1)) == 1
    with pytest.raises(ValueError):
        asyncio.run(function(-1))
    assert [given[0] for given in seen] == ["before", "returned", "before", "failed"]


def test_fault_of_skip_leaves_the_call_alone(faults_counted: dict[str, int]) -> None:
    def skip(args: Any) -> bool:
        raise RuntimeError("ours")

    def handler(call: Call) -> Any:
        yield

    assert driven("x", handler, target, skip)(1) == 3
    assert calls == [(1, 2)]
    assert faults_counted == {"x": 1}


def test_what_is_traced_only_is_patched_once_tracing_is_on(
    settings: options.Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(call: Call) -> Any:
        result = yield
        return result * 2

    module = types.ModuleType("traced_library")
    module.target = target  # type: ignore[attr-defined]
    found = Instrumentation("x", patches=[Patch("traced_library", "target", handler, traced=True)])
    found.apply("traced_library", module)
    trace_now()
    assert module.target is target
    monkeypatch.setattr(settings, "traces_sample_rate", 0.5)
    trace_now()
    assert module.target(1) == 6
    found.remove()


async def awaited_target(a: int, b: int = 2) -> int:
    return target(a, b)


def test_late_handler_is_looked_up_once_at_its_first_call() -> None:
    found: list[str] = []
    seen: list[Any] = []

    def handler(call: Call) -> Any:
        seen.append((call.args, (yield)))

    late = Late(lambda: found.append("handler") or handler)  # type: ignore[func-returns-value]
    made = driven("x", late, target)
    assert not found
    assert (made(1), made(2)) == (3, 4)
    assert found == ["handler"]
    assert asyncio.run(driven("x", late, awaited_target)(3)) == 5
    assert seen == [((1,), 3), ((2,), 4), ((3,), 5)]


@pytest.mark.parametrize("before", [None, lambda args, kwargs: args])
def test_late_steps_are_looked_up_once_at_their_first_call(before: Any) -> None:
    found: list[str] = []
    seen: list[Any] = []

    def find() -> Steps:
        found.append("steps")
        return Steps(
            before, lambda state, result: seen.append(result), lambda state, error: seen.append(error)
        )

    late = LateSteps(find)
    made = driven("x", late, target)
    assert not found
    assert (made(1), made(2), made(a=3)) == (3, 4, 5)
    with pytest.raises(ValueError) as raised:
        made(-1)
    assert found == ["steps"]
    assert asyncio.run(driven("x", late, awaited_target)(4)) == 6
    assert seen == [3, 4, 5, raised.value, 6]


@pytest.mark.parametrize("kind", [Late, LateSteps])
def test_what_cannot_be_loaded_for_now_is_tried_again_and_is_no_fault(
    kind: Any, faults_counted: dict[str, int]
) -> None:
    seen: list[Any] = []
    steps = Steps(returned=lambda state, result: seen.append(result))
    obstacles = [guard.NotNow("late") for _ in range(MOST_FAULTS + 1)]

    def find() -> Any:
        if obstacles:
            raise obstacles.pop()
        return steps if kind is LateSteps else steps.handle

    made = driven("x", kind(find), target)
    assert [made(1) for _ in range(MOST_FAULTS + 2)] == [3] * (MOST_FAULTS + 2)
    assert seen == [3]
    assert not faults_counted


@pytest.mark.parametrize("kind", [Late, LateSteps])
def test_what_cannot_be_loaded_at_all_is_a_fault_of_ours(kind: Any, faults_counted: dict[str, int]) -> None:
    def find() -> Any:
        raise ImportError("gone")

    made = driven("x", kind(find), target)
    assert (made(1), made(2)) == (3, 4)
    assert faults_counted == {"x": 2}
