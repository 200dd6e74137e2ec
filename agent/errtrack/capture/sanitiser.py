# SPDX-License-Identifier: MIT
"""Makes an event one that every server takes: known attributes only, each of the type and length it must
have.

Sentry repairs or removes what is wrong; a server that validates loses the whole event for it. So every value
is put right here, on the client, by the rules of
https://develop.sentry.dev/sdk/foundations/data-model/event-payloads/.
"""

from __future__ import annotations

import time

from errtrack import guard
from errtrack.capture import frames_given
from errtrack.capture.jsonable import Cleaner, pairs_of
from errtrack.capture.moments import level, moment, new_id, stamp
from errtrack.capture.scrubber import FILTERED
from errtrack.capture.shapes import exact
from errtrack.capture.wire import Fixed, Notes, utf8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from errtrack.capture.wire import Tree

    Rule = Callable[[Any, Cleaner, tuple[object, ...]], Any]

_SOURCES = ("custom", "url", "route", "view", "component", "task")
_TAG_SIGNS = frozenset("_.:-")
_CLASHING_TAGS = frozenset(
    ("release", "environment", "dist", "user", "level", "logger", "transaction", "event_id")
)
_ADDRESS_SIGNS = frozenset("0123456789abcdefABCDEF.:")
#: Releases and environments that were found to be in order, by whose scrubber and for which size.
_good_lines: set[Any] = set()
_MOST_TAGS, _MOST_MODULES = 100, 2000


def clean_event(event: Tree, cleaner: Cleaner) -> None:
    """Put *event* right in place. A part that cannot be put right is left out; the event stays."""
    given = list(event.items())
    message = event.get("message")
    if "logentry" not in event and message is not None:
        given.append(("logentry", message))
    event.clear()
    for key, value in given:
        rule = _RULES.get(key) if type(key) is str else None
        if rule is None or value is None:
            continue
        try:
            clean = rule(value, cleaner, (key,))
        except Exception as error:
            guard.pass_on(error)
            cleaner.notes.removed((key,), "!config")
            continue
        if clean is not None and clean != "":
            event[key] = clean
    event.setdefault("event_id", new_id())
    event.setdefault("timestamp", stamp(time.time()))
    event.setdefault("platform", "python")
    if event.get("type") != "transaction":
        for key in ("spans", "start_timestamp", "measurements", "type"):
            event.pop(key, None)
        event.setdefault("level", "error" if "exception" in event else "info")


