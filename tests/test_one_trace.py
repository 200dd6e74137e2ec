"""A request that goes through three processes is one trace: a front end asks a service, which leaves work to a worker.

Nothing in the three programs knows of errtrack. What is looked at are the envelopes that a server got.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bugsink import complaints
from databases import Redis
from web import Server

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "agent"))
from sink import Sink

FRONT = """
import os, urllib.request
from flask import Flask
app = Flask(__name__)

@app.route("/buy/<int:number>")
def buy(number):
    with urllib.request.urlopen(os.environ["BACK"] + "/orders?number=%d" % number) as answer:
        return answer.read()
"""

BACK = """
import sqlite3
from flask import Flask, request
import work
app = Flask(__name__)

@app.route("/orders")
def order():
    connection = sqlite3.connect(":memory:")
    connection.execute("select ?", (1,))
    connection.close()
    return work.charge.delay(int(request.args["number"])).id
"""

WORK = """
import os
from celery import Celery
app = Celery("work", broker=os.environ["BROKER"])
app.conf.broker_connection_retry_on_startup = True

@app.task
def charge(number):
    raise ValueError("no money for %d" % number)
"""


class Shop:
    """The three processes, and what they have sent so far."""

    def __init__(self, sandbox: Any, sink: Sink, broker: str) -> None:
        for name, text in (("front", FRONT), ("back", BACK), ("work", WORK)):
            sandbox.write(name + ".py", text)
        self.sink = sink
        self.sandbox = sandbox
        sandbox.env.update(
            ERRTRACK_DSN=sink.dsn,
            ERRTRACK_TRACES_SAMPLE_RATE="1",
            ERRTRACK_RELEASE="shop@1",
            BROKER=broker,
            PYTHONPATH=str(sandbox.folder),
        )

    def __enter__(self) -> Shop:
        self.back = Server.gunicorn(self.sandbox, "back:app").__enter__()
        address = "http://127.0.0.1:%d" % self.back.port
        self.front = Server.gunicorn(self.sandbox, "front:app", BACK=address).__enter__()
        self.log = open(self.sandbox.folder / "worker.log", "wb")
        command = (
            sys.executable,
            "-m",
            "celery",
            "-A",
            "work",
            "worker",
            "--pool",
            "solo",
            "--loglevel",
            "INFO",
        )
        self.worker = subprocess.Popen(
            self.sandbox.command(*command),
            cwd=self.sandbox.folder,
            env=self.sandbox.env,
            stdout=self.log,
            stderr=self.log,
        )
        return self

    def __exit__(self, *_: Any) -> None:
        self.worker.terminate()
        try:
            self.worker.wait(30)
        except subprocess.TimeoutExpired:
            self.worker.kill()
            self.worker.wait()
        self.log.close()
        for server in (self.front, self.back):
            server.__exit__(None, None, None)

    def sent(self, kind: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """The envelope headers and payloads of all items of this *kind*."""
        found = []
        for request in list(self.sink.accepted):
            for headers, payload in request.envelope.items:
                if headers["type"] == kind:
                    found.append((request.envelope.headers, json.loads(payload)))
        return found

    def wait_for(self, transactions: int, events: int) -> None:
        deadline = time.monotonic() + 90
        while len(self.sent("transaction")) < transactions or len(self.sent("event")) < events:
            log = (self.sandbox.folder / "worker.log").read_text(errors="replace")
            assert time.monotonic() < deadline, log + self.front.output + self.back.output
            time.sleep(0.1)


@pytest.fixture(scope="module")
def shop(sandbox_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    for name in ("flask", "gunicorn", "celery", "redis"):
        pytest.importorskip(name)
    folder: Path = tmp_path_factory.mktemp("redis")
    with Redis(folder) as redis, Sink() as sink:
        place = sandbox_in(tmp_path_factory.mktemp("shop"))
        with Shop(place, sink, "redis://127.0.0.1:%d/0" % redis.port) as running:
            status, body = running.front.get("/buy/7")[:2]
            assert status == 200 and len(body) > 10, running.front.output
            running.wait_for(3, 1)
            yield running


def named(shop: Shop, name: str) -> dict[str, Any]:
    (found,) = [tree for _, tree in shop.sent("transaction") if tree["transaction"] == name]
    return found


def trace_of(tree: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = tree["contexts"]["trace"]
    return found


def test_one_trace_goes_through_three_processes(shop: Shop) -> None:
    front, back, work = named(shop, "buy"), named(shop, "order"), named(shop, "work.charge")
    assert len({trace_of(tree)["trace_id"] for tree in (front, back, work)}) == 1
    assert "parent_span_id" not in trace_of(front)
    (request,) = [span for span in front["spans"] if span["op"] == "http.client"]
    assert request["parent_span_id"] == trace_of(front)["span_id"]
    assert trace_of(back)["parent_span_id"] == request["span_id"]
    senders = {span["span_id"]: span for span in back["spans"]}
    assert senders[trace_of(work)["parent_span_id"]]["op"] in ("queue.submit.celery", "queue.publish")
    assert len({tree["contexts"]["process"]["pid"] for tree in (front, back, work)}) == 3


def test_error_in_the_worker_belongs_to_the_request(shop: Shop) -> None:
    ((headers, event),) = shop.sent("event")
    work = named(shop, "work.charge")
    assert event["exception"]["values"][-1]["value"] == "no money for 7"
    trace = trace_of(event)
    assert trace["trace_id"] == trace_of(named(shop, "buy"))["trace_id"] == headers["trace"]["trace_id"]
    assert trace["span_id"] in {trace_of(work)["span_id"], *(span["span_id"] for span in work["spans"])}
    assert trace_of(work)["status"] == "internal_error"


def test_all_three_say_what_the_head_has_said_of_the_trace(shop: Shop) -> None:
    heads = [headers["trace"] for headers, _ in shop.sent("transaction")]
    assert len(heads) == 3 and heads[0] == heads[1] == heads[2]
    assert heads[0]["sampled"] == "true" and heads[0]["sample_rate"] == "1"
    assert (
        heads[0]["release"] == "shop@1"
        and heads[0]["public_key"] == shop.sink.dsn.split("//")[1].split("@")[0]
    )


def test_transactions_tell_of_the_request_and_its_answer(shop: Shop) -> None:
    front, back = named(shop, "buy"), named(shop, "order")
    assert front["request"]["url"].endswith("/buy/7") and front["request"]["method"] == "GET"
    assert (trace_of(front)["op"], trace_of(front)["status"]) == ("http.server", "ok")
    assert front["contexts"]["response"]["status_code"] == 200
    assert front["transaction_info"] == {"source": "component"}
    assert "select ?" in [span["description"] for span in back["spans"]]
    for tree in (front, back):
        for span in tree["spans"]:
            assert (
                tree["start_timestamp"] <= tree["timestamp"] and span["start_timestamp"] <= span["timestamp"]
            )


def test_sentrys_normaliser_has_no_complaint(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    if not os.environ.get("ERRTRACK_TEST_SERVERS"):
        pytest.importorskip("sentry_relay")
        monkeypatch.setenv("ERRTRACK_TEST_SERVERS", sys.prefix)
    trees = [tree for _, tree in shop.sent("transaction")]
    assert len(trees) == 3
    assert complaints(trees) == []
    # It refuses what is no transaction: this harness can fail.
    broken = json.loads(json.dumps(trees[0]))
    broken["spans"] = [{"op": "x"}]
    with pytest.raises(AssertionError):
        assert complaints([broken]) == []
