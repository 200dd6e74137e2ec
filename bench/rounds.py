# SPDX-License-Identifier: MIT
"""Figures are taken in rounds, everybody once a round, so that a noisy minute is everybody's.

What is compared is always two figures of the same round; what is told is the median over the rounds, and between
which values the middle half of them lies.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench.contestants import Contestant


class Spread:
    """A median and the quartiles around it."""

    def __init__(self, values: list[float]) -> None:
        ordered = sorted(values)
        self.count = len(ordered)
        self.median = statistics.median(ordered)
        if len(ordered) < 2:
            self.low = self.high = self.median
        else:
            self.low, _, self.high = statistics.quantiles(ordered, n=4, method="inclusive")


class Figures:
    """figure -> contestant -> round -> value."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, dict[int, float]]] = {}
        self.problems: list[str] = []

    def add(self, figure: str, contestant: str, round_number: int, value: float) -> None:
        self.values.setdefault(figure, {}).setdefault(contestant, {})[round_number] = value

    def compared(self, figure: str, contestant: str, compare: str) -> Spread | None:
        """*contestant*'s figure as ``absolute``, ``difference`` or ``ratio`` to bare, or ``of NAME``."""
        mine = self.values.get(figure, {}).get(contestant, {})
        if compare == "absolute":
            return Spread(list(mine.values())) if mine else None
        other = (
            self.values[figure].get(compare[3:] if compare.startswith("of ") else "bare", {}) if mine else {}
        )
        pairs = [(value, other[number]) for number, value in mine.items() if number in other]
        if not pairs:
            return None
        if compare == "difference":
            return Spread([a - b for a, b in pairs])
        return Spread([a / b for a, b in pairs if b])


def interleaved(
    rounds: int, contestants: list[Contestant], peers_every: int = 1
) -> Iterator[tuple[int, Contestant]]:
    """Each contestant once a round, beginning with another one each time; round -1 is the warm-up.

    Peers, which take so much longer, take part in every *peers_every*-th round only.
    """
    for number in range(-1, rounds):
        shift = number % len(contestants)
        for contestant in contestants[shift:] + contestants[:shift]:
            if number % peers_every == 0 or number < 0 or contestant.name in ("bare", "ours"):
                yield number, contestant
