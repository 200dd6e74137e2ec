# SPDX-License-Identifier: MIT
"""Failed requests to Django REST framework show the data that it has parsed, in whatever format that came.

What it turns into an answer (``APIException`` and its kind, whatever their status) is no error; everything else is
reported by Django. Where tracing is on, authentication has a span.
"""

from __future__ import annotations

import weakref

from errtrack.instrumentation import Call, Instrumentation, Patch

from . import _django, _django_spans

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice


def remember_request(call: Call) -> Advice:
    """APIView.initial(self, request, *args, **kwargs), with the framework's own kind of request"""
    request = call.get(1, "request")
    # Weakly: the two would otherwise hold each other, and each request wait for the garbage collector.
    vars(request._request)[_django.REST] = weakref.ref(request)
    yield


def is_of_no_interest(args: Any) -> bool:
    """Whether there is no trace, or nobody to authenticate."""
    return _django_spans.is_off(args) or not getattr(args[0], "authenticators", None)


def measure(call: Call) -> Advice:
    """Request._authenticate(self)"""
    yield from _django_spans.measured("view.authenticate", "authenticate")


INSTRUMENTATION = Instrumentation(
    "rest_framework",
    supports=">=3.12",
    distribution="djangorestframework",
    patches=[
        Patch("rest_framework.views", "APIView.initial", remember_request),
        Patch("rest_framework.request", "Request._authenticate", measure, is_of_no_interest),
    ],
)
