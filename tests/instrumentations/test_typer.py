"""Typer prints tracebacks by a hook of its own; the errors are reported all the same, once."""

from __future__ import annotations

import re

import pytest

from web import main_exception

pytest.importorskip("typer")

APP = """
import typer
app = typer.Typer(%s)

@app.command()
def main(amount: int = 0):
    1 / amount

app()
"""


@pytest.mark.parametrize(
    ("options", "mechanism"),
    [("", "typer"), ("pretty_exceptions_enable=False", "typer"), ("add_completion=False", "typer")],
)
def test_error_is_one_event_and_printed_as_ever(sandbox, options: str, mechanism: str) -> None:
    def text(done) -> str:
        return re.sub(r"\d+ms|0x[0-9a-f]+", "", done.stderr)

    bare = sandbox.python(APP % options, launched=False)
    watched = sandbox.python(APP % options)
    assert (watched.returncode, text(watched)) == (bare.returncode, text(bare))
    error = main_exception(sandbox.event())
    assert (error["type"], error["mechanism"]) == ("ZeroDivisionError", {"type": mechanism, "handled": False})
    assert error["stacktrace"]["frames"][-1]["function"] == "main"


@pytest.mark.parametrize(
    "end", ["raise typer.Exit(3)", "raise typer.Abort()", "raise KeyboardInterrupt", "pass"]
)
def test_ordinary_ends_are_no_events(sandbox, end: str) -> None:
    code = (APP % "").replace("1 / amount", end)
    bare = sandbox.python(code, launched=False)
    watched = sandbox.python(code)
    assert (watched.returncode, watched.stderr) == (bare.returncode, bare.stderr)
    assert sandbox.events() == []


def test_disabled_by_name(sandbox) -> None:
    assert sandbox.python(APP % "", ERRTRACK_DISABLE="typer").returncode == 1
    assert sandbox.events() == []
