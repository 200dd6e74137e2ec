# SPDX-License-Identifier: MIT
"""Segments: append-only files of records, from which every intact one can be read back after any crash.

A record is a 16 byte head and a payload: ``ERTK``, state, kind, flags (2), length (4), CRC-32 (4), all little
endian. The CRC covers kind, flags, length and payload. The state is the only byte that is ever rewritten
(``P`` pending, ``D`` done, ``Q`` refused; anything else counts as pending), so it stands outside the CRC. One
record is one ``write`` to a descriptor with ``O_APPEND``: the kernel keeps threads and signal handlers apart,
no lock of ours does.
"""

from __future__ import annotations

import os
from stat import S_ISREG
from zlib import compress, crc32, decompressobj

from errtrack.delivery import places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"ERTK"
HEAD = 16

PENDING, DONE, REFUSED = b"P", b"D", b"Q"

#: Kinds of records. Only envelopes are delivered; of others, which a later version may write, nothing is read.
HEADER, ENVELOPE = range(2)

#: Flags: the payload is compressed with zlib; it tells of what ended the process.
ZLIB = 1
FATAL_FLAG = 2

#: Payloads above this many bytes are compressed. Below, the caller's thread has better things to do: level 1
#: takes some 15 µs a KiB, writing takes 1.
COMPRESS_ABOVE = 65_536

#: No record is longer; a head that says so is damaged.
LONGEST = 16 * 1024 * 1024

#: How often a record that the disk does not give is asked for again.
_FAILURES = 3

_READ_AT_ONCE = 4 * LONGEST
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


class Record:
    """Where a pending record lies: ``offset`` of its head, ``length`` of its payload; ``tries`` to send it.

    ``failures`` counts how often it could not be read.
    """

    __slots__ = ("failures", "flags", "kind", "length", "offset", "tries")

    def __init__(self, offset: int, length: int, kind: int, flags: int) -> None:
        self.offset = offset
        self.length = length
        self.kind = kind
        self.flags = flags
        self.tries = 0
        self.failures = 0


def frame(payload: bytes, kind: int, flags: int = 0) -> bytes:
    """The bytes of one record. Raises :class:`ValueError` for an empty or an endless payload."""
    if len(payload) > COMPRESS_ABOVE:
        payload = compress(payload, 1)
        flags |= ZLIB
    length = len(payload)
    if not 0 < length <= LONGEST:
        raise ValueError("a record of %d bytes" % length)
    covered = b"%c%b%b" % (kind, flags.to_bytes(2, "little"), length.to_bytes(4, "little"))
    crc = crc32(payload, crc32(covered))
    return b"".join((MAGIC, PENDING, covered, crc.to_bytes(4, "little"), payload))


def scan(data: bytes, base: int) -> Iterator[tuple[int, int, Record | None]]:
    """Find the intact records in *data*, which begins at *base* in the file.

    Yields (offset after it, state byte, record), the record being None when it is no longer pending or only
    the file's header. Damage is passed over to the next head that holds good; the offset after the last good
    record is thus where a later scan may go on.
    """
    view = memoryview(data)
    position = data.find(MAGIC)
    while 0 <= position <= len(data) - HEAD:
        kind = data[position + 5]
        flags = int.from_bytes(data[position + 6 : position + 8], "little")
        length = int.from_bytes(data[position + 8 : position + 12], "little")
        end = position + HEAD + length
        if 0 < length <= LONGEST and end <= len(data):
            crc = crc32(view[position + HEAD : end], crc32(view[position + 5 : position + 12]))
            if crc == int.from_bytes(data[position + 12 : position + HEAD], "little"):
                state = data[position + 4]
                pending = state not in (68, 81) and kind == ENVELOPE  # D, Q
                yield base + end, state, Record(base + position, length, kind, flags) if pending else None
                position = data.find(MAGIC, end)
                continue
        position = data.find(MAGIC, position + 1)


