# SPDX-License-Identifier: MIT
"""The statements of ``asyncpg`` are breadcrumbs, and spans where tracing is on: also prepared ones and cursors.

Told is the statement with its placeholders, never its parameters. Slow ones name the line of the application.
"""

from __future__ import annotations

from errtrack.instrumentation import Call, Instrumentation, Patch

from . import _drivers, _queries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice


def execute(call: Call) -> Advice:
    """Connection.execute(self, query, ...); Connection._execute(self, query, args, ...)"""
    return (yield from tell(call.args[0], call.get(1, "query"), False))


def execute_many(call: Call) -> Advice:
    """Connection._executemany(self, query, args, ...)"""
    return (yield from tell(call.args[0], call.get(1, "query"), True))


def execute_prepared(call: Call) -> Advice:
    """PreparedStatement.__do_execute(self, executor); BaseCursor._bind_exec(self, n, timeout)"""
    held = call.args[0]
    return (yield from tell(held._connection, held._query, False))


def tell(connection: Any, statement: Any, many: bool) -> Advice:
    """A statement"""

    def facts() -> dict[str, Any]:
        return facts_of(connection)

    return (yield from _queries.tell(_queries.text_of(statement, None), "auto.db.asyncpg", facts, many))


def facts_of(connection: Any) -> dict[str, Any]:
    """What a connection, or a pool's stand-in for it, knows of itself."""
    address, parameters = connection._addr, connection._params
    host, port = address if isinstance(address, tuple) else (address, None)
    configured = {"NAME": parameters.database, "HOST": host, "PORT": port}
    return {"db.system": "postgresql", **_queries.address_of(None, configured)}


INSTRUMENTATION = Instrumentation(
    "asyncpg",
    supports=">=0.23",
    patches=[
        Patch("asyncpg.connection", "Connection.execute", execute, _drivers.is_told),
        Patch("asyncpg.connection", "Connection._execute", execute, _drivers.is_told),
        Patch("asyncpg.connection", "Connection._executemany", execute_many, _drivers.is_told),
        Patch(
            "asyncpg.prepared_stmt",
            "PreparedStatement._PreparedStatement__do_execute",
            execute_prepared,
            _drivers.is_told,
        ),
        Patch("asyncpg.cursor", "BaseCursor._bind_exec", execute_prepared, _drivers.is_told),
        Patch("asyncpg.cursor", "BaseCursor._exec", execute_prepared, _drivers.is_told),
    ],
)
