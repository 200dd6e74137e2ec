# SPDX-License-Identifier: MIT
"""``errtrack spool`` shows what waits, delivers it, and throws it away only when told to."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "agent"))

from sink import Sink


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


def leave_behind(sandbox: Any, sink: Sink, count: int = 3) -> list[str]:
    sink.answer(503)
    code = (
        "import errtrack, os, signal\n"
        "print(*[errtrack.capture_message(str(i)) for i in range(%d)], flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)" % count
    )
    ids: list[str] = sandbox.python(code, ERRTRACK_DSN=sink.dsn).stdout.split()
    sink.ok()
    return ids


def shown(sandbox: Any, sink: Sink) -> dict[str, Any]:
    report = json.loads(sandbox.errtrack("spool", "--json", ERRTRACK_DSN=sink.dsn).stdout)
    row: dict[str, Any] = next(row for row in report["destinations"] if row["ours"])
    return row


def test_nothing_waits(sandbox: Any) -> None:
    done = sandbox.errtrack("spool")
    assert (done.returncode, done.stdout) == (0, "Nothing waits.\n")


def test_what_waits_is_shown_without_the_key(sandbox: Any, sink: Sink) -> None:
    leave_behind(sandbox, sink)
    done = sandbox.errtrack("spool", ERRTRACK_DSN=sink.dsn)
    assert "3 events waiting" in done.stdout and "***@127.0.0.1" in done.stdout
    assert sink.dsn.partition("//")[2].partition("@")[0] not in done.stdout
    row = shown(sandbox, sink)
    assert (row["waiting"], row["in_use"], row["refused"], row["unreadable"]) == (3, 0, 0, 0)
    assert row["size"] > 100 and row["oldest"] > 1e9 and row["crashes"] == 0


def test_what_waits_for_a_dsn_that_was_changed_is_shown(sandbox: Any, sink: Sink) -> None:
    leave_behind(sandbox, sink)
    changed = "http://0123456789abcdef0123456789abcdef@127.0.0.1:9/7"
    for dsn in ({"ERRTRACK_DSN": changed}, {}):
        assert "another DSN  3 events waiting" in sandbox.errtrack("spool", **dsn).stdout
    report = json.loads(sandbox.errtrack("spool", "--json", ERRTRACK_DSN=changed).stdout)
    assert [(row["destination"], row["waiting"]) for row in report["destinations"]] == [("another DSN", 3)]


def test_drain_delivers_everything_of_many_processes(sandbox: Any, sink: Sink) -> None:
    ids = [one for _ in range(6) for one in leave_behind(sandbox, sink, 2)]
    done = sandbox.errtrack("spool", "drain", ERRTRACK_DSN=sink.dsn)
    assert (done.returncode, done.stdout) == (0, "12 events delivered.\n"), done.stderr
    assert sorted(sink.event_ids()) == sorted(ids)
    assert list(sandbox.store.rglob("seg-*")) == []


def test_drain_reports_crashes(sandbox: Any, sink: Sink) -> None:
    sandbox.python("import logging, os; os.abort()", ERRTRACK_DSN=sink.dsn)
    assert shown(sandbox, sink)["crashes"] == 1
    done = sandbox.errtrack("spool", "drain", ERRTRACK_DSN=sink.dsn)
    assert done.returncode == 0 and len(sink.event_ids()) == 1
    assert shown(sandbox, sink)["crashes"] == 0


def test_drain_that_cannot_deliver_says_so_and_loses_nothing(sandbox: Any, sink: Sink) -> None:
    leave_behind(sandbox, sink)
    sink.answer(503)
    done = sandbox.errtrack("spool", "drain", "--timeout", "5", "--json", ERRTRACK_DSN=sink.dsn)
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"delivered": 0, "left": 3}
    assert shown(sandbox, sink)["waiting"] == 3


def test_drain_without_a_dsn_fills_the_store(sandbox: Any) -> None:
    sandbox.python("import errtrack, os; errtrack.capture_message('x'); os._exit(0)")
    done = sandbox.errtrack("spool", "drain")
    assert (done.returncode, done.stdout) == (0, "1 event delivered.\n")
    assert sandbox.event()["logentry"]["formatted"] == "x"


def test_clear_wants_to_be_told_twice(sandbox: Any, sink: Sink) -> None:
    leave_behind(sandbox, sink)
    sandbox.python("import logging, os; os.abort()", ERRTRACK_DSN=sink.dsn)
    done = sandbox.errtrack("spool", "clear", ERRTRACK_DSN=sink.dsn)
    assert done.returncode == 2 and "--yes" in done.stderr
    assert done.stderr.startswith("errtrack: 3 events and the stacks of a crash for ")
    assert shown(sandbox, sink)["waiting"] == 3
    done = sandbox.errtrack("spool", "clear", "--yes", ERRTRACK_DSN=sink.dsn)
    assert (done.returncode, done.stdout) == (0, "3 events cleared.\n")
    row = shown(sandbox, sink)
    assert (row["waiting"], row["crashes"]) == (0, 0)
    assert sink.event_ids() == []


def test_clear_asks_nothing_where_there_is_nothing(sandbox: Any) -> None:
    done = sandbox.errtrack("spool", "clear")
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 events cleared.\n", "")
    sandbox.python("import logging, os; os.abort()")
    assert "0 events and the stacks of a crash" in sandbox.errtrack("spool", "clear").stderr


def test_what_a_living_process_holds_is_left_to_it(sandbox: Any, sink: Sink) -> None:
    sink.answer(503)
    code = """
