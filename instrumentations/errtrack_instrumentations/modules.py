# SPDX-License-Identifier: MIT
"""Every event lists the installed distributions and their versions.

Folder names alone are read, once a process and in a thread beside the capture: a long path, or one on a network,
holds nothing up. The first event waits 50 ms for it at most, and goes without the list if that was not enough.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock

from errtrack import guard
from errtrack.instrumentation import Instrumentation, OnImport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_WAIT = 0.05
_MOST = 2000


class Scan:
    """One reading of the folders on ``sys.path``."""

    __slots__ = ("_running", "_waited", "found", "path", "pid")

    def __init__(self) -> None:
        from errtrack.delivery import forks

        self.path = list(sys.path)
        self.pid = os.getpid()
        self.found: dict[str, str] | None = None
        self._waited = False
        self._running = allocate_lock()
        self._running.acquire()
        try:
            forks.start_thread(self._run)
        except RuntimeError:  # the interpreter ends, and Python 3.12 starts no threads any more
            self._run()

    def wait(self) -> None:
        """Give it a moment, once."""
        if not self._waited:
            self._waited = True
            if self._running.acquire(True, _WAIT):
                self._running.release()

    def _run(self) -> None:
        with guard.Inside():
            try:
                from errtrack import distributions  # here, in the thread: the capture does not need it

                self.found = fixed(distributions.installed())
            except Exception as error:
                guard.fault("modules", error)
            finally:
                self._running.release()


def fixed(versions: dict[str, str]) -> dict[str, str]:
    """*versions* as events take them, made JSON once."""
    from errtrack.capture.wire import Fixed

    return Fixed((name[:200], version[:200]) for name, version in list(versions.items())[:_MOST])


_scans: list[Scan] = []


def add_modules(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    """Take the list that is there; read anew, for later events, where the application has changed its path."""
    if event.get("type") == "transaction":  # there are many, and nobody looks for a package in them
        return event
    if not _scans or (_scans[0].found is None and _scans[0].pid != os.getpid()):  # a fork has no threads
        _scans[:] = [Scan()]
    scan = _scans[0]
    if scan.found is None:
        scan.wait()
    elif scan.path != sys.path:
        _scans[:] = [Scan()]
        _scans[0].wait()
        if _scans[0].found is not None:
            scan = _scans[0]
    if scan.found is not None:
        event.setdefault("modules", scan.found)
    return event


add_modules.touches_frames = False  # type: ignore[attr-defined]


def install(client: ModuleType) -> None:
    """errtrack.client has been loaded: an event is near."""
    client.add_event_processor(add_modules)
    if not _scans:
        _scans[:] = [Scan()]


INSTRUMENTATION = Instrumentation("modules", on_import=[OnImport("errtrack.client", install)])
