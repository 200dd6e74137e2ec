# SPDX-License-Identifier: MIT
"""The spool: what ``put`` accepted is on disk, and belongs to exactly one living process or to whoever claims it."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from errtrack.delivery import claims, segment, spool
from errtrack.delivery.segment import Reader
from errtrack.delivery.spool import Spool


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Spool]:
    found = Spool(str(tmp_path), {"release": "1"})
    yield found
    found.close()


def pending(found: Spool) -> list[bytes | None]:
    texts = []
    for part in found.segments():
        part.reader.look()
        texts += [part.reader.payload(record) for record in part.reader.pending.values()]
    return texts


def finish(found: Spool) -> None:
    for part in found.segments():
        part.reader.look()
        for record in list(part.reader.pending.values()):
            part.reader.mark(record, segment.DONE)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_put_is_read_back_in_order(made: Spool, tmp_path: Path) -> None:
    for i in range(5):
        assert made.put(b"%d" % i)
    assert pending(made) == [b"0", b"1", b"2", b"3", b"4"]
    (name,) = files(tmp_path)
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert name.startswith("seg-") and name.split("-")[2] == str(os.getpid())


def test_the_segment_says_who_wrote_it(made: Spool) -> None:
    made.put(b"x")
    head = made.segments()[0].reader.head()
    assert head["pid"] == os.getpid() and head["release"] == "1"
    assert {"boot_id", "starttime", "host"} <= set(head)


def test_a_segment_is_removed_when_it_is_out_of_service_and_all_done(made: Spool, tmp_path: Path) -> None:
    made.put(b"one")
    made.retire_all()
    assert len(files(tmp_path)) == 1  # "one" is pending
    made.put(b"two")
    assert len(files(tmp_path)) == 2
    finish(made)
    made.retire_all()
    assert files(tmp_path) == []
    assert made.put(b"three")


def test_a_large_segment_is_followed_by_another(
    made: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "MAX_SIZE", 500)
    for _ in range(10):
        made.put(b"x" * 200)
    assert 3 <= len(files(tmp_path)) <= 5
    assert pending(made) == [b"x" * 200] * 10


def test_an_old_segment_is_followed_by_another(made: Spool, tmp_path: Path) -> None:
    made.put(b"one")
    made.rotate(time.monotonic() + spool.MAX_AGE + 1)
    made.put(b"two")
    assert len(files(tmp_path)) == 2


def test_a_living_process_keeps_its_segments(made: Spool, tmp_path: Path) -> None:
    made.put(b"mine")
    assert claims.claim(str(tmp_path), set(), 9) == []
    made.close()
    (reader,) = claims.claim(str(tmp_path), set(), 9)
    reader.look()
    assert len(reader.pending) == 1
    assert claims.claim(str(tmp_path), set(), 9) == []  # claimed is claimed
    claims.discard(reader)
    assert files(tmp_path) == []


def test_claims_are_bounded_and_begin_with_the_oldest(tmp_path: Path) -> None:
    for text in (b"0", b"1", b"2"):
        one = Spool(str(tmp_path), {})
        one.put(text)
        one.close()
    readers = claims.claim(str(tmp_path), set(), 2)
    texts = []
    for reader in readers:
        reader.look()
        texts += [reader.payload(record) for record in reader.pending.values()]
        reader.close()
    assert texts == [b"0", b"1"]


def test_a_hidden_file_is_left_to_its_writer_and_swept_when_it_died(tmp_path: Path) -> None:
    hidden = tmp_path / ".seg-1-1-00.log"
    hidden.write_bytes(b"")
    claims.claim(str(tmp_path), set(), 9)
    assert hidden.exists()
    os.utime(hidden, (1, 1))
    claims.claim(str(tmp_path), set(), 9)
    assert not hidden.exists()


def test_links_and_strange_files_are_not_claimed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(segment.frame(b"x", segment.ENVELOPE))
    os.link(tmp_path / "other", tmp_path / "seg-1-1-00.log")
    (tmp_path / "seg-2-1-00.log").symlink_to(tmp_path / "other")
    os.mkfifo(tmp_path / "seg-3-1-00.log")
    (tmp_path / "seg-4-1-00.txt").write_bytes(b"")
    assert claims.claim(str(tmp_path), set(), 9) == []


def test_a_short_write_is_no_success_and_costs_no_other_record(made: Spool, tmp_path: Path) -> None:
    import resource

    made.put(b"before")
    size = (tmp_path / files(tmp_path)[0]).stat().st_size
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
    try:
        assert not made.put(b"x" * 1000)  # 100 bytes of it fit
        assert not made.put(b"y" * 1000)  # none
        assert made.last_error is not None
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert made.put(b"after")
    assert pending(made) == [b"before", b"after"]


def test_where_files_have_a_limit_the_next_one_takes_what_does_not_fit(made: Spool) -> None:
    import resource

    payloads = [b"%04d" % number * 500 for number in range(400)]
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        assert [payload for payload in payloads if not made.put(payload)] == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert pending(made) == payloads


def test_without_descriptors_put_fails_and_later_succeeds(made: Spool) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open("/dev/null", os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        assert not made.put(b"x")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert made.put(b"y")
    assert pending(made) == [b"y"]


def test_an_open_segment_needs_no_more_descriptors(made: Spool) -> None:
    import resource

    made.put(b"x")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        assert made.put(b"y")
        assert pending(made) == [b"x", b"y"]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_descriptors_stay_clear_of_the_standard_ones(tmp_path: Path) -> None:
    saved = os.dup(2)
    os.close(2)
    one = Spool(str(tmp_path), {})
    try:
        one.put(b"x")
        with pytest.raises(OSError):
            os.fstat(2)
    finally:
        os.dup2(saved, 2)
        os.close(saved)
    one.close()


def test_descriptors_are_not_inherited_by_other_programs(made: Spool) -> None:
    made.put(b"x")
    (part,) = made.segments()
    assert not os.get_inheritable(part.file.fileno())
    assert not os.get_inheritable(part.reader.descriptor)


def test_an_application_that_closes_every_descriptor_loses_no_event_and_no_data(
    made: Spool, tmp_path: Path
) -> None:
    made.put(b"before")
    (part,) = made.segments()
    numbers = (part.file.fileno(), part.reader.descriptor)
    theirs = tmp_path / "data"
    theirs.write_bytes(b"")
    data = os.open(theirs, os.O_RDWR)
    for number in numbers:  # what a daemon does: close all, then open its own
        os.dup2(data, number)
    assert made.put(b"after")
    assert pending(made) == [b"after"]
    assert theirs.read_bytes() == b""
    (orphan,) = claims.claim(str(tmp_path), {p.path for p in made.segments()}, 9)
    orphan.look()
    assert [orphan.payload(r) for r in orphan.pending.values()] == [b"before"]
    orphan.close()
    for number in (data, *numbers):
        os.close(number)


def test_a_removed_file_is_replaced_and_what_was_in_it_written_again(made: Spool, tmp_path: Path) -> None:
    made.put(b"one")
    (name,) = files(tmp_path)
    (tmp_path / name).unlink()
    made.rotate(time.monotonic())
    assert len(files(tmp_path)) == 1
    assert pending(made) == [b"one"]


def test_a_removed_folder_is_made_again(made: Spool, tmp_path: Path) -> None:
    made.folder = str(tmp_path / "gone")
    assert made.put(b"one")
    assert pending(made) == [b"one"]


def test_a_forked_child_writes_elsewhere_and_frees_the_parents_lock(made: Spool, tmp_path: Path) -> None:
    made.put(b"parent")
    (name,) = files(tmp_path)
    ready, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            ok = made.put(b"child")  # no fork hook: the pid alone tells
            os.write(ready[1], b"1" if ok else b"0")
            os.read(go[0], 1)
        finally:
            os._exit(0)
    assert os.read(ready[0], 1) == b"1"
    made.close()  # as if the parent had died; the child lives
    (reader,) = claims.claim(str(tmp_path), set(), 9)
    assert os.path.basename(reader.path) == name
    reader.look()
    assert [reader.payload(r) for r in reader.pending.values()] == [b"parent"]
    reader.close()
    os.write(go[1], b"x")
    os.waitpid(pid, 0)
    texts = []
    for reader in claims.claim(str(tmp_path), set(), 9):
        reader.look()
        texts += [reader.payload(r) for r in reader.pending.values()]
        reader.close()
    assert sorted(filter(None, texts)) == [b"child", b"parent"]
    for end in (*ready, *go):
        os.close(end)


class Busy:
    """Puts from ``__del__`` of objects in cycles, so at any moment at which the collector runs."""

    def __init__(self, put: Callable[[], None]) -> None:
        self.put, self.me = put, self

    def __del__(self) -> None:
        self.put()


def test_threads_a_signal_handler_and_del_lose_nothing_while_segments_come_and_go(
    made: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "MAX_SIZE", 20_000)
    accepted: list[bytes] = []
    delivered: list[bytes | None] = []
    over = threading.Event()

    def put(kind: bytes) -> None:
        text = b"%s-%d" % (kind, len(accepted)) + os.urandom(40)
        if made.put(text):
            accepted.append(text)

    def produce() -> None:
        for _ in range(3000):
            put(b"thread")

    def drain() -> None:
        while True:
            last = over.is_set()
            made.rotate(time.monotonic())
            for part in made.segments():
                part.reader.look()
                for record in list(part.reader.pending.values()):
                    delivered.append(part.reader.payload(record))
                    part.reader.mark(record, segment.DONE)
                made.retire(part)
            if last:
                return

    before = signal.signal(signal.SIGALRM, lambda *_: put(b"signal"))
    thresholds = gc.get_threshold()
    gc.set_threshold(5, 5, 5)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        threads = [threading.Thread(target=produce) for _ in range(3)]
        drainer = threading.Thread(target=drain)
        for thread in (*threads, drainer):
            thread.start()
        for _ in range(3000):
            Busy(lambda: put(b"del"))
        for thread in threads:
            thread.join()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.set_threshold(*thresholds)
        gc.collect()
        over.set()
        drainer.join()
    assert len(accepted) > 9000 + 2900
    assert sorted(filter(None, delivered)) == sorted(accepted)


def test_without_locks_a_segment_is_abandoned_when_its_writer_is(
    made: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(claims, "flock", refuse)
    made.put(b"mine")
    assert claims.claim(str(tmp_path), set(), 9) == []  # written by a process that lives
    pid = os.fork()
    if pid == 0:
        made.put(b"child")
        os._exit(0)
    os.waitpid(pid, 0)
    (reader,) = claims.claim(str(tmp_path), set(), 9)
    reader.look()
    assert [reader.payload(r) for r in reader.pending.values()] == [b"child"]
    reader.close()


def test_garbage_in_the_folder_does_no_harm(made: Spool, tmp_path: Path) -> None:
    (tmp_path / "seg-1-1-00.log").write_bytes(os.urandom(5000))
    (tmp_path / "seg-2-1-00.log").write_bytes(b"")
    for reader in claims.claim(str(tmp_path), set(), 9):
        assert reader.head() == {}
        reader.look()
        assert reader.pending == {}
        claims.discard(reader)
    assert files(tmp_path) == []


def test_reading_a_live_segment_changes_nothing(made: Spool, tmp_path: Path) -> None:
    made.put(b"x")
    (name,) = files(tmp_path)
    before = (tmp_path / name).read_bytes()
    reader = Reader.open(str(tmp_path / name), write=False)
    reader.look()
    assert len(reader.pending) == 1
    reader.close()
    assert (tmp_path / name).read_bytes() == before


def test_a_segment_that_a_thread_is_writing_to_is_not_removed(made: Spool, tmp_path: Path) -> None:
    made.put(b"first")
    finish(made)
    (part,) = made.segments()
    begun, go = threading.Event(), threading.Event()

    class Slow:
        """The file, written to by a thread that the kernel puts to sleep at the worst moment."""

        closed = False
        real = part.file

        def fileno(self) -> int:
            return self.real.fileno()

        def write(self, data: bytes) -> int:
            begun.set()
            go.wait(5)
            return self.real.write(data)

        def close(self) -> None:
            self.real.close()

    part.file = Slow()  # type: ignore[assignment]
    accepted: list[bool] = []
    thread = threading.Thread(target=lambda: accepted.append(made.put(b"second")))
    thread.start()
    assert begun.wait(5)
    made.retire_all()
    assert len(files(tmp_path)) == 1
    go.set()
    thread.join()
    assert accepted == [True]
    assert pending(made) == [b"second"]
