# SPDX-License-Identifier: MIT
"""The statements of ``psycopg`` 3 are breadcrumbs, and spans where tracing is on; blocking and async alike.

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
    """Cursor.execute(self, query, params=None, *, ...)"""
    return (yield from tell(call, False))


def execute_many(call: Call) -> Advice:
    """Cursor.executemany(self, query, params_seq, *, returning=False)"""
    return (yield from tell(call, True))


def tell(call: Call, many: bool) -> Advice:
    """A statement"""
    cursor = call.args[0]

    def facts() -> dict[str, Any]:
        return {"db.system": "postgresql", **_queries.address_of(cursor.connection, {})}

    return (
        yield from _queries.tell(
            _queries.text_of(call.get(1, "query"), cursor), "auto.db.psycopg", facts, many
        )
    )


def patches(module: str, kind: str) -> list[Patch]:
    """Those of one class of cursors."""
    return [
        Patch(module, kind + ".execute", execute, _drivers.is_told),
        Patch(module, kind + ".executemany", execute_many, _drivers.is_told),
    ]


INSTRUMENTATION = Instrumentation(
    "psycopg",
    supports=">=3.1",
    patches=[*patches("psycopg.cursor", "Cursor"), *patches("psycopg.cursor_async", "AsyncCursor")],
)
