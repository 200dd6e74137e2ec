# SPDX-License-Identifier: MIT
"""Tracing: which units of work are recorded, in one place, and what becomes of those that were.

Off unless ``traces_sample_rate`` or ``traces_sampler`` is set. The decision: what the caller of ``start_transaction``
said, else ``traces_sampler``, else that of the trace's head, else ``traces_sample_rate``.
https://develop.sentry.dev/sdk/telemetry/traces/
"""

from __future__ import annotations

from time import monotonic

from errtrack import guard, hooks
from errtrack.context import trace as tracing
from errtrack.context.span import Transaction
from errtrack.hooks import Hook, HookFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.client import Client
    from errtrack.context.propagation import PropagationContext
    from errtrack.context.scope import Event, Scope
    from errtrack.context.span import Span


#: Seconds between two looks at whether what is captured gets through, and the most that they may halve the rate.
LOOK_EVERY, MOST_HALVINGS = 10.0, 10


class Tracer:
    """Decides and delivers for one client. Every method may be called from anywhere."""

    def __init__(self, client: Client) -> None:
        options = client.options
        self._client = client
        self._rate: float | None = options.traces_sample_rate
        self._sampler = Hook("traces_sampler", options.traces_sampler, hooks.IGNORED)
        self._most: int = options.max_spans
        self._relieves: bool = options.enable_backpressure_handling
        self._halvings = 0
        self._look_at = 0.0
        self._is_full = False
        self._look_for_room_at = 0.0
        tracing.tracer = self

    def close(self) -> None:
        """Begin no more transactions."""
        if tracing.tracer is self:
            tracing.tracer = None

    def start(
        self,
        scope: Scope,
        op: str,
        name: str,
        source: str,
        origin: str,
        sampling: dict[str, Any] | None = None,
        sampled: bool | None = None,
        propagation: PropagationContext | None = None,
    ) -> Transaction | None:
        """The transaction of *scope*, begun now; None when it is not sampled, which is counted.

        *sampling* is what ``traces_sampler`` is shown beside name and op, *sampled* a decision that stands already,
        *propagation* the trace where it is not the scope's.
        """
        if not self._client.is_active:
            return None
        propagation = propagation or scope.get_propagation()
        rate = self._rate_of(propagation, op, name, source, sampling, sampled)
        reason = "sample_rate"
        if rate is None:
            return None  # nobody has decided, and nor do we
        if propagation.sampled is None and sampled is None:
            pressed = rate * self._relief()
            if pressed < rate:
                rate, reason = pressed, "backpressure"
        decided = rate >= 1.0 or (rate > 0 and propagation.sample_rand < rate)
        propagation.sample_rate = rate
        propagation.sampled = decided
        propagation.headers = propagation.lines = None
        if not decided:
            self._client.transport.lost_transaction(reason, 1)
            return None
        return Transaction(propagation, scope, op, name, source, origin, self._finished, self._most)

    def _rate_of(
        self,
        propagation: PropagationContext,
        op: str,
        name: str,
        source: str,
        sampling: dict[str, Any] | None,
        sampled: bool | None,
    ) -> float | None:
        if sampled is not None:
            return float(sampled)
        if self._sampler:
            shown: dict[str, Any] = {
                "transaction_context": {"name": name, "op": op, "source": source},
                "parent_sampled": propagation.sampled,
                "parent_sample_rate": propagation.parent_sample_rate,
            }
            with guard.Inside():
                try:
                    answer: Any = self._sampler({**shown, **(sampling or {})})
                    if answer is True or answer is False:
                        return float(answer)
                    if (type(answer) is float or type(answer) is int) and 0 <= answer <= 1:
                        return float(answer)
                    self._sampler.complain("it must return a number from 0 to 1, true or false")
                except HookFailed:
                    pass
        if propagation.sampled is not None:
            return float(propagation.sampled)
        return self._rate

    def _relief(self) -> float:
        """What the rate is multiplied by: a half for each ten seconds in which little could be delivered."""
        now = monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            strained = self._relieves and self._client.transport.strain()
            self._halvings = min(self._halvings + 1, MOST_HALVINGS) if strained else 0
        return 0.5**self._halvings

    def _has_no_room(self) -> bool:
        """Whether a transaction, kept on disk, would take the place of an error before it is delivered."""
        now = monotonic()
        if now >= self._look_for_room_at:
            self._look_for_room_at = now + 1.0
            self._is_full = self._client.transport.strain() > 1
        return self._is_full

    def _finished(self, transaction: Transaction) -> None:
        """Make the event of *transaction* and have it sent. Never raises."""
        try:
            reason = "event_processor" if transaction.is_dropped else "backpressure"
            if transaction.is_dropped or self._has_no_room():
                self._client.transport.lost_transaction(reason, 1 + len(transaction.spans))
                return
            name = (transaction.name, transaction.source)
            self._client.capture_transaction(event_of(transaction), transaction.scope, name)
        except Exception as error:
            guard.fault("tracer", error)


def event_of(transaction: Transaction) -> Event:
    """The event of *transaction*. Its name is added later: framework and application have a say in it."""
    trace = transaction.get_trace_context()
    trace["status"] = transaction.status or ("internal_error" if transaction.has_failed else "ok")
    data = transaction.data
    if data:
        trace["data"] = data
    contexts: dict[str, Any] = {"trace": trace}
    tags = transaction.tags or {}
    code = data.get("http.response.status_code") if data else None
    if code is not None:
        contexts["response"] = {"status_code": code}
        tags = {"http.status_code": str(code), **tags}
    spans = [row_of(span) for span in transaction.spans]
    event: Event = {
        "type": "transaction",
        "start_timestamp": transaction.started,
        "timestamp": transaction.time_of(transaction.ended or transaction.began),
        "contexts": contexts,
        "spans": spans,
    }
    if tags:
        event["tags"] = tags
    if transaction.dropped:
        event["_meta"] = {"spans": {"": {"len": len(spans) + transaction.dropped}}}
    return event


def row_of(span: Span) -> dict[str, Any]:
    """*span* in the protocol's form."""
    time_of = span.transaction.time_of
    row: dict[str, Any] = {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_span_id,
        "op": span.op,
        "description": span.name,
        "start_timestamp": time_of(span.began),
        "timestamp": time_of(span.began if span.ended is None else span.ended),
        "origin": span.origin,
    }
    if span.status:
        row["status"] = span.status
    if span.data:
        row["data"] = span.data
    if span.tags:
        row["tags"] = span.tags
    return row
