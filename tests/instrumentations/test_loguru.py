"""loguru: every message, once, under its own text; whatever the program does with its sinks."""

from __future__ import annotations

import logging
import sys

import pytest

import errtrack
from web import main_exception

loguru = pytest.importorskip("loguru")


@pytest.fixture
def logger(watching):
    """loguru's one logger, with our sink, and without the one that writes to stderr."""
    loguru.logger.remove()
    watching("logging", "loguru")
    yield loguru.logger
    watching.stop()
    loguru.logger.remove()


def test_levels_become_breadcrumbs_and_events(watching, logger) -> None:
    logger.trace("nothing")
    logger.success("done")
    logger.error("a {x}", x=1)
    event = watching.event()
    assert event["logentry"] == {"message": "a 1", "formatted": "a 1", "params": []}
    assert (event["level"], event["logger"]) == ("error", __name__)
    (crumb,) = event["breadcrumbs"]["values"]
    assert (crumb["message"], crumb["level"], crumb["category"]) == ("done", "info", __name__)
    logger.critical("c")
    assert watching.events[1]["level"] == "fatal"


@pytest.mark.parametrize(
    "after", [lambda one: one.remove(), lambda one: one.configure(handlers=[{"sink": lambda m: None}])]
)
def test_sinks_removed_by_the_program_do_not_end_it(watching, logger, after) -> None:
    after(logger)
    logger.error("still")
    assert watching.event()["logentry"]["message"] == "still"


def test_exception_and_extra(watching, logger) -> None:
    try:
        1 / 0
    except ZeroDivisionError:
        logger.bind(user=1).exception("failed")
    event = watching.event()
    assert main_exception(event)["mechanism"] == {"type": "logging", "handled": True}
    assert event["extra"]["user"] == 1


def test_traceback_that_is_logged_as_a_text_is_the_exception_at_hand(watching, logger) -> None:
    import traceback

    try:
        1 / 0
    except ZeroDivisionError:
        logger.error("failed: {}", traceback.format_exc())
    assert main_exception(watching.event())["type"] == "ZeroDivisionError"


def test_records_of_logging_handed_over_are_one_event(watching, logger) -> None:
    class InterceptHandler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            logger.opt(depth=6, exception=record.exc_info).log(record.levelname, record.getMessage())

    log = logging.getLogger("handed.over")
    handler = InterceptHandler()
    log.addHandler(handler)
    try:
        log.error("once")
    finally:
        log.removeHandler(handler)
    assert watching.event()["logger"] == "handed.over"


def test_logging_in_our_own_hooks_neither_recurses_nor_deadlocks(watching, logger) -> None:
    seen = []

    def before_send(event, hint):
        logger.error("from before_send")
        seen.append(event)

    watching("loguru", before_send=before_send)
    logger.error("x")
    assert {e["logentry"]["message"] for e in seen} == {"x"}


def test_ignored_and_switched_off(watching, logger) -> None:
    errtrack.ignore_logger(__name__)
    logger.error("ignored")
    errtrack.unignore_logger(__name__)
    watching(disable=["loguru"])
    logger.error("off")
    assert watching.events == []


def test_a_program_under_the_launcher(sandbox) -> None:
    code = "from loguru import logger\nimport sys\nlogger.remove()\nlogger.add(sys.stderr, format='{message}')\nlogger.error('x')\n"
    bare = sandbox.python(code, launched=False)
    watched = sandbox.python(code)
    assert (watched.stdout, watched.stderr) == (bare.stdout, bare.stderr) == ("", "x\n")
    assert sandbox.event()["logentry"]["message"] == "x"
    assert "loguru" in sys.modules


def test_a_secret_that_was_filled_into_the_text_is_filtered_there(watching, logger) -> None:
    logger.info("login of {user} with {password}", user="ann", password="hunter2")
    logger.error("login of {user} with {password}", user="ann", password="hunter2")
    event = watching.event()
    assert event["logentry"]["formatted"] == "login of ann with [Filtered]"
    assert event["breadcrumbs"]["values"][0]["message"] == "login of ann with [Filtered]"
    assert event["extra"]["password"] == "[Filtered]"
