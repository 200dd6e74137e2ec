# SPDX-License-Identifier: MIT
"""What waits stays within its bounds: the oldest goes first, what ended a process last, and all of it is counted."""

from __future__ import annotations

import collections
import os
import time
from pathlib import Path
from typing import Callable

import pytest
from deliveries import event, new_id, waiting
from sink import Sink

from errtrack.delivery import bounds, envelope, quarantine, spool
from errtrack.delivery.bounds import Bounds
from errtrack.delivery.spool import Spool
from errtrack.delivery.transport import Transport
from errtrack.dsn import Dsn
from errtrack.options import Options

Lost = collections.Counter


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "v1" / "here"
    made.mkdir(parents=True, mode=0o700)
    made.parent.chmod(0o700)
    return made


def settings(**given: object) -> Options:
    made = Options()
    for name, value in {"spool_reserve": 0, **given}.items():
        assert made.set(name, value, "test")
    return made


def enforce(found: Spool, **given: object) -> Lost:
    lost: Lost = collections.Counter()

    def count(reason: str, category: str) -> None:
        lost[reason, category] += 1

    made = given.pop("bounds", None) or Bounds(settings(**given))
    assert isinstance(made, Bounds)
    made.enforce(found, count)
    return lost


def left_by_the_dead(folder: Path, *events: tuple[str, bool], size: int = 1000) -> None:
    """A segment whose writer is gone."""
    dead = Spool(str(folder), {})
    for event_id, fatal in events:
        assert dead.put(event(event_id, size), fatal=fatal)
    dead.close()


