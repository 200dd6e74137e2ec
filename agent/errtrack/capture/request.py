# SPDX-License-Identifier: MIT
"""The request of an event in the form that every server takes, its secrets filtered.

https://develop.sentry.dev/sdk/foundations/data-model/event-payloads/request/
"""

from __future__ import annotations

from errtrack import options
from errtrack.capture.jsonable import Cleaner, pairs_of
from errtrack.capture.scrubber import FILTERED
from errtrack.capture.shapes import exact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.capture.wire import Tree

    Path = tuple[object, ...]

_URL, _QUERY, _VALUE = 256, 1024, 2048
#: Bounds of a body that is wanted whole: characters, of its own, so that nothing else goes short; depth and breadth.
_WHOLE = {"left": 200_000, "depth": 40, "breadth": 100_000}


def clean(value: Any, cleaner: Cleaner, path: Path) -> Tree | None:
    """``request`` with known attributes only; None when nothing is left."""
    if type(value) is not dict:
        return None
    out: Tree = {}
    query = value.get("query_string")
    url = exact(value.get("url"))
    if url is not None:
        # The query has its own place; left in the URL it would be kept past the filter of its names.
        url, mark, in_url = url.partition("#")[0].partition("?")
        if query is None or exact(query) == "":
            query = in_url if mark else None
        out["url"] = cleaner.text(url, (*path, "url"), _URL)
    method = (exact(value.get("method")) or "").upper()
    if 0 < len(method) <= 32 and method.replace("-", "").replace("_", "").isalpha():
        out["method"] = method
    if query is not None:
        out["query_string"] = _query(query, cleaner, (*path, "query_string"))
    headers = _texts(value.get("headers"), cleaner, (*path, "headers"))
    if headers:
        out["headers"] = headers
    cookies = value.get("cookies")
    if exact(cookies) is not None and cleaner.scrubber is not None:
        out["cookies"] = FILTERED
        cleaner.notes.filtered((*path, "cookies"))
    else:
        jar = _texts(cookies, cleaner, (*path, "cookies"))
        if jar:
            out["cookies"] = jar
    if "data" in value and value["data"] is not None:
        out["data"] = _body(value["data"], cleaner, (*path, "data"))
    environment = _texts(value.get("env"), cleaner, (*path, "env"))
    if environment:
        out["env"] = environment
    for key in ("fragment", "inferred_content_type", "protocol"):
        text = cleaner.scalar(value.get(key), (*path, key), 256)
        if text:
            out[key] = text
    if type(value.get("body_size")) is int and value["body_size"] >= 0:
        out["body_size"] = value["body_size"]
    return out or None


def _query(query: Any, cleaner: Cleaner, path: Path) -> Any:
    text = exact(query)
    if text is None:
        return cleaner.tree(query, path)
    if cleaner.scrubber is not None:
        filtered = cleaner.scrubber.query_string(text[: _QUERY + 250])
        if filtered != text:
            cleaner.notes.filtered(path)
        text = filtered
    return cleaner.text(text, path, _QUERY)


#: Headers that were found to be in order, by whose scrubber, and their names.
_harmless: dict[Any, str] = {}
_MOST, _SHORT = 300, 200


def _texts(value: Any, cleaner: Cleaner, path: Path) -> Tree:
    """A map of texts; repeated names are joined by commas."""
    out: Tree = {}
    for header, item in pairs_of(value, 100):
        if item is None:
            continue
        key = (cleaner.scrubber, header, item) if type(header) is str and type(item) is str else None
        name = _harmless.get(key)
        if name is not None:
            text = item
            cleaner.left -= len(text)
        else:
            name = cleaner.key(header)
            if cleaner.scrubber is not None and cleaner.scrubber.key_is_sensitive(name):
                out[name] = FILTERED
                cleaner.withheld.note(item)
                cleaner.notes.filtered((*path, name))
                continue
            text = cleaner.scalar(item, (*path, name), _VALUE) or ""
            if name.lower() in ("referer", "location", "origin") and cleaner.scrubber is not None:
                text = cleaner.scrubber.url(text)
            if key is not None and text == item and len(text) <= _SHORT and len(name) <= _SHORT:
                if len(_harmless) >= _MOST:
                    _harmless.clear()
                _harmless[key] = name
        out[name] = "%s,%s" % (out[name], text) if name in out else text
    return out


def _body(body: Any, cleaner: Cleaner, path: Path) -> Any:
    text = exact(body)
    if text is not None and cleaner.scrubber is not None and "=" in text[:200] and text[:1] not in "{[<":
        # A form: its fields are filtered by their names.
        text = cleaner.scrubber.query_string(text[:8192])
    if text is not None:
        return cleaner.text(text, path, 8192)
    if options.current().max_request_body_size != "always":
        return cleaner.tree(body, path)
    whole = Cleaner(
        cleaner.scrubber,
        cleaner.notes,
        cleaner.longest,
        custom=cleaner.custom,
        withheld=cleaner.withheld,
        **_WHOLE,
    )
    return whole.tree(body, path)
