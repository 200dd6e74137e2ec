# SPDX-License-Identifier: MIT
"""The lab: contestants, servers, and the loop that all measurements share."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from pathlib import Path

from bench import generated
from bench.contestants import Contestant
from bench.processes import Failed, Outcome, run, script
from bench.rounds import Figures, interleaved
from bench.sinks import Refusing, Sink

#: Agents whose events the sink can count.
SENDERS = ["ours", "sentry", "elastic"]


class Lab:
    """*scale* multiplies the number of rounds; *fast* shortens what is long by its nature."""

    def __init__(
        self,
        work: Path,
        contestants: list[Contestant],
        installed: dict[str, Contestant],
        scale: float,
        fast: bool,
    ) -> None:
        self.contestants = contestants
        self.installed = installed
        self.scale = scale
        self.fast = fast
        self.figures = Figures()
        self.sink = Sink()
        self.refusing = Refusing()
        generated.write(work / "generated")

    def rounds(self, usual: int) -> int:
        return max(3, round(usual * self.scale))

    def each(
        self,
        rounds: int,
        measure: Callable[[Contestant], dict[str, float]],
        peers_every: int = 1,
        names: list[str] | None = None,
        contestants: list[Contestant] | None = None,
    ) -> None:
        """Let *measure* give the figures of every contestant in interleaved rounds; who fails is told and left out."""
        # Fewer than three samples have no middle: peers are spared rounds only where there are enough of them.
        peers_every = max(1, min(peers_every, self.rounds(rounds) // 3))
        taking_part = [c for c in contestants or self.contestants if names is None or c.name in names]
        failed: set[str] = set()
        for number, contestant in interleaved(self.rounds(rounds), taking_part, peers_every):
            if contestant.name in failed:
                continue
            contestant.forget()
            try:
                found = measure(contestant)
            except (Failed, OSError) as error:
                failed.add(contestant.name)
                self.figures.problems.append("%s: %s" % (contestant.name, error))
                continue
            if number >= 0:
                for figure, value in found.items():
                    self.figures.add(figure, contestant.name, number, value)

    def work(
        self,
        contestant: Contestant,
        name: str,
        *arguments: object,
        rate: str = "",
        port: int = 0,
        timeout: float = 120,
        extra: dict[str, str] | None = None,
    ) -> Outcome:
        """Run a script of ``bench/work`` under *contestant*, pointed at the lab's sink unless *port* says otherwise."""
        environ = {**contestant.environment(port or self.sink.port, rate), **(extra or {})}
        return run([contestant.python, script(name), *map(str, arguments)], environ, timeout)

    def expect(self, contestant: Contestant, events: int) -> None:
        """Note it when fewer *events* came than were captured: then the figure is that of something else."""
        came = self.sink.stats()["events"]
        if contestant.name in SENDERS and came < events:
            self.figures.problems.append(
                "%s delivered %d of %d events; its cost of an error is too low"
                % (contestant.name, came, events)
            )

    def start_of_bare(self) -> float:
        """Milliseconds of wall time that ``python -c pass`` takes here: how fast this machine is today."""
        bare = self.contestants[0]
        command, environ = [bare.python, "-c", "pass"], bare.plain_environment(self.sink.port)
        return statistics.median(run(command, environ).wall for _ in range(21))

    def close(self) -> None:
        self.sink.close()
        self.refusing.close()


def say(line: str) -> None:
    """Tell progress on stderr; stdout is for the table."""
    print(line, file=sys.stderr, flush=True)
