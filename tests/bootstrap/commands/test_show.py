# SPDX-License-Identifier: MIT
"""errtrack show: a traceback as Python prints it, with all that is known around it."""

from __future__ import annotations

import re
import sqlite3
from typing import Any

import pytest
from desk import Desk, failure, frame

from errtrack_run import terminal


def test_show_prints_a_traceback_as_python_does_with_source_and_locals(desk: Desk) -> None:
    own = frame(
        "pay",
        41,
        pre_context=["def pay(order):", "    total = 0"],
        context_line="    return order['amount']",
        post_context=["", "def other():"],
        vars={"order": {"currency": "'EUR'"}, "total": "0"},
    )
    desk.add(failure("KeyError", "'amount'", frame("run", 3, in_app=False, vars={"hidden": "1"}), own))
    out = desk.run("show").out
    expected = """\
Traceback (most recent call last):
  File "/venv/lib/site-packages/lib/core.py", line 3, in run
    run()
  File "/srv/app/shop/views.py", line 41, in pay
     39  def pay(order):
     40      total = 0
   > 41      return order['amount']
     42
     43  def other():
      order = {currency: 'EUR'}
      total = 0
KeyError: 'amount'
"""
    assert expected in out
    assert "hidden" not in out
    assert "hidden = 1" in desk.run("show", "--full").out
    assert "unhandled, caught by excepthook" in out


def test_show_prints_causes_first_with_the_sentences_of_python(desk: Desk) -> None:
    def value(name: str, number: int, source: str = "") -> dict[str, Any]:
        mechanism: dict[str, Any] = {"type": "chained", "exception_id": number}
        if source:
            mechanism.update(source=source, parent_id=number - 1)
        return {"type": name, "value": "x", "module": "shop.errors", "mechanism": mechanism}

    values = [value("A", 2, "__context__"), value("B", 1, "__cause__"), value("C", 0)]
    desk.add({"exception": {"values": values}})
    out = desk.run("show").out
    story = [
        "shop.errors.A: x",
        "During handling of the above exception, another exception occurred:",
        "shop.errors.B: x",
        "The above exception was the direct cause of the following exception:",
        "shop.errors.C: x",
    ]
    assert [line for line in out.splitlines() if line in story] == story


def test_show_tells_the_members_of_an_exception_group(desk: Desk) -> None:
    def member(number: int) -> dict[str, Any]:
        mechanism = {
            "type": "chained",
            "exception_id": number,
            "parent_id": 0,
            "source": "exceptions[%d]" % (number - 1),
        }
        return {"type": "ValueError", "value": "v%d" % number, "mechanism": mechanism}

    root = {"type": "ExceptionGroup", "value": "two", "mechanism": {"type": "generic", "exception_id": 0}}
    desk.add({"exception": {"values": [member(2), member(1), root]}})
    out = desk.run("show").out
    assert out.index("Member 2 of the ExceptionGroup below:\nValueError: v2") < out.index("Member 1 of the")
    assert "direct cause" not in out and "During handling" not in out


def test_show_tells_a_recursion_by_its_number(desk: Desk) -> None:
    desk.add(failure("RecursionError", "too deep", *[frame("down", 2)] * 90))
    out = desk.run("show").out
    assert out.count("in down\n") == 3 + 1  # three frames and the line "where"
    assert "[Previous line repeated 87 more times]" in out
    assert desk.run("show", "--full").out.count('views.py", line 2, in down\n') == 90


def test_show_prints_the_circumstances(desk: Desk) -> None:
    crumbs = [
        {
            "timestamp": 1795168800.25,
            "category": "shop",
            "level": "info",
            "message": "loading",
            "data": {"id": 17},
        },
        {
            "timestamp": 1795168801,
            "category": "http",
            "data": {"method": "GET", "url": "http://x/", "status_code": 500},
        },
    ]
    desk.add(
        failure(
            request={
                "method": "POST",
                "url": "https://shop.test/pay",
                "query_string": "retry=1",
                "headers": {"Host": "shop.test"},
                "data": {"amount": 5},
            },
            user={"id": "42", "email": "ada@example.test"},
            tags={"region": "eu-1"},
            breadcrumbs={"values": crumbs},
            contexts={
                "runtime": {"type": "runtime", "name": "CPython", "version": "3.12.1", "build": "noise"}
            },
            extra={"order": {"lines": [1, 2]}, "big": "abc..."},
            _meta={"extra": {"big": {"": {"len": 5000}}}},
            transaction="/pay/<id>",
            environment="staging",
            release="shop@1.4",
            server_name="web-1",
            logentry={"message": "payment %s failed", "formatted": "payment 17 failed"},
        )
    )
    out = desk.run("show").out
    for line in (
        "  POST https://shop.test/pay?retry=1",
        "  Host  shop.test",
        "  data  {amount: 5}",
        "  id     42",
        "  region  eu-1",
        "  runtime  CPython 3.12.1",
        "  order  {lines: [1, 2]}",
        "  big    abc...  (shortened from 5000)",
        "  transaction  /pay/<id>",
        "  environment  staging",
        "  release      shop@1.4",
        "  server       web-1",
        "  message      payment 17 failed",
    ):
        assert line in out.splitlines(), line
    assert re.search(r"^  \d\d:\d\d:00\.250  info     shop: loading \{id: 17\}$", out, re.M)
    assert "http: GET http://x/ 500" in out


