# SPDX-License-Identifier: MIT
"""Crash files where a file system knows no locks: whose they are is told by what stands in them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from errtrack.delivery import claims, crash_file
from errtrack.options import Options

pytestmark = pytest.mark.skipif(
    not os.path.exists("/proc/self/stat"), reason="processes are asked for in /proc"
)


def claimed(folder: Path) -> int:
    return sum(1 for _ in crash_file.claim(str(folder), crash_file.destination_of(Options()), 9))


def test_without_locks_a_crash_is_claimed_once_its_process_is_known_to_be_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(crash_file, "flock", refuse)
    file = crash_file.CrashFile(str(tmp_path), Options())
    os.write(file.descriptor, b"Fatal Python error: Segmentation fault\n")
    assert claimed(tmp_path) == 0  # it lives
    gone = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-c", ""])
    os.waitpid(gone, 0)
    path = Path(file.path)
    text = path.read_text().replace("pid: %d\n" % os.getpid(), "pid: %d\n" % gone)
    path.write_text(text)
    assert claimed(tmp_path) == 1
    path.write_text(text.replace("host: " + claims.host(), "host: another"))
    assert claimed(tmp_path) == 0  # of another machine's processes nothing is known
    os.utime(path, (1, 1))
    assert claimed(tmp_path) == 1
    os.close(file.descriptor)
