# SPDX-License-Identifier: MIT
"""Events tell on which machine of AWS or Google Cloud they happened: account, region, zone, host.

Opt-in: the provider's metadata server is asked, once, in a thread that starts at the first event. Events before
its answer go without. ``cloud_resource_context.cloud_provider`` (aws, gcp) spares the other one's timeout.
"""

from __future__ import annotations

from _thread import start_new_thread

from errtrack import guard, options
from errtrack.instrumentation import Instrumentation, OnImport

from . import _cloud

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_found: dict[str, Any] = {}


def add_context(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    """Add what has been found by now."""
    if _found:
        contexts = event.get("contexts")
        event["contexts"] = {
            "cloud_resource": dict(_found),
            **(contexts if isinstance(contexts, dict) else {}),
        }
    return event


add_context.touches_frames = False  # type: ignore[attr-defined]


def ask() -> None:
    """Ask those that come into question; what one of them knows is kept."""
    with guard.Inside():
        try:
            wanted = options.current().cloud_resource_context_cloud_provider
            for name, provider in (("aws", _cloud.ask_aws), ("gcp", _cloud.ask_gcp)):
                found = provider() if wanted in ("", name) else None
                if found:
                    _found.update(found)
                    return
        except Exception as error:
            guard.fault("cloud_resource_context", error)


def install(client: ModuleType) -> None:
    """errtrack.client has been loaded: an event is near."""
    import http.client  # noqa: F401 - here, as a fork in the middle of a thread's import would hang the child

    client.add_event_processor(add_context)
    try:
        start_new_thread(ask, ())
    except RuntimeError:  # the interpreter ends
        pass


INSTRUMENTATION = Instrumentation(
    "cloud_resource_context", opt_in=True, on_import=[OnImport("errtrack.client", install)]
)
