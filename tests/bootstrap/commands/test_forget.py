# SPDX-License-Identifier: MIT
"""errtrack forget: issues go from the store and do not come back; the list finds the others by text and age."""

from __future__ import annotations

from pathlib import Path

import pytest
from desk import Desk, failure


def titles(desk: Desk, *arguments: str) -> list[str]:
    return [row["title"] for row in desk.run("list", "--json", *arguments).json["issues"]]


@pytest.fixture
def full(desk: Desk) -> Desk:
    desk.add(failure(value="1"), failure("KeyError", "'x'"), failure(value="2"), failure("TypeError", "no"))
    return desk


def test_issue_goes_with_all_its_events_and_the_others_stay(full: Desk) -> None:
    assert full.run("forget", "E-1").out == "2 events forgotten.\n"
    assert titles(full) == ["TypeError: no", "KeyError: 'x'"]
    assert full.run("forget", "E-2", "e-3", "--json").json == {"forgotten": 2}
    assert titles(full) == []


def test_what_happens_again_is_a_new_issue(full: Desk) -> None:
    full.run("forget", "E-1")
    full.add(failure(value="3"))
    (row,) = (row for row in full.run("list", "--json").json["issues"] if row["title"] == "ValueError: 3")
    assert (row["id"], row["count"]) == ("E-4", 1)


def test_event_that_is_delivered_once_more_does_not_come_back(desk: Desk) -> None:
    event = failure()
    desk.add(event)
    desk.run("forget", "E-1")
    desk.add(event)
    assert titles(desk) == []


def test_all_of_it_goes_only_where_that_is_said_twice(full: Desk) -> None:
    asked = full.run("forget", "--all")
    assert (asked.status, len(titles(full))) == (2, 3) and "4 events would be deleted" in asked.err
    assert full.run("forget", "--all", "--yes").out == "4 events forgotten.\n"
    assert titles(full) == []


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ((), 2, "name the issues"),
        (("E-1", "--all"), 2, "name the issues"),
        (("7f1c",), 2, "7f1c is no issue id"),
        (("E-1", "E-77"), 1, "there is no issue E-77"),
    ],
)
def test_wrong_use_is_told_and_nothing_goes(
    full: Desk, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = full.run("forget", *arguments)
    assert done.status == status and said in done.err and done.err.count("\n") == 1
    assert len(titles(full)) == 3


def test_nothing_to_forget_makes_no_store(desk: Desk, tmp_path: Path) -> None:
    assert desk.run("forget", "--all", "--yes").out == "0 events forgotten.\n"
    assert not list(tmp_path.rglob("store.db"))


def test_list_finds_by_text_in_what_and_where_in_any_case(full: Desk) -> None:
    assert titles(full, "keyerror") == ["KeyError: 'x'"]
    assert len(titles(full, "Shop.Views")) == 3
    assert titles(full, "100%") == []
    assert "Nothing like that was caught; 3 issues in all." in full.run("list", "100%").out
    assert len(full.run("list", "value", "--events", "--json").json["events"]) == 2


def test_list_finds_by_age(full: Desk) -> None:
    assert titles(full, "--since", "1s") == []
    assert len(titles(full, "--since", "1d")) == 3
    assert len(full.run("list", "--since", "15m", "--events", "--json").json["events"]) == 4
    wrong = full.run("list", "--since", "soon")
    assert wrong.status == 2 and "'soon' is no age such as 30s, 15m, 2h or 3d" in wrong.err
    assert full.run("list", "--issue", "E-1", "--since", "1s").status == 0
