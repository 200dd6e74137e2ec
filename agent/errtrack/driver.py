# SPDX-License-Identifier: MIT
"""The driver: makes the application's call with a handler of ours around it, and is where our faults stop.

Handlers have two forms. A generator with one ``yield`` reads best (:mod:`errtrack.instrumentation` shows it);
:class:`Steps` are flat functions for calls that happen all the time. Neither makes the call itself.

Nothing but sys is imported at top level: hooks on modules of the standard library fire in the middle of other imports.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    Advice = Generator[None, Any, Any]
    Handler = Callable[["Call"], Advice]
    Skip = Callable[[Any], bool]

# inspect.CO_COROUTINE, without importing inspect
_COROUTINE = 0x80

#: What makes a wrapper look as what it wraps does; annotations are looked up in the globals of that.
_LOOKS = (
    "__module__", "__name__", "__qualname__", "__doc__", "__type_params__",
    "__annotations__" if sys.version_info < (3, 14) else "__annotate__",
)  # fmt: skip

# Exceptions may have a __setattr__ that refuses, such as that of a frozen dataclass, and properties.
_traceback = vars(BaseException)["__traceback__"]
traceback_of, _set_traceback = _traceback.__get__, _traceback.__set__


class Call:
    """One call of a patched function: its arguments, which a handler may replace before its ``yield``."""

    __slots__ = ("args", "kwargs")

    #: Whether the driver awaits the call: what a handler's ``yield`` gives is then the result, and no coroutine.
    awaited = False

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs

    def get(self, position: int, name: str, default: Any = None) -> Any:
        """The argument at *position* (counting ``self``) or called *name*."""
        if name in self.kwargs:
            return self.kwargs[name]
        return self.args[position] if len(self.args) > position else default

    def replace(self, position: int, name: str, value: Any) -> None:
        """Pass *value* on in place of the argument at *position* or called *name*."""
        if name in self.kwargs or len(self.args) <= position:
            self.kwargs = {**self.kwargs, name: value}
        else:
            self.args = self.args[:position] + (value,) + self.args[position + 1 :]


class _EmptyCall(Call):
    """A call that the driver fills: on the path of every patched call a constructor in Python is too dear."""

    __slots__ = ()

    __init__ = object.__init__


class AwaitedCall(Call):
    """One call of a patched coroutine function."""

    __slots__ = ()

    awaited = True


class Steps:
    """A handler in flat functions: less than half of what a generator costs.

    ``state = before(args, kwargs)``; where that is None the rest is left out. Then ``returned(state, result)``, which
    may answer what the caller gets in place of the result, or ``failed(state, error)``. Without *before* the state
    is the call's ``args``. To pass other arguments on, *before* returns its state in a :class:`Changed`.
    """

    __slots__ = ("before", "failed", "returned")

    def __init__(
        self,
        before: Callable[[Any, Any], Any] | None = None,
        returned: Callable[[Any, Any], Any] | None = None,
        failed: Callable[[Any, BaseException], Any] | None = None,
    ) -> None:
        self.before = before
        self.returned = returned
        self.failed = failed

    def handle(self, call: Call) -> Advice:
        """The same as a generator, for functions that are awaited."""
        state = call.args if self.before is None else self.before(call.args, call.kwargs)
        if type(state) is Changed:
            call.args, call.kwargs, state = state.args, state.kwargs, state.state
        try:
            result = yield
        except BaseException as error:
            if state is not None and self.failed is not None:
                self.failed(state, error)
            raise
        return None if state is None or self.returned is None else self.returned(state, result)


class Late:
    """A handler that is loaded at its first call: *find* looks it up in a module that is loaded by that."""

    __slots__ = ("find",)

    def __init__(self, find: Callable[[], Handler]) -> None:
        self.find = find

    def __call__(self, call: Call) -> Advice:
        return self.find()(call)


class LateSteps(Steps):
    """:class:`Steps` that are loaded at their first call: *find* looks them up."""

    __slots__ = ("_found", "find")

    def __init__(self, find: Callable[[], Steps]) -> None:
        Steps.__init__(self)
        self.find = find
        self._found: Steps | None = None

    def handle(self, call: Call) -> Advice:
        found = self._found
        if found is None:
            found = self._found = self.find()
        return found.handle(call)


class Changed:
    """What :attr:`Steps.before` returns to have the call made with *args* and *kwargs*."""

    __slots__ = ("args", "kwargs", "state")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any], state: Any) -> None:
        self.args = args
        self.kwargs = kwargs
        self.state = state


def driven(
    name: str, handler: Handler | Steps, original: Callable[..., Any], skip: Skip | None = None
) -> Callable[..., Any]:
    """Return a function that calls *original* with *handler* around it; async where *original* is.

    *name* is the instrumentation that an internal fault is counted for. A call for which ``skip(args)`` is true is
    none of the handler's business, and costs next to nothing.
    """
    from errtrack import guard

    if is_async(original):
        from errtrack.driver_async import awaited

        return awaited(name, handler.handle if isinstance(handler, Steps) else handler, original, skip)
    if isinstance(handler, Steps):
        from errtrack.driver_flat import stepped

        return stepped(name, handler, original)
    advise: Handler = handler

    if type(handler) is Late:

        def advise(call: Call) -> Advice:
            nonlocal advise
            advise = handler.find()
            return advise(call)

    def fault(error: BaseException) -> None:
        nonlocal advise
        if guard.fault(name, error):
            advise = idle  # whoever holds this wrapper is left in peace from now on

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        skips = False
        try:
            skips = skip is not None and skip(args)
        except Exception as error:
            fault(error)
        if skips:
            try:
                return original(*args, **kwargs)
            except BaseException as error:
                fail(None, error, fault)
                raise
        call = _EmptyCall()
        call.args = args
        call.kwargs = kwargs
        advice: Advice | None = None
        try:
            advice = advise(call)
            advice.send(None)
        except StopIteration:
            advice = None  # the handler had nothing to do after the call
        except Exception as error:
            call.args, call.kwargs = args, kwargs
            advice = None
            fault(error)
        try:
            result = original(*call.args, **call.kwargs)
        except BaseException as error:
            fail(advice, error, fault)
            raise
        if advice is None:
            return result
        try:
            advice.send(result)
        except StopIteration as stop:
            return result if stop.value is None else stop.value
        except Exception as error:
            fault(error)
            return result
        return too_many(advice, result, fault)

    return dressed(wrapper, original)


def fail(advice: Advice | None, raised: BaseException, fault: Callable[[BaseException], None]) -> None:
    """Let the handler see what the call has *raised*, which goes on as if there was no wrapper."""
    tb = traceback_of(raised)
    try:
        if advice is not None:
            advice.throw(raised)
    except StopIteration:
        pass
    except Exception as error:
        # PEP 479: a StopIteration that leaves a generator becomes a RuntimeError caused by it.
        if error is not raised and error.__cause__ is not raised:
            fault(error)
    except BaseException as error:
        if error is not raised:
            raise
    finally:
        leave_no_frame(raised, tb)


def leave_no_frame(raised: BaseException, tb: Any) -> None:
    """Have *raised* go on with its traceback *tb* without the first entry, that of the wrapper which calls this.

    Neither that nor the way through the handler is part of the application's story. Up to Python 3.10 `raise` puts
    the entry back.
    """
    _set_traceback(raised, tb.tb_next if tb is not None else None)


def too_many(advice: Advice, result: Any, fault: Callable[[BaseException], None]) -> Any:
    """A handler that has yielded twice: a fault of ours."""
    try:
        advice.close()
        raise RuntimeError("a handler yields once")
    except Exception as error:
        fault(error)
    return result


def is_async(function: Any) -> bool:
    """True for what ``await`` is needed on: a coroutine function, or an object whose ``__call__`` is one."""
    for candidate in (function, static(type(function), "__call__")):
        code = getattr(getattr(candidate, "__func__", candidate), "__code__", None)
        if code is not None:
            return bool(getattr(code, "co_flags", 0) & _COROUTINE)
    return False


def shielded(name: str, function: Callable[..., Any]) -> Callable[..., None]:
    """A callback for a library's own registration (signals, listeners): our fault never reaches the library."""
    from errtrack.guard import fault

    def callback(*args: Any, **kwargs: Any) -> None:
        nonlocal function
        try:
            function(*args, **kwargs)
        except Exception as error:
            if fault(name, error):
                function = nothing

    return callback


def idle(call: Call) -> Advice:
    """any function: the handler of what has been switched off"""
    yield


def nothing(*args: Any, **kwargs: Any) -> None:
    """The callback of what has been switched off."""


def dressed(wrapper: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    wrapper.__annotations__ = {}  # in place of ours
    for attribute in _LOOKS:
        value = getattr(original, attribute, None)
        if value is not None:
            setattr(wrapper, attribute, value)
    try:
        wrapper.__dict__.update(vars(original))
    except TypeError:
        pass
    wrapper.__wrapped__ = original  # type: ignore[attr-defined]
    wrapper.__errtrack_driven__ = True  # type: ignore[attr-defined]
    return wrapper


def static(owner: Any, attribute: str) -> Any:
    """The attribute as it is stored, without binding it; through the base classes."""
    if owner is None:
        return None
    for place in getattr(owner, "__mro__", (owner,)):
        found = vars(place).get(attribute)
        if found is not None:
            return found
    return None
