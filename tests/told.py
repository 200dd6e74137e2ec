"""What came of a server that was asked for everything once: answers, events by path, transactions. Shared by tests."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from web import Server

_SPY = """
import json

def keep(event, hint):
    with open("transactions", "a") as file:
        file.write(json.dumps({key: event.get(key) for key in (
            "transaction", "transaction_info", "contexts", "request", "tags", "spans", "start_timestamp", "timestamp",
        )}, default=str) + "\\n")
    return event
"""


class Told:
    """A sandbox with a copy of *app* in it; a server of it is asked, then the events are looked at."""

    def __init__(self, sandbox: Any, app: Path, **env: str) -> None:
        self.sandbox = sandbox
        self.app = app.name
        shutil.copy(app, sandbox.folder / app.name)
        sandbox.write("spy.py", _SPY)
        self.answers: dict[str, Any] = {}
        self.output = ""
        self.kind = ""
        self._events: list[dict[str, Any]] | None = None
        self.env = env
        if "ERRTRACK_TRACES_SAMPLE_RATE" in env:
            self.env = {"ERRTRACK_BEFORE_SEND_TRANSACTION": "spy:keep", **env}

    def serve(self, *command: str, **more: Any) -> Server:
        """A server of the application; by default the application's file itself with the port."""
        command = command or (sys.executable, self.app, "PORT")
        return Server(self.sandbox, *command, **{**self.env, **more})

    @property
    def all(self) -> list[dict[str, Any]]:
        """Every event, oldest first."""
        if self._events is None:
            self._events = self.sandbox.events()
        return self._events

    def events(self, path: str) -> list[dict[str, Any]]:
        """The events of requests to *path*."""
        return [event for event in self.all if path_of(event) == path]

    def event(self, path: str) -> dict[str, Any]:
        """The one event of requests to *path*."""
        found = self.events(path)
        assert len(found) == 1, [e.get("exception") or e.get("logentry") for e in found]
        return found[0]

    def wait_for(self, path: str) -> None:
        """Wait until there is an event of a request to *path*: for what happens after the answer."""
        deadline = time.monotonic() + 30
        while True:
            self._events = None
            if self.events(path) or time.monotonic() > deadline:
                return
            time.sleep(0.2)

    @property
    def transactions(self) -> list[dict[str, Any]]:
        """Every transaction that the server has sent, oldest first."""
        kept = self.sandbox.folder / "transactions"
        if not kept.exists():
            return []
        return [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]


def path_of(event: dict[str, Any]) -> str:
    """The path of an event's request; the empty text where it has none."""
    parts = str((event.get("request") or {}).get("url", "")).split("/", 3)
    return "/" + parts[3] if len(parts) == 4 else ""
