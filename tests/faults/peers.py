# SPDX-License-Identifier: MIT
"""Errtrack beside sentry-sdk and ddtrace: who still has its events after a fault. ``nox -s peers``; not in CI.

``python tests/faults/peers.py errtrack=PYTHON sentry=PYTHON ddtrace=PYTHON`` prints one table in Markdown. Each PYTHON has
that agent installed. The server is a sink on loopback: an event has arrived when the text of its error is in a body.
"""

from __future__ import annotations

import collections
import gzip
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PROGRAM = """
import os, signal, sys, time
agent, fault = sys.argv[1:3]
if agent == "errtrack":
    import errtrack
    capture = errtrack.capture_exception
elif agent == "sentry":
    import sentry_sdk
    sentry_sdk.init()
    capture = sentry_sdk.capture_exception
else:
    from ddtrace import tracer
    capture = None
class Sleeps:
    def __repr__(self):
        time.sleep(1); return "slept"
def fail(number, **values):
    sleeps = Sleeps() if fault == "repr" else None
    my_api_token = "pl-nted-%d" % 4711 if fault == "secret" else ""
    raise ValueError("peer-%05d-" % number)
def one(number):
    try:
        if capture is None:
            with tracer.trace("work"):
                fail(number)
        else:
            fail(number)
    except ValueError as error:
        if capture is not None:
            capture(error)
began = time.monotonic()
for number in range({"storm": 10000, "repr": 1, "secret": 1, "next": 0}.get(fault, 20)):
    one(number)
if fault == "next": one(99999)
took = time.monotonic() - began
if fault == "sigterm": os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)
if fault == "_exit": os._exit(0)
if fault == "execv": os.execv("/bin/true", ["true"])
if fault == "sigkill": os.kill(os.getpid(), signal.SIGKILL)
if fault == "back": print("captured", flush=True); sys.stdin.readline(); one(20); time.sleep(8)
if fault == "fork":
    children = []
    for number in range(3):
        child = os.fork()
        if child == 0:
            one(100 + number); time.sleep(4); sys.exit(0)
        children.append(child)
    for child in children: os.waitpid(child, 0)
print("took %.3f" % took, flush=True)
"""

MARK = re.compile(rb"peer-(\d{5})-")


class Sink:
    """Counts in how many bodies the text of each error is; away, silent or well."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.mode = "well"
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # as servers do; else each answer is late by 40 ms

            def do_POST(self) -> None:
                body = self._body()
                if sink.mode == "hang":
                    time.sleep(60)
                    return
                if sink.mode == "away":
                    self.close_connection = True
                    return
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                sink.bodies.append(body)
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_PUT = do_GET = do_POST

            def _body(self) -> bytes:
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    return self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who died has hung up
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.port = self.server.server_port

    def arrived(self) -> tuple[int, int]:
        """How many errors arrived, and how often one came again."""
        found = collections.Counter(mark for body in self.bodies for mark in set(MARK.findall(body)))
        del found[b"99999"]  # of the next process's own
        return len(found), sum(found.values()) - len(found)


def run(agent: str, python: str, fault: str) -> str:
    sink = Sink()
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "program.py")
        program.write_text(PROGRAM)
        binaries = str(Path(python).parent)
        url = "127.0.0.1:%d" % sink.port
        env = {
            "PATH": binaries + ":/usr/bin:/bin", "HOME": folder, "DD_TRACE_AGENT_URL": "http://" + url, "DD_SERVICE": "peers",
            "SENTRY_DSN": "http://key@%s/1" % url, "ERRTRACK_DSN": "http://key@%s/1" % url,
            "ERRTRACK_MAX_EVENTS_BURST": "50", "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "0",
        }  # fmt: skip
        launcher = {"errtrack": ["errtrack-run"], "sentry": [], "ddtrace": ["ddtrace-run"]}[agent]
        command = [os.path.join(binaries, word) for word in launcher] + [python, str(program), agent]
        sink.mode = {"back": "away", "restart": "away", "hang": "hang"}.get(fault, "well")
        began = time.monotonic()
        process = subprocess.Popen(
            [*command, fault], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        if fault == "back":
            process.stdout.readline()
            time.sleep(2)
            sink.mode = "well"
            process.stdin.write("\n")
            process.stdin.flush()
        try:
            lines = process.communicate(timeout=90)[0].split()
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return "> 90 s"
        took = time.monotonic() - began
        if fault in ("exit", "_exit", "execv", "sigkill", "sigterm", "restart"):
            first, _ = sink.arrived()
            sink.mode = "well"
            for _ in range(5):
                if sink.arrived()[0] < 20:
                    # A process of ours that ends at once waits for little of what others left; this is its command.
                    later = [os.path.join(binaries, "errtrack"), "spool", "drain"]
                    later = later if agent == "errtrack" else [*command, "next"]
                    subprocess.run(later, env=env, capture_output=True, timeout=60)
                    time.sleep(1)
            return "%d, then %d" % (first, sink.arrived()[0])
    arrived, again = sink.arrived()
    if fault == "hang":
        return "%.1f s" % took
    if fault == "repr":
        return "+%.2f s" % float(lines[-1])
    if fault == "secret":
        return "leaked" if any(b"pl-nted-4711" in body for body in sink.bodies) else "kept"
    if fault == "storm":
        counted = sum(
            int(number)
            for body in sink.bodies
            for number in re.findall(rb'"suppressed_events":\s*(\d+)', body)
        )
        return "%d, %d counted, %.0f us each" % (arrived, counted, float(lines[-1]) * 100)
    if fault == "fork":
        return "%d of 23, %d again" % (arrived, again)
    return str(arrived)


FAULTS = {
    "exit": "normal exit, 20 pending", "sigterm": "SIGTERM", "_exit": "`os._exit`", "execv": "`os.execv`",
    "sigkill": "SIGKILL at once", "back": "server away, then back, of 21", "restart": "server away, then a new process",
    "hang": "server that hangs: whole run", "fork": "3 children forked with 20 pending", "storm": "storm of 10,000",
    "repr": "`__repr__` that sleeps 1 s", "secret": "a token in a local variable",
}  # fmt: skip


def main(arguments: list[str]) -> None:
    pythons = dict(argument.split("=", 1) for argument in arguments)
    names = {"errtrack": "errtrack-run", "sentry": "sentry-sdk", "ddtrace": "ddtrace"}
    code = "import importlib.metadata as m, sys; print(m.version(sys.argv[1]))"
    heads = [
        "%s %s"
        % (names[agent], subprocess.check_output([python, "-c", code, names[agent]], text=True).strip())
        for agent, python in pythons.items()
    ]
    print("| fault | %s |\n|---|%s" % (" | ".join(heads), "---|" * len(heads)))
    for fault, title in FAULTS.items():
        cells = [run(agent, python, fault) for agent, python in pythons.items()]
        print("| %s | %s |" % (title, " | ".join(cells)), flush=True)
    print(
        '\n"a, then b": so many arrived, and so many once `errtrack spool drain` or up to five more processes had run.'
    )


if __name__ == "__main__":
    main(sys.argv[1:])
