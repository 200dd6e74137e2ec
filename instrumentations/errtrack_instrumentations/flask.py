# SPDX-License-Identifier: MIT
"""Failed Flask requests are reported with their endpoint, whichever server runs the application.

Reported is what no error handler took. ``abort(...)`` and other HTTP exceptions are answers, not errors. The request's
form or JSON is shown when the view had already read it; it is never read for the event's sake. Who is logged in
(flask-login) is told with ``send_default_pii``, where the application knows it already. Templates can put
``{{ sentry_trace_meta }}`` in their head, which carries the trace on to the browser.
"""

from __future__ import annotations

import sys

import errtrack
from errtrack import loggers, options
from errtrack.instrumentation import Call, Instrumentation, LateSteps, OnImport, Patch, Steps, shielded

from ._late import _flask, _trace_meta, _wsgi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from errtrack.instrumentation import Advice


def remember(args: Any, context: Any) -> None:
    """Flask.request_context(self, environ) -> RequestContext"""
    record = context.request.environ.get(_wsgi.KEY)
    if record is not None:
        # Held as long as the response is: a body that fails while it is streamed still knows its endpoint.
        record.holder, record.enrich = context, describe
        if record.span is not None:
            record.span.origin = "auto.http.flask"
            record.named = name_of  # a bridge from ASGI has only the path to offer


def offer_trace(app: Any, context: dict[str, Any]) -> None:
    """Flask.update_template_context(self, context): what a view or a processor put there of that name stays."""
    context.setdefault(_trace_meta.NAME, _trace_meta.for_jinja)


remember_request = Steps(returned=remember)


def capture_unhandled(call: Call) -> Advice:
    """Flask.handle_exception(self, e) -> Response"""
    errtrack.report_exception(call.get(1, "e"), "flask")
    # What follows every request follows the answer to a failure, too: what has failed there fails once more.
    loggers.cover(call.args[0].name, _flask.FINALIZING, _flask.is_same_again)
    yield


def capture(sender: Any, exception: BaseException, **_: Any) -> None:
    """got_request_exception(sender, exception): extensions that replace handle_exception send it of answers, too."""
    if not isinstance(exception, sys.modules["werkzeug.exceptions"].HTTPException):
        errtrack.report_exception(exception, "flask")


def connect(signals: ModuleType) -> None:
    """flask.signals has been loaded; without blinker (before Flask 2.3) there is nothing to connect to."""
    if getattr(signals, "signals_available", True):
        # blinker keeps receivers weakly unless told otherwise.
        signals.got_request_exception.connect(shielded("flask", capture), weak=False)


def name_of(context: Any) -> tuple[str, str] | None:
    """What the transaction is called, and the source of that name; None where no rule matched."""
    rule = vars(context.request).get("url_rule")
    if rule is None:
        return None
    if options.current().flask_transaction_style == "url":
        return rule.rule, "route"
    return rule.endpoint, "component"


def describe(context: Any, event: dict[str, Any]) -> None:
    """Name the transaction, add body and user, from what the request object already holds."""
    name = name_of(context)
    if name is not None:
        event.setdefault("transaction", name[0])
        event.setdefault("transaction_info", {"source": name[1]})
    _flask.add_body(event, context.request)
    _flask.filter_session(event, context.app)
    if errtrack.should_send_default_pii():
        user = _flask.user_of(context)
        if user:
            event["user"] = {**user, **(event.get("user") or {})}


INSTRUMENTATION = Instrumentation(
    "flask",
    supports=">=1.1",
    patches=[
        Patch("flask.app", "Flask.__call__", LateSteps(lambda: _wsgi.handle_request)),
        Patch("flask.app", "Flask.wsgi_app", LateSteps(lambda: _wsgi.handle_request)),
        Patch("flask.app", "Flask.request_context", remember_request),
        Patch("flask.app", "Flask.handle_exception", capture_unhandled),
        Patch("flask.app", "Flask.update_template_context", offer_trace, after=True),
    ],
    on_import=[OnImport("flask.signals", connect)],
)
