# SPDX-License-Identifier: MIT
"""Where errtrack does not start: a word of it for who asks, and a second try if it was the application's copy of it.

Read by ``sitecustomize`` out of the folder that it lies in itself, whichever copy it was that failed.
"""

import os
import sys


def start(inject: str, error: BaseException) -> None:
    """Start the copy that *inject* belongs to; the first that was found has failed by *error*."""
    _tell(error)
    if not isinstance(error, Exception):
        raise error
    root, path = os.path.dirname(os.path.dirname(inject)), sys.path[:]
    _forget()
    sys.path[:] = [root]
    try:
        import errtrack_run
    finally:
        sys.path[:] = path
    try:
        errtrack_run.beside("boot").boot(inject)
    except Exception as again:
        _tell(again)
        _forget()


def _tell(error: BaseException) -> None:
    # As is_debugging() has it, of a file that need not be whole.
    wanted = os.environ.get("ERRTRACK_DEBUG", "").strip().lower() in ("1", "true", "t", "yes", "y", "on")
    if wanted and sys.stderr is not None:
        sys.stderr.write("errtrack: not started: %s: %s\n" % (type(error).__name__, error))


def _forget() -> None:
    for name in [name for name in sys.modules if name.startswith("errtrack_run")]:
        del sys.modules[name]
