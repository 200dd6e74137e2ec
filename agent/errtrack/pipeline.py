# SPDX-License-Identifier: MIT
"""The pipeline: from an event as it was built to the event as it is sent, or to the reason why it is not.

Processors → defaults → sanitise and scrub → ``error_sampler`` → ``before_send``. What a hook returns is put right, but
not scrubbed again: it may add on purpose what we would filter.
"""

from __future__ import annotations

import os
import sys

from errtrack import guard, instrumentation, process, storms
from errtrack.capture import event as events
from errtrack.capture.wire import Fixed, Notes
from errtrack.context import trace as tracing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from errtrack.capture.scrubber import Scrubber
    from errtrack.context import scope as scopes
    from errtrack.context.scope import Event, Hint, Scope
    from errtrack.dsn import Dsn
    from errtrack.hooks import Hook
    from errtrack.options import Options


#: Attributes that are cleaned once, and not at each event.
_MADE_ONCE = ("contexts", "sdk")


def hook_of(name: str, place: Any, may_fail: bool = False) -> Hook | None:
    """The user's function that the option *name* names; mostly there is none, and nothing is loaded for it."""
    if place is None:
        return None
    from errtrack import hooks

    return hooks.Hook(name, place, hooks.IGNORED if may_fail else hooks.DROPPED)


def is_drawn(share: float) -> bool:
    """Whether this one is of the *share* (0 to 1) that is kept."""
    return share >= 1 or int.from_bytes(os.urandom(4), "big") < share * 2**32


def is_prefix(rule: str, name: str) -> bool:
    """Whether *rule* ends with ``*`` and *name* begins with the rest of it."""
    return rule.endswith("*") and name.startswith(rule[:-1])


