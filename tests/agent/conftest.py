# SPDX-License-Identifier: MIT
"""Fixtures for the tests of the agent: a client of its own, and a server that takes what it sends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running import Running
from sink import Sink

from errtrack import client as clients
from errtrack import options


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(clients, "_clients", {})
    monkeypatch.setattr(clients, "_processors", [])
    monkeypatch.setattr(clients, "_error_filters", [])
    monkeypatch.setattr(options, "_current", {})
    started = Running(tmp_path / "state")
    from errtrack.context import scope

    token = scope._scopes.set(None)
    yield started
    scope._scopes.reset(token)
    for client in started.clients:
        client.close(2)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as server:
        yield server
