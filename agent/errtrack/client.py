# SPDX-License-Identifier: MIT
"""The client: takes an exception, a message or an event, and makes it durable before it returns.

The order: active? dedupe, ignore, sample → build → scopes → processors → sanitise and scrub → ``before_send`` →
encode → spool. Each step that can fail stands in the guard; what was captured in part is sent in part.
"""

from __future__ import annotations

import os
import sys

from errtrack import guard, instrumentation
from errtrack import options as settings
from errtrack.capture import event as events
from errtrack.capture.scrubber import Scrubber
from errtrack.context import scope as scopes
from errtrack.context.merge import apply_scopes
from errtrack.delivery import envelope
from errtrack.delivery.transport import Transport
from errtrack.dsn import Dsn
from errtrack.hooks import Hook, HookFailed
from errtrack.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType, TracebackType
    from typing import Any, Optional

    from errtrack.context.scope import Event, Hint, Scope
    from errtrack.options import Options

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
        self._before_send = Hook("before_send", options.before_send)
        self._before_breadcrumb = Hook("before_breadcrumb", options.before_breadcrumb)
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
                if not self._sampled():
                    self.transport.lost("sample_rate", "error")
                    return None
                full_hint = dict(hint or {}, exc_info=(type(error), error, tb))
                event = events.from_exception(
                    error, tb, mechanism or {"type": "generic", "handled": True}, self.options, self.scrubber
                )
                if level is not None:
                    event["level"] = level
                event["event_id"] = event_id
                return self._process(event, full_hint, scope)
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
                if frame is None and self.options.attach_stacktrace:
                    frame = sys._getframe(1)
                event = events.from_message(
                    message, level or "info", params, self.options, self.scrubber, frame
                )
                return self._process(event, dict(hint or {}), scope)
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
        self.transport.close(self.options.shutdown_timeout if timeout is None else timeout)

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
        for cls in type(error).__mro__:
            full = "%s.%s" % (cls.__module__, cls.__qualname__)
            for rule in ignored:
                if rule is cls or rule in (cls.__name__, full):
                    return True
                if isinstance(rule, str) and rule.endswith("*") and full.startswith(rule[:-1]):
                    return True
        return False

    def _sampled(self) -> bool:
        rate: float = self.options.sample_rate
        return rate >= 1.0 or int.from_bytes(os.urandom(4), "big") < rate * 2**32

    def _process(self, event: Event, hint: Hint, scope: Scope | None) -> str | None:
        chain = scopes.merged_scopes()
        if scope is not None:
            chain = (*chain, scope)
        apply_scopes(event, chain)
        event_id: str = event.setdefault("event_id", events.new_id())
        hint.setdefault("event_id", event_id)
        processed = self._run_processors(event, hint, chain)
        if processed is None:
            self.transport.lost("event_processor", "error")
            return None
        event = processed
        self._add_defaults(event, chain)
        events.finish(event, self.options, self.scrubber)
        trace = None
        if self.dsn is not None:
            trace = {"trace_id": event["contexts"]["trace"]["trace_id"], "public_key": self.dsn.public_key}
        if self._before_send:
            try:
                returned: Any = self._before_send(events.plain(event), hint)
            except HookFailed:
                self.transport.lost("callback_error", "error")
                return None
            if not isinstance(returned, dict):
                self.transport.lost("before_send", "error")
                return None
            event = returned
            event["event_id"] = event_id  # the id that the caller is told
            events.sanitise(event)
        record = envelope.build(event_id, "event", events.encode(event), trace)
        if not self.transport.put(record, "error"):
            return None
        isolation = scopes.get_isolation_scope()
        isolation.last_event_id = event_id
        return event_id

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
                return None
            event = result
        return event

    def _add_defaults(self, event: Event, chain: tuple[Scope, ...]) -> None:
        static = self._static
        integrations = tuple(instrumentation.active)
        if static is None or integrations != self._integrations:
            static = self._static = self._describe_process(integrations)
            self._integrations = integrations
        for key, value in static.items():
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

    def _describe_process(self, integrations: tuple[str, ...]) -> dict[str, Any]:
        """What is the same on every event of this process; made at the first one."""
        options = self.options
        static: dict[str, Any] = {
            "platform": "python",
            "environment": options.environment,
            "server_name": options.server_name or _host_name(),
            "contexts": _process_contexts(),
            "sdk": {
                "name": envelope.SDK_NAME,
                "version": VERSION,
                "integrations": sorted(integrations),
                "packages": [{"name": "pypi:errtrack-run", "version": VERSION}],
            },
        }
        release = options.release
        if not release:
            from errtrack import release as releases

            release = releases.detect(options.project_root or _working_folder(), os.environ)
        if release:
            static["release"] = release
        if options.dist:
            static["dist"] = options.dist
        if options.tags:
            static["tags"] = options.tags
        return static

    def _gave_up(self, fault: Exception) -> None:
        guard.fault("client.capture", fault)
        try:
            self.transport.lost("internal_sdk_error", "error")
        except Exception as error:
            guard.fault("transport.lost", error)


def _process_contexts() -> dict[str, Any]:
    version = sys.version_info
    contexts: dict[str, Any] = {
        "runtime": {
            "type": "runtime",
            "name": {"cpython": "CPython", "pypy": "PyPy"}.get(
                sys.implementation.name, sys.implementation.name
            ),
            "version": "%d.%d.%d" % version[:3],
            "build": sys.version.replace("\n", " "),
        },
    }
    if hasattr(os, "uname"):
        system = os.uname()
        contexts["os"] = {
            "type": "os",
            "name": "macOS" if system.sysname == "Darwin" else system.sysname,
            "version": system.release,
            "kernel_version": system.release,
            "build": system.version,
        }
        contexts["device"] = {"type": "device", "arch": system.machine}
    return contexts


def _host_name() -> str:
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def _working_folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"
