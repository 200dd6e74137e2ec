# SPDX-License-Identifier: MIT
"""What the tests of delivery share: events, child processes, and a look at what lies on disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import errtrack.options
from errtrack.delivery import envelope
from errtrack.delivery.segment import Reader

AGENT = str(Path(errtrack.options.__file__).parents[1])


def new_id() -> str:
    return os.urandom(16).hex()


def event(event_id: str | None = None, size: int = 0) -> bytes:
    """An envelope with a small valid event."""
    event_id = event_id or new_id()
    payload = '{"event_id":"%s","platform":"python","logentry":{"message":"%s"}}' % (event_id, "x" * size)
    return envelope.build(event_id, "event", payload.encode())


#: Begins every program that is run as a child: a transport to argv[1] (a DSN or nothing) and a way to make events.
PRELUDE = """
import os, sys, time
from errtrack.delivery.envelope import build
from errtrack.delivery.transport import Transport
from errtrack.dsn import Dsn
from errtrack.options import resolve
options = resolve()
transport = Transport(options, Dsn.parse(sys.argv[1]) if sys.argv[1] else None)
def put(event_id=None, size=50):
    event_id = event_id or os.urandom(16).hex()
    payload = '{"event_id":"%s","platform":"python","logentry":{"message":"%s"}}' % (event_id, "x" * size)
    assert transport.put(build(event_id, "event", payload.encode()))
    return event_id
"""


class Child:
    """Starts Python programs with a clean environment and a state folder below the test's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": AGENT,
            "HOME": str(folder),
            "ERRTRACK_STORE": str(folder / "state"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def start(self, code: str, dsn: str = "", *arguments: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", PRELUDE + code, dsn, *arguments],
            env={**self.env, **env},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str, dsn: str = "", *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        process = self.start(code, dsn, *arguments, **env)
        try:
            out, err = process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its children hold the pipes too
            out, err = process.communicate()
            pytest.fail("the program hung; so far: %s %s" % (out, err))
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def waiting(folder: Path) -> list[str]:
    """The ids of the events that lie undelivered in any segment below *folder*, read as a drainer would."""
    found = []
    for path in sorted(folder.rglob("seg-*.log")):
        reader = Reader.open(str(path), write=False)
        try:
            reader.look()
            for record in reader.pending.values():
                payload = reader.payload(record)
                assert payload is not None
                found.append(envelope.parse(payload).event_id)
        finally:
            reader.close()
    return found
