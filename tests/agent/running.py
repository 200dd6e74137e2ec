# SPDX-License-Identifier: MIT
"""A client for tests, and what became of the events that it was given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sink import Sink

from errtrack import client as clients
from errtrack.client import Client
from errtrack.delivery.drain import drain_to_store
from errtrack.delivery.store import Store


class Running:
    """A client with an embedded store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clients: list[Client] = []

    def start(self, **code: Any) -> Client:
        client = clients.init({"pytest": True, "store": str(self.folder), **code})
        self.clients.append(client)
        return client

    def events(self) -> list[dict[str, Any]]:
        assert self.clients[-1].flush(10)
        return self.events_stored()

    def events_stored(self) -> list[dict[str, Any]]:
        """Every event in the store, oldest first."""
        drain_to_store(self.clients[-1].options)  # what an earlier client left
        store = Store(str(self.folder), 0, 0)
        try:
            rows = [store.event(row["event_id"]) for row in store.events(limit=10_000)]
        finally:
            store.close()
        return sorted((row["event"] for row in rows if row), key=lambda event: event["timestamp"])

    def event(self) -> dict[str, Any]:
        (event,) = self.events()
        return event

    def send_to(self, sink: Sink, **code: Any) -> Client:
        """Start a client that delivers to *sink*."""
        return self.start(dsn=sink.dsn, **code)

    def items(self, sink: Sink, *types: str) -> list[tuple[dict[str, Any], bytes]]:
        """What of these *types* has come to *sink*, once all was delivered."""
        assert self.clients[-1].flush(10)
        found = [item for request in list(sink.accepted) for item in request.envelope.items]
        return [(headers, payload) for headers, payload in found if headers["type"] in types]

    def trees(self, sink: Sink, *types: str) -> list[dict[str, Any]]:
        """The payloads of :meth:`items`, read."""
        return [json.loads(payload) for _, payload in self.items(sink, *types)]


def raised(error: BaseException) -> BaseException:
    """*error* with a traceback."""
    try:
        raise error
    except BaseException as caught:
        return caught
