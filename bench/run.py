# SPDX-License-Identifier: MIT
"""Measure what errtrack costs, beside bare Python and other agents, and hold it to ``bench/budgets.toml``.

    python bench/run.py                           everything, with every peer that can be installed: some twenty minutes
    python bench/run.py --peers none --fast       ours only, fewer rounds: some three minutes
    python bench/run.py --only boot,capture --peers sentry

Exit code 1 when a budget is passed, 2 when a measurement could not be made.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import insides, report, servers, starts
from bench.contestants import PEERS, ROOT, Unavailable, install
from bench.lab import Lab, say

MEASUREMENTS = {
    "boot": starts.boot,
    "launcher": starts.launcher,
    "imports": starts.imports,
    "request": insides.request,
    "task": insides.task,
    "gunicorn": servers.gunicorn,
    "capture": insides.capture,
    "throughput": insides.throughput,
    "error": insides.error,
    "small": insides.small,
    "memory": insides.memory,
    "shutdown": starts.shutdown,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--fast", action="store_true", help="a third of the rounds, and no tracing or repeats"
    )
    parser.add_argument("--only", default=",".join(MEASUREMENTS), help="of %s" % ", ".join(MEASUREMENTS))
    parser.add_argument("--peers", default="all", help="none, all, or of %s" % ", ".join(PEERS))
    parser.add_argument("--rounds", type=float, default=1.0, help="multiply the number of rounds (default 1)")
    parser.add_argument("--json", metavar="FILE", help="write every sample to FILE")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "errtrack-bench"
    parser.add_argument(
        "--work", type=Path, default=cache, help="folder for virtual environments (default: %(default)s)"
    )
    found = parser.parse_args()
    found.only = [word for word in found.only.split(",") if word]
    found.peers = {"all": list(PEERS), "none": []}.get(found.peers, found.peers.split(","))
    for word, known in [(word, MEASUREMENTS) for word in found.only] + [
        (word, PEERS) for word in found.peers
    ]:
        if word not in known:
            parser.error("unknown: %s (known are %s)" % (word, ", ".join(known)))
    return found


def revision() -> str:
    """The commit that was measured; ``+changes`` where the working tree differs from it."""
    git = ["git", "-C", str(ROOT)]
    try:
        commit = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
        changed = subprocess.run(
            [*git, "status", "--porcelain"], capture_output=True, text=True
        ).stdout.strip()
    except OSError:
        return "unknown"
    return (commit.stdout.strip() or "unknown") + ("+changes" if changed else "")


def main() -> int:
    wanted = arguments()
    work = wanted.work.resolve()
    say("preparing environments")
    try:
        contestants, installed, notes = install(work, wanted.peers)
    except Unavailable as error:
        say(str(error))
        return 2
    for note in notes:
        say(note)
    scale = wanted.rounds * (0.34 if wanted.fast else 1.0)
    lab = Lab(work, contestants, installed, scale, wanted.fast)
    started = time.monotonic()
    broken: list[str] = []
    pace = 1.0
    try:
        start = lab.start_of_bare()
        pace = report.pace(start)
        for name in wanted.only:
            say("%4d s  %s" % (time.monotonic() - started, name))
            lab.sink.become("healthy")
            try:
                MEASUREMENTS[name](lab)
            except Exception as error:  # what was measured before is worth its table
                broken.append("%s broke off: %s: %s" % (name, type(error).__name__, error))
    finally:
        lab.close()
    versions = {contestant.name: contestant.version for contestant in contestants}
    peers = [contestant.name for contestant in contestants[2:]]
    lines, missed, slow = report.table(lab.figures, peers, pace)
    print(
        "%s, %s, %d CPUs; %s"
        % (platform.python_version(), platform.machine(), os.cpu_count() or 1, time.strftime("%F"))
    )
    print("checkout: %s" % revision())
    print("; ".join(version for name, version in versions.items() if name != "bare"))
    print(
        "pace: python -c pass takes %s ms here, %s where the budgets were set; slow: within the budget at this pace"
        % (report.number(start), report.number(report.START_OF_BARE))
    )
    counts = sorted(
        len(v) for by_name in lab.figures.values.values() for n, v in by_name.items() if n in peers
    )
    print("figures: ours and peers over bare Python in the same round (+: difference, x: ratio), medians")
    if counts:
        print(
            "samples of a peer's figure: %d at least, %d in the middle"
            % (counts[0], counts[len(counts) // 2])
        )
    print()
    print("\n".join(lines))
    for problem in dict.fromkeys([*notes, *lab.figures.problems, *broken]):
        print("note: " + problem[:200])
    if wanted.json:
        Path(wanted.json).write_text(json.dumps(report.as_json(lab.figures, versions)), encoding="utf-8")
    if missed:
        print("\npast the budget: " + ", ".join(missed))
        if slow:
            print("of these within it, were this machine as fast as that of the budgets: " + ", ".join(slow))
        return 1
    if broken or not lab.figures.values:
        return 2
    print("\nevery budget is kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
