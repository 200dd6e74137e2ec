# SPDX-License-Identifier: MIT
"""Each of the 102 statements about launchers has a test here that names its number."""

from __future__ import annotations

import ast
import re
from pathlib import Path


def test_every_statement_has_a_test_that_names_its_number() -> None:
    named: set[int] = set()
    for path in Path(__file__).parent.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                numbers = re.match(r"\d+(, \d+)*", ast.get_docstring(node) or "")
                named |= {int(word) for word in re.findall(r"\d+", numbers[0])} if numbers else set()
    assert set(range(1, 103)) <= named
