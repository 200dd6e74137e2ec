"""Tables of facts, each with the tests that prove it: ``file`` and then, after it, names of tests in that file (without
``test_``). A test that is renamed or taken away is missed by whoever checks the table with `missing`."""

from __future__ import annotations

import ast
import functools
from pathlib import Path


@functools.cache
def _tests() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in Path(__file__).parent.rglob("test_*.py"):
        names = found.setdefault(path.stem, set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                names.add(node.name[5:])
    return found


def missing(proof: str) -> list[str]:
    """What of *proof* is not there: tests, or the whole of it where it names none."""
    file, gone, count = "", [], 0
    for word in proof.split():
        if word.startswith("test_"):
            file = word
        else:
            count += 1
            gone += [] if word in _tests().get(file, ()) else ["%s::%s" % (file, word)]
    return gone if count else ["no test at all: %r" % proof]
