# SPDX-License-Identifier: MIT
"""The errtrack command as a whole: help, wrong usage, settings, start-up."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from desk import Desk, child_environment, failure

COMMANDS = ("list", "show", "test", "doctor", "spool", "config", "export")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(desk: Desk, command: str) -> None:
    result = desk.run(command, "--help")
    assert result.status == 0
    examples = result.out.partition("examples:\n")[2]
    assert "errtrack " + command in examples


def test_the_help_names_every_command(desk: Desk) -> None:
    out = desk.run("--help").out
    assert all("    %s " % command in out for command in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "COMMAND (see errtrack --help)"),
        (("nonsense",), "'nonsense'"),
        (("list", "--limit", "-1"), "--limit: must be a whole number, 0 or more (see errtrack list --help)"),
        (("list", "--limit", "x"), "--limit: must be a whole number"),
        (("list", "-n", "3"), "arguments: -n (see"),
        (("list", "--", "x"), "list takes no command"),
        (("spool", "drain", "--timeout", "nan"), "--timeout: must be a number of seconds, 0 or more"),
        (("export", "folder", "--store", "x"), "--store"),  # which it would not look at
    ],
)
def test_wrong_usage_is_one_line_and_exits_with_2(desk: Desk, arguments: tuple[str, ...], told: str) -> None:
    result = desk.run(*arguments)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("errtrack: ") and told in result.err
    assert result.err.count("\n") == 1


def errtrack(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "errtrack_run.cli", *arguments]
    return subprocess.run(command, env=child_environment(), stderr=subprocess.PIPE, text=True, **more)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize("arguments", [("config",), ("config", "--json"), ("list",)])
def test_output_that_cannot_be_written_is_told_in_one_line(desk: Desk, arguments: tuple[str, ...]) -> None:
    desk.add(failure())
    with open("/dev/full", "w") as full:
        done = errtrack(*arguments, stdout=full)
    assert done.returncode == 1
    assert done.stderr == "errtrack: [Errno 28] No space left on device\n"


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are closed otherwise there")
def test_a_closed_output_is_told_in_one_line(desk: Desk) -> None:
    done = errtrack("list", preexec_fn=lambda: os.close(1))
    assert done.returncode == 1
    assert done.stderr == "errtrack: stdout is closed: there is nowhere to write to\n"


def test_a_settings_file_that_is_not_there_is_told_by_the_name_of_the_option(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = desk.run("config", "--config", "none.toml", "--json").json["problems"]
    assert [problem.partition(":")[0] for problem in told] == ["--config"]
    monkeypatch.setenv("ERRTRACK_CONFIG", "none.toml")
    told = desk.run("config", "--json").json["problems"]
    assert [problem.partition(":")[0] for problem in told] == ["ERRTRACK_CONFIG"]


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


def test_names_of_instrumentations_that_are_none_are_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (desk.folder / "errtrack.toml").write_text('disable = ["flaks", "argv"]\n')
    monkeypatch.setenv("ERRTRACK_ENABLE", "sys_exit,qqq")
    result = desk.run("config", "--changed", "--json")
    assert result.status == 1
    assert result.json["problems"] == [
        "%s: disable: there is no instrumentation flaks: did you mean flask?"
        % (desk.folder / "errtrack.toml"),
        "ERRTRACK_ENABLE: enable: there is no instrumentation qqq: `errtrack doctor` lists them all",
    ]
    assert "did you mean flask?" in desk.run("list").err


def test_a_command_imports_only_what_it_needs() -> None:
    code = (
        "import sys; from errtrack_run import cli; cli.main(['config']); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=child_environment(), capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    assert not loaded & {"sqlite3", "urllib3", "ssl", "subprocess", "asyncio", "wrapt", "errtrack.client"}
