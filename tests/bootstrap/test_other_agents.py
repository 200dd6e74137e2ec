# SPDX-License-Identifier: MIT
"""The other launchers of the field in the same process, in either order. Numbers: 39 and 95 of the fact sheet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rooms import Room, room
from test_autoload import AUTOLOAD

import errtrack
import errtrack_instrumentations
import errtrack_run
from web import main_exception

PY = sys.executable

#: Room -> launcher, the module that its boot leaves behind, what keeps it from talking to a server.
AGENTS: dict[str, tuple[list[str], str, dict[str, str]]] = {
    "ddtrace": (
        ["ddtrace-run"],
        "ddtrace",
        {"DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false", "DD_REMOTE_CONFIGURATION_ENABLED": "false"},
    ),
    "opentelemetry": (
        ["opentelemetry-instrument"],
        "opentelemetry.instrumentation",
        {"OTEL_%s_EXPORTER" % kind: "none" for kind in ("TRACES", "METRICS", "LOGS")},
    ),
    "newrelic": (
        ["newrelic-admin", "run-program"],
        "newrelic.config",
        {"NEW_RELIC_DEVELOPER_MODE": "true", "NEW_RELIC_LICENSE_KEY": "x" * 40, "NEW_RELIC_LOG": "log.txt"},
    ),
    "elastic": (["elasticapm-run"], "elasticapm", {"ELASTIC_APM_DISABLE_SEND": "true"}),
}

#: They put their own sitecustomize in the way of every other one.
SHADOWING = ("opentelemetry", "elastic")

APP = "import sys\nprint(%r in sys.modules)\nraise ValueError('seen by all')\n"


def launch(sandbox: Any, agent: str, first: str, python: str) -> subprocess.CompletedProcess[str]:
    """Run the application with errtrack's launcher as the *first* word or not; or with the agent alone."""
    words, module, env = AGENTS[agent]
    theirs = [room(agent).program(words[0]), *words[1:]]
    # Isolated, since the launcher is a Python as well, and would run the other agent's sitecustomize.
    ours = [PY, "-I", "-m", "errtrack_run"]
    command = {"ours": [*ours, *theirs], "theirs": [*theirs, *ours], "alone": theirs}[first]
    sandbox.write("app.py", APP % module)
    done: subprocess.CompletedProcess[str] = sandbox.run(*command, python, "app.py", launched=False, **env)
    return done


@pytest.mark.slow
@pytest.mark.parametrize("first", ["ours", "theirs"])
@pytest.mark.parametrize("agent", AGENTS)
def test_both_boot_and_the_output_is_that_of_the_other_agent_alone(
    sandbox: Any, agent: str, first: str
) -> None:
    """39, 95"""
    python = room(agent).python
    if first == "ours" and agent in SHADOWING:
        python = annex(sandbox, room(agent))
    alone = launch(sandbox, agent, "alone", python)
    assert alone.stdout.endswith("True\n"), alone.stderr
    done = launch(sandbox, agent, first, python)
    assert (done.returncode, done.stdout, done.stderr) == (1, alone.stdout, alone.stderr)
    assert main_exception(sandbox.event())["value"] == "seen by all"


@pytest.mark.slow
@pytest.mark.parametrize("agent", SHADOWING)
def test_behind_an_agent_that_hides_others_the_application_runs_without_us(sandbox: Any, agent: str) -> None:
    """39: where errtrack-run-autoload is not installed; nothing half, and nothing said."""
    python = room(agent).python
    alone = launch(sandbox, agent, "alone", python)
    done = launch(sandbox, agent, "ours", python)
    assert (done.returncode, done.stdout, done.stderr) == (1, alone.stdout, alone.stderr)
    assert sandbox.events() == []


def annex(sandbox: Any, room: Room) -> str:
    """The packages of *room*, errtrack and errtrack-run-autoload together in a new environment; its Python."""
    packages = next(room.folder.glob("lib/python*/site-packages"))
    if packages.parent.name != "python%d.%d" % sys.version_info[:2]:
        pytest.skip("the room is of another Python: " + packages.parent.name)
    folder = sandbox.folder / "annex"
    subprocess.run([PY, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    wings = [
        Path(str(package.__file__)).parents[1]
        for package in (errtrack, errtrack_instrumentations, errtrack_run)
    ]
    lines = ["%s\n" % path for path in (*wings, packages)]
    (site / "_wings.pth").write_text("".join(lines))
    for path in AUTOLOAD.glob("errtrack*auto*"):
        if path.is_file():
            (site / path.name).write_text(path.read_text())
    return str(folder / "bin" / "python")
