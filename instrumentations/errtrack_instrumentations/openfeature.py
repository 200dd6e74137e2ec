# SPDX-License-Identifier: MIT
"""Flags evaluated through OpenFeature are on the events that follow, whoever provides them.

Where an evaluation fails, it is the default that is noted: it is what the application goes on with.
"""

from __future__ import annotations

from errtrack.instrumentation import Call, Instrumentation, OnImport, Patch

from . import _flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from errtrack.instrumentation import Advice

#: The module that keeps the hooks of the process, and ours, once there is one.
_kept: dict[str, Any] = {}


def install(module: ModuleType) -> None:
    """openfeature.hook has been loaded: register a hook of its kind, for all clients."""
    known: Any = module

    # `before` is not overridden: whatever fails in it turns the evaluation into its default.
    class FlagHook(known.Hook):  # type: ignore[misc]
        def after(self, hook_context: Any, details: Any, hints: Any) -> None:
            _flags.note("openfeature", details.flag_key, details.value)

        def error(self, hook_context: Any, exception: Any, hints: Any) -> None:
            _flags.note("openfeature", hook_context.flag_key, hook_context.default_value)

    _kept["module"], _kept["hook"] = known, FlagHook()
    add()


def add() -> None:
    """Put our hook among those of the process."""
    known, hook = _kept["module"], _kept["hook"]
    if hook not in known.get_hooks():
        known.add_hooks([hook])


def keep(call: Call) -> Advice:
    """clear_hooks()"""
    yield
    add()


INSTRUMENTATION = Instrumentation(
    "openfeature",
    supports=">=0.7.1",
    distribution="openfeature-sdk",
    patches=[
        Patch("openfeature.hook", "clear_hooks", keep),
        Patch("openfeature.api", "clear_hooks", keep),
    ],
    on_import=[OnImport("openfeature.hook", install)],
)
