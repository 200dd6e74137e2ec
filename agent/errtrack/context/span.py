# SPDX-License-Identifier: MIT
"""Spans: what a unit of work spent its time on. The outermost one is its transaction, and carries the others.

They are made only for work that is sampled. A span is kept when it is finished; one that never is, is not sent.
"""

from __future__ import annotations

import time

from errtrack.context import ids
from errtrack.context import scope as scopes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Any

    from errtrack.context.propagation import PropagationContext
    from errtrack.context.scope import Scope

    Token = tuple[Scope, Any]

#: Feature flags kept in a span: those evaluated first.
MOST_FLAGS = 10

_clock = time.perf_counter

#: HTTP status codes that say something of their own; the others go by their hundreds.
_OF_HTTP = {
    401: "unauthenticated", 403: "permission_denied", 404: "not_found", 409: "already_exists",
    413: "failed_precondition", 429: "resource_exhausted", 501: "unimplemented", 503: "unavailable",
    504: "deadline_exceeded",
}  # fmt: skip


def status_of_http(code: int) -> str:
    """The span status of an HTTP status code."""
    if code < 400:
        return "ok" if code >= 100 else "unknown_error"
    known = _OF_HTTP.get(code)
    if known is not None:
        return known
    return "invalid_argument" if code < 500 else "internal_error" if code < 600 else "unknown_error"


class Span:
    """A stretch of time with an *op* (``db.query``) and a name (``SELECT ...``), below *parent_span_id*."""

    __slots__ = (
        "_token", "began", "data", "ended", "name", "op", "origin", "parent_span_id", "span_id", "status", "tags",
        "transaction",
    )  # fmt: skip

    def __init__(self, transaction: Any, parent_span_id: str | None, op: str, name: str, origin: str) -> None:
        self.transaction: Transaction = transaction
        self.span_id = ids.span_id()
        self.parent_span_id = parent_span_id
        self.op = op
        self.name = name
        self.origin = origin
        self.status = ""
        self.data: dict[str, Any] | None = None
        self.tags: dict[str, Any] | None = None
        #: Reading of the process's clock at the end, None until then.
        self.ended: float | None = None
        self.began = _clock()
        self._token: Token | None = None

    @property
    def trace_id(self) -> str:
        return self.transaction.propagation.trace_id

    @property
    def sampled(self) -> bool:
        return True

    @property
    def description(self) -> str:
        """Another word for the name."""
        return self.name

    @property
    def containing_transaction(self) -> Transaction:
        return self.transaction

    def start_child(
        self, op: str = "", name: str = "", origin: str = "manual", description: str = "", **_: Any
    ) -> Span:
        """Begin a span below this one; its clock runs from now on until :meth:`finish`."""
        return Span(self.transaction, self.span_id, op, name or description, origin)

    def enter(self) -> Token:
        """Make this the span in hand, which others begin below; give :meth:`leave` what this returns."""
        scope = scopes.get_isolation_scope()
        token = (scope, scope.span)
        scope.span = self
        return token

    def leave(self, token: Token) -> None:
        """Put in hand the span that was before; its transaction, where it has ended: tasks may share a scope."""
        scope, before = token
        if before is not None and before.ended is not None:
            above = before.transaction
            before = above if above.ended is None else None
        scope.span = before

    def set_data(self, key: str, value: Any) -> None:
        """Attach a value under a name such as ``db.system``."""
        if self.data is None:
            self.data = {}
        self.data[key] = value

    set_attribute = set_data

    def update_data(self, data: Mapping[str, Any]) -> None:
        """Attach several values."""
        self.data = {**(self.data or {}), **data}

    def set_flag(self, flag: str, result: Any) -> None:
        """Note what a feature flag was evaluated to; of a span the first 10 are kept."""
        named = [key for key in self.data or () if type(key) is str and key.startswith("flag.evaluation.")]
        if len(named) < MOST_FLAGS:
            self.set_data("flag.evaluation.%s" % flag, result)

    def set_tag(self, key: str, value: Any) -> None:
        """Set a tag of the span."""
        if self.tags is None:
            self.tags = {}
        self.tags[key] = value

    def set_status(self, status: str) -> None:
        """Say how it went: ``ok``, ``cancelled``, ``internal_error``, ``deadline_exceeded``, …"""
        self.status = status

    def set_http_status(self, code: int) -> None:
        """Say how it went by the status code of an HTTP answer."""
        self.set_data("http.response.status_code", code)
        self.status = status_of_http(code)

    def finish(self, end: float | None = None) -> None:
        """Stop the clock (or take *end*, a reading of ``time.perf_counter``) and keep the span; once."""
        if self.ended is None:
            self.ended = _clock() if end is None else max(end, self.began)
            self.transaction.keep(self)

    def extend(self) -> None:
        """It was not over yet when it was finished: it is now."""
        self.ended = _clock()

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        return (_clock() if self.ended is None else self.ended) - self.began

    def to_traceparent(self) -> str:
        """The ``sentry-trace`` header that continues the trace below this span."""
        return "%s-%s-1" % (self.trace_id, self.span_id)

    def get_trace_context(self) -> dict[str, Any]:
        """The ``trace`` context of an event that happened in this span."""
        context: dict[str, Any] = {"trace_id": self.trace_id, "span_id": self.span_id, "op": self.op}
        if self.parent_span_id:
            context["parent_span_id"] = self.parent_span_id
        if self.status:
            context["status"] = self.status
        context["origin"] = self.origin
        return context

    def __enter__(self) -> Span:
        self._token = self.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if error is not None and not self.status and not is_no_failure(error):
            self.status = "internal_error"
        self.finish()
        token, self._token = self._token, None
        if token is not None:
            self.leave(token)


