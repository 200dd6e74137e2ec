# SPDX-License-Identifier: MIT
"""JSON at the speed of the interpreter's own encoder, without importing the ``json`` package.

``import json`` pulls in ``re`` and costs 7 ms at the first event; the C encoder beneath it costs nothing.
Text stays as it is (no ``\\uXXXX`` for non-ASCII); a lone surrogate becomes ``?`` when the text is made
bytes, because a server refuses the whole event for one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Tree = dict[str, Any]


def _refuse(value: object) -> object:
    raise TypeError("not JSON: %s" % type(value).__name__)


def _build() -> tuple[Callable[[str], str], Callable[[Any], str]]:
    try:
        from _json import encode_basestring, make_encoder
    except ImportError:  # an interpreter without the C accelerator
        from json import JSONEncoder
        from json.encoder import encode_basestring as quote_in_python

        slow = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return quote_in_python, slow.encode
    # markers, default, encoder, indent, key separator, item separator, sort_keys, skipkeys, allow_nan
    encode = make_encoder(None, _refuse, encode_basestring, None, ":", ",", False, False, False)

    def dump(tree: Any) -> str:
        return "".join(encode(tree, 0))

    return encode_basestring, dump


#: ``quote(text)`` -> the JSON text of a str; ``dumps(tree)`` -> the JSON text of a tree of plain builtin
#: types. dumps raises TypeError, ValueError (NaN) or RecursionError for what JSON cannot hold.
quote, dumps = _build()


def utf8(text: str) -> bytes:
    """Encode *text*; lone surrogates become ``?``."""
    return text.encode("utf-8", "replace")


class Fixed(dict):  # type: ignore[type-arg]
    """A tree that nobody changes, so that its JSON is made once. Hooks are given a :func:`thawed` copy."""

    __slots__ = ("_text",)

    def text(self) -> str:
        """Its JSON."""
        try:
            return self._text
        except AttributeError:
            self._text: str = dumps(self)
            return self._text


def thawed(tree: Any) -> Any:
    """A copy of *tree* in which everything may be changed."""
    if type(tree) is dict or type(tree) is Fixed:
        return {key: thawed(value) for key, value in tree.items()}
    return [thawed(value) for value in tree] if type(tree) is list else tree


class Notes:
    """The ``_meta`` of one event: what was cut, filtered or left out, and where.

    Mirrors the event's shape; the note about a node sits under the empty key
    (https://develop.sentry.dev/sdk/foundations/data-model/event-payloads/#meta).
    """

    __slots__ = ("tree",)

    def __init__(self, tree: Tree | None = None) -> None:
        self.tree: Tree = {} if tree is None else tree

    def at(self, path: tuple[object, ...]) -> Tree:
        """The node of the tree for *path*, made if it is not there."""
        node = self.tree
        for part in path:
            key = part if type(part) is str else str(part)
            below = node.get(key)
            if type(below) is not dict:
                below = node[key] = {}
            node = below
        return node

    def add(self, path: tuple[object, ...], note: Tree) -> None:
        """Say *note* (``len``, ``rem``, ``err``) about the node at *path*."""
        node = self.at(path)
        here = node.get("")
        if type(here) is dict:
            here.update(note)
        else:
            node[""] = note

    def filtered(self, path: tuple[object, ...]) -> None:
        """The value at *path* was replaced by ``[Filtered]``."""
        self.add(path, {"rem": [["!config", "s"]]})

    def removed(self, path: tuple[object, ...], rule: str = "!limit") -> None:
        """The value at *path* was left out."""
        self.add(path, {"rem": [[rule, "x"]]})


def cut(text: str, limit: int, notes: Notes | None = None, path: tuple[object, ...] = ()) -> str:
    """*text* in at most *limit* characters, the last three of them ``...`` where something was cut."""
    length = len(text)
    if length <= limit:
        return text
    if notes is not None:
        notes.add(path, {"len": length, "rem": [["!limit", "x", max(limit - 3, 0), limit]]})
    return text[: max(limit - 3, 0)] + "..."[:limit]
