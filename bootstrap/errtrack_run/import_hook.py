# SPDX-License-Identifier: MIT
"""A library is instrumented right after its module was imported, and no import ever fails because of it.

A hooked module is found as ever; its loader and spec are what they would be without us. Read at the first hooked
name: a Python that imports none does not read this file. Finders are asked under importlib's lock, so nothing is
imported here that is not imported already (not even our package by this file itself: an application may have emptied
``sys.modules``), and no lock is taken.

Errtrack's own three packages are found here as well, all in the one place that boot came from, so that versions are
never mixed and the application may do with ``sys.path`` what it likes. What they consist of is loaded on the shortest
way: a first event needs dozens of small modules, and to find each of them as any module is found would be half of
what they cost.
"""

import os
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import (
    MAGIC_NUMBER,
    ExtensionFileLoader,
    SourceFileLoader,
    SourcelessFileLoader,
    cache_from_source,
    spec_from_file_location,
)
from _imp import _fix_co_filename, check_hash_based_pycs, source_hash  # type: ignore[attr-defined]
from _thread import get_ident
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any

    from errtrack_run.boot import Finder

#: Our packages, and the folder of a checkout that each one lies in.
OWN = {"errtrack": "agent", "errtrack_instrumentations": "instrumentations", "errtrack_run": "bootstrap"}

#: Watched even if every instrumentation of it is switched off.
CLIENT = "errtrack.client"


class OwnPath(list):  # type: ignore[type-arg]
    """The ``__path__`` of a package of ours: what lies below it is found by us, and told by this."""


class OwnLoader(SourceFileLoader):
    """Loads a module of ours: from its compiled file where that is right, else as its base class does."""

    compiled, made_of = "", 0

    def create_module(self, spec: "ModuleSpec") -> "ModuleType":
        # importlib asks a module first for what it sets then, and each time makes an error of that there is none.
        module = type(sys)(spec.name)
        module.__file__ = self.path
        module.__cached__ = self.compiled  # type: ignore[attr-defined]
        return module

    def get_code(self, fullname: str) -> "CodeType | None":
        try:
            descriptor = os.open(self.compiled, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            try:
                data = os.read(descriptor, _LARGEST)
            finally:
                os.close(descriptor)
            if data[:4] == MAGIC_NUMBER and self.is_of_our_source(data[4:8], data[8:16]):
                code = loads(data[16:])
                _fix_co_filename(code, self.path)
                return code  # type: ignore[no-any-return]
        except Exception:  # it is not there, or not whole
            pass
        return super().get_code(fullname)

    def is_of_our_source(self, check: bytes, told: bytes) -> bool:
        """Whether a compiled file is, by what it tells of its source, and how that is to be checked (PEP 552)."""
        if check == b"\0\0\0\0":  # by time and size
            return int.from_bytes(told, "little") == self.made_of
        if check == b"\1\0\0\0":  # not at all, as in what `errtrack export` writes
            return check_hash_based_pycs == "default"
        magic = int.from_bytes(MAGIC_NUMBER, "little")
        return check == b"\3\0\0\0" and told == source_hash(magic, self.get_data(self.path))


#: Loaders of which every spec has an instance of its own.
_PER_SPEC = (SourceFileLoader, SourcelessFileLoader, ExtensionFileLoader, OwnLoader)

#: Bytes; no file of ours has so many. A buffer of more than 128 kB is mapped into memory and unmapped again, which
#: costs ten times as much as the reading.
_LARGEST = 100_000

#: Thread and name of each search under way.
_searching: "set[tuple[int, str]]" = set()

#: How the name of a compiled file goes on behind that of its module; the empty text where they lie elsewhere.
_tails: "list[str]" = []


def find(finder: "Finder", name: str, path: "Any", target: "ModuleType | None") -> "Any":
    """Return the spec that the finders behind *finder* have for the hooked *name*, watched; None without one."""
    if name in OWN:
        type(finder).own = OwnPath
        return own_spec(finder.root, name)
    is_watched = name in finder.hooks or name == CLIENT or bool(finder.unfinished)
    own = submodule(name, path)
    if own is not None:
        if is_watched:
            watch(finder, own)
        return own
    if not is_watched:
        return None
    key = (get_ident(), name)
    if key in _searching:  # another finder asked for the same name in its turn
        return None
    _searching.add(key)
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
        _searching.discard(key)
    return None


def own_spec(root: str, name: str) -> "ModuleSpec | None":
    """The spec of the package *name* in *root*, or in the folders of a checkout that *root* is one of."""
    for folder in (os.path.join(root, name), os.path.join(os.path.dirname(root), OWN.get(name, ""), name)):
        init = os.path.join(folder, "__init__.py")
        if os.path.exists(init):
            where: list[str] = OwnPath([folder]) if name in OWN else [folder]
            return spec_from_file_location(name, init, submodule_search_locations=where)
    return None


def submodule(name: str, path: "Any") -> "ModuleSpec | None":
    """The spec of a module in one of our packages, whose ``__path__`` is *path*; None for any other."""
    if type(path) is not OwnPath or len(path) != 1:
        return None
    folder, stem = path[0] + os.sep, name.rpartition(".")[2]
    place, is_package = folder + stem + ".py", False
    try:
        status = os.stat(place)
    except OSError:
        folder, stem = folder + stem + os.sep, "__init__"
        place, is_package = folder + stem + ".py", True
        try:
            status = os.stat(place)
        except OSError:
            return None
    beside_it = folder + "__pycache__" + os.sep + stem
    if not _tails:
        try:
            compiled = cache_from_source(place)
        except NotImplementedError:
            compiled = ""
        _tails.append(compiled[len(beside_it) :] if compiled.startswith(beside_it) else "")
    if not _tails[0]:
        return None
    loader = OwnLoader(name, place)
    loader.compiled = beside_it + _tails[0]
    loader.made_of = (status.st_size & 0xFFFFFFFF) << 32 | int(status.st_mtime) & 0xFFFFFFFF
    spec = ModuleSpec(name, loader, origin=place)
    spec.has_location = True
    spec.cached = loader.compiled
    if is_package:
        spec.submodule_search_locations = OwnPath([folder[:-1]])
    return spec


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
