# SPDX-License-Identifier: MIT
"""What boot does in few Pythons: modules that were there before it, uWSGI, children that are to be left alone.

Each step that fails leaves its part of the interpreter as it was, and the others go on.
"""

import os
import sys

from errtrack_run import beside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Any

    from errtrack_run.boot import Finder


def heed(finder: "Finder", early: "Container[str]", inject: "str | None") -> None:
    """Take the steps that this start asks for; *early* are the hooked modules that a ``.pth`` file has imported."""
    for name in [name for name in finder.hooks if name in early]:  # in the order of the catalogue
        _attempt("hook on " + name, "early", "meet", finder, name)
    if "uwsgi" in (sys.executable or ""):
        _attempt("uwsgi", "uwsgi_door", "open_door", finder)
    if "ERRTRACK_PROPAGATE" in os.environ:
        folder = inject or os.path.join(os.path.dirname(os.path.abspath(__file__)), "inject")
        _attempt("no-propagate", "pythonpath", "heed", os.environ, folder)


def _attempt(step: str, module: str, function: str, *arguments: "Any") -> None:
    try:
        getattr(beside(module), function)(*arguments)
    except Exception as error:
        beside("hooking").fault(step, error)
