# SPDX-License-Identifier: MIT
"""The embedded store: without a server, what was caught is kept in one SQLite file and shown by ``errtrack
list``.

It is filled by draining the spool, in the delivery thread or in the command line, never by a thread of the
application. Several processes may fill it at once. It is bounded by age and by size; a damaged file is moved
aside and a new one begun; a file of a newer errtrack is left alone.

What the disk refuses is raised as ``OSError`` or ``sqlite3.Error``; the caller then keeps the event in the
spool.
"""

from __future__ import annotations

import os
import time

from errtrack import guard
from errtrack.delivery import places, store_rows
from errtrack.delivery import store_tables as tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from typing import Any, Callable, TypeVar

    T = TypeVar("T")
    Row = dict[str, Any]

FILE_NAME = "store.db"

_PRUNE_INTERVAL = 60.0
_DAY = 86_400.0
_BUSY_TIMEOUT = 2.0
_CORRUPT_KEPT = 3

#: Connections of a parent process: closing one after a fork would disturb the parent's file, so they are kept
#: open.
_of_parents: list[Any] = []

#: Stores whose file is open, or is about to be, by their ids, and the process of each.
_opened: dict[int, int] = {}


def is_inherited() -> bool:
    """Whether this process was forked while its parent had a store open.

    SQLite then takes the parent's locks for this process's own: what it writes may be lost as the parent closes the
    file (https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_across_a_fork_).
    """
    own = os.getpid()
    return any(pid != own for pid in list(_opened.values()))


