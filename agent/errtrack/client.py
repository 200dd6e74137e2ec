# SPDX-License-Identifier: MIT
"""The client: takes an exception, a message or an event, and makes it durable before it returns.

The order: active? dedupe, ignore, sample, cap → build → scopes → the pipeline (processors, scrubbing, hooks) → encode
→ spool. Each step that can fail stands in the guard; what was captured in part is sent in part.
"""

from __future__ import annotations

import sys
import time

from errtrack import guard, instrumentation, storms
from errtrack import options as settings
from errtrack.capture import budget
from errtrack.capture import event as events
from errtrack.capture.scrubber import Scrubber
from errtrack.capture.shapes import mro_of, names_of
from errtrack.context import scope as scopes
from errtrack.context import trace as tracing
from errtrack.context.merge import apply_scopes
from errtrack.delivery import envelope
from errtrack.delivery.transport import Transport
from errtrack.dsn import Dsn
from errtrack.pipeline import Pipeline, hook_of, is_drawn, is_prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType
    from typing import Any, Optional

    from errtrack.context.scope import Event, Hint, Scope
    from errtrack.delivery.spotlight import Spotlight
    from errtrack.options import Options
    from errtrack.sessions import Sessions
    from errtrack.storms import Storm
    from errtrack.tracer import Tracer

    ErrorFilter = Callable[[BaseException, Optional[TracebackType], str], bool]

#: As the interpreter keeps it: an exception's class may have something else under that name.
_traceback_of = BaseException.__dict__["__traceback__"].__get__

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
            with guard.Inside():
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
    instrumentation.trace_now()
    return client


