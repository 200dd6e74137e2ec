# SPDX-License-Identifier: MIT
"""A library is instrumented right after its module was imported, and no import ever fails because of it.

One finder stands first on ``sys.meta_path``. For every name but the hooked ones it is a dictionary lookup.
For a hooked name it asks the finders behind it, and arranges that the hooks run once the module's code has
run; loader and spec are what they would be without us. It takes no lock: importlib holds its global lock
while it asks finders, so a lock of ours, held by a thread that imports, would be a deadlock.

The finder also answers for errtrack's own three packages, all from the one place that this file came from,
so that versions are never mixed and the application may do with ``sys.path`` what it likes.
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

#: What our packages need; served from beside them where the application's environment does not have it.
DEPENDENCIES = frozenset(("wrapt", "urllib3", "certifi", "tomli"))

#: Loaders of which every spec has an instance of its own.
_PER_SPEC = (SourceFileLoader, SourcelessFileLoader, ExtensionFileLoader)

_CLIENT = "errtrack.client"


def fault(where: str, error: BaseException) -> None:
    """Hand an internal fault to the agent's guard; where that is not loaded, ERRTRACK_DEBUG tells it."""
    guard = sys.modules.get("errtrack.guard")
    if guard is not None:
        guard.fault(where, error)
        if guard.debug_enabled:
            return
    if os.environ.get("ERRTRACK_DEBUG", "").strip().lower() in ("1", "true", "t", "yes", "y", "on"):
        try:
            stream: Any = sys.__stderr__
            stream.write("errtrack: internal fault in %s: %s: %s\n" % (where, type(error).__name__, error))
        except Exception:
            pass


def load(file: str) -> "Any":
    """Import the instrumentation *file* and return its ``INSTRUMENTATION``."""
    name = "errtrack_instrumentations." + file
    __import__(name)
    return sys.modules[name].INSTRUMENTATION


