# SPDX-License-Identifier: MIT
"""What was captured last still gets its chance to be delivered: a bounded wait as the interpreter ends.

At most ``shutdown_timeout`` seconds, and none at all when nothing is pending, when the server is known to be away,
or when events go to the embedded store. What is not delivered by then lies on disk for the next process.
"""

from __future__ import annotations

from errtrack.instrumentation import Instrumentation


def close_client() -> None:
    """Runs as the very last callback: it was registered before the application's first line."""
    from errtrack import client

    running = client.get_client()
    if running is not None:
        running.close()


INSTRUMENTATION = Instrumentation("atexit", at_exit=close_client)
