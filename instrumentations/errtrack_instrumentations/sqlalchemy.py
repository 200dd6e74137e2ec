# SPDX-License-Identifier: MIT
"""The statements of SQLAlchemy are breadcrumbs, and spans where tracing is on, whatever driver is below.

Told is the statement with its placeholders, never its parameters. Slow ones name the line of the application.
"""

from __future__ import annotations

from errtrack import guard
from errtrack.context import trace as tracing
from errtrack.instrumentation import Instrumentation, OnImport, shielded

from . import _breadcrumbs, _queries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

#: In the place of True: truth enough for the drivers below.
_US: Any = "sqlalchemy"

_SYSTEMS = {
    "postgresql": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "oracle": "oracle",
    "sqlite": "sqlite",
}


def listen(sqlalchemy: ModuleType) -> None:
    """sqlalchemy has been imported: its engines can be listened to."""
    library: Any = sqlalchemy
    event, Engine = library.event, library.engine.Engine
    event.listen(Engine, "before_cursor_execute", shielded("sqlalchemy", begin))
    event.listen(Engine, "after_cursor_execute", shielded("sqlalchemy", end))
    event.listen(Engine, "handle_error", shielded("sqlalchemy", fail))


def begin(
    connection: Any, cursor: Any, statement: Any, parameters: Any, context: Any, executemany: bool, **_: Any
) -> None:
    """before_cursor_execute(connection, cursor, statement, parameters, context, executemany)"""
    told: Any = _queries.is_told.get()
    # What we have set ourselves may be left over: an exit tells no listener.
    if told is True or guard.is_inside():
        return
    text = _queries.text_of(statement, cursor)
    crumb: dict[str, Any] = {"category": "query", "message": text}
    if executemany:
        crumb["data"] = {"db.executemany": True}
    _breadcrumbs.keep(crumb)
    parent = tracing.recording()
    span = parent.start_child("db", text, "auto.db.sqlalchemy") if parent is not None else None
    if context is not None:
        context._errtrack_span = (span,)
        _queries.is_told.set(_US)


def end(
    connection: Any, cursor: Any, statement: Any, parameters: Any, context: Any, executemany: bool, **_: Any
) -> None:
    """after_cursor_execute(connection, cursor, statement, parameters, context, executemany)"""
    finish(connection, context)


def fail(context: Any) -> None:
    """handle_error(exception_context)"""
    finish(context.connection, context.execution_context, "internal_error")


def finish(connection: Any, context: Any, status: str = "") -> None:
    """The statement of an execution *context* is over, well or not."""
    held = getattr(context, "_errtrack_span", None)
    if held is None:
        return
    context._errtrack_span = None
    _queries.is_told.set(False)
    span = held[0]
    if span is not None:
        if status:
            span.set_status(status)
        _queries.finish(span, lambda: facts_of(connection), True)


def facts_of(connection: Any) -> dict[str, Any]:
    """What the engine was told of its database."""
    url = connection.engine.url
    name = connection.engine.dialect.name
    configured = {"NAME": url.database, "HOST": url.host, "PORT": url.port}
    return {"db.system": _SYSTEMS.get(name, name), **_queries.address_of(None, configured)}


INSTRUMENTATION = Instrumentation("sqlalchemy", supports=">=1.2", on_import=[OnImport("sqlalchemy", listen)])
