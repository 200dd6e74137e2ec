# SPDX-License-Identifier: MIT
"""A hooked module is found as ever, and its hooks run once its code has run.

Its loader and spec are what they would be without us. Run at the first hooked name: a Python that imports none
does not read this file. Finders are asked under importlib's lock, so nothing is imported here that is not
imported already, and no lock is taken.
"""

import sys
from _frozen_importlib_external import ExtensionFileLoader, SourceFileLoader, SourcelessFileLoader
from _thread import get_ident

from errtrack_run.import_hook import beside, executed, leave_no_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from errtrack_run.import_hook import Finder

#: Loaders of which every spec has an instance of its own.
_PER_SPEC = (SourceFileLoader, SourcelessFileLoader, ExtensionFileLoader)


def find(finder: "Finder", name: str, path: "Any", target: "ModuleType | None") -> "Any":
    """Return the spec that the finders behind *finder* have for the hooked *name*, watched; None without one."""
    key = (get_ident(), name)
    if key in finder.searching:  # another finder asked for the same name in its turn
        return None
    finder.searching.add(key)
    try:
        finders = list(sys.meta_path)
        # Those in front of us have been asked already, and had nothing.
        for other in finders[finders.index(finder) + 1 :] if finder in finders else finders:
            find = getattr(other, "find_spec", None)
            spec = find(name, path, target) if find is not None else None
            if spec is not None:
                watch(finder, spec)
                return spec
    finally:
        finder.searching.discard(key)
    return None


def watch(finder: "Finder", spec: "Any") -> None:
    """Arrange that the hooks of *spec*'s module run once it has been executed. Never raises."""
    loader = spec.loader
    if type(loader) not in _PER_SPEC:
        try:
            if not hasattr(type(loader), "errtrack_stand_in"):
                beside("stand_in")["put"](spec, finder)
        except Exception:  # a loader of the odd kind: its module stays as it is
            pass
        return
    previous = vars(loader).get("exec_module")
    if getattr(previous, "errtrack_finder", None) is finder:
        return  # a finder that keeps its specs gave it out again

    def exec_module(module: "ModuleType") -> None:
        # The module sees its own loader untouched while its code runs.
        if previous is None:
            del loader.exec_module
        else:
            loader.exec_module = previous
        try:
            loader.exec_module(module)
        except BaseException as error:
            leave_no_frame(error)
            raise
        executed(finder, spec.name, module)

    exec_module.errtrack_finder = finder  # type: ignore[attr-defined]
    loader.exec_module = exec_module
