# SPDX-License-Identifier: MIT
"""A storm of one error does not eat the quota: after a burst, a few full events a minute, and exact counts.

Errors are told apart before anything is built: by class and by the places in the traceback, messages by their
text. Each has a bucket of ``max_events_burst`` events, which fills again by ``max_events_per_minute``. What finds
it empty is only counted; the count is on the next event of that error (``extra.suppressed_events``). What is left
of it a minute after the storm, or at exit, is on a last, short event. The counts lie in a file as well (``tally``), so
that the next process tells those of one that was killed.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock
from itertools import count
from time import monotonic

from errtrack.capture import event as events
from errtrack.capture.shapes import label_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType
    from typing import Any

    from errtrack.delivery.tally import Slot, Tally
else:
    from _collections import deque

#: Errors that are remembered; of more, the ones that were quiet longest are forgotten.
REMEMBERED = 500

#: Seconds without an error after which a storm has ended.
QUIET = 60.0

#: Last events that are made at once; the other storms' counts wait for the next time.
TOLD_AT_ONCE = 20

#: Places of a traceback that are looked at, from where it was caught on.
_PLACES = (None,) * 100

#: Under which name the count stands in an event's ``extra``.
COUNT = "suppressed_events"

#: The key of the errors that were only counted because captures had used their share of the processor.
UNSEEN = "unseen"

#: What the last, short event of a storm keeps of the one before it.
_KEPT = (
    "exception", "logentry", "level", "logger", "fingerprint", "transaction", "transaction_info", "platform",
    "environment", "release", "dist", "server_name", "sdk", "tags", "contexts",
)  # fmt: skip


class Storm:
    """One error and its bucket. ``last`` is what a last event of it would say; *tally* finds the place on disk."""

    __slots__ = (
        "_counted",
        "_fresh",
        "_slots",
        "_tally",
        "_tickets",
        "_told",
        "at",
        "last",
        "lock",
        "tokens",
    )

    def __init__(self, tokens: float, now: float, tally: Callable[[], Tally | None] = lambda: None) -> None:
        self.tokens = tokens
        self.at = now
        self.last: dict[str, Any] | None = None
        self.lock = allocate_lock()
        self._tally = tally
        self._tickets = count(1)
        self._told = 0
        self._counted = 0
        self._fresh: deque[None] = deque()
        self._slots: dict[str, Slot] = {}

    def hold_back(self) -> None:
        """Count one more. Exact from any thread, and in signal handlers: appending cannot be interrupted."""
        ticket = next(self._tickets)
        self._fresh.append(None)
        if len(self._fresh) > 1000 and self.lock.acquire(False):
            try:
                self._fold()
            finally:
                self.lock.release()
        slot = self._slots.get("") or self._begin(ticket)
        if slot is not None:
            slot.note(ticket)

    def take(self) -> int:
        """How many were held back and are not told yet; whoever gets some must :meth:`settle` what became of them.

        Until then nobody else gets any.
        """
        if not self._fresh and not self._counted:
            return 0
        if not self.lock.acquire(False):
            return 0
        self._fold()
        number = self._counted
        if not number:
            self.lock.release()
        return number

    def is_told_by(self, event_id: str, number: int) -> None:
        """Note that the event *event_id* will tell *number* of them: should we die on the way, it will all the same."""
        slot = self._slots.get("")
        if slot is not None:
            slot.tell(self._told, number, event_id)

    def settle(self, number: int) -> None:
        """End what :meth:`take` has begun: *number* of them were told, which is all or none."""
        self._counted -= number
        self._told += number
        slot = self._slots.get("")
        if slot is not None and number:
            slot.tell(self._told)
        self.lock.release()

    def remember(self, event: dict[str, Any]) -> None:
        """Keep what a last event would say; only where the bucket is empty, as a storm may follow."""
        if self.tokens < 1.0:
            self.last = kept_of(event)

    def has_something_to_tell(self) -> bool:
        """Whether anything was held back that no event has told."""
        return bool(self._fresh or self._counted)

    def forget(self) -> None:
        """Give back the place on disk."""
        slot, tally = self._slots.get(""), self._tally()
        if slot is not None and tally is not None:
            tally.give_back(slot)

    def _begin(self, ticket: int) -> Slot | None:
        """The place on disk, from the first error on that is held back while there is an event to tell it by."""
        last = self.last
        tally = self._tally() if last is not None else None
        if last is None or tally is None or not tally.has_room():
            return None
        made = tally.slot(events.encode(last, tally.longest))
        if made is None:
            return None
        slot = self._slots.setdefault("", made)
        if slot is made:
            slot.begin(ticket, self._told)
        else:  # another thread was quicker
            tally.give_back(made)
        return slot

    def _fold(self) -> None:
        fresh = self._fresh
        for _ in range(len(fresh)):
            fresh.popleft()
            self._counted += 1


class Storms:
    """The buckets of this process. *burst* events at once, then *per_minute*; 0 a minute means no cap.

    *tally* finds the file in which counts outlive the process.
    """

    def __init__(
        self, per_minute: float, burst: int, tally: Callable[[], Tally | None] = lambda: None
    ) -> None:
        self._tally = tally
        self._rate = per_minute / 60.0
        self._burst = float(max(burst, 1))
        self._known: dict[Any, Storm] = {}
        self._pid = os.getpid()
        self._looked_at = monotonic()

    def storm_of(self, key: Any) -> Storm:
        """The bucket of *key*, made full at its first event."""
        known = self._known
        pid = os.getpid()
        if pid != self._pid:
            # What the parent has counted the parent will tell.
            self._pid = pid
            known = self._known = {}
        storm = known.get(key)
        if storm is None:
            if len(known) >= REMEMBERED:
                self._forget_quiet()
            storm = known.setdefault(key, Storm(self._burst, monotonic(), self._tally))
        return storm

    def admits(self, storm: Storm) -> bool:
        """Whether an event of *storm* may be made now; if not, it is counted."""
        now = monotonic()
        tokens = min(self._burst, storm.tokens + (now - storm.at) * self._rate)
        storm.at = now
        if tokens >= 1.0:
            storm.tokens = tokens - 1.0
            return True
        storm.tokens = tokens
        storm.hold_back()
        return False

    def only_count(self, storm: Storm | None, describe: Callable[[], dict[str, Any]]) -> None:
        """Count an error of *storm* of which no event may be made now, though its bucket has some.

        Where there is no event yet to tell it by, it is told with others of its kind, by what *describe* makes.
        """
        if storm is None or storm.last is None:
            storm = self.storm_of(UNSEEN)
            if storm.last is None:
                storm.last = kept_of(describe())
        storm.at = monotonic()
        storm.hold_back()

    def is_time_to_look(self) -> bool:
        """True once a minute: storms may have ended, with nothing after them to tell their counts."""
        now = monotonic()
        if now - self._looked_at < QUIET:
            return False
        self._looked_at = now
        return True

    def leftover(self, quiet: float = 0.0) -> Iterator[tuple[Storm, dict[str, Any], int]]:
        """What was held back, at least *quiet* seconds ago, and not told yet: (storm, what to say of it, how many).

        Each is to be settled (:meth:`Storm.settle`) before the next is asked for.
        """
        if os.getpid() != self._pid:
            return
        latest = monotonic() - quiet
        found = 0
        for key, storm in list(self._known.items()):
            last = storm.last
            if last is None or (storm.at > latest and key != UNSEEN) or found >= TOLD_AT_ONCE:
                continue
            number = storm.take()
            if number:
                found += 1
                yield storm, last, number

    def _forget_quiet(self) -> None:
        """Forget the half that was quiet longest, but nothing that has something to tell."""
        known = self._known
        told = [
            (storm.at, key)
            for key, storm in list(known.items())
            if storm.last is None or not storm.has_something_to_tell()
        ]
        told.sort(key=lambda pair: pair[0])
        for _, key in told[: REMEMBERED // 2]:
            storm = known.pop(key, None)
            if storm is not None:
                storm.forget()
        if not told:
            known.clear()


def kept_of(event: dict[str, Any]) -> dict[str, Any]:
    """What a last, short event keeps of *event*."""
    return {key: event[key] for key in _KEPT if key in event}


def key_of(error: BaseException, tb: TracebackType | None) -> Any:
    """What tells *error* from others: its class, and files, functions and lines of *tb*; without one, of whoever
    captures it.
    """
    parts: list[Any] = [label_of(type(error))]
    if tb is None:
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and str(frame.f_globals.get("__name__")).startswith("errtrack."):
            frame = frame.f_back
        if frame is not None:
            parts += (frame.f_code.co_filename, frame.f_code.co_name, frame.f_lineno)
    for _ in _PLACES:
        if tb is None:
            break
        code = tb.tb_frame.f_code
        parts.append(code.co_filename)
        parts.append(code.co_name)
        parts.append(tb.tb_lasti)
        tb = tb.tb_next
    return hash(tuple(parts))
