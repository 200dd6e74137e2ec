# SPDX-License-Identifier: MIT
"""Boot lays tripwires and loads nothing: what a Python start costs is less than a millisecond.

A finder waits for the libraries of the catalogue, ``sys.excepthook`` for the end of the program, ``atexit``
for what is still to be sent. The client is loaded when the first of them is touched. No thread, no process,
no socket, no file, no signal handler.

Every instrumented Python reads this file as it starts; where nothing can be compiled in advance, each line of it is
compiled each time. So here is what any Python needs: what a hooked name asks for is in ``import_hook``, what comes
after it and what faults need in ``hooking``, what only some starts need in ``circumstances``, and what only some
forks need in ``forks``. For the same reason the catalogue is no Python, and types are comments.
"""

import _imp
import atexit
import sys

from errtrack_run import __loader__ as loader  # type: ignore[attr-defined]
from errtrack_run import beside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any  # noqa: F401  # in comments, which nothing compiles

#: Variables that make a start one of the few that ``circumstances`` is for.
_CHOICES = "ERRTRACK_ENABLE ERRTRACK_DISABLE ERRTRACK_CONFIG ERRTRACK_FUNCTIONS_TO_TRACE ERRTRACK_PROPAGATE"

#: Our packages, waited for whatever the catalogue says.
_OWN = ("errtrack", "errtrack_instrumentations", "errtrack_run")

#: The finder of this interpreter, once booted.
finder = None  # type: Any


class Finder:
    """Runs instrumentations after the modules that they are for; *root* is the folder of errtrack_run.

    It stands first on ``sys.meta_path``. For every name but the hooked ones it is a dictionary lookup. It takes no
    lock: importlib holds its global lock while it asks finders, so a lock of ours, held by a thread that imports,
    would be a deadlock.
    """

    #: Files that are switched off.
    off = frozenset()  # type: frozenset[str]
    #: The type of the ``__path__`` of our own packages, once there is one.
    own = None  # type: Any

    def __init__(self, root, hooks):  # type: (str, dict[str, str]) -> None
        self.root = root
        #: Import name -> instrumentation files, with commas between. They stay after they ran: modules are reloaded.
        self.hooks = hooks
        #: Hooked modules that were half-way through their import when their hooks were registered.
        self.unfinished = []  # type: list[str]

    def find_spec(self, name, path=None, target=None):  # type: (str, Any, Any) -> Any
        """Return the spec of a hooked *name*, and of our own modules; None for any other name."""
        if name not in self.hooks and type(path) is not self.own and not self.unfinished:
            return None
        find = at_hand("import_hook", "find")
        try:
            return find and find(self, name, path, target)
        except BaseException as error:
            beside("import_hook").leave_no_frame(error)
            raise


def at_hand(name, function):  # type: (str, str) -> Any
    """*function* of the file *name*; None where that is damaged, gone since boot, or we are out of descriptors."""
    try:
        return getattr(beside(name), function)
    except Exception:
        return None


def boot(inject=None):  # type: (str | None) -> None
    """Lay the tripwires in this interpreter, once. *inject* is the folder that stands on PYTHONPATH.

    Whoever calls has asked whether ``ERRTRACK_ENABLED`` is false. Nothing happens in multiprocessing's resource
    tracker, in which nothing of the application runs: it tells by its command line. Where something fails that the
    rest depends on, nothing is left behind, and it is raised.
    """
    arguments = str(getattr(sys, "orig_argv", ""))
    if finder is None and "'from multiprocessing.resource_tracker import main;" not in arguments:
        try:
            _lay(inject)
        except BaseException:
            beside("hooking").withdraw(_at_exit)
            raise


def _lay(inject):  # type: (str | None) -> None
    # Not a global of this file: our wires live to the very end, and would keep alive with it what an interpreter takes
    # apart as it ends; it would have to do so piece by piece, a sixth of what all of this costs.
    import os

    global finder
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    wing = root + "/errtrack_instrumentations"
    if not os.path.exists(wing):  # a checkout
        wing = os.path.dirname(root) + "/instrumentations/errtrack_instrumentations"
    _, rows, opt_in = loader.get_data(wing + "/catalogue.txt").decode().split("----")
    words = rows.split()
    hooks = dict(zip(words[::2], words[1::2]))
    finder = Finder(root, hooks)
    sys.meta_path.insert(0, finder)
    for place in hooks:
        if place[:4] == "sys.":
            try:
                lay_wire(place, hooks[place])
            except Exception as error:
                beside("hooking").fault("wire at " + place, error)
    atexit.register(_at_exit)  # registered first, so it runs last
    if hasattr(os, "register_at_fork"):
        # Before any other's: what was registered first runs last before a fork, and who waits there for a lock, as
        # logging does, must not hold importlib's.
        free = _imp.release_lock
        os.register_at_fork(before=_before_fork, after_in_parent=free, after_in_child=free)
    early = hooks.keys() & sys.modules.keys()
    hooks.update(dict.fromkeys(_OWN, ""))
    choices = [name for name in _CHOICES.split() if name in os.environ]
    if choices or early or "uwsgi" in str(sys.executable):
        beside("circumstances").heed(finder, opt_in, inject, choices)


def lay_wire(place, file):  # type: (str, str) -> None
    """Put a wire in front of *place*, an attribute of sys, which loads the instrumentation at its first touch.

    It carries nothing of the previous hook's name: the exceptiongroup backport asks hooks by name who they
    are (https://github.com/agronholm/exceptiongroup/issues/123).
    """

    def wire(*args):  # type: (Any) -> Any
        touch = at_hand("hooking", "touch")
        return touch(wire, file, args) if touch else wire.errtrack_previous(*args)  # type: ignore[attr-defined]

    wire.errtrack_place = place  # type: ignore[attr-defined]
    wire.errtrack_previous = getattr(sys, place[4:])  # type: ignore[attr-defined]
    setattr(sys, place[4:], wire)


def _at_exit():  # type: () -> None
    if "errtrack.client" in sys.modules:
        beside("hooking").at_exit(finder)


def _before_fork():  # type: () -> None
    """Take importlib's lock until the fork is done; let other threads finish first what they import for us."""
    _imp.acquire_lock()
    if getattr(sys.modules.get("_frozen_importlib"), "_module_locks", True):
        wait = at_hand("forks", "wait")
        if wait:
            wait()
