"""A server that real processes deliver to, for tests that look at more than the embedded store keeps."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "agent"))

from sink import Sink


class Taken(Sink):
    """``with Taken() as taken:`` and ``taken.dsn``; then what was accepted, by the kind of item, oldest first."""

    def items(self, kind: str) -> list[dict[str, Any]]:
        found = [item for request in list(self.accepted) for item in request.envelope.items]
        told = [json.loads(payload) for headers, payload in found if headers["type"] == kind]
        return sorted(told, key=lambda item: item.get("timestamp") or "")

    @property
    def events(self) -> list[dict[str, Any]]:
        return self.items("event")

    @property
    def transactions(self) -> list[dict[str, Any]]:
        return self.items("transaction")

    def await_events(self, count: int, seconds: float = 30) -> list[dict[str, Any]]:
        """Wait until there are *count* events, and a little for one more."""
        deadline = time.monotonic() + seconds
        while len(self.events) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.2)
        return self.events
