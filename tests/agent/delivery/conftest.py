# SPDX-License-Identifier: MIT
"""Fixtures for the tests of delivery: a server, settings of their own, child processes with a clean environment."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from deliveries import Child
from sink import Sink

from errtrack.delivery import places, post, worker
from errtrack.delivery.transport import Transport
from errtrack.dsn import Dsn
from errtrack.options import Options


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_told_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "_told", set())


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    """Settings whose files lie below the test's folder, whatever the environment says."""
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = Options()
    assert made.set("store", str(tmp_path / "state"), "test")
    return made


@pytest.fixture
def transport(options: Options, sink: Sink) -> Iterator[Transport]:
    """A transport to the server."""
    made = Transport(options, Dsn.parse(sink.dsn))
    yield made
    made.close(0)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses after faults and between looks for orphans are short."""
    monkeypatch.setattr(post, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(post, "LONGEST_PAUSE", 0.2)
    monkeypatch.setattr(worker, "LOOK_EVERY", 0.2)
    monkeypatch.setattr(worker, "BACKLOG_GAP", 0.01)


@pytest.fixture
def child(tmp_path: Path) -> Child:
    return Child(tmp_path)


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Any]:
    """Wait until something is true, at most ten seconds."""

    def wait(condition: Callable[[], Any]) -> Any:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            time.sleep(0.01)
        raise AssertionError("it did not become true")

    return wait