def test_oldest_goes_first_and_is_counted(folder: Path) -> None:
    ids = [new_id() for _ in range(6)]
    for one in ids:
        left_by_the_dead(folder, (one, False))
    found = Spool(str(folder), {})
    size = sum(path.stat().st_size for path in folder.glob("seg-*"))
    lost = enforce(found, spool_max_size=size // 2 + 10)
    assert waiting(folder) == ids[3:]
    assert lost == {("cache_overflow", "error"): 3}
    found.close()


def test_what_ended_a_process_outlives_the_rest(folder: Path) -> None:
    fatal = new_id()
    left_by_the_dead(folder, (new_id(), False), (fatal, True), (new_id(), False))
    newer = [new_id() for _ in range(8)]
    for one in newer:
        left_by_the_dead(folder, (one, False))
    found = Spool(str(folder), {})
    lost = enforce(found, spool_max_size=10_000)
    assert fatal in waiting(folder) and newer[-1] in waiting(folder)
    assert sum(path.stat().st_size for path in folder.glob("seg-*")) <= 12_000
    assert lost["cache_overflow", "error"] == 11 - len(waiting(folder))
    found.close()


def test_fatal_events_alone_cannot_fill_it_for_ever(folder: Path) -> None:
    for _ in range(20):
        left_by_the_dead(folder, *[(new_id(), True)] * 5)
    found = Spool(str(folder), {})
    enforce(found, spool_max_size=30_000)
    assert sum(path.stat().st_size for path in folder.glob("seg-*")) <= 45_000
    found.close()


def test_segment_in_use_is_left_alone(folder: Path) -> None:
    found, other = Spool(str(folder), {}), Spool(str(folder), {})
    assert found.put(event(size=9000)) and other.put(event(size=9000))
    assert enforce(found, spool_max_size=1000) == {}
    assert len(waiting(folder)) == 2
    found.close()
    other.close()


def test_own_segment_that_is_full_goes_as_well(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MAX_SIZE", 5000)
    found = Spool(str(folder), {})
    ids = [new_id() for _ in range(12)]
    for one in ids:
        assert found.put(event(one, 1000))
    lost = enforce(found, spool_max_size=8000)
    kept = waiting(folder)
    assert kept == ids[-len(kept) :] and 0 < len(kept) < 12
    assert lost["cache_overflow", "error"] == 12 - len(kept)
    found.close()


def test_process_alone_cannot_write_more_than_the_bound(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "MAX_SIZE", 5000)
    found = Spool(str(folder), {}, max_size=20_000)
    took = [found.put(event(size=1000)) for _ in range(40)]
    assert took.count(True) < 30 and not took[-1]
    assert found.put(event(size=1000), fatal=True)  # what ends the process always finds a place
    found.close()


def test_what_was_written_before_the_clock_was_set_is_not_old(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device without a battery begins in 1970; here it is this year that comes before the clock is set."""
    left_by_the_dead(folder, (new_id(), False))
    found = Spool(str(folder), {})
    kept = Bounds(settings(spool_max_age=7))
    real, clock = time.time, time.monotonic
    monkeypatch.setattr(bounds, "CLOCK_IS_SET", real() + 365 * 86_400)
    monkeypatch.setattr(bounds, "time", lambda: real() + 10 * 365 * 86_400)
    for seconds in (0, bounds.DOUBT + 1):
        monkeypatch.setattr(bounds, "monotonic", lambda seconds=seconds: clock() + seconds)
        assert enforce(found, bounds=kept) == {}
    assert len(waiting(folder)) == 1
    found.close()


def test_too_old_goes_but_not_because_a_clock_jumped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left_by_the_dead(folder, (new_id(), False))
    found = Spool(str(folder), {})
    kept = Bounds(settings(spool_max_age=7))
    real = time.time
    monkeypatch.setattr(bounds, "time", lambda: real() + 10 * 365 * 86_400)
    assert enforce(found, bounds=kept) == {}
    assert len(waiting(folder)) == 1
    clock = time.monotonic
    monkeypatch.setattr(bounds, "monotonic", lambda: clock() + bounds.DOUBT + 1)
    assert enforce(found, bounds=kept) == {("cache_overflow", "error"): 1}
    assert waiting(folder) == []
    found.close()


def test_what_waits_for_a_dsn_that_nobody_has_any_more_goes_by_its_age(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = folder.parent / "former"
    former.mkdir(mode=0o700)
    left_by_the_dead(former, (new_id(), False))
    found = Spool(str(folder), {})
    kept = Bounds(settings(spool_max_size=1))
    assert enforce(found, bounds=kept) == {}
    assert len(waiting(former)) == 1
    real, clock = time.time, time.monotonic
    monkeypatch.setattr(bounds, "time", lambda: real() + 8 * 86_400)
    enforce(found, bounds=kept)
    monkeypatch.setattr(bounds, "monotonic", lambda: clock() + bounds.DOUBT + 1)
    enforce(found, bounds=kept)
    assert waiting(former) == []
    found.close()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no posix_fallocate here")
def test_reserve_is_there_for_a_fatal_event_and_for_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Spool(str(folder), {})
    assert found.put(b"x")
    enforce(found, spool_reserve=65_536)
    reserve = folder / "reserve"
    assert reserve.stat().st_size == 65_536 and reserve.stat().st_mode & 0o777 == 0o600

    part = found.segments()[0]

    class Full:
        """The file of a disk that has space only where the reserve was."""

        closed = False
        fileno = part.file.fileno
        close = part.file.close
        real = part.file

        def write(self, data: bytes) -> int:
            if reserve.exists():
                raise OSError(28, "No space left on device")
            return self.real.write(data)

    part.file = Full()  # type: ignore[assignment]
    assert not found.put(b"handled") and reserve.exists()
    assert found.put(b"fatal", fatal=True) and not reserve.exists()
    enforce(found, spool_reserve=65_536)
    assert reserve.exists()
    part.file = Full.real
    found.close()


@pytest.mark.parametrize(
    ("sync", "fatal", "synced"),
    [("fatal", True, 1), ("fatal", False, 0), ("always", False, 1), ("off", True, 0)],
)
def test_what_ends_a_process_outlives_a_loss_of_power(
    folder: Path, monkeypatch: pytest.MonkeyPatch, sync: str, fatal: bool, synced: int
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(os, "fdatasync", calls.append)
    found = Spool(str(folder), {}, sync)
    found.put(b"x", fatal=fatal)
    assert len(calls) == synced
    found.close()


def test_after_a_power_cut_what_was_synced_is_there_and_nothing_is_broken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk has what was synced, and of what came later some bytes or none."""
    kept: dict[str, int] = {}
    real = os.fdatasync

    def sync(descriptor: int) -> None:
        real(descriptor)
        kept[os.path.basename(os.readlink("/proc/self/fd/%d" % descriptor))] = os.fstat(descriptor).st_size

    monkeypatch.setattr(os, "fdatasync", sync)
    found = Spool(str(folder), {}, "fatal")
    before, last, after = new_id(), new_id(), new_id()
    found.put(event(before))
    found.put(event(last), fatal=True)
    found.put(event(after, 500))
    (path,) = folder.glob("seg-*")
    data = path.read_bytes()
    whole = kept[path.name]
    disk = folder.parent / "disk"
    disk.mkdir()
    for size in (whole, whole + 1, whole + 20, len(data) - 1):
        for tail in (data[whole:size], bytes(size - whole)):
            (disk / path.name).write_bytes(data[:whole] + tail)
            assert waiting(disk) == [before, last], size
    found.sync(time.monotonic() + 10)  # what the worker does once a second
    assert kept[path.name] == len(data)
    found.close()


def test_what_cannot_be_delivered_is_written_out_once_a_second(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(os, "fdatasync", calls.append)
    found = Spool(str(folder), {}, "fatal")
    found.put(b"x")
    now = time.monotonic() + 10
    assert found.sync(now) == 0.0 and len(calls) == 1
    found.put(b"y")
    assert 0.6 < found.sync(now + 0.3) < 0.8 and len(calls) == 1
    assert found.sync(now + 1.1) == 0.0 and len(calls) == 2
    assert found.sync(now + 5) == 0.0 and len(calls) == 2  # nothing new
    found.close()


def test_with_the_server_away_the_worker_sees_to_that(
    options: Options, monkeypatch: pytest.MonkeyPatch, until: Callable[..., object]
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(os, "fdatasync", calls.append)
    made = Transport(options, Dsn.parse("http://key@127.0.0.1:9/1"))
    assert made.put(event())
    until(lambda: calls)
    made.close(0)


def test_fatal_event_is_sent_first(transport: Transport, sink: Sink) -> None:
    sink.answer(503)
    ids = [new_id() for _ in range(4)]
    for one in ids:
        transport.put(event(one), fatal=one == ids[3])
    transport.flush(1)
    sink.ok()
    assert transport.flush(20)
    assert sink.event_ids()[:2] == [ids[3], ids[0]] and sorted(sink.event_ids()) == sorted(ids)


def test_what_a_server_refuses_can_be_looked_at_for_a_day(
    transport: Transport,
    sink: Sink,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    sink.answer(400, body=b'{"detail":"bad event"}')
    one = new_id()
    transport.put(event(one))
    assert transport.flush(20)
    above = next(tmp_path.rglob("refused")).parent
    (name,) = quarantine.names(str(above))
    path = above / "refused" / name
    why, _, data = path.read_bytes().partition(b"\n\n")
    assert b"HTTP 400" in why and envelope.parse(data).event_id == one
    assert path.stat().st_mode & 0o777 == 0o600 and one not in name
    assert quarantine.sweep(str(above)) == 0
    os.utime(path, (1, 1))
    assert quarantine.sweep(str(above)) == 1 and quarantine.names(str(above)) == []


def test_only_the_newest_that_were_refused_are_kept(folder: Path) -> None:
    kept = quarantine.Quarantine(lambda: str(folder))
    for i in range(quarantine.MOST + 5):
        kept.keep(b"%d" % i, "why")
    names = quarantine.names(str(folder))
    assert len(names) == quarantine.MOST
    assert (folder / "refused" / names[-1]).read_bytes().endswith(b"\n\n%d" % (quarantine.MOST + 4))
