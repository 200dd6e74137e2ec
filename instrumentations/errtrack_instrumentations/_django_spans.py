# SPDX-License-Identifier: MIT
"""Spans around Django's own callables: middlewares, views, receivers of signals."""

from __future__ import annotations

from errtrack.context import trace as tracing
from errtrack.instrumentation import Steps, driven, is_async

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from errtrack.instrumentation import Advice

_ORIGIN = "auto.http.django"

#: How Django answers what is no failure of a view: https://docs.djangoproject.com/en/stable/topics/http/views/
_STATUS = {"Http404": "not_found", "PermissionDenied": "permission_denied"}


def is_off(args: Any) -> bool:
    """Whether there is no span to hang another one below: tracing is off, or this request is not sampled."""
    return tracing.recording() is None


def spanned(
    name: str,
    function: Callable[..., Any],
    op: str,
    description: str | Callable[[Any], str],
    tags: dict[str, str] | None = None,
) -> Callable[..., Any]:
    """Return *function* with a span around each call that is traced; async where *function* is.

    *name* is the instrumentation that faults are counted for. *description* may be found by the call's arguments.
    """

    def begin(args: Any, kwargs: Any) -> Any:
        r"""*function*\ (...)"""
        parent = tracing.recording()
        if parent is None:
            return None
        said = description if isinstance(description, str) else description(args)
        span = parent.start_child(op, said, _ORIGIN)
        if tags is not None:
            span.tags, span.data = dict(tags), dict(tags)
        return span, span.enter()

    target = function
    if not is_async(function) and _is_marked_async(function):

        async def target(*args: Any, **kwargs: Any) -> Any:
            """A function that returns an awaitable and says so: what ``as_view`` makes of a class of async methods."""
            return await function(*args, **kwargs)

        target.__dict__.update(getattr(function, "__dict__", {}))
    return driven(name, Steps(begin, _end, _fail), target)


def _end(state: Any, result: Any) -> None:
    span, token = state
    span.leave(token)
    span.finish()


def _fail(state: Any, error: BaseException) -> None:
    state[0].set_status(_STATUS.get(type(error).__name__, "internal_error"))
    _end(state, None)


def measured(op: str, description: str, tags: dict[str, str] | None = None) -> Advice:
    """What a handler does to put a span around its call."""
    parent = tracing.recording()
    if parent is None:
        return (yield)
    span = parent.start_child(op=op, name=description, origin=_ORIGIN)
    for key, value in (tags or {}).items():
        span.set_tag(key, value)
        span.set_data(key, value)
    token = span.enter()
    try:
        return (yield)
    except BaseException as error:
        span.set_status(_STATUS.get(type(error).__name__, "internal_error"))
        raise
    finally:
        span.leave(token)
        span.finish()


def dotted(function: Any) -> str:
    """The dotted name of a callable: its own, or that of the factory that made it, or its class's."""
    function = getattr(function, "__func__", function)
    if not hasattr(function, "__qualname__"):
        function = type(function)
    return "%s.%s" % (function.__module__, function.__qualname__.partition(".<locals>")[0])


def _is_marked_async(function: Any) -> bool:
    import sys

    asgiref = sys.modules.get("asgiref.sync")
    check: Any = getattr(asgiref, "iscoroutinefunction", None)
    if check is None:
        from asyncio import iscoroutinefunction as check
    return bool(check(function))
