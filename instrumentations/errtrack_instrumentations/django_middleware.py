# SPDX-License-Identifier: MIT
"""Traced Django requests show what their middlewares and views took: with ``django.middleware_spans``.

Middlewares stay the objects that they are, in the modes (sync, async) that they declare: Django is handed a function
around each, and only where it would call it. Rendering a ``TemplateResponse`` has a span always.
"""

from __future__ import annotations

from _thread import get_ident

from errtrack import options
from errtrack.instrumentation import Call, Instrumentation, Patch, Steps, driven

from ._late import _django_spans, tracing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice

_NAME = "django_middleware"
_OP = "middleware.django"
_BASE = "django.core.handlers.base"

#: Hooks that Django asks for through its own doors, and those that ``MiddlewareMixin`` calls on itself.
_OURS = frozenset(("process_view", "process_template_response", "process_exception"))
_OF_MIXIN = ("process_request", "process_response")


def wrap_middleware(call: Call) -> Advice:
    """convert_exception_to_response(get_response), for each middleware, and first for the handler itself"""
    middleware = call.get(0, "get_response")
    is_handler = getattr(middleware, "__name__", "") in ("_get_response", "_get_response_async")
    if options.current().django_middleware_spans and not is_handler:
        call.replace(0, "get_response", wrapped(middleware, middleware, "__call__"))
        for hook in _OF_MIXIN:
            method = getattr(middleware, hook, None)
            if method is not None:
                try:
                    setattr(middleware, hook, wrapped(middleware, method, hook))
                except AttributeError:  # an object with slots keeps its own
                    break
    yield


def wrap_hook(call: Call) -> Advice:
    """BaseHandler.adapt_method_mode(self, is_async, method, method_is_async=None, debug=False, name=None)"""
    method = call.get(2, "method")
    hook = getattr(method, "__name__", "")
    if hook in _OURS and options.current().django_middleware_spans and hasattr(method, "__self__"):
        call.replace(2, "method", wrapped(method.__self__, method, hook))
    yield


def wrapped(middleware: Any, method: Any, hook: str) -> Any:
    """*method* of *middleware* with its span; a function that is the middleware itself has no hook to its name."""
    owner = _django_spans.dotted(middleware)
    is_function = method is middleware and hasattr(middleware, "__code__")
    name = owner if is_function else "%s.%s" % (owner, hook)
    tags = {"django.function_name": hook, "django.middleware_name": owner.rpartition(".")[2]}
    made: Any = _django_spans.spanned(_NAME, method, _OP, name, tags)
    if hasattr(method, "__self__"):
        made.__self__ = method.__self__  # Django names the class in its complaints
    return made


def begin_view(args: Any, kwargs: Any) -> Any:
    """BaseHandler.make_view_atomic(self, view) -> view, which another thread may run than the request's"""
    return None if _django_spans.is_off(args) else args


def wrap_view(args: Any, view: Any) -> Any:
    """The view, told to note its thread."""
    view = driven(_NAME, _in_thread, view)
    if options.current().django_middleware_spans:
        view = _django_spans.spanned(_NAME, view, "view.render", name_of_view)
    return view


def note_thread(args: Any, kwargs: Any) -> None:
    """view(request, *args, **kwargs)"""
    span = tracing.recording()
    if span is not None:
        span.transaction.set_data("thread.id", str(get_ident()))


_in_thread = Steps(note_thread)


def name_of_view(args: Any) -> str:
    """view(request, ...): what the URLconf calls it, else its dotted name"""
    return str(args[0].resolver_match.view_name)


def measure_rendering(call: Call) -> Advice:
    """SimpleTemplateResponse.render(self)"""
    yield from _django_spans.measured("view.response.render", "serialize response")


INSTRUMENTATION = Instrumentation(
    _NAME,
    supports=">=3.2",
    distribution="django",
    patches=[
        Patch(_BASE, "convert_exception_to_response", wrap_middleware),
        Patch(_BASE, "BaseHandler.adapt_method_mode", wrap_hook),
        Patch(_BASE, "BaseHandler.make_view_atomic", Steps(begin_view, wrap_view), traced=True),
        Patch(
            "django.template.response",
            "SimpleTemplateResponse.render",
            measure_rendering,
            lambda args: _django_spans.is_off(args),
            traced=True,
        ),
    ],
)
