# SPDX-License-Identifier: MIT
"""The worker: the one thread of a process that empties its spool, and what others left behind.

It is started at the first event of a process and belongs to that process alone. It is woken by releasing a
lock, which a signal handler may do as well. Where no thread can be had (Python 3.12 at exit, a limit on
processes) the same rounds are run by whoever waits for them.
"""

from __future__ import annotations

import os
from _thread import allocate_lock, get_ident
from time import monotonic

from errtrack import guard
from errtrack.delivery import claims, forks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable
    from typing import Any, Union

    from errtrack.delivery.drain import Drain
    from errtrack.delivery.post import Post
    from errtrack.delivery.reports import Reports
    from errtrack.delivery.segment import Reader
    from errtrack.delivery.spool import Spool

    Destination = Union[Post, Drain]
    import signal as _signal
else:
    import _signal
    from _collections import deque

#: Seconds between two looks for orphaned segments, before jitter; how many are claimed at once.
LOOK_EVERY = 30.0
CLAIM = 4

#: Seconds until a round is repeated that left something undelivered for no known time.
AGAIN = 1.0

#: Seconds between two deliveries from the backlog.
BACKLOG_GAP = 0.1

#: Seconds that a new thread leaves a server alone that somebody has just waited for in vain: a process that ends before
#: has imported nothing, and is not held up by that.
PATIENCE = 1.0

#: Envelopes kept in memory while no disk takes them, and their size altogether (bytes).
RING = 30
RING_SIZE = 8_000_000

#: Seconds that a thread is waited for when it was asked to end.
JOIN = 0.3

#: What somebody waits for: what this process has put; what others left as well, as far as it is known of; or all of it.
OWN, BACKLOG, ALL = "own", "backlog", "all"


class Loose:
    """An envelope that no disk took."""

    __slots__ = ("category", "data", "tries")

    def __init__(self, data: bytes, category: str) -> None:
        self.data = data
        self.category = category
        self.tries = 0


class Waiter:
    """Somebody who waits for a round's end. ``settled``: nothing that was put before is pending any more."""

    __slots__ = ("done", "settled", "what")

    def __init__(self, what: str) -> None:
        self.what = what
        self.settled = False
        self.done = allocate_lock()
        self.done.acquire()


