# SPDX-License-Identifier: MIT
"""The errtrack command as a whole: help, wrong usage, settings, start-up."""

from __future__ import annotations

import subprocess
import sys

import pytest
from desk import Desk, child_environment

COMMANDS = ("list", "show", "test", "doctor", "config")


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


def test_a_command_imports_only_what_it_needs() -> None:
    code = (
        "import sys; from errtrack_run import cli; cli.main(['config']); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=child_environment(), capture_output=True, text=True, check=True
    )
    loaded = set(done.stderr.split())
    assert not loaded & {"sqlite3", "urllib3", "ssl", "subprocess", "asyncio", "wrapt", "errtrack.client"}
