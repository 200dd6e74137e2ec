# SPDX-License-Identifier: MIT
"""The embedded store: what was captured is found again, once, grouped, whatever happens to the file."""

from __future__ import annotations

import json
import multiprocessing
import os
import sqlite3
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from errtrack.delivery import envelope, grouping, store_rows, store_tables
from errtrack.delivery.store import Store
from errtrack.delivery.store_tables import Ambiguous, StoreUnusable


def make_event(number: int = 0, **changes: Any) -> dict[str, Any]:
    frames = [
        {"module": "lib.core", "function": "run", "lineno": 10, "in_app": False},
        {"module": "shop.views", "function": "pay", "lineno": 12 + number, "in_app": True},
    ]
    error = {"type": "ValueError", "value": "bad amount %d" % number, "stacktrace": {"frames": frames}}
    event = {
        "event_id": "%032x" % (number + 1),
        "timestamp": time.time() - 1000 + number,
        "level": "error",
        "environment": "staging",
        "exception": {"values": [error]},
    }
    event.update(changes)
    return event


def pack(*events: dict[str, Any]) -> list[bytes]:
    return [envelope.build(event["event_id"], "event", json.dumps(event).encode()) for event in events]


@pytest.fixture
def store(tmp_path: Path) -> Any:
    made = Store(str(tmp_path), 30, 256_000_000)
    yield made
    made.close()


def age(store: Store, days: float) -> None:
    """Make everything in the store look as if it had been stored *days* earlier."""
    store.close()
    connection = sqlite3.connect(store.path)
    with connection:
        connection.execute("UPDATE event SET stored = stored - ?", (days * 86400,))
    connection.close()


def test_an_event_is_found_again_with_its_whole_payload(store: Store) -> None:
    event = make_event(extra={"text": "ä\u0000€", "deep": [1, {"two": None}]})
    assert store.add(pack(event)) == 1
    found = store.event(event["event_id"])
    assert found is not None
    assert found["event"] == event
    assert found["issue"]["id"] == "E-1"


def test_the_same_event_is_kept_once_however_often_it_is_added(store: Store) -> None:
    data = pack(make_event(1), make_event(1), make_event(2))
    assert store.add(data) == 2
    assert store.add(data) == 0
    assert [row["count"] for row in store.issues()] == [2]


def test_an_event_that_made_room_does_not_come_back(tmp_path: Path) -> None:
    data = pack(make_event(1), make_event(2))
    store = Store(str(tmp_path), 30, 0)
    store.add(data)
    age(store, 31)
    assert store.prune() == 2
    assert store.add(data) == 0
    assert store.issues() == []
    store.close()


def test_looking_makes_no_file(store: Store) -> None:
    assert store.issues() == [] and store.events() == [] and store.event() is None
    assert store.totals() == {"issues": 0, "events": 0, "size": 0}
    assert store.prune() == 0
    assert not os.path.exists(store.path)


def test_only_the_owner_can_read_the_files(store: Store) -> None:
    before = os.umask(0)
    try:
        store.add(pack(make_event()))
    finally:
        os.umask(before)
    files = os.listdir(os.path.dirname(store.path))
    assert "store.db" in files
    for name in files:
        mode = stat.S_IMODE(os.stat(os.path.join(os.path.dirname(store.path), name)).st_mode)
        assert mode == 0o600, name


def test_a_symbolic_link_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    (tmp_path / "store.db").symlink_to(target)
    with pytest.raises(StoreUnusable):
        Store(str(tmp_path), 30, 0).add(pack(make_event()))
    assert not target.exists()


def test_payloads_are_compressed(store: Store) -> None:
    store.add(pack(*[make_event(i, extra={"text": "word " * 20_000}) for i in range(10)]))
    assert store.totals()["size"] < 200_000


# Grouping


