# SPDX-License-Identifier: MIT
"""Every event shows the command line of its process, with secrets in it filtered."""

from __future__ import annotations

import sys

from errtrack.instrumentation import Instrumentation, OnImport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any


def add_argv(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    """Read ``sys.argv`` at the event's time: at boot it does not exist yet, and an application may change it."""
    from errtrack import client

    extra = event.get("extra") or {}
    running = client.get_client()
    argv = [word for word in getattr(sys, "argv", ()) if isinstance(word, str)]
    if argv and running is not None and isinstance(extra, dict):
        event["extra"] = {"sys.argv": running.scrubber.argv(argv), **extra}
    return event


add_argv.touches_frames = False  # type: ignore[attr-defined]


def install(client: ModuleType) -> None:
    """errtrack.client has been loaded."""
    client.add_event_processor(add_argv)


INSTRUMENTATION = Instrumentation("argv", on_import=[OnImport("errtrack.client", install)])
