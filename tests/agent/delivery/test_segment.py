# SPDX-License-Identifier: MIT
"""Segments: whatever happened to the file, every record that is intact is found, and nothing else."""

from __future__ import annotations

import os
import random
import zlib
from pathlib import Path

import pytest

from errtrack.delivery import segment
from errtrack.delivery.segment import DONE, ENVELOPE, HEADER, REFUSED, Reader, frame, scan


def payloads(data: bytes) -> list[bytes]:
    return [data[r.offset + 16 : r.offset + 16 + r.length] for _, _, r in scan(data, 0) if r is not None]


def test_the_frame_is_the_documented_one() -> None:
    payload = b"hello"
    covered = bytes((1, 0, 0, 5, 0, 0, 0))
    crc = zlib.crc32(payload, zlib.crc32(covered)).to_bytes(4, "little")
    assert frame(payload, 1) == b"ERTK" + b"P" + covered + crc + payload


def test_large_payloads_are_compressed_and_come_back_whole(tmp_path: Path) -> None:
    payload = b"all work and no play " * 10_000
    data = frame(payload, ENVELOPE)
    assert len(data) < len(payload) // 10
    (tmp_path / "seg").write_bytes(data)
    reader = Reader.open(str(tmp_path / "seg"))
    reader.look()
    (record,) = reader.pending.values()
    assert reader.payload(record) == payload
    reader.close()


@pytest.mark.parametrize("payload", [b"", os.urandom(segment.LONGEST + 1)], ids=["empty", "endless"])
def test_empty_and_endless_payloads_are_refused(payload: bytes) -> None:
    with pytest.raises(ValueError):
        frame(payload, ENVELOPE)


def test_headers_and_finished_records_are_passed_over() -> None:
    done, refused, odd = (bytearray(frame(text, ENVELOPE)) for text in (b"done", b"refused", b"odd"))
    done[4:5], refused[4:5], odd[4:5] = DONE, REFUSED, b"\0"
    data = frame(b"{}", HEADER) + done + frame(b"waiting", ENVELOPE) + refused + odd
    assert payloads(bytes(data)) == [b"waiting", b"odd"]


def test_a_zeroed_or_empty_head_is_no_record() -> None:
    assert payloads(b"ERTK" + bytes(12)) == []
    assert payloads(b"ERTKP\x01" + bytes(10)) == []


def test_a_torn_record_costs_only_itself() -> None:
    whole = [frame(b"%d" % i * 100, ENVELOPE) for i in range(3)]
    for cut in range(len(whole[1])):
        assert payloads(whole[0] + whole[1][:cut] + whole[2]) == [b"0" * 100, b"2" * 100]


def test_records_that_were_not_damaged_are_all_found() -> None:
    seed = int(os.environ.get("ERRTRACK_TEST_SEED", "1"))
    chance = random.Random(seed)
    texts = [bytes(chance.getrandbits(8) for _ in range(chance.randint(1, 400))) for _ in range(60)]
    data, places = b"", []
    for text in texts:
        places.append((len(data), len(data) + 16 + len(text)))
        data += frame(text, ENVELOPE)
    for _ in range(1500):
        begin = chance.randrange(len(data))
        end = min(len(data), begin + chance.choice((1, 1, 7, 64, 512)))
        kind = chance.choice(("flip", "zero", "garbage", "cut"))
        if kind == "flip":
            middle = bytes(b ^ (1 << chance.randrange(8)) for b in data[begin:end])
        elif kind == "zero":
            middle = bytes(end - begin)
        elif kind == "garbage":
            middle = bytes(chance.getrandbits(8) for _ in range(end - begin))
        else:
            middle = b""
        damaged = data[:begin] + middle + data[end:]
        found = payloads(damaged)
        untouched = [text for text, (a, b) in zip(texts, places) if b <= begin or a >= end]
        assert [text for text in found if text in untouched] == untouched, (seed, kind, begin, end)
        # What was touched may still be found (its state byte was hit), but never with other contents.
        assert set(found) <= set(texts), (seed, kind, begin, end)


def test_a_tail_in_the_writing_is_found_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "seg"
    data = frame(b"first", ENVELOPE) + frame(b"second", ENVELOPE)
    path.write_bytes(data[:30])
    reader = Reader.open(str(path))
    reader.look()
    assert [reader.payload(r) for r in reader.pending.values()] == [b"first"]
    path.write_bytes(data)
    reader.look()
    assert [reader.payload(r) for r in reader.pending.values()] == [b"first", b"second"]
    reader.close()


def test_marks_are_seen_by_the_next_reader(tmp_path: Path) -> None:
    path = tmp_path / "seg"
    path.write_bytes(b"".join(frame(b"%d" % i, ENVELOPE) for i in range(3)))
    reader = Reader.open(str(path))
    reader.look()
    first, second, _ = reader.pending.values()
    reader.mark(first, DONE)
    reader.mark(second, REFUSED)
    reader.close()
    again = Reader.open(str(path))
    again.look()
    assert [again.payload(r) for r in again.pending.values()] == [b"2"]
    again.close()


def test_a_descriptor_that_came_to_mean_another_file_is_not_written_to(tmp_path: Path) -> None:
    path, other = tmp_path / "seg", tmp_path / "data of the application"
    path.write_bytes(frame(b"event", ENVELOPE))
    other.write_bytes(b"valuable")
    reader = Reader.open(str(path))
    reader.look()
    (record,) = reader.pending.values()
    theirs = os.open(other, os.O_RDWR)
    os.dup2(theirs, reader.descriptor)
    reader.mark(record, DONE)
    number = reader.descriptor
    reader.close()
    assert other.read_bytes() == b"valuable"
    os.close(theirs)
    os.close(number)  # still open: it was not ours to close


@pytest.mark.parametrize("kind", ["fifo", "folder", "symlink"])
def test_only_plain_files_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "seg"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        (tmp_path / "there").write_bytes(b"")
        path.symlink_to(tmp_path / "there")
    with pytest.raises(OSError):
        Reader.open(str(path))
