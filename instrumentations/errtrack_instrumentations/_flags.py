# SPDX-License-Identifier: MIT
"""What every provider of feature flags does with an evaluation."""

from __future__ import annotations

import errtrack
from errtrack import guard, options
from errtrack.instrumentation import active

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def note(name: str, flag: Any, value: Any) -> None:
    """Keep what *flag* was evaluated to; called by the hooks of providers, into which nothing is ever raised.

    *name* is the instrumentation that saw it, which may have been switched off since it registered its hook.
    """
    try:
        if name not in active or not isinstance(flag, str):
            return
        if isinstance(value, bool) or (
            options.current().flags_all_types and isinstance(value, (str, int, float))
        ):
            errtrack.add_feature_flag(flag, value)
    except Exception as error:
        guard.fault(name, error)
