# SPDX-License-Identifier: MIT
"""Whose code a frame is: the application's, a library's, the interpreter's or our own; and its short file
name.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.options import Options

#: Packages whose frames are left out: ours, and the wrappers that we put around others' functions.
OWN = ("errtrack", "errtrack_instrumentations", "errtrack_run", "wrapt")


_REMEMBERED = 1000


def is_own(module: str | None) -> bool:
    """Whether frames of *module* are left out of stack traces."""
    return module is not None and module.partition(".")[0] in OWN


def absolute(path: str) -> str:
    """The absolute form of a code object's file name; ``<string>`` and the like stay as they are."""
    if not path or path[0] == "<":
        return path
    if path.endswith((".pyc", ".pyo")):
        path = path[:-1]
    try:
        return os.path.abspath(path)
    except OSError:  # the working directory is gone
        return path


def short(path: str, module: str | None, namespace: Any) -> str:
    """The path below the folder that holds the top package: ``a/b/c.py`` for the module ``a.b.c``."""
    if not path or path[0] == "<":
        return path
    parts = path.replace("\\", "/").split("/") if os.sep == "\\" else path.split("/")
    name = parts[-1]
    packages = module.split(".") if module else []
    if module == "__main__":
        # python -m package.module: only the package is known, the file's own name is there anyway.
        package = dict.get(namespace, "__package__") if issubclass(type(namespace), dict) else None
        packages = [*package.split("."), ""] if type(package) is str and package else []
    folders = packages if name.startswith("__init__.") else packages[:-1]
    count = len(folders)
    if count and count < len(parts) and parts[-1 - count : -1] == folders:
        return "/".join(parts[-1 - count :])
    return name


class Territory:
    """Decides ``in_app`` by the settings in *options* and where this interpreter is installed."""

    def __init__(self, options: Options) -> None:
        self._include = tuple(options.in_app_include)
        self._exclude = tuple(options.in_app_exclude)
        self._roots = _with_links(options.root)
        library = os.path.dirname(getattr(os, "__file__", "") or "")
        self._library = _with_links(library)
        prefix = sys.prefix if sys.prefix != sys.base_prefix else ""
        # A virtual environment inside the project; not a project inside a virtual environment's folder.
        self._environment = [p for p in _with_links(prefix) if not any(r.startswith(p) for r in self._roots)]
        self._files: dict[tuple[str, str | None], tuple[str, str, bool | None]] = {}

    def file_of(self, filename: str, module: str | None, namespace: Any) -> tuple[str, str, bool | None]:
        """Path and short name of a code object's file, and whose code it is; a file has many frames."""
        key = (filename, module)
        known = self._files.get(key)
        if known is None:
            path = absolute(filename)
            known = path, short(path, module, namespace) or "<unknown>", self.in_app(path, module)
            # A relative name is that of another file elsewhere, and any package can be the main one.
            if path == filename and module != "__main__":
                if len(self._files) >= _REMEMBERED:
                    self._files.clear()
                self._files[key] = known
        return known

    def in_app(self, path: str, module: str | None) -> bool | None:
        """True for the application's code, False for others', None where nothing tells."""
        if module:
            if _is_below(module, self._include):
                return True
            if _is_below(module, self._exclude):
                return False
        if not path:
            return None
        if path[0] == "<":
            return False if path.startswith("<frozen ") else None
        plain = path.replace("\\", "/")
        if "/site-packages/" in plain or "/dist-packages/" in plain:
            return False
        for folder in self._library:
            if path.startswith(folder):
                return False
        for folder in self._environment:
            if path.startswith(folder):
                return False
        for folder in self._roots:
            if path.startswith(folder):
                return True
        return None


def _is_below(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == prefix or module.startswith(prefix + ".") for prefix in prefixes)


def _with_links(folder: str) -> list[str]:
    """The folder as named and as it is behind symbolic links, each with a separator at its end."""
    if not folder:
        return []
    out = [os.path.abspath(folder)]
    try:
        real = os.path.realpath(folder)
        if real not in out:
            out.append(real)
    except OSError:
        pass
    return [path.rstrip(os.sep) + os.sep for path in out]
