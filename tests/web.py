"""Real servers for the tests: started as a user would start them, on a free port, asked over real sockets."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from types import TracebackType
from typing import Any

import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _uvicorn() -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in metadata.version("uvicorn").split(".")[:2])
    except metadata.PackageNotFoundError:
        return (99,)


#: Whether uvicorn logs, as an error, that a client of new releases of websockets has hung up.
OLD_UVICORN = _uvicorn() < (0, 20)


class Server:
    """A server process; ``with Server(sandbox, "gunicorn", ...) as server: server.get("/")``."""

    def __init__(self, sandbox: Any, *command: str, launched: bool = True, **env: str) -> None:
        self.port = free_port()
        self._command = sandbox.command(
            *(part.replace("PORT", str(self.port)) for part in command), launched=launched
        )
        self._options: dict[str, Any] = {
            "cwd": sandbox.folder,
            "env": {**sandbox.env, **env},
            "stdin": subprocess.DEVNULL,
            "start_new_session": True,
        }
        self.output = ""

    @classmethod
    def gunicorn(cls, sandbox: Any, app: str, *arguments: str, launched: bool = True, **env: str) -> Server:
        return cls(
            sandbox,
            sys.executable,
            "-m",
            "gunicorn",
            "--bind",
            "127.0.0.1:PORT",
            *arguments,
            app,
            launched=launched,
            **env,
        )

    @classmethod
    def uvicorn(cls, sandbox: Any, app: str, *arguments: str, launched: bool = True, **env: str) -> Server:
        command = (sys.executable, "-m", "uvicorn", "--port", "PORT", *arguments, app)
        return cls(sandbox, *command, launched=launched, **env)

    def __enter__(self) -> Server:
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **self._options
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.05)
        self.__exit__(None, None, None)
        raise AssertionError("the server did not come up: " + self.output)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self._wait_for_asgi_workers()
            self.process.send_signal(signal.SIGTERM)
        in_time = True
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            in_time = False
        # Whatever is left of its processes holds the pipe that is read.
        self._kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        assert in_time, "the server did not stop: " + self.output

    def _wait_for_asgi_workers(self) -> None:
        # Those of gunicorn's own kind miss a SIGTERM that comes before they listen, with us or without: a quarter of
        # servers that were stopped as the first of two listened went on without end.
        deadline = time.monotonic() + 10
        while "Using worker: asgi" in self.output and time.monotonic() < deadline:
            if self.output.count("ASGI server listening") >= self.output.count("Booting worker"):
                break
            time.sleep(0.02)

    def _kill(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def wait_for(self, text: str, seconds: float = 30) -> None:
        """Wait until the server has written *text*."""
        deadline = time.monotonic() + seconds
        while text not in self.output:
            assert time.monotonic() < deadline, "%r is not in: %s" % (text, self.output)
            time.sleep(0.02)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line

    def get(
        self,
        path: str,
        headers: dict[str, str] | None = None,
        method: str = "GET",
        body: Any = None,
        timeout: float = 30,
    ) -> tuple[int, bytes]:
        """Status and body of the answer; (0, b"") when the server cut the connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (http.client.HTTPException, ConnectionError):
            return 0, b""
        finally:
            connection.close()

    def get_all(self, paths: Iterable[str], workers: int = 20) -> list[tuple[int, bytes]]:
        """Ask for all *paths* at once, in any order."""
        with ThreadPoolExecutor(workers) as pool:
            return list(pool.map(self.get, paths))


def main_exception(event: dict[str, Any]) -> dict[str, Any]:
    """The exception that was raised last, the one that titles the issue."""
    value: dict[str, Any] = event["exception"]["values"][-1]
    return value


def websocket(port: int, path: str, *texts: str) -> None:
    """Say *texts* one after the other, each once the last was answered; then leave."""
    connect: Any = pytest.importorskip("websockets.sync.client").connect
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with connect("ws://127.0.0.1:%d%s" % (port, path), open_timeout=30) as connection:
            try:
                for text in texts:
                    connection.send(text)
                    connection.recv(20)
            except Exception:
                assert text == "fail"
