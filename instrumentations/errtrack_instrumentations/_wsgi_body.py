# SPDX-License-Identifier: MIT
"""The bodies of WSGI answers behind proxies: each piece is made in the request's scope, and what it raises reported."""

from __future__ import annotations

import errtrack
from errtrack.context import scope as scopes
from errtrack.instrumentation import leave_no_frame, traceback_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextvars import Token
    from typing import Any

    from errtrack.context.scope import Pair

    from ._request import Record

#: Iterators over what is there already.
_SAFE: tuple[Any, ...] = (type(iter([])), type(iter(())))


def report(error: BaseException, start_response: Any = None) -> None:
    """Report what a WSGI application let out; a closed generator, a successful exit and a client that has gone, told
    by the ``write`` that the server's *start_response* has returned, are no errors.
    """
    if isinstance(error, GeneratorExit):
        return
    if (isinstance(error, SystemExit) and error.code in (None, 0)) or is_disconnect(error, start_response):
        errtrack.dismiss_exception(error)  # or the server's log of it would be an event
    else:
        errtrack.report_exception(error, "wsgi", level="error" if isinstance(error, Exception) else "fatal")


def is_disconnect(error: BaseException, start_response: Any) -> bool:
    """Whether *error* comes from the server's own ``write``, which is where its *start_response* is."""
    if not isinstance(error, OSError) and type(error).__name__ != "ClientDisconnected":  # waitress' own
        return False
    server = getattr(getattr(start_response, "__func__", start_response), "__globals__", None)
    if server is None:
        return error.args == ("write error",)  # of uWSGI, in C
    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_globals is not server:
        tb = tb.tb_next
    return tb is not None


class Body:
    """A response body: each piece is made, and the end is closed, in the request's scope."""

    __slots__ = ("_body", "_is_last", "_iterator", "_pair", "_record")

    def __init__(self, body: Any, record: Record, is_last: bool = True) -> None:
        self._body = body
        #: Whether the request is over with it.
        self._is_last = is_last
        self._pair = record.pair
        self._record = record
        self._iterator: Any = None

    def __iter__(self) -> Iterator[bytes]:
        token = scopes.enter(self._pair)
        try:
            pieces: Iterator[bytes] = iter(self._body)
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            scopes.leave(token)
        # Those fail at nothing, and run nothing of the application's.
        return pieces if type(pieces) in _SAFE else self._watched(pieces)

    def __next__(self) -> bytes:
        if self._iterator is None:
            self._iterator = iter(self)
        piece: bytes = next(self._iterator)
        return piece

    def _watched(self, body: Any) -> Iterator[bytes]:
        enter, reset, pair = scopes.enter, scopes.reset, self._pair
        token: Token[Pair | None] | None = enter(pair)
        try:
            for piece in body:
                used, token = token, None
                try:
                    reset(used)  # type: ignore[arg-type] # it is entered whenever a piece is made
                except ValueError:
                    scopes.leave(used)  # type: ignore[arg-type]
                yield piece
                token = enter(pair)
        except BaseException as error:
            tb = traceback_of(error)
            if token is not None:
                self._fail(error)
            else:  # it is the server that ends it here
                self._left()
            leave_no_frame(error, tb)
            raise
        finally:
            if token is not None:
                scopes.leave(token)

    def _left(self) -> None:
        """The iterator was closed, or what throws was thrown into it, before its end."""

    def _fail(self, error: BaseException) -> None:
        self._record.status = "internal_error"
        report(error)

    def close(self) -> None:
        token = scopes.enter(self._pair)
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            report(error)
            raise
        finally:
            try:
                scopes.reset(token)
            except ValueError:
                scopes.leave(token)
            if self._is_last:
                self._record.close()

    def __del__(self) -> None:
        # A server that never closes what it has sent: the request is over all the same.
        try:
            if self._is_last and self._record.what is not None:
                self._record.close()
        except AttributeError:  # a copy that nobody has filled
            pass

    def __getattr__(self, name: str) -> Any:
        if name in Body.__slots__:
            raise AttributeError(name)
        return getattr(self._body, name)


class IteratorBody(Body):
    """A body that is its own iterator, such as a generator: ``yield from`` closes what it iterates over when it is left
    before the end, and who has taken a piece from one iterator finds the next with another.
    """

    __slots__ = ()

    def __iter__(self) -> Iterator[bytes]:
        if self._iterator is None:
            self._iterator = self._watched(self._body)
        pieces: Iterator[bytes] = self._iterator
        return pieces

    def _left(self) -> None:
        if self._iterator is not None:
            self._iterator = None
            super().close()

    def close(self) -> None:
        pieces, self._iterator = self._iterator, None
        if pieces is not None:
            pieces.close()  # it holds this one
        super().close()


class PlainBody(Body):
    """A body of one of the :data:`plain` types."""

    __slots__ = ()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)


class SizedBody(Body):
    """A body whose length servers turn into a Content-Length."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(self._body)


#: Types of bodies that hold their pieces in a list: to iterate over one runs nothing of the application's.
plain: set[type] = set()

#: The proxies of the types that bodies had: to ask a type for what it does not have costs as much as the proxy itself.
proxies: dict[type, type[Body]] = {}


def proxy_of(kind: type) -> type[Body]:
    """The class of proxies for bodies that are a *kind*."""
    found: type[Body] = Body
    if kind in plain:
        found = PlainBody
    elif hasattr(kind, "__len__"):
        found = SizedBody
    elif hasattr(kind, "__next__"):
        found = IteratorBody
    if len(proxies) > 100:  # types that are made anew for each request
        proxies.clear()
    proxies[kind] = found
    return found