class Reader:
    """Reads a segment back and marks what is done, through a descriptor of its own.

    ``pending`` holds what was found and not marked. Own segments grow while they are read; *descriptor* is
    closed by :meth:`close`. One thread at a time.
    """

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.pending: dict[int, Record] = {}
        self.records = 0
        self._scanned = 0
        status = os.fstat(descriptor)
        self.identity = (status.st_dev, status.st_ino)

    @classmethod
    def open(cls, path: str, write: bool = True) -> Reader:
        """Open the file at *path*. Raises ``OSError``, also for what is no plain file of this user."""
        descriptor = places.out_of_the_way(os.open(path, (os.O_RDWR if write else os.O_RDONLY) | _NOFOLLOW))
        try:
            status = os.fstat(descriptor)
            if not S_ISREG(status.st_mode) or (hasattr(os, "geteuid") and status.st_uid != os.geteuid()):
                raise OSError("not a segment of this user")
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor)

    def is_ours(self, descriptor: int) -> bool:
        """False when *descriptor* no longer means this file: daemons close every number, and reuse them."""
        try:
            status = os.fstat(descriptor)
        except (OSError, ValueError):
            return False
        return (status.st_dev, status.st_ino) == self.identity

    def has_name(self) -> bool:
        """False when somebody removed the file; what is in it is lost with the last descriptor."""
        try:
            return os.fstat(self.descriptor).st_nlink > 0
        except OSError:
            return False

    def look(self) -> None:
        """Take in what was appended since the last look. A tail that is not complete yet is looked at again.

        Raises ``OSError``.
        """
        size = os.fstat(self.descriptor).st_size
        while self._scanned < size:
            start = self._scanned
            data = pread(self.descriptor, min(size - start, _READ_AT_ONCE), start)
            for after, _, record in scan(data, start):
                self._scanned = after
                self.records += 1
                if record is not None:
                    self.pending[record.offset] = record
            if start + len(data) >= size:
                return
            if (
                self._scanned == start
            ):  # damage as far as we see; only a record that is cut off here can be intact
                self._scanned += len(data) - LONGEST - HEAD

    def payload(self, record: Record) -> bytes | None:
        """The payload of *record*, or None when it cannot be read back any more.

        Raises ``OSError`` where the disk fails, the first few times: it may do better later.
        """
        try:
            data = pread(self.descriptor, record.length, record.offset + HEAD)
        except OSError:
            record.failures += 1
            if record.failures <= _FAILURES:
                raise
            return None
        if len(data) != record.length:
            return None
        if record.flags & ZLIB:
            try:
                return decompressobj().decompress(data, 4 * LONGEST)
            except Exception:  # zlib.error
                return None
        return data

    def mark(self, record: Record, state: bytes) -> None:
        """Mark *record* ``DONE`` or ``REFUSED``; if the disk refuses, we at least do not read it again."""
        self.pending.pop(record.offset, None)
        if self.is_ours(self.descriptor):
            try:
                pwrite(self.descriptor, state, record.offset + 4)
            except OSError:
                pass

    def head(self) -> dict[str, object]:
        """What the header record says of the writer; empty when it is not there."""
        import json

        data = pread(self.descriptor, 65_536, 0)
        try:
            length = int.from_bytes(data[8:12], "little")
            found = json.loads(data[HEAD : HEAD + length]) if data[5:6] == b"\0" else {}
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def close(self) -> None:
        """Close the descriptor; with it goes the lock that it may hold."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0 and self.is_ours(descriptor):
            os.close(descriptor)


def pread(descriptor: int, length: int, offset: int) -> bytes:
    """Read up to *length* bytes at *offset*; fewer only at the end of the file."""
    parts = []
    while length > 0:
        part = os.pread(descriptor, length, offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def pwrite(descriptor: int, data: bytes, offset: int) -> None:
    """Write *data* at *offset*; the descriptor must not have O_APPEND (Linux would append)."""
    os.pwrite(descriptor, data, offset)
