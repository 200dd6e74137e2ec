# SPDX-License-Identifier: MIT
"""Envelopes: the bytes that lie in the spool, go over the wire, and are read into the embedded store.

An envelope is a header line and any number of items, each a header line and a counted payload
(https://develop.sentry.dev/sdk/foundations/transport/envelopes/). On disk it has no ``sent_at``: that is
written at the moment of sending, so that servers can correct the clock however long the envelope waited.
"""

from __future__ import annotations

from errtrack.capture.wire import dumps, utf8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    Item = tuple[dict[str, Any], bytes]

VERSION = "0.1.0"
SDK_NAME = "errtrack.python"
CLIENT = "%s/%s" % (SDK_NAME, VERSION)

#: Item type -> the category under which servers limit it and client reports count it.
CATEGORIES = {
    "event": "error",
    "transaction": "transaction",
    "attachment": "attachment",
    "session": "session",
    "sessions": "session",
    "client_report": "internal",
    "check_in": "monitor",
    "feedback": "feedback",
    "log": "log_item",
    "trace_metric": "trace_metric",
    "span": "span",
}


class Envelope:
    """A parsed envelope: ``headers`` and ``items`` as (headers, payload), unknown ones included."""

    __slots__ = ("headers", "items")

    def __init__(self, headers: dict[str, Any], items: list[Item]) -> None:
        self.headers = headers
        self.items = items

    @property
    def event_id(self) -> str:
        """The id of its event, or the empty text."""
        found = self.headers.get("event_id")
        return found if isinstance(found, str) else ""

    def encode(self) -> bytes:
        """The bytes again; every item gets its length."""
        parts = [_line(self.headers)]
        for headers, payload in self.items:
            parts += (_line(dict(headers, length=len(payload))), payload, b"\n")
        return b"".join(parts)


def build(
    event_id: str | None,
    item_type: str,
    payload: bytes,
    trace: Mapping[str, Any] | None = None,
    extra_items: Iterable[tuple[Mapping[str, Any], bytes]] = (),
) -> bytes:
    """Make one envelope around *payload* (JSON); *trace* is the dynamic sampling context.

    *extra_items* are (item headers, payload) and come after it. There is no ``sent_at`` yet.
    """
    head = '{"sdk":{"name":"%s","version":"%s"}' % (SDK_NAME, VERSION)
    if event_id:
        head = '{"event_id":"%s",%s' % (event_id, head[1:])
    if trace:
        head += ',"trace":' + dumps(trace)
    item = '{"type":"%s","content_type":"application/json","length":%d}' % (item_type, len(payload))
    parts = [utf8(head), b"}\n", item.encode("ascii"), b"\n", payload, b"\n"]
    for headers, body in extra_items:
        parts += (utf8(dumps(dict(headers, length=len(body)))), b"\n", body, b"\n")
    return b"".join(parts)


def item(item_type: str, payload: bytes) -> bytes:
    """One item on its own, to be appended to an envelope that ends with a newline."""
    return b'{"type":"%s","length":%d}\n%s\n' % (item_type.encode("ascii"), len(payload), payload)


def parse(data: bytes) -> Envelope:
    """Read an envelope, as tolerant as the servers are. Raises :class:`ValueError`.

    A missing, negative or textual ``length`` means "to the end of the line". Refused: a header line that is
    no JSON object, a length beyond the input, a counted payload that no newline follows.
    """
    headers, position = _header(data, 0)
    items: list[Item] = []
    while position < len(data):
        if data[position : position + 1] == b"\n":
            position += 1
            continue
        head, position = _header(data, position)
        length = head.get("length")
        if type(length) is int and length >= 0:
            end = position + length
            if end > len(data):
                raise ValueError("an item's length reaches beyond the envelope")
            if end < len(data) and data[end] != 10:
                raise ValueError("an item's payload is not followed by a newline")
        else:
            end = data.find(b"\n", position)
            end = len(data) if end < 0 else end
        items.append((head, data[position:end]))
        position = end + 1
    return Envelope(headers, items)


def as_sent(data: bytes, now: float, public_key: str = "") -> bytes:
    """*data* with ``sent_at`` set to *now* (seconds since 1970), and *public_key* on a trace that has none.

    Only the header line is touched. Raises :class:`ValueError` when that line is no JSON object.
    """
    headers, position = _header(data, 0)
    headers["sent_at"] = rfc3339(now)
    if public_key and isinstance(headers.get("trace"), dict):
        headers["trace"].setdefault("public_key", public_key)
    return _line(headers) + data[position:]


def rfc3339(now: float) -> str:
    """*now* (seconds since 1970) as RFC 3339 in UTC with microseconds."""
    from time import gmtime

    second, micros = divmod(round(now * 1_000_000), 1_000_000)
    return "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ" % (gmtime(second)[:6] + (micros,))


def slimmed(data: bytes) -> bytes | None:
    """Take from *data* what a server found too large: variables, source context, breadcrumbs, attachments.

    None when there was nothing to take away. Raises :class:`ValueError` when it cannot be read.
    """
    import json

    found = parse(data)
    items: list[Item] = []
    for headers, payload in found.items:
        kind = headers.get("type")
        if kind == "attachment":
            continue
        if kind in ("event", "transaction"):
            event = json.loads(payload)
            if isinstance(event, dict) and _slim_event(event):
                payload = json.dumps(event, separators=(",", ":")).encode("ascii")
        items.append((headers, payload))
    lean = Envelope(found.headers, items).encode()
    return lean if len(lean) < len(data) else None


def _slim_event(event: dict[str, Any]) -> bool:
    changed = event.pop("breadcrumbs", None) is not None
    holders: list[Any] = [event]
    for name in ("exception", "threads"):
        values = event.get(name)
        values = values.get("values") if isinstance(values, dict) else values
        holders += values if isinstance(values, list) else ()
    for holder in holders:
        stack = holder.get("stacktrace") if isinstance(holder, dict) else None
        frames = stack.get("frames") if isinstance(stack, dict) else None
        for frame in frames if isinstance(frames, list) else ():
            if isinstance(frame, dict):
                for name in ("vars", "pre_context", "post_context"):
                    changed |= frame.pop(name, None) is not None
    return changed


def _header(data: bytes, position: int) -> tuple[dict[str, Any], int]:
    import json

    end = data.find(b"\n", position)
    end = len(data) if end < 0 else end
    try:
        headers = json.loads(data[position:end].decode("utf-8"))
    except RecursionError:
        raise ValueError("a header line is nested too deep") from None
    if not isinstance(headers, dict):
        raise ValueError("a header line is not a JSON object")
    return headers, end + 1


def _line(headers: Mapping[str, Any]) -> bytes:
    import json

    return json.dumps(headers, separators=(",", ":")).encode("ascii") + b"\n"


def category_of(data: bytes) -> str:
    """The category of an encoded envelope's first item; ``default`` where there is none to be read."""
    try:
        items = parse(data).items
    except ValueError:
        return "default"
    return CATEGORIES.get(str(items[0][0].get("type")), "default") if items else "default"
