# SPDX-License-Identifier: MIT
"""What an earlier process could not deliver any more goes out with the next one, though that has nothing to report.

At the first request or task of a process it is asked, cheaply, whether a dead process has left anything for the same
server; at exit once more, for programs that serve nobody. Only then the client is loaded and the thread started:
never while modules are imported, as a process that forks later must not have threads.
"""

from __future__ import annotations

from errtrack import guard, options
from errtrack.instrumentation import Instrumentation, OnImport, shielded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


def deliver() -> None:
    """Have the delivery thread look for what is left behind, if there is anything."""
    from errtrack.delivery import left_behind

    if left_behind.anything(options.current()):
        from errtrack import client

        running = client.get_client()
        if running is not None and running.is_active:
            with guard.Inside():
                running.transport.catch_up()


def at_first_unit(unit: ModuleType) -> None:
    """errtrack.context.unit has been loaded: lay a wire at its first use, which takes itself away."""
    prepare = unit.Unit.prepare
    look = shielded("backlog", deliver)
    waiting = [True]

    def look_and_prepare(self: Any, *args: Any, **kwargs: Any) -> None:
        if waiting:
            waiting.clear()
            look()
            if unit.Unit.prepare is look_and_prepare:
                unit.Unit.prepare = prepare
        prepare(self, *args, **kwargs)

    unit.Unit.prepare = look_and_prepare


def before_exit(instrumentation: ModuleType) -> None:
    """errtrack.instrumentation has been loaded: something of the application is watched, so it may have a backlog."""
    if options.current().dsn:
        import atexit

        atexit.register(shielded("backlog", deliver))


INSTRUMENTATION = Instrumentation(
    "backlog",
    on_import=[
        OnImport("errtrack.context.unit", at_first_unit),
        OnImport("errtrack.instrumentation", before_exit),
    ],
)
