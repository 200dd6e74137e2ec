# SPDX-License-Identifier: MIT
"""Breadcrumbs without the client: a program that logs and never fails does not load it for them.

Only ``before_breadcrumb`` needs it. :func:`note` is ``errtrack.add_breadcrumb`` for instrumentations.
"""

from __future__ import annotations

import errtrack
from errtrack import guard, options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from errtrack.context.scope import Scope
    from errtrack.options import Options

_settings: Options | None = None
_most = 0  # breadcrumbs that are kept; less than none: the client decides
_scope_in_hand: Callable[[], Scope] | None = None


def note(crumb: dict[str, Any], hint: dict[str, Any] | None = None) -> None:
    """Keep *crumb*, a new dict, on the scope in hand; *hint* is what ``before_breadcrumb`` gets beside it."""
    if not guard.is_inside():
        keep(crumb, hint)


def keep(crumb: dict[str, Any], hint: dict[str, Any] | None = None) -> None:
    """As :func:`note`, for those who know already that this is not our own work."""
    global _settings, _most
    now = options.current()
    if now is not _settings:  # reading an option costs more than all the rest
        _settings, _most = now, -1 if now.before_breadcrumb is not None else now.max_breadcrumbs
    if _most > 0:
        (_scope_in_hand or _load())().add_breadcrumb(crumb, _most)
    elif _most:
        errtrack.add_breadcrumb(crumb, hint)


def _load() -> Callable[[], Scope]:
    global _scope_in_hand
    with guard.Inside():  # a finaliser that logs may come in between, and shall not import the same again
        from errtrack.context.scope import get_isolation_scope

    _scope_in_hand = get_isolation_scope
    return get_isolation_scope
