# SPDX-License-Identifier: MIT
"""Servers for agents to send to: one that is well, slow or silent on demand, and a port that refuses."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from typing import Any

from bench.processes import script


class Sink:
    """A process of its own, so that its CPU is nobody else's."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, script("sink")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def _ask(self, what: str) -> dict[str, Any]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open("http://127.0.0.1:%d/_bench/%s" % (self.port, what), timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def become(self, mode: str) -> None:
        """``healthy``, ``slow`` (100 ms) or ``hanging``; counts begin anew."""
        self._ask("mode?" + {"healthy": "0", "slow": "0.1", "hanging": "hang"}[mode])
        self._ask("reset")

    def stats(self) -> dict[str, Any]:
        """``requests``, ``bytes`` of bodies, ``events``, and how many different ``ids`` since the last reset."""
        return self._ask("stats")

    def close(self) -> None:
        self._process.communicate("")


class Refusing:
    """A port of the loopback that nobody listens on, and that nobody else can take."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def close(self) -> None:
        self._socket.close()