def test_the_same_error_at_another_line_and_with_another_value_is_one_issue(store: Store) -> None:
    store.add(pack(make_event(1), make_event(50)))
    (issue,) = store.issues()
    assert issue["count"] == 2
    assert issue["title"] == "ValueError: bad amount 50"  # the newest event's
    assert issue["culprit"] == "shop.views in pay"
    assert issue["event_id"] == "%032x" % 51
    assert issue["first_seen"] < issue["last_seen"]


def test_frames_of_libraries_do_not_open_a_new_issue() -> None:
    other = make_event()
    other["exception"]["values"][0]["stacktrace"]["frames"].insert(
        1, {"module": "lib.new", "function": "call"}
    )
    assert grouping.group_key(other) == grouping.group_key(make_event())


def test_another_function_of_the_application_is_another_issue() -> None:
    other = make_event()
    other["exception"]["values"][0]["stacktrace"]["frames"][-1]["function"] = "refund"
    assert grouping.group_key(other) != grouping.group_key(make_event())


def test_another_cause_is_another_issue() -> None:
    other = make_event()
    other["exception"]["values"].insert(0, {"type": "KeyError", "value": "'x'"})
    assert grouping.group_key(other) != grouping.group_key(make_event())


def test_the_depth_of_a_recursion_does_not_open_a_new_issue() -> None:
    shallow, deep = make_event(), make_event()
    frame = {"module": "shop.views", "function": "down", "in_app": True}
    shallow["exception"]["values"][0]["stacktrace"]["frames"] += [frame] * 3
    deep["exception"]["values"][0]["stacktrace"]["frames"] += [frame] * 90
    assert grouping.group_key(shallow) == grouping.group_key(deep)


def test_how_many_members_of_a_group_failed_alike_does_not_matter() -> None:
    two, five = make_event(), make_event()
    member = {
        "type": "TimeoutError",
        "value": "late",
        "stacktrace": {"frames": [{"module": "a", "function": "b"}]},
    }
    two["exception"]["values"][:0] = [member] * 2
    five["exception"]["values"][:0] = [member] * 5
    assert grouping.group_key(two) == grouping.group_key(five)


def test_the_title_of_a_group_tells_its_first_error() -> None:
    def made(*members: tuple[str, str, int, int]) -> dict[str, Any]:
        """Members as (type, value, own number, number of the group around)."""
        values = [
            {
                "type": kind,
                "value": value,
                "mechanism": {"exception_id": own, "parent_id": around, "source": source},
            }
            for kind, value, own, around in members
            for source in ["exceptions[%d]" % own]
        ]
        group = {
            "type": "ExceptionGroup",
            "value": "failed (n sub-exceptions)",
            "mechanism": {"exception_id": 0},
        }
        return {"exception": {"values": [*values, group]}}

    assert grouping.title(made(("KeyError", "'a'", 2, 0), ("ValueError", "bad\nrow", 1, 0))) == (
        "ExceptionGroup: failed (n sub-exceptions): ValueError: bad"
    )
    assert grouping.title(made(("KeyError", "'a'", 2, 1), ("ExceptionGroup", "inner", 1, 0))) == (
        "ExceptionGroup: failed (n sub-exceptions): ExceptionGroup: inner: KeyError: 'a'"
    )
    cause = {
        "type": "KeyError",
        "value": "'a'",
        "mechanism": {"source": "__cause__", "exception_id": 1, "parent_id": 0},
    }
    effect = {"type": "ValueError", "value": "b", "mechanism": {"exception_id": 0}}
    assert grouping.title({"exception": {"values": [cause, effect]}}) == "ValueError: b"
    endless = {"type": "E", "mechanism": {"source": "exceptions[0]", "exception_id": 0, "parent_id": 0}}
    assert len(grouping.title({"exception": {"values": [endless]}})) <= 200


