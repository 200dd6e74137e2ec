# SPDX-License-Identifier: MIT
"""With tracing on, the statements of ``psycopg2`` are spans and breadcrumbs; slow ones name their line.

Connections that ``psycopg2.connect`` makes are then of a subclass, since those of C cannot be watched. Without tracing
nothing is touched.
"""

from __future__ import annotations

import sys

from errtrack import options
from errtrack.instrumentation import Call, Instrumentation, Patch, driven

from . import _drivers, _queries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice


def connect(call: Call) -> Advice:
    """psycopg2.connect(dsn=None, connection_factory=None, cursor_factory=None, **kwargs)"""
    if options.current().traces:
        factory = call.get(1, "connection_factory")
        if factory is None:
            factory = sys.modules["psycopg2.extensions"].connection
        if isinstance(factory, type):
            call.replace(1, "connection_factory", _drivers.tracked(factory, connections_of))
    yield


def give_factory(call: Call) -> Advice:
    """connection.cursor(self, name=None, cursor_factory=None, withhold=False, scrollable=None)"""
    connection = call.args[0]
    factory = call.get(2, "cursor_factory") or connection.cursor_factory
    if factory is None:
        factory = sys.modules["psycopg2.extensions"].cursor
    if isinstance(factory, type):
        call.replace(2, "cursor_factory", _drivers.tracked(factory, cursors_of))
    yield


def connections_of(base: Any) -> dict[str, Any]:
    """The method of a class of connections, with our handler around it."""
    return {"cursor": driven("psycopg2", give_factory, base.cursor)}


def cursors_of(base: Any) -> dict[str, Any]:
    """The methods of a class of cursors that take statements, with our handlers around them."""
    return {
        "execute": driven("psycopg2", execute, base.execute, _drivers.is_told),
        "executemany": driven("psycopg2", execute_many, base.executemany, _drivers.is_told),
        "callproc": driven("psycopg2", execute, base.callproc, _drivers.is_told),
    }


def execute(call: Call) -> Advice:
    """cursor.execute(self, query, vars=None); cursor.callproc(self, procname, parameters=None)"""
    return (yield from tell(call, False))


def execute_many(call: Call) -> Advice:
    """cursor.executemany(self, query, vars_list)"""
    return (yield from tell(call, True))


def tell(call: Call, many: bool) -> Advice:
    """A statement"""
    cursor = call.args[0]
    statement = _queries.text_of(call.get(1, "query"), cursor)

    def facts() -> dict[str, Any]:
        return {"db.system": "postgresql", **_queries.address_of(cursor.connection, {})}

    return (yield from _queries.tell(statement, "auto.db.psycopg2", facts, many))


INSTRUMENTATION = Instrumentation(
    "psycopg2",
    distribution="psycopg2-binary",
    patches=[Patch("psycopg2", "connect", connect)],
)
