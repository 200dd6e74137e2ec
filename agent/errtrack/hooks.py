# SPDX-License-Identifier: MIT
"""The user's own functions: ``before_send`` and the like, given as a callable or as ``package.module:function``.

They are imported at their first use, not at boot: the application's path and settings are not ready before. Those
that filter exist to protect data, so they fail closed: a hook that cannot be imported or that raises drops the
item. Those that choose or describe fail open: the event is kept, the value is described as ever. Either way it is
said in one line, once a minute at most.
"""

from __future__ import annotations

from time import monotonic

from errtrack import guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Seconds between two lines about the same hook.
TELL_EVERY = 60.0

DROPPED = "what it was asked about is dropped"
IGNORED = "errtrack goes on without it"


class HookFailed(Exception):
    """The hook could not be imported, or raised; the caller decides what becomes of the item."""


class Hook:
    """A user's function with the name of the option that it came from, and *outcome*: what its failure means."""

    __slots__ = ("_function", "_outcome", "_told_at", "_where", "name")

    #: For those who have a hook, and import this module for none.
    Failed = HookFailed

    def __init__(self, name: str, value: Any, outcome: str = DROPPED) -> None:
        self.name = name
        self._where = value if isinstance(value, str) else ""
        self._function = value if callable(value) else None
        self._outcome = outcome
        self._told_at = -TELL_EVERY

    def __bool__(self) -> bool:
        return bool(self._where) or self._function is not None

    def __call__(self, *arguments: Any) -> Any:
        """Call the function; raises :class:`HookFailed`."""
        try:
            function = self._function
            if function is None:
                function = self._function = _load(self._where)
            return function(*arguments)
        except Exception as error:
            guard.pass_on(error)
            self.complain("%s: %s" % (type(error).__name__, _short(error)))
            raise HookFailed(self.name) from error

    def complain(self, reason: str) -> None:
        """Tell that the function failed, and why, unless that was told just now."""
        now = monotonic()
        if now - self._told_at >= TELL_EVERY:
            self._told_at = now
            guard.tell(
                "%s failed (%s); %s; mend it or unset %s" % (self.name, reason, self._outcome, self.name)
            )


def processors(places: Any) -> tuple[Hook, ...]:
    """The event processors of the option ``processors``; a class is called once, for an instance of it."""
    return tuple(Hook("processors", place) for place in places)


def _load(where: str) -> Any:
    module, colon, path = where.partition(":")
    if not colon:
        module, _, path = where.rpartition(".")
    found: Any = __import__(module, fromlist=["*"])
    for part in path.split("."):
        found = getattr(found, part)
    if isinstance(found, type):
        found = found()
    if not callable(found):
        raise TypeError("%s is not callable" % where)
    return found


def _short(error: Exception) -> str:
    try:
        return str(error)[:200]
    except Exception:
        return "?"
