"""Fixtures that every part of the suite shares: a clean environment, and real processes under ``errtrack-run``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "PYENV_ROOT", "PYTHONDONTWRITEBYTECODE")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How a test failed that is run once more: where it passes then, nothing else tells what there is to look into."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.write_sep("_", "failed first: " + report.nodeid)
        terminalreporter.write_line(report.longreprtext[-4000:])


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the developer's shell exports must not reach a test."""
    for name in list(os.environ):
        if name.startswith(("ERRTRACK_", "SENTRY_")) and not name.startswith("ERRTRACK_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def internal_faults_fail_the_test(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[None]:
    """A fault of ours that a user would never see is an error here, unless the test is about faults."""
    from errtrack import guard

    counted: dict[str, int] = {}
    monkeypatch.setattr(guard, "faults", counted)
    monkeypatch.setattr(guard, "tripped", set())
    monkeypatch.setattr(guard, "raise_faults", "faults_counted" not in request.fixturenames)
    yield
    assert "faults_counted" in request.fixturenames or counted == {}


@pytest.fixture
def faults_counted(internal_faults_fail_the_test: None) -> dict[str, int]:
    """Internal faults are counted here, as they are in production, instead of being raised."""
    from errtrack import guard

    return guard.faults


class Sandbox:
    """A folder, a clean environment and an embedded store of their own for child processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "state"
        self.env = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self.env["ERRTRACK_STORE"] = str(self.store)
        self.env["HOME"] = str(folder)
        # A busy machine must not turn "delivered at exit" into "delivered by the next process".
        self.env["ERRTRACK_SHUTDOWN_TIMEOUT"] = "20"

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def command(self, *command: str, launched: bool = True) -> list[str]:
        launcher = [sys.executable, "-m", "errtrack_run"] if launched else []
        return [*launcher, *command]

    def run(
        self, *command: str, launched: bool = True, timeout: float = 60, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run *command* under errtrack-run (or bare) and wait for it."""
        return subprocess.run(
            self.command(*command, launched=launched),
            cwd=self.folder,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def python(self, code: str, *, launched: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a program, given as text, from a file called app.py."""
        path = self.write("app.py", code)
        return self.run(sys.executable, str(path), launched=launched, **env)

    def errtrack(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the ``errtrack`` command in this sandbox."""
        return self.run(sys.executable, "-m", "errtrack_run.cli", *arguments, launched=False, **env)

    def events(self) -> list[dict[str, Any]]:
        """Every event in the store, oldest first."""
        listed = self.errtrack("list", "--json")  # drains what waits in the spool
        assert listed.returncode == 0, listed.stderr
        from errtrack.delivery.store import Store

        store = Store(str(self.store), 0, 0)
        try:
            rows = [store.event(row["event_id"]) for row in store.events(limit=1_000_000)]
        finally:
            store.close()
        return sorted((row["event"] for row in rows if row), key=lambda event: event["timestamp"])

    def event(self) -> dict[str, Any]:
        """The one event in the store."""
        found = self.events()
        assert len(found) == 1, [e.get("exception") or e.get("logentry") for e in found]
        return found[0]


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


@pytest.fixture(scope="session")
def sandbox_in() -> type[Sandbox]:
    """``sandbox_in(folder)``: for fixtures that live longer than a test."""
    return Sandbox
