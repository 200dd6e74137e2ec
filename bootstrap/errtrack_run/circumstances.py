# SPDX-License-Identifier: MIT
"""What boot does in few Pythons: choices of the user's, modules that were there before it, uWSGI, children that are to
be left alone.

Each step that fails leaves its part of the interpreter as it was, and the others go on; but where a choice cannot be
known, nothing is to be instrumented.
"""

import os
import sys

from errtrack_run import beside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack_run.boot import Finder


def heed(finder: "Finder", opt_in: str, inject: "str | None", choices: "list[str]") -> None:
    """Take the steps that this start asks for, by the variables *choices* among others; *opt_in* are the rows of the
    catalogue that are off unless chosen.
    """
    if choices not in ([], ["ERRTRACK_PROPAGATE"]):
        beside("opt_in").heed(finder, opt_in)
    # Hooked modules that a .pth file has imported, in the order of the catalogue.
    for name in [name for name, files in finder.hooks.items() if files and name in sys.modules]:
        _attempt("hook on " + name, "early", "meet", finder, name)
    if "uwsgi" in (sys.executable or ""):
        _attempt("uwsgi", "uwsgi_door", "open_door", finder)
    if "ERRTRACK_PROPAGATE" in choices:
        folder = inject or os.path.join(os.path.dirname(os.path.abspath(__file__)), "inject")
        _attempt("no-propagate", "pythonpath", "heed", os.environ, folder)


def _attempt(step: str, module: str, function: str, *arguments: "Any") -> None:
    try:
        getattr(beside(module), function)(*arguments)
    except Exception as error:
        beside("hooking").fault(step, error)
