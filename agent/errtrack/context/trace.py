# SPDX-License-Identifier: MIT
"""Which trace an event belongs to: the ids that tie the errors of one request together across services.

Header forms: https://develop.sentry.dev/sdk/foundations/trace-propagation/ and
https://www.w3.org/TR/trace-context/#traceparent-header (read where ``sentry-trace`` is absent).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HEX = frozenset("0123456789abcdef")


class PropagationContext:
    """Ids of a unit of work: ``trace_id`` (32 hex), ``span_id`` (16 hex); parent and sampling if continued."""

    __slots__ = ("baggage", "parent_span_id", "sampled", "span_id", "trace_id")

    def __init__(
        self,
        trace_id: str | None = None,
        parent_span_id: str | None = None,
        sampled: bool | None = None,
        baggage: str = "",
    ) -> None:
        self.trace_id = trace_id or os.urandom(16).hex()
        self.span_id = os.urandom(8).hex()
        self.parent_span_id = parent_span_id
        self.sampled = sampled
        self.baggage = baggage

    def as_context(self) -> dict[str, Any]:
        """The ``trace`` context of an event."""
        context = {"trace_id": self.trace_id, "span_id": self.span_id}
        if self.parent_span_id:
            context["parent_span_id"] = self.parent_span_id
        return context


def continue_trace(
    sentry_trace: str = "", baggage: str = "", traceparent: str = ""
) -> PropagationContext | None:
    """The context that incoming headers continue, or None when they hold no valid trace."""
    found = _parse_sentry_trace(sentry_trace) if sentry_trace else None
    if found is None and traceparent:
        found = _parse_traceparent(traceparent)
    if found is None:
        return None
    trace_id, span_id, sampled = found
    return PropagationContext(trace_id, span_id, sampled, baggage)


def _parse_sentry_trace(header: str) -> tuple[str, str | None, bool | None] | None:
    first = header.partition(",")[0].strip().lower()
    parts = first.split("-")
    if not _is_id(parts[0], 32):
        return None
    span_id = parts[1] if len(parts) > 1 and _is_id(parts[1], 16) else None
    flag = parts[2] if len(parts) > 2 else ""
    return parts[0], span_id, {"1": True, "0": False}.get(flag)


def _parse_traceparent(header: str) -> tuple[str, str | None, bool | None] | None:
    parts = header.strip().lower().split("-")
    if len(parts) < 4 or not _is_id(parts[1], 32) or not _is_id(parts[2], 16):
        return None
    return parts[1], parts[2], parts[3][-1:] in frozenset("13579bdf")


def _is_id(text: str, length: int) -> bool:
    return len(text) == length and set(text) <= _HEX and text.strip("0") != ""
