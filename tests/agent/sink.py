# SPDX-License-Identifier: MIT
"""A server for tests that takes envelopes over real sockets, and misbehaves on request.

``mode`` is one of: ``ok``; ``status`` (answers ``status`` with ``headers`` and ``body``); ``hang`` (reads, never
answers); ``slow`` (answers after ``delay`` seconds); ``drip`` (one byte a second); ``reset`` (cuts the connection);
``redirect`` (to ``target``); ``bigbody`` (never stops answering). It may be changed at any time.
"""

from __future__ import annotations

import gzip
import json
import os
import socket
import ssl
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from errtrack.delivery.envelope import Envelope, parse


class Request:
    """What arrived: ``path``, ``headers`` (lower case names), ``body`` (unpacked), ``packed`` (as it came)."""

    def __init__(self, path: str, headers: dict[str, str], packed: bytes, at: float) -> None:
        self.path = path
        self.headers = headers
        self.packed = packed
        self.at = at
        self.body = gzip.decompress(packed) if headers.get("content-encoding") == "gzip" else packed

    @property
    def envelope(self) -> Envelope:
        return parse(self.body)


class Sink:
    """``with Sink() as sink:`` runs the server on a free port of the loopback interface."""

    def __init__(self, certificate: str | None = None, port: int = 0) -> None:
        self.mode = "ok"
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b"{}"
        self.delay = 0.0
        self.target = ""
        #: A request whose body holds this is answered with 500, in every mode.
        self.fails_on = b""
        self.requests: list[Request] = []
        self.accepted: list[Request] = []
        self.connections = 0
        self.sent_of_big_body = 0
        self._certificate = certificate
        self._port = port
        self._over = threading.Event()

    def __enter__(self) -> Sink:
        self._server = _Server(("127.0.0.1", self._port), _handler(self))
        if self._certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificate)
            self._server.tls = context
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._server.cut()
        self._thread.join()

    @property
    def port(self) -> int:
        return self._port

    @property
    def dsn(self) -> str:
        scheme = "https" if self._certificate else "http"
        return "%s://d45fd436a6294e4f8b6d5ef4a4f0d1c3@127.0.0.1:%d/1" % (scheme, self._port)

    def answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"{}") -> None:
        """From now on answer so; ``ok()`` ends it."""
        self.status, self.headers, self.body = status, headers or {}, body
        self.mode = "status"

    def ok(self) -> None:
        """From now on accept everything."""
        self.mode, self.headers = "ok", {}

    def event_ids(self) -> list[str]:
        """The ids of the events that were answered with 200, in order, repetitions included."""
        return [r.envelope.event_id for r in list(self.accepted) if r.envelope.event_id]

    def reports(self) -> dict[tuple[str, str], int]:
        """The sum of every client report that was accepted: (reason, category) -> quantity."""
        total: dict[tuple[str, str], int] = {}
        for request in list(self.accepted):
            for headers, payload in request.envelope.items:
                if headers["type"] == "client_report":
                    for row in json.loads(payload)["discarded_events"]:
                        key = (row["reason"], row["category"])
                        total[key] = total.get(key, 0) + row["quantity"]
        return total

    def wait(self, count: int, timeout: float = 10.0, of: str = "event_ids") -> list[Any]:
        """Wait until there are *count* of ``event_ids`` or ``requests``; return them."""
        until = time.monotonic() + timeout
        while True:
            found = self.event_ids() if of == "event_ids" else list(self.requests)
            if len(found) >= count or time.monotonic() > until:
                assert len(found) >= count, "%d of %d %s arrived" % (len(found), count, of)
                return found
            time.sleep(0.01)

    def pause(self, seconds: float) -> None:
        """Sleep, but not beyond the end of the server."""
        self._over.wait(seconds)

    @property
    def is_over(self) -> bool:
        return self._over.is_set()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    tls: ssl.SSLContext | None = None

    def __init__(self, *arguments: Any) -> None:
        self.open: set[socket.socket] = set()
        super().__init__(*arguments)

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls is not None:
            request = self.tls.wrap_socket(request, server_side=True)
        self.open.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            self.open.discard(request)
            request.close()

    def cut(self) -> None:
        """End every connection that is kept alive."""
        for one in list(self.open):
            try:
                socket.socket.shutdown(one, socket.SHUT_RDWR)
            except OSError:
                pass

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are what the tests are about."""


def _handler(sink: Sink) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            sink.connections += 1
            super().setup()

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            packed = self.rfile.read(length)
            if len(packed) < length:  # the client died halfway
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.path, headers, packed, time.monotonic())
            mode, answer = sink.mode, (sink.status, sink.headers, sink.body)
            sink.requests.append(request)
            if sink.fails_on and sink.fails_on in request.body:
                mode, answer = "status", (500, {}, b"{}")
            if mode == "hang":
                sink.pause(60)
            elif mode == "slow":
                sink.pause(sink.delay)
            elif mode == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                os.close(self.connection.detach())
                return
            if mode == "drip":
                self.drip()
            elif mode == "bigbody":
                self.big_body()
            elif mode == "redirect":
                self.reply(307, {"Location": sink.target}, b"")
            elif mode == "status":
                if answer[0] == 200:
                    sink.accepted.append(request)
                self.reply(*answer)
            elif mode != "hang":
                sink.accepted.append(request)
                self.reply(200, answer[1], b'{"id":""}')

        def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def drip(self) -> None:
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}":
                self.wfile.write(bytes((byte,)))
                self.wfile.flush()
                sink.pause(1.0)
                if sink.is_over:
                    return

        def big_body(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.close_connection = True
            while not sink.is_over and sink.sent_of_big_body < 600_000_000:
                self.wfile.write(b"x" * 65_536)
                sink.sent_of_big_body += 65_536

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
