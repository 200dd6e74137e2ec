# SPDX-License-Identifier: MIT
"""A list of which only a part was kept, and how long it was; events tell of that in ``_meta``."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any


class Shortened(list):  # type: ignore[type-arg] # Any is there for checkers alone
    """The items *kept* of a list that had *whole*."""

    __slots__ = ("whole",)

    def __init__(self, kept: Iterable[Any], whole: int) -> None:
        super().__init__(kept)
        self.whole = whole
