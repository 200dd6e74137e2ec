# SPDX-License-Identifier: MIT
"""A program that ends with COUNT errors just captured, and tells when its last line was reached (monotonic seconds)."""

from __future__ import annotations

import sys
from time import perf_counter

import agents


def main(count: int, flush: float) -> None:
    if count:
        import failing

        capture = agents.capture_function()
        for number in range(count):
            capture(failing.error(number, 8, number))
    if flush:
        agents.flush(flush)
    agents.report(end=perf_counter())


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
