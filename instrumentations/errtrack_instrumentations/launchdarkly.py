# SPDX-License-Identifier: MIT
"""Flags that LaunchDarkly evaluates are on the events that follow, whichever client did it, async ones included.

A hook of LaunchDarkly's own kind is registered with each client as it is made, and again after ``postfork()``.
"""

from __future__ import annotations

from errtrack.instrumentation import Call, Instrumentation, OnImport, Patch

from . import _flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from errtrack.instrumentation import Advice

#: One hook for all clients of a kind; their classes can be made once LaunchDarkly's are there.
_hooks: dict[str, Any] = {}


def watch(call: Call) -> Advice:
    """LDClient.__init__(self, config, start_wait=5), LDClient.postfork(self, start_wait=5)"""
    yield
    client, hook = call.args[0], _hooks.get("Hook")
    # Up to 9.11 or so clients share the list of their Config, which may be used again.
    if hook is not None and hook not in vars(client).get("_LDClient__hooks", ()):
        client.add_hook(hook)


def watch_async(call: Call) -> Advice:
    """AsyncLDClient.__init__(self, config)"""
    yield
    # From 9.20 on it takes the hooks of the other client.
    hook = _hooks.get("AsyncHook") or _hooks.get("Hook")
    if hook is not None:
        call.args[0].add_hook(hook)


def make_hooks(module: ModuleType) -> None:
    """ldclient.hook has been loaded: clients take nothing but objects of its classes (before 9.4 there is none)."""
    known: Any = module
    named = known.Metadata("errtrack")

    class FlagHook(known.Hook):  # type: ignore[misc]
        metadata = named

        def before_evaluation(self, series_context: Any, data: Any) -> Any:
            return data

        def after_evaluation(self, series_context: Any, data: Any, detail: Any) -> Any:
            _flags.note("launchdarkly", series_context.key, detail.value)
            return data

    _hooks["Hook"] = FlagHook()
    if not hasattr(known, "AsyncHook"):
        return

    class AsyncFlagHook(known.AsyncHook):  # type: ignore[misc]
        metadata = named

        async def before_evaluation(self, series_context: Any, data: Any) -> Any:
            return data

        async def after_evaluation(self, series_context: Any, data: Any, detail: Any) -> Any:
            _flags.note("launchdarkly", series_context.key, detail.value)
            return data

    _hooks["AsyncHook"] = AsyncFlagHook()


INSTRUMENTATION = Instrumentation(
    "launchdarkly",
    supports=">=9.4",
    distribution="launchdarkly-server-sdk",
    patches=[
        Patch("ldclient.client", "LDClient.__init__", watch),
        Patch("ldclient.client", "LDClient.postfork", watch),
        Patch("ldclient.async_client", "AsyncLDClient.__init__", watch_async),
    ],
    on_import=[OnImport("ldclient.hook", make_hooks)],
)
