# SPDX-License-Identifier: MIT
"""With tracing on, the statements of ``sqlite3`` are spans and breadcrumbs; slow ones name the line of the application.

Connections that ``sqlite3.connect`` makes are then of a subclass, since those of C cannot be watched. Without tracing
nothing is touched, and nothing loaded.
"""

from __future__ import annotations

import os

from errtrack import options
from errtrack.instrumentation import Call, Instrumentation, Patch, driven

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice

_ORIGIN = "auto.db.sqlite3"


def is_off(args: Any) -> bool:
    """Whether tracing is: then connections stay what they are."""
    return not options.current().traces


def connect(call: Call) -> Advice:
    """sqlite3.connect(database, timeout=5.0, ..., factory=Connection, ...): the sixth"""
    from . import _drivers

    factory = call.get(5, "factory")
    if factory is None:
        from sqlite3 import Connection as factory
    if isinstance(factory, type):
        call.replace(5, "factory", _drivers.tracked(factory, connections_of))
    database = call.get(0, "database")
    connection = yield
    if isinstance(database, (str, bytes, os.PathLike)) and hasattr(connection, "__dict__"):
        connection._errtrack_name = os.path.basename(os.fsdecode(database).partition("?")[0])


def connections_of(base: Any) -> dict[str, Any]:
    """The methods of a class of connections, with our handlers around them."""
    return {"cursor": driven("sqlite3", give_factory, base.cursor), **statements_of(base)}


def give_factory(call: Call) -> Advice:
    """Connection.cursor(self, factory=Cursor)"""
    from . import _drivers

    factory = call.get(1, "factory")
    if factory is None:
        from sqlite3 import Cursor as factory
    if isinstance(factory, type):
        call.replace(1, "factory", _drivers.tracked(factory, statements_of))
    yield


def statements_of(base: Any) -> dict[str, Any]:
    """The methods of a class of connections or of cursors that take statements, with our handlers around them."""
    from . import _drivers

    return {
        "execute": driven("sqlite3", execute, base.execute, _drivers.is_told),
        "executemany": driven("sqlite3", execute_many, base.executemany, _drivers.is_told),
        "executescript": driven("sqlite3", execute, base.executescript, _drivers.is_told),
    }


def execute(call: Call) -> Advice:
    """Cursor.execute(self, sql, parameters=(), /); Cursor.executescript(self, sql_script, /)"""
    return (yield from tell(call, False))


def execute_many(call: Call) -> Advice:
    """Cursor.executemany(self, sql, parameters, /)"""
    return (yield from tell(call, True))


def tell(call: Call, many: bool) -> Advice:
    """A statement"""
    from . import _queries

    connection = getattr(call.args[0], "connection", call.args[0])

    def facts() -> dict[str, Any]:
        name = connection.__dict__.get("_errtrack_name", "")
        return {"db.system": "sqlite", "db.name": name} if name else {"db.system": "sqlite"}

    return (yield from _queries.tell(_queries.text_of(call.args[1], None), _ORIGIN, facts, many))


INSTRUMENTATION = Instrumentation("sqlite3", patches=[Patch("sqlite3.dbapi2", "connect", connect, is_off)])
