"""Instrumentations applied in the test's own process, with a client whose events are collected."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from errtrack import client as clients
from errtrack import loggers, options
from errtrack.context import scope


class Watching:
    """``watching("logging", logging_level="INFO")`` applies instrumentations; ``watching.events`` is what came."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[dict[str, Any]] = []
        self.hints: list[dict[str, Any]] = []
        self._folder = folder
        self._monkeypatch = monkeypatch
        self._applied: list[Any] = []

    def __call__(self, *names: str, **settings: Any) -> Watching:
        clients.init({"pytest": True, "store": str(self._folder), "before_send": self._collect, **settings})
        for name in (*names, "dedupe"):
            self.apply(name)
        return self

    def apply(self, name: str) -> Any:
        file: Any = importlib.import_module("errtrack_instrumentations." + name)
        rows = (*file.INSTRUMENTATION.patches, *file.INSTRUMENTATION.on_import)
        for module in dict.fromkeys(row.module for row in rows):
            try:
                imported = importlib.import_module(module)
            except ImportError:
                continue  # not installed here
            file.INSTRUMENTATION.apply(module, imported)
        self._applied.append(file.INSTRUMENTATION)
        return file

    def event(self) -> dict[str, Any]:
        assert len(self.events) == 1, [e.get("exception") or e.get("logentry") for e in self.events]
        return self.events[0]

    def stop(self) -> None:
        for instrumentation in self._applied:
            instrumentation.remove()
        for client in clients._clients.values():
            client.close(1)

    def _collect(self, event: dict[str, Any], hint: dict[str, Any]) -> None:
        self.events.append(event)
        self.hints.append(hint)


@pytest.fixture
def watching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watching]:
    monkeypatch.setattr(clients, "_clients", {})
    monkeypatch.setattr(clients, "_processors", [])
    monkeypatch.setattr(clients, "_error_filters", [])
    monkeypatch.setattr(options, "_current", {})
    monkeypatch.setattr(loggers, "_named", set(loggers._named))
    monkeypatch.setattr(loggers, "answers", {})
    token = scope._scopes.set(None)
    started = Watching(tmp_path / "state", monkeypatch)
    yield started
    started.stop()
    scope._scopes.reset(token)
