# SPDX-License-Identifier: MIT
"""A library is instrumented right after its module was imported, and no import ever fails because of it.

One finder stands first on ``sys.meta_path``. For every name but the hooked ones it is a dictionary lookup.
For a hooked name it asks the finders behind it, and arranges that the hooks run once the module's code has
run; loader and spec are what they would be without us. It takes no lock: importlib holds its global lock
while it asks finders, so a lock of ours, held by a thread that imports, would be a deadlock.

The finder also answers for errtrack's own three packages, all from the one place that this file came from,
so that versions are never mixed and the application may do with ``sys.path`` what it likes.

Every instrumented Python reads this file as it starts; what is needed later only is in ``hooking``.
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
    from collections.abc import Iterable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

#: Our packages, and the folder of a checkout that each one lies in.
OWN = {"errtrack": "agent", "errtrack_instrumentations": "instrumentations", "errtrack_run": "bootstrap"}

CLIENT = "errtrack.client"

#: Loaders of which every spec has an instance of its own.
_PER_SPEC = (SourceFileLoader, SourcelessFileLoader, ExtensionFileLoader)


class Finder:
    """Runs instrumentations after the modules that they are for; *root* is the folder of errtrack_run."""

    def __init__(self, root: str) -> None:
        self.root = root
        #: Import name -> instrumentation files. They stay after they ran: a module may be reloaded.
        self.hooks: dict[str, tuple[str, ...]] = {CLIENT: (), **dict.fromkeys(OWN, ())}
        #: Hooked modules that were half-way through their import when their hooks were registered.
        self.unfinished: list[str] = []
        self._searching: set[tuple[int, str]] = set()

    def find_spec(
        self, name: str, path: "Any" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """Return the spec that the finders behind us have for a hooked *name*; None for any other name."""
        if name not in self.hooks and not self.unfinished:
            return None
        if name in OWN:
            return own_spec(self.root, name)
        key = (get_ident(), name)
        if key in self._searching:  # another finder asked for the same name in its turn
            return None
        self._searching.add(key)
        try:
            finders = list(sys.meta_path)
            # Those in front of us have been asked already, and had nothing.
            for finder in finders[finders.index(self) + 1 :] if self in finders else finders:
                find = getattr(finder, "find_spec", None)
                spec = find(name, path, target) if find is not None else None
                if spec is not None:
                    self.watch(spec)
                    return spec  # type: ignore[no-any-return]
        except BaseException as error:
            leave_no_frame(error)
            raise
        finally:
            self._searching.discard(key)
        return None

    def register(self, name: str, files: "Iterable[str]") -> None:
        """Run *files* after each import of *name*; now if it is imported, later if that is under way."""
        files = tuple(files)
        self.hooks[name] = self.hooks.get(name, ()) + files
        if name in sys.modules:
            from errtrack_run import hooking

            hooking.meet(self, name, sys.modules[name], files)

    def watch(self, spec: "Any") -> None:
        """Arrange that the hooks of *spec*'s module run once it has been executed. Never raises."""
        loader = spec.loader
        if type(loader) not in _PER_SPEC:
            try:
                if not hasattr(type(loader), "errtrack_stand_in"):
                    _beside("stand_in")["put"](spec, self)
            except Exception:  # a loader of the odd kind: its module stays as it is
                pass
            return
        previous = vars(loader).get("exec_module")
        if getattr(previous, "errtrack_finder", None) is self:
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
            executed(self, spec.name, module)

        exec_module.errtrack_finder = self  # type: ignore[attr-defined]
        loader.exec_module = exec_module


def executed(finder: Finder, name: str, module: "ModuleType") -> None:
    """Run the hooks of *name*, whose code has just run; its import goes well whatever happens here."""
    try:
        from errtrack_run import hooking
    except Exception:  # taken from disk since boot, or out of descriptors
        return
    hooking.executed(finder, name, module)


def own_spec(root: str, name: str) -> "ModuleSpec | None":
    """The spec of the package *name* in *root*, or in the folders of a checkout that *root* is one of."""
    for folder in (os.path.join(root, name), os.path.join(os.path.dirname(root), OWN.get(name, ""), name)):
        init = os.path.join(folder, "__init__.py")
        if os.path.exists(init):
            return spec_from_file_location(name, init, submodule_search_locations=[folder])
    return None


def _beside(name: str) -> "dict[str, Any]":
    """Run the file *name* that lies beside this one; its globals.

    Finders are asked under importlib's lock: to import there could be a deadlock with a thread that imports
    the same file and waits for that lock.
    """
    loader = SourceFileLoader("errtrack_run." + name, os.path.join(os.path.dirname(__file__), name + ".py"))
    found = {"__name__": loader.name, "__package__": "errtrack_run"}
    exec(loader.get_code(loader.name), found)  # type: ignore[arg-type]
    return found


def leave_no_frame(error: BaseException) -> None:
    """Take our frames off the front of *error*'s traceback; Python 3.11 and later `raise` what is left."""
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_globals.get("__package__") == "errtrack_run":
        tb = tb.tb_next
    error.__traceback__ = tb
