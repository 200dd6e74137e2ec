# SPDX-License-Identifier: MIT
"""What the embedded store keeps of an envelope: one row for each event in it, ready to be inserted.

Reads as tolerantly as the servers do (protocol: unknown items are passed over, an event without a usable id
is given one that is the same at every reading).
"""

from __future__ import annotations

from errtrack.delivery import grouping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Row = dict[str, Any]

#: What a list shows beside the columns; kept apart, so that a list unpacks no payload.
_SUMMARY = ("environment", "release", "transaction", "server_name", "logger")
_LEVELS = ("fatal", "error", "warning", "info", "debug")
#: Of zlib: 6, its own, takes four times as long, for a file that is 6 % smaller.
_COMPRESS_LEVEL = 3


def rows(data: bytes) -> list[Row]:
    """Take the events out of one envelope; what cannot be read gives none."""
    import json

    from errtrack.delivery import envelope

    try:
        parsed = envelope.parse(data)
    except ValueError:
        return []
    found: list[Row] = []
    for headers, payload in parsed.items:
        if headers.get("type") != "event":
            continue
        try:
            event = json.loads(payload.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            found.append(_row(event, parsed.headers.get("event_id"), payload))
    return found


def _row(event: Row, header_id: object, payload: bytes) -> Row:
    import json
    import zlib

    level = event.get("level")
    return {
        "event_id": _event_id(header_id) or _event_id(event.get("event_id")) or _made_id(payload),
        "key": grouping.group_key(event),
        "timestamp": seconds(event.get("timestamp")),
        "level": level if level in _LEVELS else "error",
        "title": _storable(grouping.title(event)),
        "culprit": _storable(grouping.culprit(event)),
        "summary": json.dumps({name: event[name] for name in _SUMMARY if isinstance(event.get(name), str)}),
        "payload": zlib.compress(payload, _COMPRESS_LEVEL),
    }


def _event_id(value: object) -> str | None:
    text = value.replace("-", "").lower() if isinstance(value, str) else ""
    return text if len(text) == 32 and set(text) <= set("0123456789abcdef") else None


def _made_id(payload: bytes) -> str:
    from hashlib import sha256

    return sha256(payload).hexdigest()[:32]


def _storable(text: str) -> str:
    """SQLite takes UTF-8 only; a lone surrogate would make it refuse the whole batch."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def seconds(stamp: object) -> float | None:
    """Read a timestamp of the protocol (RFC 3339 text or a number) as seconds since 1970, or None."""
    from datetime import datetime, timezone

    if isinstance(stamp, (int, float)) and not isinstance(stamp, bool):
        return float(stamp) if 0 <= stamp < 1e11 else None
    if not isinstance(stamp, str):
        return None
    text = stamp.strip()
    if text[-1:] in ("Z", "z"):
        text = text[:-1] + "+00:00"
    head, dot, tail = text.partition(".")
    if dot:  # before 3.11 a fraction must have three or six digits
        digits = len(tail) - len(tail.lstrip("0123456789"))
        text = head + "." + tail[:digits][:6].ljust(6, "0") + tail[digits:]
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return None
