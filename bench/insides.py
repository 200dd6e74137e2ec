# SPDX-License-Identifier: MIT
"""What it costs while a program runs: requests, captures, breadcrumbs, threads, memory."""

from __future__ import annotations

from bench.contestants import Contestant
from bench.lab import SENDERS, Lab

RATES = {"": "", ".traces001": "0.01", ".traces1": "1.0"}


def request(lab: Lab) -> None:
    """A good request in process, tracing off and at two rates."""
    counts = {"plain": (10_000, 500), "flask": (2_000, 200), "django": (2_000, 200)}
    for app, (count, warm_up) in counts.items():
        for suffix, rate in RATES.items():
            if rate and (lab.fast or app == "plain"):
                continue

            def serve(
                contestant: Contestant,
                app: str = app,
                rate: str = rate,
                suffix: str = suffix,
                count: int = count,
                warm_up: int = warm_up,
            ) -> dict[str, float]:
                # What is recorded is sent, and a process waits at its end for what was not sent yet.
                many, warm = (400, 100) if rate == "1.0" else (count, warm_up)
                done = lab.work(contestant, "request", app, "/", many, warm, rate=rate)
                return {"request.%s%s" % (app, suffix): done.figures["thread"]}

            lab.each(4 if rate else 9, serve, peers_every=3)


def task(lab: Lab) -> None:
    """A good Celery task in process, and sending one, tracing off."""

    def work(contestant: Contestant) -> dict[str, float]:
        done = lab.work(contestant, "task", 5_000, 300)
        return {"task.run": done.figures["run"], "task.send": done.figures["send"]}

    lab.each(12, work, peers_every=4)


def error(lab: Lab) -> None:
    """A Flask view that raises: the request's thread, and the whole process with sending."""

    def serve(contestant: Contestant) -> dict[str, float]:
        lab.sink.become("healthy")
        done = lab.work(contestant, "request", "flask", "/broken", 60, 5)
        lab.expect(contestant, 65)
        return {"error.thread": done.figures["thread"] / 1e3, "error.process": done.figures["process"] / 1e3}

    lab.sink.become("healthy")
    lab.each(8, serve, peers_every=4)


def capture(lab: Lab) -> None:
    """One capture on the calling thread: first, at a fresh place, with other values, and the very same again."""
    for frames in (30, 8):
        for kind, count in (("again", 60), ("fresh", 30), ("repeat", 60), ("first", 1)):
            if (kind, frames) == ("first", 8) or (lab.fast and kind == "repeat"):
                continue

            def measure(
                contestant: Contestant, kind: str = kind, frames: int = frames, count: int = count
            ) -> dict[str, float]:
                lab.sink.become("healthy")
                # Repeats are only counted after a burst; everywhere else the errors of a place stay well below it.
                extra = {"ERRTRACK_MAX_EVENTS_BURST": "1"} if kind == "repeat" else None
                done = lab.work(contestant, "capture", kind, frames, count, extra=extra)
                found = {"capture.%s.%d" % (kind, frames): done.figures["cpu"]}
                found["capture.%s.%d.wall" % (kind, frames)] = done.figures["wall"]
                stats = lab.sink.stats()
                if kind == "repeat" and contestant.name == "ours" and stats["events"] > 10:
                    lab.figures.problems.append(
                        "ours: %d repeats were sent whole, so their figure is no repeat's" % stats["events"]
                    )
                if kind in ("again", "fresh"):
                    lab.expect(contestant, count)
                if kind == "again" and stats["events"]:
                    found["capture.bytes.%d" % frames] = stats["bytes"] / stats["events"] / 1e3
                return found

            lab.each(12 if kind == "first" else 8, measure, peers_every=4)


def throughput(lab: Lab) -> None:
    """A hundred errors in a row to a server that is well, slow, silent or not there."""
    for mode in ("healthy", "slow", "hanging", "refused"):
        count = 100 if mode == "healthy" else 40
        wait = 20 if mode == "healthy" else 2

        def send(
            contestant: Contestant, mode: str = mode, count: int = count, wait: int = wait
        ) -> dict[str, float]:
            lab.sink.become("healthy" if mode == "refused" else mode)
            port = lab.refusing.port if mode == "refused" else lab.sink.port
            done = lab.work(contestant, "throughput", 30, count, wait, port=port, timeout=100)
            stats = lab.sink.stats()
            found = {"throughput.%s.caller" % mode: done.figures["caller"]}
            if mode in ("healthy", "slow"):
                delivered = max(0, stats["events"] - 1)
                found["throughput.%s.delivered" % mode] = 100 * delivered / count
                found["throughput.%s.rate" % mode] = delivered / done.figures["wall"]
            if mode == "healthy":
                found["throughput.process"] = done.figures["process"]
            return found

        lab.sink.become("healthy")
        lab.each(6 if mode == "healthy" else 3, send, peers_every=3, names=SENDERS)
    lab.sink.become("healthy")


def small(lab: Lab) -> None:
    """Log lines, requests of the standard library, threads."""
    for what, count in (("info", 20_000), ("debug", 100_000), ("http", 2_000), ("thread", 1_000)):

        def measure(contestant: Contestant, what: str = what, count: int = count) -> dict[str, float]:
            return {"small." + what: lab.work(contestant, "small", what, count).figures["cpu"]}

        lab.each(10, measure, peers_every=3)


def memory(lab: Lab) -> None:
    """Memory after few and after many errors. Peers, ten times slower, are given a fifth of the errors."""

    def healthy(contestant: Contestant) -> dict[str, float]:
        many = 2_000 if lab.fast or contestant.name not in ("ours", "bare") else 10_000
        done = lab.work(contestant, "memory", 200, many, 10, timeout=600)
        lab.expect(contestant, many)
        return {
            "memory.growth": done.figures["growth"],
            "memory.few": done.figures["few"] - done.figures["start"],
        }

    def hanging(contestant: Contestant) -> dict[str, float]:
        lab.sink.become("hanging")
        try:
            done = lab.work(contestant, "memory", 200, 1_000, 0, timeout=300)
        finally:
            lab.sink.become("healthy")
        return {"memory.hanging": done.figures["growth"]}

    names = ["bare", "ours", "sentry"]
    once = [contestant for contestant in lab.contestants if contestant.name in names]
    for measure in (healthy, hanging):
        for number in range(1 if lab.fast else 2):
            for contestant in once:
                contestant.forget()
                lab.sink.become("healthy")
                for figure, value in measure(contestant).items():
                    lab.figures.add(figure, contestant.name, number, value)
