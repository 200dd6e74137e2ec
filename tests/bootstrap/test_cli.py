# SPDX-License-Identifier: MIT
"""The errtrack command: what was captured can be listed, read and trusted; and it says why something is not there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from errtrack.delivery import envelope
from errtrack.delivery.store import Store
from errtrack_run import cli, terminal

COMMANDS = ("list", "show", "test", "doctor", "config")


class Result:
    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Desk:
    """A working folder with a store of its own, and the command run in it, in this process."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.state = folder / "state"
        self._capsys = capsys

    def add(self, *events: dict[str, Any]) -> None:
        self.state.mkdir(mode=0o700, exist_ok=True)
        store = Store(str(self.state), 0, 0)
        for number, event in enumerate(events):
            event.setdefault("event_id", os.urandom(16).hex())
            event.setdefault("timestamp", time.time() - 600 + number)
            event.setdefault("level", "error")
            store.add([envelope.build(event["event_id"], "event", json.dumps(event).encode())])
        store.close()

    def run(self, *arguments: str) -> Result:
        self._capsys.readouterr()
        try:
            status = cli.main(list(arguments))
        except SystemExit as stop:  # argparse
            status = int(stop.code or 0)
        captured = self._capsys.readouterr()
        return Result(status, captured.out, captured.err)


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ERRTRACK_STORE", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("XDG_STATE_HOME", "STATE_DIRECTORY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return Desk(tmp_path, capsys)


def frame(function: str, lineno: int = 12, in_app: bool = True, **more: Any) -> dict[str, Any]:
    module = "shop.views" if in_app else "lib.core"
    path = "/srv/app/shop/views.py" if in_app else "/venv/lib/site-packages/lib/core.py"
    found = {"module": module, "abs_path": path, "function": function, "lineno": lineno, "in_app": in_app}
    return {**found, "filename": path.rpartition("/")[2], "context_line": "    %s()" % function, **more}


def failure(
    kind: str = "ValueError", value: str = "bad amount", *frames: dict[str, Any], **more: Any
) -> dict[str, Any]:
    stack = {"frames": list(frames or (frame("run", 3, in_app=False), frame("pay")))}
    error = {
        "type": kind,
        "value": value,
        "stacktrace": stack,
        "mechanism": {"type": "excepthook", "handled": False},
    }
    return {"exception": {"values": [error]}, **more}


# help


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(desk: Desk, command: str) -> None:
    result = desk.run(command, "--help")
    assert result.status == 0
    examples = result.out.partition("examples:\n")[2]
    assert "errtrack " + command in examples


def test_the_help_names_every_command(desk: Desk) -> None:
    out = desk.run("--help").out
    assert all("    %s " % command in out for command in COMMANDS)


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("list", "--limit", "-1"), ("list", "--", "x")])
def test_wrong_usage_exits_with_2(desk: Desk, arguments: tuple[str, ...]) -> None:
    assert desk.run(*arguments).status == 2


# list


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


def child_environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **more}


# show


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


