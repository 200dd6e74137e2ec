# SPDX-License-Identifier: MIT
"""The server of the agent's tests, and the events in what it took."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "agent"))
sys.path.insert(0, str(Path(__file__).parents[1] / "agent" / "delivery"))

from sink import Sink as _Sink


class Sink(_Sink):
    """Reads the events that were accepted."""

    def events(self) -> list[dict[str, Any]]:
        """Every event that was answered with 200, in order, repetitions included."""
        found = [item for request in list(self.accepted) for item in request.envelope.items]
        return [json.loads(payload) for headers, payload in found if headers["type"] == "event"]
