# SPDX-License-Identifier: MIT
"""Which log records become breadcrumbs and events: thresholds, and loggers that are left out.

``errtrack.ignore_logger("noisy.*")`` in code, or ``logging.ignore_loggers`` in the settings. Asked for every record
that a program logs, so the answer is two comparisons and a dictionary lookup.
"""

from __future__ import annotations

from errtrack import guard, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from errtrack.options import Options

#: What :func:`uses` answers, added up.
CRUMB = 1
EVENT = 2

#: Another error tracker's own log lines; ours are never logged.
_BUILT_IN = ("sentry_sdk.errors",)
_MOST_REMEMBERED = 2000

_named: set[str] = set(_BUILT_IN)
#: What :func:`is_ignored` has answered.
answers: dict[str, bool] = {}
_thresholds: dict[str, tuple[Options, tuple[float, float, float]]] = {}
_covered: dict[tuple[str, str], Callable[[Any], bool]] = {}


def ignore(name: str) -> None:
    """Leave the records of the logger *name* out, as breadcrumbs and as events; ``*``, ``?``, ``[...]`` match."""
    _named.add(name.strip())
    answers.clear()


def unignore(name: str) -> None:
    """Take back what :func:`ignore` was told."""
    _named.discard(name.strip())
    answers.clear()


def is_ignored(name: str) -> bool:
    """Whether records of the logger *name* are left out."""
    known = answers.get(name)
    if known is None:
        if len(answers) >= _MOST_REMEMBERED:
            answers.clear()
        known = answers[name] = _matches(name.strip())
    return known


def uses(kind: str, name: Any, levelno: float) -> int:
    """What a record of *levelno* is for: :data:`CRUMB` + :data:`EVENT`; *kind* is the options' prefix."""
    least, crumb, event = thresholds(kind)
    if levelno < least or (guard.inside and guard.is_inside()):
        return 0
    ignored = answers.get(name)
    if is_ignored(name) if ignored is None else ignored:
        return 0
    return (CRUMB if levelno >= crumb else 0) + (EVENT if levelno >= event else 0)


def cover(name: str, template: str, is_reported: Callable[[Any], bool]) -> None:
    """Say that an instrumentation reports by itself what the logger *name* tells by *template*, in those records
    for which *is_reported* answers true: they are breadcrumbs, and no events. A traceback may follow on further lines.
    """
    _covered[(name, template)] = is_reported


def is_covered(record: Any) -> bool:
    """Whether an instrumentation has reported, or will report, what *record* tells."""
    if not _covered or type(record.msg) is not str:
        return False
    is_reported = _covered.get((record.name, record.msg.partition("\n")[0]))
    if is_reported is None:
        return False
    try:
        return is_reported(record)
    except Exception:  # other arguments than we know; better twice than never
        return False


def protocol_level(levelno: float) -> str:
    """The protocol's name for a level: a custom number is rounded down."""
    if levelno >= 40:
        return "fatal" if levelno >= 50 else "error"
    if levelno >= 20:
        return "warning" if levelno >= 30 else "info"
    return "debug"


def _matches(name: str) -> bool:
    patterns = _named.union(options.current().logging_ignore_loggers)
    if name in patterns:
        return True
    patterns = {pattern for pattern in patterns if any(sign in pattern for sign in "*?[")}
    if not patterns:
        return False
    from fnmatch import fnmatchcase

    return any(fnmatchcase(name, pattern) for pattern in patterns)


def thresholds(kind: str) -> tuple[float, float, float]:
    """The lowest level that is of use, that of breadcrumbs and that of events; *kind* is the options' prefix."""
    now = options.current()
    found = _thresholds.get(kind)
    if found is None or found[0] is not now:
        crumb, event = (
            options.level_number(getattr(now, "%s_%s" % (kind, which))) for which in ("level", "event_level")
        )
        found = _thresholds[kind] = (now, (min(crumb, event), crumb, event))
        answers.clear()
    return found[1]
