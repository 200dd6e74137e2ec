# SPDX-License-Identifier: MIT
"""A library is instrumented right after its module was imported, and no import ever fails because of it.

A hooked module is found as ever; its loader and spec are what they would be without us. Read at the first hooked
name: a Python that imports none does not read this file. Finders are asked under importlib's lock, so nothing is
imported here that is not imported already (not even our package by this file itself: an application may have emptied
``sys.modules``), and no lock is taken.

Errtrack's own three packages are found here as well, all in the one place that boot came from, so that versions are
never mixed and the application may do with ``sys.path`` what it likes.
"""

import os
import sys
from _frozen_importlib_external import (
    ExtensionFileLoader,
    SourceFileLoader,
    SourcelessFileLoader,
    spec_from_file_location,
)
from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    from errtrack_run.boot import Finder

#: Our packages, and the folder of a checkout that each one lies in.
OWN = {"errtrack": "agent", "errtrack_instrumentations": "instrumentations", "errtrack_run": "bootstrap"}

#: Loaders of which every spec has an instance of its own.
_PER_SPEC = (SourceFileLoader, SourcelessFileLoader, ExtensionFileLoader)


def find(finder: "Finder", name: str, path: "Any", target: "ModuleType | None") -> "Any":
    """Return the spec that the finders behind *finder* have for the hooked *name*, watched; None without one."""
    if name in OWN:
        return own_spec(finder.root, name)
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


def own_spec(root: str, name: str) -> "ModuleSpec | None":
    """The spec of the package *name* in *root*, or in the folders of a checkout that *root* is one of."""
    for folder in (os.path.join(root, name), os.path.join(os.path.dirname(root), OWN.get(name, ""), name)):
        init = os.path.join(folder, "__init__.py")
        if os.path.exists(init):
            return spec_from_file_location(name, init, submodule_search_locations=[folder])
    return None


def watch(finder: "Finder", spec: "Any") -> None:
    """Arrange that the hooks of *spec*'s module run once it has been executed. Never raises."""
    loader = spec.loader
    if type(loader) not in _PER_SPEC:
        try:
            if not hasattr(type(loader), "errtrack_stand_in"):
                from errtrack_run import beside

                beside("stand_in").put(spec, finder)
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


def executed(finder: "Finder", name: str, module: "ModuleType") -> None:
    """Run the hooks of *name*, whose code has just run; its import goes well whatever happens here."""
    try:
        from errtrack_run import beside

        run_hooks = beside("hooking").executed
    except Exception:  # damaged, taken from disk since boot, or out of descriptors
        return
    run_hooks(finder, name, module)


def leave_no_frame(error: BaseException) -> None:
    """Take our frames off the front of *error*'s traceback; Python 3.11 and later `raise` what is left."""
    tb = error.__traceback__
    while tb is not None and (tb.tb_frame.f_globals.get("__name__") or "").startswith("errtrack_run."):
        tb = tb.tb_next
    error.__traceback__ = tb
