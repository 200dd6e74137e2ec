# SPDX-License-Identifier: MIT
"""A disk that is full: what was accepted before is there, what ends the process finds its reserve, and space that comes back
is used. A real file system of two megabytes, in a mount namespace of its own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import Any

import pytest
from sinks import Sink

pytestmark = pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")

PROGRAM = """
import errtrack, os, sys, time
folder = os.environ["ERRTRACK_STORE"]
def reserve():
    return [name for _, _, names in os.walk(folder) for name in names if name == "reserve"]
for n in range(5): errtrack.capture_message("before %d" % n)
end = time.monotonic() + 30
while not reserve() and time.monotonic() < end: time.sleep(0.05)
ballast = os.open(os.path.join(folder, "ballast"), os.O_WRONLY | os.O_CREAT)
try:
    while True: os.write(ballast, bytes(512))
except OSError: pass
for n in range(40): errtrack.capture_message("full %d " % n + "x" * 900)
if sys.argv[1] == "comes back":
    os.unlink(os.path.join(folder, "ballast")); os.close(ballast)
    for n in range(5): errtrack.capture_message("after %d" % n)
    os.kill(os.getpid(), 9)
raise ValueError("the end")
"""


def run(sandbox: Any, sink: Sink, case: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """How the program ended, and what the server got from the next one."""
    path = sandbox.write("app.py", PROGRAM)
    mount = sandbox.folder / "small"
    mount.mkdir()
    words = (
        "mount -t tmpfs -o size=2m,mode=700 none %s && { %s; echo ended $?; read line; rm -f %s/ballast; %s; }"
        % (
            mount,
            " ".join(sandbox.command(sys.executable, str(path), "'%s'" % case)),
            mount,
            " ".join((sys.executable, "-m", "errtrack_run.cli", "spool", "drain")),
        )
    )
    env = {**sandbox.env, "ERRTRACK_STORE": str(mount), "ERRTRACK_DSN": sink.dsn}
    sink.answer(503)
    with subprocess.Popen(
        ["unshare", "-Urm", "sh", "-c", words], env=env, cwd=sandbox.folder, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        said = process.stdout.readline()
        sink.ok()
        out, err = process.communicate("\n", timeout=120)
    if not said and ("unshare" in err or "mount" in err):
        pytest.skip("no user namespaces here: " + err.strip())
    texts = []
    for event in sink.events():
        values = event.get("exception", {}).get("values")
        texts.append(values[-1]["value"] if values else event["logentry"]["formatted"])
    assert "errtrack" not in out and json.dumps(texts)
    return subprocess.CompletedProcess(words, int(said.split()[1]), said + out, err), texts


def test_reserve_keeps_what_ends_the_process_and_all_that_was_accepted_is_there(
    sandbox: Any, sink: Sink
) -> None:
    done, texts = run(sandbox, sink, "stays full")
    assert done.returncode == 1 and done.stderr.count("Traceback") == 1, done.stderr
    assert "the end" in texts
    assert {"before %d" % n for n in range(5)} <= set(texts)
    assert len(texts) == len(set(texts))
    assert sum("cannot write" in line for line in done.stderr.splitlines()) == 1


def test_space_that_comes_back_is_used_at_once(sandbox: Any, sink: Sink) -> None:
    done, texts = run(sandbox, sink, "comes back")
    assert done.returncode == 137, done.stderr
    assert {"%s %d" % (when, n) for n in range(5) for when in ("before", "after")} <= set(texts)
    assert len(texts) == len(set(texts))
