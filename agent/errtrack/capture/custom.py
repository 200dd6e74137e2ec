# SPDX-License-Identifier: MIT
"""The user's own way of describing objects: the option ``custom_repr``.

Only with it is code of the application run to describe a value. A failure, or None, leaves
the value to be described as ever.
"""

from __future__ import annotations

from errtrack import guard
from errtrack.capture.shapes import exact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Optional

    Custom = Callable[[Any], Optional[str]]


def custom_of(place: Any) -> Custom:
    """What ``custom_repr`` names as a function that never raises."""
    known = _known.get(id(place))
    if known is None:
        known = _known[id(place)] = _Guarded(place)
    return known


class _Guarded:
    __slots__ = ("_hook", "_place")

    def __init__(self, place: Any) -> None:
        from errtrack.hooks import IGNORED, Hook

        self._place = place  # so that its address stays its own
        self._hook = Hook("custom_repr", place, IGNORED)

    def __call__(self, value: Any) -> str | None:
        try:
            answer = self._hook(value)
        except Exception as error:  # told by the hook
            guard.pass_on(error)
            guard.debug("custom_repr: %s" % type(error).__name__)
            return None
        text = exact(answer)
        return text[:10_000] if text is not None else None


_known: dict[int, _Guarded] = {}
