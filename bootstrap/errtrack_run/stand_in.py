# SPDX-License-Identifier: MIT
"""Modules of every kind can be instrumented: builtin, frozen, zipped, namespaces, loaders of others.

Their loaders cannot be given an ``exec_module`` for one module as those of files can: they are classes, or
objects that load all modules. Until the module is executed, something stands in for them.
"""

import sys

from errtrack_run.import_hook import executed, leave_no_frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack_run.boot import Finder


def put(spec: "Any", finder: "Finder") -> None:
    """Make *spec*'s loader one that has *finder* run the hooks once the module has been executed."""
    is_old = spec.loader is not None and not hasattr(spec.loader, "exec_module")
    spec.loader = OldStandIn(spec, finder) if is_old else StandIn(spec, finder)


class StandIn:
    """Stands, until the module is executed, for a loader that cannot be changed: a class, a shared object."""

    errtrack_stand_in = True

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
            leave_no_frame(error)
            raise
        executed(self._finder, self._spec.name, module)

    def _restore(self, module: "Any") -> None:
        self._spec.loader = module.__loader__ = self._loader
        if self._is_namespace:
            module.__file__ = None  # as importlib leaves it where a spec has no loader


class OldStandIn(StandIn):
    """The same for loaders that have ``load_module`` only: zipimport before Python 3.10."""

    exec_module = property()  # hasattr() has to say no

    def load_module(self, name: str) -> "Any":
        self._spec.loader = self._loader
        try:
            module = self._loader.load_module(name)
        except BaseException as error:
            leave_no_frame(error)
            raise
        executed(self._finder, name, module)
        return sys.modules.get(name, module)


def _namespace_loader(spec: "Any") -> "Any":
    """What importlib would put in the place of None, where a namespace package is made."""
    import _frozen_importlib_external as external

    kind: Any = getattr(external, "NamespaceLoader", None) or external._NamespaceLoader
    loader = kind.__new__(kind)
    loader._path = spec.submodule_search_locations
    return loader
