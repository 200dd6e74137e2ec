# SPDX-License-Identifier: MIT
"""What logging libraries share: a log line as a breadcrumb, and as an event."""

from __future__ import annotations

import sys

import errtrack
from errtrack import guard, loggers

from . import _breadcrumbs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

#: Of these, making text runs nothing of the program's, and a breadcrumb that holds them keeps nothing alive.
PLAIN = frozenset((str, int, float, bool, type(None)))


def breadcrumb(
    name: str, levelno: int, template: str, args: tuple[Any, ...], created: float
) -> dict[str, Any]:
    """A log line as a breadcrumb; its *args* are all :data:`PLAIN`."""
    try:
        text = template % args if args else template
    except Exception as error:  # they do not fit, which the program has been told
        guard.pass_on(error)
        text = template
    return {
        "type": "log",
        "level": loggers.protocol_level(levelno),
        "category": name,
        "message": text,
        "timestamp": created,
    }


def without_secrets(text: str, extra: dict[str, Any]) -> str:
    """*text* without what of *extra* is a secret by its name: it may have been filled into the template."""
    from . import _outgoing

    is_secret = _outgoing.settings().scrubber.key_is_sensitive
    for key, value in extra.items():
        if type(value) is str and len(value) > 3 and value in text and type(key) is str and is_secret(key):
            text = text.replace(value, "[Filtered]")
    return text


def told_in(text: str) -> Any:
    """The exception at hand, if *text* has its traceback, as of ``log.error(traceback.format_exc())``; else None."""
    if "Traceback (most recent call last)" not in text:
        return None
    info = sys.exc_info()
    return info if info[0] is not None and info[0].__name__ in text else None


def note(name: str, levelno: int, text: str, created: float, extra: dict[str, Any], record: Any) -> None:
    """Keep a log line as a breadcrumb; of *extra*, what is no plain value is named by its type."""
    crumb = breadcrumb(name, levelno, text, (), created)
    if extra:
        crumb["data"] = {k: v if type(v) in PLAIN else str(type(v)) for k, v in extra.items()}
    _breadcrumbs.keep(crumb, {"log_record": record})


def report(
    name: str,
    levelno: int,
    entry: dict[str, Any],
    extra: dict[str, Any],
    info: Any,
    record: Any,
    frame: FrameType | None = None,
) -> None:
    """Report a log line: *entry* is the event's ``logentry``, *info* a tuple with the exception, or anything else."""
    level = loggers.protocol_level(levelno)
    scope = errtrack.Scope()
    if isinstance(extra.get("tags"), dict):
        scope.set_tags(extra.pop("tags"))
    scope.set_extras(extra)

    def describe(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
        event["logger"] = name
        event["logentry"] = entry
        return event

    describe.touches_frames = False  # type: ignore[attr-defined]
    scope.add_event_processor(describe)
    hint = {"log_record": record}
    if isinstance(info, tuple) and len(info) == 3 and isinstance(info[1], BaseException):
        error, tb = info[1:]
        errtrack.report_exception(error, "logging", handled=True, level=level, tb=tb, scope=scope, hint=hint)
    else:
        errtrack.report_message(entry["message"], level, scope=scope, hint=hint, frame=frame)
