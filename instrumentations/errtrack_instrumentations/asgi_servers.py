# SPDX-License-Identifier: MIT
"""Whatever ASGI application a server runs, its failed requests and websocket connections are reported.

The application is taken at the door of the server, with no framework known: uvicorn, hypercorn, daphne. A failing
start-up or shutdown (``lifespan``) is reported as well. Clients that go away are no errors.
"""

from __future__ import annotations

from errtrack.instrumentation import Call, Instrumentation, Patch

from . import _asgi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from errtrack.instrumentation import Advice


def watch_loaded_app(call: Call) -> Advice:
    """Config.load(self), after which ``loaded_app`` is an ASGI-3 application, whatever was given"""
    yield
    config = call.args[0]
    config.loaded_app = _asgi.watch(config.loaded_app)


def watch_given_app(call: Call) -> Advice:
    """ASGIWrapper.__init__(self, app), Server.__init__(self, application, ...)"""
    name = "app" if "app" in call.kwargs else "application"
    call.replace(1, name, _asgi.watch(call.get(1, name)))
    yield


INSTRUMENTATION = Instrumentation(
    "asgi_servers",
    patches=[
        Patch("uvicorn.config", "Config.load", watch_loaded_app),
        Patch("hypercorn.app_wrappers", "ASGIWrapper.__init__", watch_given_app),
        Patch("daphne.server", "Server.__init__", watch_given_app),
    ],
)
