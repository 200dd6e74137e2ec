# SPDX-License-Identifier: MIT
"""Fixtures of the bootstrap's tests: a place to launch from, and the interpreters of this machine."""

from __future__ import annotations

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


@pytest.fixture
def house(tmp_path: Path) -> House:
    """errtrack as it lies here."""
    return House(tmp_path)
