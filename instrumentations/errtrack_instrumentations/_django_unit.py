# SPDX-License-Identifier: MIT
"""A Django request that came through no server, and the name of one that is traced."""

from __future__ import annotations

from functools import partial

from errtrack.context import scope as scopes

from . import _asgi, _django, _django_names, _wsgi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice


def attend_alone(request: Any) -> Advice:
    """A request that came through no server: Django's test clients call the handler by themselves."""
    asgi = vars(request).get("scope")
    record = _asgi.Request(asgi) if isinstance(asgi, dict) else _wsgi.Request(request.META)
    record.enrich = partial(_django.describe, request)
    if record.span is not None:
        claim(record, request)
    token = scopes.enter(record.pair)
    try:
        response = yield
        if record.span is not None:
            name_span(record, request, response)
    finally:
        scopes.leave(token)
        record.close()


def claim(record: Any, request: Any) -> None:
    """Tracing is on: the transaction is Django's, whoever began it, and has a name where no answer comes of it, too."""
    record.span.origin = "auto.http.django"
    record.named = partial(_django_names.name_of, request)


def name_span(record: Any, request: Any, response: Any) -> None:
    """Tracing is on: the transaction is called what its errors are called, unless the application has named it."""
    given = scopes.get_isolation_scope().transaction  # under ASGI that of a task below the record's own
    record.scope.transaction = given or _django_names.name_of(request)
    record.http_status = response.status_code
