# SPDX-License-Identifier: MIT
"""A child made by fork can report an error, whatever another thread was just doing in the parent.

A module that is being imported is locked. In the child nobody would ever unlock it, and the first capture
there would wait forever for a module that a capture in the parent had begun to import. So a fork lets such an
import come to its end first: milliseconds, once in the life of a process, and bounded.
"""

import _imp
import sys
import time
from _thread import get_ident

from errtrack_run import beside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Optional

#: Seconds. An import that needs something of the forking thread's would never end.
_LONGEST = 1.0

_IMPORTLIB = "<frozen importlib._bootstrap"
#: Their frames stand around every import of the application's that is hooked.
_AROUND = ("errtrack_run.import_hook", "errtrack_run.stand_in")


def wait() -> None:
    """Release importlib's lock, and take it again once no other thread imports anything for errtrack.

    It is taken again in any case, after a second at the latest.
    """
    deadline = time.monotonic() + _LONGEST
    try:
        # So often at the most, as freezegun stops the clock.
        for _ in range(1000):
            if not _others_import() or time.monotonic() >= deadline:
                break
            _imp.release_lock()
            try:
                time.sleep(0.001)
            finally:
                _imp.acquire_lock()
    except Exception as error:
        beside("hooking").fault("fork", error)


def _others_import() -> bool:
    me = get_ident()
    return any(_imports_for_us(frame) for ident, frame in sys._current_frames().items() if ident != me)


def _imports_for_us(innermost: "FrameType") -> bool:
    """Whether a thread is within an import that began in our code, or of a module of ours."""
    importing = False
    frame: Optional[FrameType] = innermost
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(_IMPORTLIB):
            importing = True
        elif importing:
            name = frame.f_globals.get("__name__") or ""
            is_around = name in _AROUND or (name == "errtrack_run.boot" and code.co_name == "find_spec")
            if name.startswith("errtrack") and not is_around:
                return True
            if code.co_name != "<module>" and not is_around:
                return False  # a function of the application's has asked for it
        frame = frame.f_back
    return False
