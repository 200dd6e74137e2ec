# SPDX-License-Identifier: MIT
"""What was said to a model and what it answered: copied as plain data, bounded, with no file's content in it.

Read only where prompts may be sent, or where tokens are to be counted; never changed, and nothing is consumed that
the request still needs.
"""

from __future__ import annotations

from errtrack.context import shortened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

#: Most characters of one message, or of all messages together; longer ones end in three dots.
LONGEST = 10_000

#: Most bytes of what embeddings are asked for.
_MOST_EMBEDDED = 20_000

#: What stands for images, sounds and files.
BLOB = "[Blob substitute]"

_BLOB_KEYS = frozenset(("data", "file_data", "b64_json"))
_ROLES = {"human": "user", "ai": "assistant", "tool_call": "tool"}
_INSTRUCTING = frozenset(("system", "developer"))
_DEEPEST = 12
#: Items of one list; of messages, too.
_MOST_ITEMS = 50


def given(value: Any) -> Any:
    """*value*, or None for the objects that say that an argument was not given."""
    if type(value).__name__ in ("NotGiven", "Omit") and type(value).__module__.startswith("openai"):
        return None
    return value


def plain(value: Any, depth: int = 0) -> Any:
    """A copy of *value* in dicts, lists, texts and numbers, without what is None; models as dicts of their fields."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return text(value)
    if depth >= _DEEPEST:
        return "..."
    if isinstance(value, dict):
        return _mapping(value.items(), depth)
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value[:_MOST_ITEMS]]
    if hasattr(type(value), "model_fields") or hasattr(type(value), "__fields__"):
        # Of pydantic, by its fields: dumping it could run validators and serialisers of the application.
        fields = (pair for pair in vars(value).items() if pair[0] != "parsed")
        return _mapping(fields, depth)
    return "<%s>" % type(value).__name__


def _mapping(pairs: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, item in pairs:
        if item is None or given(item) is None:
            continue
        if isinstance(item, str) and key in _BLOB_KEYS and len(item) > 100:
            out[key] = BLOB
        else:
            out[str(key)] = plain(item, depth + 1)
        if len(out) >= _MOST_ITEMS:
            break
    return out


def text(value: str) -> str:
    """*value*, no longer than it may be; a data URL, whose content is no text, by its marker."""
    if value.startswith("data:") and ";base64," in value[:200]:
        return BLOB
    return value if len(value) <= LONGEST else value[:LONGEST] + "..."


def listed(messages: Any) -> list[Any] | None:
    """*messages* as a list, a text as its one item; None where they are no messages: a dict, nothing."""
    if isinstance(messages, str):
        return [messages]
    if isinstance(messages, (list, tuple)):
        return list(messages)
    return None


class Taken:
    """What an iterator gave, for the request to have it again; and whatever it raised, at the same place."""

    def __init__(self, source: Any) -> None:
        self.items: list[Any] = []
        self.error: Exception | None = None
        try:
            for item in source:
                self.items.append(item)
        except Exception as error:
            self.error = error

    def again(self) -> Any:
        """A list; or, where iterating failed, what fails like that."""
        return self.items if self.error is None else self._failing()

    def _failing(self) -> Iterator[Any]:
        yield from self.items
        if self.error is not None:
            raise self.error


def field(message: Any, name: str) -> Any:
    """A field of a message, which is a dict or a model."""
    if isinstance(message, dict):
        return message.get(name)
    return given(getattr(message, name, None))


def is_instruction(message: Any) -> bool:
    """Whether it is what the application tells the model to be, and not part of the conversation."""
    if isinstance(message, str) or field(message, "type") not in (None, "message"):
        return False
    return field(message, "role") in _INSTRUCTING


def instructions(messages: list[Any], first: Any = None) -> list[dict[str, str]]:
    """The texts of *first*, and of the messages of the roles system and developer."""
    texts = [first] if isinstance(first, str) and first else []
    for message in messages:
        if is_instruction(message):
            texts += texts_of(message)
    return [{"type": "text", "content": text(one)} for one in texts]


def conversation(messages: list[Any]) -> list[Any]:
    """The other messages: the newest that fit, the last one in any case, oldest first."""
    others = [message for message in messages if not is_instruction(message)]
    return _newest(others, _message, LONGEST)


def embedded(given_input: Any) -> list[Any] | None:
    """What embeddings are asked for, the newest that fit: texts, or ids of tokens as they are."""
    items = listed(given_input)
    return None if items is None else _newest(items, plain, _MOST_EMBEDDED)


def _newest(items: list[Any], copy: Any, most: int) -> list[Any]:
    kept: list[Any] = []
    size = 0
    for item in reversed(items):
        copied = copy(item)
        size += _size(copied)
        if kept and (size > most or len(kept) >= _MOST_ITEMS):
            break
        kept.append(copied)
    kept.reverse()
    return kept if len(kept) == len(items) else shortened.Shortened(kept, len(items))


def _message(message: Any) -> Any:
    copied = plain(message)
    if isinstance(copied, dict) and copied.get("role") in _ROLES:
        copied["role"] = _ROLES[copied["role"]]
    return copied


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(key) + _size(item) + 6 for key, item in value.items())
    if isinstance(value, list):
        return sum(_size(item) + 2 for item in value)
    return 8


def texts_of(message: Any) -> list[str]:
    """The texts that *message* (a text, a dict or a model) has for a model to read."""
    content = message if isinstance(message, str) else field(message, "content")
    if isinstance(content, str):
        return [content]
    if not isinstance(content, (list, tuple)):
        return []
    parts = [part if isinstance(part, str) else field(part, "text") for part in content]
    return [part for part in parts if isinstance(part, str)]


def tool_definitions(tools: Any) -> list[dict[str, Any]]:
    """The tools that the model may call: what they are called, what they do, and what they take."""
    found: list[dict[str, Any]] = []
    for tool in tools[:_MOST_ITEMS] if isinstance(tools, (list, tuple)) else ():
        if not isinstance(tool, dict):
            continue
        kind = tool.get("type")
        inner = tool.get(kind) if kind in ("function", "custom") else None
        described = inner if isinstance(inner, dict) else tool if kind in ("function", "custom") else {}
        known = {key: described.get(key) for key in ("name", "description", "parameters", "format")}
        shown = plain({"type": kind, **known})
        found.append(shown)
    return found
