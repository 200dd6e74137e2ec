# SPDX-License-Identifier: MIT
"""Streams of an answer: the application keeps the client's own object, in which an iterator of ours stands.

It passes on what the client's iterator gives, piece by piece and nothing ahead, and learns of every way in which a
stream can end: read to its end, closed, broken off, cancelled, or dropped unread.
"""

from __future__ import annotations

import sys

from errtrack import guard
from errtrack.instrumentation import leave_no_frame, traceback_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Optional

    from ._openai import Request

    Add = Optional[Callable[[Any], None]]


def watch(stream: Any, request: Request) -> bool:
    """Look at the pieces of *stream* for *request*; False where it is no stream of a kind that is known."""
    held = getattr(stream, "__dict__", {})
    iterator = held.get("_iterator")
    if hasattr(iterator, "__anext__"):
        held["_iterator"] = AsyncPieces(iterator, request)
    elif hasattr(iterator, "__next__"):
        held["_iterator"] = Pieces(iterator, request)
    else:
        return False
    return True


def closed(stream: Any) -> None:
    """*stream* (of the client, or what its helpers make of one) was closed: nothing more is expected of it."""
    held = getattr(stream, "__dict__", {})
    raw = held.get("_raw_stream")
    iterator = (held if raw is None else getattr(raw, "__dict__", {})).get("_iterator")
    if isinstance(iterator, Watched):
        iterator.request.end()


class Watched:
    """What the two kinds of iterators have in common."""

    __slots__ = ("_add", "_next", "iterator", "request")

    def __init__(self, iterator: Any, request: Request) -> None:
        self.iterator = iterator
        self.request = request
        self._add: Add = request.answer.add if request.answer is not None else None

    def __getattr__(self, name: str) -> Any:
        if name in Watched.__slots__:
            raise AttributeError(name)  # not there yet, or no more
        return getattr(self.iterator, name)

    def __del__(self) -> None:
        # The stream was dropped. At the interpreter's end there is nothing left to tell it to.
        try:
            if not self.request.is_over and not sys.is_finalizing():
                self.request.end()
        except Exception as error:
            guard.fault("openai", error)

    def _gave_up(self, error: Exception) -> None:
        self._add = None
        guard.fault("openai", error)


class Pieces(Watched):
    """The pieces of a stream of the sync client."""

    __slots__ = ()

    def __init__(self, iterator: Any, request: Request) -> None:
        Watched.__init__(self, iterator, request)
        self._next: Callable[[], Any] = iterator.__next__

    def __iter__(self) -> Pieces:
        return self

    def __next__(self) -> Any:
        try:
            piece = self._next()
        except StopIteration:
            self.request.end()
            raise
        except BaseException as error:
            tb = traceback_of(error)
            self.request.fail(error)
            leave_no_frame(error, tb)
            raise
        if self._add is not None:
            try:
                self._add(piece)
            except Exception as error:
                self._gave_up(error)
        return piece


class AsyncPieces(Watched):
    """The pieces of a stream of the async client."""

    __slots__ = ()

    def __init__(self, iterator: Any, request: Request) -> None:
        Watched.__init__(self, iterator, request)
        self._next: Callable[[], Any] = iterator.__anext__

    def __aiter__(self) -> AsyncPieces:
        return self

    async def __anext__(self) -> Any:
        try:
            piece = await self._next()
        except StopAsyncIteration:
            self.request.end()
            raise
        except BaseException as error:
            tb = traceback_of(error)
            self.request.fail(error)
            leave_no_frame(error, tb)
            raise
        if self._add is not None:
            try:
                self._add(piece)
            except Exception as error:
                self._gave_up(error)
        return piece
