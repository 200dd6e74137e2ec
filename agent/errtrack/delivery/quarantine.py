# SPDX-License-Identifier: MIT
"""What a server refused for good, or nobody can read, can be looked at for a day: ``errtrack doctor`` counts it.

Files ``refused/refused-TIME-PID-RANDOM.txt`` beside the segments: a line with the reason, an empty one, the envelope as
it was sent. The newest 20, of at most 256 KiB each.
"""

from __future__ import annotations

import os
from time import time, time_ns

from errtrack.delivery import places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = "refused"

#: Seconds; bytes; files.
KEPT_FOR = 86_400.0
LONGEST = 262_144
MOST = 20

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class Quarantine:
    """Keeps refused envelopes below the folder that *spool_folder* names; None: there is none, and nothing is kept."""

    def __init__(self, spool_folder: Callable[[], str | None]) -> None:
        self._spool_folder = spool_folder

    def keep(self, data: bytes, why: str) -> None:
        """Keep *data*, which was refused for the reason *why*; nothing where that cannot be done."""
        try:
            above = self._spool_folder()
            if above is None:
                return
            folder = os.path.join(above, FOLDER)
            if places.why_unusable(folder) is not None:
                return
            name = "refused-%d-%d-%s.txt" % (time_ns(), os.getpid(), os.urandom(4).hex())
            descriptor = places.open_private(os.path.join(folder, name), _NEW)
            try:
                reason = " ".join(why.split())[:500].encode("utf-8", "replace")
                os.write(descriptor, reason + b"\n\n" + data[:LONGEST])
            finally:
                os.close(descriptor)
            sweep(above)
        except OSError:
            pass


def names(spool_folder: str) -> list[str]:
    """The files that are kept below *spool_folder*, oldest first."""
    try:
        found = os.listdir(os.path.join(spool_folder, FOLDER))
    except OSError:
        return []
    return sorted(name for name in found if name.startswith("refused-"))


def sweep(spool_folder: str, kept_for: float = KEPT_FOR) -> int:
    """Delete what is older than *kept_for* seconds, and all but the newest 20; return how many that were."""
    folder, found = os.path.join(spool_folder, FOLDER), names(spool_folder)
    gone = 0
    for position, name in enumerate(found):
        path = os.path.join(folder, name)
        try:
            if len(found) - position > MOST or time() - os.lstat(path).st_mtime >= kept_for:
                os.unlink(path)
                gone += 1
        except OSError:
            continue
    return gone
