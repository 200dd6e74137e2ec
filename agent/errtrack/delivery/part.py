# SPDX-License-Identifier: MIT
"""A segment that this process writes: its file, its lock, and the way back to what was written."""

from __future__ import annotations

import os
from _io import FileIO
from errno import ENOSPC
from time import monotonic, time_ns

from errtrack.capture.wire import dumps, utf8
from errtrack.delivery import claims, places, segment
from errtrack.delivery.segment import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CREATE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)


class Segment:
    """One file of ours: ``file`` appends and holds the lock, ``reader`` reads back and marks."""

    def __init__(self, path: str, descriptor: int, reader: Reader) -> None:
        self.path = path
        self.reader = reader
        self.size = 0
        #: True when something was written since the last :meth:`sync`.
        self.dirty = False
        self.writers: list[None] = []
        self.opened_at = monotonic()
        # closefd=False: close() first looks whether the number still means our file.
        self.file = FileIO(descriptor, "ab", closefd=False)

    def is_sound(self) -> bool:
        """False when the application closed one of our descriptors."""
        reader = self.reader
        return (
            not self.file.closed and reader.is_ours(self.file.fileno()) and reader.is_ours(reader.descriptor)
        )

    def sync(self) -> None:
        """Have the disk itself hold what was written, not the page cache alone. Raises ``OSError``."""
        self.dirty = False
        if self.is_sound():
            getattr(os, "fdatasync", os.fsync)(self.file.fileno())

    def close(self) -> None:
        """Close both descriptors, which frees the lock."""
        descriptor = -1 if self.file.closed else self.file.fileno()
        self.file.close()
        if descriptor >= 0 and self.reader.is_ours(descriptor):
            os.close(descriptor)
        self.reader.close()


def create(folder: str, header: dict[str, Any]) -> Segment:
    """Make a segment under a hidden name, lock it, and give it its visible name. Raises ``OSError``.

    So a visible file is either locked by a live writer or orphaned.
    """
    name = "seg-%d-%d-%s.log" % (time_ns(), os.getpid(), os.urandom(4).hex())
    hidden, path = os.path.join(folder, "." + name), os.path.join(folder, name)
    descriptor = places.out_of_the_way(places.open_private(hidden, _CREATE))
    reader = None
    try:
        claims.lock(descriptor)
        head = segment.frame(header_text(header), segment.HEADER)
        if os.write(descriptor, head) != len(head):
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        reader = Reader.open(hidden)
        os.rename(hidden, path)
        reader.path = path
        part = Segment(path, descriptor, reader)
    except BaseException:
        os.close(descriptor)
        if reader is not None:
            reader.close()
        try:
            os.unlink(hidden)
        except OSError:
            pass
        raise
    part.size = len(head)
    return part


def header_text(header: dict[str, Any]) -> bytes:
    """The payload of a file's header record: *header*, and what tells this process from others."""
    pid = os.getpid()
    own = {
        "boot_id": claims.boot_id(),
        "pid": pid,
        "starttime": claims.start_time(pid),
        "host": claims.host(),
    }
    told = {**header, **own}
    # Without the json package, which would be a fifth of what the first event costs.
    return utf8(dumps({name: v if type(v) is int or v is None else str(v) for name, v in told.items()}))
