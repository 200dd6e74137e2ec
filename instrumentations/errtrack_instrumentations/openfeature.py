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

#: "api": the module that keeps the hooks of the process; "hook": ours.
_kept: dict[str, Any] = {}


def make_hook(module: ModuleType) -> None:
    """openfeature.hook has been loaded: hooks are objects of its classes."""
    known: Any = module

    # `before` is not overridden: whatever fails in it turns the evaluation into its default.
    class FlagHook(known.Hook):  # type: ignore[misc]
        def after(self, hook_context: Any, details: Any, hints: Any) -> None:
            _flags.note("openfeature", details.flag_key, details.value)

        def error(self, hook_context: Any, exception: Any, hints: Any) -> None:
            _flags.note("openfeature", hook_context.flag_key, hook_context.default_value)

    _kept["hook"] = FlagHook()


def install(module: ModuleType) -> None:
    """openfeature.api has been loaded: register our hook, for all clients."""
    _kept["api"] = module
    add()


def add() -> None:
    """Put our hook among those of the process."""
    api, hook = _kept.get("api"), _kept.get("hook")
    if api is not None and hook is not None and hook not in api.get_hooks():
        api.add_hooks([hook])


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
    on_import=[OnImport("openfeature.hook", make_hook), OnImport("openfeature.api", install)],
)
