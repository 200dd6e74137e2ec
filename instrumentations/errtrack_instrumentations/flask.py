# SPDX-License-Identifier: MIT
"""Failed Flask requests are reported with their endpoint, whichever server runs the application.

Reported is what no error handler took. ``abort(...)`` and other HTTP exceptions are answers, not errors. The request's
form or JSON is shown when the view had already read it; it is never read for the event's sake.
"""

from __future__ import annotations

from functools import partial

import errtrack
from errtrack.instrumentation import Call, Instrumentation, OnImport, Patch, shielded

from . import _wsgi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from errtrack.instrumentation import Advice


def remember_request(call: Call) -> Advice:
    """Flask.request_context(self, environ) -> RequestContext"""
    context = yield
    record = call.get(1, "environ").get(_wsgi.KEY)
    if record is not None:
        # Held as long as the response is: a body that fails while it is streamed still knows its endpoint.
        record.enrich = partial(describe, context.request)


def capture_unhandled(call: Call) -> Advice:
    """Flask.handle_exception(self, e) -> Response"""
    capture(None, call.get(1, "e"))
    yield


def capture(sender: Any, exception: BaseException, **_: Any) -> None:
    """got_request_exception(sender, exception): also sent by extensions that replace handle_exception."""
    errtrack.report_exception(exception, "flask")


def connect(signals: ModuleType) -> None:
    """flask.signals has been loaded; without blinker (before Flask 2.3) there is nothing to connect to."""
    if getattr(signals, "signals_available", True):
        # blinker keeps receivers weakly unless told otherwise.
        signals.got_request_exception.connect(shielded("flask", capture), weak=False)


def describe(request: Any, event: dict[str, Any]) -> None:
    """Name the transaction and add the body, from what the request object already holds."""
    from errtrack import options

    state = vars(request)
    rule = state.get("url_rule")
    if rule is not None:
        by_url = options.current().flask_transaction_style == "url"
        event.setdefault("transaction", rule.rule if by_url else rule.endpoint)
        event.setdefault("transaction_info", {"source": "route" if by_url else "component"})
    data = body_of(state)
    if data is not None and isinstance(event.get("request"), dict):
        event["request"].setdefault("data", data)


def body_of(state: dict[str, Any]) -> Any:
    """The parsed body out of the request's instance state (werkzeug caches it there), or None."""
    cached_json = state.get("_cached_json")
    if isinstance(cached_json, tuple) and cached_json[0] is not Ellipsis:
        return cached_json[0]
    form = state.get("form")
    if form is not None and len(form):
        fields = {key: values[0] if len(values) == 1 else list(values) for key, values in form.lists()}
        for name in state.get("files") or ():
            fields[name] = "[uploaded file]"
        return fields
    return None


INSTRUMENTATION = Instrumentation(
    "flask",
    supports=">=1.1",
    patches=[
        Patch("flask.app", "Flask.__call__", _wsgi.handle_request, _wsgi.is_inner),
        Patch("flask.app", "Flask.wsgi_app", _wsgi.handle_request, _wsgi.is_inner),
        Patch("flask.app", "Flask.request_context", remember_request),
        Patch("flask.app", "Flask.handle_exception", capture_unhandled),
    ],
    on_import=[OnImport("flask.signals", connect)],
)
