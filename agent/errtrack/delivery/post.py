# SPDX-License-Identifier: MIT
"""The post: brings envelopes to the server of a DSN, and decides by its answer what becomes of each.

2xx: done. 400, 404 and other refusals: given up and counted. 401, 403, redirects and untrusted certificates:
nothing is sent for a while, everything is kept, one line says what to correct. 408, 425, 502, 503, 504 and
network faults: kept, tried again after a growing pause. 500: three tries. 413: once more without variables,
context and breadcrumbs. 429: kept until the limit ends. ``strict_protocol`` gives up on 4xx, 5xx and 429 at
once, as the protocol has it.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock
from time import monotonic, time

from errtrack import guard
from errtrack.delivery import envelope as envelopes
from errtrack.delivery import segment, sender
from errtrack.delivery.limits import ALL, Limits, retry_after

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from errtrack.delivery.quarantine import Quarantine
    from errtrack.delivery.reports import Reports
    from errtrack.delivery.segment import Reader
    from errtrack.dsn import Dsn
    from errtrack.options import Options

    class Tried(Protocol):
        tries: int


#: Seconds: first pause after a fault (then doubled), longest pause, pause while the settings need correcting.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 900.0

_REFUSED = "%s %s an event (%s); it is not sent again, and can be looked at for a day: `errtrack doctor`"

#: How often an envelope is offered to a server that answers 500.
TRIES = 3

#: Kept on disk while limited; of everything else there is too much, and it is worth too little later.
_WORTH_KEEPING = frozenset(("error", "default", "feedback"))

# What became of one envelope.
_DONE, _GIVEN_UP, _KEPT, _HALT = "done", "given up", "kept", "halt"


class Post:
    """Delivers to *dsn*. One thread at a time, but for :meth:`abort` and :meth:`lost`."""

    #: Events are on their way as soon as there are any.
    linger = 0.0

    def __init__(
        self,
        options: Options,
        dsn: Dsn,
        reports: Reports,
        quarantine: Quarantine | None = None,
    ) -> None:
        """*reports* is what was lost before we were made, and what is lost from now on."""
        self._options = options
        self._quarantine = quarantine
        self._dsn = dsn
        self.limits = Limits()
        self.reports = reports
        self.sender = sender.Sender(options, dsn)
        #: Monotonic time before which there is no use in trying.
        self.ready_at = 0.0
        #: When the request in hand began, monotonic; 0.0 without one.
        self.busy_since = 0.0
        #: When whoever waits for us will leave, monotonic; only at exit without a thread.
        self.until: float | None = None
        self.stopped = False
        #: Envelopes that the server has taken.
        self.delivered = 0
        #: False where what sending needs is not there: that says nothing of the server.
        self.can_send = True
        #: No request is begun meanwhile, and nothing is given up.
        self.paused = False
        #: Held while a fork would leave the child with something half done, such as an import.
        self.unforkable = allocate_lock()
        self._is_prepared = False
        self._failures = 0
        self._broken = 0
        self._told: dict[str, float] = {}

    def prepare(self) -> bool:
        """Import what sending needs; False while ``paused``.

        A fork waits for it: a child could never finish an import begun here.
        """
        with self.unforkable:
            if self.paused:
                return False
            if self._is_prepared:
                return True
            try:
                import calendar  # noqa: F401
                import email.utils  # noqa: F401
                import encodings.idna  # noqa: F401  (getaddrinfo needs it)
                import json  # noqa: F401

                import errtrack.delivery.bounds  # and with it the tally
                import errtrack.delivery.connection
                import errtrack.delivery.quarantine  # noqa: F401
            except ImportError as error:
                self.can_send = False
                remedy = "install that for %s, or run `errtrack spool drain`" % sys.executable
                self._tell("import", "cannot send: %s; events are kept on disk: %s" % (error, remedy))
                self._told["unreachable"] = monotonic()  # that is why, and has been said
            self._is_prepared = True
        return True

    def after_fork_in_child(self) -> None:
        """Close the inherited connection without a word on it: the parent is using it."""
        self.sender.after_fork_in_child()

    def is_in_trouble(self, now: float) -> bool:
        """True when it is known that nothing will get through just now."""
        return self.ready_at > now or (self.busy_since > 0.0 and now - self.busy_since > 1.0)

    def next_try(self, now: float) -> float:
        """Seconds until something that is kept may be sent."""
        limited = [self.limits.until(category) - now for category in _WORTH_KEEPING]
        return max(self.ready_at - now, min((left for left in limited if left > 0.0), default=0.0), 0.0)

    def lost(self, reason: str, category: str, quantity: int = 1) -> None:
        """Count what will not be delivered, for the client report."""
        self.reports.lost(reason, category, quantity)

    def turns_away(self, category: str) -> bool:
        """True when *category* is limited and not worth keeping: it is dropped before it is written."""
        limits = self.limits
        if not limits.deadlines or not self._drops_limited(category):
            return False
        return limits.is_limited(category, monotonic())

    def carry(self, reader: Reader) -> bool:
        """Deliver what is pending in *reader*; True when nothing is left."""
        # What ended a process comes first; sorting leaves the rest in order.
        for record in sorted(reader.pending.values(), key=_is_not_fatal):
            if not self.carry_one(reader, record):
                return False
        return not reader.pending

    def carry_one(self, reader: Reader, record: segment.Record) -> bool:
        """Deliver one record; False when there is no use in going on with the next."""
        try:
            data = reader.payload(record)
        except OSError:
            return True  # the others may do better; this one stays
        if data is None:
            self.lost("invalid", "default")
            reader.mark(record, segment.REFUSED)
            return True
        fate = self.offer(data, record)
        if fate in (_DONE, _GIVEN_UP):
            reader.mark(record, segment.DONE if fate == _DONE else segment.REFUSED)
        return fate != _HALT

    def carry_loose(self, data: bytes, tried: Tried) -> bool:
        """Deliver an envelope that could not be written to disk; False when it must be kept."""
        return self.offer(data, tried) in (_DONE, _GIVEN_UP)

    def report(self, at_once: bool) -> None:
        """Send a client report of its own when one is overdue; *at_once*: when there is anything to tell."""
        now = monotonic()
        if not (self.reports.pending() if at_once else self.reports.is_overdue(now)):
            return
        if self.stopped or self.paused or self.is_in_trouble(now) or self.limits.is_limited("internal", now):
            return
        payload = self.reports.take(now, time())
        if payload is not None:
            answer = self._send(envelopes.build(None, "client_report", payload))
            self.limits.update(answer.status, answer.headers, monotonic(), time())
            if answer.meaning != sender.DELIVERED:
                self.reports.give_back(payload)  # told with the next; a report is never a reason for another

    def abort(self) -> None:
        """Stop now; the request in hand is cut short. What it carried is kept."""
        self.stopped = True
        self.sender.abort()

    def close(self) -> None:
        """Close the connection."""
        self.sender.close()

    def offer(self, data: bytes, tried: Tried) -> str:
        """Send one envelope and return what became of it."""
        if self.stopped or self.paused:
            return _HALT
        try:
            if self.limits.deadlines:
                kept = self._within_limits(data)
                if kept is None:
                    return _KEPT
                if not kept:
                    return _GIVEN_UP
                data = kept
            return self._offer(data, tried)
        except ValueError as error:  # not an envelope: a record that some other version of us wrote
            guard.debug("dropped what is no envelope: %s" % error)
            self._set_aside(data, "no envelope: %s" % error)
            self.lost("invalid", "default")
            return _GIVEN_UP

    def _offer(self, data: bytes, tried: Tried) -> str:
        now = monotonic()
        rider = None
        if (
            self.reports.may_ride(now)
            and not self.limits.is_limited("internal", now)
            and data.endswith(b"\n")
        ):
            rider = self.reports.take(now, time())
        answer = self._send(data + envelopes.item("client_report", rider) if rider else data)
        self.limits.update(answer.status, answer.headers, monotonic(), time())
        meaning = answer.meaning
        if meaning == sender.TOO_LARGE and not self.stopped:
            lean = envelopes.slimmed(data)
            if lean is not None:
                answer = self._send(lean)
                meaning = answer.meaning
        if rider and meaning != sender.DELIVERED:
            self.reports.give_back(rider)
        if self.stopped and meaning == sender.UNREACHABLE:
            return _HALT  # cut short by ourselves; that says nothing about the server
        return self._judge(answer, meaning, data, tried)

    def _judge(self, answer: sender.Answer, meaning: str, data: bytes, tried: Tried) -> str:
        strict = self._options.strict_protocol
        if meaning == sender.DELIVERED:
            self._failures = self._broken = 0
            self.ready_at = 0.0
            self.delivered += 1
            return _DONE
        if meaning in (sender.REFUSED, sender.TOO_LARGE) or (
            strict and answer.status and meaning != sender.LIMITED
        ):
            self._tell("refused", _REFUSED % (self._dsn.origin, "refuses", _words(answer)))
            return self._give_up(data, answer)
        if meaning == sender.LIMITED:
            return self._hold(data, strict)
        if meaning == sender.FORBIDDEN:
            self.ready_at = monotonic() + LONGEST_PAUSE
            self._tell("forbidden", self._remedy(answer))
            return _HALT
        if meaning == sender.BROKEN:
            tried.tries += 1
            self._broken += 1
            if tried.tries >= TRIES:
                self._broken = 0
                self._tell("refused", _REFUSED % (self._dsn.origin, "fails on", _words(answer)))
                return self._give_up(data, answer)
            self._pause(None)
            # It may be this event or the whole server: the next ones tell.
            return _HALT if self._broken >= TRIES else _KEPT
        self._pause(retry_after(answer.headers.get("retry-after"), time()))
        self._tell(
            "unreachable",
            "%s cannot be reached (%s); events are kept and sent later" % (self._dsn.origin, _words(answer)),
        )
        return _HALT

    def _hold(self, data: bytes, strict: bool) -> str:
        """After a 429; the server counts what it turns away, so we do not."""
        now = monotonic()
        category = envelopes.category_of(data)
        if strict or category not in _WORTH_KEEPING:
            return _GIVEN_UP
        if not self.limits.is_limited(category, now):
            self._pause(None)  # it named other categories, or no time: do not ask again at once
            return _HALT
        self.ready_at = max(self.ready_at, self.limits.deadlines.get(ALL, 0.0))
        return _HALT if self.ready_at > now else _KEPT

    def _within_limits(self, data: bytes) -> bytes | None:
        """*data* without the items that are limited; None when it has to wait, empty when nothing is left."""
        now = monotonic()
        found = envelopes.parse(data)
        kept = []
        for position, (headers, payload) in enumerate(found.items):
            category = envelopes.CATEGORIES.get(str(headers.get("type")), "default")
            if not self.limits.is_limited(category, now):
                kept.append((headers, payload))
            elif position == 0 and not self._drops_limited(category):
                return None
            else:
                self.lost("ratelimit_backoff", category, len(payload) or 1 if category == "attachment" else 1)
                if position == 0:
                    return b""
        if len(kept) == len(found.items):
            return data
        return envelopes.Envelope(found.headers, kept).encode()

    def _drops_limited(self, category: str) -> bool:
        return bool(self._options.strict_protocol) or category not in _WORTH_KEEPING

    def _send(self, data: bytes) -> sender.Answer:
        self.busy_since = monotonic()
        try:
            left = None if self.until is None else self.until - self.busy_since
            answer = self.sender.send(data, left)
        finally:
            self.busy_since = 0.0
        if guard.debug_enabled:
            guard.debug("sent %d bytes: %s" % (len(data), answer.status or answer.error))
        return answer

    def _give_up(self, data: bytes, answer: sender.Answer) -> str:
        self._set_aside(data, "%s: %s" % (self._dsn.origin, _words(answer)))
        self.lost("send_error", envelopes.category_of(data))
        return _GIVEN_UP

    def _set_aside(self, data: bytes, why: str) -> None:
        """For whoever wants to know what it was that the server did not like."""
        if self._quarantine is not None:
            self._quarantine.keep(data, why)

    def _pause(self, asked: float | None) -> None:
        """Wait 1 s, 2 s, 4 s ... before the next try, with full jitter: processes must not knock together."""
        ceiling = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._failures, 20))
        self._failures += 1
        pause = max(0.1, ceiling * int.from_bytes(os.urandom(4), "little") / 2**32)
        self.ready_at = monotonic() + max(pause, min(asked or 0.0, LONGEST_PAUSE))

    def _remedy(self, answer: sender.Answer) -> str:
        words = "%s: %s. Events are kept." % (self._dsn.origin, _words(answer))
        if answer.status in (401, 403):
            return words + " Correct the key or the project in the DSN"
        if answer.status == 407:
            return words + " Give the proxy's user and password in https_proxy or http_proxy"
        if answer.status:
            return words + " Redirects are not followed: put the server's final address into the DSN"
        return "%s %s" % (words, answer.tls_remedy[:1].upper() + answer.tls_remedy[1:])

    def _tell(self, topic: str, line: str) -> None:
        """One line a topic and hour."""
        now = monotonic()
        if now - self._told.get(topic, -3600.0) >= 3600.0 and not self.stopped:
            self._told[topic] = now
            guard.tell(line)


def _is_not_fatal(record: segment.Record) -> bool:
    return not record.flags & segment.FATAL_FLAG


def _words(answer: sender.Answer) -> str:
    if not answer.status:
        return answer.error or "no answer"
    location = answer.headers.get("location", "") if 300 <= answer.status < 400 else ""
    return " ".join(filter(None, ("HTTP %d" % answer.status, printable(location or answer.detail))))


def printable(text: str) -> str:
    """What a server says, fit for a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)[:200]