import errtrack, subprocess, sys
for i in range(2): errtrack.capture_message(str(i))
command = [sys.executable, "-m", "errtrack_run.cli", "spool"]
subprocess.run([*command, "clear", "--yes"])
subprocess.run([*command, "--json"])
"""
    done = sandbox.python(code, ERRTRACK_DSN=sink.dsn, ERRTRACK_SHUTDOWN_TIMEOUT="0", ERRTRACK_PROPAGATE="0")
    first, _, rest = done.stdout.partition("\n")
    assert first == "0 events cleared, 2 events left (with living processes)."
    (row,) = (row for row in json.loads(rest)["destinations"] if row["ours"])
    assert (row["waiting"], row["in_use"]) == (2, 2)


def test_what_the_server_refused_is_counted(sandbox: Any, sink: Sink) -> None:
    sink.answer(400)
    done = sandbox.python("1 / 0", ERRTRACK_DSN=sink.dsn)
    assert "refuses an event (HTTP 400" in done.stderr and "`errtrack doctor`" in done.stderr
    row = shown(sandbox, sink)
    assert row["refused"] == 1
    assert "refused in the last day" in sandbox.errtrack("spool", ERRTRACK_DSN=sink.dsn).stdout
    told = [
        c["text"]
        for c in json.loads(sandbox.errtrack("doctor", "--json", ERRTRACK_DSN=sink.dsn).stdout)["checks"]
    ]
    told = [text for text in told if text.startswith("1 event refused by the server")]
    assert [text.endswith(" are in %s" % (Path(row["folder"]) / "refused")) for text in told] == [True]


def test_doctor_tells_of_crashes_that_nobody_has_reported(sandbox: Any, sink: Sink) -> None:
    sandbox.python("import logging, os; os.abort()", ERRTRACK_DSN=sink.dsn)
    told = json.loads(sandbox.errtrack("doctor", "--json", ERRTRACK_DSN=sink.dsn).stdout)["checks"]
    assert any(check["text"].startswith("fatal signals not yet reported: 1") for check in told)


def storm(
    sandbox: Any, sink: Sink, errors: int = 50, after: str = "os.kill(os.getpid(), signal.SIGKILL)"
) -> None:
    """Leave behind the count of what a storm of one error held back; its events are delivered."""
    code = (
        "import errtrack, os, signal\n"
        "def fail(n):\n    try: {}[n]\n    except KeyError as error: errtrack.capture_exception(error)\n"
        "for n in range(%d): fail(n)\nassert errtrack.flush(20)\n%s\n" % (errors, after)
    )
    done = sandbox.python(code, ERRTRACK_DSN=sink.dsn, ERRTRACK_MAX_EVENTS_BURST="2")
    assert len(sink.event_ids()) >= 2, done.stderr


def told(sink: Sink) -> list[int]:
    """The counts that events tell."""
    events = [
        json.loads(payload)
        for r in sink.accepted
        for headers, payload in r.envelope.items
        if headers["type"] == "event"
    ]
    return [
        event["extra"]["suppressed_events"]
        for event in events
        if "suppressed_events" in event.get("extra", ())
    ]


def test_what_storms_of_dead_processes_held_back_is_shown_and_told_by_drain(sandbox: Any, sink: Sink) -> None:
    storm(sandbox, sink)
    row = shown(sandbox, sink)
    assert (row["waiting"], row["storms"]) == (0, [{"error": "KeyError: 1", "suppressed": 48}])
    done = sandbox.errtrack("spool", ERRTRACK_DSN=sink.dsn)
    assert "; 48 errors held back by storms" in done.stdout and "48 more of KeyError: 1" in done.stdout
    checks = json.loads(sandbox.errtrack("doctor", "--json", ERRTRACK_DSN=sink.dsn).stdout)["checks"]
    (text,) = (check["text"] for check in checks if check["name"] == "storms")
    assert "48 errors" in text and "errtrack spool drain" in text
    done = sandbox.errtrack("spool", "drain", ERRTRACK_DSN=sink.dsn)
    assert (done.returncode, done.stdout) == (0, "1 event delivered.\n"), done.stderr
    assert told(sink) == [48]
    assert sandbox.errtrack("spool", ERRTRACK_DSN=sink.dsn).stdout == "Nothing waits.\n"
    assert list(sandbox.store.rglob("counts-*")) == []


def test_clear_says_what_storms_held_back_and_throws_it_away(sandbox: Any, sink: Sink) -> None:
    storm(sandbox, sink)
    refused = sandbox.errtrack("spool", "clear", ERRTRACK_DSN=sink.dsn)
    assert refused.returncode == 2 and "0 events and the count of 48 errors held back" in refused.stderr
    assert shown(sandbox, sink)["storms"]
    done = sandbox.errtrack("spool", "clear", "--yes", ERRTRACK_DSN=sink.dsn)
    assert (done.returncode, done.stdout) == (0, "0 events and the count of 48 errors held back cleared.\n")
    assert list(sandbox.store.rglob("counts-*")) == [] and shown_or_none(sandbox, sink) is None
    assert told(sink) == []


def test_what_a_living_process_has_held_back_is_its_own_to_tell(sandbox: Any, sink: Sink) -> None:
    look = "import subprocess, sys\nprint(subprocess.run([sys.executable, '-m', 'errtrack_run.cli', 'spool', *%r], capture_output=True, text=True).stdout)\n"
    storm(sandbox, sink, after=look % (["clear", "--yes"],))
    assert told(sink) == [48]  # at its end, by itself


def shown_or_none(sandbox: Any, sink: Sink) -> Any:
    report = json.loads(sandbox.errtrack("spool", "--json", ERRTRACK_DSN=sink.dsn).stdout)
    return next((row["storms"] or None for row in report["destinations"] if row["ours"]), None)
