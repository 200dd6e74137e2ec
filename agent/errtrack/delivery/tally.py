# SPDX-License-Identifier: MIT
"""The tally: what storms hold back is counted in a file that outlives the process, one small write an error.

``counts-TIME-PID-RANDOM.bin`` lies beside the segments and is locked by its living process, as they are. It begins with
the same header record; a slot for each storm follows. A slot holds what the storm's last event would say, its state
(how many were told, and which event is about to tell how many), and the newest tickets.

Every error that is held back draws a ticket (1, 2, 3 ...) and writes it to the place in the ring that the number
gives. So there is nothing to add up and no lock: any order of writes, by threads or in signal handlers, leaves the
same file, and what was written before a death is exact. Older tickets than the ring has room for count as written.

Whoever claims the file of a dead process tells each slot's count by an event whose id follows from the file's name; the
one that was about to tell some has had its id already. So nobody counts twice, whoever dies on the way.
"""

from __future__ import annotations

import os
from errno import EBADF, ENOLCK
from time import time_ns
from zlib import crc32

from errtrack.delivery import claims, places, segment
from errtrack.delivery.part import header_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterator
    from typing import Any

    from errtrack.delivery.segment import Reader

    #: What is left of a slot: an event's id, how many errors it tells of, its JSON without id, time and count.
    Left = tuple[str, int, bytes]
else:
    from _collections import deque

PREFIX, SUFFIX = "counts-", ".bin"

#: Storms of one process that are counted on disk; further ones are counted in memory.
SLOTS = 100

# Bytes: the header's room, a slot, the state's room in it, a ticket. The files are sparse: an empty slot takes no disk.
_FIRST = 65_536
_SLOT = 65_536
_STATE = 64
_TICKET = 8

#: Tickets that a slot holds. A thread that is stopped before its write until as many more were written is passed over.
RING = 1024

_EVENT = _STATE + RING * _TICKET
#: The longest JSON of an event that a slot has room for, bytes.
LONGEST = _SLOT - _EVENT - 8

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Slot:
    """Where one storm is counted. Failing writes are passed over: memory has the count as well."""

    __slots__ = ("_at", "_newest", "_since", "_tally")

    def __init__(self, tally: Tally, at: int) -> None:
        self._tally = tally
        self._at = at
        self._since = 0
        self._newest = 0

    def begin(self, ticket: int, told: int) -> None:
        """Count from *ticket* on; those before it count as written, *told* of them as told."""
        self._since = ticket
        self.tell(told)

    def note(self, ticket: int) -> None:
        """Write that the error with *ticket* was held back. Takes no lock."""
        tally = self._tally
        data = ticket.to_bytes(_TICKET, "little")
        at = self._at + _STATE + ticket % RING * _TICKET
        if ticket > self._newest:
            self._newest = ticket
        tally.writers.append(None)
        try:
            # Between these lines no other thread of Python's runs; one that was stopped before them may be too late.
            if tally.is_sound() and ticket + RING > self._newest:
                os.pwrite(tally.descriptor, data, at)
        except OSError:
            pass
        finally:
            tally.writers.pop()

    def tell(self, told: int, count: int = 0, event_id: str = "") -> None:
        """Write that *told* were told, and that the event *event_id* is about to tell *count* more."""
        state = (told, count, int(event_id or "0", 16))
        data = b"".join(number.to_bytes(size, "little") for number, size in zip(state, (8, 8, 16)))
        self._tally.write(_sealed(data + self._since.to_bytes(8, "little")), self._at)


