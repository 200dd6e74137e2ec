# SPDX-License-Identifier: MIT
"""What an interpreter holds right after its start: modules, memory, threads, descriptors."""

import sys

modules = len(sys.modules)

import os  # noqa: E402

fds = len(os.listdir("/proc/self/fd")) - 1
threads = len(os.listdir("/proc/self/task"))
with open("/proc/self/statm", "rb") as file:
    rss = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
with open(os.environ["BENCH_RESULT"], "w") as file:
    file.write('{"modules": %d, "fds": %d, "threads": %d, "rss": %r}' % (modules, fds, threads, rss / 1e6))
