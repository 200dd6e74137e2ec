# SPDX-License-Identifier: MIT
"""The CPU of a Celery task in process, run as a worker runs it, and of sending one to a broker in memory.

``task.py COUNT WARM_UP``: the calling thread's CPU, microseconds each.
"""

from __future__ import annotations

import sys
from time import thread_time_ns
from typing import Any

import agents
from celery import Celery
from celery.app import trace

app = Celery("bench", broker="memory://", backend="cache+memory://", set_as_current=False)
app.conf.task_ignore_result = True


@app.task
def add(x: int, y: int) -> int:
    return x + y


def message() -> dict[str, Any]:
    """What a worker knows of a task that came with a trace."""
    trace_id = "0123456789abcdef0123456789abcdef"
    return {
        "id": "8f14e45f-ceea-467f-a0e6-1f2c3d4e5f60",
        "task": "bench.add",
        "retries": 0,
        "is_eager": False,
        "hostname": "bench@localhost",
        "delivery_info": {"exchange": "", "routing_key": "celery", "redelivered": False},
        "sentry-trace": trace_id + "-0123456789abcdef",
        "baggage": "sentry-trace_id=%s,sentry-environment=production" % trace_id,
        "sentry-task-enqueued-time": "1700000000.123456",
    }


def run(tracer: Any, count: int) -> None:
    for _ in range(count):
        request = message()
        tracer(request["id"], (1, 2), {}, request)


def send(count: int) -> None:
    for _ in range(count):
        add.delay(1, 2)


def main(count: int, warm_up: int) -> None:
    app.finalize()
    trace.setup_worker_optimizations(app, "bench@localhost")
    tracer = trace.build_tracer(add.name, add, app=app)
    run(tracer, warm_up)
    began = thread_time_ns()
    run(tracer, count)
    ran = thread_time_ns() - began
    send(warm_up)
    began = thread_time_ns()
    send(count // 10)
    sent = thread_time_ns() - began
    agents.report(run=ran / 1e3 / count, send=sent / 1e3 / (count // 10))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
