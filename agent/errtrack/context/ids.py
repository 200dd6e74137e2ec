# SPDX-License-Identifier: MIT
"""Ids of traces and spans, drawn in advance: a system call for each would be dear.

None is handed out twice, not by a forked child either. A function that Lambda restores from a snapshot of its start
draws each when it is wanted: what lies in the snapshot is in all its copies.
"""

from __future__ import annotations

import os

_AHEAD = 1 if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start" else 64

#: 16 hex digits each.
_drawn: list[str] = []
#: 48 hex digits each.
_pairs: list[str] = []
_owner = [0]


def span_id() -> str:
    """16 hex digits."""
    if _owner[0] != os.getpid():  # a fork that Python knows nothing of
        forget()
    return _next()


def _next() -> str:
    try:
        return _drawn.pop()
    except IndexError:
        text = os.urandom(8 * _AHEAD).hex()
        _drawn.extend([text[at : at + 16] for at in range(16, len(text), 16)])
        return text[:16]


def trace_id() -> str:
    """32 hex digits."""
    return span_id() + _next()


def trace_and_span_id() -> tuple[str, str]:
    """32 and 16 hex digits."""
    if _owner[0] != os.getpid():
        forget()
    try:
        text = _pairs.pop()
    except IndexError:
        text = os.urandom(24 * _AHEAD).hex()
        _pairs.extend([text[at : at + 48] for at in range(48, len(text), 48)])
    return text[:32], text[32:48]


def forget() -> None:
    """Draw anew from here on."""
    _drawn.clear()
    _pairs.clear()
    _owner[0] = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget)
