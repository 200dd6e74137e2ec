"""Celery with processes that are replaced after a few tasks: what they captured is there, once, whoever delivers it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("celery")
if sys.platform == "win32":
    pytest.skip("a pool of processes needs fork", allow_module_level=True)

from celery_workers import Broker, Shop, texts

SEND = """
sent = group(either.s(n) for n in range(%d)).apply_async()
ended = [result.get(propagate=False, timeout=120) for result in sent.results]
tell([sum(1 for value in ended if isinstance(value, RuntimeError)), len(ended)])
"""


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    started = Broker(tmp_path_factory.mktemp("broker"))
    yield started
    started.stop()


def run(shop: Shop, count: int, *arguments: str) -> None:
    with shop.worker("prefork", *arguments, ERRTRACK_DEBUG="1") as worker:
        failed, ended = shop.send(SEND % count, timeout=400)
    assert (failed, ended) == (count // 2, count)
    assert "internal fault" not in worker.output


@pytest.mark.parametrize(("tasks_each", "early"), [(1, ""), (4, "1")])
def test_events_of_recycled_processes_are_there_once(
    sandbox: Any, broker: Broker, tasks_each: int, early: str
) -> None:
    shop = Shop(sandbox, broker, EARLY=early)
    count = 8 * tasks_each
    run(shop, count, "-c", "2", "--max-tasks-per-child", str(tasks_each))
    failed = [event for event in shop.all if event.get("exception")]
    assert len({event["tags"]["celery_task_id"] for event in failed}) == len(failed) == count // 2
    others = [event for event in shop.all if not event.get("exception")]
    assert len(others) == bool(early), [texts(event) for event in others]
    assert len({event["contexts"]["process"]["pid"] for event in failed}) >= 3


def test_events_reach_a_server_from_processes_that_are_recycled(sandbox: Any, broker: Broker) -> None:
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parent.parent / "agent"))
    from sink import Sink

    with Sink() as sink:
        shop = Shop(sandbox, broker, ERRTRACK_DSN=sink.dsn, EARLY="1")
        run(shop, 12, "-c", "2", "--max-tasks-per-child", "2")
        sandbox.python("import errtrack; errtrack.flush(20)", **shop.env)  # whatever a dying one left behind
        assert len(set(sink.wait(7, 20))) == 7
        assert len(sink.event_ids()) == 7


@pytest.mark.slow
def test_five_hundred_of_a_thousand_tasks_fail(sandbox: Any, broker: Broker) -> None:
    shop = Shop(sandbox, broker)
    run(shop, 1000, "-c", "4", "--max-tasks-per-child", "10")
    assert len({event["tags"]["celery_task_id"] for event in shop.all}) == len(shop.all) == 500
