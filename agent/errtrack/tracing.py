# SPDX-License-Identifier: MIT
"""Tracing by hand: what an application says itself of the spans that its work consists of.

``start_transaction``, ``start_span`` and ``@trace`` cost next to nothing while tracing is off, and do no harm. The
names and arguments are those of ``sentry_sdk``.
"""

from __future__ import annotations

import functools

from errtrack import client as _client
from errtrack.context import scope as scopes
from errtrack.context import trace as _trace
from errtrack.context.propagation import PropagationContext, of_process
from errtrack.context.span import NOT_RECORDED, Span, Transaction, Unrecorded
from errtrack.instrumentation import is_async

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., Any])


class Continued:
    """What :func:`continue_trace` found, to be given to :func:`start_transaction`."""

    __slots__ = ("name", "op", "origin", "propagation", "source")

    def __init__(self, propagation: PropagationContext, op: str, name: str, source: str, origin: str) -> None:
        self.propagation = propagation
        self.op = op
        self.name = name
        self.source = source
        self.origin = origin


def start_transaction(
    transaction: Continued | None = None,
    name: str = "",
    op: str = "",
    source: str = "custom",
    sampled: bool | None = None,
    origin: str = "manual",
    custom_sampling_context: dict[str, Any] | None = None,
    **_: Any,
) -> Transaction | Unrecorded:
    """A unit of work of your own: ``with errtrack.start_transaction(name="import", op="task"):``.

    It is a trace of its own, or the one that the process was started in, or that *transaction* (of
    :func:`continue_trace`) continues. *sampled* decides
    for itself; *custom_sampling_context* is what ``traces_sampler`` is shown beside.
    """
    scope = scopes.get_isolation_scope()
    if transaction is not None:
        propagation = transaction.propagation
        name, op = name or transaction.name, op or transaction.op
        origin = transaction.origin if origin == "manual" else origin
        source = transaction.source if source == "custom" else source
    else:
        propagation = PropagationContext() if scope.is_unit else of_process()
    _client.get_client()  # it may not have been needed until now
    tracer = _trace.tracer
    made = None
    if tracer is not None:
        made = tracer.start(
            scope,
            op,
            name or "<unlabeled transaction>",
            source,
            origin,
            custom_sampling_context,
            sampled,
            propagation,
        )
    return Unrecorded(propagation) if made is None else made


def start_span(
    op: str = "", name: str = "", origin: str = "manual", description: str = "", **_: Any
) -> Span | Unrecorded:
    """A part of the work in hand: ``with errtrack.start_span(op="function", name="parse"):``.

    Outside of a transaction that is recorded nothing is, and the block runs as ever.
    """
    parent = _trace.recording()
    if parent is None:
        return NOT_RECORDED
    return parent.start_child(op, name, origin, description)


def trace(
    func: F | None = None,
    *,
    op: str = "function",
    name: str = "",
    attributes: Mapping[str, Any] | None = None,
) -> Any:
    """Decorate a function, so that each call of it is a span: ``@trace`` or ``@trace(op="cache", name="look up")``."""
    if func is None:
        return functools.partial(trace, op=op, name=name, attributes=attributes)
    function: Any = func
    shown = name or "%s.%s" % (getattr(func, "__module__", "?"), getattr(func, "__qualname__", "?"))

    def begin(parent: Span) -> Span:
        span = parent.start_child(op, shown)
        if attributes:
            span.update_data(attributes)
        return span

    if is_async(func):

        @functools.wraps(func)
        async def async_traced(*args: Any, **kwargs: Any) -> Any:
            parent = _trace.recording()
            if parent is None:
                return await function(*args, **kwargs)
            with begin(parent):
                return await function(*args, **kwargs)

        return async_traced

    @functools.wraps(func)
    def traced(*args: Any, **kwargs: Any) -> Any:
        parent = _trace.recording()
        if parent is None:
            return function(*args, **kwargs)
        with begin(parent):
            return function(*args, **kwargs)

    return traced


def continue_trace(
    environ_or_headers: Mapping[str, Any],
    op: str = "",
    name: str = "",
    source: str = "custom",
    origin: str = "manual",
) -> Continued:
    """Continue the trace that headers, or the environ of a WSGI request, brought along: what is captured from now on
    belongs to it, and so does what ``start_transaction`` is given the answer to.
    """
    found: dict[str, str] = {}
    for key, value in environ_or_headers.items():
        if isinstance(key, str) and isinstance(value, str):
            plain = key.lower().replace("_", "-")
            found[plain[5:] if plain.startswith("http-") else plain] = value
    continued = _trace.continue_trace(
        found.get("sentry-trace", ""), found.get("baggage", ""), found.get("traceparent", "")
    )
    propagation = continued or PropagationContext()
    scopes.get_isolation_scope().propagation = propagation
    return Continued(propagation, op, name, source, origin)


def get_traceparent() -> str:
    """The value of the ``sentry-trace`` header that continues the trace in hand."""
    return _trace.outgoing_headers()[0]


def get_baggage() -> str:
    """The value of the ``baggage`` header that goes with :func:`get_traceparent`."""
    return _trace.outgoing_headers()[1]


def trace_propagation_meta() -> str:
    """Two ``<meta>`` tags for the head of a page, by which the browser continues the trace in hand."""
    from html import escape

    values = zip(("sentry-trace", "baggage"), _trace.outgoing_headers())
    return "".join('<meta name="%s" content="%s">' % (name, escape(value)) for name, value in values)


def get_current_span(scope: Any = None) -> Span | None:
    """The span in hand; None where nothing is recorded."""
    return _trace.recording()


def update_current_span(
    op: str | None = None,
    name: str | None = None,
    attributes: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Say more about the span in hand, if there is one."""
    span = _trace.recording()
    if span is None:
        return
    if op is not None:
        span.op = op
    if name is not None:
        if isinstance(span, Transaction):
            span.set_name(name)
        span.name = name
    for values in (attributes, data):
        if values:
            span.update_data(values)
