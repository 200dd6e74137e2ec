# SPDX-License-Identifier: MIT
"""The client: takes an exception, a message or an event, and makes it durable before it returns.

The order: active? dedupe, ignore, sample, cap → build → scopes → processors → sanitise and scrub → ``error_sampler``
→ ``before_send`` → encode → spool. Each step that can fail stands in the guard; what was captured in part is sent in
part. What a hook returns is put right, but not scrubbed again: it may add on purpose what we would filter.
"""

from __future__ import annotations

import os
import sys
import time

from errtrack import guard, hooks, instrumentation, storms
from errtrack import options as settings
from errtrack.capture import event as events
from errtrack.capture.scrubber import Scrubber
from errtrack.capture.shapes import mro_of, names_of
from errtrack.context import scope as scopes
from errtrack.context.merge import apply_scopes
from errtrack.delivery import envelope
from errtrack.delivery.transport import Transport
from errtrack.dsn import Dsn
from errtrack.hooks import Hook, HookFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType, TracebackType
    from typing import Any, Optional

    from errtrack.context.scope import Event, Hint, Scope
    from errtrack.delivery.spotlight import Spotlight
    from errtrack.options import Options
    from errtrack.sessions import Sessions
    from errtrack.storms import Storm

    ErrorFilter = Callable[[BaseException, Optional[TracebackType], str], bool]

#: Set by the import hook of the launcher: the client then starts by itself at its first use.
launched = False

_processors: list[scopes.Processor] = []
_error_filters: list[ErrorFilter] = []
_clients: dict[str, Client] = {}


def add_event_processor(processor: scopes.Processor) -> None:
    """Call *processor*\\ (event, hint) for every event of the process, before the scopes' own."""
    if processor not in _processors:
        _processors.append(processor)


def add_error_filter(error_filter: ErrorFilter) -> None:
    """Ask *error_filter*\\ (error, traceback, event_id) before an exception's event is built; True drops it."""
    if error_filter not in _error_filters:
        _error_filters.append(error_filter)


def get_client() -> Client | None:
    """The client of this process; None where errtrack was neither launched nor initialised."""
    client = _clients.get("client")
    if client is None and launched:
        try:
            # setdefault instead of a lock: two threads may both build one, the first is kept.
            client = _clients.setdefault("client", Client(settings.current()))
        except Exception as error:
            guard.fault("client", error)
    return client


def init(code: dict[str, Any]) -> Client:
    """Start the client with *code* over all other sources; a client that runs is closed first."""
    former = _clients.pop("client", None)
    if former is not None:
        former.close(0)
    resolved = settings.resolve(code=code)
    settings.install(resolved)
    for name in list(instrumentation.active):
        if resolved.is_disabled(name):
            instrumentation.active[name].remove()
    client = _clients["client"] = Client(resolved)
    return client


