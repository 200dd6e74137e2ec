# SPDX-License-Identifier: MIT
"""A server that does not answer costs one process a minute its wait at exit, and not every one.

Whoever has waited in vain leaves the file ``away`` beside the segments; whoever ends within a minute of that does not
wait again, as what it captured lies on disk already. Whoever gets through takes the file away.
"""

from __future__ import annotations

import os
from time import time

FILE_NAME = "away"

#: Seconds.
REMEMBERED = 60.0


def is_known(folder: str | None) -> bool:
    """Whether some process has just waited in vain for the destination whose spool is *folder*."""
    if folder is None:
        return False  # there is no disk: what is not sent now is lost
    try:
        return 0.0 <= time() - os.lstat(os.path.join(folder, FILE_NAME)).st_mtime < REMEMBERED
    except OSError:
        return False


def tell(folder: str | None, in_vain: bool) -> None:
    """Note how a wait for the destination of *folder* ended."""
    if folder is None:
        return
    path = os.path.join(folder, FILE_NAME)
    try:
        if in_vain:
            flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
            os.close(os.open(path, flags, 0o600))
            os.utime(path)
        elif os.path.lexists(path):
            os.unlink(path)
    except OSError:
        pass