class Pipeline:
    """What one client does to each event. *lose* is told of what was dropped, *count_error* of errors' mechanisms."""

    def __init__(
        self,
        options: Options,
        scrubber: Scrubber,
        dsn: Dsn | None,
        lose: Callable[[str, Event], None],
        count_error: Callable[[dict[str, Any] | None], None],
    ) -> None:
        self._options = options
        self._scrubber = scrubber
        self._dsn = dsn
        self._lose = lose
        self._count_error = count_error
        self._before_send = hook_of("before_send", options.before_send)
        self._before_send_transaction = hook_of("before_send_transaction", options.before_send_transaction)
        self.error_sampler = hook_of("error_sampler", options.error_sampler, may_fail=True)
        self._own_processors: tuple[Hook, ...] = ()
        if options.processors:
            from errtrack import hooks

            self._own_processors = hooks.processors(options.processors)
        self._static: dict[str, Any] | None = None
        self._cleaned: tuple[dict[str, Any], int, Event] | None = None
        self._integrations: tuple[str, ...] = ()

    def run(
        self,
        event: Event,
        hint: Hint,
        chain: tuple[Scope, ...],
        processors: list[scopes.Processor],
        held_back: int,
        name: tuple[str, str] | None = None,
    ) -> tuple[Event, dict[str, Any] | None] | None:
        """*event* as it is sent, and its trace; None when it was dropped, which is counted.

        *processors* are the process's own, *chain* the scopes that have more; *held_back* is how many like it a
        storm has suppressed; *name* and its source are those of a transaction that nobody has named.
        """
        is_transaction = event.get("type") == "transaction"
        event_id = event["event_id"]
        processed = self._run_processors(
            event, hint, (*processors, *(p for scope in chain for p in scope.processors))
        )
        if processed is None:
            return None
        event = processed
        if held_back:
            extra = event.get("extra")
            event["extra"] = {**(extra if type(extra) is dict else {}), storms.COUNT: held_back}
        if name is not None and not event.get("transaction"):
            event["transaction"], event["transaction_info"] = name[0], {"source": name[1]}
        if is_transaction and self._options.ignore_transactions and self._is_ignored(event):
            self._lose("event_processor", event)
            return None
        own = self._add_defaults(event, chain)
        events.finish(event, self._options, self._scrubber)
        self._add_cleaned(event, own)
        trace = self._trace_of(event, chain) if self._dsn is not None else None
        sampler = self.error_sampler
        if sampler is not None and not is_transaction and not _keeps(sampler, event, hint):
            self._count_errors_of(event)
            self._lose("sample_rate", event)
            return None
        before = self._before_send_transaction if is_transaction else self._before_send
        if before is not None:
            given = event
            try:
                returned: Any = before(events.plain(event), hint)
            except before.Failed:
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

    def _is_ignored(self, event: Event) -> bool:
        name = str(event.get("transaction"))
        return any(name == rule or is_prefix(rule, name) for rule in self._options.ignore_transactions)

    def _run_processors(
        self, event: Event, hint: Hint, processors: Iterable[scopes.Processor]
    ) -> Event | None:
        for processor in processors:
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
            except own.Failed:
                self._lose("callback_error", event)
                return None
            if not isinstance(answer, dict):
                self._lose("event_processor", event)
                return None
            event = answer
        return event

    def _count_errors_of(self, event: Event) -> None:
        exception = event.get("exception")
        values = exception.get("values") if type(exception) is dict else None
        if type(values) is list and values and type(values[-1]) is dict:
            self._count_error(values[-1].get("mechanism"))

    def _add_defaults(self, event: Event, chain: tuple[Scope, ...]) -> Event:
        """Put on *event* what it does not say itself, but for what is made right once; return its own contexts."""
        for key, value in self.static().items():
            if key == "tags":
                event["tags"] = {**value, **(event.get("tags") or {})}
            elif key not in _MADE_ONCE:
                event.setdefault(key, value)
        if event.get("type") == "transaction":
            event.pop("sdk", None)
        own: Event = {**(event.get("contexts") or {})}
        event["contexts"] = own
        if "trace" not in own:
            unit = chain[1] if len(chain) > 1 else chain[0]
            span = unit.span
            own["trace"] = unit.get_propagation().as_context() if span is None else span.get_trace_context()
        return own

    def _add_cleaned(self, event: Event, own: Event) -> None:
        """Put on *event* what all have and was made right once, but for the contexts that are its *own*."""
        static, pid = self.static(), os.getpid()
        cleaned = self._cleaned
        if cleaned is None or cleaned[0] is not static or cleaned[1] != pid:
            # Children of a fork share what was described once; the PID is their own.
            process = {"pid": pid, "executable": sys.executable or ""}
            made: Event = {
                "sdk": static.get("sdk"),
                "contexts": {"process": process, **static.get("contexts", {})},
            }
            events.finish(made, self._options, self._scrubber)
            made["contexts"] = {name: Fixed(tree) for name, tree in made.get("contexts", {}).items()}
            if "sdk" in made:
                made["sdk"] = Fixed(made["sdk"])
            cleaned = self._cleaned = (static, pid, made)
        made = cleaned[2]
        if "sdk" in made:
            event.setdefault("sdk", made["sdk"])
        known = made["contexts"]
        if event.get("type") == "transaction":  # there are many: the machine is on errors
            known = {"runtime": known.get("runtime", {}), "process": {"pid": pid}}
        contexts = event.setdefault("contexts", {})
        contexts.update({name: tree for name, tree in known.items() if name not in own})
        if "_meta" in made:
            said = made["_meta"].get("contexts", {})
            Notes(event.setdefault("_meta", {})).at(("contexts",)).update(
                {name: node for name, node in said.items() if contexts.get(name) is known.get(name)}
            )

    def _trace_of(self, event: Event, chain: tuple[Scope, ...]) -> dict[str, Any]:
        """The ``trace`` of the envelope: what servers sample the whole trace by.

        Our own key is left to whoever sends it: nothing of the DSN is written to disk.
        """
        trace_id = event["contexts"]["trace"]["trace_id"]
        unit = chain[1] if len(chain) > 1 else chain[0]
        found = tracing.dynamic_context(unit, self._options, event.get("type") == "transaction")
        assert self._dsn is not None
        if found.get("trace_id") != trace_id or not found.get("public_key"):
            return {"trace_id": trace_id}
        if found["public_key"] != self._dsn.public_key:
            return found  # whoever began the trace has a DSN of its own
        return {name: value for name, value in found.items() if name != "public_key"}

    def static(self) -> dict[str, Any]:
        """What is the same on every event of this process; found out at the first one."""
        static = self._static
        integrations = tuple(instrumentation.active)
        if static is None or integrations != self._integrations:
            static = self._static = process.describe(self._options, integrations)
            self._integrations = integrations
        return static


def _keeps(sampler: Hook, event: Event, hint: Hint) -> bool:
    """What ``error_sampler`` decides; one that fails or answers something else keeps the event."""
    try:
        share: Any = sampler(events.plain(event), hint)
    except sampler.Failed:
        return True
    if share is True or share is False:
        return bool(share)
    if (type(share) is float or type(share) is int) and 0 <= share <= 1:
        return is_drawn(share)
    sampler.complain("it must return a number from 0 to 1, true or false")
    return True
