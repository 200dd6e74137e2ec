# SPDX-License-Identifier: MIT
"""A server that takes whatever an agent sends, counts it, and is well, slow or silent as it is told.

Prints its port, then serves until its standard input ends. ``/_bench/stats`` answers what came since
``/_bench/reset``; ``/_bench/mode?SECONDS`` makes every further answer wait so long, ``hang`` for ever.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import zlib


class Counts:
    """What came in since the last reset. ``bytes`` are of bodies, as they went over the wire."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.requests = self.bytes = self.events = 0
        self.event_bytes = 0
        self.ids: set[str] = set()

    def take(self, path: str, encoding: str, body: bytes) -> None:
        self.requests += 1
        self.bytes += len(body)
        if encoding in ("gzip", "deflate"):
            body = zlib.decompress(body, 47)
        if path.endswith("/envelope/"):
            head = body[: body.find(b"\n")]
            if b'"type":"event"' in body[:2000].replace(b": ", b":"):
                self.events += 1
                self.ids.add(str(json.loads(head).get("event_id")))
        elif path.startswith("/intake/"):
            errors = [json.loads(line)["error"] for line in body.splitlines() if line.startswith(b'{"error"')]
            self.events += len(errors)
            self.ids.update(str(error.get("id")) for error in errors)

    def as_json(self) -> bytes:
        names = ("requests", "bytes", "events")
        return json.dumps({**{name: getattr(self, name) for name in names}, "ids": len(self.ids)}).encode()


counts = Counts()
delay: list[float] = [0.0]


class Connection(asyncio.Protocol):
    """HTTP/1.1 with Content-Length or chunks; answers in the order of the requests."""

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            lines = self.buffer[:end].decode("latin-1").split("\r\n")
            headers = {}
            for line in lines[1:]:
                name, _, value = line.partition(":")
                headers[name.strip().lower()] = value.strip()
            if headers.get("transfer-encoding") == "chunked":
                body, rest = self._chunks(self.buffer[end + 4 :])
                if body is None:
                    return
            else:
                length = int(headers.get("content-length", 0))
                if len(self.buffer) < end + 4 + length:
                    return
                body, rest = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            self.buffer = rest
            self._serve(lines[0].split(" ")[1], headers, body)

    @staticmethod
    def _chunks(data: bytes) -> tuple[bytes | None, bytes]:
        parts = []
        while True:
            line, separator, rest = data.partition(b"\r\n")
            if not separator:
                return None, b""
            size = int(line, 16)
            if len(rest) < size + 2:
                return None, b""
            parts.append(rest[:size])
            data = rest[size + 2 :]
            if not size:
                return b"".join(parts), data

    def _serve(self, target: str, headers: dict[str, str], body: bytes) -> None:
        path, _, query = target.partition("?")
        if path.startswith("/_bench/"):
            if path.endswith("reset"):
                counts.reset()
            elif path.endswith("mode"):
                delay[0] = -1.0 if query == "hang" else float(query)
            self._answer(counts.as_json())
        elif delay[0] >= 0:
            counts.take(path, headers.get("content-encoding", ""), body)
            answer = b"" if path.startswith("/v1/") else b"{}"
            if delay[0]:
                asyncio.get_running_loop().call_later(delay[0], self._answer, answer)
            else:
                self._answer(answer)

    def _answer(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.transport.write(head + body)  # type: ignore[attr-defined]


async def main() -> None:
    """Serve on a free port of the loopback until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    over = asyncio.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(over.set)

    threading.Thread(target=wait_for_end, daemon=True).start()
    await over.wait()


if __name__ == "__main__":
    asyncio.run(main())
