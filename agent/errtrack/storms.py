# SPDX-License-Identifier: MIT
"""A storm of one error does not eat the quota: after a burst, a few full events a minute, and exact counts.

Errors are told apart before anything is built: by class and by the places in the traceback, messages by their
text. Each has a bucket of ``max_events_burst`` events, which fills again by ``max_events_per_minute``. What finds
it empty is only counted; the count is on the next event of that error (``extra.suppressed_events``). What is left
of it a minute after the storm, or at exit, is on a last, short event.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock
from time import monotonic

from errtrack.capture.shapes import label_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from types import FrameType, TracebackType
    from typing import Any
else:
    from _collections import deque

#: Errors that are remembered; of more, the ones that were quiet longest are forgotten.
REMEMBERED = 500

#: Seconds without an error after which a storm has ended.
QUIET = 60.0

#: Last events that are made at once; the other storms' counts wait for the next time.
TOLD_AT_ONCE = 20

#: Places of a traceback that are looked at, from where it was caught on.
_PLACES = 100

#: Under which name the count stands in an event's ``extra``.
COUNT = "suppressed_events"

#: What the last, short event of a storm keeps of the one before it.
_KEPT = (
    "exception", "logentry", "level", "logger", "fingerprint", "transaction", "transaction_info", "platform",
    "environment", "release", "dist", "server_name", "sdk", "tags", "contexts",
)  # fmt: skip


class Storm:
    """One error and its bucket. ``last`` is what a last event of it would say."""

    __slots__ = ("_counted", "_fresh", "at", "last", "lock", "tokens")

    def __init__(self, tokens: float, now: float) -> None:
        self.tokens = tokens
        self.at = now
        self.last: dict[str, Any] | None = None
        self.lock = allocate_lock()
        self._counted = 0
        self._fresh: deque[None] = deque()

    def hold_back(self) -> None:
        """Count one more. Exact from any thread, and in signal handlers: appending cannot be interrupted."""
        self._fresh.append(None)
        if len(self._fresh) > 1000 and self.lock.acquire(False):
            try:
                self._fold()
            finally:
                self.lock.release()

    def take(self) -> int:
        """How many were held back since the last time this was asked; another thread at it gets them all."""
        if not self._fresh and not self._counted:
            return 0
        if not self.lock.acquire(False):
            return 0
        try:
            self._fold()
            count, self._counted = self._counted, 0
        finally:
            self.lock.release()
        return count

    def give_back(self, count: int) -> None:
        """Count again what :meth:`take` gave, because the event that was to tell it was dropped."""
        self._fresh.extend([None] * count)

    def remember(self, event: dict[str, Any]) -> None:
        """Keep what a last event would say; only where the bucket is empty, as a storm may follow."""
        if self.tokens < 1.0:
            self.last = {key: event[key] for key in _KEPT if key in event}

    def _fold(self) -> None:
        fresh = self._fresh
        for _ in range(len(fresh)):
            fresh.popleft()
            self._counted += 1


class Storms:
    """The buckets of this process. *burst* events at once, then *per_minute*; 0 a minute means no cap."""

    def __init__(self, per_minute: float, burst: int) -> None:
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
            storm = known.setdefault(key, Storm(self._burst, monotonic()))
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

    def is_time_to_look(self) -> bool:
        """True once a minute: storms may have ended, with nothing after them to tell their counts."""
        now = monotonic()
        if now - self._looked_at < QUIET:
            return False
        self._looked_at = now
        return True

    def leftover(self, quiet: float = 0.0) -> list[tuple[dict[str, Any], int]]:
        """What was held back, at least *quiet* seconds ago, and not told yet: (what to say of it, how many)."""
        if os.getpid() != self._pid:
            return []
        latest = monotonic() - quiet
        found: list[tuple[dict[str, Any], int]] = []
        for storm in list(self._known.values()):
            last = storm.last
            if last is None or storm.at > latest or len(found) >= TOLD_AT_ONCE:
                continue
            count = storm.take()
            if count:
                found.append((last, count))
        return found

    def _forget_quiet(self) -> None:
        """Forget the half that was quiet longest, but nothing that has something to tell."""
        known = self._known
        told = [(storm.at, key) for key, storm in list(known.items()) if storm.last is None]
        told.sort(key=lambda pair: pair[0])
        for _, key in told[: REMEMBERED // 2]:
            known.pop(key, None)
        if not told:
            known.clear()


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
    left = _PLACES
    while tb is not None and left:
        code = tb.tb_frame.f_code
        parts += (code.co_filename, code.co_name, tb.tb_lasti)
        tb = tb.tb_next
        left -= 1
    return hash(tuple(parts))
