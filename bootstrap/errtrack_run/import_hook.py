# SPDX-License-Identifier: MIT
"""A library is instrumented right after its module was imported, and no import ever fails because of it.

One finder stands first on ``sys.meta_path``. For every name but the hooked ones it is a dictionary lookup.
It takes no lock: importlib holds its global lock while it asks finders, so a lock of ours, held by a thread
that imports, would be a deadlock.

The finder also answers for errtrack's own three packages, all from the one place that this file came from,
so that versions are never mixed and the application may do with ``sys.path`` what it likes.

Every instrumented Python reads this file as it starts; where nothing can be compiled in advance it costs most
of that start. What is for hooked names only is in ``search``, what comes after that in ``hooking``.
"""

import os
import sys
from _frozen_importlib_external import SourceFileLoader, spec_from_file_location

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

#: Our packages, and the folder of a checkout that each one lies in.
OWN = {"errtrack": "agent", "errtrack_instrumentations": "instrumentations", "errtrack_run": "bootstrap"}

CLIENT = "errtrack.client"


class Finder:
    """Runs instrumentations after the modules that they are for; *root* is the folder of errtrack_run."""

    def __init__(self, root: str) -> None:
        self.root = root
        #: Import name -> instrumentation files. They stay after they ran: a module may be reloaded.
        self.hooks: dict[str, tuple[str, ...]] = {CLIENT: (), **dict.fromkeys(OWN, ())}
        #: Hooked modules that were half-way through their import when their hooks were registered.
        self.unfinished: list[str] = []
        #: Thread and name of each search under way.
        self.searching: set[tuple[int, str]] = set()
        #: The globals of ``search``, once a hooked name was asked for.
        self.search: dict[str, Any] = {}

    def find_spec(
        self, name: str, path: "Any" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """Return the spec that the finders behind us have for a hooked *name*; None for any other name."""
        if name not in self.hooks and not self.unfinished:
            return None
        if name in OWN:
            return own_spec(self.root, name)
        if not self.search:
            try:
                self.search = beside("search")
            except Exception:  # taken from disk since boot, or out of descriptors
                return None
        try:
            return self.search["find"](self, name, path, target)  # type: ignore[no-any-return]
        except BaseException as error:
            leave_no_frame(error)
            raise

    def register(self, name: str, files: "Iterable[str]") -> None:
        """Run *files* after each import of *name*; now if it is imported, later if that is under way."""
        files = tuple(files)
        self.hooks[name] = self.hooks.get(name, ()) + files
        if name in sys.modules:
            from errtrack_run import hooking

            hooking.meet(self, name, sys.modules[name], files)


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


def beside(name: str) -> "dict[str, Any]":
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
