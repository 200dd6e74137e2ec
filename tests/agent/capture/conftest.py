# SPDX-License-Identifier: MIT
"""Fixtures for the tests of capture."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from captures import Capture, caught


@pytest.fixture
def capture() -> Capture:
    return Capture()


@pytest.fixture
def capture_with() -> type[Capture]:
    return Capture


@pytest.fixture
def raised() -> Callable[[Callable[[], Any]], BaseException]:
    return caught
