# SPDX-License-Identifier: MIT
"""Boot lays tripwires and loads nothing: what a Python start costs is less than a millisecond.

A finder waits for the libraries of the catalogue, ``sys.excepthook`` for the end of the program, ``atexit``
for what is still to be sent. The client is loaded when the first of them is touched. No thread, no process,
no socket, no file, no signal handler. A step that fails leaves its part of the interpreter as it was, and
the others go on.

Every instrumented Python reads this file as it starts; where nothing can be compiled in advance, each line of it is
compiled each time. So here is what any Python needs: what a hooked name asks for is in ``import_hook``, what comes
after it and what faults need in ``hooking``, what only some forks need in ``forks``.
"""

import _imp
import atexit
import os
import sys
from _frozen_importlib_external import SourceFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Waited for whatever the catalogue says: our packages, and the client, which is told how it was started.
_OWN = ("errtrack", "errtrack_instrumentations", "errtrack_run", "errtrack.client")
_CHOICES = ("ERRTRACK_ENABLE", "ERRTRACK_DISABLE", "ERRTRACK_CONFIG", "ERRTRACK_FUNCTIONS_TO_TRACE")
_OFF = ("0", "false", "f", "no", "n", "off")

#: The finder of this interpreter, once booted.
finder: "Any" = None


class OwnPath(list):  # type: ignore[type-arg]
    """The ``__path__`` of a package of ours: what lies below it is found by us, and told by this."""


class Finder:
    """Runs instrumentations after the modules that they are for; *root* is the folder of errtrack_run.

    It stands first on ``sys.meta_path``. For every name but the hooked ones it is a dictionary lookup. It takes no
    lock: importlib holds its global lock while it asks finders, so a lock of ours, held by a thread that imports,
    would be a deadlock.
    """

    def __init__(self, root):  # type: (str) -> None
        self.root = root
        #: Import name -> instrumentation files, with commas between. They stay after they ran: modules are reloaded.
        self.hooks = dict.fromkeys(_OWN, "")
        #: Files that are switched off.
        self.off = frozenset()  # type: frozenset[str]
        #: Files that have something to do as the interpreter ends.
        self.at_exit = ""
        #: Hooked modules that were half-way through their import when their hooks were registered.
        self.unfinished = []  # type: list[str]
        #: Thread and name of each search under way.
        self.searching = set()  # type: set[tuple[int, str]]

    def find_spec(self, name, path=None, target=None):  # type: (str, Any, Any) -> Any
        """Return the spec of a hooked *name*, and of our own modules; None for any other name."""
        if name not in self.hooks and type(path) is not OwnPath and not self.unfinished:
            return None
        try:
            hook = beside("import_hook")
        except Exception:  # taken from disk since boot, or out of descriptors
            return None
        try:
            return hook.find(self, name, path, target)
        except BaseException as error:
            hook.leave_no_frame(error)
            raise


def beside(name):  # type: (str) -> Any
    """Return the module *name* that lies beside this one, executed without an import.

    Finders are asked under importlib's lock: to import there could be a deadlock with a thread that imports
    the same file and waits for that lock.
    """
    full = "errtrack_run." + name
    return sys.modules.get(full) or sys.modules.setdefault(full, _read(full, os.path.dirname(__file__)))


def _read(name, folder):  # type: (str, str) -> Any
    path = os.path.join(folder, name.rpartition(".")[2] + ".py")
    module = type(sys)(name)
    module.__file__ = path
    exec(SourceFileLoader(name, path).get_code(name), vars(module))  # type: ignore[arg-type]
    return module


def boot(inject=None):  # type: (str | None) -> None
    """Lay the tripwires in this interpreter, once. *inject* is the folder that stands on PYTHONPATH.

    Nothing at all happens where ``ERRTRACK_ENABLED`` is false, and in multiprocessing's resource tracker, in which
    nothing of the application runs: it tells by its command line. Raises nothing but KeyboardInterrupt.
    """
    try:
        if finder is None and os.environ.get("ERRTRACK_ENABLED", "").strip().lower() not in _OFF:
            words = "\n".join(getattr(sys, "orig_argv", ()))
            if "\nfrom multiprocessing.resource_tracker import main;" not in words:
                _lay(inject)
    except BaseException as error:  # what escapes from here is a fatal error of the interpreter
        fault("boot", error, True)
        if isinstance(error, KeyboardInterrupt):
            raise


