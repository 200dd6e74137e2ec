# SPDX-License-Identifier: MIT
"""Is there anything that a dead process has left, and that nobody will deliver unless we do? Cheap to ask.

Some ten microseconds a file: what is locked belongs to a living process. Nothing is claimed, read or imported.
"""

from __future__ import annotations

import os

from errtrack.delivery import places

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # Windows: whoever has an event finds it
    flock = None  # type: ignore[assignment]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from errtrack.options import Options

_OPEN = (
    os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
)

#: Files looked at; where there are more, some are certainly left behind.
_MOST = 64


def anything(options: Options) -> bool:
    """True when a segment or tally for the DSN of *options*, or a crash, has no living owner. Without a DSN: False."""
    if not options.dsn or flock is None:
        return False
    from errtrack.dsn import Dsn

    digest = Dsn.parse(options.dsn).digest
    seen = 0
    for destination, prefix in ((digest, ("seg-", "counts-")), (places.CRASHES, "crash-")):
        for folder in places.existing_spools(options, destination):
            try:
                names = os.listdir(folder)
            except OSError:
                continue
            for name in names:
                if name.startswith(prefix):
                    seen += 1
                    if seen > _MOST or is_left(os.path.join(folder, name), prefix == "crash-"):
                        return True
    return False


def crashes_in(folder: str, remove: bool = False) -> int:
    """How many crashes in *folder* nobody has reported yet; *remove* deletes them."""
    count = 0
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if name.startswith("crash-") and flock is not None and is_left(path, True):
            count += 1
            if remove:
                os.unlink(path)
    return count


def is_left(path: str, is_crash: bool) -> bool:
    """Whether the segment at *path*, or the crash, has no living owner."""
    try:
        descriptor = os.open(path, _OPEN)
    except OSError:
        return False
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
        if is_crash:
            return bool(os.read(descriptor, 8192).partition(b"\n\n")[2].strip())
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
