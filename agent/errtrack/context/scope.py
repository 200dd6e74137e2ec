# SPDX-License-Identifier: MIT
"""Scopes: what an application says about its events, kept apart between requests, tasks and threads.

Three of them, merged into each event in this order, later wins: the global one (the process), the isolation scope
(one request, task or thread) and the current scope (a block of code). They live in one context variable, so
asyncio tasks and copied contexts inherit them (https://develop.sentry.dev/sdk/telemetry/scopes/).

A scope's tables are replaced, never changed: a fork shares them at no cost, no lock is needed, and a capture in
a signal handler cannot meet a table that is half written.
"""

from __future__ import annotations

import time
from _contextvars import ContextVar  # without the costs of contextvars
from collections import deque

from errtrack.context import propagation as traces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Token
    from types import TracebackType
    from typing import Any, Optional

    from errtrack.context.attachments import Attachment
    from errtrack.context.merge import Kept
    from errtrack.context.propagation import PropagationContext
    from errtrack.context.session import Session
    from errtrack.context.span import Span

    Event = dict[str, Any]
    Hint = dict[str, Any]
    Processor = Callable[[Event, Hint], Optional[Event]]
    Pair = tuple["Scope", Optional["Scope"]]

#: Feature flags kept in a scope; those evaluated longest ago go first.
MOST_FLAGS = 100


#: No table at all; that nobody can put something into it keeps scopes apart.
_EMPTY: Any = type(type.__dict__)({})


class Scope:
    """Tags, user, contexts, extra, breadcrumbs and the rest of what events inherit.

    What nobody has set stands in the class: most units of work are told nothing, and set nothing.
    """

    tags: Mapping[str, Any] = _EMPTY
    user: dict[str, Any] | None = None
    contexts: Mapping[str, dict[str, Any]] = _EMPTY
    extra: Mapping[str, Any] = _EMPTY
    breadcrumbs: deque[Kept] | None = None
    level: str | None = None
    fingerprint: list[str] | None = None
    transaction: tuple[str, str] | None = None
    processors: tuple[Processor, ...] = ()
    propagation: PropagationContext | None = None
    last_event_id: str | None = None
    attachments: tuple[Attachment, ...] = ()
    flags: dict[str, Any] | None = None
    session: Session | None = None
    #: The span in hand; None while tracing is off, or this work was not sampled.
    span: Span | None = None
    #: Whether this is work that came from elsewhere, with a trace of its own or none: not the process's.
    is_unit = False

    def fork(self, with_breadcrumbs: bool = True) -> Scope:
        """A scope that starts with all of this one; what either is told afterwards the other does not see."""
        new = Scope()
        held = new.__dict__
        held.update(self.__dict__)
        crumbs = held.pop("breadcrumbs", None)
        if crumbs and with_breadcrumbs:
            new.breadcrumbs = deque(crumbs, crumbs.maxlen)
        held.pop("last_event_id", None)
        return new

    def set_tag(self, key: str, value: Any) -> None:
        """Set one tag: a short searchable text, shown with every event."""
        self.tags = {**self.tags, key: value}

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set several tags."""
        self.tags = {**self.tags, **tags}

    def remove_tag(self, key: str) -> None:
        """Forget a tag."""
        self.tags = {k: v for k, v in self.tags.items() if k != key}

    def set_user(self, user: Mapping[str, Any] | None) -> None:
        """Say who is affected: ``id``, ``username``, ``email``, ``ip_address``; None forgets the user."""
        self.user = dict(user) if user is not None else None

    def set_context(self, key: str, value: Mapping[str, Any]) -> None:
        """Attach a table under a name of its own, shown with the event."""
        self.contexts = {**self.contexts, key: dict(value)}

    def remove_context(self, key: str) -> None:
        """Forget a context."""
        self.contexts = {k: v for k, v in self.contexts.items() if k != key}

    def set_extra(self, key: str, value: Any) -> None:
        """Attach any value, shown with the event but not searchable."""
        self.extra = {**self.extra, key: value}

    def set_extras(self, extras: Mapping[str, Any]) -> None:
        """Attach several values."""
        self.extra = {**self.extra, **extras}

    def set_level(self, level: str) -> None:
        """Override the level of events: fatal, error, warning, info or debug."""
        self.level = level

    def set_fingerprint(self, fingerprint: list[str]) -> None:
        """Group events by these texts; the item ``{{ default }}`` stands for the server's own grouping."""
        self.fingerprint = list(fingerprint)

    def set_transaction_name(self, name: str, source: str = "custom") -> None:
        """Name the unit of work; *source* is one of custom, url, route, view, component, task."""
        self.transaction = (name, source)

    def add_breadcrumb(self, crumb: dict[str, Any], maximum: int = 100) -> None:
        """Keep a breadcrumb; the oldest goes when there are *maximum*."""
        if "timestamp" not in crumb:
            crumb["timestamp"] = time.time()
        self.keep_breadcrumb(crumb, maximum)

    def keep_breadcrumb(self, crumb: Kept, maximum: int) -> None:
        """As :meth:`add_breadcrumb`, for what has its time already."""
        crumbs = self.breadcrumbs
        if crumbs is None or crumbs.maxlen != maximum:
            crumbs = self.breadcrumbs = deque(crumbs or (), maximum)
        crumbs.append(crumb)

    def clear_breadcrumbs(self) -> None:
        """Forget the breadcrumbs."""
        self.breadcrumbs = None

    def add_event_processor(self, processor: Processor) -> None:
        """Call *processor*\\ (event, hint) for each event of this scope; what it returns is sent, None drops it."""
        self.processors = self.processors + (processor,)

    def add_attachment(
        self,
        bytes: bytes | Callable[[], bytes] | None = None,
        filename: str | None = None,
        path: str | None = None,
        content_type: str | None = None,
        add_to_transactions: bool = False,
    ) -> None:
        """Send a file along with each event: *bytes*, a function that makes them, or the file at *path*.

        A path is read, and a function called, when an event is captured. Attachments are not scrubbed.
        """
        from errtrack.context.attachments import Attachment

        made = Attachment(bytes, filename, path, content_type, add_to_transactions)
        self.attachments = (*self.attachments, made)

    def add_feature_flag(self, flag: str, result: Any) -> None:
        """Note what a feature flag was evaluated to; the last 100 flags are shown with each event, the first 10 of
        a span with it.
        """
        flags = dict(self.flags or ())
        if flag in flags:
            del flags[flag]
        elif len(flags) >= MOST_FLAGS:
            del flags[next(iter(flags))]
        flags[flag] = result
        self.flags = flags
        if self.span is not None:
            self.span.set_flag(flag, result)

    def get_propagation(self) -> PropagationContext:
        """The ids of this unit of work, made at first use."""
        if self.propagation is None:
            self.propagation = traces.PropagationContext() if self.is_unit else traces.of_process()
        return self.propagation

    def clear(self) -> None:
        """Forget everything but the trace and the processors."""
        kept = ("propagation", "processors", "span", "is_unit")
        for name in list(self.__dict__):
            if name not in kept:
                self.__dict__.pop(name, None)  # a signal handler may have done it meanwhile


