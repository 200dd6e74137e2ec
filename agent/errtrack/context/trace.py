# SPDX-License-Identifier: MIT
"""Tracing as the rest of the program sees it: the span in hand, and the headers that carry the trace on.

While tracing is off (``traces_sample_rate`` and ``traces_sampler`` unset), and in work that was not sampled, there
is no span: :func:`recording` answers None, which is all that a healthy call pays.
"""

from __future__ import annotations

from errtrack import options as settings
from errtrack.context import propagation
from errtrack.context import scope as scopes
from errtrack.context.propagation import PropagationContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.context.scope import Scope
    from errtrack.context.span import Span
    from errtrack.options import Options
    from errtrack.tracer import Tracer

__all__ = ("PropagationContext", "continue_trace", "outgoing_headers", "recording")

#: Set by the client while tracing is on: it decides what is sampled, and delivers it.
tracer: Tracer | None = None

NO_HEADERS = ("", "")

#: The scopes in force: `in_force.get()[0].span` is the span in hand, where there are any.
in_force = scopes._scopes


def recording() -> Span | None:
    """The span in hand that records; None while tracing is off, or where the work was not sampled."""
    pair = in_force.get()
    return None if pair is None else pair[0].span


def continue_trace(
    sentry_trace: str = "", baggage: str = "", traceparent: str = ""
) -> PropagationContext | None:
    """The context that incoming headers continue, or None when they hold no valid trace, or a trace of another
    organisation's (``strict_trace_continuation``).
    """
    found = propagation.continue_trace(sentry_trace, baggage, traceparent)
    if found is None:
        return None
    options = settings.current()
    strict: bool = options.strict_trace_continuation
    if strict or "sentry-org_id" in baggage:
        theirs, ours = (
            propagation.members_of(baggage).get("org_id", ""),
            _of_options(options).get("org_id", ""),
        )
        if theirs != ours and (strict or (theirs and ours)):
            return None
    return found


def outgoing_headers(span: Span | None = None) -> tuple[str, str]:
    """``sentry-trace`` and ``baggage`` of *span*, by default the one in hand, else of the unit of work; empty texts
    for none.
    """
    options = settings.current()
    if options.is_quiet:  # the agent is off, and so are its traces
        return NO_HEADERS
    scope = scopes.get_isolation_scope()
    span = span or scope.span
    carried = scope.get_propagation()
    known = carried.headers
    if known is None:
        known = carried.headers = (_header(carried, carried.span_id), _baggage(scope, options))
    return known if span is None else (_header(carried, span.span_id), known[1])


def traceparent_of(header: str) -> str:
    """The W3C form of what *header*, a ``sentry-trace``, says."""
    trace_id, span_id, *flag = header.split("-")
    return "00-%s-%s-%s" % (trace_id, span_id, "01" if flag == ["1"] else "00")


_OF_ADDRESSES = frozenset("=?@")


def dynamic_context(scope: Scope, options: Options, freeze: bool = True) -> dict[str, str]:
    """What servers sample the trace of *scope* by, as its head has said; a head says it here, and for good if
    *freeze*.
    """
    carried = scope.get_propagation()
    if carried.frozen:
        return propagation.members_of(carried.baggage)
    values = {"trace_id": carried.trace_id, **_of_options(options)}
    if carried.sample_rate is not None:
        values["sample_rate"] = "%.10g" % carried.sample_rate
        values["sample_rand"] = "%.6f" % carried.sample_rand
        values["sampled"] = "true" if carried.sampled else "false"
        name = scope.span.transaction.name_in(scope) if scope.span is not None else None
        # It goes to whoever is called; with a query or a password in it, it names no route.
        if name is not None and not _OF_ADDRESSES.intersection(name):
            values["transaction"] = name
    if not freeze:
        return values
    carried.baggage = ",".join(["sentry-%s=%s" % (key, _quoted(value)) for key, value in values.items()])
    carried.frozen = True
    return values


def _header(carried: PropagationContext, span_id: str) -> str:
    sampled = carried.sampled
    flag = "" if sampled is None else "-1" if sampled else "-0"
    return "%s-%s%s" % (carried.trace_id, span_id, flag)


def _baggage(scope: Scope, options: Options) -> str:
    carried = scope.get_propagation()
    if not carried.frozen:
        dynamic_context(scope, options)
    # Members of other vendors are not ours to pass on.
    members = [member.strip() for member in carried.baggage.split(",")]
    return ",".join(member for member in members if member.startswith("sentry-"))


_known: list[tuple[Options, dict[str, str]]] = []


def _of_options(options: Options) -> dict[str, str]:
    if _known and _known[0][0] is options:
        return _known[0][1]
    values: dict[str, Any] = {}
    org_id = None
    if options.dsn:
        from errtrack.dsn import Dsn

        dsn = Dsn.parse(options.dsn)
        values["public_key"], org_id = dsn.public_key, dsn.org_id
    values["environment"], values["release"] = options.environment, options.release
    values["org_id"] = options.org_id or org_id
    found = {key: str(value) for key, value in values.items() if value}
    _known[:] = [(options, found)]
    return found


def _quoted(value: str) -> str:
    # Digits, hex, names of releases.
    if value.isascii() and value.replace(".", "").replace("-", "").isalnum():
        return value
    from urllib.parse import quote

    return quote(value, safe="")
