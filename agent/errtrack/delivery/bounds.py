# SPDX-License-Identifier: MIT
"""What waits on disk stays within ``spool_max_size`` and ``spool_max_age``; what ends a process has a reserve.

Of too much, the oldest goes first, and events of fatal errors last: they move to the newest segment. What is given up
is counted for the client report. The wall clock alone deletes nothing: a segment goes for its age when it has looked
too old for an hour on the monotonic clock as well, so that a clock that jumps costs no event.
"""

from __future__ import annotations

import os
from errno import EDQUOT, ENOSPC
from time import monotonic, time

from errtrack.delivery import claims, envelope, places, segment, tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from errtrack.delivery.segment import Reader
    from errtrack.delivery.spool import Spool
    from errtrack.options import Options

    Lost = Callable[[str, str], None]

#: Seconds, on the monotonic clock, that a segment must have looked too old for.
DOUBT = 3600.0

#: Seconds since 1970 (in 2023). What is of before that was kept by a device that did not know the time yet; how old it
#: is, nobody knows.
CLOCK_IS_SET = 1_700_000_000.0

#: The name of the file that keeps space free on the disk, for the event of a fatal error.
RESERVE = "reserve"

#: Of this share of ``spool_max_size`` fatal errors' events survive when it is exceeded.
_FATAL_SHARE = 0.25


class Bounds:
    """Keeps the spool of one destination within the bounds of *options*."""

    def __init__(self, options: Options) -> None:
        self._max_size: int = options.spool_max_size
        self._max_age: float = options.spool_max_age * 86_400.0
        self._reserve: int = options.spool_reserve
        self._old_since: dict[str, float] = {}

    def enforce(self, spool: Spool, lost: Lost) -> None:
        """Give up what is too much or too old in *spool*'s folder, tell *lost*, and see to the reserve."""
        self._enforce(spool.folder, spool, lost, self._max_size)
        # Segments for a DSN that nobody has any more go by their age alone.
        above = os.path.dirname(spool.folder)
        for name in os.listdir(above):
            folder = os.path.join(above, name)
            if folder != spool.folder and places.distrust(folder) is None:
                self._enforce(folder, spool, lost, 0)
        if self._reserve:
            make_reserve(spool.folder, self._reserve)

    def _enforce(self, folder: str, spool: Spool, lost: Lost, max_size: int) -> None:
        now, clock = time(), monotonic()
        found = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(("seg-", "crash-", tally.PREFIX)):
                    try:
                        status = entry.stat(follow_symlinks=False)
                        written_at = max(status.st_mtime, status.st_ctime)
                        if written_at < CLOCK_IS_SET <= now:
                            os.utime(entry.path)
                            written_at = now
                    except OSError:
                        continue
                    size = 0 if entry.name.startswith(tally.PREFIX) else status.st_size  # it is sparse
                    found.append((entry.name, size, written_at))
        found.sort()
        total = sum(size for _, size, _ in found)
        carried = 0
        for name, size, written_at in found:
            path = os.path.join(folder, name)
            is_old = self._is_old(path, now - written_at, clock)
            if not is_old and not (max_size and total > max_size):
                continue
            if name.startswith("crash-"):
                if is_old:
                    os.unlink(path)
                continue
            if name.startswith(tally.PREFIX):
                reader = claims.take(path) if is_old else None
                if reader is not None:
                    claims.discard(reader)
                continue
            may_carry = 0 if is_old else int(max_size * _FATAL_SHARE) - carried
            kept = self._give_up(path, spool, lost, may_carry)
            if kept is not None:
                carried += kept
                total -= size - kept
                self._old_since.pop(path, None)

    def _is_old(self, path: str, age: float, clock: float) -> bool:
        if not self._max_age or age <= self._max_age:
            self._old_since.pop(path, None)
            return False
        return clock - self._old_since.setdefault(path, clock) >= DOUBT

    def _give_up(self, path: str, spool: Spool, lost: Lost, may_carry: int) -> int | None:
        """Give up the segment at *path*, but for fatal events of up to *may_carry* bytes; return how many those were.

        None when it cannot be given up: it is in use, or another process's.
        """
        for part in spool.segments():
            if part.path == path:
                if spool.is_in_use(part):
                    return None
                kept = _empty(part.reader, spool, lost, may_carry)
                spool.retire(part)
                return kept
        reader = claims.take(path)
        if reader is None:
            return None
        try:
            kept = _empty(reader, spool, lost, may_carry)
            claims.remove(path, reader.descriptor)
        finally:
            reader.close()
        return kept


def _empty(reader: Reader, spool: Spool, lost: Lost, may_carry: int) -> int:
    kept = 0
    reader.look()
    for record in list(reader.pending.values()):
        try:
            payload = reader.payload(record)
        except OSError:
            payload = None
        is_fatal = record.flags & segment.FATAL_FLAG and payload is not None
        if is_fatal and kept + record.length <= may_carry and spool.put(payload or b"", fatal=True):
            kept += record.length + segment.HEAD
        else:
            lost("cache_overflow", envelope.category_of(payload or b""))
        reader.mark(record, segment.REFUSED)
    return kept


def is_full(error: OSError | None) -> bool:
    """Whether *error* says that there is no space left."""
    return error is not None and error.errno in (ENOSPC, EDQUOT)


def make_reserve(folder: str, size: int) -> None:
    """Keep *size* bytes of the disk for a fatal error's event; nothing where they cannot be had."""
    path = os.path.join(folder, RESERVE)
    if os.path.lexists(path) or not hasattr(os, "posix_fallocate"):
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = places.out_of_the_way(os.open(path, flags, 0o600))
    except OSError:
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        os.unlink(path)
    finally:
        os.close(descriptor)


def free_reserve(folder: str) -> bool:
    """Give the reserve back to the disk; False when there was none."""
    try:
        os.unlink(os.path.join(folder, RESERVE))
    except OSError:
        return False
    return True
