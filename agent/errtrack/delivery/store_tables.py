# SPDX-License-Identifier: MIT
"""The embedded store's tables, and every statement that reads or fills them.

An issue keeps its count when its older events are deleted to make room, and goes with the last of them.
"""

from __future__ import annotations

import time

from errtrack.delivery.bounds import CLOCK_IS_SET

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from typing import Any

    Row = dict[str, Any]

#: Raised with every change of the tables; kept in the file as SQLite's ``user_version``.
SCHEMA_VERSION = 1
#: SQLite's ``application_id``: "ERTK". A database of somebody else is never touched.
APPLICATION_ID = 0x4552544B

_TABLES = (
    """CREATE TABLE issue (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,
        title TEXT NOT NULL, culprit TEXT NOT NULL, level TEXT NOT NULL,
        first_seen REAL NOT NULL, last_seen REAL NOT NULL, count INTEGER NOT NULL)""",
    "CREATE INDEX issue_last_seen ON issue (last_seen)",
    """CREATE TABLE event (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        event_id TEXT NOT NULL UNIQUE,
        issue INTEGER NOT NULL REFERENCES issue (id),
        timestamp REAL NOT NULL, stored REAL NOT NULL,
        level TEXT NOT NULL, title TEXT NOT NULL, culprit TEXT NOT NULL,
        summary TEXT NOT NULL, payload BLOB NOT NULL)""",
    "CREATE INDEX event_issue ON event (issue, timestamp)",
    "CREATE INDEX event_timestamp ON event (timestamp)",
    "CREATE INDEX event_stored ON event (stored)",
    "CREATE TABLE pruned (number INTEGER PRIMARY KEY AUTOINCREMENT, event_id TEXT NOT NULL UNIQUE)",
)

#: Ids of deleted events that are remembered, so that a segment read twice does not bring them back.
_REMEMBERED = 20_000
#: The largest payload that is unpacked; the protocol's own limit is 1 MB.
_MAX_PAYLOAD = 16_000_000

_ISSUE_COLUMNS = """issue.id, issue.title, issue.culprit, issue.level, issue.count,
    issue.first_seen, issue.last_seen,
    (SELECT event_id FROM event WHERE issue = issue.id ORDER BY timestamp DESC, number DESC LIMIT 1)
    AS event_id"""
_NO_EVENTS = "NOT EXISTS (SELECT 1 FROM event WHERE issue = issue.id)"
_HAS_TEXT = "instr(lower(title || char(10) || culprit), ?)"  # an empty text is found in any
_TOO_LONG_AGO = "number <= (SELECT max(number) FROM pruned) - ?"


class StoreUnusable(OSError):
    """The store's file cannot be used and was left as it is. The message is for the user."""


class Ambiguous(LookupError):
    """Several events begin with the wanted id; ``candidates`` holds some of their ids."""

    def __init__(self, candidates: list[str]) -> None:
        super().__init__("several events begin so: %s" % ", ".join(candidates))
        self.candidates = candidates


def prepare(connection: sqlite3.Connection, path: str) -> None:
    """Make the tables in a new file, and refuse a file that is not ours to write."""
    import sqlite3

    connection.row_factory = sqlite3.Row
    with connection:
        # One look: another process that makes the tables between two looks would seem to be another program.
        connection.execute("BEGIN")
        version, owner = _pragma(connection, "user_version"), _pragma(connection, "application_id")
        is_new = not (version or owner or _has_tables(connection))
    if owner != APPLICATION_ID and not is_new:
        raise StoreUnusable("%s is a database of another program; it was not touched" % path)
    if version > SCHEMA_VERSION:
        raise StoreUnusable(
            "%s was written by a newer errtrack (format %d, this one knows %d) and was not touched; "
            "upgrade errtrack-run, or name another folder by ERRTRACK_STORE" % (path, version, SCHEMA_VERSION)
        )
    if not version:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # counts only before the first table is made
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            # Another process may have made the tables while this one waited for the lock.
            if not _pragma(connection, "user_version"):
                for statement in _TABLES:
                    connection.execute(statement)
                connection.execute("PRAGMA application_id = %d" % APPLICATION_ID)
                connection.execute("PRAGMA user_version = %d" % SCHEMA_VERSION)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError:
        pass  # busy at this moment, or a file system without shared memory: the default journal is as safe
    # A power cut may cost the last commits, never the file's health.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA journal_size_limit = 4000000")


