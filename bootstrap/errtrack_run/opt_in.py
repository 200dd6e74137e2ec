# SPDX-License-Identifier: MIT
"""Instrumentations that are switched off, or on by choice, are so from the first line of the application on.

Boot has to know them before the file is read for good, which takes a TOML parser and waits for the core. This
look at one setting needs none. What it finds too many the core refuses; boot reads it where a file is named only.
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST = 200_000


def chosen(hooks: "dict[str, str]", opt_in: "Iterable[str]") -> "frozenset[str]":
    """The files that are off; *hooks* then has rows for the modules of the functions that are to be traced."""
    off = switched_off(opt_in)
    for module in _modules_of_functions() if "tracing" not in off else ():
        hooks[module] = "tracing," + hooks[module] if module in hooks else "tracing"
    return off


def switched_off(opt_in: "Iterable[str]") -> "frozenset[str]":
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
