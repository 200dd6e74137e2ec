# SPDX-License-Identifier: MIT
"""What was said of the unit of work in hand goes along into the threads and tasks that it starts.

They get forks: what they say is theirs alone. Where nothing was said yet there is nothing to carry, and scopes are not
even loaded.
"""

from __future__ import annotations

import sys

from errtrack import guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from errtrack.context.scope import entered

_SCOPES = "errtrack.context.scope"


def forked() -> entered | None:
    """Forks of the scopes in hand, to be entered elsewhere, in the same trace; None where there are none."""
    scopes = _scopes()
    if scopes is None or guard.is_inside():  # what we start ourselves is no part of the program's work
        return None
    chain = scopes.merged_scopes()
    if len(chain) == 1:
        return None
    chain[1].get_propagation()
    forks: entered = scopes.isolation_scope()
    return forks


def blank() -> entered | None:
    """Scopes that know nothing, to cover those in hand; None where there are none."""
    scopes = _scopes()
    if scopes is None or len(scopes.merged_scopes()) == 1:
        return None
    new: entered = scopes.entered(scopes.Scope())
    return new


def _scopes() -> Any:
    """The module of scopes, if it is loaded, and not by another thread just now."""
    scopes = sys.modules.get(_SCOPES)
    return scopes if hasattr(scopes, "isolation_scope") else None


def runner(context: Any) -> Callable[..., Any]:
    """``run`` of a :class:`contextvars.Context`; for anything else what calls a function where we are."""
    contexts = sys.modules.get("_contextvars")
    if contexts is not None and isinstance(context, contexts.Context):
        return context.run  # type: ignore[no-any-return]
    return call


def thread_runner(thread: Any) -> Callable[..., Any]:
    """What calls a function in the context that *thread* runs in."""
    try:
        context = getattr(thread, "_context", None)  # Python 3.14: what run() is called in
    except Exception:  # a class of the application's answers for what is not there
        context = None
    return runner(context)


def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call *function*."""
    return function(*args, **kwargs)
