# SPDX-License-Identifier: MIT
"""Where a fatal signal leaves the stacks of a process that cannot report anything any more.

``faulthandler`` appends to a file ``v1/crash/crash-TIME-PID-RANDOM.txt`` in the spool. It begins with lines of the
form ``name: value`` about the process, up to an empty one; what stands behind that is a crash. While the process
lives it holds the file's ``flock``, and it takes the file with it as it ends.
"""

from __future__ import annotations

import os
import sys
from time import time_ns

from errtrack.delivery import places

try:
    from fcntl import LOCK_EX, LOCK_NB, flock

    _HAS_LOCKS = True
except ImportError:  # Windows
    _HAS_LOCKS = False

TYPE_CHECKING = False
if TYPE_CHECKING:
    from errtrack.options import Options

_HEAD = "errtrack-crash: 1"
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
        self.path = os.path.join(
            self._folder, "crash-%d-%d-%s.txt" % (time_ns(), os.getpid(), os.urandom(4).hex())
        )
        head = _head(self._options)
        descriptor = os.open(self.path, _NEW, 0o600)
        if descriptor <= 2:
            from errtrack.delivery.segment import above_standard

            descriptor = above_standard(descriptor)
        try:
            if _HAS_LOCKS:
                flock(descriptor, LOCK_EX | LOCK_NB)
        except OSError:
            pass  # a file system without locks; then its age tells that it is an orphan
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


def _head(options: Options) -> bytes:
    destination = places.STORE
    if options.dsn:
        from errtrack.dsn import Dsn

        destination = Dsn.parse(options.dsn).masked  # names the server and project without the keys
    rows = (
        ("pid", "%d" % os.getpid()),
        ("started", "%d" % time_ns()),
        ("python", "%d.%d.%d" % sys.version_info[:3]),
        ("destination", destination),
        ("environment", options.environment),
        ("release", options.release),
        ("server", options.server_name),
    )
    lines = [_HEAD, *("%s: %s" % (name, " ".join(value.split())) for name, value in rows if value), "", ""]
    return "\n".join(lines)[:4096].encode("utf-8", "replace")
