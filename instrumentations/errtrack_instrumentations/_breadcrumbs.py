# SPDX-License-Identifier: MIT
"""Breadcrumbs without the client: a program that logs and never fails does not load it for them.

Only ``before_breadcrumb`` needs it. :func:`note` is ``errtrack.add_breadcrumb`` for instrumentations.
"""

from __future__ import annotations

from time import time

import errtrack
from errtrack import guard, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from errtrack.context.merge import Kept
    from errtrack.options import Options

_settings: Options | None = None
_most = 0
#: ``keep_breadcrumb`` of the scopes, once :func:`load` has been called.
keep_now: Callable[[Kept, int], None] | None = None


def note(crumb: dict[str, Any], hint: dict[str, Any] | None = None) -> None:
    """Keep *crumb*, a new dict, on the scope in hand; *hint* is what ``before_breadcrumb`` gets beside it."""
    if not guard.is_inside():
        keep(crumb, hint)


def keep(crumb: dict[str, Any], hint: dict[str, Any] | None = None) -> None:
    """As :func:`note`, for those who know already that this is not our own work."""
    kept = most()
    if kept > 0:
        crumb.setdefault("timestamp", time())
        (keep_now or load())(crumb, kept)
    elif kept:
        errtrack.add_breadcrumb(crumb, hint)


def keep_parts(parts: tuple[Any, ...]) -> None:
    r"""As :func:`keep`, for what *parts*, (make, \*arguments), come to should an event want it, with ``timestamp``."""
    now = options._current.get("options")
    kept = _most if now is not None and now is _settings else most()
    if kept > 0:
        (keep_now or load())(parts, kept)
    elif kept:
        errtrack.add_breadcrumb(parts[0](*parts[1:]))


def most() -> int:
    """How many breadcrumbs are kept; less than none: ``before_breadcrumb`` wants to see each."""
    global _settings, _most
    now = options._current.get("options")
    if now is None or now is not _settings:  # reading an option costs more than all the rest
        now = _settings = options.current()
        _most = -1 if now.before_breadcrumb is not None else now.max_breadcrumbs
    return _most


def load() -> Callable[[Kept, int], None]:
    """``keep_breadcrumb`` of the scopes, which a program that notes none does not load."""
    global keep_now
    with guard.Inside():  # a finaliser that logs may come in between, and shall not import the same again
        from errtrack.context.scope import keep_breadcrumb

    keep_now = keep_breadcrumb
    return keep_breadcrumb
