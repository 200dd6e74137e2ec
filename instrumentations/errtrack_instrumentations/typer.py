# SPDX-License-Identifier: MIT
"""Errors that end a Typer application are reported, with its pretty tracebacks on as well.

Those are printed by a hook of Typer's own, which never calls the ones that were there before.
"""

from __future__ import annotations

import errtrack
from errtrack.instrumentation import Call, Instrumentation, Patch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from errtrack.instrumentation import Advice


def report(call: Call) -> Advice:
    """except_hook(exc_type, exc_value, tb)"""
    error = call.get(1, "exc_value")
    if isinstance(error, BaseException) and not isinstance(error, KeyboardInterrupt):
        errtrack.report_exception(error, "typer", level="fatal", tb=call.get(2, "tb"))
    yield


INSTRUMENTATION = Instrumentation(
    "typer", supports=">=0.6", patches=[Patch("typer.main", "except_hook", report)]
)
