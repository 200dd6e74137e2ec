# SPDX-License-Identifier: MIT
"""What was captured last still gets its chance to be delivered: a bounded wait as the interpreter ends.

At most ``shutdown_timeout`` seconds, and none at all when nothing is pending, when the server is known to be away,
or when events go to the embedded store. What is not delivered by then lies on disk for the next process.

``atexit.signals`` adds SIGTERM and SIGHUP, by which a process ends without any of this. A handler is installed at
the first event, where the signal has its default meaning, and that meaning it keeps: the process is killed by it.
"""

from __future__ import annotations

import os

from errtrack import guard, options
from errtrack.instrumentation import Instrumentation, OnImport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


def close_client() -> None:
    """Runs as the very last callback: it was registered before the application's first line."""
    from errtrack import client

    client.end()


def watch_signals(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    """Install the handlers, where that can be done: in the main thread, and over no handler of anybody's."""
    import signal

    for name in options.current().atexit_signals:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            try:
                signal.signal(number, end_by_signal)
            except ValueError:
                break  # in another thread; the next event may come from the main one
    return event


watch_signals.touches_frames = False  # type: ignore[attr-defined]


def end_by_signal(number: int, frame: Any) -> None:
    """Deliver, then let the signal do what it does."""
    import signal

    try:
        from errtrack import client

        running = client.get_client()
        if running is not None:
            running.flush()
    except Exception as error:
        guard.fault("atexit", error)
    finally:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def install(client: ModuleType) -> None:
    """errtrack.client has been loaded."""
    if options.current().atexit_signals:
        client.add_event_processor(watch_signals)


INSTRUMENTATION = Instrumentation(
    "atexit", on_import=[OnImport("errtrack.client", install)], at_exit=close_client
)
