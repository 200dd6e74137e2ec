# SPDX-License-Identifier: MIT
"""What happens once a tripwire is touched: the instrumentation is loaded and run; a fault of ours ends here.

Loaded at the first touch, in whatever program: so nothing is imported here that is not there in any Python.
"""

import os
import sys

from errtrack_run.import_hook import OWN, own_spec, watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    from errtrack_run.boot import Finder

_CLIENT = "errtrack.client"

#: What our packages need; served from beside them where the application's environment does not have it.
DEPENDENCIES = frozenset(("wrapt", "urllib3", "certifi", "tomli"))


def fault(where: str, error: BaseException) -> None:
    """Hand an internal fault to the agent's guard; where that is not loaded, ERRTRACK_DEBUG tells it."""
    guard = sys.modules.get("errtrack.guard")
    if guard is not None:
        guard.fault(where, error)
        if guard.debug_enabled:
            return
    if is_debugging():
        try:
            stream: Any = sys.__stderr__
            stream.write("errtrack: internal fault in %s: %s: %s\n" % (where, type(error).__name__, error))
        except Exception:
            pass


def is_debugging(environ: "Mapping[str, str]" = os.environ) -> bool:
    """Whether ERRTRACK_DEBUG asks to be told what goes wrong inside of errtrack."""
    return environ.get("ERRTRACK_DEBUG", "").strip().lower() in ("1", "true", "t", "yes", "y", "on")


def withdraw(at_exit: "Callable[[], None]") -> None:
    """Take every tripwire of this interpreter away again, and *at_exit* from what runs at its end."""
    sys.meta_path[:] = [item for item in sys.meta_path if type(item).__module__[:13] != "errtrack_run."]
    for name, value in list(vars(sys).items()):
        if getattr(value, "errtrack_place", None) is not None:
            setattr(sys, name, value.errtrack_previous)
    if "atexit" in sys.modules:
        sys.modules["atexit"].unregister(at_exit)
    sys.modules["errtrack_run.boot"].finder = None  # type: ignore[attr-defined]


def load(file: str) -> "Any":
    """Import the instrumentation *file* and return its ``INSTRUMENTATION``."""
    _serve_dependencies()
    if is_debugging():
        from errtrack import guard

        guard.debug_enabled = True  # the client will say so too, but may be far away
    name = "errtrack_instrumentations." + file
    __import__(name)
    return sys.modules[name].INSTRUMENTATION


def executed(finder: "Finder", name: str, module: "ModuleType") -> None:
    """The code of *name* has just run: run its hooks, and those that waited for a module under way."""
    # A module may have put another object in its place, as celery does.
    found = sys.modules.get(name, module)
    if name in finder.unfinished:
        finder.unfinished.remove(name)
    _run(finder, name, found)
    for waiting in list(finder.unfinished):
        found = sys.modules.get(waiting)  # type: ignore[assignment]
        if not getattr(_spec_of(found), "_initializing", False):
            finder.unfinished.remove(waiting)
            if found is not None:
                _run(finder, waiting, found)


def register(finder: "Finder", name: str, files: str) -> None:
    """Run *files* after each import of *name*; now if it is imported, later if that is under way."""
    present = finder.hooks.get(name)
    finder.hooks[name] = present + "," + files if present else files
    if name in sys.modules:
        meet(finder, name)


def meet(finder: "Finder", name: str) -> None:
    """Run the hooks of *name*, which is in ``sys.modules`` already; later, if its import is under way."""
    module = sys.modules[name]
    spec = _spec_of(module)
    if type(module).__name__ == "_LazyModule":
        # importlib.util.LazyLoader: its loader runs at the first access, which must not be ours.
        watch(finder, spec)
    elif getattr(spec, "_initializing", False):
        finder.unfinished.append(name)
    else:
        _run(finder, name, module)