#: Set while sessions are counted (option auto_session_tracking): makes the session of a unit of work.
new_session: Callable[[], Session] | None = None

_global_scope = Scope()
_scopes: ContextVar[Pair | None] = ContextVar("errtrack_scopes", default=None)


def get_global_scope() -> Scope:
    """The scope of the process: its data is on every event."""
    return _global_scope


def get_isolation_scope() -> Scope:
    """The scope of the request, task or thread in hand; made at first use."""
    pair = _scopes.get()
    if pair is None:
        pair = (Scope(), None)
        _scopes.set(pair)
    return pair[0]


def keep_breadcrumb(crumb: Kept, maximum: int) -> None:
    """Keep *crumb*, which has its time, on the isolation scope; this is what every log line goes through."""
    pair = _scopes.get()
    if pair is not None:
        crumbs = pair[0].breadcrumbs
        if crumbs is not None and crumbs.maxlen == maximum:
            crumbs.append(crumb)
            return
    get_isolation_scope().keep_breadcrumb(crumb, maximum)


def get_current_scope() -> Scope:
    """The scope of the block in hand; made at first use."""
    isolation = get_isolation_scope()
    pair = _scopes.get()
    current = pair[1] if pair is not None else None
    if current is None:
        current = Scope()
        _scopes.set((isolation, current))
    return current


def merged_scopes() -> tuple[Scope, ...]:
    """The scopes that an event takes its data from, in the order of merging; makes none."""
    pair = _scopes.get()
    if pair is None:
        return (_global_scope,)
    return (_global_scope, pair[0]) if pair[1] is None else (_global_scope, pair[0], pair[1])


class entered:
    """``with entered(isolation, current):`` puts scopes in force and restores the former ones afterwards."""

    __slots__ = ("_pair", "_scope", "_token")

    def __init__(self, isolation: Scope, current: Scope | None = None, scope: Scope | None = None) -> None:
        self._pair: Pair = (isolation, current)
        self._scope = scope or isolation
        self._token: Token[Pair | None] | None = None

    def __enter__(self) -> Scope:
        self._token = enter(self._pair)
        return self._scope

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        token, self._token = self._token, None
        if token is not None:
            leave(token)


#: enter(pair) puts scopes in force, and :func:`leave` with the token that it returns restores what was: for paths
#: on which a `with` is too dear. On those where a call is: reset(token), and :func:`leave` for the ValueError.
enter, reset = _scopes.set, _scopes.reset


def leave(token: Token[Pair | None]) -> None:
    """Undo :func:`enter`; in another context than that (an async generator's end) by value."""
    try:
        reset(token)
    except ValueError:
        before = token.old_value
        _scopes.set(None if before is token.MISSING else before)


def new_scope() -> entered:
    """``with errtrack.new_scope() as scope:`` what is set on *scope* holds in the block only."""
    current = get_current_scope().fork()
    return entered(get_isolation_scope(), current, current)


def isolation_scope() -> entered:
    """``with errtrack.isolation_scope() as scope:`` a unit of work of its own: nothing leaks out of the block."""
    pair = _scopes.get()
    if pair is None:
        return entered(Scope())
    pair[0].get_propagation()  # the same inside of the block
    return entered(pair[0].fork(), pair[1].fork() if pair[1] is not None else None)


def unit_of_work(describe: Processor | None = None) -> Pair:
    """Scopes for a request or task, to be put in force by :func:`enter`: what the process said of itself is in
    them, the breadcrumbs and the trace of whoever runs it are not.

    *describe* tells events of it. One for a request made inside of a request (a test client in a view) is described by
    its own alone: what is there of that kind already (``is_request``) is left out.
    """
    pair = _scopes.get()
    if pair is None:
        scope, current = Scope(), None
        if describe is not None:
            scope.processors = (describe,)
    else:
        scope, current = pair[0].fork(False), pair[1]
        scope.propagation = scope.span = scope.session = None
        if current is not None:
            current = current.fork()
        if describe is not None:
            others = [p for p in scope.processors if not getattr(p, "is_request", False)]
            scope.processors = (*others, describe)
    scope.is_unit = True
    if new_session is not None:
        scope.session = new_session()
    return (scope, current)
