# SPDX-License-Identifier: MIT
"""Fixtures for the tests of faults: a server that misbehaves on request."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sinks import Sink


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running
