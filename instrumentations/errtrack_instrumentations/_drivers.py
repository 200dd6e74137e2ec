# SPDX-License-Identifier: MIT
"""What database drivers share: below Django or SQLAlchemy they say nothing, and classes of C can be watched."""

from __future__ import annotations

from errtrack import guard

from . import _queries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def is_told(args: Any) -> bool:
    """Whether a statement is none of the driver's business: a layer above tells it, or it is our own."""
    return _queries.is_told.get() or guard.is_inside()


def tracked(base: Any, methods: dict[str, Any], known: dict[Any, Any]) -> Any:
    """A subclass of *base*, a class of C, with *methods* in place of its own; *base* itself where none can be made.

    *known* keeps what was made already. The subclass looks like its base to whoever asks for its name.
    """
    made = known.get(base)
    if made is None:
        try:
            names = {
                "__module__": base.__module__,
                "__qualname__": base.__qualname__,
                "__doc__": base.__doc__,
            }
            made = type(base.__name__, (base,), {**names, **methods})
        except TypeError:  # no class at all, or one that wants no children
            made = base
        known[base] = known[made] = made
    return made
