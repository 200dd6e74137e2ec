# SPDX-License-Identifier: MIT
"""Instrumentations that are switched off, or on by choice, are so from the first line of the application on.

Boot has to know them before the file is read for good, which takes a TOML parser and waits for the core. This
look at one setting needs none. What it finds too many the core refuses; boot reads it where a file is named only.
"""

import os
import sys

from errtrack_run import beside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from errtrack_run.boot import Finder

_MOST = 200_000


def heed(finder: "Finder", opt_in: str) -> None:
    """Have *finder* and the wires look after what the user has chosen; *opt_in* are rows that are off unless chosen."""
    words = opt_in.split()
    rows = [*finder.hooks.items(), *zip(words[::2], words[1::2])]
    off = _switched_off(file for _, files in rows[len(finder.hooks) :] for file in files.split(","))
    chosen: dict[str, list[str]] = {}
    for module in _modules_of_functions() if "tracing" not in off else ():
        chosen[module] = ["tracing"]
    for name, files in rows:
        wanted = [file for file in files.split(",") if file not in off]
        if wanted:
            chosen[name] = chosen.get(name, []) + wanted
    for place in {name for name, _ in rows if name.startswith("sys.")}:
        _lay_or_take_away(place, chosen.get(place))
    finder.off = off
    finder.hooks = {name: ",".join(files) for name, files in chosen.items()}


def _lay_or_take_away(place: str, files: "list[str] | None") -> None:
    present = getattr(sys, place[4:], None)
    is_laid = getattr(present, "errtrack_place", None) is not None
    if files and not is_laid:
        beside("boot").lay_wire(place, files[0])
    elif is_laid and not files:
        setattr(sys, place[4:], present.errtrack_previous)  # type: ignore[union-attr]


def _switched_off(opt_in: "Iterable[str]") -> "frozenset[str]":
    """The files that the environment disables, and those of *opt_in* that nobody enables."""
    enabled = _names("ERRTRACK_ENABLE") or named_in(os.environ.get("ERRTRACK_CONFIG", ""))
    return frozenset(_names("ERRTRACK_DISABLE")).union(file for file in opt_in if file not in enabled)


def _names(variable: str) -> "list[str]":
    return [name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()]


def _modules_of_functions() -> "list[str]":
    """Where ``functions_to_trace`` may be; some may turn out to be classes, which nobody ever imports."""
    paths = _names("ERRTRACK_FUNCTIONS_TO_TRACE") or named_in(
        os.environ.get("ERRTRACK_CONFIG", ""), "functions_to_trace"
    )
    found: dict[str, None] = {}
    for path in paths:
        while "." in path:
            path = path.rpartition(".")[0]
            found[path] = None
    return list(found)


def named_in(path: str, setting: str = "enable") -> "list[str]":
    """The texts in the top level ``enable = [...]`` (or another *setting*) of the TOML file at *path*; none where it
    cannot be read.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(_MOST).decode("utf-8", "replace")
    except (OSError, ValueError):
        return []
    found: list[str] = []
    is_inside = False
    for line in text.splitlines():
        line = line.partition("#")[0].strip()
        if not is_inside:
            if line.startswith("["):
                break  # a table begins: the top level is over
            name, equals, line = line.partition("=")
            if not equals or name.strip() != setting:
                continue
            is_inside = True
        found += line.replace("'", '"').split('"')[1::2]
        if "]" in line:
            break
    return found
