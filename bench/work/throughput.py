# SPDX-License-Identifier: MIT
"""How many errors a second get through, and what each costs the whole process. ``throughput.py FRAMES COUNT WAIT``."""

from __future__ import annotations

import sys
from time import perf_counter, process_time_ns, thread_time_ns

import agents
import failing


def main(frames: int, count: int, wait: float) -> None:
    capture = agents.capture_function()
    capture(failing.error(0, frames, 0))
    agents.flush(wait)
    errors = [failing.error(number % 8, frames, number) for number in range(count)]
    start, process, thread = perf_counter(), process_time_ns(), thread_time_ns()
    for error in errors:
        capture(error)
    captured = perf_counter() - start
    thread = thread_time_ns() - thread
    agents.flush(wait)
    wall = perf_counter() - start
    process = process_time_ns() - process
    agents.report(
        captured=count / captured,
        caller=thread / 1e6 / count,
        process=process / 1e6 / count,
        wall=wall,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
