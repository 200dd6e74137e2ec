# SPDX-License-Identifier: MIT
"""The drain: without a DSN, what waits in the spool is filled into the embedded store.

By the delivery thread of the process that captured it, of another one later, or by ``errtrack list``. The
threads of the application never write SQL.
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from time import monotonic

from errtrack import guard
from errtrack.delivery import claims, places, segment
from errtrack.delivery.segment import Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.delivery.post import Tried
    from errtrack.delivery.store import Store
    from errtrack.options import Options

_BATCH = 50
_LONGEST_PAUSE = 60.0


class Drain:
    """Fills the store in *folder* (None: there is no place for one). Has the same face as ``Post``."""

    #: Seconds that events are gathered before they are written in one transaction.
    linger = 1.0

    def __init__(self, options: Options, folder: str | None, told: dict[str, float] | None = None) -> None:
        """*told*: what whoever made us has told the user, and when; ``full``: that the disk takes nothing."""
        self._options = options
        self._folder = folder
        self._store: Store | None = None
        self.ready_at = 0.0
        self.busy_since = 0.0
        self.until: float | None = None
        self.stopped = False
        self.delivered = 0
        self.can_send = True
        #: No transaction is begun meanwhile.
        self.paused = False
        #: Held while a fork would leave the child with something half done: an import, a call into SQLite.
        self.unforkable = allocate_lock()
        self._is_prepared = False
        self._failures = 0
        self._told = told if told is not None else {}

    def prepare(self) -> bool:
        """Import what filling the store needs; False while ``paused``."""
        with self.unforkable:
            if self.paused:
                return False
            if self._is_prepared:
                return True
            try:
                import json  # noqa: F401
                import sqlite3  # noqa: F401
                import zlib  # noqa: F401

                import errtrack.delivery.bounds  # and with it the tally
                import errtrack.delivery.quarantine
                import errtrack.delivery.store  # noqa: F401
            except ImportError as error:
                guard.tell("cannot fill the store: %s; events wait in the spool" % error)
            self._is_prepared = True
        return True

    def after_fork_in_child(self) -> None:
        """The connection is the parent's; the child opens its own."""

    def is_in_trouble(self, now: float) -> bool:
        """True when it is known that the store cannot be written just now."""
        return self.ready_at > now

    def next_try(self, now: float) -> float:
        """Seconds until the next try may be worth it."""
        return max(self.ready_at - now, 0.0)

    def lost(self, reason: str, category: str, quantity: int = 1) -> None:
        """There is nobody to tell."""

    def turns_away(self, category: str) -> bool:
        """Nothing is limited here."""
        return False

    def carry(self, reader: Reader) -> bool:
        """Fill what is pending in *reader* into the store; True when nothing is left."""
        records = list(reader.pending.values())
        for start in range(0, len(records), _BATCH):
            if self.stopped or self.paused:
                return False
            batch = records[start : start + _BATCH]
            batch, payloads = _read(reader, batch)
            if not self._add(payloads):
                return False
            for record in batch:
                reader.mark(record, segment.DONE)
        return not reader.pending

    def carry_one(self, reader: Reader, record: segment.Record) -> bool:
        """Fill one record into the store."""
        read, payloads = _read(reader, [record])
        done = bool(read) and self._add(payloads)
        if done:
            reader.mark(record, segment.DONE)
        return done

    def carry_loose(self, data: bytes, tried: Tried) -> bool:
        """Fill an envelope into the store that could not be written to the spool."""
        return self._add([data])

    def report(self, at_once: bool) -> None:
        """There is nobody to tell."""

    def abort(self) -> None:
        """Stop after the transaction in hand."""
        self.stopped = True

    def close(self) -> None:
        """Close the store's file."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def _add(self, payloads: list[bytes]) -> bool:
        if self._folder is None:
            return False
        try:
            with self.unforkable:
                if self.paused:
                    return False
                from errtrack.delivery import store as stores

                if stores.is_inherited():
                    # The fork ran no hooks, which would have waited. Others may write what waits in the spool.
                    self.ready_at = monotonic() + _LONGEST_PAUSE
                    return False
                if self._store is None:
                    self._store = open_store(self._options, self._folder)
                try:
                    self._store.add(payloads)
                finally:
                    # A daemon may close every number while nothing is written, and have them mean files of its own.
                    self._store.close()
        except Exception as error:
            if not _is_of_the_disk(error):
                return self._add_each(payloads, error)
            self._failures += 1
            self.ready_at = monotonic() + min(_LONGEST_PAUSE, 2.0 ** min(self._failures, 10))
            # Once an hour; and where the spool's disk is known to be full, that is why, and nothing waits in it.
            if monotonic() - max(self._told.get(topic, -3600.0) for topic in ("store", "full")) >= 3600.0:
                self._told["store"] = monotonic()
                guard.tell(
                    "cannot write the store in %s (%s); events wait in the spool" % (self._folder, error)
                )
            return False
        self._failures = 0
        self.ready_at = 0.0
        return True

    def _add_each(self, payloads: list[bytes], error: Exception) -> bool:
        """One of *payloads* is more than the store can read: find it, and go on without it."""
        if len(payloads) == 1:
            guard.fault("delivery.drain", error)
            return True
        kept = [self._add([payload]) for payload in payloads]
        return all(kept)


def _is_of_the_disk(error: Exception) -> bool:
    if isinstance(error, (OSError, ImportError)):
        return True
    import sqlite3

    return isinstance(error, sqlite3.Error)


def open_store(options: Options, folder: str) -> Store:
    """The store in *folder* with the bounds of the settings."""
    from errtrack.delivery.store import Store

    return Store(folder, options.store_max_age, options.store_max_size)


def drain_to_store(options: Options, environ: Any = None) -> int:
    """Fill everything that waits without a destination into the store; return how many events were new to it.

    Segments of processes that are gone are emptied and removed; those of live ones are only read, as their
    own thread will empty them and the store knows an event by its id. Raises ``OSError`` or ``sqlite3.Error``
    when the store cannot be written; nothing is lost then.
    """
    folder = places.state_folder(options, environ)
    if folder is None:
        return 0
    store = open_store(options, folder)
    added = 0
    try:
        for waiting in places.existing_spools(options, places.STORE, environ):
            while True:
                orphans = claims.claim(waiting, set(), _BATCH)
                try:
                    for reader in orphans:
                        reader.look()
                        read, payloads = _read(reader, list(reader.pending.values()))
                        added += store.add(payloads)
                        for record in read:
                            reader.mark(record, segment.DONE)
                        if not reader.pending:
                            claims.discard(reader)
                finally:
                    for reader in orphans:
                        reader.close()
                if len(orphans) < _BATCH or any(reader.pending for reader in orphans):
                    break
            added += _read_live(store, waiting)
    finally:
        store.close()
    return added


def _read_live(store: Store, waiting: str) -> int:
    added = 0
    for name in sorted(os.listdir(waiting)):
        if not (name.startswith("seg-") and name.endswith(".log")):
            continue
        try:
            reader = Reader.open(os.path.join(waiting, name), write=False)
        except OSError:  # its owner has just emptied and removed it
            continue
        try:
            reader.look()
            added += store.add(_read(reader, list(reader.pending.values()))[1])
        finally:
            reader.close()
    return added


def _read(reader: Reader, records: list[segment.Record]) -> tuple[list[segment.Record], list[bytes]]:
    """Those of *records* that the disk gives, and what they hold; what is damaged holds nothing."""
    read, payloads = [], []
    for record in records:
        try:
            payload = reader.payload(record)
        except OSError:
            continue
        read.append(record)
        if payload is not None:
            payloads.append(payload)
    return read, payloads
