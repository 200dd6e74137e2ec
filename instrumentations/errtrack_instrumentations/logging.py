# SPDX-License-Identifier: MIT
"""What the program logs: breadcrumbs from INFO on, events from ERROR on, with the exception where one was logged.

Every logger is seen, whatever its handlers and whether it propagates; filters of loggers and handlers come first. No
handler is added. ``logging.level`` and ``logging.event_level`` move the thresholds, ``errtrack.ignore_logger()`` and
``logging.ignore_loggers`` leave loggers out.
"""

from __future__ import annotations

import os
import sys

from errtrack import guard, loggers, options
from errtrack.instrumentation import Instrumentation, OnImport, Patch

from . import _logs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, ModuleType
    from typing import Any

# What a record holds by itself; message and asctime are put there by formatters, taskName from Python 3.12 on.
_OWN = frozenset((
    "args", "asctime", "created", "exc_info", "exc_text", "filename", "funcName", "levelname", "levelno", "lineno",
    "message", "module", "msecs", "msg", "name", "pathname", "process", "processName", "relativeCreated",
    "stack_info", "taskName", "thread", "threadName",
))  # fmt: skip
_PLAIN = _logs.PLAIN
_FEWEST = len(_OWN) - (2 if sys.version_info >= (3, 12) else 3)


def watch(args: Any, kwargs: Any) -> None:
    """Logger.callHandlers(self, record)"""
    record = args[1] if len(args) > 1 else kwargs["record"]
    uses = loggers.uses("logging", record.name, record.levelno)
    if uses:
        if uses >= loggers.EVENT and not loggers.is_covered(record):
            capture(record)  # before the breadcrumb: an event does not list itself
        if uses & loggers.CRUMB:
            _logs.note(record.name, record.levelno, text_of(record), record.created, extra_of(record), record)


def capture(record: Any) -> None:
    """Report *record* as an event."""
    text = text_of(record)
    message, params = record.msg, record.args
    if type(message) is not str or (record.name == "py.warnings" and message == "%s"):
        # What is no template groups by its text; warnings came as an argument up to Python 3.10.
        message, params = text, None
    entry = {"message": message, "formatted": text, "params": params or []}
    with_stack = record.exc_info or record.stack_info or options.current().attach_stacktrace
    frame = caller() if with_stack else None
    _logs.report(record.name, record.levelno, entry, extra_of(record), record.exc_info, record, frame)


def text_of(record: Any) -> str:
    """The message with its arguments; as it stands where they do not fit, which the program has been told."""
    message, args = record.msg, record.args
    try:
        if not args and type(message) is str:
            return message
        if type(message) is str and type(args) is tuple:
            for arg in args:
                if type(arg) not in _PLAIN:
                    break
            else:
                return message % args
        with guard.Inside():  # what a __str__ logs that is called for our sake is not the program's doing
            return str(record.getMessage())
    except Exception:
        return message if type(message) is str else str(type(message))


def extra_of(record: Any) -> dict[str, Any]:
    """What the program put on *record*, and the name of a level of its own."""
    held = record.__dict__
    extra: dict[str, Any] = {}
    if len(held) > _FEWEST and len(held) - ("message" in held) - ("asctime" in held) > _FEWEST:
        extra = {str(k): held[k] for k in held.keys() - _OWN if str(k)[:1] != "_"}
    if record.levelno % 10:
        extra["level_name"] = record.levelname
    return extra


def caller() -> FrameType | None:
    """The innermost frame outside of logging."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(("logging", "errtrack")):
        frame = frame.f_back
    return frame


def hide(logging: ModuleType) -> None:
    """Count our frame among those of logging's own folder, which its report of a failing handler leaves out."""
    function = vars(logging.Logger)["callHandlers"]
    folder = os.path.dirname(logging.__file__ or "")
    function.__code__ = function.__code__.replace(co_filename=os.path.join(folder, "errtrack"))


INSTRUMENTATION = Instrumentation(
    "logging",
    # After the call, also where a handler raises: that does not lose the event.
    patches=[Patch("logging", "Logger.callHandlers", watch, after=True)],
    on_import=[OnImport("logging", hide)],
)
