# SPDX-License-Identifier: MIT
"""Stack frames that a server of C or C++ puts into an error's text become frames of the event.

Opt-in. Lines of the form ``3. function @ 0x7F in /path`` leave the text and follow the frames of Python.
"""

from __future__ import annotations

from errtrack.instrumentation import Instrumentation, OnImport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_NOTE = "<the stack trace was moved to the frames>"


def move_frames(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    """Look at the text of each exception that has frames."""
    if hint.get("exc_info") is not None:
        for value in (event.get("exception") or {}).get("values") or ():
            frames = (value.get("stacktrace") or {}).get("frames")
            text = value.get("value")
            if frames and isinstance(text, str) and " @ 0x" in text:
                value["value"], found = parse(text)
                frames.extend(found)
    return event


move_frames.touches_frames = False  # type: ignore[attr-defined]


def parse(text: str) -> tuple[str, list[dict[str, Any]]]:
    """What is left of *text*, and the frames that were in it, the innermost (0) last."""
    kept: list[str] = []
    found: list[tuple[int, dict[str, Any]]] = []
    for line in text.split("\n"):
        number, dot, rest = line.strip().partition(". ")
        function, at, place = rest.rpartition(" @ 0x")
        address, _, package = place.partition(" in ")
        if not (dot and at and function and number.isdecimal() and _is_hex(address)):
            kept.append(line)
            continue
        found.append(
            (int(number), {"function": function.strip(), "package": package or None, "platform": "native"})
        )
    if not found:
        return text, []
    found.sort(key=lambda pair: -pair[0])
    return "\n".join([*kept, _NOTE]), [frame for _, frame in found]


def _is_hex(text: str) -> bool:
    return bool(text) and all(character in "0123456789abcdefABCDEF" for character in text)


def install(client: ModuleType) -> None:
    """errtrack.client has been loaded."""
    client.add_event_processor(move_frames)


INSTRUMENTATION = Instrumentation(
    "gnu_backtrace", opt_in=True, on_import=[OnImport("errtrack.client", install)]
)
