# SPDX-License-Identifier: MIT
"""errtrack list: each issue once, newest first; where there is nothing it says what to do."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from desk import Desk, child_environment, failure, frame

from errtrack_run import terminal


def test_the_list_shows_each_issue_once_with_its_count_newest_first(desk: Desk) -> None:
    desk.add(
        failure(), failure("KeyError", "'x'"), failure(value="bad amount 2"), failure(value="bad amount 3")
    )
    lines = desk.run("list").out.splitlines()
    assert re.split(" +", lines[0]) == ["ID", "COUNT", "LAST", "SEEN", "LEVEL", "WHAT"]
    assert re.fullmatch(r"E-1 +3  9 min ago  error  ValueError: bad amount 3", lines[1])
    assert lines[2].strip() == "shop.views in pay"
    assert re.fullmatch(r"E-2 +1  .* error  KeyError: 'x'", lines[3])
    assert "errtrack show E-1" in lines[-1]


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_of_the_list_is_wider_than_the_terminal(
    desk: Desk, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    desk.add(failure("E" * 90, "x" * 300), failure("Error", "漢字" * 60, frame("f" * 200)))
    out = desk.run("list").out
    assert max(terminal.cells(line) for line in out.splitlines() if "state" not in line) <= width
    assert "..." in out


def test_events_can_be_listed_singly_of_all_issues_or_of_one(desk: Desk) -> None:
    desk.add(failure(value="1"), failure(value="2"), failure("KeyError", "'x'"))
    assert [row["title"] for row in desk.run("list", "--events", "--json").json["events"]] == [
        "KeyError: 'x'",
        "ValueError: 2",
        "ValueError: 1",
    ]
    assert len(desk.run("list", "--events", "--limit", "1", "--json").json["events"]) == 1
    assert len(desk.run("list", "--issue", "E-1", "--json").json["events"]) == 2
    text = desk.run("list", "--events").out
    assert "E-2" in text and "ValueError: 2" in text
    unknown = desk.run("list", "--issue", "E-77")
    assert (unknown.status, unknown.err.count("\n")) == (1, 1)
    assert desk.run("list", "--issue", "77").status == 2


@pytest.mark.parametrize("what", [(), ("--events",)], ids=["issues", "events"])
@pytest.mark.parametrize(
    "given",
    ["kÖln", os.fsencode("Köln").decode("ascii", "surrogateescape")],
    ids=["other-case", "ascii-locale"],
)
def test_a_text_is_found_in_any_case_and_locale(desk: Desk, what: tuple[str, ...], given: str) -> None:
    desk.add(failure(value="no such city: KÖLN"), failure("KeyError", "'x'"))
    (row,) = next(iter(desk.run("list", given, "--json", *what).json.values()))
    assert row["title"] == "ValueError: no such city: KÖLN"


def test_a_text_that_is_no_text_is_found_nowhere(desk: Desk) -> None:
    desk.add(failure())
    done = desk.run("list", b"\xff".decode("utf-8", "surrogateescape"))
    assert (done.status, done.err) == (0, "") and "Nothing like that" in done.out


def test_the_limit_holds_and_tells_that_there_is_more(desk: Desk) -> None:
    desk.add(*[failure("Error%s" % chr(65 + i)) for i in range(4)])
    assert "2 more: errtrack list --limit 0" in desk.run("list", "--limit", "2").out
    assert len(desk.run("list", "--limit", "2", "--json").json["issues"]) == 2
    assert len(desk.run("list", "--limit", "0", "--json").json["issues"]) == 4


def test_an_empty_store_is_explained(desk: Desk) -> None:
    result = desk.run("list")
    assert result.status == 0
    assert "Nothing has been caught yet" in result.out
    assert "errtrack-run python -c" in result.out
    assert "~/state" in result.out
    assert desk.run("list", "--json").json["issues"] == []


def test_with_a_dsn_the_list_says_where_events_go(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERRTRACK_DSN", "https://secretkey@errors.example.test/7")
    out = desk.run("list").out
    assert "Events go to https://***@errors.example.test/7" in out
    assert "errtrack test" in out
    desk.add(failure())
    out = desk.run("list").out
    assert "errors.example.test" in out and "ValueError: bad amount" in out
    assert "secretkey" not in out


def test_a_configuration_file_in_the_working_directory_counts(desk: Desk) -> None:
    (desk.folder / "errtrack.toml").write_text('dsn = "https://k@there.example.test/7"\n')
    assert "there.example.test" in desk.run("list").out
    (desk.folder / "other.toml").write_text('dsn = "https://k@other.example.test/7"\n')
    assert "other.example.test" in desk.run("list", "--config", "other.toml").out


def test_another_store_can_be_named(desk: Desk) -> None:
    desk.add(failure())
    (desk.folder / "empty").mkdir(mode=0o700)
    assert desk.run("list", "--store", "empty", "--json").json["issues"] == []
    assert len(desk.run("list", "--store", "state", "--json").json["issues"]) == 1


def test_what_waits_in_the_spool_of_a_dead_process_is_listed(desk: Desk) -> None:
    code = """
import os, sys
from errtrack.delivery import envelope, places, spool
from errtrack import options
folder = places.spool_folder(options.resolve(), places.STORE)
kept = spool.Spool(folder, {})
assert kept.put(envelope.build("a" * 32, "event", b'{"logentry":{"message":"left behind"}}'))
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", code], env=child_environment()).returncode == 9
    assert [row["title"] for row in desk.run("list", "--json").json["issues"]] == ["left behind"]
    assert desk.run("show", "aaaa").status == 0


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="folders have owners on Unix")
def test_an_empty_list_tells_where_other_users_have_kept_something(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(desk.folder))
    theirs = desk.folder / ("errtrack-%d" % (os.geteuid() + 1))
    assert str(theirs) not in desk.run("list").out
    for name in ("errtrack-%d" % (os.geteuid() + 1), "errtrack-%d" % os.geteuid(), "errtrack-x", "errtrack"):
        (desk.folder / name).mkdir()
    out = desk.run("list").out
    assert str(theirs) in out
    assert not any(str(desk.folder / name) in out for name in ("errtrack-%d" % os.geteuid(), "errtrack-x"))


@pytest.mark.parametrize("command", ["list", "spool"])
def test_a_spool_that_is_not_looked_into_is_told(desk: Desk, command: str) -> None:
    desk.add(failure())
    (desk.state / "spool").mkdir(mode=0o700)
    assert desk.run(command).err == ""
    (desk.state / "spool").chmod(0o777)
    result = desk.run(command)
    told = "errtrack: what waits in %s is not shown: others can write to it; look as" % (desk.state / "spool")
    assert result.status == 0 and result.err.startswith(told) and result.err.count("\n") == 1
