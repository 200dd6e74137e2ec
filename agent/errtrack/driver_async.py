# SPDX-License-Identifier: MIT
"""The driver of functions that are awaited; loaded with the first of them."""

from __future__ import annotations

from errtrack import guard
from errtrack.driver import AwaitedCall, dressed, fail, idle, static, too_many

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from errtrack.driver import Advice, Call, Handler, Skip


def awaited(
    name: str, handler: Handler, original: Callable[..., Any], skip: Skip | None
) -> Callable[..., Any]:
    """As :func:`errtrack.driver.driven`, for an *original* that is async."""

    def fault(error: BaseException) -> None:
        nonlocal handler
        if guard.fault(name, error):
            handler = idle

    def is_skipped(args: Any) -> bool:
        try:
            return skip is not None and skip(args)
        except Exception as error:
            fault(error)
            return False

    def begin(call: Call) -> Advice | None:
        args, kwargs = call.args, call.kwargs
        try:
            advice = handler(call)
            advice.send(None)
            return advice
        except StopIteration:
            return None
        except Exception as error:
            call.args, call.kwargs = args, kwargs
            fault(error)
            return None

    def end(advice: Advice, result: Any) -> Any:
        try:
            advice.send(result)
        except StopIteration as stop:
            return result if stop.value is None else stop.value
        except Exception as error:
            fault(error)
            return result
        return too_many(advice, result, fault)

    async def async_wrapper(*args: Any, **kwargs: Any) -> Any:
        call = AwaitedCall(args, kwargs)
        advice = None if is_skipped(args) else begin(call)
        try:
            result = await original(*call.args, **call.kwargs)
        except BaseException as error:
            fail(advice, error, fault)
            raise
        return result if advice is None else end(advice, result)

    return dressed(_with_parameters(async_wrapper, original), original)


_TEXT = """
async def async_wrapper(%s, *a_, **k_):
    try:
        return await w_(%s, *a_, **k_)
    except BaseException as e_:
        fail_(None, e_, None)
        raise
"""


def _with_parameters(wrapper: Callable[..., Any], original: Any) -> Callable[..., Any]:
    """*wrapper* with the parameters that *original* cannot be called without.

    A coroutine function notices bad arguments as it is called. uvicorn calls an ASGI application without any, to see
    whether it is a factory of applications.
    """
    function = getattr(original, "__func__", original)
    code = getattr(function, "__code__", None)
    if code is None:
        function = getattr(static(type(original), "__call__"), "__func__", static(type(original), "__call__"))
        code = getattr(function, "__code__", None)
    needed = code.co_argcount - len(getattr(function, "__defaults__", None) or ()) if code is not None else 0
    names = code.co_varnames[0 if function is original else 1 : needed] if code is not None else ()
    if not names or not all(name.isidentifier() for name in names):
        return wrapper
    listed = ", ".join(names)
    namespace: dict[str, Any] = {"__name__": __name__, "w_": wrapper, "fail_": fail}
    exec(compile(_TEXT % (listed, listed), "<errtrack>", "exec"), namespace)
    made: Callable[..., Any] = namespace["async_wrapper"]
    return made
