# SPDX-License-Identifier: MIT
"""The user's own functions: ``before_send`` and the like, given as a callable or as ``package.module:function``.

They are imported at their first use, not at boot: the application's path and settings are not ready before. They
exist to protect data, so they fail closed: a hook that cannot be imported or that raises drops the item, and says
so in one line, once.
"""

from __future__ import annotations

from errtrack import guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class HookFailed(Exception):
    """The hook could not be imported, or raised; the item is dropped."""


class Hook:
    """A user's function with the name of the option that it came from."""

    __slots__ = ("_function", "_told", "_where", "name")

    def __init__(self, name: str, value: Any) -> None:
        self.name = name
        self._where = value if isinstance(value, str) else ""
        self._function = value if callable(value) else None
        self._told = False

    def __bool__(self) -> bool:
        return bool(self._where) or self._function is not None

    def __call__(self, item: Any, hint: dict[str, Any]) -> Any:
        """Call the function; raises :class:`HookFailed`."""
        try:
            function = self._function
            if function is None:
                function = self._function = _load(self._where)
            return function(item, hint)
        except Exception as error:
            if not self._told:
                self._told = True
                guard.tell(
                    "%s failed (%s: %s); what it was asked about is dropped; mend it or unset %s"
                    % (self.name, type(error).__name__, _short(error), self.name)
                )
            raise HookFailed(self.name) from error


def _load(where: str) -> Any:
    module, colon, path = where.partition(":")
    if not colon:
        module, _, path = where.rpartition(".")
    found: Any = __import__(module, fromlist=["*"])
    for part in path.split("."):
        found = getattr(found, part)
    if not callable(found):
        raise TypeError("%s is not callable" % where)
    return found


def _short(error: Exception) -> str:
    try:
        return str(error)[:200]
    except Exception:
        return "?"
