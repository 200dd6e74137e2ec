# SPDX-License-Identifier: MIT
"""What a process had to leave out, noted for ``errtrack doctor``: an instrumentation that failed three times is off,
and captures that cost more than they may are made smaller, or only counted.

The file ``switched-off.txt`` in the state folder has a line for each: seconds since 1970, process, name of the
instrumentation and class of its last error; or name of the setting and what gave way to it (``details``, ``events``).
No messages: they may hold what an application would not want on disk.
"""

from __future__ import annotations

import os
from time import time

from errtrack.delivery import places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from errtrack.options import Options

FILE_NAME = "switched-off.txt"

#: A note is worth showing for so long (seconds); the file is begun anew when it is larger (bytes).
SHOWN_FOR = 86_400.0
LARGEST = 65_536

_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


def note(options: Options, name: str, why: str) -> None:
    """Note that instrumentation *name* was switched off in this process for an error of class *why*.

    Or that the setting *name* has cost *why*. Raises ``OSError``.
    """
    if options.is_quiet:
        return
    folder = places.state_folder(options)
    if folder is None:
        return
    path = os.path.join(folder, FILE_NAME)
    descriptor = places.open_private(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _FLAGS)
    try:
        if os.fstat(descriptor).st_size > LARGEST:
            os.ftruncate(descriptor, 0)
        line = "%d %d %s %s\n" % (time(), os.getpid(), name, why)
        os.write(descriptor, line.encode("utf-8", "replace"))
    finally:
        os.close(descriptor)


def noted(options: Options, environ: Mapping[str, str] | None = None) -> list[tuple[str, int, str, float]]:
    """What was noted in the last day, as (name, process, class of the error or what gave way, seconds since 1970)."""
    found = []
    folders = places.state_folders(options, environ)
    if options.store and os.path.isdir(folders[0]):
        folders = [folder for folder in folders if folder.startswith(folders[0])]
    for folder in folders:
        if places.distrust(folder) is not None:
            continue
        try:
            descriptor = os.open(os.path.join(folder, FILE_NAME), os.O_RDONLY | _FLAGS)
        except OSError:
            continue
        try:
            lines = os.read(descriptor, 2 * LARGEST).decode("utf-8", "replace").splitlines()
        finally:
            os.close(descriptor)
        for line in lines:
            words = line.split()
            if len(words) == 4 and words[0].isdigit() and words[1].isdigit():
                at = float(words[0])
                if time() - at < SHOWN_FOR:
                    found.append((words[2], int(words[1]), words[3], at))
    return found
