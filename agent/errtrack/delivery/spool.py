# SPDX-License-Identifier: MIT
"""The spool: a captured event is safe on disk when ``put`` returns, whatever then happens to the process.

Every process appends to segments of its own. While it lives it holds their ``flock``; a segment whose lock is
free has lost its writer, and whoever claims it delivers what it holds. There are no pid files, leases or
clocks.

No lock of Python's is taken on the way of a record, so a thread, a signal handler or ``__del__`` can ``put``
at any instruction of another ``put``. A segment is given up only when nobody is writing to it: a writer first
signs in (``writers``) and then checks that the segment is still the current one; who retires a segment first
takes it out of service and then checks that nobody is signed in. One of the two always sees the other.
"""

from __future__ import annotations

import os
from errno import EBADF, EDQUOT, EFBIG, ENOSPC
from time import monotonic

from errtrack.delivery import claims, places, segment
from errtrack.delivery.part import Segment, create

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.delivery.tally import Tally

#: A segment is followed by a new one when it is larger (bytes) or older (seconds).
MAX_SIZE = 1_000_000
MAX_AGE = 600.0

#: Where no tally can be made, the next try is made after so long (seconds).
_NO_TALLY_FOR = 60.0


class _Mine:
    """The segments and the tally of one process; a forked child starts with an empty one."""

    __slots__ = ("current", "no_tally_before", "pid", "segments", "tallies")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.current: Segment | None = None
        self.segments: list[Segment] = []
        self.tallies: dict[str, Tally] = {}
        self.no_tally_before = 0.0