def _event_id(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> str | None:
    text = (exact(value) or "").replace("-", "").lower()
    good = len(text) == 32 and not text.strip("0123456789abcdef") and text.strip("0")
    return text if good else None


def text(limit: int) -> Rule:
    """A name on one line."""

    def rule(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> str | None:
        clean = (cleaner.scalar(value, path, limit) or "").strip()
        return clean if clean.isprintable() else "".join(c if c.isprintable() else " " for c in clean)

    return rule


def _line(value: Any, cleaner: Cleaner, path: tuple[object, ...], size: int) -> str:
    """A name on one line without slashes, of at most *size* bytes: servers count bytes here."""
    key = (cleaner.scrubber, value, size) if type(value) is str else None
    if key in _good_lines:
        return value  # type: ignore[no-any-return]
    clean = (cleaner.scalar(value, path, size) or "").strip()
    clean = "".join(c if c not in "/\\" and c.isprintable() else "-" for c in clean)
    if not clean.isascii():
        clean = utf8(clean)[:size].decode("utf-8", "ignore")
    clean = clean.strip()
    if key is not None and clean == value and len(_good_lines) < 100:
        _good_lines.add(key)  # they are the same in all events
    return clean


def _release(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> str | None:
    clean = _line(value, cleaner, path, 200)
    return None if clean.lower() in ("", ".", "..", "latest") else clean


def _environment(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> str | None:
    clean = _line(value, cleaner, path, 64)
    return None if clean.lower() in ("", "none") else clean


def _dist(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> str | None:
    clean = (cleaner.scalar(value, path, 64) or "").strip()
    return "".join(c if (c.isascii() and c.isalnum()) or c in "_.-" else "-" for c in clean) or None


def _logentry(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> Tree | None:
    if type(value) is not dict:
        value = {"formatted": value}
    out: Tree = {}
    for key in ("message", "formatted"):
        clean = cleaner.scalar(value.get(key), (*path, key), 8192)
        if clean:
            out[key] = clean
    if not out:
        return None
    params = cleaner.tree(value.get("params"), (*path, "params"))
    if type(params) is list and FILTERED in out.get("formatted", ""):
        params = _unless_filtered(params, out["formatted"], cleaner, (*path, "params"))
    if type(params) is list or type(params) is dict:
        out["params"] = params
    return out


def _unless_filtered(params: list[Any], said: str, cleaner: Cleaner, path: tuple[object, ...]) -> list[Any]:
    """*params* without the texts that were filtered where they stood in the message, which now *said* this."""
    out = list(params)
    for index, item in enumerate(params):
        if type(item) is str and item[:100] not in said:
            out[index] = FILTERED
            cleaner.notes.filtered((*path, index))
    return out


def tags(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> Tree | None:
    """Text to text, at most 100, keys of 32 and values of 200 characters."""
    out: Tree = {}
    for key, item in pairs_of(value, 1000):
        if len(out) >= _MOST_TAGS:
            cleaner.notes.add(path, {"len": len(value)})
            break
        name = cleaner.key(key).strip()[:32]
        if not (name.isascii() and name.replace(".", "_").replace("-", "_").isidentifier()):
            name = "".join(c if (c.isascii() and c.isalnum()) or c in _TAG_SIGNS else "_" for c in name)
        if not name or item is None:
            continue
        if name in _CLASHING_TAGS:
            name = "tag_" + name
        if cleaner.scrubber is not None and cleaner.scrubber.key_is_sensitive(name):
            item = FILTERED
        clean = cleaner.scalar(item, (*path, name), 200) or ""
        clean = clean.replace("\n", " ").replace("\r", " ").strip()
        if clean:
            out[name] = clean
    return out or None


def _fingerprint(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> list[str] | None:
    items = list(value[:20]) if type(value) is list or type(value) is tuple else [value]
    clean = [cleaner.scalar(item, (*path, index), 512) for index, item in enumerate(items)]
    return [item for item in clean if item] or None


def _modules(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> Tree | None:
    if type(value) is Fixed:
        return value  # our own list
    pairs = pairs_of(value, _MOST_MODULES)
    return {k[:200]: v[:200] for k, v in pairs if type(k) is str and type(v) is str} or None


def _sdk(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> Tree | None:
    if type(value) is not dict or not exact(value.get("name")) or not exact(value.get("version")):
        return None
    clean = cleaner.mapping(value.items(), len(value), path, 0)
    return {k: clean[k] for k in ("name", "version", "integrations", "packages", "features") if clean.get(k)}


def _contexts(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> Tree | None:
    out: Tree = {}
    for key, item in pairs_of(value, 100):
        name = cleaner.key(key)
        if item is None or not name:
            continue
        if name == "flags":
            clean = _flags(item, cleaner, (*path, name))
        elif name == "trace" and type(item) is dict:
            # Its ids are random: never touched, and needed exact. Its data is the application's.
            ids = {key: part for key, part in item.items() if key != "data"}
            clean = Cleaner(None, cleaner.notes).tree(ids, (*path, name))
            if type(item.get("data")) is dict:
                from errtrack.capture import spans

                told = spans.data(item["data"], cleaner, (*path, name, "data"), spans.Said(cleaner))
                if told:
                    clean["data"] = told
        else:
            clean = cleaner.tree(item, (*path, name))
        out[name] = clean if type(clean) is dict else {"value": clean}
    return out or None


def _flags(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> Any:
    """``flags`` has up to 100 rows of a name and a result, of 200 characters each."""
    rows = value.get("values") if type(value) is dict else None
    if type(rows) is not list:
        return cleaner.tree(value, path)
    out: list[Tree] = []
    for row in rows[-100:]:
        flag = (
            cleaner.scalar(row.get("flag"), (*path, "values", len(out), "flag"), 200)
            if type(row) is dict
            else None
        )
        if not flag:
            continue
        result = row.get("result")
        if type(result) not in (bool, int, float):
            result = cleaner.scalar(result, (*path, "values", len(out), "result"), 200) or ""
        out.append({"flag": flag, "result": cleaner.tree(result, (*path, "values", len(out), "result"))})
    return {"values": out}


def _extra(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> Tree | None:
    clean = cleaner.tree(value, path)
    return (clean if type(clean) is dict else {"value": clean}) or None


def _user(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> Tree | None:
    if not issubclass(type(value), dict):
        value = {"id": value}
    out: Tree = {}
    data: list[tuple[Any, Any]] = []
    # What the user was set to is meant to be sent: only its secrets by name are filtered.
    plain = Cleaner(None, cleaner.notes, left=20_000)
    for key, item in pairs_of(value, 60):
        if item is None:
            continue
        name = exact(key)
        if name in ("id", "username", "name", "email", "segment"):
            clean = plain.scalar(item, (*path, name), 75 if name == "email" else 128)
            if clean:
                out[name] = clean
        elif name == "ip_address":
            address = exact(item) or ""
            if address == "{{auto}}" or (
                len(address) <= 45 and address and _ADDRESS_SIGNS.issuperset(address)
            ):
                out[name] = address
        elif name == "geo" and type(item) is dict:
            geo = {
                k: plain.scalar(item.get(k), (*path, name, k), 128)
                for k in ("city", "country_code", "region")
            }
            out[name] = {k: v for k, v in geo.items() if v}
        elif name == "data" and type(item) is dict:
            data += item.items()
        else:
            data.append((key, item))
    if data:
        out["data"] = cleaner.mapping(data, len(data), (*path, "data"), 1)
    return out or None


def _transaction_info(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> Tree | None:
    source = exact(value.get("source")) if type(value) is dict else None
    return {"source": source if source in _SOURCES else "custom"}


# What by far not every event has is loaded with the first that does: a program's first event is the dearest.


def _request(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> Tree | None:
    from errtrack.capture import request

    return request.clean(value, cleaner, path)


def _breadcrumbs(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> Tree | None:
    from errtrack.capture import breadcrumbs

    return breadcrumbs.clean(value, cleaner, path)


def _spans(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> Any:
    from errtrack.capture import spans

    return spans.clean(value, cleaner, path)


def _as_tree(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> Any:
    return cleaner.tree(value, path)


def _meta(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> Any:
    return value if value is cleaner.notes.tree or type(value) is not dict else Notes(value).tree


def _kind(value: Any, cleaner: Cleaner, path: tuple[object, ...]) -> str | None:
    return value if type(value) is str and value in ("transaction", "error", "default") else None


_RULES: dict[str, Rule] = {
    "event_id": _event_id,
    "timestamp": moment,
    "platform": text(64),
    "level": level,
    "type": _kind,
    "logger": text(64),
    "logentry": _logentry,
    "transaction": text(200),
    "transaction_info": _transaction_info,
    "server_name": text(200),
    "release": _release,
    "environment": _environment,
    "dist": _dist,
    "tags": tags,
    "extra": _extra,
    "contexts": _contexts,
    "user": _user,
    "request": _request,
    "breadcrumbs": _breadcrumbs,
    "exception": frames_given.exceptions,
    "threads": frames_given.threads,
    "fingerprint": _fingerprint,
    "modules": _modules,
    "sdk": _sdk,
    "spans": _spans,
    "start_timestamp": moment,
    "measurements": _as_tree,
}
