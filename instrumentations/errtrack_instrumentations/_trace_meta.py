# SPDX-License-Identifier: MIT
"""``{{ sentry_trace_meta }}`` in the head of a page: the trace of the request in hand, which a browser goes on with.

Made only where a template shows it. Outside of a request it is the empty text.
"""

from __future__ import annotations

import sys

from errtrack.context import trace as tracing

from . import _request

#: What templates call it, here and elsewhere.
NAME = "sentry_trace_meta"


def tags() -> str:
    """The two ``<meta>`` tags of the trace in hand, safe as they are; the empty text outside of a request."""
    if _request.in_hand() is None:
        return ""
    from html import escape

    trace, baggage = tracing.outgoing_headers()
    text = '<meta name="sentry-trace" content="%s"><meta name="baggage" content="%s">'
    return text % (escape(trace), escape(baggage))


class TraceMeta:
    """Stands in a template's context for the tags: Jinja2 and Django take what has ``__html__`` as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        return tags()

    def __str__(self) -> str:
        return tags()

    def __bool__(self) -> bool:
        return _request.in_hand() is not None


class ForJinja(TraceMeta):
    """The tags for Jinja, which makes text of what it joins with other text."""

    __slots__ = ()

    def __str__(self) -> str:
        safe: str = sys.modules["markupsafe"].Markup(self.__html__())
        return safe


class ForDjango(TraceMeta):
    """The tags for Django's own language."""

    __slots__ = ()

    def __str__(self) -> str:
        # Safe as it is: Django escapes what is not of this class, once it has made text of it.
        safe: str = sys.modules["django.utils.safestring"].SafeString(self.__html__())
        return safe


for_jinja, for_django = ForJinja(), ForDjango()
