# SPDX-License-Identifier: MIT
"""A process that dies of SIGSEGV, SIGABRT, SIGFPE, SIGBUS or SIGILL leaves the stacks of its threads on disk.

The file is opened when the first library is instrumented, not at boot, and goes with the process if it ends well.
Where the application or PYTHONFAULTHANDLER has enabled faulthandler, that stays as it is; if it does so later, it
takes the place of ours.
"""

from __future__ import annotations

import os
import sys

from errtrack import options, reserves
from errtrack.instrumentation import Instrumentation, OnImport, shielded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType


def install(ours: ModuleType) -> None:
    """errtrack.instrumentation has been loaded: a first library is about to be instrumented.

    If that is at boot, as a ``.pth`` file has imported one before us, it has to wait for errtrack.client.
    """
    import faulthandler

    reserves.hold()
    if getattr(getattr(sys.modules.get("sitecustomize"), "__spec__", None), "_initializing", False):
        return
    now = options.current()
    in_pytest = "_pytest" in sys.modules and not now.pytest  # it enables faulthandler for itself
    if faulthandler.is_enabled() or in_pytest:
        return
    from errtrack.delivery.crash_file import open_crash_file

    file = open_crash_file(now)
    if file is None:
        return
    faulthandler.enable(file.descriptor, True)
    # Not disabled at exit: by then it may be the application's own.
    import atexit

    atexit.register(shielded("faulthandler", file.remove))
    if hasattr(os, "register_at_fork"):
        # A child would leave its stacks in its parent's file.
        os.register_at_fork(after_in_child=shielded("faulthandler", file.renew))


INSTRUMENTATION = Instrumentation(
    "faulthandler",
    on_import=[OnImport("errtrack.instrumentation", install), OnImport("errtrack.client", install)],
)