def test_a_frame_without_a_function_is_named_by_its_file() -> None:
    """Such as those of templates."""
    error = {
        "type": "TemplateSyntaxError",
        "stacktrace": {"frames": [{"filename": "a.html", "in_app": True}]},
    }
    assert grouping.culprit({"exception": {"values": [error]}}) == "a.html"


def test_without_frames_of_the_application_all_frames_count() -> None:
    one, other = make_event(), make_event()
    for event, name in ((one, "read"), (other, "write")):
        event["exception"]["values"][0]["stacktrace"]["frames"] = [
            {"module": "lib", "function": name, "in_app": False}
        ]
    assert grouping.group_key(one) != grouping.group_key(other)


def test_a_fingerprint_wins_over_everything_else() -> None:
    one = make_event(fingerprint=["mine"])
    other = make_event(fingerprint=["mine"], exception={"values": [{"type": "OSError"}]})
    assert grouping.group_key(one) == grouping.group_key(other)
    assert grouping.group_key(one) != grouping.group_key(make_event(fingerprint=["yours"]))


@pytest.mark.parametrize("default", ["{{ default }}", "{{default}}"])
def test_a_fingerprint_can_split_the_default_grouping(default: str) -> None:
    plain = grouping.group_key(make_event())
    assert grouping.group_key(make_event(fingerprint=[default])) == plain
    split = grouping.group_key(make_event(fingerprint=[default, "a"]))
    assert split not in (plain, grouping.group_key(make_event(fingerprint=[default, "b"])))
    other = make_event(fingerprint=[default, "a"], exception={"values": [{"type": "OSError"}]})
    assert grouping.group_key(other) != split


def test_messages_are_grouped_by_their_template(store: Store) -> None:
    for number, name in enumerate(("a", "b")):
        entry = {"message": "%s is missing", "params": [name], "formatted": name + " is missing"}
        store.add(pack({"event_id": "%032x" % (number + 1), "timestamp": 1000.0 + number, "logentry": entry}))
    (issue,) = store.issues()
    assert (issue["count"], issue["title"]) == (2, "b is missing")


def test_numbers_in_a_message_without_a_template_do_not_open_a_new_issue() -> None:
    def key(text: str) -> str:
        return grouping.group_key({"logentry": {"message": text}})

    assert key("order 17 failed") == key("order 4711 failed")
    assert key("job 0b9c62f1-9c1e-4f0b-8d5e-0d9a4c5b6a7f lost") == key(
        "job ffffffff-9c1e-4f0b-8d5e-0d9a4c5b6a7f lost"
    )
    assert key("order 17 failed") != key("order 17 succeeded")


# Reading


def test_issues_come_newest_first_and_no_more_than_wanted(store: Store) -> None:
    store.add(pack(*[make_event(i, fingerprint=[str(i)]) for i in (3, 1, 2)]))
    assert [row["event_id"] for row in store.issues()] == ["%032x" % 4, "%032x" % 3, "%032x" % 2]
    assert len(store.issues(limit=2)) == 2
    assert len(store.issues(limit=0)) == 3


def test_events_can_be_listed_of_one_issue(store: Store) -> None:
    store.add(pack(make_event(1), make_event(2), make_event(3, fingerprint=["x"], release="r1")))
    assert [row["event_id"] for row in store.events()] == ["%032x" % 4, "%032x" % 3, "%032x" % 2]
    assert [row["event_id"] for row in store.events(issue="e-1")] == ["%032x" % 3, "%032x" % 2]
    newest = store.events(limit=1)[0]
    assert (newest["release"], newest["environment"], newest["issue"]) == ("r1", "staging", "E-2")


