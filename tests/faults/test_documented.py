# SPDX-License-Identifier: MIT
"""docs/faults.md: seventy-five rows, and every test that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", TEXT, re.M)

#: Without a test, and said so in the row.
UNPROVEN = {48}


def test_every_fault_has_its_row() -> None:
    assert [int(row[0]) for row in ROWS] == list(range(1, 76))


def test_every_promise_names_its_tests_and_they_exist() -> None:
    for number, fault, _, promise, proof in ROWS:
        tests = re.findall(r"`([\w/]+\.py)::(test_\w+)`", proof)
        assert promise.strip()
        if int(number) in UNPROVEN:
            assert not tests and "not promised" in promise
            continue
        assert tests, fault
        for path, name in tests:
            source = (ROOT / "tests" / path).read_text(encoding="utf-8")
            assert re.search(r"^def %s\(" % name, source, re.M), "%s::%s" % (path, name)
