# SPDX-License-Identifier: MIT
"""Whatever WSGI application a server runs, its failed requests are reported, with no framework known.

The application is taken at the door of the server: gunicorn (every worker class, of ASGI applications too), waitress,
wsgiref, werkzeug, cheroot and CherryPy, gevent, eventlet, tornado's ``WSGIContainer``. uWSGI has a file
of its own. What werkzeug's debugger and CherryPy make a page of is reported as well.
"""

from __future__ import annotations

import sys

import errtrack
from errtrack import guard, loggers
from errtrack.instrumentation import Call, Instrumentation, Patch, is_async

from ._late import _asgi, _wsgi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from errtrack.instrumentation import Advice


def watch_loaded_app(call: Call) -> Advice:
    """BaseApplication.wsgi(self) -> application"""
    app = yield from _wsgi.find()
    watched = _asgi.watch(app) if is_async(app) else _wsgi.watch(app)
    # gunicorn keeps the application here, and hands the same one out each time
    call.args[0].callable = watched
    return watched


def watch_first(call: Call) -> Advice:
    """WSGIServer.set_app(self, application), BaseWSGIServer.__init__(self, application, ...) and others alike"""
    yield from watch_argument(call, 1, "application")


def watch_container(call: Call) -> Advice:
    """WSGIContainer.__init__(self, wsgi_application, executor=None)"""
    loggers.ignore("tornado.access")  # one line for each answer, at the level of errors from 500 on
    yield from watch_argument(call, 1, "wsgi_application")


def watch_second(call: Call) -> Advice:
    """Server.__init__(self, bind_addr, wsgi_app, ...)"""
    yield from watch_argument(call, 2, "wsgi_app")


def watch_third(call: Call) -> Advice:
    """BaseWSGIServer.__init__(self, host, port, app, ...), Server.__init__(self, socket, address, app, ...)"""
    yield from watch_argument(call, 3, "app")


def watch_argument(call: Call, position: int, name: str) -> Advice:
    """Watch the application at *position* or called *name*."""
    call.replace(position, name, _wsgi.watch(call.get(position, name)))
    yield


def watch_debugged(call: Call) -> Advice:
    """DebuggedApplication.__init__(self, app, ...)"""
    call.replace(1, "app", _wsgi.watch(call.get(1, "app"), is_answered=True))
    yield


def watch_own(call: Call) -> Advice:
    """WSGIServer.init_socket(self), as it starts: now it has its application, from wherever it came"""
    server = call.args[0]
    server.application = _wsgi.watch(getattr(server, "application", None))
    yield


def log_once(call: Call) -> Advice:
    """BaseWSGIServer.log(self, type, message, *args): the text of a traceback, where a request has failed"""
    yield from report_logged(call.get(1, "type") == "error")


def log_of_cherrypy(call: Call) -> Advice:
    """LogManager.error(self, msg="", context="", severity=20, traceback=False), of its server and what traps errors"""
    text = call.get(1, "msg", "")
    yield from report_logged(call.get(3, "severity", 20) >= 40 and "Traceback (most recent" in str(text))


def report_logged(is_failure: bool) -> Advice:
    """Report the exception at hand, whose traceback is logged as a mere text."""
    error = sys.exc_info()[1]
    if error is None or not is_failure:
        yield
        return
    _wsgi.report(error)
    with guard.Inside():  # so that logging has no second event of it
        yield


def report_answered(call: Call) -> Advice:
    """Request.handle_error(self), while the exception is at hand"""
    error = sys.exc_info()[1]
    if error is not None:
        errtrack.report_exception(error, "cherrypy")
    yield


INSTRUMENTATION = Instrumentation(
    "wsgi_servers",
    patches=[
        Patch("gunicorn.app.base", "BaseApplication.wsgi", watch_loaded_app),
        Patch("wsgiref.simple_server", "WSGIServer.set_app", watch_first),
        Patch("wsgiref.handlers", "BaseHandler.run", watch_first),
        Patch("waitress.server", "BaseWSGIServer.__init__", watch_first),
        Patch("werkzeug.serving", "BaseWSGIServer.__init__", watch_third),
        Patch("werkzeug.serving", "BaseWSGIServer.log", log_once),
        Patch("werkzeug.debug", "DebuggedApplication.__init__", watch_debugged),
        Patch("cheroot.wsgi", "Server.__init__", watch_second),
        Patch("cherrypy._cprequest", "Request.handle_error", report_answered),
        Patch("cherrypy._cplogging", "LogManager.error", log_of_cherrypy),
        Patch("gevent.pywsgi", "WSGIServer.init_socket", watch_own),
        Patch("eventlet.wsgi", "Server.__init__", watch_third),
        Patch("tornado.wsgi", "WSGIContainer.__init__", watch_container),
    ],
)
