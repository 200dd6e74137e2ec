# SPDX-License-Identifier: MIT
"""Whatever WSGI application uWSGI runs, its failed requests are reported: ``module``, ``wsgi-file`` and mounts.

With or without master, lazy-apps and threads. The launcher's bootstrap hooks the modules and files that uWSGI is told
to load; this puts the application in them behind a proxy before uWSGI takes it.
"""

from __future__ import annotations

import sys

import errtrack
from errtrack import guard
from errtrack.instrumentation import Call, Instrumentation, OnImport, active, driven

from . import _wsgi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from errtrack.instrumentation import Advice


class Loaded(Instrumentation):
    """Applied to each module that uWSGI takes an application from; which these are, only it knows."""

    def apply(self, module_name: str, module: ModuleType) -> None:
        try:
            if module_name == "uwsgi" or not self._is_wanted():
                return
            if self.name not in active:
                active[self.name] = self
                sys.excepthook = driven(self.name, tell_apart, sys.excepthook)
            held = vars(module)
            for name in names(getattr(sys.modules.get("uwsgi"), "opt", {})):
                if callable(held.get(name)) and not isinstance(held[name], type):
                    held[name] = _wsgi.watch(held[name])
        except Exception as error:
            guard.fault(self.name, error)


def tell_apart(call: Call) -> Advice:
    """sys.excepthook(type, value, traceback), by which uWSGI prints what was raised, be it by itself"""
    if call.args[2] is None and isinstance(call.args[1], OSError):  # it could not write: the client has gone
        errtrack.dismiss_exception(call.args[1])
    yield


def names(opt: dict[str, Any]) -> list[str]:
    """The names that uWSGI looks applications up by."""
    found = ["application"]
    for option in ("callable", "module", "wsgi", "mount"):
        values = opt.get(option)
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, bytes):
                text = value.decode("utf-8", "replace")
                found.append(text if option == "callable" else text.rpartition(":")[2])
    return found


def loaded(module: ModuleType) -> None:
    """uwsgi: a module of the server's own, which says nothing yet when it is there."""


INSTRUMENTATION = Loaded("uwsgi", on_import=[OnImport("uwsgi", loaded)])
