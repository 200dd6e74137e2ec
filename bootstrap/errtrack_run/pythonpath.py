# SPDX-License-Identifier: MIT
"""PYTHONPATH is changed here and nowhere else, and every byte that is not ours stays as it was."""

import os


def with_inject(value: "str | None", inject: str) -> str:
    """PYTHONPATH *value* with *inject* in front, once, and every other entry as it was, empty ones too.

    An empty value is no entry at all, as for Python; but a separator at an end means the working directory.
    """
    rest = without_inject(value, inject)
    return inject + os.pathsep + rest if rest else inject


def without_inject(value: "str | None", inject: str) -> "str | None":
    """PYTHONPATH *value* without *inject*; None where nothing else was in it."""
    if not value:
        return value
    entries = value.split(os.pathsep)
    rest = [entry for entry in entries if entry != inject]
    if len(rest) == len(entries):
        return value
    if rest == [""]:
        return os.pathsep  # two empty entries say what one cannot: the working directory
    return os.pathsep.join(rest) if rest else None
