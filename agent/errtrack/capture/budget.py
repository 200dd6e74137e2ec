# SPDX-License-Identifier: MIT
"""What captures may cost: each by itself (``max_capture_time``), and all of a process together (``max_capture_cpu``).

One error that is dear to describe goes without the variables, and source lines, that there was no time for. When all
errors together took more than their share of a processor in the last ten seconds, events go without variables; at twice
the share, errors are only counted, and the count is told. What ends a process is always an event.

The share is 20 percent by default: two seconds of the last ten, before anything is left out. A burst of 500 events of
one error (``max_events_burst``) is to be kept whole; it takes 0.75 s where a capture takes the 1.5 ms that one of 30
frames may take, and 2 s on a machine that is nearly three times slower. Only different errors by the thousand, each
with a burst of its own, come to more.
"""

from __future__ import annotations

import os
import time
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from errtrack.options import Options

#: Seconds that the share is of.
WINDOW = 10.0

#: CPU seconds of the calling thread; where the system does not tell, seconds.
_cpu = getattr(time, "thread_time", monotonic)

_LOCALS, _SOURCE = "local variables", "source lines"

TIME, SHARE = "max_capture_time", "max_capture_cpu"


class Meter:
    """The cost of one capture. ``shows_locals``: whether there is any time for variables."""

    __slots__ = ("_left_out", "_limit", "_look_at", "began", "shows_locals")

    def __init__(self, limit: float, shows_locals: bool) -> None:
        self.began: float = _cpu()
        self.shows_locals = shows_locals
        self._limit = limit
        # A thread cannot have used more of a processor than time has passed: the cheap clock is asked first.
        self._look_at = monotonic() + limit if limit else float("inf")
        self._left_out = "" if shows_locals else _LOCALS

    def is_over(self, what: str = _LOCALS) -> bool:
        """Whether the time is used up, and *what* comes next is to be left out."""
        if self._look_at > 0.0:
            now = monotonic()
            if now < self._look_at:
                return False
            left = self._limit - (_cpu() - self.began)
            if left > 0.0:
                self._look_at = now + left
                return False
            self._look_at = 0.0
        if what not in self._left_out:
            self._left_out = ", ".join(filter(None, (self._left_out, what)))
        return True

    def is_over_for_source(self) -> bool:
        """The same for source lines that would have to be read."""
        return self.is_over(_SOURCE)

    def note(self, event: dict[str, Any]) -> None:
        """Say on *event* what was left out, and by which setting."""
        if self._left_out:
            event.setdefault("contexts", {})["errtrack"] = {"left_out": self._left_out, "setting": self.over}

    @property
    def over(self) -> str:
        """The setting that has made this event smaller; empty when it is whole."""
        return (TIME if self.shows_locals else SHARE) if self._left_out else ""


class Budget:
    """The cost of all captures of a process by the settings in *options*. Threads share it, without a lock.

    Two that end at the same instant may count as one. *over* is called with the name of a setting and what had to give
    way to it, once a process for each: ``details`` of events, or whole ``events``.
    """

    __slots__ = ("_at", "_limit", "_over", "_share", "_spent", "_told")

    def __init__(
        self, options: Options, over: Callable[[str, str], object] = lambda setting, what: None
    ) -> None:
        self._over = over
        self._told: set[tuple[int, str, str]] = set()
        self._limit: float = options.max_capture_time / 1000.0
        self._share: float = options.max_capture_cpu / 100.0
        self._spent = 0.0
        self._at = monotonic()

    def admit(self, is_fatal: bool = False) -> Meter | None:
        """A meter for a capture that begins now; None when its error is only to be counted."""
        if not self._share:
            return Meter(self._limit, True)
        spent = self._spent - (monotonic() - self._at) * self._share
        most = self._share * WINDOW
        if spent > 2 * most and not is_fatal:
            self._tell(SHARE, "events")
            return None
        return Meter(self._limit, spent <= most)

    def spend(self, meter: Meter) -> None:
        """Take in what a capture has cost that has ended."""
        now = monotonic()
        self._spent = max(0.0, self._spent - (now - self._at) * self._share) + _cpu() - meter.began
        self._at = now
        if meter._left_out:
            self._tell(meter.over, "details")

    def _tell(self, setting: str, what: str) -> None:
        key = (os.getpid(), setting, what)
        if key not in self._told:
            self._told.add(key)
            self._over(setting, what)
