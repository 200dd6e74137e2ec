# SPDX-License-Identifier: MIT
"""Numbers of tokens: what the API says, or what tiktoken counts where it says nothing and an encoding is named.

tiktoken downloads its tables, without a limit of time: that is done on a thread of its own, once, begun while the
first request is under way; a failure is remembered.
"""

from __future__ import annotations

import _thread
import sys

from errtrack import guard, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

#: Name of an encoding -> it, or None where it is being loaded or cannot be had.
_encodings: dict[str, Any] = {}

#: Seconds that the end of the first request waits for the tables, on a thread that has no event loop.
_PATIENCE = 0.5
_loaded: list[Any] = []


def prepare() -> None:
    """Have the encoding loaded that the option names, if it does."""
    name = options.current().openai_tiktoken_encoding_name
    if not name or name in _encodings:
        return
    known = _known(name)
    _encodings[name] = known
    if known is None:
        lock = _thread.allocate_lock()
        lock.acquire()
        _loaded[:] = [lock]
        _thread.start_new_thread(_load, (name, lock))


def count(texts: Iterable[str]) -> int:
    """How many tokens *texts* are; 0 where that cannot be told."""
    name = options.current().openai_tiktoken_encoding_name
    if not name:
        return 0
    if name not in _encodings:
        prepare()
    encoding = _encodings.get(name)
    if encoding is None and _loaded and not _has_event_loop():
        lock = _loaded.pop()
        if lock.acquire(True, _PATIENCE):
            lock.release()
        encoding = _encodings.get(name)
    if encoding is None:
        return 0
    # Text that looks like a special token is text.
    return sum(len(encoding.encode(text, disallowed_special=())) for text in texts if text)


def _known(name: str) -> Any:
    registry = sys.modules.get("tiktoken.registry")
    return getattr(registry, "ENCODINGS", {}).get(name)


def _load(name: str, lock: Any) -> None:
    try:
        with guard.Inside():  # its requests are ours
            import tiktoken  # type: ignore[import-not-found, unused-ignore]

            _encodings[name] = tiktoken.get_encoding(name)
    except Exception as error:
        guard.debug("openai: tokens are not counted: %s: %s" % (type(error).__name__, error))
    finally:
        lock.release()


def _has_event_loop() -> bool:
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and asyncio._get_running_loop() is not None


def number(value: Any) -> int:
    """*value* where it is a number of tokens, else 0."""
    return value if type(value) is int and value > 0 else 0


def of_usage(usage: Any) -> dict[str, int]:
    """What the API says of tokens, by attribute of the span; chat and embeddings have other words than responses."""
    details_in = _first(usage, "input_tokens_details", "prompt_tokens_details")
    details_out = _first(usage, "output_tokens_details", "completion_tokens_details")
    return {
        "gen_ai.usage.input_tokens": number(_first(usage, "input_tokens", "prompt_tokens")),
        "gen_ai.usage.input_tokens.cached": number(_first(details_in, "cached_tokens")),
        "gen_ai.usage.input_tokens.cache_write": number(_first(details_in, "cache_write_tokens")),
        "gen_ai.usage.output_tokens": number(_first(usage, "output_tokens", "completion_tokens")),
        "gen_ai.usage.output_tokens.reasoning": number(_first(details_out, "reasoning_tokens")),
        "gen_ai.usage.total_tokens": number(_first(usage, "total_tokens")),
    }


def _first(owner: Any, *names: str) -> Any:
    for name in names:
        value = owner.get(name) if isinstance(owner, dict) else getattr(owner, name, None)
        if value is not None:
            return value
    return None
