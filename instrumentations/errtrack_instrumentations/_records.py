# SPDX-License-Identifier: MIT
"""What is read off a record of ``logging``: its text, what the program has put on it, and an event made of both."""

from __future__ import annotations

import sys

from errtrack import guard, options

from . import _logs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

# What a record holds by itself; message and asctime are put there by formatters, taskName from Python 3.12 on.
_OWN = frozenset((
    "args", "asctime", "created", "exc_info", "exc_text", "filename", "funcName", "levelname", "levelno", "lineno",
    "message", "module", "msecs", "msg", "name", "pathname", "process", "processName", "relativeCreated",
    "stack_info", "taskName", "thread", "threadName",
))  # fmt: skip

_FILTERED = "[Filtered]"

#: How many of these a record has at least.
FEWEST = len(_OWN) - (2 if sys.version_info >= (3, 12) else 3)


def capture(record: Any) -> None:
    """Report *record* as an event."""
    text = text_of(record)
    message, params = record.msg, record.args
    if type(message) is not str or (record.name == "py.warnings" and message == "%s"):
        # What is no template groups by its text; warnings came as an argument up to Python 3.10.
        message, params = text, None
    entry = {"message": message, "formatted": text, "params": params or []}
    info = record.exc_info or _logs.told_in(text)
    with_stack = info or record.stack_info or options.current().attach_stacktrace
    frame = caller() if with_stack else None
    _logs.report(record.name, record.levelno, entry, extra_of(record), info, record, frame)


def text_of(record: Any) -> str:
    """The message with its arguments; as it stands where they do not fit, which the program has been told."""
    message = record.msg
    try:
        if not record.args and type(message) is str:
            return message
        with guard.Inside():  # what a __str__ logs that is called for our sake is not the program's doing
            if type(record.args) is dict and type(message) is str:
                from . import _outgoing

                # The template says what is what: "%(password)s".
                is_secret = _outgoing.settings().scrubber.key_is_sensitive
                hidden = {k: _FILTERED for k in record.args if type(k) is str and is_secret(k)}
                if hidden:
                    return message % {**record.args, **hidden}
            return str(record.getMessage())
    except Exception as error:
        guard.pass_on(error)
        return message if type(message) is str else str(type(message))


def has_extra(held: dict[str, Any]) -> bool:
    """Whether a record that holds *held* has more than a record has by itself."""
    return len(held) - ("message" in held) - ("asctime" in held) > FEWEST


def extra_of(record: Any) -> dict[str, Any]:
    """What the program put on *record*, and the name of a level of its own."""
    held = record.__dict__
    extra: dict[str, Any] = {}
    if len(held) > FEWEST and has_extra(held):
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