class Transaction(Span):
    """The span of a whole unit of work. *ended* is called with it at its end, to deliver it.

    Of its spans the first *most* that end are kept, the others are counted in ``dropped``.
    """

    __slots__ = (
        "_deliver",
        "_most",
        "dropped",
        "has_failed",
        "is_dropped",
        "propagation",
        "scope",
        "source",
        "spans",
        "started",
    )

    def __init__(
        self,
        propagation: PropagationContext,
        scope: Scope,
        op: str,
        name: str,
        source: str,
        origin: str,
        deliver: Callable[[Transaction], None],
        most: int,
    ) -> None:
        self.propagation = propagation
        self.started = time.time()
        Span.__init__(self, self, propagation.parent_span_id, op, name, origin)
        self.span_id = propagation.span_id
        self.source = source
        self.spans: list[Span] = []
        self.dropped = 0
        #: An error was reported that nothing in the work has taken care of.
        self.has_failed = False
        self.is_dropped = False
        self.scope = scope
        self._deliver: Callable[[Transaction], None] | None = deliver
        self._most = most

    def enter(self) -> Any:
        """Make this the work in hand: its span, its trace and its name; give :meth:`leave` what this returns."""
        scope = self.scope
        token = (scope, scope.span, scope.propagation, scope.transaction)
        scope.span, scope.propagation, scope.transaction = self, self.propagation, (self.name, self.source)
        return token

    def leave(self, token: Any) -> None:
        """Put in hand what was before."""
        scope, scope.span, scope.propagation, scope.transaction = token

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if error is not None and not self.status and not is_no_failure(error):
            self.status = "internal_error"
        self.finish()  # first: its name is in the scope
        token, self._token = self._token, None
        if token is not None:
            self.leave(token)

    def keep(self, span: Span) -> None:
        """Take *span*, which has ended; at the end of the transaction itself that is delivered."""
        if span is self:
            deliver, self._deliver = self._deliver, None
            if deliver is not None:
                deliver(self)
            self.spans = []
        elif self._deliver is not None:
            if len(self.spans) < self._most:
                self.spans.append(span)
            else:
                self.dropped += 1

    def drop(self) -> None:
        """Do not send it."""
        self.is_dropped = True

    def name_in(self, scope: Scope) -> str | None:
        """Its name as far as known now, where it is one that servers may go by."""
        name, source = scope.transaction or (self.name, self.source)
        return name if source != "url" and not name.startswith("generic ") else None

    def time_of(self, reading: float) -> float:
        """Seconds since 1970 of a *reading* of the process's clock: no step of the system's clock is in it."""
        return self.started + (reading - self.began)

    def set_name(self, name: str, source: str = "custom") -> None:
        """Name the unit of work."""
        self.scope.set_transaction_name(name, source)


class Unrecorded:
    """Stands for a span where none is recorded: takes everything, keeps nothing. May carry a trace of its own."""

    __slots__ = ("_propagation", "_token")

    sampled = False
    op = name = description = status = ""

    def __init__(self, propagation: PropagationContext | None = None) -> None:
        self._propagation = propagation
        self._token: Any = None

    def start_child(self, *args: Any, **kwargs: Any) -> Unrecorded:
        return NOT_RECORDED

    def enter(self) -> Any:
        if self._propagation is None:
            return None
        scope = scopes.get_isolation_scope()
        token = (scope, scope.span, scope.propagation)
        scope.span, scope.propagation = None, self._propagation
        return token

    def leave(self, token: Any) -> None:
        if token is not None:
            scope, scope.span, scope.propagation = token

    def set_data(self, key: str, value: Any) -> None:
        return

    def update_data(self, data: Mapping[str, Any]) -> None:
        return

    set_attribute = set_tag = set_data

    def set_status(self, status: str) -> None:
        return

    def set_http_status(self, code: int) -> None:
        return

    def set_name(self, name: str, source: str = "custom") -> None:
        scopes.get_isolation_scope().set_transaction_name(name, source)

    def finish(self, end: float | None = None) -> None:
        return

    def __enter__(self) -> Unrecorded:
        if self._propagation is not None:
            self._token = self.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._propagation is not None:
            token, self._token = self._token, None
            self.leave(token)


#: The one that all share which are no unit of work.
NOT_RECORDED = Unrecorded()


def is_no_failure(error: BaseException) -> bool:
    """Whether *error* is a way to end that is no failure: a closed generator, a successful exit."""
    return isinstance(error, GeneratorExit) or (isinstance(error, SystemExit) and error.code in (None, 0))
