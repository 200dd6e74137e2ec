# SPDX-License-Identifier: MIT
"""Which events are the same problem: what makes ``errtrack list`` show one row for a thousand crashes.

The embedded store groups as the servers do, in their order: the event's own fingerprint, else its exceptions'
types and the functions of the application they passed through, else the template of its message. Line
numbers, values and the library's frames stay out, so that an unrelated edit or an upgrade does not open a new
issue.

Everything here reads events that others may have written; no shape is taken for granted.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Event = dict[str, Any]

_TITLE_LENGTH = 200


def group_key(event: Event) -> str:
    """Name the issue that *event* belongs to, as 32 hex characters."""
    from errtrack.dsn import digest_of

    parts: list[str] = []
    fingerprint = event.get("fingerprint")
    entries = [str(entry) for entry in fingerprint] if isinstance(fingerprint, list) else []
    for entry in entries or ["{{ default }}"]:
        if entry.replace(" ", "") == "{{default}}":
            parts += _default_parts(event)
        else:
            parts.append("=" + entry)
    # "\0" keeps ["ab", "c"] and ["a", "bc"] apart.
    return digest_of("\0".join(parts))


def title(event: Event) -> str:
    """One line that says what happened: the raised exception, of a group also its first member's, or the message."""
    exceptions = values_of(event, "exception")
    if exceptions:
        parts: list[str] = []
        raised: dict[str, Any] | None = exceptions.pop()
        while raised is not None:
            parts += filter(None, (_text(raised.get("type")), _first_line(_text(raised.get("value")))))
            raised = _first_member(raised, exceptions)
        line = ": ".join(parts)
    else:
        line = _first_line(_message(event)[1])
    line = line or "<no message>"
    return line if len(line) <= _TITLE_LENGTH else line[: _TITLE_LENGTH - 3] + "..."


def culprit(event: Event) -> str:
    """Where it happened: ``module in function`` of the application's newest frame, else the transaction."""
    for value in reversed(values_of(event, "exception") or values_of(event, "threads")):
        frames = frames_of(value)
        if frames:
            frame = own_of(frames)[-1]
            place = _text(frame.get("module")) or _text(frame.get("filename")) or "?"
            function = _text(frame.get("function"))
            return "%s in %s" % (place, function) if function else place
    return _text(event.get("transaction")) or _text(event.get("logger"))


def _first_member(group: dict[str, Any], exceptions: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The first member of *group* among *exceptions*, of which the last come first; what was passed is taken out."""
    own = _mechanism(group).get("exception_id")
    while exceptions:
        value = exceptions.pop()
        mechanism = _mechanism(value)
        if _text(mechanism.get("source")).startswith("exceptions[") and mechanism.get("parent_id") == own:
            return value
    return None


def _mechanism(value: dict[str, Any]) -> dict[str, Any]:
    mechanism = value.get("mechanism")
    return mechanism if isinstance(mechanism, dict) else {}


def values_of(event: Event, key: str) -> list[dict[str, Any]]:
    """The objects in ``event[key]``: a bare list, or the list below ``values``."""
    holder = event.get(key)
    if isinstance(holder, dict):
        holder = holder.get("values")
    return [value for value in holder if isinstance(value, dict)] if isinstance(holder, list) else []


def frames_of(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The frames of an exception or a thread, oldest call first."""
    stacktrace = value.get("stacktrace")
    frames = stacktrace.get("frames") if isinstance(stacktrace, dict) else None
    return [frame for frame in frames if isinstance(frame, dict)] if isinstance(frames, list) else []


def own_of(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The application's among *frames*: those marked as such; where none is, those not marked as others'; else all."""
    marked = [frame for frame in frames if frame.get("in_app")]
    return marked or [frame for frame in frames if frame.get("in_app") is not False] or frames


def _default_parts(event: Event) -> list[str]:
    exceptions = values_of(event, "exception")
    if not exceptions:
        template, _ = _message(event)
        return ["message", without_numbers(template)] if template else ["nothing", title(event)]
    parts = ["exception"]
    seen: set[str] = set()
    for value in exceptions:
        piece = "\1".join([_text(value.get("module")), _text(value.get("type"))] + _places(value))
        if not frames_of(value):
            # Without a stack the type alone would throw all of its errors together.
            piece += "\1" + without_numbers(_text(value.get("value")))
        # Members of a group that failed alike count once: how many of them did is chance.
        if piece not in seen:
            seen.add(piece)
            parts.append(piece)
    return parts


def _places(value: dict[str, Any]) -> list[str]:
    """The functions on the way, each once: how deep a recursion went must not open a new issue."""
    own = own_of(frames_of(value))
    places: list[str] = []
    seen: set[str] = set()
    for frame in own:
        place = "%s:%s" % (
            _text(frame.get("module")) or _text(frame.get("filename")),
            _text(frame.get("function")),
        )
        if place not in seen:
            seen.add(place)
            places.append(place)
    return places


def _message(event: Event) -> tuple[str, str]:
    """The message as (template, final text)."""
    entry = event.get("logentry")
    if isinstance(entry, dict):
        template, final = _text(entry.get("message")), _text(entry.get("formatted"))
        return template or final, final or template
    plain = _text(entry) or _text(event.get("message"))
    return plain, plain


def without_numbers(text: str) -> str:
    """Replace what changes from one message to the next: UUIDs, hexadecimal ids, addresses, numbers."""
    import re

    text = re.sub(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b", "<uuid>", text)
    text = re.sub(r"\b(?:0x[0-9a-fA-F]+|(?=[a-fA-F]*[0-9])[0-9a-fA-F]{8,})\b", "<hex>", text)
    return re.sub(r"\d+", "<n>", text)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _first_line(text: str) -> str:
    for line in text.splitlines():
        if line.strip():
            return line.strip()
    return ""
