# SPDX-License-Identifier: MIT
"""Chains, groups, texts: what an exception becomes."""

from __future__ import annotations

import builtins
import concurrent.futures
import errno
import sys
import time
from typing import Any

import pytest

has_groups = sys.version_info >= (3, 11)


def values(event: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = event["exception"]["values"]
    return found


def texts(event: dict[str, Any]) -> list[str]:
    return [value["value"] for value in values(event)]


def fail(error: BaseException) -> Any:
    raise error


def test_a_single_exception_has_type_module_value_and_mechanism(capture, raised) -> None:
    class Broken(ValueError):
        pass

    (value,) = values(capture.of(raised(lambda: fail(Broken("it broke")))))
    assert value["type"].endswith("<locals>.Broken")
    assert value["module"] == __name__
    assert value["value"] == "it broke"
    assert value["mechanism"] == {"type": "generic", "handled": True}
    assert value["thread_id"].isdigit()


def test_builtin_exceptions_have_no_module(capture, raised) -> None:
    (value,) = values(capture.of(raised(lambda: 1 / 0)))
    assert "module" not in value
    assert value["type"] == "ZeroDivisionError"


def chain(first: BaseException, second: BaseException, how: str) -> None:
    try:
        raise first
    except BaseException as error:
        if how == "cause":
            raise second from error
        if how == "none":
            raise second from None
        if how == "both":
            raise second from OSError("the cause")
        raise second


@pytest.mark.parametrize(
    ("how", "expected", "source"),
    [
        ("cause", ["first", "second"], "__cause__"),
        ("context", ["first", "second"], "__context__"),
        ("none", ["second"], None),
        ("both", ["the cause", "second"], "__cause__"),
    ],
)
def test_chains_run_from_the_oldest_cause_to_the_raised_exception(
    capture, raised, how, expected, source
) -> None:
    event = capture.of(raised(lambda: chain(ValueError("first"), TypeError("second"), how)))
    assert texts(event) == expected
    if source:
        first, last = values(event)
        assert last["mechanism"]["exception_id"] == 0
        assert first["mechanism"] == {
            "type": "chained",
            "handled": True,
            "exception_id": 1,
            "parent_id": 0,
            "source": source,
        }


def test_each_link_has_its_own_stack_trace(capture, raised) -> None:
    first, last = values(capture.of(raised(lambda: chain(ValueError("a"), TypeError("b"), "cause"))))
    lines = [value["stacktrace"]["frames"][-1]["context_line"].strip() for value in (first, last)]
    assert lines == ["raise first", "raise second from error"]


def test_a_circle_of_causes_ends(capture) -> None:
    a, b = ValueError("a"), ValueError("b")
    a.__cause__, b.__cause__ = b, a
    assert texts(capture.of(a)) == ["b", "a"]
    a.__cause__ = a
    assert texts(capture.of(a)) == ["a"]


def test_a_chain_of_5000_keeps_the_newest_and_the_first_cause(capture) -> None:
    error = ValueError("0")
    for number in range(1, 5000):
        following = ValueError(str(number))
        following.__cause__ = error
        error = following
    started = time.perf_counter()
    event = capture.of(error)
    assert time.perf_counter() - started < 1
    assert texts(event) == ["0"] + [str(n) for n in range(4951, 5000)]
    assert event["_meta"]["exception"]["values"][""]["len"] == 5000
    assert values(event)[0]["mechanism"]["parent_id"] == 48
    assert values(event)[0]["mechanism"]["exception_id"] == 49


@pytest.mark.skipif(not has_groups, reason="no exception groups")
def test_a_group_is_flattened_depth_first_with_ids(capture, raised) -> None:
    group = getattr(builtins, "ExceptionGroup", None)

    def work() -> None:
        try:
            raise RuntimeError("context")
        except RuntimeError:
            raise group(
                "nested",
                [
                    ValueError("1"),
                    group("imports", [ImportError("2"), ModuleNotFoundError("3")]),
                    TypeError("4"),
                ],
            )

    found = values(capture.of(raised(work)))[::-1]
    rows = [
        (
            v["type"],
            v["mechanism"]["exception_id"],
            v["mechanism"].get("parent_id"),
            v["mechanism"].get("source"),
            v["mechanism"].get("is_exception_group"),
        )
        for v in found
    ]
    assert rows == [
        ("ExceptionGroup", 0, None, None, True),
        ("RuntimeError", 1, 0, "__context__", None),
        ("ValueError", 2, 0, "exceptions[0]", None),
        ("ExceptionGroup", 3, 0, "exceptions[1]", True),
        ("ImportError", 4, 3, "exceptions[0]", None),
        ("ModuleNotFoundError", 5, 3, "exceptions[1]", None),
        ("TypeError", 6, 0, "exceptions[2]", None),
    ]


@pytest.mark.skipif(not has_groups, reason="no exception groups")
def test_a_group_as_cause_shows_its_members(capture, raised) -> None:
    group = getattr(builtins, "ExceptionGroup", None)
    event = capture.of(raised(lambda: chain(group("g", [KeyError("member")]), RuntimeError("r"), "cause")))
    assert [value["type"] for value in values(event)] == ["KeyError", "ExceptionGroup", "RuntimeError"]


@pytest.mark.skipif(not has_groups, reason="no exception groups")
def test_a_group_of_10000_is_capped_quickly(capture, raised) -> None:
    group = getattr(builtins, "ExceptionGroup", None)
    error = raised(lambda: fail(group("many", [ValueError(str(n)) for n in range(10_000)])))
    started = time.perf_counter()
    event = capture.of(error)
    assert time.perf_counter() - started < 1
    assert len(values(event)) == 50
    assert event["_meta"]["exception"]["values"][""]["len"] == 10_001


def test_the_backports_groups_are_known_by_their_shape(capture) -> None:
    class BaseExceptionGroup(Exception):
        @property
        def exceptions(self) -> Any:
            raise AssertionError("a property was read")

        def derive(self, members: Any) -> Any:
            raise AssertionError

        def __init__(self, message: str, members: Any) -> None:
            super().__init__(message, members)
            self._exceptions = tuple(members)

    event = capture.of(BaseExceptionGroup("g", [ValueError("member")]))
    assert [value["type"].rpartition(".")[2] for value in values(event)] == [
        "ValueError",
        "BaseExceptionGroup",
    ]
    assert values(event)[-1]["mechanism"]["is_exception_group"] is True


def test_notes_follow_the_text(capture) -> None:
    error = ValueError("text")
    error.__dict__["__notes__"] = ["one", 5, "two"]
    assert texts(capture.of(error)) == ["text\none\ntwo"]
    error.__dict__["__notes__"] = 5
    assert texts(capture.of(error)) == ["text"]


def test_the_text_of_an_exception_is_what_a_traceback_prints(capture, raised) -> None:
    class Wordy(Exception):
        def __str__(self) -> str:
            return "own words"

    class Http(Exception):
        def __init__(self) -> None:
            self.detail = "Not here."

    cases = [
        ValueError("plain"),
        ValueError(),
        ValueError("two", 5),
        KeyError("amount"),
        ValueError({"a": [1, None]}),
        ValueError(ValueError("inner")),
        ValueError(7),
        Wordy(),
        raised(lambda: open("/no/such/file")),
        raised(lambda: b"\xff".decode()),
        raised(lambda: __import__("no_such_module_anywhere")),
    ]
    for case in cases:
        assert texts(capture.of(case))[-1] == str(case)
    assert texts(capture.of(Http())) == ["Not here."]


def test_a_str_that_raises_costs_only_the_text(capture) -> None:
    class Unprintable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    (value,) = values(capture.of(Unprintable("a")))
    assert value["value"].startswith("<unprintable ")
    assert value["type"].endswith("Unprintable")


def test_arguments_of_a_builtin_exception_are_not_asked_for_their_text(capture) -> None:
    class Lazy:
        def __str__(self) -> str:
            raise AssertionError("asked")

        __repr__ = __str__

    assert "Lazy object>" in texts(capture.of(ValueError(Lazy())))[0]
    assert "Lazy object>" in texts(capture.of(KeyError(Lazy())))[0]
    assert texts(capture.of(OSError(1, "x", Lazy()))) == ["(1, 'x')"]


def test_a_text_of_100_mb_is_cut(capture) -> None:
    error = ValueError("x" * 100_000_000)
    started = time.perf_counter()
    event = capture.of(error)
    assert time.perf_counter() - started < 0.5
    assert len(texts(event)[0]) == 8192
    assert texts(event)[0].endswith("...")
    assert event["_meta"]["exception"]["values"]["0"]["value"][""]["len"] >= 8192


def test_error_numbers_are_given_with_their_names(capture, raised) -> None:
    (value,) = values(capture.of(raised(lambda: open("/no/such/file"))))
    assert value["mechanism"]["meta"] == {"errno": {"number": errno.ENOENT, "name": "ENOENT"}}


def test_a_syntax_error_shows_the_place_it_speaks_of(capture, raised) -> None:
    error = raised(lambda: compile("x = 1\ny = (\n", "/srv/app/broken.py", "exec"))
    frame = values(capture.of(error))[-1]["stacktrace"]["frames"][-1]
    assert (frame["abs_path"], frame["filename"]) == ("/srv/app/broken.py", "broken.py")
    assert frame["lineno"] == 2
    assert frame["context_line"] == "y = ("


def test_an_exception_that_was_not_raised_has_no_stack_trace(capture) -> None:
    (value,) = values(capture.of(ValueError("made by hand")))
    assert "stacktrace" not in value


def test_hostile_attributes_of_an_exception_are_not_touched(capture) -> None:
    calls: list[str] = []

    class Hostile(Exception):
        __slots__ = ()

        def __getattribute__(self, name: str) -> Any:
            calls.append(name)
            raise RuntimeError(name)

        def __eq__(self, other: object) -> bool:
            calls.append("eq")
            raise RuntimeError

        __hash__ = None  # type: ignore[assignment]

    inner = Hostile("inner")
    outer = ValueError("outer")
    outer.__cause__ = inner
    event = capture.of(outer)
    assert texts(event) == ["inner", "outer"]
    assert calls == []


def in_pool() -> None:
    raise ValueError("in the other process")


def test_the_traceback_of_a_pool_worker_is_text_and_not_a_false_link(capture, raised) -> None:
    from concurrent.futures.process import _RemoteTraceback  # type: ignore[attr-defined]

    error = concurrent.futures.process._ExceptionWithTraceback(  # type: ignore[attr-defined]
        raised(in_pool), raised(in_pool).__traceback__
    )
    rebuild, arguments = error.__reduce__()
    received = rebuild(*arguments)
    assert type(received.__cause__) is _RemoteTraceback
    event = capture.of(received)
    assert texts(event) == ["in the other process"]
    assert "in in_pool" in event["extra"]["remote_traceback"]
