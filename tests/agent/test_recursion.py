# SPDX-License-Identifier: MIT
"""What errtrack does itself, or has others do, is never captured again, and nothing of it goes round in circles."""

from __future__ import annotations

import json
import logging
from typing import Any

from running import Running, raised
from sink import Sink

import errtrack


def test_log_records_of_hooks_do_not_become_events(sandbox: Any) -> None:
    sandbox.write(
        "own_hook.py",
        "import logging, errtrack\n"
        "def hook(event, hint):\n"
        "    logging.getLogger('hook').error('from the hook')\n"
        "    errtrack.add_breadcrumb(message='from the hook')\n"
        "    return event\n",
    )
    code = "import logging, errtrack\nfor n in range(3): logging.error('number %d', n)\n"
    done = sandbox.python(code, ERRTRACK_BEFORE_SEND="own_hook:hook")
    assert done.stderr.count("from the hook") == 3
    events = sandbox.events()
    assert [event["logentry"]["formatted"] for event in events] == ["number 0", "number 1", "number 2"]
    assert "from the hook" not in str(events)


def test_debug_logs_of_the_sending_library_are_neither_events_nor_breadcrumbs(
    sandbox: Any, sink: Sink
) -> None:
    code = (
        "import logging, time, errtrack\n"
        "logging.basicConfig(level=logging.DEBUG, filename='log')\n"
        "logging.getLogger('urllib3').setLevel(logging.DEBUG)\n"
        "logging.error('one'); errtrack.flush(5)\n"
        "logging.error('two'); errtrack.flush(5)\n"
    )
    sandbox.python(
        code, ERRTRACK_DSN=sink.dsn, ERRTRACK_LOGGING_LEVEL="DEBUG", ERRTRACK_LOGGING_EVENT_LEVEL="ERROR"
    )
    assert len(sink.event_ids()) == 2
    events = [item for request in sink.accepted for item in request.envelope.items]
    crumbs = [json.loads(payload).get("breadcrumbs", {}) for _, payload in events]
    assert "'one'" in str(crumbs)
    assert "urllib3" not in str(crumbs)


def test_a_repr_that_captures_inside_of_a_capture(running: Running) -> None:
    inner: list[Any] = []

    class Captures:
        def __repr__(self) -> str:
            inner.append(errtrack.capture_message("from a repr"))
            raise RuntimeError("repr is broken")

    def fail() -> None:
        local = Captures()
        raise ValueError("x")

    running.start(locals="repr")
    try:
        fail()
    except ValueError as error:
        assert errtrack.capture_exception(error)
    assert inner and set(inner) == {None}
    frame = running.event()["exception"]["values"][0]["stacktrace"]["frames"][-1]
    assert "repr raised RuntimeError" in frame["vars"]["local"]


def test_before_breadcrumb_that_raises_drops_the_crumb_and_no_event(running: Running, capfd: Any) -> None:
    def hook(crumb: Any, hint: Any) -> Any:
        if crumb["message"] == "bad":
            raise ValueError("x")
        return crumb

    running.start(before_breadcrumb=hook)
    for message in ("good", "bad", "also good"):
        errtrack.add_breadcrumb(message=message)
    assert errtrack.capture_message("x")
    assert [crumb["message"] for crumb in running.event()["breadcrumbs"]["values"]] == ["good", "also good"]


def test_before_send_may_log_at_any_level(running: Running) -> None:
    def hook(event: Any, hint: Any) -> Any:
        logging.getLogger("app").error("in a hook", exc_info=raised(KeyError("y")))
        return event

    running.start(before_send=hook)
    logger = logging.getLogger("app")
    logger.propagate = False
    try:
        assert errtrack.capture_message("x")
    finally:
        logger.propagate = True
    assert len(running.events()) == 1


def test_closing_twice_and_capturing_after_it(running: Running) -> None:
    client = running.start()
    errtrack.capture_message("before")
    client.close(1)
    client.close(1)
    assert errtrack.capture_message("after")
    assert {event["logentry"]["formatted"] for event in running.events_stored()} == {"before", "after"}
