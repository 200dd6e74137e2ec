# SPDX-License-Identifier: MIT
"""What it costs to start, to import, and to leave."""

from __future__ import annotations

import shutil
from time import perf_counter, sleep

from bench.contestants import Contestant
from bench.lab import Lab
from bench.processes import Failed, instructions, run


def boot(lab: Lab) -> None:
    """``python -c pass``, the launcher's work already done; then what the fresh interpreter holds."""

    def start(contestant: Contestant) -> dict[str, float]:
        done = run([contestant.python, "-c", "pass"], contestant.environment(lab.sink.port))
        return {"boot.wall": done.wall, "boot.cpu": done.cpu}

    def facts(contestant: Contestant) -> dict[str, float]:
        found = lab.work(contestant, "facts").figures
        return {"boot." + name: value for name, value in found.items()}

    lab.each(40, start, peers_every=4)
    lab.each(5, facts)
    for name, ours in lab.installed.items():

        def start_other(contestant: Contestant, name: str = name) -> dict[str, float]:
            done = run([contestant.python, "-c", "pass"], contestant.environment(lab.sink.port))
            return {"boot.%s.wall" % name: done.wall, "boot.%s.cpu" % name: done.cpu}

        bare = Contestant("bare", "bare", lab.contestants[0].peer, ours.venv, lab.contestants[0].state)
        lab.each(30, start_other, contestants=[bare, ours])
    if shutil.which("valgrind"):
        for contestant in lab.contestants[:2]:
            environ = contestant.environment(lab.sink.port)
            counted = instructions([contestant.python, "-c", "pass"], environ)
            lab.figures.add("boot.instructions", contestant.name, 0, counted / 1e6)


def launcher(lab: Lab) -> None:
    """``PREFIX true``: what the launcher itself adds, once per command. Bare Python's own start is the yardstick."""
    bare = lab.contestants[0]

    def launch(contestant: Contestant) -> dict[str, float]:
        plain = contestant.plain_environment(lab.sink.port)
        if not contestant.prefix and contestant is not bare:
            return {}
        launched = run([*contestant.prefix, "true"], plain)
        alone = run(["true"], plain)
        python = run([contestant.python, "-c", "pass"], bare.plain_environment(lab.sink.port))
        return {
            "launcher.wall": launched.wall - alone.wall,
            "launcher.cpu": launched.cpu - alone.cpu,
            "launcher.over_python": launched.wall - alone.wall - python.wall,
        }

    lab.each(25, launch, peers_every=4)


def imports(lab: Lab) -> None:
    """django + celery + flask; and the price of a module that nobody watches."""

    def frameworks(contestant: Contestant) -> dict[str, float]:
        found = lab.work(contestant, "imports", "frameworks")
        return {
            "imports.cpu": found.figures["cpu"],
            "imports.wall": found.figures["wall"],
            "imports.process": found.cpu,
        }

    def tiny(contestant: Contestant) -> dict[str, float]:
        return {"imports.tiny": lab.work(contestant, "imports", "tiny").figures["cpu"]}

    lab.each(20, frameworks, peers_every=4)
    lab.each(15, tiny, peers_every=3)


def shutdown(lab: Lab) -> None:
    """From the last line of the program to the end of its process, and what of ten errors is lost by then."""
    captures = {"ours", "sentry", "elastic", "bare"}

    for mode in ("healthy", "hanging", "refused"):

        def leave(contestant: Contestant, mode: str = mode) -> dict[str, float]:
            found = {}
            port = lab.refusing.port if mode == "refused" else lab.sink.port
            for pending in (0, 10):
                if pending and contestant.name not in captures:
                    continue
                lab.sink.become("healthy" if mode == "refused" else mode)
                done = lab.work(contestant, "leave", pending, 0, port=port, timeout=60)
                figure = "shutdown.%s.%d" % (mode, pending)
                found[figure] = (done.ended - done.figures["end"]) * 1e3
                if pending and mode != "refused" and contestant.name != "bare":
                    found[figure + ".lost"] = pending - _arrived(lab, contestant, mode)
            return found

        lab.each(8, leave, peers_every=4)

    def leave_to_uploader(contestant: Contestant) -> dict[str, float]:
        """As at a terminal outside of a container, where an uploader goes on with what is pending."""
        lab.sink.become("hanging")
        extra = {"ERRTRACK_UPLOADER": "on", "ERRTRACK_REQUEST_TIMEOUT": "1"}
        done = lab.work(contestant, "leave", 10, 0, timeout=60, extra=extra)
        found = {"shutdown.uploader.10": (done.ended - done.figures["end"]) * 1e3}
        if contestant.name == "ours":
            lab.sink.become("healthy")
            limit = perf_counter() + 30
            while lab.sink.stats()["ids"] < 10 and perf_counter() < limit:
                sleep(0.05)
            found["shutdown.uploader.10.lost"] = 10 - lab.sink.stats()["ids"]
        return found

    lab.each(8, leave_to_uploader, names=["bare", "ours"])


def _arrived(lab: Lab, contestant: Contestant, mode: str) -> int:
    """How many events came, or come with the next process once the server is well again (whose own is not counted)."""
    if mode == "healthy":
        limit = perf_counter() + 1
        while lab.sink.stats()["ids"] < 10 and perf_counter() < limit:
            pass
    extra = 0
    if lab.sink.stats()["ids"] < 10:
        lab.sink.become("healthy") if mode == "hanging" else None
        try:
            lab.work(contestant, "leave", 1, 10, timeout=60)
            extra = 1
        except Failed:
            pass
    return min(10, int(lab.sink.stats()["ids"]) - extra)
