# SPDX-License-Identifier: MIT
"""Run one measured process, and know what it cost: wall time, CPU time, and the figures it reports itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

WORK = Path(__file__).resolve().parent / "work"


class Failed(Exception):
    """A measured process ended with an error or had to be killed; the message has the end of its stderr."""


class Outcome:
    """``wall`` and ``cpu`` in milliseconds, ``ended`` on the monotonic clock in seconds, ``figures`` as reported."""

    def __init__(self, wall: float, cpu: float, ended: float, figures: dict[str, float]) -> None:
        self.wall = wall
        self.cpu = cpu
        self.ended = ended
        self.figures = figures


def run(
    command: Sequence[str], environ: Mapping[str, str], timeout: float = 120, cwd: str | None = None
) -> Outcome:
    """Run *command* to its end. Raises :class:`Failed`."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        result = os.path.join(folder, "result.json")
        with open(os.path.join(folder, "stderr"), "w+b") as stderr:
            child_environ = {**environ, "BENCH_RESULT": result}
            start = time.perf_counter()
            process = subprocess.Popen(
                command,
                env=child_environ,
                cwd=cwd or folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
            timer = threading.Timer(timeout, os.killpg, (process.pid, signal.SIGKILL))
            timer.daemon = True
            timer.start()
            try:
                _, status, usage = os.wait4(process.pid, 0)
            finally:
                ended = time.perf_counter()
                timer.cancel()
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                stderr.seek(0)
                lines = stderr.read().decode(errors="replace").strip().splitlines() or ["no message"]
                why = "took more than %d s" % timeout if process.returncode == -9 else lines[-1]
                raise Failed("%s: %s" % (" ".join(os.path.basename(word) for word in command), why))
        figures: dict[str, float] = {}
        if os.path.exists(result):
            figures = json.loads(Path(result).read_text(encoding="utf-8"))
        return Outcome((ended - start) * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3, ended, figures)


def script(name: str) -> str:
    """The path of a script in ``bench/work``."""
    return str(WORK / (name + ".py"))


def instructions(command: Sequence[str], environ: Mapping[str, str], timeout: float = 300) -> float:
    """Instructions that *command* executes, counted by valgrind; the hash seed is fixed, so runs agree closely."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + os.path.join(folder, "out"), *command],
            env={**environ, "PYTHONHASHSEED": "0", "BENCH_RESULT": os.path.join(folder, "result.json")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=timeout,
            cwd=folder,
        )
    for line in done.stderr.splitlines():
        if "Collected :" in line:
            return float(line.rpartition(":")[2])
    raise Failed("valgrind counted nothing: " + done.stderr[-300:])
