# SPDX-License-Identifier: MIT
"""Resident memory after few and after many errors. ``memory.py FEW MANY WAIT``; megabytes."""

from __future__ import annotations

import gc
import os
import sys
import time

import agents
import failing


def resident() -> float:
    gc.collect()
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def main(few: int, many: int, wait: float) -> None:
    for chain in range(failing.CHAINS):  # the generated modules themselves are no cost of an agent
        failing.error(chain, 8, 0)
    capture = agents.capture_function()
    at_start = resident()
    after_few = 0.0
    for number in range(many):
        capture(failing.error(number, 8, number))
        if number % 100 == 99:
            agents.flush(wait)
        if number == few - 1:
            time.sleep(1.0)  # a thread that delivers may still be importing what it needs
            after_few = resident()
    agents.report(start=at_start, few=after_few, growth=resident() - after_few)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
