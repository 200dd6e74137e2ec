# SPDX-License-Identifier: MIT
"""Boot lays tripwires and loads nothing: what a Python start costs is less than a millisecond.

A finder waits for the libraries of the catalogue, ``sys.excepthook`` for the end of the program, ``atexit``
for what is still to be sent. The client is loaded when the first of them is touched. No thread, no process,
no socket, no file, no signal handler. A step that fails leaves its part of the interpreter as it was, and
the others go on.
"""

import _imp
import atexit
import os
import sys

from errtrack_run.import_hook import Finder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CHOICES = frozenset("ERRTRACK_" + word for word in ("ENABLE", "DISABLE", "CONFIG", "FUNCTIONS_TO_TRACE"))
_OFF = ("0", "false", "f", "no", "n", "off")

#: The finder of this interpreter, once booted.
finder: "Finder | None" = None

_booted = False
_at_exit_files: "list[str]" = []


def boot(inject: "str | None" = None) -> None:
    """Lay the tripwires in this interpreter, once. *inject* is the folder that stands on PYTHONPATH.

    Nothing at all happens where ``ERRTRACK_ENABLED`` is false. Raises nothing but KeyboardInterrupt.
    """
    global _booted
    if _booted:
        return
    _booted = True
    try:
        if not _is_off("ERRTRACK_ENABLED") and not _is_resource_tracker():
            _lay(inject)
    except BaseException as error:  # what escapes from here is a fatal error of the interpreter
        fault("boot", error, True)
        if isinstance(error, KeyboardInterrupt):
            raise


def _lay(inject: "str | None") -> None:
    global finder
    package = os.path.dirname(os.path.abspath(__file__))
    finder = Finder(os.path.dirname(package))
    sys.meta_path.insert(0, finder)
    from errtrack_instrumentations import catalogue

    off = frozenset(catalogue.OPT_IN)
    if not _CHOICES.isdisjoint(os.environ):
        from errtrack_run import opt_in

        off = opt_in.chosen(finder, off)
    for name, files in catalogue.HOOKS.items():
        if not off.isdisjoint(files):
            files = tuple([file for file in files if file not in off])
        if name in sys.modules:
            _attempt("hook on " + name, finder.register, name, files)
        elif files:
            finder.hooks[name] = finder.hooks.get(name, ()) + files
    if "uwsgi" in (sys.executable or ""):
        _attempt("uwsgi", __import__, "errtrack_run.uwsgi_door")
    for place, file in catalogue.WIRES.items():
        if file not in off:
            _attempt("wire at " + place, _lay_wire, place, file)
    _at_exit_files[:] = [file for file in catalogue.AT_EXIT if file not in off]
    atexit.register(_at_exit)  # registered first, so it runs last
    if hasattr(os, "register_at_fork"):
        free = _imp.release_lock
        os.register_at_fork(before=_before_fork, after_in_parent=free, after_in_child=free)
    if _is_off("ERRTRACK_PROPAGATE"):
        from errtrack_run import pythonpath

        _attempt("no-propagate", pythonpath.restore, os.environ, inject or os.path.join(package, "inject"))


def _attempt(step: str, do: "Any", *arguments: "Any") -> "Any":
    """Take one *step* of boot; where it fails, tell, and let the others go on."""
    try:
        return do(*arguments)
    except Exception as error:
        fault(step, error)


def _lay_wire(place: str, file: str) -> None:
    """Put a wire in front of *place*, which loads the instrumentation at its first touch.

    It carries nothing of the previous hook's name: the exceptiongroup backport asks hooks by name who they
    are (https://github.com/agronholm/exceptiongroup/issues/123).
    """
    module, _, attribute = place.rpartition(".")
    owner = sys.modules[module]

    def wire(*args: "Any") -> "Any":
        previous = wire.errtrack_previous  # type: ignore[attr-defined]
        try:
            from errtrack_run import hooking
        except Exception:  # taken from disk since boot, or out of descriptors
            return previous(*args)
        return hooking.touch(place, file, previous, args)

    wire.errtrack_place = place  # type: ignore[attr-defined]
    wire.errtrack_previous = getattr(owner, attribute)  # type: ignore[attr-defined]
    setattr(owner, attribute, wire)


def _at_exit() -> None:
    if "errtrack.client" in sys.modules:
        from errtrack_run import hooking

        hooking.at_exit(_at_exit_files)


def _before_fork() -> None:
    """Take importlib's lock until the fork is done; let other threads finish first what they import for us."""
    _imp.acquire_lock()
    if sys.modules["_frozen_importlib"]._module_locks:
        _imp.release_lock()
        held = False
        try:
            held = _attempt("fork", _wait)
        finally:
            if not held:
                _imp.acquire_lock()


def _wait() -> bool:
    from errtrack_run import forks

    return forks.wait()


def fault(where: str, error: BaseException, is_fatal: bool = False) -> None:
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


def _is_off(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() in _OFF


def _is_resource_tracker() -> bool:
    """multiprocessing's janitor, in which nothing of the application runs; it tells by its command line."""
    words = "\n".join(getattr(sys, "orig_argv", ()))
    return "\nfrom multiprocessing.resource_tracker import main;" in words
