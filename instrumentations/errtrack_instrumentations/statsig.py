# SPDX-License-Identifier: MIT
"""Gates that Statsig checks are on the events that follow: of ``statsig`` and of ``statsig-python-core``.

Configurations, experiments and layers are no flags, and are left out.
"""

from __future__ import annotations

from errtrack.instrumentation import Call, Instrumentation, Patch

from . import _flags

TYPE_CHECKING = False
if TYPE_CHECKING:
    from errtrack.instrumentation import Advice


def note_gate(call: Call) -> Advice:
    """StatsigServer.check_gate(self, user, gate_name, log_exposure=True) -> bool

    ``get_feature_gate``, which it calls, returns a FeatureGate, or False for no name at all.
    """
    gate = yield
    _flags.note("statsig", call.get(2, "gate_name"), getattr(gate, "value", gate))


def note_core_gate(call: Call) -> Advice:
    """Statsig.check_gate(self, user, name, options=None) -> bool"""
    gate = yield
    _flags.note("statsig", call.get(2, "name"), getattr(gate, "value", gate))


INSTRUMENTATION = Instrumentation(
    "statsig",
    supports=">=0.55.3",
    patches=[
        # Where they are defined: whatever was imported from the package before, comes through here.
        Patch("statsig.statsig_server", "StatsigServer.check_gate", note_gate),
        Patch("statsig.statsig_server", "StatsigServer.get_feature_gate", note_gate),
        Patch("statsig_python_core.statsig", "Statsig.check_gate", note_core_gate),
        Patch("statsig_python_core.statsig", "Statsig.get_feature_gate", note_core_gate),
    ],
)
