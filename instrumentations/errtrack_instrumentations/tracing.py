# SPDX-License-Identifier: MIT
"""With ``traces_sample_rate`` set, requests and tasks are transactions, and named functions are spans of them.

``functions_to_trace`` names functions by their dotted path: ``shop.cart.total``, ``shop.models.Order.save``. Each of
their calls within sampled work is a span; the application's code need not know.
"""

from __future__ import annotations

import errtrack
from errtrack import options
from errtrack.context import trace
from errtrack.instrumentation import Call, Instrumentation, OnImport, Patch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from errtrack.instrumentation import Advice


class Waiting:
    """Stands in for the client's tracer until the first unit of work begins: only then the client is loaded."""

    def start(self, *args: Any, **kwargs: Any) -> Any:
        """Begin the transaction by the client's own tracer, where it has one."""
        errtrack.is_initialized()
        made: Any = trace.tracer
        if made is self:  # switched off meanwhile
            made = trace.tracer = None
        return None if made is None else made.start(*args, **kwargs)


def wait(unit: ModuleType) -> None:
    """errtrack.context.unit has been loaded: there will be units of work."""
    now = options.current()
    if trace.tracer is None and now.enabled and now.traces:
        trace.tracer = Waiting()  # type: ignore[assignment]


def spanning(name: str) -> Callable[[Call], Advice]:
    """The handler for calls of the function called *name*."""

    def span_call(call: Call) -> Advice:
        """any function"""
        parent = trace.recording()
        if parent is None:
            yield
            return
        with parent.start_child("function", name, "auto.function.errtrack"):
            yield

    return span_call


class Tracing(Instrumentation):
    """Patches beside its own table what ``functions_to_trace`` names of the module that was imported."""

    def apply(self, module_name: str, module: ModuleType) -> None:
        Instrumentation.apply(self, module_name, module)
        for name in options.current().functions_to_trace:
            if name.startswith(module_name + "."):
                path = name[len(module_name) + 1 :]
                owner: Any = vars(module).get(path.partition(".")[0])
                if "." in path and not isinstance(owner, type):
                    continue  # the rest is a module of its own
                self._patch(Patch(module_name, path, spanning(name)), module)


INSTRUMENTATION = Tracing("tracing", on_import=[OnImport("errtrack.context.unit", wait)])
