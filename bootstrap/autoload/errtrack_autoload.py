# SPDX-License-Identifier: MIT
"""Errors are reported also from a Python that PYTHONPATH does not reach; inert unless a variable asks for it.

Named by ``errtrack-autoload.pth``, and by ``errtrack-autoload.start`` where Python knows such files (PEP 829).
"""

import os
import sys

_OFF = ("0", "false", "f", "no", "n", "off")


def start() -> None:
    """Boot errtrack if the launcher (ERRTRACK_RUN) or the user (ERRTRACK_AUTOLOAD) asks for it. Never raises."""
    asked = "ERRTRACK_RUN" in os.environ or _is_on("ERRTRACK_AUTOLOAD", "0")
    if not asked or not _is_on("ERRTRACK_ENABLED", "1") or sys.version_info < (3, 9):
        return
    try:
        from errtrack_run import boot

        boot.boot()
    except KeyboardInterrupt:
        raise
    except BaseException:  # not installed here, or damaged; one that escapes would end the interpreter
        pass


def _is_on(variable: str, default: str) -> bool:
    return (os.environ.get(variable) or default).strip().lower() not in _OFF
