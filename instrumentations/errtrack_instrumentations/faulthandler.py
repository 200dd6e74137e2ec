# SPDX-License-Identifier: MIT
"""A process that dies of SIGSEGV, SIGABRT, SIGFPE, SIGBUS or SIGILL leaves the stacks of its threads on disk.

The file is opened when the first library is instrumented, not at boot, and goes with the process if it ends well.
Where the application or PYTHONFAULTHANDLER has enabled faulthandler, that stays as it is; if it does so later, it
takes the place of ours. To a program that asks first, as many do, it is not enabled by what we did.
"""

from __future__ import annotations

import os
import sys

from errtrack import options, reserves
from errtrack.instrumentation import Instrumentation, OnImport, Steps, driven, shielded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

#: Whether what is enabled is ours.
_is_ours = False


def install(ours: ModuleType) -> None:
    """errtrack.instrumentation has been loaded: a first library is about to be instrumented.

    If that is at boot, as a ``.pth`` file has imported one before us, it has to wait for errtrack.client.
    """
    global _is_ours
    import faulthandler

    reserves.hold()
    if getattr(getattr(sys.modules.get("sitecustomize"), "__spec__", None), "_initializing", False):
        return
    now = options.current()
    if _is_ours or faulthandler.is_enabled() or now.is_quiet:  # pytest enables faulthandler for itself
        return
    from errtrack.delivery.crash_file import open_crash_file

    file = open_crash_file(now)
    if file is None:
        return
    faulthandler.enable(file.descriptor, True)
    _is_ours = True
    # Not in the table: a program that imports faulthandler shall not load us by that.
    for name, returned in (("enable", note_theirs), ("is_enabled", deny), ("disable", deny)):
        original = getattr(faulthandler, name)
        setattr(faulthandler, name, driven("faulthandler", Steps(returned=returned), original))
    # Not disabled at exit: by then it may be the application's own.
    import atexit

    atexit.register(shielded("faulthandler", file.remove))
    if hasattr(os, "register_at_fork"):
        # A child would leave its stacks in its parent's file.
        os.register_at_fork(after_in_child=shielded("faulthandler", file.renew))


def note_theirs(args: Any, result: Any) -> None:
    """enable(file=sys.stderr, all_threads=True)"""
    global _is_ours
    _is_ours = False


def deny(args: Any, result: Any) -> bool:
    """is_enabled() -> bool, disable() -> bool: whether it was"""
    return bool(result) and not _is_ours


INSTRUMENTATION = Instrumentation(
    "faulthandler",
    on_import=[OnImport("errtrack.instrumentation", install), OnImport("errtrack.client", install)],
)
