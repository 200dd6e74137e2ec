# SPDX-License-Identifier: MIT
"""Starlette's templates can put ``{{ sentry_trace_meta }}`` in their head, which carries the trace on to the browser.

It is a global of the Jinja2 environment, as Starlette's own ``url_for`` is: a context that has the name keeps its own.
"""

from __future__ import annotations

from errtrack.instrumentation import Call, Instrumentation, Patch

from ._late import _trace_meta

TYPE_CHECKING = False
if TYPE_CHECKING:
    from errtrack.instrumentation import Advice


def offer(call: Call) -> Advice:
    """Jinja2Templates.__init__(self, directory=None, *, context_processors=None, env=None)"""
    yield
    call.args[0].env.globals.setdefault(_trace_meta.NAME, _trace_meta.for_jinja)


INSTRUMENTATION = Instrumentation(
    "starlette_templates",
    supports=">=0.16",
    distribution="starlette",
    patches=[Patch("starlette.templating", "Jinja2Templates.__init__", offer)],
)
