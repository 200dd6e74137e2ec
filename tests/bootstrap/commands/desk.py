# SPDX-License-Identifier: MIT
"""A desk to try the errtrack command at: a folder, a store, events for it, a server to send to."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from errtrack.delivery import envelope
from errtrack.delivery.store import Store
from errtrack_run import cli


class Result:
    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Desk:
    """A working folder with a store of its own, and the command run in it, in this process."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.state = folder / "state"
        self._capsys = capsys

    def add(self, *events: dict[str, Any]) -> None:
        self.state.mkdir(mode=0o700, exist_ok=True)
        store = Store(str(self.state), 0, 0)
        for number, event in enumerate(events):
            event.setdefault("event_id", os.urandom(16).hex())
            event.setdefault("timestamp", time.time() - 600 + number)
            event.setdefault("level", "error")
            store.add([envelope.build(event["event_id"], "event", json.dumps(event).encode())])
        store.close()

    def run(self, *arguments: str) -> Result:
        self._capsys.readouterr()
        try:
            status = cli.main(list(arguments))
        except SystemExit as stop:  # argparse
            status = int(stop.code or 0)
        captured = self._capsys.readouterr()
        return Result(status, captured.out, captured.err)


def frame(function: str, lineno: int = 12, in_app: bool = True, **more: Any) -> dict[str, Any]:
    module = "shop.views" if in_app else "lib.core"
    path = "/srv/app/shop/views.py" if in_app else "/venv/lib/site-packages/lib/core.py"
    found = {"module": module, "abs_path": path, "function": function, "lineno": lineno, "in_app": in_app}
    return {**found, "filename": path.rpartition("/")[2], "context_line": "    %s()" % function, **more}


def failure(
    kind: str = "ValueError", value: str = "bad amount", *frames: dict[str, Any], **more: Any
) -> dict[str, Any]:
    stack = {"frames": list(frames or (frame("run", 3, in_app=False), frame("pay")))}
    error = {
        "type": kind,
        "value": value,
        "stacktrace": stack,
        "mechanism": {"type": "excepthook", "handled": False},
    }
    return {"exception": {"values": [error]}, **more}


def child_environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **more}


class Sink:
    """A server that gives one answer to everything and remembers what it was sent."""

    def __init__(self, status: int = 200, **headers: str) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sink.requests.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.dsn = "http://publickey@127.0.0.1:%d/7" % self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Sink:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def events(self) -> Iterator[dict[str, Any]]:
        import gzip

        for headers, body in self.requests:
            data = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
            for item_headers, payload in envelope.parse(data).items:
                assert item_headers["type"] == "event"
                yield json.loads(payload)
