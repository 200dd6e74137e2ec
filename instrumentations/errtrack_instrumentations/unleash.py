# SPDX-License-Identifier: MIT
"""Toggles that Unleash evaluates are on the events that follow, those that fell back to a default included."""

from __future__ import annotations

from errtrack.instrumentation import Call, Instrumentation, Patch

from . import _flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from errtrack.instrumentation import Advice


def note_toggle(call: Call) -> Advice:
    """UnleashClient.is_enabled(self, feature_name, context=None, fallback_function=None) -> bool"""
    enabled = yield
    _flags.note("unleash", call.get(1, "feature_name"), enabled)


INSTRUMENTATION = Instrumentation(
    "unleash",
    supports=">=6.0",
    distribution="UnleashClient",
    patches=[
        Patch("UnleashClient", "UnleashClient.is_enabled", note_toggle),
        Patch("UnleashClient.clients.unleash_client", "UnleashClient.is_enabled", note_toggle),
        Patch("UnleashClient.clients.async_unleash_client", "AsyncUnleashClient.is_enabled", note_toggle),
    ],
)
