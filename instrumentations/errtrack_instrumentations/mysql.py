# SPDX-License-Identifier: MIT
"""The statements of ``PyMySQL`` and ``mysqlclient`` are breadcrumbs, and spans where tracing is on.

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
    """Cursor.execute(self, query, args=None); Cursor.callproc(self, procname, args=())"""
    return (yield from tell(call, False))


def execute_many(call: Call) -> Advice:
    """Cursor.executemany(self, query, args)"""
    return (yield from tell(call, True))


def tell(call: Call, many: bool) -> Advice:
    """A statement"""
    cursor = call.args[0]
    driver = "pymysql" if type(cursor).__module__.startswith("pymysql") else "mysqldb"

    def facts() -> dict[str, Any]:
        return facts_of(cursor.connection)

    return (
        yield from _queries.tell(_queries.text_of(call.args[1], cursor), "auto.db." + driver, facts, many)
    )


def facts_of(connection: Any) -> dict[str, Any]:
    """What PyMySQL keeps of a connection; mysqlclient keeps nothing that could be had without a query."""
    held = getattr(connection, "__dict__", {})
    found: dict[str, Any] = {"db.system": "mysql"}
    name = held.get("db")
    if name:
        found["db.name"] = name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)
    if held.get("unix_socket"):
        found["server.socket.address"] = str(held["unix_socket"])
    elif held.get("host"):
        found["server.address"], found["server.port"] = str(held["host"]), held.get("port")
    return found


INSTRUMENTATION = Instrumentation(
    "mysql",
    distribution="pymysql",
    patches=[
        patch
        for module, kind in (("pymysql.cursors", "Cursor"), ("MySQLdb.cursors", "BaseCursor"))
        for patch in (
            Patch(module, kind + ".execute", execute, _drivers.is_told),
            Patch(module, kind + ".executemany", execute_many, _drivers.is_told),
            Patch(module, kind + ".callproc", execute, _drivers.is_told),
        )
    ],
)
