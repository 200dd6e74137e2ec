# SPDX-License-Identifier: MIT
"""Django's database queries are breadcrumbs of the events that follow, and spans where tracing is on.

Told is the statement with its placeholders, never its parameters. Slow queries name the line of the application that
made them. COMMIT and ROLLBACK have spans with ``django.db_transaction_spans``.
"""

from __future__ import annotations

from functools import partial

from errtrack import options
from errtrack.instrumentation import Call, Instrumentation, Patch

from ._late import _queries, tracing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice

_ORIGIN = "auto.db.django"

#: Where a connection has what its spans say of it.
_FACTS = "_errtrack_facts"


def query(call: Call) -> Advice:
    """CursorWrapper.execute(self, sql, params=None)"""
    cursor = call.args[0]
    text = _queries.text_of(call.args[1] if len(call.args) > 1 else call.get(1, "sql", ""), cursor.cursor)
    return _queries.tell(text, _ORIGIN, partial(facts_of, cursor.db))


def query_many(call: Call) -> Advice:
    """CursorWrapper.executemany(self, sql, param_list)"""
    cursor = call.args[0]
    text = _queries.text_of(call.get(1, "sql", ""), cursor.cursor)
    return _queries.tell(text, _ORIGIN, partial(facts_of, cursor.db), many=True)


def call_procedure(call: Call) -> Advice:
    """CursorWrapper.callproc(self, procname, params=None, kparams=None)"""
    cursor = call.args[0]
    return _queries.tell(str(call.get(1, "procname", "")), _ORIGIN, partial(facts_of, cursor.db))


def connect(call: Call) -> Advice:
    """BaseDatabaseWrapper.connect(self)"""
    db = call.args[0]
    vars(db).pop(_FACTS, None)
    return _queries.tell("connect", _ORIGIN, partial(facts_of, db), locates=False)


def commit(call: Call) -> Advice:
    """BaseDatabaseWrapper._commit(self)"""
    return end_transaction(call, "COMMIT")


def roll_back(call: Call) -> Advice:
    """BaseDatabaseWrapper._rollback(self)"""
    return end_transaction(call, "ROLLBACK")


def end_transaction(call: Call, name: str) -> Advice:
    """The end of a transaction leaves no breadcrumb, and a span only by option."""
    parent = tracing.recording()
    if parent is None or not options.current().django_db_transaction_spans:
        yield
        return
    span = parent.start_child(op="db", name=name, origin=_ORIGIN)
    try:
        yield
    finally:
        span.set_data("db.operation", name.lower())
        _queries.finish(span, partial(facts_of, call.args[0]), False)


def facts_of(db: Any) -> dict[str, Any]:
    """What is known of a connection without asking the database: system, name, address."""
    known: dict[str, Any] | None = vars(db).get(_FACTS)
    if known is None:
        known = vars(db)[_FACTS] = _queries.address_of(db.connection, db.settings_dict)
        known["db.system"] = db.vendor
    return known


INSTRUMENTATION = Instrumentation(
    "django_database",
    supports=">=3.2",
    distribution="django",
    patches=[
        Patch("django.db.backends.utils", "CursorWrapper.execute", query),
        Patch("django.db.backends.utils", "CursorWrapper.executemany", query_many),
        Patch("django.db.backends.utils", "CursorWrapper.callproc", call_procedure),
        Patch("django.db.backends.base.base", "BaseDatabaseWrapper.connect", connect),
        Patch("django.db.backends.base.base", "BaseDatabaseWrapper._commit", commit),
        Patch("django.db.backends.base.base", "BaseDatabaseWrapper._rollback", roll_back),
    ],
)
