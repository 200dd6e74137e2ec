# SPDX-License-Identifier: MIT
"""Environments with frameworks and other agents in them, made once below the folder ERRTRACK_TEST_VENVS.

Without that variable the tests that want one are skipped. errtrack is in none of them: it is launched from
the tests' own environment, as ``pipx`` users do. ``python tests/bootstrap/rooms.py [NAME...]`` makes them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOMS = {
    "frameworks": "flask gunicorn django uvicorn celery coverage debugpy pytest pytest-xdist",
    "greenlets": "gevent eventlet flask django gunicorn<25",  # the eventlet worker is gone from later ones
    "ddtrace": "ddtrace",
    "opentelemetry": "opentelemetry-distro opentelemetry-instrumentation",
    "newrelic": "newrelic",
    "elastic": "elastic-apm",
    "sentry": "sentry-sdk",
    "uwsgi": "uwsgi flask django",
}

_MARK = ".errtrack-ready"


class Room:
    """An environment: the path of its ``python``, and of its other programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = str(folder / "bin" / "python")

    def program(self, name: str) -> str:
        return str(self.folder / "bin" / name)


def make(name: str, house: Path) -> Path:
    """Make the room *name* below *house*, unless it is there. Raises CalledProcessError."""
    folder = house / name
    if not (folder / _MARK).exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, *ROOMS[name].split()], check=True, timeout=600)
        (folder / _MARK).write_text(ROOMS[name])
    return folder


def room(name: str) -> Room:
    """The room *name*; the test is skipped where there is none."""
    house = os.environ.get("ERRTRACK_TEST_VENVS")
    if not house:
        pytest.skip("ERRTRACK_TEST_VENVS names no folder for environments with other people's packages")
    try:
        return Room(make(name, Path(house)))
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip("the environment %s could not be made: %s" % (name, error))


if __name__ == "__main__":
    for wanted in sys.argv[1:] or ROOMS:
        try:
            print(make(wanted, Path(os.environ["ERRTRACK_TEST_VENVS"])))
        except (OSError, subprocess.SubprocessError) as problem:
            print("%s could not be made: %s" % (wanted, problem))
