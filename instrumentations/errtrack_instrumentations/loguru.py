# SPDX-License-Identifier: MIT
"""What the program logs with loguru: breadcrumbs from INFO on, events from ERROR on, grouped by the message alone.

It goes on after ``logger.remove()`` and ``logger.configure()``. ``loguru.level`` and ``loguru.event_level`` move the
thresholds; ``errtrack.ignore_logger()`` takes module names. Records handed over from logging are not counted twice.
"""

from __future__ import annotations

import sys

from errtrack import guard, loggers, options
from errtrack.instrumentation import Call, Instrumentation, OnImport, Patch

from . import _logs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, ModuleType
    from typing import Any

    from errtrack.instrumentation import Advice


def watch(record: dict[str, Any]) -> bool:
    """A filter of a sink that writes nothing: called before any lock is taken, with the message made already."""
    try:
        take(record)
    except Exception as error:
        guard.fault("loguru", error)
    return False


def take(record: dict[str, Any]) -> None:
    """Keep *record* as what its level says."""
    name, levelno = record["name"] or "loguru", record["level"].no
    uses = loggers.uses("loguru", name, levelno)
    if not uses or options.current().is_disabled("loguru") or is_handed_over():
        return
    text = record["message"]
    extra = dict(record["extra"])
    if extra:
        text = _logs.without_secrets(text, extra)
    if levelno % 5:
        extra["level_name"] = record["level"].name
    if uses >= loggers.EVENT:
        found = record["exception"]
        info = tuple(found) if found is not None else _logs.told_in(text)
        entry = {"message": text, "formatted": text, "params": []}
        _logs.report(name, levelno, entry, dict(extra), info, record)
    if uses & loggers.CRUMB:
        _logs.note(name, levelno, text, record["time"].timestamp(), extra, record)


def is_handed_over() -> bool:
    """Whether a handler of logging has called loguru, as its recipe for libraries does: the record is known."""
    frame: FrameType | None = sys._getframe(2)
    for _ in range(10):
        if frame is None:
            break
        if frame.f_code.co_name == "emit":
            record = frame.f_locals.get("record")
            if any(cls.__name__ == "LogRecord" for cls in type(record).__mro__):
                return not options.current().is_disabled("logging")
        frame = frame.f_back
    return False


def add(logger: Any) -> None:
    """Put our sink among those of *logger*, which are those of the program."""
    now = options.current()
    level = min(options.level_number(now.loguru_level), options.level_number(now.loguru_event_level))
    if level < float("inf"):
        logger.add(_nowhere, level=int(level), filter=watch, format="{message}", catch=False)


def _nowhere(message: str) -> None:
    """The sink; its filter lets nothing through."""


def keep(call: Call) -> Advice:
    """Logger.remove(self, handler_id=None)"""
    yield
    if call.get(1, "handler_id") is None:
        add(call.args[0])


def install(loguru: ModuleType) -> None:
    """loguru has been loaded, and with it its one logger."""
    add(loguru.logger)


INSTRUMENTATION = Instrumentation(
    "loguru",
    supports=">=0.5",
    patches=[Patch("loguru._logger", "Logger.remove", keep)],
    on_import=[OnImport("loguru", install)],
)
