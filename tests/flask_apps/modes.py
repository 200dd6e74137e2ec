# SPDX-License-Identifier: MIT
"""Flask applications in each mode, mounted in one: below /debug, /testing, /both, and neither; and one that fails
before Flask gets to see the request."""

import flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware


def make(**config):
    app = flask.Flask("mode")
    app.config.update(config)

    @app.route("/fail")
    def fail():
        raise RuntimeError("failed")

    return app


def broken(environ, start_response):
    raise RuntimeError("in the middleware")


covered = make()
covered.wsgi_app = broken
modes = {
    "/debug": make(DEBUG=True),
    "/testing": make(TESTING=True),
    "/both": make(DEBUG=True, TESTING=True),
    "/propagating": make(PROPAGATE_EXCEPTIONS=True),
    "/bare": make().wsgi_app,
    "/covered": covered,
}


application = DispatcherMiddleware(make(), modes)
