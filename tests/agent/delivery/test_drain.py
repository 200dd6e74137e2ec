# SPDX-License-Identifier: MIT
"""Without a DSN events come into the embedded store: soon by our thread, at the latest when they are looked at."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from deliveries import Child, event, new_id, waiting

from errtrack.delivery import drain
from errtrack.delivery.drain import drain_to_store
from errtrack.delivery.store import Store
from errtrack.delivery.transport import Transport
from errtrack.options import Options


@pytest.fixture
def local(options: Options) -> Iterator[Transport]:
    made = Transport(options, None)
    yield made
    made.close()


def stored(options: Options) -> list[str]:
    store = Store(options.store, 0, 0)
    try:
        return [row["event_id"] for row in store.events(limit=100_000)]
    finally:
        store.close()


def put(transport: Transport, count: int = 1) -> list[str]:
    ids = [new_id() for _ in range(count)]
    for event_id in ids:
        assert transport.put(event(event_id))
    return ids


def test_events_come_into_the_store_by_themselves(local: Transport, options: Options, tmp_path: Path) -> None:
    ids = put(local, 3)
    deadline = time.monotonic() + 10
    while waiting(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sorted(stored(options)) == sorted(ids)


def test_many_events_are_gathered_into_few_transactions(
    local: Transport, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    transactions = []
    real = Store.add
    monkeypatch.setattr(Store, "add", lambda self, found: (transactions.append(1), real(self, found))[1])
    ids: list[str] = []
    for _ in range(20):
        ids += put(local, 5)
        time.sleep(0.02)
    assert local.flush(5)
    assert sorted(stored(options)) == sorted(ids)
    assert len(transactions) <= 6


def test_flush_does_not_wait_for_more_to_gather(local: Transport, options: Options) -> None:
    put(local)
    assert local.flush(5)
    ids = put(local)
    began = time.monotonic()
    assert local.flush(5)
    assert time.monotonic() - began < 0.7
    assert set(ids) <= set(stored(options))


def test_close_does_not_wait_and_the_rest_is_drained_when_it_is_looked_at(
    options: Options, tmp_path: Path
) -> None:
    transport = Transport(options, None)
    put(transport)
    transport.flush(5)
    ids = put(transport, 4)
    began = time.monotonic()
    transport.close()
    assert time.monotonic() - began < 0.3
    drain_to_store(options)
    assert set(ids) <= set(stored(options))
    assert waiting(tmp_path) == [] and list(tmp_path.rglob("seg-*")) == []


def test_looking_drains_what_killed_processes_left_and_reads_what_living_ones_hold(
    child: Child, options: Options
) -> None:
    killed = child.run("print(put(), flush=True); os.kill(os.getpid(), 9)").stdout.split()
    living = child.start(
        "transport._worker().start = lambda: False\nprint(put(), flush=True); time.sleep(30)"
    )
    assert living.stdout is not None
    ids = killed + living.stdout.readline().split()
    try:
        assert drain_to_store(options) == 2
        assert sorted(stored(options)) == sorted(ids)
        assert waiting(Path(options.store)) == ids[1:]  # the living process's is left to it
        assert drain_to_store(options) == 0
    finally:
        living.kill()
        living.communicate()
    assert drain_to_store(options) == 0  # known already, now also removed
    assert waiting(Path(options.store)) == []


def test_what_waits_in_every_candidate_folder_is_found(
    child: Child, options: Options, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    child.run("put(); os._exit(0)", ERRTRACK_STORE="", XDG_STATE_HOME=str(tmp_path / "elsewhere"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
    assert drain_to_store(options) == 1


def test_a_store_that_cannot_be_written_loses_nothing(
    local: Transport, options: Options, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    blocked = Path(options.store) / "store.db"
    blocked.mkdir(parents=True, mode=0o700)
    blocked.parent.chmod(0o700)
    ids = put(local, 2)
    assert not local.flush(5)
    assert waiting(tmp_path) == ids
    with pytest.raises((OSError, sqlite3.Error)):
        drain_to_store(options)
    assert waiting(tmp_path) == ids
    blocked.rmdir()
    assert local.flush(5)
    assert sorted(stored(options)) == sorted(ids)
    err = capfd.readouterr().err
    assert err.count("cannot write the store") == 1


def test_a_record_that_the_store_cannot_take_does_not_hold_up_the_others(
    local: Transport, options: Options, tmp_path: Path
) -> None:
    assert local.put(b"this is no envelope")
    ids = put(local)
    assert local.flush(5)
    assert stored(options) == ids
    assert waiting(tmp_path) == []


def test_more_orphans_than_one_batch_are_drained(
    options: Options, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(drain, "_BATCH", 3)
    from errtrack.delivery import places
    from errtrack.delivery.spool import Spool

    folder = places.spool_folder(options, places.STORE)
    assert folder is not None
    for _ in range(8):
        one = Spool(folder, {})
        one.put(event())
        one.close()
    assert drain_to_store(options) == 8
    assert os.listdir(folder) == []


def test_events_without_spool_come_into_the_store_through_memory(
    local: Transport, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    until: Callable[[], Any] = lambda: None  # noqa: E731
    monkeypatch.setattr(local, "_spool", until)
    event_id = new_id()
    assert not local.put(event(event_id))
    assert local.flush(5)
    assert stored(options) == [event_id]
