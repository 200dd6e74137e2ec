# SPDX-License-Identifier: MIT
"""To import a library costs the table of its patches: what its handlers need is loaded when one is called."""

from __future__ import annotations

import builtins
import errno
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from errtrack import guard
from errtrack.instrumentation import Late, LateSteps
from errtrack_instrumentations import _late, table


@pytest.mark.parametrize("name", sorted(table.INSTRUMENTATIONS))
def test_every_late_handler_is_there(name: str) -> None:
    file = __import__("errtrack_instrumentations." + name, fromlist=["*"])
    for patch in file.INSTRUMENTATION.patches:
        if isinstance(patch.handler, (Late, LateSteps)):
            assert callable(getattr(patch.handler.find(), "handle", patch.handler.find())), patch.target


@pytest.fixture
def helper(monkeypatch: pytest.MonkeyPatch) -> Callable[[], ModuleType]:
    """A module of ours that has not been loaded, and what loads it."""
    made = ModuleType("errtrack_instrumentations._helper")
    made.answer = 42  # type: ignore[attr-defined]

    def load() -> ModuleType:
        monkeypatch.setitem(sys.modules, made.__name__, made)
        return made

    return load


def test_a_late_module_takes_its_place_when_it_is_asked_for_something(
    helper: Callable[[], ModuleType],
) -> None:
    names: dict[str, Any] = {"__name__": "test"}
    exec("from errtrack_instrumentations._late import _helper as under_another_name, _helper", names)
    waiting = names["_helper"]
    made = helper()
    assert waiting.answer == 42
    assert names["_helper"] is made
    assert names["under_another_name"].answer == 42
    assert names["under_another_name"] is made
    assert waiting.answer == 42, "whoever holds it still"


def test_an_import_for_want_of_descriptors_is_tried_again(
    helper: Callable[[], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, Any] = {"__name__": "test"}
    exec("from errtrack_instrumentations._late import _helper", names)

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", refuse)
        with pytest.raises(guard.NotNow):
            names["_helper"].answer
    assert not guard.is_inside()
    helper()
    assert names["_helper"].answer == 42


def test_the_log_lines_of_a_load_are_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[bool] = []

    def note(*args: Any, **kwargs: Any) -> Any:
        inside.append(guard.is_inside())
        return sys

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", note)
        _late.loaded("sys")
    assert inside == [True]


def test_who_comes_in_the_middle_of_a_load_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a finaliser or signal handler of the application does, which would see half of a module."""
    refused: list[str] = []

    def interrupt(name: str, *args: Any, **kwargs: Any) -> Any:
        with pytest.raises(guard.NotNow):
            _late.loaded("sys")
        refused.append(name)
        return sys

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", interrupt)
        _late.loaded("os")
    assert refused == ["os"]
    assert _late.loaded("sys") is sys