class Finder:
    """Runs instrumentations after the modules that they are for; *root* is the folder of errtrack_run."""

    def __init__(self, root: str) -> None:
        self.root = root
        #: Import name -> instrumentation files. They stay after they ran: a module may be reloaded.
        self.hooks: dict[str, tuple[str, ...]] = dict.fromkeys(OWN, ())
        self.hooks[_CLIENT] = ()
        self._unfinished: list[str] = []
        self._searching: set[tuple[int, str]] = set()

    def find_spec(
        self, name: str, path: "Any" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        """Return the spec that the finders behind us have for a hooked *name*; None for any other name."""
        if name not in self.hooks and not self._unfinished:
            return None
        if name in OWN:
            return own_spec(self.root, name)
        key = (get_ident(), name)
        if key in self._searching:  # another finder asked for the same name in its turn
            return None
        self._searching.add(key)
        spec = None
        try:
            finders = list(sys.meta_path)
            # Those in front of us have been asked already, and had nothing.
            for finder in finders[finders.index(self) + 1 :] if self in finders else finders:
                find = getattr(finder, "find_spec", None)
                spec = find(name, path, target) if find is not None else None
                if spec is not None:
                    break
        except BaseException as error:
            _leave_no_frame(error)
            raise
        finally:
            self._searching.discard(key)
        if spec is not None:
            try:
                self._watch(spec)
            except Exception as error:
                fault("import_hook of " + name, error)
        return spec

    def register(self, name: str, files: "Iterable[str]") -> None:
        """Run *files* after each import of *name*; now if it is imported, later if that is under way."""
        files = tuple(files)
        self.hooks[name] = self.hooks.get(name, ()) + files
        module = sys.modules.get(name)
        if module is None:
            return
        spec = _spec_of(module)
        if type(module).__name__ == "_LazyModule":
            # importlib.util.LazyLoader: its loader runs at the first access, which must not be ours.
            self._watch(spec)
        elif getattr(spec, "_initializing", False):
            self._unfinished.append(name)
        else:
            self._run(name, module, files)

    def executed(self, name: str, module: "ModuleType") -> None:
        """The code of *name* has just run: run its hooks, and those that waited for a module under way."""
        # A module may have put another object in its place, as celery does.
        found = sys.modules.get(name, module)
        if name in self._unfinished:
            self._unfinished.remove(name)
        self._run(name, found, self.hooks.get(name, ()))
        for waiting in list(self._unfinished):
            found = sys.modules.get(waiting)  # type: ignore[assignment]
            if not getattr(_spec_of(found), "_initializing", False):
                self._unfinished.remove(waiting)
                if found is not None:
                    self._run(waiting, found, self.hooks.get(waiting, ()))

    def _run(self, name: str, module: "Any", files: "tuple[str, ...]") -> None:
        if name == _CLIENT:
            module.launched = True
        for file in files:
            try:
                load(file).apply(name, module)
            except Exception as error:
                fault("%s, hooked on %s" % (file, name), error)

    def _watch(self, spec: "Any") -> None:
        """Arrange that :meth:`executed` is called once the module of *spec* has been executed."""
        loader = spec.loader
        if issubclass(type(loader), _Loader):
            return
        if type(loader) not in _PER_SPEC:
            is_old = loader is not None and not hasattr(loader, "exec_module")
            spec.loader = _OldLoader(spec, self) if is_old else _Loader(spec, self)
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
                _leave_no_frame(error)
                raise
            self.executed(spec.name, module)

        exec_module.errtrack_finder = self  # type: ignore[attr-defined]
        loader.exec_module = exec_module


class _Loader:
    """Stands, until the module is executed, for a loader that cannot be changed: a class, a shared object."""

    def __init__(self, spec: "Any", finder: "Finder") -> None:
        self._spec = spec
        self._finder = finder
        self._is_namespace = spec.loader is None
        self._loader = spec.loader if spec.loader is not None else _namespace_loader(spec)

    def __getattr__(self, name: str) -> "Any":
        if name == "get_code":  # runpy runs the code itself; its module gets the loader out of the spec
            self._spec.loader = self._loader
        return getattr(self._loader, name)

    @property  # type: ignore[misc]
    def __class__(self) -> "Any":
        return self._loader.__class__

    def exec_module(self, module: "Any") -> None:
        self._restore(module)
        try:
            self._loader.exec_module(module)
        except BaseException as error:
            _leave_no_frame(error)
            raise
        self._finder.executed(self._spec.name, module)

    def _restore(self, module: "Any") -> None:
        self._spec.loader = module.__loader__ = self._loader
        if self._is_namespace:
            module.__file__ = None  # as importlib leaves it where a spec has no loader


class _OldLoader(_Loader):
    """The same for loaders that have ``load_module`` only: zipimport before Python 3.10."""

    exec_module = property()  # hasattr() has to say no

    def load_module(self, name: str) -> "Any":
        self._spec.loader = self._loader
        try:
            module = self._loader.load_module(name)
        except BaseException as error:
            _leave_no_frame(error)
            raise
        self._finder.executed(name, module)
        return sys.modules.get(name, module)


class DependencyFinder:
    """Stands last on ``sys.meta_path``: our dependencies from *root*, for our own imports and no others."""

    def __init__(self, root: str) -> None:
        self.root = root

    def find_spec(
        self, name: str, path: "Any" = None, target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        if name not in DEPENDENCIES:
            return None
        frame = sys._getframe(1)
        while frame.f_back is not None:
            asking = frame.f_globals.get("__name__") or ""
            if not asking.startswith(("importlib", "_frozen_importlib")) and frame.f_globals is not globals():
                top = asking.partition(".")[0]
                return own_spec(self.root, name) if top in OWN or top in DEPENDENCIES else None
            frame = frame.f_back
        return None


def own_spec(root: str, name: str) -> "ModuleSpec | None":
    """The spec of the package *name* in *root*, or in the folders of a checkout that *root* is one of."""
    for folder in (os.path.join(root, name), os.path.join(os.path.dirname(root), OWN.get(name, ""), name)):
        init = os.path.join(folder, "__init__.py")
        if os.path.exists(init):
            return spec_from_file_location(name, init, submodule_search_locations=[folder])
    return None


def _leave_no_frame(error: BaseException) -> None:
    """Take the calling frame out of *error*'s traceback; from Python 3.11 on, `raise` goes on with that."""
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next


def _spec_of(module: "Any") -> "Any":
    """``__spec__``, read past a module's ``__getattr__``: a lazy module must not load for our sake."""
    try:
        return object.__getattribute__(module, "__dict__").get("__spec__")
    except Exception:
        return None


def _namespace_loader(spec: "Any") -> "Any":
    """What importlib would put in the place of None, where a namespace package is made."""
    import _frozen_importlib_external as external

    kind: Any = getattr(external, "NamespaceLoader", None) or external._NamespaceLoader
    loader = kind.__new__(kind)
    loader._path = spec.submodule_search_locations
    return loader
