# SPDX-License-Identifier: MIT
"""Spotlight: a copy of everything goes to a debugging window on the developer's own machine.

https://develop.sentry.dev/sdk/expected-features/spotlight/. A copy is sent once and never kept: when nobody
listens it is dropped, and for a while, longer each time, nothing is tried. The thread lives while there is
something to send.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock
from time import monotonic

from errtrack import guard
from errtrack.delivery import envelope, forks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import deque
else:
    from _collections import deque

#: Seconds: first pause after a fault, longest pause, longest wait for an answer.
FIRST_PAUSE, LONGEST_PAUSE, TIMEOUT = 1.0, 60.0, 1.0

#: Copies that wait to be sent; of more, the oldest go.
WAITING = 100


class Spotlight:
    """Sends copies to *url*. Every method may be called from anywhere."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._waiting: deque[bytes] = deque(maxlen=WAITING)
        self._busy = allocate_lock()
        self._pid = os.getpid()
        self._pause = 0.0
        self._ready_at = 0.0
        self._told = False

    def put(self, record: bytes) -> None:
        """Send a copy of an envelope, if anybody listens."""
        try:
            pid = os.getpid()
            if pid != self._pid:
                self._pid = pid
                self._busy = allocate_lock()
                self._waiting.clear()
            if monotonic() < self._ready_at:
                return
            self._waiting.append(record)
            self._start()
        except RuntimeError:  # no thread can be started any more: close() sends
            pass
        except Exception as error:
            guard.fault("spotlight", error)

    def close(self, timeout: float) -> None:
        """Wait up to *timeout* seconds for what is on its way."""
        until = monotonic() + timeout
        while monotonic() < until:
            if self._busy.acquire(True, max(0.0, until - monotonic())):
                self._busy.release()
                if not self._waiting:
                    return
                self._empty()

    def _start(self) -> None:
        if not self._busy.acquire(False):
            return
        try:
            forks.start_thread(self._run)
        except BaseException:
            self._busy.release()
            raise

    def _run(self) -> None:
        busy = self._busy
        try:
            self._empty()
        finally:
            busy.release()
        if self._waiting:
            try:
                self._start()  # it came after the last look
            except RuntimeError:
                pass

    def _empty(self) -> None:
        with guard.Inside():
            while self._waiting:
                try:
                    record = self._waiting.popleft()
                except IndexError:
                    return
                try:
                    self._send(envelope.as_sent(record, time.time()))
                    self._pause = 0.0
                except Exception as error:
                    self._give_up(error)

    def _send(self, body: bytes) -> None:
        from http.client import HTTPConnection, HTTPSConnection
        from urllib.parse import urlsplit

        parts = urlsplit(self.url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = kind(parts.hostname or "localhost", parts.port, timeout=TIMEOUT)
        try:
            headers = {"Content-Type": "application/x-sentry-envelope", "User-Agent": envelope.CLIENT}
            path = (parts.path or "/stream") + ("?" + parts.query if parts.query else "")
            connection.request("POST", path, body, headers)
            connection.getresponse().read(1000)
        finally:
            connection.close()

    def _give_up(self, error: Exception) -> None:
        self._pause = min(max(self._pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
        self._ready_at = monotonic() + self._pause
        self._waiting.clear()
        if not self._told:
            self._told = True
            guard.tell(
                "no Spotlight at %s (%s); start it, or unset spotlight" % (self.url, type(error).__name__)
            )
