# SPDX-License-Identifier: MIT
"""The driver of what happens all the time: handlers that are flat functions; loaded with the first of them.

A wrapper with the parameters of what it wraps costs a third of one that takes anything: there is one for each number.
"""

from __future__ import annotations

import sys

from errtrack import guard
from errtrack.driver import Changed, LateSteps, dressed, fail, leave_no_frame, nothing, traceback_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from errtrack.driver import Steps

# inspect.CO_VARARGS and CO_VARKEYWORDS
_VARIADIC = 0x04 | 0x08

_NONE: dict[str, Any] = {}

#: What Python says of wrong arguments has the name of the code then.
_TELLS_NAME_OF_CODE = sys.version_info < (3, 10)


def stepped(name: str, steps: Steps, original: Callable[..., Any]) -> Callable[..., Any]:
    """As :func:`errtrack.driver.driven`, for a handler in *steps*."""
    returned, failed = steps.returned, steps.failed
    before = steps.before
    if isinstance(steps, LateSteps):
        late = steps

        def before(args: Any, kwargs: Any) -> Any:
            nonlocal before, returned, failed
            real = late.find()
            returned, failed = real.returned, real.failed
            # Never None: another thread may be between its two looks at it.
            before = real.before or _arguments
            return before(args, kwargs)

    def fault(error: BaseException) -> None:
        nonlocal before
        if guard.fault(name, error):
            before = nothing

    def give_up(state: Any, raised: BaseException) -> None:
        tb = traceback_of(raised)
        try:
            if failed is not None and state is not None:
                failed(state, raised)
        except Exception as error:
            fault(error)
        finally:
            leave_no_frame(raised, tb)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            state = args if before is None else before(args, kwargs)
        except Exception as error:
            state = None
            fault(error)
        try:
            if type(state) is Changed:
                state, args, kwargs = state.state, state.args, state.kwargs
            result = original(*args, **kwargs)
        except BaseException as error:
            give_up(state, error)
            raise
        if state is None or returned is None:
            return result
        try:
            instead = returned(state, result)
        except Exception as error:
            fault(error)
            return result
        return result if instead is None else instead

    def of_one(self: Any) -> Any:
        try:
            state = (self,) if before is None else before((self,), _NONE)
        except Exception as error:
            state = None
            fault(error)
        try:
            if type(state) is Changed:
                state, args, kwargs = state.state, state.args, state.kwargs
                result = original(*args, **kwargs)
            else:
                result = original(self)
        except BaseException as error:
            give_up(state, error)
            raise
        if state is None or returned is None:
            return result
        try:
            instead = returned(state, result)
        except Exception as error:
            fault(error)
            return result
        return result if instead is None else instead

    def of_two(self: Any, first: Any) -> Any:
        try:
            state = (self, first) if before is None else before((self, first), _NONE)
        except Exception as error:
            state = None
            fault(error)
        try:
            if type(state) is Changed:
                state, args, kwargs = state.state, state.args, state.kwargs
                result = original(*args, **kwargs)
            else:
                result = original(self, first)
        except BaseException as error:
            give_up(state, error)
            raise
        if state is None or returned is None:
            return result
        try:
            instead = returned(state, result)
        except Exception as error:
            fault(error)
            return result
        return result if instead is None else instead

    def of_three(self: Any, first: Any, second: Any) -> Any:
        try:
            state = (self, first, second) if before is None else before((self, first, second), _NONE)
        except Exception as error:
            state = None
            fault(error)
        try:
            if type(state) is Changed:
                state, args, kwargs = state.state, state.args, state.kwargs
                result = original(*args, **kwargs)
            else:
                result = original(self, first, second)
        except BaseException as error:
            give_up(state, error)
            raise
        if state is None or returned is None:
            return result
        try:
            instead = returned(state, result)
        except Exception as error:
            fault(error)
            return result
        return result if instead is None else instead

    return dressed(_fitting((wrapper, of_one, of_two, of_three), original), original)


def _arguments(args: Any, kwargs: Any) -> Any:
    """The state of steps without a first one."""
    return args


def followed(name: str, handler: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls *original* and then, however that ended, *handler* with the same arguments."""

    def failed(error: BaseException) -> None:
        nonlocal handler
        if guard.fault(name, error):
            handler = nothing

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return original(*args, **kwargs)
        except BaseException as error:
            fail(None, error, failed)
            raise
        finally:
            try:
                handler(*args, **kwargs)
            except Exception as error:
                failed(error)

    def of_two(self: Any, first: Any) -> Any:
        try:
            return original(self, first)
        except BaseException as error:
            fail(None, error, failed)
            raise
        finally:
            try:
                handler(self, first)
            except Exception as error:
                failed(error)

    return dressed(_fitting((wrapper, None, of_two), original), original)


def _fitting(wrappers: tuple[Callable[..., Any] | None, ...], original: Callable[..., Any]) -> Any:
    """Of *wrappers*, in the order of how many parameters they have, the one of *original*; the first takes anything."""
    general: Any = wrappers[0]
    code: Any = getattr(original, "__code__", None)
    count = code.co_argcount if code is not None else 0
    if (
        not 0 < count < len(wrappers)
        or type(original) is not type(_fitting)  # a bound method has one parameter less than its code
        or code.co_posonlyargcount
        or code.co_kwonlyargcount
        or code.co_flags & _VARIADIC
    ):
        return general
    made: Any = wrappers[count]
    if made is None or any(name in made.__code__.co_varnames[count:] for name in code.co_varnames[:count]):
        return general
    # Called by keyword, it has the names that it had.
    names = code.co_varnames[:count] + made.__code__.co_varnames[count:]
    name = code.co_name if _TELLS_NAME_OF_CODE else made.__code__.co_name
    made.__code__ = made.__code__.replace(co_varnames=names, co_name=name)
    made.__defaults__ = original.__defaults__
    return made
