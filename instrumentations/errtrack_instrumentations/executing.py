# SPDX-License-Identifier: MIT
"""Frames show the qualified names of their functions: ``Order.pay``, ``outer.<locals>.inner``.

Opt-in. Python 3.11 and later know these names; before, the package ``executing`` finds them out of the source.
"""

from __future__ import annotations

from errtrack.instrumentation import Instrumentation, OnImport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any


def qualify(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    """Replace each frame by one with the longer name, where there is one."""
    from errtrack.capture.stacktrace import Frame

    for value in (event.get("exception") or {}).get("values") or ():
        frames = (value.get("stacktrace") or {}).get("frames") or []
        for position, frame in enumerate(frames):
            if type(frame) is Frame:
                name = qualified_name(frame.place.code)
                if name and name != frame.place.code.co_name:
                    frames[position] = {**frame.plain(), "function": name}
    return event


qualify.touches_frames = False  # type: ignore[attr-defined]


def qualified_name(code: CodeType) -> str | None:
    """The name of *code*, or None where it cannot be told."""
    name = getattr(code, "co_qualname", None)
    if name is None:
        try:
            package = __import__("executing")
        except ImportError:
            return None
        name = package.Source.for_filename(code.co_filename).code_qualname(code)
    return name if isinstance(name, str) else None


def install(client: ModuleType) -> None:
    """errtrack.client has been loaded."""
    client.add_event_processor(qualify)


INSTRUMENTATION = Instrumentation("executing", opt_in=True, on_import=[OnImport("errtrack.client", install)])
