"""What the tests of feature flags share: the flags on the next event, and evaluations in threads and tasks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import errtrack


def flags(watching: Any) -> list[tuple[str, Any]]:
    """The flags on an event captured now, oldest first."""
    errtrack.capture_message("now")
    values = watching.events[-1].get("contexts", {}).get("flags", {}).get("values", [])
    return [(value["flag"], value["result"]) for value in values]


def on_a_span(watching: Any, evaluate: Callable[[str], Any]) -> None:
    """Of a span the first ten are on it; the transaction has no flags of its own."""
    kept: list[Any] = []
    watching(traces_sample_rate=1.0, before_send_transaction=lambda event, hint: kept.append(event))
    names = ["flag-%02d" % number for number in range(12)]
    with errtrack.start_transaction(name="work"), errtrack.start_span(op="function", name="evaluate"):
        expected = {"flag.evaluation." + name: evaluate(name) for name in names}
    (transaction,) = kept
    assert transaction["spans"][0]["data"] == dict(list(expected.items())[:10])
    assert "flags" not in transaction["contexts"]
    assert [name for name, _ in flags(watching)] == names


def in_threads(watching: Any, evaluate: Callable[[str], Any]) -> None:
    """Units of work on threads: each sees what was evaluated before it, and what it did itself; the parent neither."""
    evaluate("hello")
    seen: dict[str, Any] = {}

    def work(flag: str) -> None:
        with errtrack.isolation_scope():
            evaluate(flag)
            seen[flag] = [name for name, _ in flags(watching)]

    for flag in ("world", "other"):
        thread = threading.Thread(target=work, args=(flag,))
        thread.start()
        thread.join()
    assert seen == {"world": ["hello", "world"], "other": ["hello", "other"]}
    assert [name for name, _ in flags(watching)] == ["hello"]


def in_tasks(watching: Any, evaluate: Callable[[str], Any]) -> None:
    """The same with asyncio tasks."""
    evaluate("hello")

    async def work(flag: str) -> list[str]:
        with errtrack.isolation_scope():
            evaluate(flag)
            await asyncio.sleep(0)
            return [name for name, _ in flags(watching)]

    async def main() -> Any:
        return await asyncio.gather(work("world"), work("other"))

    assert asyncio.run(main()) == [["hello", "world"], ["hello", "other"]]
    assert [name for name, _ in flags(watching)] == ["hello"]
