"""Real PostgreSQL and Redis servers for the tests, on free ports, and what looks like a MySQL to its clients."""

from __future__ import annotations

import glob
import os
import shutil
import socket
import socketserver
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from web import free_port


class Process:
    """A server process that is up inside of the ``with`` block, and gone after it."""

    port: int
    process: subprocess.Popen[bytes]

    def wait_until_up(self, log: Path) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            if self.is_up():
                return
            time.sleep(0.05)
        self.stop()
        raise AssertionError("the server did not come up: " + log.read_text(errors="replace"))

    def is_up(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Postgres(Process):
    """``with Postgres() as server:`` a cluster of its own, user and database ``test``, no password."""

    def __enter__(self) -> Postgres:
        places = [
            os.path.dirname(shutil.which("initdb") or ""),
            *sorted(glob.glob("/usr/lib/postgresql/*/bin")),
        ]
        found = [place for place in places if place and os.path.exists(os.path.join(place, "initdb"))]
        if not found:
            pytest.skip("PostgreSQL (initdb, postgres) is not installed")
        as_user: dict[str, Any] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))
        if os.getuid() == 0:  # it refuses to run as root
            try:
                shutil.chown(self.folder, "postgres")
            except LookupError:
                self.folder.rmdir()
                pytest.skip("PostgreSQL cannot run as root, and there is no user postgres")
            as_user = {"user": "postgres", "cwd": "/"}
        data, log = str(self.folder / "data"), self.folder / "log"
        made = subprocess.run(
            [
                found[-1] + "/initdb",
                "-D",
                data,
                "-A",
                "trust",
                "-U",
                "test",
                "--no-sync",
                "-E",
                "UTF8",
                "--locale=C",
            ],
            capture_output=True,
            text=True,
            timeout=120,
            **as_user,
        )
        assert made.returncode == 0, made.stderr
        self.port = free_port()
        with open(log, "wb") as output:
            command = [found[-1] + "/postgres", "-D", data, "-h", "127.0.0.1", "-p", str(self.port), "-k", ""]
            self.process = subprocess.Popen([*command, "-F"], stdout=output, stderr=output, **as_user)
        self.wait_until_up(log)
        return self

    def is_up(self) -> bool:
        # It listens before it answers: the log says when.
        return b"ready to accept connections" in (self.folder / "log").read_bytes()

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Redis(Process):
    """``with Redis(folder) as server:``"""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Redis:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not installed")
        self.port = free_port()
        log = self.folder / "redis.log"
        command = [
            program,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(self.folder),
        ]
        with open(log, "wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output)
        self.wait_until_up(log)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class LikeMySQL:
    """Speaks just enough of MySQL's protocol that a client logs in; each query is answered "done", or by an error if
    it holds the word ``nowhere``.
    """

    def __enter__(self) -> LikeMySQL:
        class Handler(socketserver.BaseRequestHandler):
            def packet(self, number: int, payload: bytes) -> None:
                self.request.sendall(struct.pack("<I", len(payload))[:3] + bytes([number]) + payload)

            def read(self) -> bytes:
                head = self.exactly(4)
                return self.exactly(int.from_bytes(head[:3], "little")) if head else b""

            def exactly(self, size: int) -> bytes:
                data = b""
                while len(data) < size:
                    part = self.request.recv(size - len(data))
                    if not part:
                        return b""
                    data += part
                return data

            def handle(self) -> None:
                # Protocol 4.1, secure connection, plugin authentication, with a database, autocommit.
                able = 0x0200 | 0x8000 | 0x80000 | 0x8
                greeting = (
                    b"\x0a8.0.0\0" + struct.pack("<I", 1) + b"12345678\0" + struct.pack("<H", able & 0xFFFF)
                )
                greeting += (
                    b"\x21" + struct.pack("<H", 2) + struct.pack("<H", able >> 16) + b"\x15" + b"\0" * 10
                )
                greeting += b"123456789012\0" + b"mysql_native_password\0"
                done = b"\0\0\0" + struct.pack("<H", 2) + b"\0\0"
                self.packet(0, greeting)
                self.read()
                self.packet(2, done)
                while True:
                    query = self.read()
                    if not query or query[0] == 1:
                        return
                    if b"nowhere" in query:
                        self.packet(1, b"\xff" + struct.pack("<H", 1146) + b"#42S02No such table")
                    else:
                        self.packet(1, done)

        class Threaded(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self.server = Threaded(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
