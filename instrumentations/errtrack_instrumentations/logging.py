# SPDX-License-Identifier: MIT
"""What the program logs: breadcrumbs from INFO on, events from ERROR on, with the exception where one was logged.

Every logger is seen, whatever its handlers and whether it propagates; filters of loggers and handlers come first. No
handler is added. ``logging.level`` and ``logging.event_level`` move the thresholds, ``errtrack.ignore_logger()`` and
``logging.ignore_loggers`` leave loggers out.
"""

from __future__ import annotations

from errtrack import guard, loggers, options
from errtrack.instrumentation import Instrumentation, OnImport, Patch

from ._late import _breadcrumbs, _logs, _records

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from errtrack.context.merge import Kept

_LEVELS = frozenset((10, 20, 30, 40, 50))  # of which the protocol has the names

_PLAIN: frozenset[Any] = frozenset()
_FEWEST = 0

_seen: Any = None  # the options that the next ones were read from
_least = 0.0  # the level below which records are none of our business
_event = 0.0  # the one from which on they are events
# How many breadcrumbs are kept of lines as they come; 0: none, or a hook wants to see each finished.
_crumbs = 0
_keep: Callable[[Kept, int], None] | None = None


def watch(logger: Any, record: Any) -> None:
    """Logger.callHandlers(self, record)

    Most lines are only breadcrumbs, and no event ever asks for them: those are kept as they came.
    """
    if options._current.get("options") is not _seen or _seen is None:
        _read_options()
    level = record.levelno
    if level < _least or (guard.inside and guard.is_inside()):
        return
    name = record.name
    if level < _event and _crumbs:
        ignored = loggers.answers.get(name)
        if ignored or (ignored is None and loggers.is_ignored(name)):
            return
        message, args = record.msg, record.args
        if type(message) is str and type(args) is tuple and level in _LEVELS:
            for arg in args:
                if type(arg) not in _PLAIN:
                    break
            else:
                if len(record.__dict__) <= _FEWEST or not _records.has_extra(record.__dict__):
                    line = (_logs.breadcrumb, name, level, message, args, record.created)
                    (_keep or _load())(line, _crumbs)
                    return
    uses = loggers.uses("logging", name, level)
    if uses >= loggers.EVENT and not loggers.is_covered(record):
        _records.capture(record)  # before the breadcrumb: an event does not list itself
    if uses & loggers.CRUMB:
        _logs.note(name, level, _records.text_of(record), record.created, _records.extra_of(record), record)


def _load() -> Callable[[Kept, int], None]:
    global _keep
    _keep = kept = _breadcrumbs.load()
    return kept


def _read_options() -> None:
    global _seen, _least, _event, _crumbs, _PLAIN, _FEWEST
    now = options.current()
    _least, crumb, _event = loggers.thresholds("logging")
    _crumbs = max(0, _breadcrumbs.most()) if crumb <= _least else 0
    _PLAIN, _FEWEST = _logs.PLAIN, _records.FEWEST
    _seen = now


def hide(logging: ModuleType) -> None:
    """Count our frame as one of logging's own, which it looks past for a caller and in its report of a failing handler.

    It says that it lies where the function lies that it stands for: tools such as ``trace`` read the files of all code.
    """
    function = vars(logging.Logger)["callHandlers"]
    place = function.__wrapped__.__code__
    function.__code__ = function.__code__.replace(
        co_filename=place.co_filename, co_firstlineno=place.co_firstlineno, co_name=place.co_name
    )


INSTRUMENTATION = Instrumentation(
    "logging",
    # After the call, also where a handler raises: that does not lose the event.
    patches=[Patch("logging", "Logger.callHandlers", watch, after=True)],
    on_import=[OnImport("logging", hide)],
)