def test_an_event_is_found_by_the_beginning_of_its_id_or_by_its_issue(store: Store) -> None:
    ids = ["aaaa" + "0" * 28, "aaab" + "0" * 28, "bbbb" + "0" * 28]
    store.add(pack(*[make_event(i, event_id=event_id) for i, event_id in enumerate(ids)]))

    def found(wanted: str) -> str | None:
        row = store.event(wanted)
        return row["event_id"] if row is not None else None

    assert found("AAAA") == ids[0]
    assert found("bbbb0000-0000-0000-0000-000000000000") == ids[2]
    assert found("E-1") == ids[2]
    assert found("") == ids[2]
    assert (
        found("cc") is None
        and found("E-9") is None
        and found("not hexadecimal") is None
        and found("--") is None
    )
    with pytest.raises(Ambiguous) as caught:
        store.event("aaa")
    assert sorted(caught.value.candidates) == ids[:2]


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("2026-11-20T10:00:00.123456Z", 1795168800.123456),
        ("2026-11-20T10:00:00.1Z", 1795168800.1),
        ("2026-11-20T10:00:00.123456789+00:00", 1795168800.123456),
        ("2026-11-20T12:00:00+02:00", 1795168800.0),
        ("2026-11-20T10:00:00", 1795168800.0),
        (1795168800.5, 1795168800.5),
        ("yesterday", None),
        (None, None),
        (True, None),
        (-5, None),
        ("9999-12-31T23:59:59+99:00", None),
    ],
)
def test_timestamps_of_every_form_are_read(stamp: object, expected: float | None) -> None:
    assert store_rows.seconds(stamp) == expected


def test_an_event_from_the_future_does_not_stay_on_top_for_years(store: Store) -> None:
    store.add(pack(make_event(1, timestamp=time.time() + 10 * 365 * 86400)))
    assert store.issues()[0]["last_seen"] <= time.time()


# What is no event


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        b"{}\n",
        b'{"event_id":"%032d"}\n{"type":"event","length":500}\n{}' % 1,
        envelope.build(None, "client_report", b'{"discarded_events":[]}'),
        envelope.build("1" * 32, "transaction", b'{"type":"transaction"}'),
        envelope.build("1" * 32, "event", b"[1]"),
        envelope.build("1" * 32, "event", b'{"broken'),
        envelope.build("1" * 32, "event", b"[" * 200_000),
    ],
)
def test_what_is_no_event_is_passed_over(store: Store, data: bytes) -> None:
    assert store.add([data]) == 0
    assert store.add([data, *pack(make_event())]) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {
            "exception": {
                "values": [None, 3, {"type": None, "value": {"a": 1}, "stacktrace": {"frames": [None, {}]}}]
            }
        },
        {"exception": [{"type": "Bare", "value": "list"}]},
        {"exception": "text", "logentry": "plain"},
        {"logentry": {"message": ["x"], "formatted": 7}, "exception": None},
        {"level": {"a": 1}, "timestamp": [], "fingerprint": {"a": 1}, "environment": 3},
        {"exception": {"values": [{"type": "T", "value": "lone \ud800 surrogate"}]}},
        {"event_id": "not an id"},
    ],
)
def test_an_event_of_a_strange_shape_is_kept_all_the_same(store: Store, changes: dict[str, Any]) -> None:
    data = json.dumps(make_event(**changes)).encode()
    packed = envelope.build(None, "event", data)
    assert store.add([packed]) == 1
    assert store.add([packed]) == 0  # also the made-up id is always the same
    assert len(store.issues()) == len(store.events()) == 1
    assert store.event() is not None


# Bounds


def test_events_older_than_allowed_are_deleted_when_new_ones_come(tmp_path: Path) -> None:
    store = Store(str(tmp_path), 7, 0)
    store.add(pack(make_event(1), make_event(2, fingerprint=["old"])))
    age(store, 8)
    again = Store(str(tmp_path), 7, 0)
    again.add(pack(make_event(3)))
    assert [row["event_id"] for row in again.events()] == ["%032x" % 4]
    assert len(again.issues()) == 1
    assert again.issues()[0]["count"] == 2  # how often it was seen is still known
    again.close()