def prepare(finder: "Finder", name: str) -> None:
    """Load what the hooks of *name* need, and the settings, so that they are a matter of microseconds. Never raises."""
    try:
        for file in _wanted(finder, finder.hooks.get(name, "")):
            load(file)
        sys.modules["errtrack.options"].current()
    except Exception:  # told when the hooks run
        pass


def touch(wire: "Any", file: str, args: "tuple[Any, ...]") -> "Any":
    """*wire* was touched: call what was there before it, once, with the instrumentation *file* around it."""
    place, previous, called = wire.errtrack_place, wire.errtrack_previous, False
    reserves = sys.modules.get("errtrack.reserves")
    if reserves is not None and place == "sys.excepthook":
        reserves.free()  # memory and descriptors may be what the program ends for

    def call_previous(*given: "Any") -> "Any":
        nonlocal called
        called = True
        return previous(*given)

    try:
        return load(file).wrap(place, call_previous)(*args)
    except Exception as error:
        if called:  # then the exception is the previous hook's own: ours do not leave the driver
            raise
        fault(place, error)
    except BaseException:
        # Ctrl-C, for one. The program ends as it is: nobody is left to hear of it, but for who waits for the traceback.
        if called or place != "sys.excepthook":
            raise
    return previous(*args)


def at_exit(finder: "Finder") -> None:
    """The interpreter ends, and the client was loaded."""
    for file in _wanted(finder, finder.hooks.get("atexit._run_exitfuncs", "")):
        try:
            load(file).at_exit()
        except Exception as error:
            fault(file, error)


def _run(finder: "Finder", name: str, module: "Any") -> None:
    if name == _CLIENT:
        _serve_dependencies()
        module.launched = True
    for file in _wanted(finder, finder.hooks.get(name, "")):
        try:
            load(file).apply(name, module)
        except Exception as error:
            fault("%s, hooked on %s" % (file, name), error)


def _wanted(finder: "Finder", files: str) -> "list[str]":
    return [file for file in files.split(",") if file and file not in finder.off]


def _serve_dependencies() -> None:
    """From here on our own code runs: loaded by path, it may be in an environment without what it needs."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    folders = [folder for folder in (root, os.environ.get("ERRTRACK_RUN", "")) if os.path.isabs(folder)]
    if folders == [root] and root in sys.path:
        return
    if not any(type(item) is DependencyFinder for item in sys.meta_path):
        sys.meta_path.append(DependencyFinder(folders))


class DependencyFinder:
    """Stands last on ``sys.meta_path``: our dependencies from *folders*, for our own imports and no others."""

    def __init__(self, folders: "Iterable[str]") -> None:
        self.folders = folders

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
                if top not in OWN and top not in DEPENDENCIES:
                    return None
                found = (
                    own_spec(folder, name) for folder in self.folders if _is_for_this_python(folder, name)
                )
                return next(filter(None, found), None)
            frame = frame.f_back
        return None


def _is_for_this_python(folder: str, name: str) -> bool:
    """Whether the release of *name* in *folder* says that it runs on this Python; also if it says nothing."""
    for entry in os.listdir(folder) if os.path.isdir(folder) else ():
        if entry.startswith(name + "-") and entry.endswith(".dist-info"):
            with open(os.path.join(folder, entry, "METADATA"), encoding="utf-8") as file:
                for line in iter(file.readline, "\n"):
                    if line.startswith("Requires-Python:"):
                        return sys.version_info >= _oldest(line.partition(":")[2])
                    if not line:
                        break
    return True


def _oldest(requirement: str) -> "tuple[int, ...]":
    for clause in requirement.split(","):
        if clause.strip().startswith(">="):
            return tuple(int(part) for part in clause.strip(" >=\n").split(".") if part.isdigit())
    return ()


def _spec_of(module: "Any") -> "Any":
    """``__spec__``, read past a module's ``__getattr__``: a lazy module must not load for our sake."""
    try:
        return object.__getattribute__(module, "__dict__").get("__spec__")
    except Exception:
        return None
