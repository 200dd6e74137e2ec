# SPDX-License-Identifier: MIT
"""Whatever ASGI application a server runs, its failed requests and websocket connections are reported.

The application is taken at the door of the server, with no framework known: uvicorn, hypercorn, daphne, granian (WSGI
applications, too). A failing start-up or shutdown (``lifespan``) is reported as well. Clients that go away are no
errors. WSGI applications behind a bridge (of uvicorn, hypercorn, Starlette, asgiref) are part of the request that the
server has in hand. What was captured last is delivered before uvicorn ends by a signal.
"""

from __future__ import annotations

import sys

import errtrack
from errtrack import loggers
from errtrack.instrumentation import Call, Instrumentation, OnImport, Patch

from . import _asgi, _wsgi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from errtrack.instrumentation import Advice


def watch_loaded_app(call: Call) -> Advice:
    """Config.load(self), after which ``loaded_app`` is an ASGI-3 application, whatever was given"""
    yield
    config = call.args[0]
    config.loaded_app = _asgi.watch(config.loaded_app)


def watch_given_app(call: Call) -> Advice:
    """ASGIWrapper.__init__(self, app), Server.__init__(self, application, ...), LifespanProtocol.__init__(self, app)"""
    name = "app" if "app" in call.kwargs else "application"
    call.replace(1, name, _asgi.watch(call.get(1, name)))
    yield


def watch_called_app(call: Call) -> Advice:
    """granian.asgi: _callback_wrapper(callback, scope_opts, state, access_log_fmt=None)"""
    yield from watch_under_granian(call, _asgi)


def watch_called_wsgi_app(call: Call) -> Advice:
    """granian.wsgi: _callback_wrapper(callback, scope_opts, access_log_fmt=None)"""
    yield from watch_under_granian(call, _wsgi)


def watch_under_granian(call: Call, kind: ModuleType) -> Advice:
    """Watch the application that granian's Rust will call; what that logs of an error is no second event."""
    # What ends a program is none to us, and is logged while it is at hand: that stays an event.
    errors = (Exception, type(None))
    template = "Application callable raised an exception"
    loggers.cover("_granian.utils", template, lambda record: isinstance(sys.exc_info()[1], errors))
    call.replace(0, "callback", kind.watch(call.get(0, "callback")))
    yield


def deliver_before_the_signal(call: Call) -> Advice:
    """Server.shutdown(self, sockets=None), the last that uvicorn does before it raises a signal that it caught anew

    Since 0.29 SIGTERM ends it that way, and no callback at exit is run.
    """
    from signal import SIGTERM

    yield
    if SIGTERM in getattr(call.args[0], "_captured_signals", ()) and "errtrack.client" in sys.modules:
        errtrack.close()


def watch_bridged_app(call: Call) -> Advice:
    """WSGIMiddleware.__init__(self, app, ...), WsgiToAsgi.__init__(self, wsgi_application, ...)"""
    name = "app" if "app" in call.kwargs else "wsgi_application"
    call.replace(1, name, _wsgi.watch(call.get(1, name), is_answered=True))
    yield


def hand_record_on(call: Call) -> Advice:
    """build_environ([self,] scope, ...) -> environ"""
    environ = yield
    for asgi in call.args[:2]:
        record = asgi.get(_asgi.KEY) if type(asgi) is dict else None
        if isinstance(record, _asgi.Request):
            environ[_wsgi.KEY] = record


def cover(config: ModuleType) -> None:
    """uvicorn.config has been loaded: what it logs after a failing lifespan that was reported is no second event"""
    for when in ("startup", "shutdown"):
        template = "Application %s failed. Exiting." % when
        loggers.cover("uvicorn.error", template, lambda record: _asgi.lifespan["reported"])


INSTRUMENTATION = Instrumentation(
    "asgi_servers",
    patches=[
        Patch("uvicorn.config", "Config.load", watch_loaded_app),
        Patch("uvicorn.server", "Server.shutdown", deliver_before_the_signal),
        Patch("hypercorn.app_wrappers", "ASGIWrapper.__init__", watch_given_app),
        Patch("daphne.server", "Server.__init__", watch_given_app),
        Patch("granian.asgi", "LifespanProtocol.__init__", watch_given_app),
        Patch("granian.asgi", "_callback_wrapper", watch_called_app),
        Patch("granian.wsgi", "_callback_wrapper", watch_called_wsgi_app),
        Patch("uvicorn.middleware.wsgi", "_WSGIMiddleware.__init__", watch_bridged_app),
        Patch("uvicorn.middleware.wsgi", "WSGIMiddleware.__init__", watch_bridged_app),
        Patch("uvicorn.middleware.wsgi", "build_environ", hand_record_on),
        Patch("hypercorn.app_wrappers", "WSGIWrapper.__init__", watch_bridged_app),
        Patch("hypercorn.app_wrappers", "_build_environ", hand_record_on),
        Patch("starlette.middleware.wsgi", "WSGIMiddleware.__init__", watch_bridged_app),
        Patch("starlette.middleware.wsgi", "build_environ", hand_record_on),
        Patch("a2wsgi.wsgi", "WSGIMiddleware.__init__", watch_bridged_app),
        Patch("a2wsgi.wsgi", "build_environ", hand_record_on),
        Patch("asgiref.wsgi", "WsgiToAsgi.__init__", watch_bridged_app),
        Patch("asgiref.wsgi", "WsgiToAsgiInstance.build_environ", hand_record_on),
    ],
    on_import=[OnImport("uvicorn.config", cover)],
)