class Tally:
    """The file of this process, in *folder*; *header* describes the process. Raises ``OSError``."""

    longest = LONGEST

    def __init__(self, folder: str, header: dict[str, Any]) -> None:
        self.writers: list[None] = []
        self._free: deque[int] = deque(range(SLOTS))
        for _ in range(3):
            name = "%s%d-%d-%s%s" % (PREFIX, time_ns(), os.getpid(), os.urandom(4).hex(), SUFFIX)
            self._path = os.path.join(folder, name)
            self.descriptor = places.out_of_the_way(places.open_private(self._path, _NEW))
            try:
                if not claims.lock(self.descriptor):
                    # Who lives could only be guessed, and a wrong guess would have counts told twice.
                    claims.remove(self._path, self.descriptor)
                    raise OSError(ENOLCK, os.strerror(ENOLCK))
                status = os.fstat(self.descriptor)
                self._identity = (status.st_dev, status.st_ino)
                if status.st_nlink:
                    os.pwrite(self.descriptor, segment.frame(header_text(header), segment.HEADER), 0)
                    return
            except BlockingIOError:  # whoever looks for orphans came between the lines, and takes it away
                pass
            except BaseException:
                os.close(self.descriptor)
                raise
            os.close(self.descriptor)
        raise BlockingIOError("the tally cannot be locked")

    def has_room(self) -> bool:
        """Whether :meth:`slot` may give one."""
        return bool(self._free) and self.descriptor >= 0

    def slot(self, event: bytes) -> Slot | None:
        """A slot that will tell *event* (JSON, at most ``LONGEST`` bytes); None where there is no room for it.

        It counts nothing until :meth:`Slot.begin`.
        """
        if len(event) > LONGEST:
            return None
        try:
            at = _FIRST + self._free.popleft() * _SLOT
        except IndexError:
            return None
        head = len(event).to_bytes(4, "little") + crc32(event).to_bytes(4, "little")
        # All of it, so that the disk has given the room for every ticket.
        if self.write(_sealed(bytes(40)).ljust(_EVENT, b"\0") + head + event, at):
            return Slot(self, at)
        self._free.append((at - _FIRST) // _SLOT)
        return None

    def give_back(self, slot: Slot) -> None:
        """Take back a slot that has nothing to tell."""
        if self.write(bytes(8), slot._at + _EVENT):
            self._free.append((slot._at - _FIRST) // _SLOT)

    def write(self, data: bytes, at: int) -> bool:
        """Write *data*; False when it is not all there."""
        self.writers.append(None)
        try:
            return self.is_sound() and os.pwrite(self.descriptor, data, at) == len(data)
        except OSError:
            return False
        finally:
            self.writers.pop()

    def is_sound(self) -> bool:
        """False when it was closed, by us or by an application that closes what it does not know."""
        if self.descriptor >= 0 and not self._is_ours(self.descriptor):
            self.descriptor = -1
        return self.descriptor >= 0

    def close(self) -> None:
        """Close the file, and remove it when all was told; else the next process does that."""
        descriptor = self.descriptor
        if descriptor >= 0 and self._is_ours(descriptor):
            try:
                if not any(left(descriptor, "")):
                    claims.remove(self._path, descriptor)
            except OSError:
                pass
        self.let_go()

    def let_go(self, forked: bool = False) -> None:
        """Close the descriptor, and nothing else: the file, and its lock, are the parent's where we have *forked*."""
        descriptor, self.descriptor = self.descriptor, -1
        # Whoever writes has signed in before it looked at the number.
        if descriptor >= 0 and (forked or not self.writers) and self._is_ours(descriptor):
            os.close(descriptor)

    def _is_ours(self, descriptor: int) -> bool:
        try:
            status = os.fstat(descriptor)
        except OSError as error:
            return error.errno != EBADF  # a disk that does not answer has not closed it
        return (status.st_dev, status.st_ino) == self._identity


def claim(folder: str) -> Iterator[Reader]:
    """Claim the tallies in *folder* whose processes are gone; each is locked until the next is asked for."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        if name.startswith(PREFIX) and name.endswith(SUFFIX):
            reader = claims.take(os.path.join(folder, name))
            if reader is not None:
                try:
                    yield reader
                finally:
                    reader.close()


def left(descriptor: int, name: str) -> Iterator[Left]:
    """What was not told of the storms in the file called *name*. Raises ``OSError``."""
    size = os.fstat(descriptor).st_size
    for number in range(SLOTS):
        at = _FIRST + number * _SLOT
        if at >= size:
            return
        data = segment.pread(descriptor, _SLOT, at)
        event = data[_EVENT + 8 : _EVENT + 8 + int.from_bytes(data[_EVENT : _EVENT + 4], "little")]
        if not event or crc32(event) != int.from_bytes(data[_EVENT + 4 : _EVENT + 8], "little"):
            continue
        state = data[:44]
        if _sealed(state[:40]) != state:
            continue
        told, count, event_id, since = (
            int.from_bytes(state[a:b], "little") for a, b in ((0, 8), (8, 16), (16, 32), (32, 40))
        )
        if count:
            yield "%032x" % event_id, count, event
        tickets = [
            int.from_bytes(data[offset : offset + _TICKET], "little")
            for offset in range(_STATE, _EVENT, _TICKET)
        ]
        written = max(since, max(tickets) - RING)
        untold = written + sum(ticket > written for ticket in tickets) - told - count
        if untold > 0:
            from errtrack.dsn import digest_of

            yield digest_of("%s:%d:%d" % (name, number, told + count)), untold, event


def _sealed(state: bytes) -> bytes:
    return state + crc32(state).to_bytes(4, "little")
