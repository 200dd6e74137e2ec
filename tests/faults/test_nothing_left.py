# SPDX-License-Identifier: MIT
"""A program that ends because memory or descriptors have run out ends as ever, and its end is reported."""

from __future__ import annotations

import sys
from typing import Any

import pytest

pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS means something else there")

DESCRIPTORS = """
import logging, os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
keep = []
try:
    while True: keep.append(os.open("/dev/null", os.O_RDONLY))
except OSError: pass
raise ValueError("no descriptors")
"""

#: The memory is still in use when the program ends; in the second case to the last kilobyte.
MEMORY = """
import logging, resource
resource.setrlimit(resource.RLIMIT_AS, (300_000_000, 300_000_000))
keep = []
def grow():
    while True: keep.append(bytearray(1_000_000))
grow()
"""
TO_THE_LAST = """
import logging, resource
resource.setrlimit(resource.RLIMIT_AS, (300_000_000, 300_000_000))
keep = []
def grow():
    n = 1_000_000
    while True:
        try: keep.append(bytearray(n))
        except MemoryError:
            if n < 100: raise
            n //= 2
grow()
"""


@pytest.mark.parametrize(
    ("code", "kind"),
    [(DESCRIPTORS, "ValueError"), (MEMORY, "MemoryError"), (TO_THE_LAST, "MemoryError")],
    ids=["descriptors", "memory", "memory to the last"],
)
def test_end_is_as_ever_and_reported(sandbox: Any, code: str, kind: str) -> None:
    bare = sandbox.python(code, launched=False)
    done = sandbox.python(code)
    assert (done.returncode, done.stdout) == (bare.returncode, bare.stdout) and done.returncode == 1
    assert kind in done.stderr
    value = sandbox.event()["exception"]["values"][-1]
    assert value["type"] == kind and value["stacktrace"]["frames"]


def test_reserves_are_no_memory_in_use(sandbox: Any) -> None:
    code = "import resource, sys; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    with_it = sandbox.python("import logging, errtrack.reserves\n" + code)
    without = sandbox.python("import logging\n" + code, ERRTRACK_DISABLE="faulthandler")
    assert int(with_it.stdout) - int(without.stdout) < 8_000, (with_it.stdout, without.stdout)