class Worker:
    """Empties *spool* (a function: there may be none yet) into what *make* makes, and the *backlog* folders.

    *keep_house* is run as often as orphans are looked for, and before: it reports crashes and keeps the bounds.
    *is_away* tells whether the server is known not to answer. *reports* counts what is lost; None: there is nobody to
    tell.
    """

    def __init__(
        self,
        make: Callable[[Reports | None], Destination],
        spool: Callable[[], Spool | None],
        backlog: Callable[[], list[str]],
        keep_house: Callable[[], None],
        is_away: Callable[[], bool],
        reports: Reports | None = None,
    ) -> None:
        self.pid = os.getpid()
        self.reports = reports
        #: Held while a fork would leave the child with something half done, such as an import.
        self.unforkable = allocate_lock()
        self._make = make
        self._made: dict[str, Destination] = {}
        self.ring: deque[Loose] = deque()
        self._spool = spool
        self._backlog_folders = backlog
        self._keep_house = keep_house
        self._is_away = is_away
        #: Whether delivery was begun, or at least the imports for it.
        self.has_begun = False
        #: Seconds that the first round is put off, unless somebody waits for it.
        self.begin_after = 0.0
        self._house_at = 0.0
        self._bell = allocate_lock()
        self._bell.acquire()
        self._waiters: deque[Waiter] = deque()
        self._starting = allocate_lock()
        self._working = allocate_lock()
        self._ended = allocate_lock()
        self._ident = 0
        self._running = False
        self._stopping = False
        self._leaving = self._has_left = False
        self._call: object = 0
        self._answered: object = None
        self._no_start_before = 0.0
        self._look_at = 0.0
        self._orphans: list[Reader] = []

    @property
    def destination(self) -> Destination:
        """Where everything goes. Whoever asks first imports what it needs: that is the thread, if nobody hurries."""
        made = self.made
        if made is None:
            found = self._make(self.reports)
            found.unforkable = self.unforkable
            made = self._made.setdefault("", found)
            if self._stopping:
                made.abort()
            while made.paused != self._leaving:  # it may change between the two
                made.paused = self._leaving
        return made

    @property
    def made(self) -> Destination | None:
        """The destination, where it was made already."""
        return self._made.get("")

    @property
    def can_send(self) -> bool:
        """False where what sending needs is known not to be there: a wait in vain says nothing of the server then."""
        made = self.made
        return made is None or made.can_send

    @property
    def is_in_trouble(self) -> bool:
        """True when it is known that nothing will get through just now."""
        made = self.made
        return made is not None and made.is_in_trouble(monotonic())

    @property
    def busy_since(self) -> float:
        """When the request in hand began, monotonic; 0.0 without one."""
        made = self.made
        return made.busy_since if made is not None else 0.0

    def turns_away(self, category: str) -> bool:
        """True when the server has asked not to be sent *category*, which is not worth keeping."""
        made = self.made
        return made is not None and made.turns_away(category)

    def lost(self, reason: str, category: str, quantity: int = 1) -> None:
        """Count what will not be delivered, for the client report."""
        if self.reports is not None:
            self.reports.lost(reason, category, quantity)

    def keep(self, data: bytes, category: str) -> None:
        """Keep an envelope in memory; the oldest give way."""
        ring = self.ring
        ring.append(Loose(data, category))
        while len(ring) > RING or (
            len(ring) > 1 and sum(len(loose.data) for loose in list(ring)) > RING_SIZE
        ):
            try:
                lost = ring.popleft()
            except IndexError:
                return
            self.lost("cache_overflow", lost.category)

    def start(self) -> bool:
        """Have the thread running; False when there cannot be one. Safe in signal handlers."""
        if self._running:
            return True
        if self._stopping or self._leaving or monotonic() < self._no_start_before:
            return False
        if not self._starting.acquire(False):
            return False
        try:
            if not self._running:
                # If the worker were the first to import it, threading would take the worker for the main
                # thread.
                import threading  # noqa: F401

                self._running = True
                try:
                    self._ended = allocate_lock()
                    self._ended.acquire()
                    forks.start_thread(self._run, self._ended)
                except BaseException:
                    self._running = False
                    raise
            return True
        except RuntimeError:  # "can't start new thread", "... at interpreter shutdown"
            self._no_start_before = monotonic() + 1.0
            return False
        finally:
            self._starting.release()

    def wake(self) -> None:
        """Let the thread look for work. Safe anywhere: never waits."""
        self._call = object()
        self._ring()

    def owes(self) -> bool:
        """True unless everything was delivered since :meth:`wake` was last called."""
        return self._call is not self._answered

    def _ring(self) -> None:
        if self._bell.locked():
            try:
                self._bell.release()
            except RuntimeError:  # somebody else was quicker
                pass

    def wait(self, what: str, timeout: float) -> bool:
        """Wait until *what* is delivered: ``OWN``, ``BACKLOG`` or ``ALL``; False if not in time."""
        if get_ident() == self._ident and self._running:
            return False  # the thread cannot wait for itself
        if not self.start():
            return self._round_here(what, timeout)
        waiter = Waiter(what)
        self._waiters.append(waiter)
        self.wake()
        if not self._running:  # it ended between the two lines
            return False
        return waiter.done.acquire(True, max(0.0, min(timeout, 1e6))) and waiter.settled

    def has_more(self) -> bool:
        """True while more of the backlog is known of, or is to be looked for at once."""
        return bool(self._orphans) or self._look_at <= monotonic()

    def stop(self) -> bool:
        """Ask the thread to end, cut its request short, and wait a moment; True when it is gone."""
        self._stopping = True
        made = self.made
        if made is not None:
            made.abort()
        if not self._running:
            self._let_go()
            return True
        self.wake()
        if get_ident() == self._ident:
            return False
        if not self._ended.acquire(True, JOIN):
            return False
        self._let_go()  # it may have been about to leave for a fork, and to come back
        return True

    def leave(self) -> None:
        """Ask the thread to end before its next request, with everything kept as it is, until :meth:`come_back`."""
        self._let_leave(True)
        self._ring()

    def come_back(self, is_at_once: bool) -> None:
        """Have the thread running again that was asked to leave; or let it come when there is something to do."""
        self._let_leave(False)
        if self._has_left and (is_at_once or self.owes()):
            self.start()

    def _let_leave(self, is_to_leave: bool) -> None:
        self._leaving = is_to_leave
        made = self.made
        if made is not None:
            made.paused = is_to_leave

    def _run(self, ended: Any) -> None:
        self._ident = get_ident()
        self._has_left = False
        try:
            with guard.Inside(), self._working:
                self._be_patient()
                while not self._is_to_end():
                    if self._prepare():
                        self._rest(self._guarded_round())
        finally:
            self._has_left = self._leaving and not self._stopping
            self._ident = 0
            self._running = False
            made = self.made
            if made is not None:
                made.paused = False
            if not self._has_left:
                self._release(list(self._waiters), False)
                self._let_go()
            ended.release()
            if self._has_left and not self._leaving:
                self.start()  # called back while it was on its way out

    def _be_patient(self) -> None:
        """Wait before the first round where it would most likely be in vain, unless somebody waits for it."""
        until = monotonic()
        if not self.has_begun:
            until += PATIENCE if self._is_away() else self.begin_after
        while not self._is_to_end() and not self._waiters:
            left = until - monotonic()
            if left <= 0:
                break
            self._bell.acquire(True, left)

    def _prepare(self) -> bool:
        """Import what delivery needs; False where there is no round now: a fork is near, or it cannot be had."""
        try:
            made = self.made
            if made is None:
                with self.unforkable:  # a fork waits for it: a child could never finish an import begun here
                    if self._is_to_end():
                        return False
                    self.has_begun = True
                    made = self.destination
            return made.prepare()
        except Exception as error:  # without descriptors or memory, say; the next time may be better
            guard.fault("delivery.prepare", error)
        while self._waiters:
            self._release([self._waiters.popleft()], False)
        self._rest(AGAIN)
        return False

    def _is_to_end(self) -> bool:
        return self._stopping or self._leaving

    def _rest(self, pause: float) -> None:
        """Wait for the bell, at most *pause* seconds; then, where it pays, for more to come."""
        if self._is_to_end() or self._waiters:
            return
        if self._bell.acquire(True, pause) and self.destination.linger:
            until = monotonic() + self.destination.linger
            while not self._is_to_end() and not self._waiters:
                left = until - monotonic()
                if left <= 0:
                    break
                self._bell.acquire(True, left)

    def _round_here(self, what: str, timeout: float) -> bool:
        if not self._working.acquire(False):
            return False
        held_back: set[int] = set()
        try:
            held_back = _hold_back()
            with guard.Inside():
                self.destination.until = monotonic() + timeout
                waiter = Waiter(what)
                self._waiters.append(waiter)
                self._guarded_round()
                return waiter.settled
        finally:
            self.destination.until = None
            self._working.release()
            _forget(held_back)

    def _guarded_round(self) -> float:
        waiters = []
        while self._waiters:
            waiters.append(self._waiters.popleft())
        try:
            return self._round(waiters)
        except Exception as error:
            self._release(waiters, False)
            guard.fault("delivery.worker", error)
            return 5.0
        finally:
            self._release(waiters, False)

    def _round(self, waiters: list[Waiter]) -> float:
        """Deliver what there is; return the seconds until the next round is due."""
        destination = self.destination
        now = monotonic()
        if now >= self._house_at and not self._stopping and not destination.paused:
            self._look_around(now)
        if not waiters and destination.ready_at > now:
            return self._synced(now, destination.ready_at - now)
        call = self._call
        settled = self._deliver_own(now)
        if settled:
            self._answered = call
        if not settled and destination.paused:
            self._waiters.extendleft(reversed(waiters))
            waiters.clear()  # they wait for the round after the fork
            return 0.0
        if waiters or settled:
            destination.report(bool(waiters))
        self._release([waiter for waiter in waiters if waiter.what == OWN], settled)
        hurry = any(waiter.what != OWN for waiter in waiters)
        again = 0.0
        if settled and not self._stopping and not destination.paused:
            if any(waiter.what == ALL for waiter in waiters):
                self._look_at = 0.0  # somebody may have died since the last look
            again = self._deliver_backlog(monotonic(), hurry)
        self._release(waiters, settled)
        if settled and not self._is_out_of_time():
            return again
        # Zero: what stood in the way has just ended, or is not a matter of time.
        return self._synced(now, max(0.05, min(LOOK_EVERY, destination.next_try(monotonic()) or AGAIN)))

    def _deliver_own(self, now: float) -> bool:
        destination = self.destination
        spool = self._spool()
        settled = True
        if spool is not None:
            spool.rotate(now)
            for part in spool.segments():
                part.reader.look()
                if part.reader.pending:
                    settled = destination.carry(part.reader) and settled
                    if self._stopping or destination.paused or destination.ready_at > monotonic():
                        return False
                    if self._is_out_of_time():
                        return False
                spool.retire(part)
        for _ in range(len(self.ring)):
            try:
                loose = self.ring.popleft()
            except IndexError:
                break
            if not destination.carry_loose(loose.data, loose):
                self.ring.appendleft(loose)
                return False
        return settled

    def _deliver_backlog(self, now: float, hurry: bool) -> float:
        """Deliver what others left behind, slowly unless in a *hurry*; return seconds to the next time."""
        if not self._orphans and now >= self._look_at:
            own = self._own_paths()
            for folder in self._backlog_folders():
                self._orphans += claims.claim(folder, own, CLAIM - len(self._orphans))
            # Processes that were started together must not look together. There may be more: after these, at once,
            # whichever round is done with them.
            self._look_at = 0.0 if len(self._orphans) == CLAIM else now + jittered(LOOK_EVERY)
        for reader in list(self._orphans):
            reader.look()
            while reader.pending:
                if not self._deliver_orphan(reader):
                    return max(0.05, min(LOOK_EVERY, self.destination.next_try(monotonic()) or AGAIN))
                hurry = hurry or self.destination.linger > 0
                if reader.pending and not hurry and (self._bell.acquire(True, BACKLOG_GAP) or self._waiters):
                    self.wake()
                    return 0.0  # something of our own comes first
            self._orphans.remove(reader)
            claims.discard(reader)
        if not self._look_at:
            return 0.0
        return max(0.05, self._look_at - monotonic())

    def _deliver_orphan(self, reader: Reader) -> bool:
        """Deliver some of *reader*; False when it has to wait."""
        if self._stopping or self._is_out_of_time():
            return False
        if self.destination.linger:
            return self.destination.carry(reader)
        before = len(reader.pending)
        for record in list(reader.pending.values()):
            if not self.destination.carry_one(reader, record):
                return False
            if len(reader.pending) < before:
                return True
        return False  # all of it is limited

    def _look_around(self, now: float) -> None:
        """Do what is done as often as orphans are looked for, and comes before them."""
        spool = self._spool()
        # Of a spool that is full, something has to go soon.
        self._house_at = now + (1.0 if spool is not None and spool.is_over() else jittered(LOOK_EVERY))
        try:
            self._keep_house()
        except Exception as error:
            guard.fault("delivery.house", error)

    def _synced(self, now: float, pause: float) -> float:
        """What cannot be delivered just now shall outlive a loss of power, but for the last second."""
        spool = self._spool()
        if spool is not None:
            left = spool.sync(now)
            if left:
                return min(pause, left)
        return pause

    def _own_paths(self) -> set[str]:
        spool = self._spool()
        return {part.path for part in spool.segments()} if spool is not None else set()

    def _is_out_of_time(self) -> bool:
        until = self.destination.until
        return until is not None and monotonic() >= until

    def _release(self, waiters: list[Waiter], settled: bool) -> None:
        for waiter in waiters:
            if waiter.done.locked():
                waiter.settled = settled
                waiter.done.release()

    def _let_go(self) -> None:
        """Free what was claimed: others may deliver it."""
        orphans, self._orphans = self._orphans, []
        for reader in orphans:
            reader.close()
        try:
            made = self.made
            if made is not None:
                made.close()
        except Exception as error:
            guard.fault("delivery.worker", error)

    def after_fork_in_child(self) -> list[Reader]:
        """Return the readers whose inherited locks the child must give up."""
        orphans, self._orphans = self._orphans, []
        self._stopping = True
        made = self.made
        if made is not None:
            made.after_fork_in_child()
        return orphans


def jittered(seconds: float) -> float:
    """A pause of about *seconds*."""
    return seconds * (0.75 + int.from_bytes(os.urandom(2), "little") / 131_072)


def _hold_back() -> set[int]:
    """Block in this thread, the application's, the signals that would end it for a write of ours; return those.

    SIGPIPE has its default meaning in many a command line tool, and whoever sends may be hung up on.
    """
    try:
        deadly: set[int] = {_signal.SIGPIPE, _signal.SIGXFSZ}
        deadly = {number for number in deadly if _signal.getsignal(number) == _signal.SIG_DFL}
        return deadly - _signal.pthread_sigmask(_signal.SIG_BLOCK, deadly) if deadly else deadly
    except (AttributeError, OSError, ValueError):  # Windows
        return set()


def _forget(held_back: set[int]) -> None:
    """Take those of *held_back* that have come as not having come, and let them through again."""
    if held_back:
        while _signal.sigpending() & held_back:
            _signal.sigwait(held_back)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, held_back)
