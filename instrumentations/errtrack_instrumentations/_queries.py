# SPDX-License-Identifier: MIT
"""What layers that talk to databases share: a query is told once, by the uppermost layer that knows of it."""

from __future__ import annotations

from errtrack import guard, options
from errtrack.context import trace as tracing

from . import _breadcrumbs, _code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import ContextVar
    from typing import Any

    from errtrack.context.span import Span
    from errtrack.instrumentation import Advice

#: A longer text is cut as the breadcrumb is left: a hundred of them would be held by every thread.
_LONGEST = 4096

#: Where psycopg's composed statements come from; they are put together on this side of the connection.
_COMPOSED = frozenset(("psycopg2.sql", "psycopg.sql"))


def _new_mark() -> ContextVar[bool]:
    from contextvars import ContextVar

    return ContextVar("errtrack_query", default=False)


#: Set while an upper layer (an ORM) is at a query: drivers below it have nothing to add.
is_told = _new_mark()


def text_of(statement: Any, cursor: Any) -> str:
    """The text of a statement: of one that psycopg composes too, of anything else its type."""
    if type(statement) is str and len(statement) <= _LONGEST:
        return statement
    if type(statement) is bytes:
        statement = statement[:_LONGEST].decode("utf-8", "replace")
    elif not isinstance(statement, str):
        if type(statement).__module__ not in _COMPOSED:
            return "<%s>" % type(statement).__name__
        try:
            statement = statement.as_string(cursor)
        except Exception:
            return "<%s>" % type(statement).__name__
    return statement if len(statement) <= _LONGEST else str(statement[:_LONGEST])


def tell(
    text: str,
    origin: str,
    facts: Callable[[], dict[str, Any]],
    many: bool = False,
    locates: bool = True,
) -> Advice:
    """What a handler does around a query: its breadcrumb, and where tracing is on its span.

    What *facts* returns is the span's data. The breadcrumb comes first, so that a query that fails is among those
    of its error. A slow span names the line of the application that made the query, if *locates*.
    """
    if guard.is_inside():
        yield
        return
    crumb: dict[str, Any] = {"category": "query", "message": text}
    if many:
        crumb["data"] = {"db.executemany": True}
    _breadcrumbs.keep(crumb)
    parent = tracing.recording()
    span = parent.start_child(op="db", name=text, origin=origin) if parent is not None else None
    token = is_told.set(True)
    try:
        yield
    except BaseException:
        if span is not None:
            span.set_status("internal_error")
        raise
    finally:
        is_told.reset(token)
        if span is not None:
            finish(span, facts, locates)


def finish(span: Span, facts: Callable[[], dict[str, Any]], locates: bool) -> None:
    """The query of *span* is over."""
    try:
        span.update_data(facts())
    except Exception as error:
        guard.debug("query: %s" % type(error).__name__)
    span.finish()
    now = options.current()
    if locates and now.enable_db_query_source:
        _code.locate(span, now.db_query_source_threshold_ms)


def address_of(connection: Any, configured: dict[str, Any]) -> dict[str, Any]:
    """``db.name`` and ``server.*`` of a driver's *connection*, or as *configured* (NAME, HOST, PORT)."""
    name, host, port = (configured.get(key) for key in ("NAME", "HOST", "PORT"))
    try:
        kind = type(connection)
        if kind.__module__.startswith("psycopg2") and callable(getattr(kind, "get_dsn_parameters", None)):
            given = connection.get_dsn_parameters()
            name, host, port = given.get("dbname", name), given.get("host", host), given.get("port", port)
        elif kind.__module__.startswith("psycopg.") or kind.__module__ == "psycopg":
            info = connection.info
            name, host, port = info.dbname, info.host, info.port
    except Exception:
        pass  # the connection is closed, or somebody's imitation of one
    facts: dict[str, Any] = {}
    if name:
        facts["db.name"] = str(name)
    if host and str(host).startswith("/"):
        facts["server.socket.address"] = str(host)
    elif host:
        facts["server.address"] = str(host)
    if port:
        facts["server.port"] = int(port) if str(port).isdigit() else str(port)
    return facts
