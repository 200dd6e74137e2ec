# SPDX-License-Identifier: MIT
"""A Django request that came through no server, and the name of one that is traced."""

from __future__ import annotations

import sys

import errtrack
from errtrack.context import scope as scopes

from . import _asgi, _django, _django_names, _wsgi, _wsgi_body

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def note_plain() -> None:
    """Tell which of Django's own responses hold what they answer in a list: those that are no streams."""
    responses = sys.modules.get("django.http.response")
    base = getattr(responses, "HttpResponse", None)
    if base is not None:
        _wsgi_body.plain.update(
            kind
            for kind in vars(responses).values()
            if isinstance(kind, type)
            and issubclass(kind, base)
            and getattr(kind, "__iter__", None) is base.__iter__
        )


class Attended:
    """A request in Django's hands: one that is traced; or one that came through no server, as Django's test clients
    call the handler by themselves.
    """

    __slots__ = ("_record", "_request", "_token")

    def __init__(self, request: Any, record: Any = None) -> None:
        self._request = request
        self._token: Any = None
        self._record = record
        if record is None:
            asgi = vars(request).get("scope")
            record = _asgi.Request(asgi) if isinstance(asgi, dict) else _wsgi.Request().begin(request.META)
            record.holder, record.enrich = request, _django.describe
            self._record = record
            self._token = scopes.enter(record.pair)
        if record.span is not None:
            claim(record)

    def answered(self, response: Any) -> None:
        """Django has answered with *response*."""
        try:
            if self._record.span is not None:
                name_span(self._record, self._request, response)
        finally:
            self._end()

    def failed(self, error: BaseException) -> None:
        """Django has let *error* out."""
        try:
            is_exit = isinstance(error, SystemExit) and error.code not in (None, 0)
            if is_exit and self._token is None and self._record.mechanism == "asgi":
                # It ends the event loop: all that a layer further out gets to see is that it is cancelled.
                errtrack.report_exception(error, "asgi", level="fatal")
        finally:
            self._end()

    def _end(self) -> None:
        if self._token is not None:
            scopes.leave(self._token)
            self._record.close()


def claim(record: Any) -> None:
    """Tracing is on: the transaction is Django's, whoever began it, and has a name where no answer comes of it, too."""
    record.span.origin = "auto.http.django"
    record.named = _django_names.name_of


def name_span(record: Any, request: Any, response: Any) -> None:
    """Tracing is on: the transaction is called what its errors are called, unless the application has named it."""
    given = scopes.get_isolation_scope().transaction  # under ASGI that of a task below the record's own
    record.scope.transaction = given or _django_names.name_of(request)
    record.http_status = response.status_code
