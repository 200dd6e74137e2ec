# SPDX-License-Identifier: MIT
"""What database drivers share: below Django or SQLAlchemy they say nothing, and classes of C can be watched."""

from __future__ import annotations

from errtrack import guard

from . import _queries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MADE = "_errtrack_made"

_made: dict[Any, Any] = {}


def is_told(args: Any) -> bool:
    """Whether a statement is none of the driver's business: a layer above tells it, or it is our own."""
    return _queries.is_told.get() or guard.is_inside()


def tracked(base: Any, methods: Callable[[Any], dict[str, Any]]) -> Any:
    """A subclass of *base*, a class of C, with what *methods* makes for it in place of its own; *base* where there can
    be none. It looks like its base to whoever asks for its name.

    It lies in the class that it was made of, and goes with it; only classes of C, which take nothing, are kept here.
    """
    made = _made.get(base) or vars(base).get(_MADE)
    if made is None:
        try:
            names = {
                "__module__": base.__module__,
                "__qualname__": base.__qualname__,
                "__doc__": base.__doc__,
            }
            made = type(base.__name__, (base,), {**names, **methods(base)})
            setattr(made, _MADE, made)
        except TypeError:  # it wants no children
            made = base
        try:
            setattr(base, _MADE, made)
        except TypeError:
            _made[base] = made
    return made