def _lay(inject):  # type: (str | None) -> None
    global finder
    package = os.path.dirname(os.path.abspath(__file__))
    root = os.path.dirname(package)
    finder = Finder(root)
    folder = os.path.join(root, "errtrack_instrumentations")
    if not os.path.exists(folder):  # a checkout
        folder = os.path.join(os.path.dirname(root), "instrumentations", "errtrack_instrumentations")
    catalogue = _read("errtrack_instrumentations.catalogue", folder)
    off = catalogue.OPT_IN
    if not {*_CHOICES}.isdisjoint(os.environ):
        from errtrack_run import opt_in

        off = opt_in.chosen(catalogue.HOOKS, off)
    finder.off = off = frozenset(off)
    finder.at_exit = catalogue.AT_EXIT
    early = []
    for name, files in catalogue.HOOKS.items():
        if files not in off:
            finder.hooks[name] = files
            if name in sys.modules:
                early.append(name)
    sys.meta_path.insert(0, finder)
    for name in early:
        _attempt("hook on " + name, "hooking", "meet", finder, name)
    if "uwsgi" in (sys.executable or ""):
        _attempt("uwsgi", "uwsgi_door", "open_door", finder)
    for place, file in catalogue.WIRES.items():
        if file not in off:
            try:
                _lay_wire(place, file)
            except Exception as error:
                fault("wire at " + place, error)
    atexit.register(_at_exit)  # registered first, so it runs last
    if hasattr(os, "register_at_fork"):
        free = _imp.release_lock
        os.register_at_fork(before=_before_fork, after_in_parent=free, after_in_child=free)
    if "ERRTRACK_PROPAGATE" in os.environ:
        _attempt("no-propagate", "pythonpath", "heed", os.environ, inject or os.path.join(package, "inject"))


def _attempt(step, module, function, *arguments):  # type: (str, str, str, Any) -> None
    """Take a rare *step* of boot, which is a function of another module; where it fails, tell, and go on."""
    try:
        package = __import__("errtrack_run." + module)
        getattr(getattr(package, module), function)(*arguments)
    except Exception as error:
        fault(step, error)


def _lay_wire(place, file):  # type: (str, str) -> None
    """Put a wire in front of *place*, which loads the instrumentation at its first touch.

    It carries nothing of the previous hook's name: the exceptiongroup backport asks hooks by name who they
    are (https://github.com/agronholm/exceptiongroup/issues/123).
    """
    module, _, attribute = place.rpartition(".")

    def wire(*args):  # type: (Any) -> Any
        previous = wire.errtrack_previous  # type: ignore[attr-defined]
        try:
            from errtrack_run import hooking
        except Exception:  # taken from disk since boot, or out of descriptors
            return previous(*args)
        return hooking.touch(place, file, previous, args)

    wire.errtrack_place = place  # type: ignore[attr-defined]
    wire.errtrack_previous = getattr(sys.modules[module], attribute)  # type: ignore[attr-defined]
    setattr(sys.modules[module], attribute, wire)


def _at_exit():  # type: () -> None
    if "errtrack.client" in sys.modules:
        from errtrack_run import hooking

        hooking.at_exit(finder)


def _before_fork():  # type: () -> None
    """Take importlib's lock until the fork is done; let other threads finish first what they import for us."""
    _imp.acquire_lock()
    if sys.modules["_frozen_importlib"]._module_locks:
        try:
            beside("forks").wait()
        except Exception as error:
            fault("fork", error)


def fault(where, error, is_fatal=False):  # type: (str, BaseException, bool) -> None
    """An internal fault of boot: tell it if ERRTRACK_DEBUG is on; one that is fatal takes the wires away."""
    global finder
    try:
        from errtrack_run import hooking
    except Exception:
        return
    if is_fatal:
        finder = None
        hooking.withdraw(_at_exit)
    hooking.fault(where, error)