def insert(connection: sqlite3.Connection, row: Row, now: float) -> int:
    """Keep one event; return 1, or 0 when its id is known already. Belongs inside a transaction."""
    event_id = row["event_id"]
    for table in ("event", "pruned"):
        if connection.execute("SELECT 1 FROM %s WHERE event_id = ?" % table, (event_id,)).fetchone():
            return 0
    # A clock that was wrong must not keep an event on top of the list for years.
    stamp = row["timestamp"]
    row["timestamp"] = stamp = now if stamp is None or stamp > now + 60 else stamp
    known = connection.execute("SELECT id, last_seen FROM issue WHERE key = ?", (row["key"],)).fetchone()
    if known is None:
        cursor = connection.execute(
            "INSERT INTO issue (key, title, culprit, level, first_seen, last_seen, count)"
            " VALUES (:key, :title, :culprit, :level, :timestamp, :timestamp, 1)",
            row,
        )
        issue = cursor.lastrowid
    else:
        issue = known["id"]
        connection.execute(
            "UPDATE issue SET count = count + 1, first_seen = min(first_seen, ?),"
            " last_seen = max(last_seen, ?) WHERE id = ?",
            (stamp, stamp, issue),
        )
        if stamp >= known["last_seen"]:
            connection.execute(
                "UPDATE issue SET title = :title, culprit = :culprit, level = :level WHERE id = :issue",
                {**row, "issue": issue},
            )
    connection.execute(
        "INSERT INTO event (event_id, issue, timestamp, stored, level, title, culprit, summary, payload)"
        " VALUES (:event_id, :issue, :timestamp, :stored, :level, :title, :culprit, :summary, :payload)",
        {**row, "issue": issue, "stored": now},
    )
    return 1


def _looked_for(connection: sqlite3.Connection, text: str) -> str:
    """*text* as :data:`_HAS_TEXT` compares it; SQLite's own ``lower`` knows no letters beyond ASCII."""
    if not text.isascii():
        connection.create_function("lower", 1, str.lower)
    return text.lower()


def issues(connection: sqlite3.Connection, limit: int, text: str, since: float) -> list[Row]:
    found = connection.execute(
        "SELECT %s FROM issue WHERE last_seen >= ? AND %s ORDER BY last_seen DESC, id DESC LIMIT ?"
        % (_ISSUE_COLUMNS, _HAS_TEXT),
        (since, _looked_for(connection, text), limit or -1),
    )
    return [_issue(row) for row in found]


def events(
    connection: sqlite3.Connection, limit: int, issue: int | None, text: str, since: float
) -> list[Row]:
    import json

    found = connection.execute(
        "SELECT event_id, issue, timestamp, level, title, culprit, summary FROM event"
        " WHERE (? IS NULL OR issue = ?) AND timestamp >= ? AND %s ORDER BY timestamp DESC, number DESC LIMIT ?"
        % _HAS_TEXT,
        (issue, issue, since, _looked_for(connection, text), limit or -1),
    )
    out = []
    for row in found:
        shown = dict(row)
        shown["issue"] = "E-%d" % row["issue"]
        shown.update(json.loads(shown.pop("summary")))
        out.append(shown)
    return out


def event(connection: sqlite3.Connection, wanted: str) -> Row | None:
    number = issue_number(wanted)
    where, values = "1", []  # type: tuple[str, list[Any]]
    if number is not None:
        where, values = "issue = ?", [number]
    elif wanted:
        start = wanted.replace("-", "").lower()
        if not start or not set(start) <= set("0123456789abcdef"):
            return None
        # A range uses the index; "g" comes after every hexadecimal digit.
        where, values = "event_id >= ? AND event_id < ?", [start, start + "g"]
    found = connection.execute(
        "SELECT event_id, issue, payload FROM event WHERE %s ORDER BY timestamp DESC, number DESC LIMIT 6"
        % where,
        values,
    ).fetchall()
    if not found:
        return None
    if number is None and wanted and len(found) > 1:
        raise Ambiguous([row["event_id"] for row in found])
    row = found[0]
    query = "SELECT %s FROM issue WHERE id = ?" % _ISSUE_COLUMNS
    issue = connection.execute(query, (row["issue"],)).fetchone()
    return {"event_id": row["event_id"], "issue": _issue(issue), "event": _unpacked(row["payload"])}