class Store:
    """The embedded store in *folder*; its file is opened, and made if need be, at the first use.

    *max_age_days* and *max_size* (bytes) bound it; 0 is unbounded. One thread at a time.
    """

    def __init__(self, folder: str, max_age_days: float, max_size: int) -> None:
        self.path = os.path.join(folder, FILE_NAME)
        self._max_age = max_age_days * _DAY
        self._max_size = max_size
        self._connection: sqlite3.Connection | None = None
        self._pid = 0
        self._inode = 0
        self._pruned_at: float | None = None
        self._added_since = 0

    def add(self, envelopes: Iterable[bytes]) -> int:
        """Keep the events of *envelopes* in one transaction; return how many were new.

        An event whose id is known already, an envelope that cannot be read and items that are not events are
        passed over. Raises ``OSError`` or ``sqlite3.Error``, and then nothing was kept.
        """
        rows = [row for data in envelopes for row in store_rows.rows(data)]
        if not rows:
            return 0
        added = self._recovering(lambda connection: self._insert(connection, rows))
        self._added_since += sum(len(row["payload"]) for row in rows)
        if (
            self._pruned_at is None
            or time.monotonic() - self._pruned_at >= _PRUNE_INTERVAL
            or (self._max_size and self._added_since > self._max_size // 10)
        ):
            self.prune()
        return added

    def issues(self, limit: int = 50, text: str = "", since: float = 0.0) -> list[Row]:
        """The *limit* issues that were seen last, newest first; with *text* in what and where, seen *since* then.

        Keys: ``id`` (``E-7``), ``title``, ``culprit``, ``level``, ``count``, ``first_seen``, ``last_seen``
        (seconds since 1970) and ``event_id`` (the newest event, None when none of its events is kept any
        more).
        """
        return self._read(lambda connection: tables.issues(connection, limit, text, since), [])

    def events(
        self, limit: int = 50, issue: str | None = None, text: str = "", since: float = 0.0
    ) -> list[Row]:
        """The *limit* newest events, of one *issue* (``E-7``) or of all; *text* and *since* as in :meth:`issues`.

        Keys: ``event_id``, ``issue``, ``timestamp`` (seconds since 1970), ``level``, ``title``, ``culprit``,
        and, where the event says so, ``environment``, ``release``, ``transaction``, ``server_name``,
        ``logger``.
        """
        number = tables.issue_number(issue) if issue is not None else None
        return self._read(lambda connection: tables.events(connection, limit, number, text, since), [])

    def event(self, wanted: str = "") -> Row | None:
        """Find one event by its id, the beginning of it, or its issue (``E-7``: the newest); ``""``: the
        newest.

        Keys: ``event_id``, ``issue`` (as in :meth:`issues`) and ``event`` (the payload).
        Raises :class:`errtrack.delivery.store_tables.Ambiguous`.
        """
        return self._read(lambda connection: tables.event(connection, wanted.strip()), None)

    def totals(self) -> Row:
        """How much is kept: ``issues``, ``events`` and ``size`` (bytes in use)."""
        empty = {"issues": 0, "events": 0, "size": 0}
        return self._read(tables.totals, empty)

    def forget(self, issues: Iterable[str] | None = None) -> int:
        """Delete the events of *issues* (``E-7``), or all; return how many went. They do not come back."""
        numbers = None if issues is None else [tables.issue_number(issue) for issue in issues]
        return self._read(lambda connection: tables.forget(connection, numbers), 0)

    def prune(self) -> int:
        """Delete what is older or more than allowed; return how many events went. One event always fits."""
        self._pruned_at = time.monotonic()
        self._added_since = 0
        if not os.path.exists(self.path):
            return 0
        return self._recovering(lambda connection: tables.prune(connection, self._max_age, self._max_size))

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._pid == os.getpid():
            connection.close()
            _opened.pop(id(self), None)
        else:
            _of_parents.append(connection)

    def _insert(self, connection: sqlite3.Connection, rows: list[Row]) -> int:
        now = time.time()
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            return sum(tables.insert(connection, row, now) for row in rows)

    def _read(self, work: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        """Run *work* on the file; *nothing* when there is no file: looking must not make one."""
        if not os.path.exists(self.path):
            return nothing
        return self._recovering(work)

    def _recovering(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run *work*; when the file turns out to be damaged, move it aside and run *work* on a new one."""
        import sqlite3

        try:
            return work(self._open())
        except sqlite3.DatabaseError as error:
            # The exact class: SQLITE_CORRUPT and SQLITE_NOTADB. A full disk, a lock or a wrong right is a
            # subclass.
            if type(error) is not sqlite3.DatabaseError:
                raise
            self._move_aside(error)
        return work(self._open())

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._pid == os.getpid() and self._is_in_place():
            return self._connection
        self.close()
        import sqlite3

        self._inode = _make_private(self.path)
        _opened[id(self)] = os.getpid()
        connection = sqlite3.connect(
            self.path,
            timeout=_BUSY_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=32,
        )
        self._connection, self._pid = connection, os.getpid()
        try:
            tables.prepare(connection, self.path)
        except BaseException:
            self.close()
            raise
        return connection

    def _is_in_place(self) -> bool:
        """False when somebody deleted or moved the file: writing on would fill a file without a name."""
        try:
            return os.stat(self.path).st_ino == self._inode
        except OSError:
            return False

    def _move_aside(self, error: sqlite3.DatabaseError) -> None:
        self.close()
        # Another process may have been faster, and the file with this name may be its new one.
        if not self._is_in_place():
            return
        aside = "%s.corrupt-%s" % (self.path, time.strftime("%Y%m%d-%H%M%S", time.gmtime()))
        for suffix in ("-wal", "-shm", ""):
            try:
                os.replace(self.path + suffix, aside + suffix)
            except FileNotFoundError:
                pass
        _drop_old_corrupt(self.path)
        guard.tell("the store was damaged (%s); it is now %s, and a new one was begun" % (error, aside))


def _drop_old_corrupt(path: str) -> None:
    """Keep the last damaged files for whoever wants to look, and not a disk full of them."""
    folder, name = os.path.split(path)
    corrupt = sorted(
        entry
        for entry in os.listdir(folder or ".")
        if entry.startswith(name + ".corrupt-") and entry[-4] != "-"
    )
    for entry in corrupt[:-_CORRUPT_KEPT]:
        for suffix in ("-wal", "-shm", ""):
            try:
                os.unlink(os.path.join(folder, entry + suffix))
            except OSError:
                pass


def _make_private(path: str) -> int:
    """Make the file readable by its owner only, before SQLite makes it after the umask; return its inode."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        descriptor = places.open_private(path, flags)
    except OSError as error:
        raise tables.StoreUnusable(error.errno, "%s cannot be opened: %s" % (path, error.strerror)) from None
    try:
        return os.fstat(descriptor).st_ino
    finally:
        os.close(descriptor)