def test_show_prints_all_lines_of_a_message(desk: Desk) -> None:
    lines = ["job failed", "  step one", "", "\x1b[2Jstep %s" % ("x" * 300)]
    desk.add({"logentry": {"message": "\n".join(lines)}})
    out = desk.run("show").out
    assert out.splitlines()[0] == "job failed"
    assert "\nMessage\n  job failed\n    step one\n\n  \\x1b[2Jstep xxx" in out and out.count("x") > 300
    desk.add({"logentry": {"message": "one line"}})
    assert desk.run("show").out.count("one line") == 1


def test_show_prints_a_traceback_once_though_the_message_has_it_too(desk: Desk) -> None:
    said = "job 7 failed:\nTraceback (most recent call last):\n  as the program logged it"
    desk.add(failure(logentry={"message": said}))
    out = desk.run("show").out
    assert re.search(r"  message +job 7 failed:\n", out) and out.count("Traceback") == 1
    assert "as the program logged it" in desk.run("show", "--full").out


def test_show_prints_the_stack_of_a_message(desk: Desk) -> None:
    thread = {"id": 1, "current": True, "stacktrace": {"frames": [frame("pay", 9)]}}
    desk.add({"logentry": {"message": "low stock"}, "threads": {"values": [thread]}, "level": "warning"})
    out = desk.run("show").out
    assert out.startswith("low stock\n")
    assert 'File "/srv/app/shop/views.py", line 9, in pay' in out


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_page_fits_the_terminal(desk: Desk, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    long = "word " * 90 + "y" * 700
    own = frame("pay", vars={"text": long, "n" * 60: "1"}, context_line="    " + long, pre_context=[long])
    crumbs = [{"timestamp": 1795168800, "message": long, "category": "c" * 50}]
    desk.add(failure("Error", long, own, tags={"t" * 200: long}, extra={"e": long}, breadcrumbs=crumbs))
    for arguments in (("show",), ("show", "--full")):
        lines = desk.run(*arguments).out.splitlines()
        wide = [
            line
            for line in lines
            if terminal.cells(line) > width and not line.startswith(("  File", "  tttt"))
        ]
        assert wide == []
    assert "y" * 30 in "".join(lines)


def test_long_values_are_shortened_unless_all_is_wanted(desk: Desk) -> None:
    text = " ".join("word%d" % i for i in range(300))
    crumbs = [{"timestamp": 1795168800 + i, "message": "crumb %d." % i} for i in range(50)]
    desk.add(failure("E", "v", frame("f", vars={"local": text}), extra={"text": text}, breadcrumbs=crumbs))
    short, full = desk.run("show").out, desk.run("show", "--full").out
    assert "word299" not in short and "more lines: --full" not in full
    assert "crumb 29." not in short and "crumb 30." in short and "... 30 earlier ones: --full" in short
    assert full.count("word299") == 2 and "crumb 0." in full


def test_the_json_of_an_event_is_what_was_captured(desk: Desk) -> None:
    event = failure(extra={"é": [1, 2.5, None, True]}, event_id="f" * 32)
    desk.add(event)
    found = desk.run("show", "ffff", "--json").json
    assert found["event"] == event
    assert found["issue"]["count"] == 1


def test_an_id_that_is_not_there_is_one_line_and_exit_status_1(desk: Desk) -> None:
    empty = desk.run("show")
    assert (empty.status, empty.out, empty.err.count("\n")) == (1, "", 1)
    assert "nothing has been caught yet" in empty.err
    desk.add(failure(event_id="ab" * 16), failure(event_id="ac" * 16))
    for wanted in ("ffff", "E-9", "nonsense", "\x1b[31m"):
        result = desk.run("show", wanted)
        assert (result.status, result.out, result.err.count("\n")) == (1, "", 1)
        assert "errtrack list" in result.err and "\x1b" not in result.err
    several = desk.run("show", "a")
    assert several.status == 1
    assert "abab" in several.err and "acac" in several.err
    assert desk.run("show", "ab").status == 0


def test_an_unreadable_store_is_one_line_and_exit_status_2(desk: Desk) -> None:
    desk.add(failure())
    connection = sqlite3.connect(desk.state / "store.db")
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    for command in ("list", "show"):
        result = desk.run(command)
        assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
        assert "newer errtrack" in result.err
    assert desk.run("doctor").status == 1


def test_a_wrong_setting_is_told_and_the_command_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.add(failure())
    monkeypatch.setenv("ERRTRACK_SAMPLE_RATE", "7")
    result = desk.run("list")
    assert result.status == 0 and "ValueError" in result.out
    assert "ERRTRACK_SAMPLE_RATE: sample_rate must be" in result.err