class Client:
    """Captures by the settings in *options*. One a process; threads, forks and signal handlers may share it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        guard.debug_enabled = options.debug
        for problem in options.problems:
            guard.tell(problem)
        self.dsn = Dsn.parse(options.dsn) if options.dsn else None
        self.scrubber = Scrubber(options)
        self.transport = Transport(options, self.dsn)
        self.sessions: Sessions | None = None
        if options.auto_session_tracking:
            from errtrack import sessions

            self.sessions = sessions.Sessions(self)
        self._before_send = Hook("before_send", options.before_send)
        self._before_send_transaction = Hook("before_send_transaction", options.before_send_transaction)
        self._before_breadcrumb = Hook("before_breadcrumb", options.before_breadcrumb)
        self._error_sampler = Hook("error_sampler", options.error_sampler, hooks.IGNORED)
        self._own_processors = hooks.processors(options.processors)
        self._storms = storms.Storms(options.max_events_per_minute, options.max_events_burst)
        self._spotlight: Spotlight | None = None
        if options.spotlight:
            from errtrack.delivery.spotlight import Spotlight

            self._spotlight = Spotlight(options.spotlight)
        self._static: dict[str, Any] | None = None
        self._integrations: tuple[str, ...] = ()

    @property
    def is_active(self) -> bool:
        """Whether this process captures at all. The one place that says so."""
        return self.options.enabled and (self.options.pytest or "_pytest" not in sys.modules)

    def capture_exception(
        self,
        error: BaseException,
        tb: TracebackType | None = None,
        mechanism: dict[str, Any] | None = None,
        level: str | None = None,
        hint: Hint | None = None,
        scope: Scope | None = None,
    ) -> str | None:
        """Capture *error*; return the event's id, or None when it was not kept. Never raises ``Exception``."""
        if not self._admits():
            return None
        with guard.Inside():
            try:
                if tb is None:
                    tb = error.__traceback__
                event_id = events.new_id()
                if self._is_ignored(error) or any(f(error, tb, event_id) for f in _error_filters):
                    return None
                mechanism = mechanism or {"type": "generic", "handled": True}
                if not self._sampled():
                    self._count_error(mechanism)
                    self.transport.lost("sample_rate", "error")
                    return None
                storm = None
                if self.options.max_events_per_minute:
                    storm = self._storm_of(storms.key_of(error, tb))
                    if storm is None:
                        self._count_error(mechanism)
                        return None
                full_hint = dict(hint or {}, exc_info=(type(error), error, tb))
                event = events.from_exception(error, tb, mechanism, self.options, self.scrubber)
                if level is not None:
                    event["level"] = level
                event["event_id"] = event_id
                return self._process(event, full_hint, scope, storm)
            except Exception as fault:
                self._gave_up(fault)
                return None

    def capture_message(
        self,
        message: str,
        level: str | None = None,
        params: Any = None,
        scope: Scope | None = None,
        hint: Hint | None = None,
        frame: FrameType | None = None,
    ) -> str | None:
        """Capture a text, and the stack of *frame*; return the event's id, or None when it was not kept."""
        if not self._admits():
            return None
        with guard.Inside():
            try:
                if not self._sampled():
                    self.transport.lost("sample_rate", "error")
                    return None
                storm = None
                if self.options.max_events_per_minute and type(message) is str:
                    storm = self._storm_of((level, message[:200]))
                    if storm is None:
                        return None
                if frame is None and self.options.attach_stacktrace:
                    frame = sys._getframe(1)
                event = events.from_message(
                    message, level or "info", params, self.options, self.scrubber, frame
                )
                return self._process(event, dict(hint or {}), scope, storm)
            except Exception as fault:
                self._gave_up(fault)
                return None

    def capture_event(self, event: Event, hint: Hint | None = None, scope: Scope | None = None) -> str | None:
        """Capture a finished event (a plain dict in the protocol's form)."""
        if not self._admits():
            return None
        with guard.Inside():
            try:
                return self._process(dict(event), dict(hint or {}), scope)
            except Exception as fault:
                self._gave_up(fault)
                return None

    def add_breadcrumb(self, crumb: dict[str, Any], hint: Hint | None = None) -> None:
        """Keep a breadcrumb on the isolation scope, if ``before_breadcrumb`` lets it pass."""
        maximum = self.options.max_breadcrumbs
        if not maximum or guard.is_inside():
            return
        if self._before_breadcrumb:
            with guard.Inside():
                try:
                    kept: Any = self._before_breadcrumb(crumb, hint or {})
                except HookFailed:
                    return
            if not isinstance(kept, dict):
                return  # the hook dropped it
            crumb = kept
        scopes.get_isolation_scope().add_breadcrumb(crumb, maximum)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait at most *timeout* seconds until all that was captured is delivered; True when it is."""
        return self.transport.flush(self.options.shutdown_timeout if timeout is None else timeout)

    def close(self, timeout: float | None = None) -> None:
        """Flush, then stop the worker. What could not be delivered stays on disk for the next process."""
        try:
            self._tell_leftovers()
            if self.sessions is not None:
                self.sessions.close()
        except Exception as error:
            guard.fault("client.close", error)
        timeout = self.options.shutdown_timeout if timeout is None else timeout
        self.transport.close(timeout)
        if self._spotlight is not None:
            self._spotlight.close(min(timeout, 1.0))

    def send(self, record: bytes, category: str) -> bool:
        """Hand a finished envelope over for delivery; True when it is safe on disk."""
        kept = self.transport.put(record, category)
        if self._spotlight is not None:
            self._spotlight.put(record)
        return kept

    def static(self) -> dict[str, Any]:
        """What is the same on every event of this process; found out at the first one."""
        static = self._static
        integrations = tuple(instrumentation.active)
        if static is None or integrations != self._integrations:
            from errtrack import process

            static = self._static = process.describe(self.options, integrations)
            self._integrations = integrations
        return static

    def _admits(self) -> bool:
        if not self.is_active:
            return False
        if guard.is_inside():
            # A capture of our own work, or of a hook that we called, would have no end.
            self.transport.lost("internal_sdk_error", "error")
            return False
        return True

    def _is_ignored(self, error: BaseException) -> bool:
        ignored = self.options.ignore_errors
        if not ignored:
            return False
        for cls in mro_of(type(error)):
            name, module = names_of(cls)
            full = "%s.%s" % (module or "builtins", name)
            short = name.rpartition(".")[2]
            for rule in ignored:
                if rule is cls:
                    return True
                # Comparing a class with a text would ask its metaclass.
                if type(rule) is str and (rule in (short, name, full) or _is_prefix(rule, full)):
                    return True
        return False

    def _storm_of(self, key: Any) -> Storm | None:
        """The bucket that an event comes out of; None when it is empty, and the event is only counted."""
        storm = self._storms.storm_of(key)
        if self._storms.admits(storm):
            return storm
        self.transport.lost("backpressure", "error")
        return None

    def _count_error(self, mechanism: dict[str, Any] | None) -> None:
        """Note for the release health of the unit of work that an error happened in it."""
        if self.sessions is not None:
            self.sessions.error_happened(mechanism is not None and mechanism.get("handled") is False)

    def _sampled(self) -> bool:
        if self._error_sampler:
            return True  # it decides, once there is an event to show it
        rate: float = self.options.sample_rate
        return rate >= 1.0 or int.from_bytes(os.urandom(4), "big") < rate * 2**32

    def _process(
        self, event: Event, hint: Hint, scope: Scope | None, storm: Storm | None = None
    ) -> str | None:
        chain = scopes.merged_scopes()
        if scope is not None:
            chain = (*chain, scope)
        apply_scopes(event, chain)
        event_id: str = event.setdefault("event_id", events.new_id())
        hint.setdefault("event_id", event_id)
        hint.setdefault("attachments", [])
        held_back = storm.take() if storm is not None else 0
        finished = self._finished(event, hint, chain, held_back)
        if finished is None:
            if storm is not None and held_back:
                storm.give_back(held_back)
            return None
        event, trace = finished
        is_transaction = event.get("type") == "transaction"
        if storm is not None:
            storm.remember(event)
        attached: Any = ()
        if hint["attachments"] or any(scope.attachments for scope in chain):
            from errtrack.context import attachments

            given = [one for scope in chain for one in scope.attachments]
            attached, lost = attachments.items_of((*given, *hint["attachments"]), is_transaction)
            for size in lost:
                self.transport.lost("buffer_overflow", "attachment", size)
        kind = "transaction" if is_transaction else "event"
        record = envelope.build(event_id, kind, events.encode(event), trace, attached)
        if not self.send(record, envelope.CATEGORIES[kind]):
            return None
        scopes.get_isolation_scope().last_event_id = event_id
        return event_id

    def _finished(
        self, event: Event, hint: Hint, chain: tuple[Scope, ...], held_back: int
    ) -> tuple[Event, dict[str, Any] | None] | None:
        """*event* as it is sent, and its trace; None when it was dropped, which is counted."""
        is_transaction = event.get("type") == "transaction"
        event_id = event["event_id"]
        processed = self._run_processors(event, hint, chain)
        if processed is None:
            return None
        event = processed
        if held_back:
            extra = event.get("extra")
            event["extra"] = {**(extra if type(extra) is dict else {}), storms.COUNT: held_back}
        self._add_defaults(event, chain)
        events.finish(event, self.options, self.scrubber)
        trace = None
        if self.dsn is not None:
            trace = {"trace_id": event["contexts"]["trace"]["trace_id"], "public_key": self.dsn.public_key}
        if self._error_sampler and not is_transaction and not self._sampler_keeps(event, hint):
            self._count_errors_of(event)
            self._lose("sample_rate", event)
            return None
        before = self._before_send_transaction if is_transaction else self._before_send
        if before:
            given = event
            try:
                returned: Any = before(events.plain(event), hint)
            except HookFailed:
                self._lose("callback_error", given)
                return None
            if not isinstance(returned, dict):
                self._lose("before_send", given)
                return None
            event = returned
            event["event_id"] = event_id  # the id that the caller is told
            if is_transaction:
                event["type"] = "transaction"
            events.sanitise(event)
        if not is_transaction:
            self._count_errors_of(event)
        return event, trace

    def _run_processors(self, event: Event, hint: Hint, chain: Iterable[Scope]) -> Event | None:
        for processor in (*_processors, *(p for scope in chain for p in scope.processors)):
            if getattr(processor, "touches_frames", True):
                events.plain(event)
            try:
                result = processor(event, hint)
            except Exception as error:
                guard.fault("event processor", error)
                continue
            if result is None:
                self._lose("event_processor", event)
                return None
            event = result
        for own in self._own_processors:
            try:
                answer: Any = own(events.plain(event), hint)
            except HookFailed:
                self._lose("callback_error", event)
                return None
            if not isinstance(answer, dict):
                self._lose("event_processor", event)
                return None
            event = answer
        return event

    def _sampler_keeps(self, event: Event, hint: Hint) -> bool:
        """What ``error_sampler`` decides; one that fails or answers something else keeps the event."""
        try:
            share: Any = self._error_sampler(events.plain(event), hint)
        except HookFailed:
            return True
        if share is True or share is False:
            return bool(share)
        if (type(share) is float or type(share) is int) and 0 <= share <= 1:
            return int.from_bytes(os.urandom(4), "big") < share * 2**32
        self._error_sampler.complain("it must return a number from 0 to 1, true or false")
        return True

    def _count_errors_of(self, event: Event) -> None:
        if self.sessions is None:
            return
        exception = event.get("exception")
        values = exception.get("values") if type(exception) is dict else None
        if type(values) is list and values and type(values[-1]) is dict:
            self._count_error(values[-1].get("mechanism"))

    def _lose(self, reason: str, event: Event) -> None:
        """Count *event* as dropped; with a transaction its spans go."""
        if event.get("type") != "transaction":
            self.transport.lost(reason, "error")
            return
        spans = event.get("spans")
        self.transport.lost(reason, "transaction")
        self.transport.lost(reason, "span", 1 + (len(spans) if type(spans) is list else 0))

    def _add_defaults(self, event: Event, chain: tuple[Scope, ...]) -> None:
        for key, value in self.static().items():
            if key == "contexts":
                event["contexts"] = {**value, **(event.get("contexts") or {})}
            elif key == "tags":
                event["tags"] = {**value, **(event.get("tags") or {})}
            else:
                event.setdefault(key, value)
        # Children of a fork share what was described once; the PID is their own.
        event["contexts"].setdefault("process", {"pid": os.getpid(), "executable": sys.executable or ""})
        unit = chain[1] if len(chain) > 1 else chain[0]
        event["contexts"].setdefault("trace", unit.get_propagation().as_context())

    def _tell_leftovers(self) -> None:
        """One last, short event for each storm that ended with something held back."""
        if not self.is_active:
            return
        for last, count in self._storms.leftover()[:20]:
            event = {**last, "event_id": events.new_id(), "extra": {storms.COUNT: count}}
            event["timestamp"] = events.stamp(time.time())
            self.send(envelope.build(event["event_id"], "event", events.encode(event)), "error")

    def _gave_up(self, fault: Exception) -> None:
        guard.fault("client.capture", fault)
        try:
            self.transport.lost("internal_sdk_error", "error")
        except Exception as error:
            guard.fault("transport.lost", error)


def _is_prefix(rule: str, full: str) -> bool:
    return rule.endswith("*") and full.startswith(rule[:-1])
