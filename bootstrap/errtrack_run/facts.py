# SPDX-License-Identifier: MIT
"""What ``errtrack doctor`` wants to know of a Python; runs inside that Python, which may have nothing of
ours.

Started as ``python facts.py DISTRIBUTIONS_PY [MODULE | MODULE:ATTRIBUTE]...`` it prints the facts as
JSON. Standard library only, and no module of it that an old Python lacks.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def gather(installed: dict[str, str], modules: list[str], points: list[str] | None = None) -> dict[str, Any]:
    """The facts of this interpreter: *installed* are its distributions, *modules* the libraries asked for.

    *points* are places that would be patched, ``module:attribute``; their libraries are imported.
    """
    import platform

    boot = sys.modules.get("errtrack_run.boot")
    return {
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "executable": sys.executable,
        "prefix": sys.prefix,
        "booted": getattr(boot, "finder", None) is not None,
        "toml": any(_found(name) for name in ("tomllib", "tomli")),
        "said": [],
        "errtrack": os.path.dirname(getattr(boot, "__file__", None) or _found("errtrack_run")),
        "sitecustomize": _sitecustomize(),
        "autoload": "errtrack_autoload" in sys.modules,
        "finder": _finders(),
        "distributions": installed,
        "modules": {name: _found(name) for name in modules},
        "points": {point: _why_missing(point) for point in points or ()},
    }


def _why_missing(point: str) -> str:
    """Why nothing can be patched at *point*; '' when something can."""
    name, _, attribute = point.partition(":")
    if not _found(name.partition(".")[0]):
        return "not installed"
    try:
        __import__(name)
        found: Any = sys.modules[name]
        for part in attribute.split(".") if attribute else ():
            found = getattr(found, part)
    except BaseException as error:  # whatever a library does when it is imported
        if isinstance(error, KeyboardInterrupt):
            raise
        wanted = error.name if isinstance(error, ModuleNotFoundError) else None
        if wanted and wanted.partition(".")[0] != name.partition(".")[0]:
            return "not installed"  # a part that is for another library, such as Django's for Jinja
        return "%s: %s" % (type(error).__name__, error)
    return ""


def _finders() -> str:
    """What stands on sys.meta_path in front of our finder; '' when nothing does, or when we are not there."""
    names = [getattr(item, "__name__", type(item).__name__) for item in sys.meta_path]
    return ", ".join(names[: names.index("Finder")]) if "Finder" in names else ""


def _found(name: str) -> str:
    """Where the module *name* would be imported from; '' when it is not there. Nothing is imported."""
    import importlib.util

    try:
        spec = importlib.util.find_spec(name)
    except Exception:
        return ""
    return (spec.origin or "built-in") if spec is not None else ""


def _sitecustomize() -> str:
    """The user's own sitecustomize, which ours runs after itself."""
    ours = os.path.join("errtrack_run", "inject")
    for folder in sys.path:
        for name in ("sitecustomize.py", os.path.join("sitecustomize", "__init__.py")):
            path = os.path.join(folder or ".", name)
            if not os.path.dirname(path).endswith(ours) and os.path.isfile(path):
                return path
    return ""


def main() -> None:
    """Print the facts; for the interpreter that a command would run in."""
    if sys.path and sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
        del sys.path[0]  # the folder of this file, which the command would not see
    import json

    namespace: dict[str, Any] = {"__name__": "distributions"}
    with open(sys.argv[1]) as file:
        exec(compile(file.read(), sys.argv[1], "exec"), namespace)
    modules = [word for word in sys.argv[2:] if ":" not in word]
    points = [word for word in sys.argv[2:] if ":" in word]
    print("\n" + json.dumps(gather(namespace["installed"](), modules, points)))


if __name__ == "__main__":
    main()
