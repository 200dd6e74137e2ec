# SPDX-License-Identifier: MIT
"""Fixtures of the bootstrap's tests: a place to launch from, and the interpreters of this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from houses import OLD_VERSIONS, VERSIONS, House, python_of


@pytest.fixture(params=VERSIONS)
def any_python(request: pytest.FixtureRequest) -> str:
    """Each supported interpreter that is installed; none of them has errtrack."""
    return python_of(request.param)


@pytest.fixture(params=OLD_VERSIONS)
def old_python(request: pytest.FixtureRequest) -> str:
    return python_of(request.param)


@pytest.fixture(scope="session")
def plain_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """This Python in an environment of its own that has nothing installed."""
    folder = tmp_path_factory.mktemp("plain")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return str(folder / "bin" / "python")


@pytest.fixture
def house(tmp_path: Path) -> House:
    """errtrack as it lies here."""
    return House(tmp_path)
