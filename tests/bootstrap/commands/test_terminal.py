# SPDX-License-Identifier: MIT
"""Nothing in an event acts on the terminal, and what is printed fits it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import pytest
from desk import Desk, child_environment, failure, frame

from errtrack_run import terminal

HOSTILE = "\x1b]0;title\x07\x1b[31m\x9b2J\u202e\u2066\u200f\x00\x7f\r\b\ud800\u2028\U000e0041"


def test_nothing_in_an_event_reaches_the_terminal_unescaped(desk: Desk) -> None:
    own = frame(
        "f" + HOSTILE,
        lineno=HOSTILE,  # type: ignore[arg-type]
        abs_path="/p" + HOSTILE,
        vars={"k" + HOSTILE: "v" + HOSTILE, "d": {HOSTILE: [HOSTILE]}},
        context_line="x" + HOSTILE,
        pre_context=["p" + HOSTILE, "forged\nline"],
        post_context=["q" + HOSTILE],
    )
    crumb = ("message", "category", "level", "type")
    mechanism = {"type": HOSTILE, "source": HOSTILE, "parent_id": 7, "exception_id": 0}
    value = {
        "type": "T" + HOSTILE,
        "value": "V" + HOSTILE + "\nTags\n  admin  yes",
        "module": HOSTILE,
        "mechanism": mechanism,
        "stacktrace": {"frames": [own]},
    }
    event: dict[str, Any] = {
        name: "%s %s" % (name, HOSTILE)
        for name in ("transaction", "logger", "environment", "release", "dist", "server_name")
    }
    event.update(
        level=HOSTILE,
        exception={"values": [value, value]},
        logentry={"message": HOSTILE, "formatted": HOSTILE},
        request={
            "url": HOSTILE,
            "method": HOSTILE,
            "headers": {HOSTILE: HOSTILE},
            "data": HOSTILE,
            "query_string": HOSTILE,
        },
        user={HOSTILE: HOSTILE},
        tags={HOSTILE: HOSTILE + "\n" + HOSTILE},
        extra={HOSTILE: {HOSTILE: HOSTILE}},
        contexts={HOSTILE: {HOSTILE: HOSTILE}, "flags": {"values": [{"flag": HOSTILE, "result": HOSTILE}]}},
        breadcrumbs={"values": [{**dict.fromkeys(crumb, HOSTILE), "data": {HOSTILE: 1}}]},
        modules={HOSTILE: HOSTILE},
        threads={"values": [{"name": HOSTILE, "stacktrace": {"frames": [own]}}]},
    )
    desk.add(event)
    for arguments in (
        ("show",),
        ("show", "--full"),
        ("show", "--json"),
        ("list",),
        ("list", "--events"),
        ("list", "--json"),
        ("list", "--events", "--json"),
    ):
        result = desk.run(*arguments)
        assert result.status == 0
        bad = {c for c in result.out + result.err if c != "\n" and not c.isprintable()}
        assert bad == set(), arguments
        if "--json" not in arguments:
            assert "\\x1b" in result.out
            assert "Tags" not in result.out.replace("\n  Tags", "").split("Traceback")[0]
            assert not re.search(r"^forged|^line", result.out, re.M)
    assert "\\x1b]0;title\\x07" in desk.run("show").out
    assert desk.run("show").out.count("\nTags\n") == 1


def run_under_a_terminal(*arguments: str, **environ: str) -> str:
    import pty

    parent, child = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "errtrack_run.cli", *arguments],
        env=child_environment(TERM="xterm", **environ),
        stdin=subprocess.DEVNULL,
        stdout=child,
        stderr=child,
    )
    os.close(child)
    out = b""
    while True:
        try:
            data = os.read(parent, 65536)
        except OSError:  # EIO: the other end is closed
            break
        if not data:
            break
        out += data
    os.close(parent)
    assert process.wait(20) == 0, out
    return out.decode()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
def test_colours_are_for_terminals_only_and_not_with_no_color(desk: Desk) -> None:
    desk.add(failure())
    for command in ("list", "show"):
        assert "\x1b[" in run_under_a_terminal(command)
        assert "\x1b[" not in run_under_a_terminal(command, NO_COLOR="1")
        assert "\x1b[" not in desk.run(command).out


def test_a_reader_that_leaves_early_is_no_fault(desk: Desk) -> None:
    desk.add(*[failure(extra={str(i): "x" * 500 for i in range(600)})])
    process = subprocess.Popen(
        [sys.executable, "-m", "errtrack_run.cli", "show", "--full"],
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(20) == 0


def test_a_terminal_without_unicode_gets_escapes(desk: Desk) -> None:
    desk.add(failure(value="größer als 漢字"))
    done = subprocess.run(
        [sys.executable, "-m", "errtrack_run.cli", "list"],
        env=child_environment(PYTHONIOENCODING="ascii"),
        capture_output=True,
        check=True,
    )
    assert b"gr\\xf6\\xdfer als \\u6f22" in done.stdout


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("größer 漢字 🎉", "größer 漢字 🎉"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("\x9b", "\\x9b"),
        ("\u202e\u2066\u200f\ufeff", "\\u202e\\u2066\\u200f\\ufeff"),
        ("\n\t\r", "\\n\\t\\r"),
        ("\u2028\x85", "\\u2028\\x85"),
        ("\ud800\U000e0041", "\\ud800\\U000e0041"),
        ("no\u00a0break", "no\u00a0break"),
    ],
)
def test_escape(text: str, expected: str) -> None:
    assert terminal.escape(text) == expected


def test_texts_are_measured_in_columns() -> None:
    assert terminal.cells("漢字") == 4
    assert terminal.cells("e\u0301") == 1
    assert terminal.shorten("漢字漢字", 7) == "漢字..."
    assert terminal.shorten("abc", 3) == "abc"
    assert terminal.wrap("one two three", 7) == ["one two", "three"]
    assert terminal.wrap("x" * 10, 4) == ["xxxx", "xxxx", "xx"]
    assert "".join(terminal.wrap("漢" * 9, 5)) == "漢" * 9


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-100, "just now"),
        (2, "just now"),
        (30, "30 s ago"),
        (60, "1 min ago"),
        (7199, "119 min ago"),
        (7200, "2 h ago"),
        (200_000, "2 d ago"),
    ],
)
def test_ago(seconds: float, expected: str) -> None:
    assert terminal.ago(1000.0, 1000.0 + seconds) == expected


@pytest.mark.parametrize("command", [("show",), ("list",), ("config",), ("doctor",)])
def test_a_program_that_reads_along_gets_whole_lines(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    long = " ".join(["word"] * 30)
    desk.add(failure("ValueError", long, frame("pay", context_line=long, vars={"name": long})))
    monkeypatch.setenv("ERRTRACK_RELEASE", long)
    monkeypatch.delenv("COLUMNS")
    out = desk.run(*command).out
    assert out.count(long) == out.count("word word") // 15 > 0
