# SPDX-License-Identifier: MIT
"""What the thread that captures an error pays. ``capture.py KIND FRAMES COUNT``.

KIND is ``first`` (of the process), ``fresh`` (the first error at each of COUNT places), ``again`` (the same place
with other values) or ``repeat`` (the same error over and over).
"""

from __future__ import annotations

import sys
from time import perf_counter, thread_time_ns

import agents
import failing


def main(kind: str, frames: int, count: int) -> None:
    if kind == "first":
        error = failing.error(0, frames, 1)
        wall, cpu = perf_counter(), thread_time_ns()
        agents.capture_function()(error)
        agents.report(cpu=(thread_time_ns() - cpu) / 1e6, wall=(perf_counter() - wall) * 1e3)
        return
    capture = agents.capture_function()
    if kind != "fresh":
        count += 5
    spent = []
    walls = []
    capture(failing.error(failing.CHAINS - 1, frames, 0))
    for number in range(count):
        chain = number if kind == "fresh" else 0
        error = failing.error(chain, frames, 1 if kind == "repeat" else number)
        wall, cpu = perf_counter(), thread_time_ns()
        capture(error)
        spent.append(thread_time_ns() - cpu)
        walls.append(perf_counter() - wall)
    if kind != "fresh":
        spent, walls = spent[5:], walls[5:]
    agents.flush(10)
    agents.report(cpu=sum(spent) / len(spent) / 1e6, wall=sum(walls) / len(walls) * 1e3)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
