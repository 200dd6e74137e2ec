"""kombu without Celery: published messages are spans of what is traced, and nothing else changes."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("kombu")

from celery_apps import SPY

PUBLISH = """
import errtrack
from kombu import Connection, Exchange, Queue

with Connection("memory://") as connection:
    producer = connection.Producer()
    queue = Queue("orders", Exchange("shop", type="direct"), routing_key="orders", channel=connection)
    queue.declare()
    producer.publish({"n": 0}, routing_key="orders", exchange="shop")
    with errtrack.start_transaction(op="test", name="sender"):
        producer.publish({"n": 1}, routing_key="orders")
        producer.publish({"n": 2}, "orders", exchange=Exchange("shop"), headers={"x": "y"})
        producer.publish({"n": 3}, routing_key="orders", exchange="shop", headers=None)
        producer.publish({"n": 4}, routing_key="nowhere", headers=["odd"])
        try:
            producer.publish(object(), routing_key="orders", serializer="json")
        except Exception as error:
            print(type(error).__name__)
        producer.publish({}, exchange=Exchange("celeryev"), routing_key="worker.online")
    got = []
    while (message := queue.get()) is not None:
        got.append([message.payload["n"], message.headers])
        message.ack()
    print(got)
"""


def published(sandbox: Any, **env: str) -> tuple[list[str], list[dict[str, Any]]]:
    sandbox.write("spy.py", SPY)
    done = sandbox.python(PUBLISH, ERRTRACK_BEFORE_SEND_TRANSACTION="spy:keep", **env)
    assert done.returncode == 0, done.stderr
    path = sandbox.folder / "transactions"
    return done.stdout.splitlines(), [
        json.loads(line) for line in path.read_text().splitlines()
    ] if path.exists() else []


def test_publications_within_a_transaction_are_spans(sandbox: Any) -> None:
    told, (transaction,) = published(sandbox, ERRTRACK_TRACES_SAMPLE_RATE="1", PYTHONPATH=str(sandbox.folder))
    spans = [s for s in transaction["spans"] if s["op"] == "queue.publish"]
    assert [s["description"] for s in spans] == ["orders"] * 3 + ["nowhere", "orders"]
    assert [s["data"].get("messaging.destination.name") for s in spans] == [
        "orders",
        None,
        None,
        "nowhere",
        "orders",
    ]
    assert {s["data"]["messaging.system"] for s in spans} == {"memory"}
    assert [s.get("status") for s in spans] == [None] * 4 + ["internal_error"]
    assert told == ["EncodeError", "[[0, {}], [1, {}], [2, {'x': 'y'}], [3, {}]]"]


def test_without_tracing_messages_are_as_ever(sandbox: Any) -> None:
    told, transactions = published(sandbox)
    assert told == ["EncodeError", "[[0, {}], [1, {}], [2, {'x': 'y'}], [3, {}]]"]
    assert transactions == [] and sandbox.events() == []
