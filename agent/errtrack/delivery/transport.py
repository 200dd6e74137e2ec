# SPDX-License-Identifier: MIT
"""The transport: an event handed over is safe, and on its way, without the application waiting for it.

``put`` writes it to the spool and wakes the delivery thread. At exit nothing needs to be saved, so exit waits
for the server only as long as that is polite, and not at all when the server is known to be down.
"""

from __future__ import annotations

import os
import sys
from time import monotonic, sleep, time

from errtrack import guard
from errtrack.delivery import away, forks, places
from errtrack.delivery import envelope as envelopes
from errtrack.delivery.spool import Spool
from errtrack.delivery.worker import ALL, BACKLOG, OWN, Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from errtrack.delivery.bounds import Bounds
    from errtrack.delivery.reports import Reports
    from errtrack.delivery.tally import Tally
    from errtrack.delivery.worker import Destination
    from errtrack.dsn import Dsn
    from errtrack.options import Options

#: Exit waits this long (seconds) for what others left behind, when the server is well.
BACKLOG_AT_EXIT = 0.3

#: Exit waits this long (seconds) where another process has waited in vain within the last minute, and where an uploader
#: goes on with what is pending.
AWAY_AT_EXIT = 0.1

#: How often a place for the spool is looked for when there was none, seconds.
_LOOK_FOR_PLACE = 60.0

#: What a child inherits of its parent's threads and connections: kept, as dismantling it could meet a held
#: lock.
_of_parents: list[Any] = []


