# SPDX-License-Identifier: MIT
"""An instrumentation that fails three times is off in its process: told in one line, shown by doctor, harmless."""

from __future__ import annotations

import json
import os
import types
from typing import Any

import pytest

from errtrack import guard, options
from errtrack.instrumentation import Call, Instrumentation, Patch, active, shielded


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> options.Options:
    made = options.Options()
    made.set("store", str(tmp_path / "state"), "test")
    monkeypatch.setattr(options, "_current", {"options": made})
    return made


@pytest.fixture
def library(settings: options.Options) -> Any:
    module = types.ModuleType("library")
    exec("def work(x):\n    return x + 1", module.__dict__)
    yield module
    active.pop("library", None)
    guard.breakers.pop("library", None)


def failing(call: Call) -> Any:
    """work(x) -> int"""
    handled.append(call)
    raise KeyError("secret text")
    yield


handled: list[Any] = []


@pytest.fixture(autouse=True)
def nothing_handled() -> None:
    handled.clear()


def test_after_three_faults_it_is_taken_off(
    library: Any, faults_counted: dict[str, int], capfd: pytest.CaptureFixture[str]
) -> None:
    original = library.work
    made = Instrumentation("library", patches=[Patch("library", "work", failing)])
    made.apply("library", library)
    held = library.work  # somebody imported it by name
    assert [library.work(1) for _ in range(5)] == [2] * 5
    assert library.work is original and len(handled) == 3 and "library" not in active
    assert held(1) == 2 and held(2) == 3 and len(handled) <= 4
    (line,) = capfd.readouterr().err.splitlines()
    assert "library failed 3 times (KeyError) and is switched off in this process" in line
    assert "secret" not in line


def test_it_stays_off_for_modules_that_come_later(library: Any, faults_counted: dict[str, int]) -> None:
    made = Instrumentation("library", patches=[Patch("library", "work", failing)])
    for _ in range(3):
        guard.fault("library: library.work", ValueError()) if "library" in guard.breakers else made.apply(
            "library", library
        )
    guard.fault("library", ValueError())
    before = library.work
    made.apply("library", library)
    assert library.work is before and made.refused == "switched off after 3 internal faults"


def test_async_functions_are_left_in_peace_too(library: Any, faults_counted: dict[str, int]) -> None:
    import asyncio

    exec("async def wait(x):\n    return x", library.__dict__)
    made = Instrumentation("library", patches=[Patch("library", "wait", failing)])
    made.apply("library", library)
    held = library.wait

    async def main() -> list[int]:
        return [await held(i) for i in range(6)]

    assert asyncio.run(main()) == list(range(6))
    assert len(handled) == 3


def test_callbacks_are_too(library: Any, faults_counted: dict[str, int]) -> None:
    made = Instrumentation("library", patches=[Patch("library", "work", failing)])
    made.apply("library", library)
    callback = shielded("library", lambda: handled.append(1) or 1 / 0)
    for _ in range(6):
        callback()
    assert len(handled) == 3


def test_faults_elsewhere_take_nothing_off(library: Any, faults_counted: dict[str, int]) -> None:
    made = Instrumentation("library", patches=[Patch("library", "work", failing)])
    made.apply("library", library)
    for _ in range(9):
        assert not guard.fault("delivery.put", OSError())
    library.work(1)
    assert "library" in active
    made.remove()


def test_doctor_tells_of_it(sandbox: Any) -> None:
    sandbox.write("broken.py", "def explode(*a): raise KeyError\n")
    code = """
import logging, sys
from errtrack_instrumentations import logging as ours
import errtrack.loggers, errtrack.guard
for _ in range(3):
    errtrack.guard.fault("logging", KeyError("x"))
logging.getLogger("shop").error("still here")
"""
    done = sandbox.python(code)
    assert done.returncode == 0
    assert "logging failed 3 times (KeyError)" in done.stderr
    report = json.loads(sandbox.errtrack("doctor", "--json").stdout)
    (check,) = (c for c in report["checks"] if "switched off there" in c["text"])
    assert (check["name"], check["state"]) == ("logging", "problem")
    assert not report["ok"]
    path = sandbox.store / "switched-off.txt"
    assert os.stat(path).st_mode & 0o777 == 0o600
