# SPDX-License-Identifier: MIT
"""Whatever WSGI application a server runs, its failed requests are reported, with no framework known.

The application is taken at the door of the server: gunicorn (every WSGI worker class) and wsgiref.
"""

from __future__ import annotations

from errtrack.instrumentation import Call, Instrumentation, Patch

from . import _wsgi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from errtrack.instrumentation import Advice


def watch_loaded_app(call: Call) -> Advice:
    """BaseApplication.wsgi(self) -> application"""
    app = yield
    watched = _wsgi.watch(app)
    call.args[
        0
    ].callable = watched  # gunicorn keeps the application here, and hands the same one out each time
    return watched


def watch_given_app(call: Call) -> Advice:
    """WSGIServer.set_app(self, application)"""
    call.replace(1, "application", _wsgi.watch(call.get(1, "application")))
    yield


INSTRUMENTATION = Instrumentation(
    "wsgi_servers",
    patches=[
        Patch("gunicorn.app.base", "BaseApplication.wsgi", watch_loaded_app),
        Patch("wsgiref.simple_server", "WSGIServer.set_app", watch_given_app),
    ],
)
