# SPDX-License-Identifier: MIT
"""The body of a request on an event, from what a framework holds already: JSON and forms by their keys, files never.

What is larger than ``max_request_body_size`` allows, and what is neither JSON nor a form, is left out and told in
``_meta``. Nothing is read here: a stream is the application's.
"""

from __future__ import annotations

from errtrack import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    Form = tuple[Mapping[str, Sequence[Any]], Iterable[str]]

#: Bytes that ``max_request_body_size`` stands for; "always" has no bound.
_LARGEST = {"never": 0, "small": 1_000, "medium": 10_000}
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def add_body(
    event: dict[str, Any],
    *,
    content_type: str,
    length: str,
    raw: bytes = b"",
    parse: Callable[[], Form] | None = None,
    form: Form | None = None,
) -> None:
    """Put the body on the ``request`` of *event*: *raw* is what was received, all of it.

    *length* is the Content-Length header (what is no number counts as 0). A form is what ``parse()`` answers: its
    fields, and the names of those that hold files; *form* is one that the framework has parsed already. What the
    application put there itself stays.
    """
    request = event.get("request")
    if not isinstance(request, dict) or "data" in request or not (raw or form):
        return
    kind = content_type.partition(";")[0].strip().lower()
    if not fits(length, raw):
        request["data"] = ""
        _note(event, (), "!config")
    elif form is not None or (kind in _FORMS and parse is not None):
        fields, files = form or parse()  # type: ignore[misc] # one of the two is there
        data: dict[str, Any] = {}
        for name, values in fields.items():
            shown = [_text(value) for value in values]
            data[name] = shown[0] if len(shown) == 1 else shown
        for name in files:
            data[name] = ""
            _note(event, (name,), "!raw")
        request["data"] = data
    else:
        request["data"] = _json(raw) if is_json(kind) else None
        if request["data"] is None:
            leave_out(event)


def leave_out(event: dict[str, Any]) -> None:
    """Say that there is a body that cannot or must not be shown."""
    event["request"]["data"] = ""
    _note(event, (), "!raw")


def fits(length: str, raw: bytes) -> bool:
    """Whether a body is no larger than ``max_request_body_size`` says; *length* is its Content-Length."""
    allowed = _LARGEST.get(options.current().max_request_body_size)
    size = max(int(length) if length.isdigit() else 0, len(raw))
    return allowed is None or size <= allowed


def is_json(kind: str) -> bool:
    """Whether a Content-Type, without its parameters, is ``application/json`` or ``application/*+json``."""
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _json(raw: bytes) -> Any:
    """What *raw* holds; None for null and for what is no JSON."""
    from json import loads

    try:
        return loads(raw)
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _note(event: dict[str, Any], path: tuple[str, ...], rule: str) -> None:
    """Say in ``_meta`` that the part of the body at *path* was left out."""
    node = event["_meta"] = dict(event.get("_meta") or {})
    for key in ("request", "data", *path):
        below = node.get(key)
        node[key] = node = dict(below) if isinstance(below, dict) else {}
    node[""] = {"rem": [[rule, "x"]]}