class Spool:
    """What waits for one destination in *folder*. *header* describes this process in each segment.

    *sync*: ``fatal`` has the disk itself hold fatal events when ``put`` returns, ``always`` all of them, ``off`` none.
    *max_size*: a process whose own segments hold more bytes than this takes nothing but fatal events; 0 is unbounded.
    """

    def __init__(self, folder: str, header: dict[str, Any], sync: str = "off", max_size: int = 0) -> None:
        self.folder = folder
        self.header = header
        self._sync = sync
        self._max_size = max_size
        self._synced_at = 0.0
        self.last_error: OSError | None = None
        self._by_pid: dict[int, _Mine] = {}

    def put(self, payload: bytes, kind: int = segment.ENVELOPE, fatal: bool = False) -> bool:
        """Append one record; True when it is in the page cache and so survives the process. Takes no lock.

        False when the disk refuses (``last_error`` says why). *fatal*: it tells of what ends the process; the
        reserve is there for it. Raises :class:`ValueError` for an empty payload.
        """
        data = segment.frame(payload, kind, segment.FATAL_FLAG if fatal else 0)
        mine = self._mine()
        kept = self._append(mine, data, fatal)
        if not kept and fatal and self._free_reserve():
            kept = self._append(mine, data, fatal)
        if kept and (self._sync == "always" or (fatal and self._sync == "fatal")):
            self._sync_now(mine.segments)
        return kept

    def _free_reserve(self) -> bool:
        from errtrack.delivery import bounds

        return bounds.is_full(self.last_error) and bounds.free_reserve(self.folder)

    def _append(self, mine: _Mine, data: bytes, fatal: bool) -> bool:
        for _ in range(10):
            current = mine.current
            if current is None or current.size > MAX_SIZE or not _still_good(current):
                if self.is_over() and not fatal:
                    self.last_error = OSError(EDQUOT, "spool_max_size is reached")
                    return False
                current = self._begin(mine)
                if current is None:
                    return False
            current.writers.append(None)
            try:
                if mine.current is not current:
                    continue  # it was retired, or another thread began one at the same time
                written = current.file.write(data)
            except OSError as error:
                self.last_error = error
                if error.errno == EBADF:  # the application has closed it since that was asked
                    if mine.current is current:
                        mine.current = None
                    continue
                if error.errno == EFBIG and _gives_up(mine, current, data):
                    continue
                return False
            except ValueError:  # closed, because it was found unsound
                if mine.current is current:
                    mine.current = None
                continue
            finally:
                current.writers.pop()
            current.size += len(data)
            current.dirty = True
            if written == len(data):
                return True
            # The broken tail is passed over by whoever reads it.
            self.last_error = OSError(ENOSPC, os.strerror(ENOSPC))
            if not _gives_up(mine, current, data):
                return False
        return False

    def is_over(self) -> bool:
        """True when this process alone has filled the spool."""
        if not self._max_size:
            return False
        return sum(part.size for part in list(self._mine().segments)) > self._max_size

    def is_in_use(self, part: Segment) -> bool:
        """True while something may be written to *part*."""
        return part is self._mine().current or bool(part.writers)

    def sync(self, now: float) -> float:
        """Have the disk hold what waits, once a second at most; return the seconds until that is due again.

        0.0 when nothing is due. For the worker, while nothing can be delivered.
        """
        if self._sync == "off":
            return 0.0
        dirty = [part for part in list(self._mine().segments) if part.dirty]
        if not dirty:
            return 0.0
        left = 1.0 - (now - self._synced_at)
        if left > 0:
            return left
        self._synced_at = now
        self._sync_now(dirty)
        return 0.0

    def _sync_now(self, parts: list[Segment]) -> None:
        for part in list(parts):
            if part.dirty:
                try:
                    part.sync()
                except (OSError, ValueError) as error:
                    self.last_error = error if isinstance(error, OSError) else None

    def segments(self) -> list[Segment]:
        """The segments of this process that may still hold something, oldest first.

        One whose descriptors the application has closed is given up; it can be claimed by its name.
        """
        mine = self._mine()
        current = mine.current
        if current is not None and current not in mine.segments:  # interrupted between two lines of _begin()
            mine.segments.append(current)
        for part in list(mine.segments):
            if not part.is_sound():
                if part is mine.current:
                    mine.current = None
                mine.segments.remove(part)
                part.close()
        return list(mine.segments)

    def rotate(self, now: float) -> None:
        """Take the current segment out of service when it is old, large or has lost its name; for the worker.

        What is pending in a file that somebody removed is written again, to one with a name.
        """
        mine = self._mine()
        current = mine.current
        if current is None:
            return
        nameless = not current.reader.has_name()
        if nameless or now - current.opened_at > MAX_AGE or current.size > MAX_SIZE:
            mine.current = None
        if nameless and not current.writers and current.is_sound():
            current.reader.look()
            for record in list(current.reader.pending.values()):
                try:
                    payload = current.reader.payload(record)
                except OSError:
                    continue
                if payload is not None and self.put(payload):
                    current.reader.mark(record, segment.DONE)

    def retire(self, part: Segment) -> bool:
        """Remove *part* when nobody writes to it and nothing in it is pending; True when it is gone."""
        mine = self._mine()
        if part is mine.current or part.writers:
            return False
        part.reader.look()
        if part.reader.pending:
            return False
        claims.remove(part.path, part.reader.descriptor)
        try:
            mine.segments.remove(part)
        except ValueError:
            pass
        part.close()
        return True

    def tally(self) -> Tally | None:
        """Where this process counts what its storms hold back; None where the disk has no room for it."""
        mine = self._mine()
        tally = mine.tallies.get("")
        if tally is None and monotonic() >= mine.no_tally_before:
            from errtrack.delivery.tally import Tally

            try:
                made = Tally(self.folder, self.header)
            except OSError:
                mine.no_tally_before = monotonic() + _NO_TALLY_FOR
                return None
            tally = mine.tallies.setdefault("", made)
            if tally is not made:  # another thread was quicker
                made.close()
        return tally

    def retire_all(self) -> None:
        """Take the current segment out of service and remove every one in which nothing is pending."""
        self._mine().current = None
        for part in self.segments():
            self.retire(part)

    def close(self) -> None:
        """Give up this process's files: what is pending in them may be claimed by others from now on."""
        mine = self._by_pid.pop(os.getpid(), None)
        if mine is not None:
            mine.current = None
            for tally in mine.tallies.values():
                tally.close()
            for part in mine.segments:
                if not part.writers:
                    part.close()

    def after_fork_in_child(self) -> None:
        """Close what was inherited: the parent's segments are the parent's, and so must their locks be."""
        own = os.getpid()
        for pid in list(self._by_pid):
            if pid != own:
                mine = self._by_pid.pop(pid, None)
                if mine is None:
                    continue
                for part in mine.segments:
                    part.close()
                for tally in mine.tallies.values():
                    tally.let_go(forked=True)

    def _mine(self) -> _Mine:
        pid = os.getpid()
        mine = self._by_pid.get(pid)
        if mine is None:
            # setdefault is atomic: two threads that find themselves in a new process agree on one of the two.
            mine = self._by_pid.setdefault(pid, _Mine(pid))
            if len(self._by_pid) > 1:
                self.after_fork_in_child()
        return mine

    def _begin(self, mine: _Mine) -> Segment | None:
        """Put a new segment into service. Two threads may do so at once: both segments are drained."""
        for _ in range(3):
            try:
                part = create(self.folder, self.header)
            except BlockingIOError:  # somebody locked it before us; the next has another name
                continue
            except FileNotFoundError as error:  # the folder is gone, or never was
                self.last_error = error
                if places.why_unusable(self.folder) is not None:
                    return None
                continue
            except OSError as error:
                self.last_error = error
                return None
            # In this order: one that is listed and not in service would be retired at once.
            mine.current = part
            mine.segments.append(part)
            return part
        return None


def _gives_up(mine: _Mine, current: Segment, data: bytes) -> bool:
    """Whether *current*, which does not take *data*, is out of service now, as files may have a limit here
    (RLIMIT_FSIZE) and the next may hold it.
    """
    if current.size + len(data) <= MAX_SIZE // 8 or mine.current is not current:
        return False
    mine.current = None
    return True


def _still_good(part: Segment) -> bool:
    """True while the descriptor means our file, asked before each write: the number may be that of a file of the
    application's by now, which would be damaged.
    """
    return not part.file.closed and part.reader.is_ours(part.file.fileno())
