# SPDX-License-Identifier: MIT
"""One request, task or invocation: its own scopes, its place in the caller's trace, its session and its transaction.

What every server, framework and queue does around a unit of work, in one place::

    unit = Unit("queue.task.celery", "task name", "task", "auto.queue.celery", trace=(sentry_trace, baggage, ""))
    token = unit.enter()            # in force: what is said now, is said of this unit
    try:
        ...
    finally:
        unit.leave(token)           # as often as it is left and entered again (streams, callbacks)
        unit.end()                  # once; a second time does nothing

The transaction, where tracing is on, takes its name from ``unit.scope.set_transaction_name`` at its end.
"""

from __future__ import annotations

from errtrack import guard
from errtrack import options as settings
from errtrack.context import scope as scopes
from errtrack.context import trace as tracing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextvars import Token
    from typing import Any

    from errtrack.context.scope import Pair, Processor, Scope
    from errtrack.context.session import Session
    from errtrack.context.span import Transaction


class Unit:
    """A unit of work that begins now: *op*, *name*, *source* and *origin* are its transaction's.

    *trace* is what came in with it: the texts of the headers ``sentry-trace``, ``baggage`` and ``traceparent``
    (empty where absent); None where nothing came. *sampling* is what ``traces_sampler`` is shown beside them,
    *method* that of an HTTP request: ``http_methods_to_capture`` says which are transactions.
    """

    pair: Pair
    session: Session | None
    #: The transaction; None while tracing is off, or this one was not sampled.
    span: Transaction | None

    def __init__(
        self,
        op: str,
        name: str,
        source: str,
        origin: str,
        trace: tuple[str, str, str] | None = None,
        sampling: dict[str, Any] | None = None,
        method: str = "",
    ) -> None:
        self.prepare()
        if trace is not None or tracing.tracer is not None:
            self.trace(op, name, source, origin, trace, sampling, method)

    def prepare(self, describe: Processor | None = None) -> None:
        """Make the scopes, the first thing of all; *describe* tells events of the unit."""
        self.pair = pair = scopes.unit_of_work(describe)
        self.span = None
        self.session = None if scopes.new_session is None else pair[0].session

    def trace(
        self,
        op: str,
        name: str,
        source: str,
        origin: str,
        trace: tuple[str, str, str] | None,
        sampling: dict[str, Any] | None = None,
        method: str = "",
    ) -> None:
        """Continue the trace that came in, and begin the transaction, if tracing is on."""
        scope = self.pair[0]
        if trace is not None:
            scope.propagation = tracing.continue_trace(*trace)
        tracer = tracing.tracer
        if tracer is not None:
            if method and method not in settings.current().http_methods_to_capture:
                return
            try:
                self.span = scope.span = tracer.start(scope, op, name, source, origin, sampling)
            except Exception as error:
                guard.fault("unit", error)

    @property
    def scope(self) -> Scope:
        """The isolation scope."""
        return self.pair[0]

    def enter(self) -> Token[Pair | None]:
        """Put the scopes in force; give :meth:`leave` what this returns."""
        return scopes.enter(self.pair)

    def leave(self, token: Token[Pair | None]) -> None:
        """Put in force what was before."""
        scopes.leave(token)

    def end(self, status: str = "", http_status: int = 0) -> None:
        """The work is over. *status* is a span status (``ok``, ``internal_error``, ``cancelled``…), *http_status*
        the answer's code where there is one; an error that was reported meanwhile counts where neither is given.
        """
        session, self.session = self.session, None
        if session is not None:
            session.end()
        span, self.span = self.span, None
        if span is not None:
            if http_status:
                span.set_http_status(http_status)
                if http_status in settings.current().trace_ignore_status_codes:
                    span.drop()
            if status:
                span.status = status
            span.finish()
            self.scope.span = None  # a thread that outlives the work begins nothing below it
