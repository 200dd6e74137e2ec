# SPDX-License-Identifier: MIT
"""What it takes to import the three frameworks, or a thousand modules that nobody watches."""

import sys
from time import perf_counter, process_time

from agents import generated, report

if sys.argv[1] == "frameworks":
    cpu, wall = process_time(), perf_counter()
    import celery.app  # noqa: F401
    import django.core.handlers.wsgi
    import django.http  # noqa: F401
    import flask  # noqa: F401

    report(cpu=(process_time() - cpu) * 1e3, wall=(perf_counter() - wall) * 1e3)
else:
    generated()
    names = ["tiny.m%04d" % number for number in range(1000)]
    __import__("tiny")
    cpu = process_time()
    for name in names:
        __import__(name)
    report(cpu=(process_time() - cpu) * 1e6 / len(names))
