# SPDX-License-Identifier: MIT
"""Claims: whoever finds a segment whose writer is gone takes it over, and nobody else does.

A visible segment is locked (``flock``) by its living writer, or free. Where a file system knows no locks, the
header tells which process wrote it, and failing that, how long nobody has.
"""

from __future__ import annotations

import os
from _io import FileIO
from time import time

try:
    from fcntl import LOCK_EX, LOCK_NB, flock

    _HAS_LOCKS = True
except ImportError:  # Windows
    _HAS_LOCKS = False

from errtrack.delivery.segment import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

#: A hidden file is about to be named by its writer; left alone so long (seconds).
_HIDDEN_AGE = 5.0

#: Without flock (some network file systems) a file counts as orphaned when nobody wrote to it for so long
#: (seconds).
_SILENT_AGE = 600.0


def claim(folder: str, own: set[str], limit: int) -> list[Reader]:
    """Claim up to *limit* orphaned segments in *folder*, oldest first; *own* are the paths that are ours.

    Each is locked by its reader until that is closed. Hidden leftovers of writers that died early are
    removed.
    """
    found: list[Reader] = []
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return found
    for name in names:
        path = os.path.join(folder, name)
        if name.startswith(".seg-"):
            _sweep(path)
        elif name.startswith("seg-") and name.endswith(".log") and path not in own and len(found) < limit:
            reader = take(path)
            if reader is not None:
                found.append(reader)
    return found


def discard(reader: Reader) -> None:
    """Remove a claimed segment in which nothing is pending, and close it."""
    remove(reader.path, reader.descriptor)
    reader.close()


def lock(descriptor: int) -> bool:
    """Take the lock without waiting; False where the file system has none. Raises ``BlockingIOError``."""
    if not _HAS_LOCKS:
        return False
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # ENOLCK, EOPNOTSUPP: some network file systems
        return False
    return True


def take(path: str) -> Reader | None:
    """Claim the segment at *path*; None while its writer lives, or where another one was quicker."""
    try:
        reader = Reader.open(path)
    except OSError:
        return None
    try:
        if lock(reader.descriptor) or is_abandoned(reader.head(), os.fstat(reader.descriptor).st_mtime):
            status = os.fstat(reader.descriptor)
            if status.st_nlink == 1:  # 0: another drainer removed it meanwhile; 2: not our doing
                return reader
    except OSError:
        pass
    reader.close()
    return None


def is_abandoned(head: Mapping[str, Any], written_at: float) -> bool:
    """Without locks: the writer that *head* names is known to be gone, or nothing was written for ten minutes."""
    if head.get("starttime") and head.get("boot_id") == boot_id() and head.get("host") == host():
        return bool(start_time(head.get("pid")) != head["starttime"])
    return time() - written_at > _SILENT_AGE


def _sweep(path: str) -> None:
    try:
        if time() - os.lstat(path).st_mtime > _HIDDEN_AGE:
            reader = Reader.open(path)
            try:
                if lock(reader.descriptor):
                    os.unlink(path)
            finally:
                reader.close()
    except OSError:
        pass


def remove(path: str, descriptor: int) -> None:
    """Unlink *path* if it is the file behind *descriptor*."""
    try:
        there, here = os.lstat(path), os.fstat(descriptor)
        if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
            os.unlink(path)
    except OSError:
        pass


def boot_id() -> str:
    return _read("/proc/sys/kernel/random/boot_id").strip()


def host() -> str:
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def start_time(pid: object) -> str:
    """When process *pid* started, in the kernel's ticks since boot; empty when there is none or no /proc."""
    # The second field is the command in brackets and may itself hold blanks and brackets.
    fields = _read("/proc/%s/stat" % pid).rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def _read(path: str) -> str:
    # Not open(): finalisers that run while the interpreter takes itself apart find it gone, and their events need this.
    try:
        with FileIO(path) as file:
            return file.read(4096).decode("utf-8", "replace")
    except OSError:
        return ""
