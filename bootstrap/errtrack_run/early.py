# SPDX-License-Identifier: MIT
"""A module that a ``.pth`` file has imported before us costs the start next to nothing, and nothing of it is missed.

Whatever there is to report of ``threading`` and ``logging`` begins with a call of one method. It gets a wire, which
loads the instrumentation at the first call and puts it in the method's place.
"""

import sys
from _thread import allocate_lock, get_ident

from errtrack_run import beside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from errtrack_run.boot import Finder

#: Module -> the method that all that is reported of it goes through.
_FIRST_CALLS = {"threading": "Thread.start", "logging": "Logger.callHandlers"}

#: Seconds that a thread waits for another one that is just putting an instrumentation in place.
_LONGEST = 1.0


def meet(finder: "Finder", name: str) -> None:
    """See to the hooked module *name*, which is there already."""
    module = sys.modules[name]
    spec = getattr(module, "__spec__", None) if name in _FIRST_CALLS else None
    if spec is None or getattr(spec, "_initializing", False):
        beside("hooking").meet(finder, name)
    else:
        _lay_wire(finder, name, module)


def _lay_wire(finder: "Finder", name: str, module: "ModuleType") -> None:
    kind, _, attribute = _FIRST_CALLS[name].partition(".")
    owner = getattr(module, kind)
    original = call = vars(owner)[attribute]
    lock, completing = allocate_lock(), {0}

    def wire(*args: "Any", **kwargs: "Any") -> "Any":
        # Not for what a finaliser or a signal handler does in the middle of it.
        if completing and get_ident() not in completing:
            try:
                complete()
            except Exception:
                pass  # damaged, taken from disk since boot, or out of descriptors: the call is as ever
        return call(*args, **kwargs)

    def complete() -> None:
        nonlocal call
        completing.add(get_ident())
        is_mine = lock.acquire(True, _LONGEST)
        try:
            if is_mine and 0 in completing:
                hooking = beside("hooking")
                hooking.prepare(finder, name)  # or other threads would find the method bare meanwhile
                # Beneath what others have put on top of the wire since.
                outer = vars(owner)[attribute]
                setattr(owner, attribute, original)
                try:
                    hooking.meet(finder, name)
                    call = vars(owner)[attribute]
                finally:
                    if outer is not wire:
                        setattr(owner, attribute, outer)
                    completing.discard(0)
        finally:
            completing.discard(get_ident())
            if is_mine:
                lock.release()

    for field in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(wire, field, getattr(original, field))
    wire.__wrapped__ = original  # type: ignore[attr-defined]
    setattr(owner, attribute, wire)
