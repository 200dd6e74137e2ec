"""How long a program stood still at its end: by whatever it waited, and not by whoever else had the processors."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

#: Runs last of all, when the interpreter takes the modules apart; of the time that has passed since, the kernel knows how
#: long the main thread ran, and how long it would have.
_PROGRAM = """
import os as _os, time as _time
class _End:
    def __init__(self, os=_os, time=_time):
        def busy():
            task = os.open("/proc/self/task/%%d/schedstat" %% os.getpid(), 0)
            ran, waited, _ = os.read(task, 99).split()
            os.close(task)
            return int(ran) + int(waited)
        self.look = lambda: time.monotonic_ns() - busy()
        self.began = self.look()
        self.write = os.write
        self.to = os.open(%r, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    def __del__(self):
        self.write(self.to, b"stood still %%d" %% (self.look() - self.began))
_end = _End()
"""


def watched(code: str, note: Path) -> str:
    """*code*, and after its last statement whatever it takes to leave in *note* for how long it stood still."""
    if not os.path.exists("/proc/self/task/%d/schedstat" % os.getpid()):
        pytest.skip("this system does not tell what its processes wait for")
    return code + _PROGRAM % str(note)


def seconds(note: Path) -> float:
    """What *note* says."""
    found = re.fullmatch("stood still (-?[0-9]+)", note.read_text())
    assert found, "the program did not get to its end"
    return int(found[1]) / 1e9
