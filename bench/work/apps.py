# SPDX-License-Identifier: MIT
"""The applications that requests are measured with. Each answers its CPU seconds at ``/cpu``, for servers."""

from __future__ import annotations

import time
from typing import Any


def _times(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    spent = b"%d" % time.process_time_ns()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(spent)))])
    return [spent]


def _with_times(app: Any) -> Any:
    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/cpu":
            return _times(environ, start_response)
        return app(environ, start_response)

    return serve


def _plain(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


def plain() -> Any:
    """The smallest WSGI application, wrapped by hand where an agent asks for that."""
    import agents

    return _with_times(agents.wrap_wsgi(_plain))


def flask() -> Any:
    """A Flask application with one good and one broken view."""
    import flask

    app = flask.Flask("shop")

    @app.route("/")
    def index() -> str:
        return "ok"

    @app.route("/broken")
    def broken() -> str:
        order = {"id": 7, "items": ["tea", "cups"], "total": 31.5}
        customer = "Ada"
        raise ValueError("no stock for %s of %s" % (order["id"], customer))

    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.logger.disabled = True
    return _with_times(app)


def django() -> Any:
    """A Django application of one view, with two of its default middlewares."""
    from django.core.wsgi import get_wsgi_application

    return _with_times(get_wsgi_application())
