# SPDX-License-Identifier: MIT
"""Greenlets that die of an exception are reported: gevent tells nobody but its stderr.

An error that somebody takes with ``get()`` afterwards is the same failure and no second event.
"""

from __future__ import annotations

import errtrack
from errtrack.instrumentation import Call, Instrumentation, Patch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from errtrack.instrumentation import Advice


def report(call: Call) -> Advice:
    """Hub.handle_error(self, context, type, value, tb), in the greenlet that failed"""
    hub, error = call.args[0], call.get(3, "value")
    ends = (*getattr(hub, "NOT_ERROR", ()), SystemExit, KeyboardInterrupt)
    if isinstance(error, BaseException) and not isinstance(error, ends):
        errtrack.report_exception(error, "gevent", tb=call.get(4, "tb"))
    yield


INSTRUMENTATION = Instrumentation("gevent", patches=[Patch("gevent.hub", "Hub.handle_error", report)])
