# SPDX-License-Identifier: MIT
"""A session: one unit of work (a request, a task, a run) as release health counts it."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

EXITED, ERRORED, CRASHED = "exited", "errored", "crashed"


class Session:
    """Began at ``started`` (seconds since 1970). *counted* is called with it once, at its end."""

    __slots__ = ("_counted", "outcome", "started")

    def __init__(self, counted: Callable[[Session], None]) -> None:
        self.started = time.time()
        self.outcome = EXITED
        self._counted: Callable[[Session], None] | None = counted

    def error_happened(self, crashed: bool) -> None:
        """Note an error; what escaped every handler is a crash, and stays one."""
        if crashed:
            self.outcome = CRASHED
        elif self.outcome == EXITED:
            self.outcome = ERRORED

    def end(self, outcome: str | None = None) -> None:
        """End it, with *outcome* in place of what happened, and have it counted; later calls do nothing."""
        counted, self._counted = self._counted, None
        if counted is not None:
            if outcome is not None:
                self.outcome = outcome
            counted(self)
