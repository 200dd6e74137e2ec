# SPDX-License-Identifier: MIT
"""The table: bare, ours, our budget, and the peers, side by side; and whether a budget was passed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from bench.rounds import Figures, Spread

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BUDGETS = Path(__file__).resolve().parent / "budgets.toml"

#: Milliseconds that ``python -c pass`` took where the budgets were set (CPython 3.11.7, without PGO).
START_OF_BARE = 10.6

#: Units of time: what takes longer on a slower machine.
_TIME = ("us", "ms")


def pace(start_of_bare: float) -> float:
    """How many times slower this machine is than the budgets' own, by the start of bare Python; 1 where it is not."""
    return max(1.0, start_of_bare / START_OF_BARE)


def load_budgets() -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
    """The figures' tables, and the numbers of the fast subset. Raises ValueError where a table is incomplete."""
    with BUDGETS.open("rb") as file:
        tables: dict[str, dict[str, Any]] = tomllib.load(file)
    fast = tables.pop("fast")
    for name, table in tables.items():
        missing = {"title", "unit", "compare"} - set(table)
        unknown = set(table) - {"title", "unit", "compare", "budget", "built", "figure", "at_least"}
        if missing or unknown:
            raise ValueError(
                "budgets.toml, %s: missing %s, unknown %s" % (name, sorted(missing), sorted(unknown))
            )
    return tables, fast


def verdict(table: dict[str, Any], ours: Spread | None, pace: float = 1.0) -> str:
    """``ok``, ``MISS``, ``later`` for what is not built yet, or nothing where there is no budget or no figure.

    ``slow`` is a miss, too: of a time that would be within its budget, were the machine not *pace* times slower.
    """
    if not table.get("built", True):
        return "later"
    if "budget" not in table or ours is None:
        return ""
    if table.get("at_least"):
        return "ok" if ours.median >= table["budget"] else "MISS"
    if ours.median <= table["budget"]:
        return "ok"
    is_time = table["unit"] in _TIME and table["compare"] in ("difference", "absolute")
    return "slow" if is_time and ours.median <= table["budget"] * pace else "MISS"


def number(value: float, signed: bool = False) -> str:
    """Three digits that count, never longer than seven characters."""
    size = abs(value)
    digits = (
        0
        if size >= 99.5 or size == 0 or value == int(value)
        else 1
        if size >= 9.95
        else 2
        if size >= 0.995
        else 3
    )
    text = "%.*f" % (digits, value)
    if float(text) == 0:
        text = "0"
    return "+" + text if signed and value > 0 and text != "0" else text


def table(figures: Figures, peers: list[str], pace: float = 1.0) -> tuple[list[str], list[str], list[str]]:
    """The table's lines, at most 120 characters wide; the figures that miss their budgets; and those that are
    ``slow`` among them (see :func:`verdict`).
    """
    tables, _ = load_budgets()
    head = "%-36s %4s %7s %7s %14s %6s %-5s" % ("", "", "bare", "ours", "middle half", "budget", "")
    head += "".join("%7s" % peer[:6] for peer in peers)
    lines = [head, "-" * len(head)]
    missed, slow = [], []
    for name, entry in tables.items():
        figure = entry.get("figure", name)
        if figure not in figures.values:
            continue
        compare = entry["compare"]
        signed = compare == "difference"
        ours = figures.compared(figure, "ours", compare)
        said = verdict(entry, ours, pace)
        if said in ("MISS", "slow"):
            missed.append(name)
        if said == "slow":
            slow.append(name)
        bare = figures.compared(figure, "bare", "absolute") if compare in ("difference", "ratio") else None
        middle = ""
        if ours is not None and ours.count > 1:
            middle = "%s..%s" % (number(ours.low, signed), number(ours.high, signed))
        line = "%-36s %4s %7s %7s %14s %6s %-5s" % (
            entry["title"][:36],
            "x" if compare == "ratio" or compare.startswith("of ") else entry["unit"],
            number(bare.median) if bare else "",
            number(ours.median, signed) if ours else "",
            middle,
            number(entry["budget"], signed) if "budget" in entry else "",
            said,
        )
        for peer in peers:
            theirs = None if compare.startswith("of ") else figures.compared(figure, peer, compare)
            line += "%7s" % (number(theirs.median, signed) if theirs else "")
        lines.append(line.rstrip())
    return lines, missed, slow


def as_json(figures: Figures, versions: dict[str, str]) -> dict[str, Any]:
    """Every sample, with who was measured."""
    samples = {
        figure: {name: list(values.values()) for name, values in by_name.items()}
        for figure, by_name in figures.values.items()
    }
    return {"versions": versions, "samples": samples, "problems": figures.problems}
