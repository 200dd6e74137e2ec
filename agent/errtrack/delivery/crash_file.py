# SPDX-License-Identifier: MIT
"""Where a fatal signal leaves the stacks of a process that cannot report anything any more.

``faulthandler`` appends to a file ``v1/crash/crash-TIME-PID-RANDOM.txt`` in the spool. It begins with lines of the
form ``name: value`` about the process, up to an empty one; what stands behind that is a crash. While the process
lives it holds the file's ``flock``, and it takes the file with it as it ends. What a dead process has left is
claimed by whoever looks: one with stacks becomes an event, one without goes.
"""

from __future__ import annotations

import os
import sys
from time import time, time_ns

from errtrack.delivery import places

try:
    from fcntl import LOCK_EX, LOCK_NB, flock

    _HAS_LOCKS = True
except ImportError:  # Windows
    _HAS_LOCKS = False

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from errtrack.options import Options

_HEAD = "errtrack-crash: 1"

#: An empty one may be just being made (seconds).
_NEW_FOR = 5.0

#: More of a file is not read; 250 threads of 100 frames each are some 2 MB.
_LONGEST = 4_000_000

_NEW = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | os.O_APPEND
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
)


class CrashFile:
    """The file of this process, open as ``descriptor``. Raises OSError when it cannot be made."""

    __slots__ = ("_folder", "_inode", "_options", "_size", "descriptor", "path")

    def __init__(self, folder: str, options: Options) -> None:
        self._folder = folder
        self._options = options
        self.descriptor = self._open()

    def renew(self) -> None:
        """In a forked child: make the same descriptor a file of this process's own."""
        if self._is_ours():
            fresh = self._open()
            os.dup2(fresh, self.descriptor, False)
            os.close(fresh)

    def remove(self) -> None:
        """Delete the file, where nothing was written into it; the descriptor stays valid to the very end."""
        try:
            if os.stat(self.path).st_size == self._size:
                os.unlink(self.path)
        except OSError:
            pass

    def _open(self) -> int:
        for _ in range(10):
            self.path = os.path.join(
                self._folder, "crash-%d-%d-%s.txt" % (time_ns(), os.getpid(), os.urandom(4).hex())
            )
            descriptor = places.out_of_the_way(places.open_private(self.path, _NEW))
            try:
                locked = _lock(descriptor)
                break
            except BlockingIOError:  # somebody who looks for orphans came between the two lines
                os.close(descriptor)
        else:
            raise OSError("the crash file cannot be locked")
        head = _head(self._options, locked)
        os.write(descriptor, head)
        self._size = len(head)
        self._inode = os.fstat(descriptor).st_ino
        return descriptor

    def _is_ours(self) -> bool:
        """Daemons close the descriptors that they do not know, and numbers come back."""
        try:
            return os.fstat(self.descriptor).st_ino == self._inode
        except OSError:
            return False


def open_crash_file(options: Options) -> CrashFile | None:
    """A new crash file; None, and no word, where none can be made: nothing has failed yet."""
    folder = places.crash_folder(options)
    if folder is None:
        return None
    try:
        return CrashFile(folder, options)
    except OSError:
        return None


class Crash:
    """What a dead process left: ``head`` (name -> value) and ``text``, empty where it did not crash. Claimed."""

    __slots__ = ("_descriptor", "at", "head", "path", "text")

    def __init__(self, path: str, descriptor: int, head: dict[str, str], text: str, at: float) -> None:
        self.path = path
        self._descriptor = descriptor
        self.head = head
        self.text = text
        #: When it crashed, seconds since 1970.
        self.at = at

    @property
    def event_id(self) -> str:
        """The same for everybody who reads this file."""
        from errtrack.dsn import digest_of

        return digest_of(os.path.basename(self.path))

    def remove(self) -> None:
        """Delete the file, and give up the claim."""
        from errtrack.delivery import claims

        claims.remove(self.path, self._descriptor)
        self.close()

    def close(self) -> None:
        """Give up the claim; others may report it."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def claim(folder: str, destination: str, limit: int = 4) -> Iterator[Crash]:
    """Claim what dead processes that reported to *destination* (see :func:`destination_of`) left in *folder*.

    At most *limit* crashes; leftovers that hold none are removed, whoever they belonged to.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        if limit <= 0:
            return
        if not (name.startswith("crash-") and name.endswith(".txt")):
            continue
        crash = _claim(os.path.join(folder, name), destination)
        if crash is not None:
            limit -= 1
            try:
                yield crash
            finally:
                crash.close()


def _claim(path: str, destination: str) -> Crash | None:
    from stat import S_ISREG

    from errtrack.delivery import claims, segment

    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = places.out_of_the_way(os.open(path, flags | getattr(os, "O_NONBLOCK", 0)))
    except OSError:
        return None
    crash = None
    try:
        status = os.fstat(descriptor)
        if not S_ISREG(status.st_mode) or (hasattr(os, "geteuid") and status.st_uid != os.geteuid()):
            return None
        locked = _lock(descriptor)
        data = segment.pread(descriptor, min(status.st_size, _LONGEST), 0).decode("utf-8", "replace")
        top, _, text = data.partition("\n\n")
        head = dict(row.split(": ", 1) for row in top.splitlines() if ": " in row)
        if not locked and not claims.is_abandoned(head, status.st_mtime):
            return None
        if not text.strip():
            if time() - status.st_mtime > _NEW_FOR:
                claims.remove(path, descriptor)
        elif (
            head.get("errtrack-crash") == "1"
            and head.get("destination") == destination
            and os.fstat(descriptor).st_nlink == 1
        ):
            crash = Crash(path, descriptor, head, text, status.st_mtime)
    except OSError:  # locked by its living owner, or taken by somebody else
        pass
    finally:
        if crash is None:
            os.close(descriptor)
    return crash


def _lock(descriptor: int) -> bool:
    """Take the lock without waiting; False where the file system has none. Raises ``BlockingIOError``."""
    if not _HAS_LOCKS:
        return False
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def destination_of(options: Options) -> str:
    """How a crash file names the place that these settings report to; without the keys of a DSN."""
    if not options.dsn:
        return places.STORE
    from errtrack.dsn import Dsn

    return Dsn.parse(options.dsn).masked


def _head(options: Options, locked: bool) -> bytes:
    boot = start = host = ""
    if not locked:
        from errtrack.delivery import claims

        boot, start, host = claims.boot_id(), claims.start_time(os.getpid()), claims.host()
    rows = (
        ("pid", "%d" % os.getpid()),
        ("boot_id", boot),
        ("starttime", start),
        ("host", host),
        ("started", "%d" % time_ns()),
        ("python", "%d.%d.%d" % sys.version_info[:3]),
        ("destination", destination_of(options)),
        ("environment", options.environment),
        ("release", options.release),
        ("server", options.server_name or (os.uname().nodename if hasattr(os, "uname") else "")),
        ("root", options.root),
    )
    lines = [_HEAD, *("%s: %s" % (name, " ".join(value.split())) for name, value in rows if value), "", ""]
    return "\n".join(lines)[:4096].encode("utf-8", "replace")
