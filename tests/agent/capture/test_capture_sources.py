# SPDX-License-Identifier: MIT
"""Source lines where the file is not where it was, or never was."""

from __future__ import annotations

import importlib
import py_compile
import sys
from pathlib import Path
from typing import Any

import pytest

SOURCE = "def fail():\n    first = 1\n    raise LookupError(first)\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return tmp_path


def last_frame(capture: Any, error: BaseException) -> dict[str, Any]:
    frame: dict[str, Any] = capture.of(error)["exception"]["values"][-1]["stacktrace"]["frames"][-1]
    return frame


def test_a_module_that_is_byte_code_only_has_its_frame_and_no_source(folder: Path, capture, raised) -> None:
    (folder / "only_pyc_here.py").write_text(SOURCE)
    py_compile.compile(str(folder / "only_pyc_here.py"), str(folder / "only_pyc_here.pyc"), doraise=True)
    (folder / "only_pyc_here.py").unlink()
    module = importlib.import_module("only_pyc_here")
    frame = last_frame(capture, raised(module.fail))
    assert (frame["function"], frame["lineno"], frame["module"]) == ("fail", 3, "only_pyc_here")
    assert frame["filename"] == "only_pyc_here.py" and "context_line" not in frame
    assert frame["vars"] == {"first": "1"}


def test_a_source_that_was_deleted_meanwhile_costs_its_lines_only(folder: Path, capture, raised) -> None:
    (folder / "gone_later.py").write_text(SOURCE)
    module = importlib.import_module("gone_later")
    (folder / "gone_later.py").unlink()
    frame = last_frame(capture, raised(module.fail))
    assert (frame["function"], frame["lineno"], frame["vars"]) == ("fail", 3, {"first": "1"})


def test_a_frame_whose_file_does_not_exist_as_extension_modules_have_them(capture, raised) -> None:
    code = compile(SOURCE.replace("\n", "\n" * 40), "shop/fast.pyx", "exec")
    space: dict[str, Any] = {"__name__": "shop.fast"}
    exec(code, space)
    frame = last_frame(capture, raised(space["fail"]))
    assert (frame["filename"], frame["function"], frame["lineno"]) == ("shop/fast.pyx", "fail", 81)
    assert "context_line" not in frame


def test_a_module_that_was_taken_out_of_sys_modules(folder: Path, capture, raised) -> None:
    (folder / "taken_out.py").write_text(SOURCE)
    module = importlib.import_module("taken_out")
    del sys.modules["taken_out"]
    assert last_frame(capture, raised(module.fail))["context_line"] == "    raise LookupError(first)"


class Slotted(Exception):
    __slots__ = ("a",)


class Uncomparable(Exception):
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("compared")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise RuntimeError("asked")

    def __len__(self) -> int:
        raise RuntimeError("counted")


@pytest.mark.parametrize("kind", [Slotted, Uncomparable])
def test_exceptions_that_cannot_be_compared_hashed_or_marked(capture, raised, kind: type[Exception]) -> None:
    def fail() -> None:
        try:
            raise kind("inner")
        except kind as inner:
            raise kind("outer") from inner

    values = capture.of(raised(fail))["exception"]["values"]
    assert [value["value"] for value in values] == ["inner", "outer"]


def test_an_exception_that_is_its_own_cause(capture, raised) -> None:
    error = ValueError("x")
    error.__cause__ = error
    assert len(capture.of(error)["exception"]["values"]) == 1
