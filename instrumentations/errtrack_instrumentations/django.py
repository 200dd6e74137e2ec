# SPDX-License-Identifier: MIT
"""Failed Django requests are reported with their route, whatever runs them: WSGI, ASGI, ``runserver``, a test client.

Reported is what Django answers with "500 Internal Server Error", before it renders that page. 404, permission denied,
bad requests and suspicious operations are answers, not errors, unless ``django.failed_request_status_codes`` names
their status. What Django itself logs of the same request makes no event. The body is shown where it was read or lies
at hand, the user (with ``send_default_pii``) where the application has looked at it: no query is ever made.
"""

from __future__ import annotations

import sys

import errtrack
from errtrack import loggers, options
from errtrack.instrumentation import (
    Call,
    Instrumentation,
    Late,
    LateSteps,
    OnImport,
    Patch,
    Steps,
    active,
    shielded,
)

from ._late import _asgi, _django, _django_unit, _wsgi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from errtrack.instrumentation import Advice

#: Loggers that repeat what Django's handlers tell us, or that tell of answers.
_ECHOES = ("django.request", "django.server", "django.security.*")

_REPORTED = "_errtrack_reported"


def begin(args: Any, kwargs: Any) -> Any:
    """BaseHandler.get_response(self, request) -> HttpResponse; get_response_async is the same"""
    request = args[1] if len(args) > 1 else kwargs["request"]
    record = request.META.get(_wsgi.KEY)
    if record is None:
        record = _django.record_of(request)
        if record is None:
            return _django_unit.Attended(request)
    # Held until the response has been sent: a body that fails while it is streamed still knows its route.
    record.holder, record.enrich = request, _django.describe
    is_watched = record.span is not None or record.mechanism == "asgi"
    return _django_unit.Attended(request, record) if is_watched else None


def attending() -> Steps:
    """The steps of a request, once there is one."""
    _django_unit.note_plain()
    return Steps(begin, _django_unit.Attended.answered, _django_unit.Attended.failed)


def watch_sending(call: Call) -> Advice:
    """ASGIHandler.send_response(self, response, send): in the task that has the tags of the view"""
    try:
        yield
    except Exception as error:
        _asgi.report(error, call.get(2, "send"), "asgi")
        raise


def judge(call: Call) -> Advice:
    """response_for_exception(request, exc) -> HttpResponse"""
    state = vars(call.get(0, "request"))
    state[_REPORTED] = False  # a request may come here twice: for its view, then for a middleware
    response = yield
    statuses = options.current().django_failed_request_status_codes
    if not state[_REPORTED] and response.status_code in statuses:
        errtrack.report_exception(call.get(1, "exc"), "django", handled=True)


def capture(sender: Any, request: Any = None, **_: Any) -> None:
    """got_request_exception(sender, request): also sent by frameworks on top of Django."""
    error = sys.exc_info()[1]
    if error is not None and "django" in active:
        if request is not None:
            vars(request)[_REPORTED] = True
        errtrack.report_exception(error, "django")


def connect(signals: ModuleType) -> None:
    """django.core.signals has been loaded, and django.request has not logged yet."""
    signals.got_request_exception.connect(shielded("django", capture), weak=False)
    for name in _ECHOES:
        loggers.ignore(name)


INSTRUMENTATION = Instrumentation(
    "django",
    supports=">=3.2",
    patches=[
        Patch("django.core.handlers.wsgi", "WSGIHandler.__call__", LateSteps(lambda: _wsgi.handle_request)),
        Patch(
            "django.core.handlers.asgi",
            "ASGIHandler.__call__",
            Late(lambda: _asgi.handle_request),
            lambda args: _asgi.is_inner(args),
        ),
        Patch("django.core.handlers.asgi", "ASGIHandler.send_response", watch_sending),
        Patch("django.core.handlers.base", "BaseHandler.get_response", LateSteps(attending)),
        Patch("django.core.handlers.base", "BaseHandler.get_response_async", LateSteps(attending)),
        Patch("django.core.handlers.exception", "response_for_exception", judge),
    ],
    on_import=[OnImport("django.core.signals", connect)],
)
