"""AWS Lambda on loopback: the Runtime API that ``awslambdaric`` talks to, and an ingest endpoint beside it.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. Both are one server, so that what came first is known.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:shop"


class Platform:
    """Runs functions as the platform does: ``platform.invoke(handler, *events)`` in a sandbox."""

    def __init__(self, sandbox: Any) -> None:
        self.sandbox = sandbox
        #: What arrived, in order: ("envelope" | "result" | "error" | "init error", content).
        self.log: list[tuple[str, Any]] = []
        #: What is answered to envelopes; None: nothing, ever.
        self.ingest: int | None = 200
        self._waiting: list[tuple[dict[str, str], bytes]] = []
        self._more = threading.Condition()
        self._answers = 0
        self._invoked = 0
        self._freed = threading.Event()
        platform = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # next
                headers, body = platform._next()
                self.answer(200, body, headers)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if "envelope" in self.path:
                    if platform.ingest is None:
                        platform._freed.wait(60)
                        return
                    if self.headers.get("Content-Encoding") == "gzip":
                        body = gzip.decompress(body)
                    platform._note("envelope", body)
                    self.answer(platform.ingest, b"{}")
                    return
                kind = "init error" if "init" in self.path else self.path.rpartition("/")[2]
                platform._note(kind.replace("response", "result"), body)
                self.answer(202, b"{}")

            def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # the process was killed

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]

    def __enter__(self) -> Platform:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._freed.set()
        with self._more:
            self._more.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def invoke(
        self,
        handler: str,
        *events: Any,
        launched: bool = True,
        seconds: float = 60,
        headers: dict[str, str] | None = None,
        command: tuple[str, ...] = (),
        wait: bool = True,
        **env: str,
    ) -> str:
        """Start a process, invoke *handler* with each of *events*, and end the process as a freeze does: at once.

        *seconds* is the time that each invocation is given. Returns what the process wrote.
        """
        self._answers = self._invoked = 0
        with self._more:
            self._waiting = []
            for number, event in enumerate(events):
                more = {
                    "Lambda-Runtime-Aws-Request-Id": "request-%d" % number,
                    "Lambda-Runtime-Invoked-Function-Arn": ARN,
                    "Content-Type": "application/json",
                    "X-Seconds": str(event.get("given", seconds) if isinstance(event, dict) else seconds),
                    **(headers or {}),
                }
                body = event if isinstance(event, bytes) else json.dumps(event).encode()
                self._waiting.append((more, body))
        command = command or self.sandbox.command(
            sys.executable, "-m", "awslambdaric", handler, launched=launched
        )
        process = subprocess.Popen(
            command,
            cwd=self.sandbox.folder,
            env={
                **self.sandbox.env,
                "PYTHONPATH": str(self.sandbox.folder),
                "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:%d" % self.port,
                "AWS_LAMBDA_FUNCTION_NAME": "shop",
                "AWS_LAMBDA_FUNCTION_VERSION": "7",
                "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/shop",
                "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
                "AWS_REGION": "eu-west-1",
                "ERRTRACK_DSN": "http://key@127.0.0.1:%d/1" % self.port,
                "ERRTRACK_SHUTDOWN_TIMEOUT": "20",
                **env,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        output: list[str] = []
        assert process.stdout is not None
        reader = threading.Thread(target=lambda: output.append(process.stdout.read()))  # type: ignore[union-attr]
        reader.start()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if self._answers >= len(events) > 0 and wait:
                break
            time.sleep(0.01)
        try:
            os.killpg(process.pid, signal.SIGKILL)  # the workers that it has forked as well
        except ProcessLookupError:
            pass
        process.wait()
        reader.join()
        process.stdout.close()
        return "".join(output)

    def _next(self) -> tuple[dict[str, str], bytes]:
        with self._more:
            while not self._waiting and not self._freed.is_set():
                self._more.wait(1)
            if not self._waiting:
                return {}, b"{}"
            headers, body = self._waiting.pop(0)
        seconds = float(headers.pop("X-Seconds"))
        headers["Lambda-Runtime-Deadline-Ms"] = str(int((time.time() + seconds) * 1000))
        return headers, body

    def _note(self, kind: str, content: bytes) -> None:
        self.log.append((kind, content))
        self._answers += kind != "envelope"

    @property
    def order(self) -> list[str]:
        """The kinds of what arrived."""
        return [kind for kind, _ in self.log]

    def answers(self) -> list[tuple[str, Any]]:
        """What the platform was told, parsed."""
        return [(kind, json.loads(content)) for kind, content in self.log if kind != "envelope"]

    def items(self, kind: str) -> list[dict[str, Any]]:
        """What the ingest endpoint was sent of *kind*: ``event`` or ``transaction``."""
        found: list[dict[str, Any]] = []
        for what, content in self.log:
            if what != "envelope":
                continue
            rest = content.partition(b"\n")[2]
            while rest:
                head, _, rest = rest.partition(b"\n")
                header = json.loads(head)
                length = header.get("length")
                payload, rest = (
                    (rest[:length], rest[length + 1 :]) if length is not None else rest.split(b"\n", 1)
                )
                if header["type"] == kind:
                    found.append(json.loads(payload))
        return found

    def events(self) -> list[dict[str, Any]]:
        return self.items("event")

    def event(self) -> dict[str, Any]:
        found = self.events()
        assert len(found) == 1, [e.get("exception") or e.get("logentry") for e in found]
        return found[0]