def end() -> None:
    """Close the client of a process that ends. Who interrupts that, as by Ctrl-C, wants it to end at once: no more."""
    client = get_client()
    if client is None:
        return
    try:
        client.close()
    except BaseException as error:
        if isinstance(error, Exception) and not guard.is_of_signal_handler(error):
            raise
        client.close(0)


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
        self.tracer: Tracer | None = None
        if options.traces:
            from errtrack.tracer import Tracer

            self.tracer = Tracer(self)
        self._pipeline = Pipeline(options, self.scrubber, self.dsn, self._lose, self._count_error)
        self._before_breadcrumb = hook_of("before_breadcrumb", options.before_breadcrumb)
        self.transport.recover = self.take_over
        self._storms = storms.Storms(
            options.max_events_per_minute, options.max_events_burst, self.transport.tally
        )
        self._budget = budget.Budget(options, self._note_cost)
        self._spotlight: Spotlight | None = None
        if options.spotlight:
            from errtrack.delivery.spotlight import Spotlight

            self._spotlight = Spotlight(options.spotlight)

    @property
    def is_active(self) -> bool:
        """Whether this process captures at all. The one place that says so."""
        return self.options.enabled and not self.options.is_quiet

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
                    tb = _traceback_of(error)
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
                meter = self._budget.admit(level == "fatal")
                if meter is None:
                    self._only_count(storm)
                    self._count_error(mechanism)
                    return None
                full_hint = dict(hint or {}, exc_info=(type(error), error, tb))
                try:
                    event = events.from_exception(error, tb, mechanism, self.options, self.scrubber, meter)
                    if level is not None:
                        event["level"] = level
                    event["event_id"] = event_id
                    return self._process(event, full_hint, scope, storm)
                finally:
                    self._budget.spend(meter)
            except Exception as fault:
                self._gave_up(fault)
                return None

    def dismiss(self, error: BaseException) -> None:
        """Take *error* for one that was captured: later layers are then asked in vain. Never raises ``Exception``."""
        with guard.Inside():
            try:
                any(f(error, _traceback_of(error), "") for f in _error_filters)
            except Exception as fault:
                guard.fault("client", fault)

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
                meter = self._budget.admit(level == "fatal")
                if meter is None:
                    self._only_count(storm)
                    return None
                try:
                    event = events.from_message(
                        message, level or "info", params, self.options, self.scrubber, frame, meter
                    )
                    return self._process(event, dict(hint or {}), scope, storm)
                finally:
                    self._budget.spend(meter)
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

    def capture_transaction(self, event: Event, scope: Scope, name: tuple[str, str]) -> str | None:
        """Capture the event of a transaction of the unit of work *scope*; *name* and source where it has none."""
        if not self._admits("transaction"):
            return None
        with guard.Inside():
            token = scopes.enter((scope, None))
            try:
                return self._process(event, {}, None, name=name)
            except Exception as fault:
                self._gave_up(fault)
                return None
            finally:
                scopes.leave(token)

    def add_breadcrumb(self, crumb: dict[str, Any], hint: Hint | None = None) -> None:
        """Keep a breadcrumb on the isolation scope, if ``before_breadcrumb`` lets it pass."""
        maximum = self.options.max_breadcrumbs
        if not maximum or guard.is_inside():
            return
        before = self._before_breadcrumb
        if before is not None:
            with guard.Inside():
                try:
                    kept: Any = before(crumb, hint or {})
                except before.Failed:
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
            if self.tracer is not None:
                self.tracer.close()
        except Exception as error:
            guard.fault("client.close", error)
        self.transport.close(timeout)
        if self._spotlight is not None:
            self._spotlight.close(min(self.options.shutdown_timeout if timeout is None else timeout, 1.0))

    def send(self, record: bytes, category: str, fatal: bool = False) -> bool:
        """Hand a finished envelope over for delivery; True when it is safe on disk. *fatal*: it ends the process."""
        kept = self.transport.put(record, category, fatal)
        if self._spotlight is not None:
            self._spotlight.put(record)
        return kept

    def static(self) -> dict[str, Any]:
        """What is the same on every event of this process; found out at the first one."""
        return self._pipeline.static()

    def _admits(self, category: str = "error") -> bool:
        if not self.is_active:
            return False
        if guard.is_inside():
            # A capture of our own work, or of a hook that we called, would have no end.
            self.transport.lost("internal_sdk_error", category)
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
                if type(rule) is str and (rule in (short, name, full) or is_prefix(rule, full)):
                    return True
        return False

    def _storm_of(self, key: Any) -> Storm | None:
        """The bucket that an event comes out of; None when it is empty, and the event is only counted."""
        storm = self._storms.storm_of(key)
        if self._storms.admits(storm):
            return storm
        self.transport.lost("backpressure", "error")
        return None

    def _only_count(self, storm: Storm | None) -> None:
        """Captures have used their share of the processor: count this one, to be told later."""
        self._storms.only_count(storm, self._unseen)
        self.transport.lost("backpressure", "error")

    def _note_cost(self, setting: str, what: str) -> None:
        """For ``errtrack doctor``: captures of this process went over *setting*, and *what* gave way."""
        from errtrack import breaker

        try:
            breaker.note(self.options, setting, what)
        except OSError as fault:
            guard.debug("cannot note that %s was reached: %s" % (setting, fault))

    def _unseen(self) -> Event:
        """What tells how many errors were only counted."""
        text = "errors were only counted: captures had used their share of the processor (max_capture_cpu)"
        event = {"level": "warning", "logentry": {"message": text, "formatted": text}, **self.static()}
        events.finish(event, self.options, self.scrubber)
        return event

    def _count_error(self, mechanism: dict[str, Any] | None) -> None:
        """Note for the release health and the transaction of the unit of work that an error happened in it."""
        is_crash = mechanism is not None and mechanism.get("handled") is False
        if self.sessions is not None:
            self.sessions.error_happened(is_crash)
        span = tracing.recording()
        if span is not None and is_crash:
            span.transaction.has_failed = True

    def _sampled(self) -> bool:
        if self._pipeline.error_sampler is not None:
            return True  # it decides, once there is an event to show it
        return is_drawn(self.options.sample_rate)

    def _process(
        self,
        event: Event,
        hint: Hint,
        scope: Scope | None,
        storm: Storm | None = None,
        name: tuple[str, str] | None = None,
    ) -> str | None:
        chain = scopes.merged_scopes()
        if scope is not None:
            chain = (*chain, scope)
        apply_scopes(event, chain)
        event_id: str = event.setdefault("event_id", events.new_id())
        hint.setdefault("event_id", event_id)
        hint.setdefault("attachments", [])
        held_back, told = storm.take() if storm is not None else 0, 0
        try:
            finished = self._pipeline.run(event, hint, chain, _processors, held_back, name)
            if finished is None:
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
            if is_transaction and self.dsn is None and self._spotlight is None:
                return event_id  # the store is for errors
            record = envelope.build(event_id, kind, events.encode(event), trace, attached)
            if storm is not None and held_back:
                storm.is_told_by(event_id, held_back)
            kept = self.send(record, envelope.CATEGORIES[kind], event.get("level") == "fatal")
            told = held_back
        finally:
            if storm is not None and held_back:
                storm.settle(told)
        if storm is not None and self._storms.is_time_to_look():
            self._tell_leftovers(storms.QUIET)
        if not kept or is_transaction:
            return event_id if kept else None
        scopes.get_isolation_scope().last_event_id = event_id
        return event_id

    def _lose(self, reason: str, event: Event) -> None:
        """Count *event* as dropped; with a transaction its spans go."""
        if event.get("type") != "transaction":
            self.transport.lost(reason, "error")
            return
        spans = event.get("spans")
        self.transport.lost_transaction(reason, 1 + (len(spans) if type(spans) is list else 0))

    def _tell_leftovers(self, quiet: float = 0.0) -> None:
        """One last, short event for each storm that ended *quiet* seconds ago with something held back."""
        if not self.is_active:
            return
        for storm, last, count in self._storms.leftover(quiet):
            told = 0
            try:
                event = {**last, "event_id": events.new_id(), "extra": {storms.COUNT: count}}
                event["timestamp"] = events.stamp(time.time())
                record = envelope.build(event["event_id"], "event", events.encode(event))
                storm.is_told_by(event["event_id"], count)
                self.send(record, "error")
                told = count
            finally:
                storm.settle(told)

    def take_over(self) -> None:
        """See to what dead processes left beside events: crashes, and counts of storms. For the worker."""
        self.report_crashes()
        if self.is_active:
            from errtrack import recovery

            recovery.tell_counts(self.options, self.dsn, lambda record: self.send(record, "error"))

    def report_crashes(self) -> int:
        """Report what others left that died of a fatal signal; how many. The worker does so from time to time."""
        if not self.is_active:
            return 0
        from errtrack import recovery

        return recovery.report_crashes(
            self.options, self.scrubber, self._pipeline, lambda record: self.send(record, "error", True)
        )

    def _gave_up(self, fault: Exception) -> None:
        guard.fault("client.capture", fault)
        try:
            self.transport.lost("internal_sdk_error", "error")
        except Exception as error:
            guard.fault("transport.lost", error)