def test_show_prints_the_stack_of_a_message(desk: Desk) -> None:
    thread = {"id": 1, "current": True, "stacktrace": {"frames": [frame("pay", 9)]}}
    desk.add({"logentry": {"message": "low stock"}, "threads": {"values": [thread]}, "level": "warning"})
    out = desk.run("show").out
    assert out.startswith("low stock\n")
    assert 'File "/srv/app/shop/views.py", line 9, in pay' in out


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_page_fits_the_terminal(desk: Desk, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    long = "word " * 90 + "y" * 700
    own = frame("pay", vars={"text": long, "n" * 60: "1"}, context_line="    " + long, pre_context=[long])
    crumbs = [{"timestamp": 1795168800, "message": long, "category": "c" * 50}]
    desk.add(failure("Error", long, own, tags={"t" * 200: long}, extra={"e": long}, breadcrumbs=crumbs))
    for arguments in (("show",), ("show", "--full")):
        lines = desk.run(*arguments).out.splitlines()
        wide = [
            line for line in lines if terminal.cells(line) > width and not line.startswith(("  File", "  t"))
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
        breadcrumbs={
            "values": [
                dict.fromkeys(("message", "category", "level", "type"), HOSTILE) | {"data": {HOSTILE: 1}}
            ]
        }
        if sys.version_info >= (3, 9)
        else {},
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
    import sqlite3

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


# the terminal


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


# test


class Sink:
    """A server that gives one answer to everything and remembers what it was sent."""

    def __init__(self, status: int = 200, **headers: str) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sink.requests.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.dsn = "http://publickey@127.0.0.1:%d/7" % self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Sink:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def events(self) -> Iterator[dict[str, Any]]:
        import gzip

        for headers, body in self.requests:
            data = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
            for item_headers, payload in envelope.parse(data).items:
                assert item_headers["type"] == "event"
                yield json.loads(payload)


def test_the_test_event_arrives_and_the_answer_is_shown(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERRTRACK_ENVIRONMENT", "staging")
    monkeypatch.setenv("ERRTRACK_TAGS", "team=blue")
    with Sink() as sink:
        monkeypatch.setenv("ERRTRACK_DSN", sink.dsn)
        result = desk.run("test")
        (event,) = sink.events()
    assert result.status == 0
    assert "HTTP 200 OK" in result.out and event["event_id"] in result.out
    assert "publickey" not in result.out
    assert event["environment"] == "staging" and event["tags"]["team"] == "blue"
    assert "publickey" in sink.requests[0][0]["x-sentry-auth"]


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (403, {"X_Sentry_Error": "bad \x1b[31m key"}, "reason  bad \\x1b[31m key"),
        (429, {"Retry_After": "60"}, "limits  60"),
        (500, {}, "HTTP 500 Internal Server Error"),
        (302, {"Location": "http://elsewhere.test/"}, "elsewhere.test"),
        (404, {}, "no such project"),
    ],
)
def test_a_refused_test_event_is_exit_status_1_with_the_reason(
    desk: Desk, status: int, headers: dict[str, str], expected: str
) -> None:
    with Sink(status, **headers) as sink:
        result = desk.run("test", "--dsn", sink.dsn)
    assert result.status == 1
    assert "HTTP %d" % status in result.out and expected in result.out
    assert "from --dsn" in result.out
    assert len(sink.requests) == 1


def test_an_unreachable_server_is_told(desk: Desk) -> None:
    with Sink() as sink:
        pass
    result = desk.run("test", "--dsn", sink.dsn)
    assert result.status == 1
    assert "answer  none: " in result.out and "could not be reached" in result.out


def test_without_a_dsn_the_test_event_is_kept_and_can_be_shown(desk: Desk) -> None:
    result = desk.run("test")
    assert result.status == 0
    shown = re.search(r"errtrack (show [0-9a-f]{8})", result.out)
    assert shown is not None
    assert "Test event of errtrack" in desk.run(*shown.group(1).split()).out


def test_a_malformed_dsn_is_not_tested_as_if_there_were_none(desk: Desk) -> None:
    result = desk.run("test", "--dsn", "https://no-key.example.test/1")
    assert result.status == 1
    assert "no public key" in result.err
    assert desk.run("list", "--json").json["issues"] == []


# doctor


def checks(result: Result) -> dict[tuple[str, str], tuple[str, str]]:
    return {(row["section"], row["name"]): (row["state"], row["text"]) for row in result.json["checks"]}


def test_doctor_finds_nothing_wrong_with_a_sound_setup(desk: Desk) -> None:
    desk.add(failure())
    result = desk.run("doctor", "--json")
    found = checks(result)
    assert result.status == 0 and result.json["ok"] is True, [
        c for c in found.items() if c[1][0] == "problem"
    ]
    assert "1 issue, 1 event" in found["On disk", "store"][1]
    assert found["Settings", "store"][1].endswith("from ERRTRACK_STORE")
    assert found["Instrumentations", "excepthook"][0] == "ok"
    text = desk.run("doctor").out
    assert text.rstrip().endswith("All is well.")
    assert max(map(len, text.splitlines())) <= 80 or str(desk.folder) in text


def test_doctor_has_a_row_for_everything_in_the_catalogue(desk: Desk) -> None:
    from errtrack_instrumentations import catalogue

    found = checks(desk.run("doctor", "--json"))
    rows = [name for section, name in found if section == "Instrumentations"]
    assert rows == list(catalogue.INSTRUMENTATIONS)


def test_doctor_tells_what_is_disabled_and_what_is_misspelt(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERRTRACK_DISABLE", "flask")
    (desk.folder / "errtrack.toml").write_text("sampel_rate = 0.5\n")
    result = desk.run("doctor", "--json")
    found = checks(result)
    assert result.status == 1
    assert found["Instrumentations", "flask"] == ("off", "Flask: disabled by ERRTRACK_DISABLE")
    assert "did you mean sample_rate" in found["Settings", "problem"][1]
    assert found["Settings", "file"][1] == str(desk.folder / "errtrack.toml")


def test_doctor_tells_an_unsupported_version(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site" / "flask-0.9.dist-info").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    result = desk.run("doctor", "--json")
    state, text = checks(result)["Instrumentations", "flask"]
    assert (result.status, state) == (1, "problem")
    assert "flask 0.9 is not supported" in text


def test_doctor_asks_the_server_and_leaves_no_event_there(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sink() as sink:
        monkeypatch.setenv("ERRTRACK_DSN", sink.dsn)
        result = desk.run("doctor", "--json")
        assert list(sink.events()) == []
        assert len(sink.requests) == 1
    assert result.status == 0
    assert checks(result)["Destination", "server"][0] == "ok"
    assert "publickey" not in result.out
    refused = desk.run("doctor", "--json")
    assert (refused.status, checks(refused)["Destination", "server"][0]) == (1, "problem")
    with Sink(403) as sink:
        monkeypatch.setenv("ERRTRACK_DSN", sink.dsn)
        assert checks(desk.run("doctor", "--json"))["Destination", "server"][0] == "problem"


def test_doctor_counts_what_waits_and_looks_without_touching(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from errtrack import options
    from errtrack.delivery import places, spool

    monkeypatch.setenv("ERRTRACK_DSN", "http://key@127.0.0.1:9/1")
    assert desk.run("doctor").status == 1
    assert not desk.state.exists()
    resolved = options.resolve()
    from errtrack.dsn import Dsn

    folder = places.spool_folder(resolved, Dsn.parse(resolved.dsn).digest)
    assert folder is not None
    kept = spool.Spool(folder, {})
    for _ in range(3):
        assert kept.put(envelope.build("a" * 32, "event", b"{}"))
    kept.close()
    state, text = checks(desk.run("doctor", "--json"))["On disk", "spool"]
    assert text == "3 events waiting for the server"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_doctor_tells_a_folder_that_cannot_be_written(desk: Desk) -> None:
    desk.state.mkdir(mode=0o500)
    result = desk.run("doctor", "--json")
    assert result.status == 1
    assert "cannot be used" in checks(result)["On disk", "folder"][1]


def test_doctor_tells_a_folder_that_others_can_write_to(desk: Desk) -> None:
    desk.state.mkdir()
    desk.state.chmod(0o777)
    result = desk.run("doctor", "--json")
    assert result.status == 1
    assert any("others can write" in row["text"] for row in result.json["checks"])


def test_doctor_tells_how_a_command_would_be_instrumented(desk: Desk) -> None:
    result = desk.run("doctor", "--json", "--", sys.executable, "app.py", "--json")
    found = checks(result)
    assert result.status == 0, found
    state, text = found["Command", "start"]
    assert state == "ok" and "sitecustomize on PYTHONPATH" in text
    assert found["Python", "interpreter"][1].endswith(sys.executable)


@pytest.mark.parametrize("flag", ["-I", "-E", "-S"])
def test_doctor_tells_flags_that_keep_errtrack_out(desk: Desk, flag: str) -> None:
    result = desk.run("doctor", "--json", "--", sys.executable, flag, "app.py")
    found = checks(result)
    assert result.status == 1
    assert flag in found["Command", "flags"][1]
    assert found["Command", "start"][0] == "problem"


@pytest.mark.skipif(sys.platform == "win32", reason="scripts name their interpreter on Unix")
@pytest.mark.parametrize(
    "first_line", ["#!%s", "#!/usr/bin/env %s", "#!/bin/sh\n'''exec' \"%s\" \"$0\" \"$@\"\n' '''"]
)
def test_doctor_looks_into_scripts_for_their_python(desk: Desk, first_line: str) -> None:
    script = desk.folder / "serve"
    script.write_text(first_line % sys.executable + "\nimport app\n")
    script.chmod(0o755)
    found = checks(desk.run("doctor", "--json", "--", str(script)))
    assert found["Command", "start"][0] == "ok"


def test_doctor_tells_commands_that_are_no_python_and_commands_that_are_not_there(desk: Desk) -> None:
    found = checks(desk.run("doctor", "--json", "--", "sh", "-c", "true"))
    assert "no Python program itself" in found["Command", "Python"][1]
    missing = desk.run("doctor", "--json", "--", "no-such-command-anywhere")
    assert missing.status == 1
    assert checks(missing)["Command", "no-such-command-anywhere"][1] == "there is no such command"


# config


def test_config_shows_every_setting_with_value_and_source(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from errtrack.options import OPTIONS

    monkeypatch.setenv("ERRTRACK_DSN", "https://secretkey@errors.example.test/7")
    monkeypatch.setenv("ERRTRACK_MAX_BREADCRUMBS", "7")
    (desk.folder / "errtrack.toml").write_text(
        'environment = "staging"\n[flask]\ntransaction_style = "url"\n'
    )
    result = desk.run("config", "--json")
    assert result.status == 0
    rows = {row["name"]: (row["value"], row["source"]) for row in result.json["settings"]}
    assert list(rows) == list(OPTIONS)
    assert rows["max_breadcrumbs"] == (7, "ERRTRACK_MAX_BREADCRUMBS")
    assert rows["environment"] == ("staging", str(desk.folder / "errtrack.toml"))
    assert rows["flask.transaction_style"][0] == "url"
    assert rows["sample_rate"] == (1.0, "default")
    text = desk.run("config").out
    assert all(name in text for name in OPTIONS)
    assert "secretkey" not in text + result.out
    changed = desk.run("config", "--changed", "--json").json["settings"]
    assert {row["name"] for row in changed} == {
        "dsn",
        "max_breadcrumbs",
        "environment",
        "flask.transaction_style",
        "store",
    }


def test_config_tells_problems_and_exits_with_1(desk: Desk) -> None:
    (desk.folder / "errtrack.toml").write_text("max_breadcrumbs = -1\n")
    result = desk.run("config")
    assert result.status == 1
    assert "max_breadcrumbs must be a whole number" in " ".join(result.out.split())
    assert len(desk.run("config", "--json").json["problems"]) == 1


# start-up


def test_a_command_imports_only_what_it_needs() -> None:
    code = (
        "import sys; from errtrack_run import cli; cli.main(['config']); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=child_environment(), capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    assert not loaded & {"sqlite3", "urllib3", "ssl", "subprocess", "asyncio", "wrapt", "errtrack.client"}