def totals(connection: sqlite3.Connection) -> Row:
    row = connection.execute("SELECT (SELECT count(*) FROM issue), (SELECT count(*) FROM event)").fetchone()
    return {"issues": row[0], "events": row[1], "size": _used(connection)}


def prune(connection: sqlite3.Connection, max_age: float, max_size: int) -> int:
    """Delete events older than *max_age* seconds, then the oldest down to *max_size* bytes; 0 is no bound."""
    gone = 0
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        if max_age:
            now = time.time()
            if now >= CLOCK_IS_SET:
                connection.execute("UPDATE event SET stored = ? WHERE stored < ?", (now, CLOCK_IS_SET))
            gone += _forget(connection, "stored < ?", now - max_age)
        while max_size:
            excess = _used(connection) - max_size
            last = _last_to_go(connection, excess) if excess > 0 else None
            if last is None:
                break
            gone += _forget(connection, "number <= ?", last)
        if gone:
            _tidy(connection)
    if gone:
        _give_back(connection)
    return gone


def forget(connection: sqlite3.Connection, issues: list[int | None] | None) -> int:
    """Delete the events of *issues*; None: all that there are."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        if issues is None:
            gone = _forget(connection, "stored >= ?", 0.0)
        else:
            gone = sum(_forget(connection, "issue = ?", number) for number in issues if number is not None)
        _tidy(connection)
    _give_back(connection)
    return gone


def _tidy(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM issue WHERE " + _NO_EVENTS)
    connection.execute("DELETE FROM pruned WHERE " + _TOO_LONG_AGO, (_REMEMBERED,))


def _give_back(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA incremental_vacuum").fetchall()  # each step gives back one page


def _forget(connection: sqlite3.Connection, where: str, value: float) -> int:
    known = "SELECT event_id FROM event WHERE " + where
    connection.execute("INSERT OR IGNORE INTO pruned (event_id) " + known, (value,))
    return connection.execute("DELETE FROM event WHERE " + where, (value,)).rowcount


def _last_to_go(connection: sqlite3.Connection, excess: int) -> int | None:
    """Up to which number events must go to free *excess* bytes and a tenth; None when one event is left."""
    newest = connection.execute("SELECT max(number) FROM event").fetchone()[0]
    freed, last = 0, None
    for row in connection.execute("SELECT number, length(payload) FROM event ORDER BY number"):
        if row[0] == newest:
            break
        last = row[0]
        freed += row[1]
        if freed > excess * 1.1:
            break
    return last


def _used(connection: sqlite3.Connection) -> int:
    pages = _pragma(connection, "page_count") - _pragma(connection, "freelist_count")
    return pages * _pragma(connection, "page_size")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute("PRAGMA " + name).fetchone()[0])


def _has_tables(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None


def _issue(row: sqlite3.Row) -> Row:
    return {**dict(row), "id": "E-%d" % row["id"]}


def issue_number(wanted: str) -> int | None:
    """The number in an issue's id (``E-7`` or ``e-7``), or None when *wanted* is no such id."""
    head, _, number = wanted.strip().partition("-")
    is_id = head in ("E", "e") and number.isascii() and number.isdigit() and len(number) < 16
    return int(number) if is_id else None


def _unpacked(payload: bytes) -> Row:
    import json
    import zlib

    try:
        data = zlib.decompressobj().decompress(payload, _MAX_PAYLOAD)
        event = json.loads(data.decode("utf-8", "replace"))
    except (zlib.error, ValueError):
        return {}  # a damaged page that SQLite could not notice costs this event, not the list
    return event if isinstance(event, dict) else {}