class Transport:
    """Delivers to *dsn*, or, without one, to the embedded store. Every method may be called from anywhere.

    Whoever makes one must call :meth:`close` when the interpreter exits, so that no thread of ours is left
    then.
    """

    def __init__(self, options: Options, dsn: Dsn | None) -> None:
        # Whatever ``put`` needs is imported here, in the thread that makes us. Were it imported by the first put of
        # some thread while another one forks, the child would wait for that import for ever. What delivering needs
        # is imported by the thread that delivers: a first event is dear enough.
        import threading  # noqa: F401

        self._options = options
        self._dsn = dsn
        self._destination = dsn.digest if dsn is not None else places.STORE
        self._new_reports: Callable[[], Reports] | None = None
        if dsn is not None:
            from errtrack.delivery.reports import Reports

            self._new_reports = lambda: Reports(monotonic(), options.send_client_reports)
        #: What is pending at the end is left to an uploader.
        self._has_uploader = False
        if dsn is not None and options.uploader != "off" and (options.uploader == "on" or os.isatty(2)):
            from errtrack.delivery import uploader

            self._has_uploader = uploader.applies(options)
        self._workers: dict[int, Worker] = {}
        self._spools: dict[str, Spool] = {}
        self._look_for_place_at = 0.0
        self._bounds: Bounds | None = None
        self._told: dict[str, float] = {}
        self._closed = False
        #: Makes events of others' crashes; run by the worker, before it looks for what others left.
        self.recover: Callable[[], object] = lambda: None

    def put(self, envelope: bytes, category: str = "error", fatal: bool = False) -> bool:
        """Take *envelope*; True when it is on disk and so survives this process. *fatal*: it tells of its end.

        False when it is only in memory, because no disk takes it, or when the server has asked not to be sent
        *category* just now and it is not worth keeping.
        """
        try:
            worker = self._worker()
            if worker.turns_away(category):
                worker.lost("ratelimit_backoff", category)
                return False
            kept = False
            try:
                spool = self._spool()
                kept = spool is not None and spool.put(envelope, fatal=fatal)
                if not kept and spool is not None:
                    self._tell_full(spool)
            except Exception as error:
                guard.fault("delivery.spool", error)
            if not kept:
                worker.keep(envelope, category)
            if not self._closed:
                worker.start()
                worker.wake()
            return kept
        except Exception as error:
            guard.fault("delivery.put", error)
            return False

    def lost(self, reason: str, category: str, quantity: int = 1) -> None:
        """Count an event that was dropped before it came here, for the client report."""
        self._worker().lost(reason, category, quantity)

    def lost_transaction(self, reason: str, spans: int) -> None:
        """Count a transaction that was dropped, and what counts as spans of it: itself, too."""
        lost = self._worker().lost
        lost(reason, "transaction")
        lost(reason, "span", spans)

    def tally(self) -> Tally | None:
        """Where storms count what they hold back; None: in memory alone, as no disk takes it."""
        spool = self._spool()
        return None if spool is None else spool.tally()

    def strain(self) -> int:
        """How hard it is to deliver: 0 not at all; 1 nothing gets through just now, or the server wants less; 2 what
        waits has taken a quarter of the room that there is on disk.
        """
        worker = self.worker()
        made = worker.made if worker is not None and self._dsn is not None else None
        if made is None:
            return 0
        now = monotonic()
        limits = getattr(made, "limits", None)
        if not made.is_in_trouble(now) and not (limits and limits.is_limited("transaction", now)):
            return 0
        spool, most = self._spools.get(""), self._options.spool_max_size
        waiting = sum(part.size for part in spool.segments()) if spool is not None and most else 0
        return 2 if waiting > most / 4 and most else 1

    def catch_up(self) -> None:
        """Begin to deliver what others left behind; without waiting."""
        if not self._closed:
            has_own = self.worker() is not None
            worker = self._worker()
            if not has_own:
                worker.has_begun = True  # a process that came for others' sake only would do nothing else
            worker.start()
            worker.wake()

    def drain(self, timeout: float) -> bool:
        """Deliver all that waits, others' too, within *timeout* seconds, at full speed; True when that was done."""
        until = monotonic() + timeout
        worker = self._worker()
        while monotonic() < until:
            if not worker.wait(ALL, until - monotonic()) or worker.is_in_trouble:
                return False
            if not worker.has_more():
                return True
            sleep(0.02)
        return False

    def flush(self, timeout: float) -> bool:
        """Wait up to *timeout* seconds until everything put so far is delivered; False when it is not.

        Tries at once, even when an earlier fault has imposed a pause.
        """
        try:
            worker = self.worker()
            return worker is None or worker.wait(OWN, timeout)
        except Exception as error:
            guard.fault("delivery.flush", error)
            return False

    def close(self, timeout: float | None = None) -> bool:
        """Deliver what can be delivered within *timeout* (default: ``shutdown_timeout``) and end the thread.

        True when nothing is left. What is left lies on disk for the next process; without a *timeout*, an uploader is
        started for it where the settings have one. Events that are put afterwards are still written there.
        """
        self._closed = True
        forks.forget(self)
        try:
            return self._close(timeout)
        except Exception as error:
            guard.fault("delivery.close", error)
            return False

    def worker(self) -> Worker | None:
        """This process's worker, or None while it has put nothing."""
        return self._workers.get(os.getpid())

    def kill_after_fork(self) -> None:
        """Forget the parent's thread and connections and give up its locks; it delivers what it has put."""
        own = os.getpid()
        for pid in list(self._workers):
            if pid == own:
                continue
            worker = self._workers.pop(pid, None)
            if worker is not None:
                _of_parents.append(worker)
                for reader in worker.after_fork_in_child():
                    reader.close()
                guard.after_fork_in_child()
        for spool in list(self._spools.values()):
            spool.after_fork_in_child()

    def _close(self, timeout: float | None) -> bool:
        settled, worker = True, self.worker()
        is_for_uploader = False
        if worker is not None:
            # The store needs no waiting: nothing is faster at exit than the file in which the events lie
            # already.
            if self._dsn is not None:
                is_for_uploader = timeout is None and self._may_hand_over(worker)
                longest = self._options.shutdown_timeout if timeout is None else timeout
                settled = self._wait_at_exit(worker, longest, is_for_uploader)
            worker.stop()
            if is_for_uploader and not settled:
                self._keep_report(worker)
        folder = self._folder()
        for spool in list(self._spools.values()):
            spool.retire_all()
            spool.close()
        if is_for_uploader and not settled and folder:
            from errtrack.delivery import uploader

            uploader.hand_over(self._options, folder)
        return settled

    def _may_hand_over(self, worker: Worker) -> bool:
        """Whether an uploader is to deliver what is pending: not what no disk took, nor to who is known to be away."""
        if not self._has_uploader or worker.ring or worker.is_in_trouble:
            return False
        return self._folder() is not None and not away.is_known(self._folder())

    def _wait_at_exit(self, worker: Worker, timeout: float, is_for_uploader: bool) -> bool:
        """Wait until what this process has put is delivered, and then for the backlog; True when the first was done."""
        began, folder, made = monotonic(), self._folder(), worker.made
        was_over, had_taken = (made.stopped, made.delivered) if made is not None else (False, 0)
        if is_for_uploader or away.is_known(folder):
            timeout = min(timeout, AWAY_AT_EXIT) if worker.has_begun else 0.0
        settled = timeout > 0 and not worker.is_in_trouble and worker.wait(OWN, timeout)
        if timeout > 0 and not was_over and (settled or not is_for_uploader):
            # A server that takes one after the other, if slowly, is no reason for others not to wait.
            made = worker.made
            has_taken = made is not None and made.delivered > had_taken
            if worker.can_send:
                away.tell(folder, not settled and not has_taken)
        left = BACKLOG_AT_EXIT - (monotonic() - began)
        if settled and left > 0:
            worker.wait(BACKLOG, min(left, timeout))
        return settled

    def _keep_report(self, worker: Worker) -> None:
        """Have what was lost be told with what is pending."""
        payload = worker.reports.take(monotonic(), time()) if worker.reports is not None else None
        spool = self._spool()
        if payload is not None and spool is not None:
            spool.put(envelopes.build(None, "client_report", payload))

    def _worker(self) -> Worker:
        pid = os.getpid()
        worker = self._workers.get(pid)
        if worker is None:
            if self._workers:
                self.kill_after_fork()
            forks.watch(self)
            # setdefault is atomic: threads that come here together agree on one.
            worker = self._workers.setdefault(pid, self._make_worker())
        return worker

    def _make_worker(self) -> Worker:
        options, destination = self._options, self._destination
        made = Worker(
            self._make,
            self._spool,
            lambda: places.existing_spools(options, destination),
            self._keep_house,
            lambda: self._dsn is not None and away.is_known(self._folder()),
            None if self._new_reports is None else self._new_reports(),
        )
        if self._has_uploader:
            from errtrack.delivery import uploader

            made.begin_after = uploader.BEGIN_AFTER
        return made

    def _make(self, reports: Reports | None) -> Destination:
        if self._dsn is None or reports is None:
            from errtrack.delivery.drain import Drain

            return Drain(self._options, places.state_folder(self._options), self._told)
        from errtrack.delivery.post import Post
        from errtrack.delivery.quarantine import Quarantine

        return Post(self._options, self._dsn, reports, Quarantine(self._folder))

    def _keep_house(self) -> None:
        """Report others' crashes, and keep what waits within its bounds; for the worker, now and then."""
        self.recover()
        spool, worker = self._spools.get(""), self.worker()
        if spool is not None and worker is not None:
            from errtrack.delivery import quarantine
            from errtrack.delivery.bounds import Bounds

            self._bounds = self._bounds or Bounds(self._options)
            self._bounds.enforce(spool, worker.lost)
            quarantine.sweep(spool.folder)

    def _folder(self) -> str | None:
        spool = self._spools.get("")
        return None if spool is None else spool.folder

    def _spool(self) -> Spool | None:
        spool = self._spools.get("")
        if spool is None and monotonic() >= self._look_for_place_at:
            folder = places.spool_folder(self._options, self._destination)
            if folder is None:
                self._look_for_place_at = monotonic() + _LOOK_FOR_PLACE
                return None
            header = {
                "release": self._options.release,
                "env": self._options.environment,
                "python": "%d.%d.%d" % sys.version_info[:3],
            }
            made = Spool(folder, header, self._options.spool_sync, self._options.spool_max_size)
            spool = self._spools.setdefault("", made)
        return spool

    def _tell_full(self, spool: Spool) -> None:
        now = monotonic()
        if now - self._told.get("full", -3600.0) >= 3600.0:
            self._told["full"] = now
            guard.tell(
                "cannot write to %s (%s); the last events are kept in memory until they are delivered"
                % (spool.folder, spool.last_error and spool.last_error.strerror)
            )