def test_events_from_before_the_clock_was_set_are_as_old_as_the_clock_then_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device without a battery begins in 1970."""
    store = Store(str(tmp_path), 30, 0)
    monkeypatch.setattr(time, "time", lambda: 60.0)
    store.add(pack(make_event(1)))
    monkeypatch.undo()
    assert store.prune() == 0 and len(store.events()) == 1
    age(store, 31)
    assert store.prune() == 1 and store.events() == []
    store.close()


def test_zero_days_keeps_events_for_ever(tmp_path: Path) -> None:
    store = Store(str(tmp_path), 0, 0)
    store.add(pack(make_event(1)))
    age(store, 4000)
    assert store.prune() == 0
    assert len(store.events()) == 1
    store.close()


def test_the_file_stays_below_its_size_and_the_newest_events_stay(tmp_path: Path) -> None:
    limit = 1_000_000
    store = Store(str(tmp_path), 0, limit)
    total = 120
    for i in range(total):
        store.add(pack(make_event(i, extra={"noise": os.urandom(10_000).hex()})))
    kept = [row["event_id"] for row in store.events(limit=0)]
    assert store.totals()["size"] <= limit * 1.15
    store.close()  # the write-ahead log is gone now
    assert os.path.getsize(store.path) <= limit * 1.15
    assert 20 < len(kept) < total
    assert kept == ["%032x" % (i + 1) for i in reversed(range(total - len(kept), total))]


def test_one_event_stays_even_where_it_is_larger_than_the_bound(tmp_path: Path) -> None:
    store = Store(str(tmp_path), 0, 1)
    store.add(pack(make_event(1)))
    store.add(pack(make_event(2)))
    store.prune()
    assert [row["event_id"] for row in store.events()] == ["%032x" % 3]
    store.close()


# Faults


def corrupt_files(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if ".corrupt-" in name and name[-4] != "-")


@pytest.mark.parametrize("damage", ["no database", "torn pages"])
def test_a_damaged_file_is_moved_aside_and_a_new_one_begun(
    tmp_path: Path, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "store.db"
    if damage == "no database":
        path.write_bytes(b"this is no database, and long enough to be looked at" * 100)
    else:
        old = Store(str(tmp_path), 0, 0)
        old.add(pack(*[make_event(i, extra={"noise": os.urandom(2000).hex()}) for i in range(50)]))
        old.close()
        data = bytearray(path.read_bytes())
        data[4096 : len(data) - 4096] = os.urandom(len(data) - 8192)
        path.write_bytes(bytes(data))
    store = Store(str(tmp_path), 0, 0)
    assert store.add(pack(make_event(99))) == 1
    assert [row["event_id"] for row in store.events()] == ["%032x" % 100]
    store.close()
    assert len(corrupt_files(tmp_path)) == 1
    told = capfd.readouterr().err
    assert told.count("\n") == 1
    assert "the store was damaged" in told and ".corrupt-" in told


def test_reading_a_damaged_file_gives_an_empty_store(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "store.db").write_bytes(b"x" * 5000)
    store = Store(str(tmp_path), 0, 0)
    assert store.issues() == []
    store.close()
    assert "was damaged" in capfd.readouterr().err


def test_a_process_that_still_has_the_damaged_file_open_goes_over_to_the_new_one(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    late = Store(str(tmp_path), 0, 0)
    late.add(pack(make_event(1)))
    os.replace(tmp_path / "store.db", tmp_path / "store.db.corrupt-1")
    for suffix in ("-wal", "-shm"):
        (tmp_path / ("store.db" + suffix)).unlink()
    assert late.add(pack(make_event(2))) == 1
    other = Store(str(tmp_path), 0, 0)
    assert [row["event_id"] for row in other.events()] == ["%032x" % 3]
    other.close()
    late.close()


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    store = Store(str(tmp_path), 0, 0)
    store.add(pack(make_event()))
    store.close()
    connection = sqlite3.connect(store.path)
    connection.execute("PRAGMA user_version = %d" % (store_tables.SCHEMA_VERSION + 1))
    connection.close()
    before = (tmp_path / "store.db").read_bytes()
    for work in (store.issues, lambda: store.add(pack(make_event(5)))):
        with pytest.raises(StoreUnusable, match="newer errtrack"):
            work()
    assert (tmp_path / "store.db").read_bytes() == before
    assert corrupt_files(tmp_path) == []


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(StoreUnusable, match="another program"):
        Store(str(tmp_path), 0, 0).add(pack(make_event()))


def test_a_folder_that_is_missing_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot be opened"):
        Store(str(tmp_path / "missing"), 0, 0).add(pack(make_event()))


def test_a_batch_is_kept_whole_or_not_at_all(store: Store) -> None:
    store.add(pack(make_event(1)))
    blocker = sqlite3.connect(store.path, isolation_level=None)
    refuse = "CREATE TRIGGER stop BEFORE INSERT ON event WHEN NEW.title LIKE '%3'"
    blocker.execute(refuse + " BEGIN SELECT RAISE(FAIL, 'no'); END")
    with pytest.raises(sqlite3.Error):
        store.add(pack(make_event(2), make_event(3)))
    assert len(store.events()) == 1 and store.issues()[0]["count"] == 1
    blocker.execute("DROP TRIGGER stop")
    blocker.close()
    assert store.add(pack(make_event(2), make_event(3))) == 2


def test_a_damaged_payload_costs_one_event_and_not_the_list(store: Store) -> None:
    store.add(pack(make_event(1), make_event(2)))
    store.close()
    connection = sqlite3.connect(store.path)
    with connection:
        connection.execute("UPDATE event SET payload = x'00' WHERE event_id = ?", ("%032x" % 2,))
    connection.close()
    assert len(store.events()) == 2
    broken = store.event("%032x" % 2)
    assert broken is not None and broken["event"] == {}


# Many processes


def _fill(folder: str, start: int, number: int) -> None:
    store = Store(folder, 0, 0)
    for i in range(start, start + number, 5):
        while True:
            try:
                store.add(pack(*[make_event(j) for j in range(i, i + 5)]))
                break
            except sqlite3.OperationalError:
                continue
    store.close()


def test_several_processes_fill_one_store_from_its_first_moment_on(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_fill, args=(str(tmp_path), i * 40, 60)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    store = Store(str(tmp_path), 0, 0)
    (issue,) = store.issues()
    assert issue["count"] == len(store.events(limit=0)) == 3 * 40 + 60  # the overlap is counted once
    store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_opens_the_file_for_itself(store: Store) -> None:
    store.add(pack(make_event(1)))
    parents_own = store._connection
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            store.add(pack(make_event(2)))
            code = 0 if store._connection is not parents_own else 2
            store.close()
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    store.add(pack(make_event(3)))
    assert len(store.events()) == 3


def test_a_store_that_another_process_makes_at_this_moment_is_not_taken_for_a_foreign_one(
    tmp_path: Path,
) -> None:
    """The other one makes its tables just when this one has looked at the file for the first time."""
    import threading

    path = str(tmp_path / "store.db")
    others: list[threading.Thread] = []

    def make() -> None:
        other = sqlite3.connect(path, timeout=10, isolation_level=None)
        store_tables.prepare(other, path)
        other.close()

    class Interrupted(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            # Just before the last look: the earlier ones saw an empty file.
            if sql.startswith("SELECT 1 FROM sqlite_master") and not others:
                others.append(threading.Thread(target=make))
                others[0].start()
                others[0].join(0.5)
            return super().execute(sql, *values)

    connection = sqlite3.connect(path, timeout=10, isolation_level=None, factory=Interrupted)
    try:
        store_tables.prepare(connection, path)
        others[0].join()
        assert connection.execute("SELECT count(*) FROM issue").fetchone()[0] == 0
    finally:
        connection.close()
