# SPDX-License-Identifier: MIT
"""Good requests under gunicorn: one worker for each contestant, all alive together, served in turn."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time

from bench.contestants import Contestant
from bench.lab import Lab
from bench.processes import WORK, Failed


class Server:
    """A gunicorn with one sync worker."""

    def __init__(self, contestant: Contestant, app: str, port: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        command = ["-m", "gunicorn", "-w", "1", "-b", "127.0.0.1:%d" % self.port, "--log-level", "error"]
        self._process = subprocess.Popen(
            [contestant.python, *command, "apps:%s()" % app],
            env=contestant.environment(port),
            cwd=str(WORK),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=(stderr := tempfile.TemporaryFile()),  # noqa: SIM115
            start_new_session=True,
        )
        limit = time.monotonic() + 40
        while True:
            try:
                self.get("/")
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > limit:
                    self.stop()
                    stderr.seek(0)
                    lines = stderr.read().decode(errors="replace").strip().splitlines() or ["no message"]
                    raise Failed("gunicorn with %s does not start: %s" % (app, lines[-1])) from None
                time.sleep(0.1)

    def get(self, path: str) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(
                b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\n\r\n" % path.encode()
            )
            parts = []
            while True:
                part = connection.recv(65_536)
                if not part:
                    break
                parts.append(part)
        answer = b"".join(parts)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise OSError("the server answers " + answer[:40].decode("latin-1"))
        return answer.partition(b"\r\n\r\n")[2]

    def cpu(self) -> int:
        """CPU nanoseconds that the worker has used."""
        return int(self.get("/cpu"))

    def stop(self) -> None:
        """End the server, with force after ten seconds; also when it has ended by itself."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(10)
            except ProcessLookupError:
                self._process.wait()
            except subprocess.TimeoutExpired:
                continue
            return


def gunicorn(lab: Lab) -> None:
    """CPU of the worker for one good request."""
    burst = 100
    for app in ("plain", "flask", "django"):
        servers: list[tuple[Contestant, Server]] = []
        try:
            for contestant in lab.contestants:
                try:
                    servers.append((contestant, Server(contestant, app, lab.sink.port)))
                except Failed as error:
                    lab.figures.problems.append("%s: %s" % (contestant.name, error))
            for number in range(-1, lab.rounds(24)):
                shift = number % len(servers)
                for contestant, server in servers[shift:] + servers[:shift]:
                    before = server.cpu()
                    for _ in range(burst):
                        server.get("/")
                    spent = server.cpu() - before
                    if number >= 0:
                        lab.figures.add("gunicorn." + app, contestant.name, number, spent / 1e3 / (burst + 1))
        finally:
            for _, server in servers:
                server.stop()
