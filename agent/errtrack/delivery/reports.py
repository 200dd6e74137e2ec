# SPDX-License-Identifier: MIT
"""Client reports: the server learns how many events never reached it, and why.

https://develop.sentry.dev/sdk/telemetry/client-reports/. Counting takes no lock that the same thread, a
signal handler or ``__del__`` could find held, nor one that a fork could leave locked for good.
"""

from __future__ import annotations

from _thread import allocate_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterable
else:
    from _collections import deque

#: Seconds after the last report: from then on one rides along with an envelope ...
RIDE_AFTER = 30.0
#: ... and from then on it is worth an envelope of its own.
OWN_AFTER = 60.0

_FOLD_ABOVE = 1000


class Reports:
    """What was lost and not yet told. Every method may be called from anywhere.

    Nothing is counted unless it *is_wanted* (option ``send_client_reports``).
    """

    def __init__(self, now: float, is_wanted: bool = True) -> None:
        self._is_wanted = is_wanted
        self._fresh: deque[tuple[str, str, int]] = deque()
        self._counts: dict[tuple[str, str], int] = {}
        self._folding = allocate_lock()
        self.told_at = now

    def lost(self, reason: str, category: str, quantity: int = 1) -> None:
        """Count *quantity* of *category* as lost for *reason* (both are words of the protocol)."""
        if not self._is_wanted:
            return
        self._fresh.append((reason, category, quantity))
        if len(self._fresh) > _FOLD_ABOVE:
            self._fold()

    def pending(self) -> bool:
        """True when there is something to tell."""
        return bool(self._fresh or self._counts)

    def may_ride(self, now: float) -> bool:
        """True when a report should ride along with the next envelope."""
        return now - self.told_at > RIDE_AFTER and self.pending()

    def is_overdue(self, now: float) -> bool:
        """True when a report is worth an envelope of its own."""
        return now - self.told_at > OWN_AFTER and self.pending()

    def take(self, now: float, wall: float) -> bytes | None:
        """The payload of a report on everything counted, or None; the counts start again from nothing.

        *now* is monotonic, *wall* in seconds since 1970. One thread at a time.
        """
        if not self._folding.acquire(False):
            return None  # it will be told next time
        try:
            self._fold_held()
            counts, self._counts = self._counts, {}
        finally:
            self._folding.release()
        self.told_at = now
        if not counts:
            return None
        import json

        rows = [{"reason": r, "category": c, "quantity": n} for (r, c), n in sorted(counts.items())]
        return json.dumps(
            {"timestamp": round(wall, 3), "discarded_events": rows}, separators=(",", ":")
        ).encode("ascii")

    def give_back(self, payload: bytes) -> None:
        """Count again what *payload* (from :meth:`take`) holds, because it could not be delivered."""
        import json

        for row in json.loads(payload)["discarded_events"]:
            self._fresh.append((row["reason"], row["category"], row["quantity"]))

    def _fold(self) -> None:
        if not self._folding.acquire(False):
            return  # somebody is at it: another thread, or the very thread that we interrupted
        try:
            self._fold_held()
        finally:
            self._folding.release()

    def _fold_held(self) -> None:
        for reason, category, quantity in self._taken():
            key = (reason, category)
            self._counts[key] = self._counts.get(key, 0) + quantity

    def _taken(self) -> Iterable[tuple[str, str, int]]:
        while True:
            try:
                yield self._fresh.popleft()
            except IndexError:
                return
