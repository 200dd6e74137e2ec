# SPDX-License-Identifier: MIT
"""Which trace an event belongs to: the ids that tie the errors of one request together across services.

Header forms: https://develop.sentry.dev/sdk/foundations/trace-propagation/ and
https://www.w3.org/TR/trace-context/#traceparent-header (read where ``sentry-trace`` is absent).
"""

from __future__ import annotations

import os

from errtrack.context import ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_HEX = frozenset("0123456789abcdef")

#: Where a process finds the trace that it was started in, first found wins: (trace, baggage).
VARIABLES = (
    ("ERRTRACK_TRACE", "ERRTRACK_BAGGAGE"),
    ("SUBPROCESS_SENTRY_TRACE", "SUBPROCESS_BAGGAGE"),
    ("SENTRY_TRACE", "SENTRY_BAGGAGE"),
)


class PropagationContext:
    """Ids of a unit of work: ``trace_id`` (32 hex), ``span_id`` (16 hex); parent and sampling if continued.

    ``sampled`` is what its head decided, then what we decided; None: nobody has, yet. ``frozen``: the head of the
    trace has said what ``baggage`` goes with it, and that is passed on as it is, even when it is nothing.
    """

    __slots__ = (
        "baggage",
        "frozen",
        "headers",
        "lines",
        "parent_span_id",
        "sample_rate",
        "sampled",
        "span_id",
        "trace_id",
    )

    def __init__(
        self,
        trace_id: str | None = None,
        parent_span_id: str | None = None,
        sampled: bool | None = None,
        baggage: str = "",
        frozen: bool = False,
    ) -> None:
        if trace_id:
            self.trace_id, self.span_id = trace_id, ids.span_id()
        else:
            self.trace_id, self.span_id = ids.trace_and_span_id()
        self.parent_span_id = parent_span_id
        self.sampled = sampled
        self.baggage = baggage
        self.frozen = frozen
        #: What the decision of this process was made by; None: it made none.
        self.sample_rate: float | None = None
        #: The texts that go out while no span is in hand, once they were asked for.
        self.headers: tuple[str, str] | None = None
        #: The same as lines of an HTTP request, with the options that they were made by.
        self.lines: tuple[Any, list[bytes]] | None = None

    @property
    def sample_rand(self) -> float:
        """The number in [0, 1) that decides whether the trace is sampled, the same in all its services."""
        if self.baggage:
            given = members_of(self.baggage)
            sample_rand = _ratio(given.get("sample_rand"))
            if sample_rand is not None and sample_rand < 1:
                return sample_rand
            rate = _ratio(given.get("sample_rate"))
            if rate is not None and self.sampled is not None and self.sample_rate is None:
                # Such as the decision of the head could have been made by.
                low, high = (0.0, rate) if self.sampled else (rate, 1.0)
                return round(low + _random_part(self.trace_id) * (high - low), 6) if high > low else 0.0
        return _random_part(self.trace_id)

    @property
    def parent_sample_rate(self) -> float | None:
        """The rate that the head of the trace has sampled by, where it says so."""
        return _ratio(members_of(self.baggage).get("sample_rate")) if self.baggage else None

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
    frozen = found is not None
    if found is None and traceparent:
        found = _parse_traceparent(traceparent)
    if found is None:
        return None
    trace_id, span_id, sampled = found
    return PropagationContext(trace_id, span_id, sampled, baggage, frozen or "sentry-" in baggage)


def of_process(environ: Mapping[str, str] = os.environ) -> PropagationContext:
    """The trace that the process was started in, or a new one."""
    for trace, baggage in VARIABLES:
        given = environ.get(trace)
        if given:
            continued = continue_trace(given, environ.get(baggage, ""))
            if continued is not None:
                return continued
    return PropagationContext()


def members_of(baggage: str) -> dict[str, str]:
    """The members of a ``baggage`` header that are ours, their values decoded."""
    found: dict[str, str] = {}
    for member in baggage.split(","):
        name, separator, value = member.strip().partition("=")
        name = name.strip()
        if separator and name.startswith("sentry-"):
            value = value.partition(";")[0].strip()
            if "%" in value:
                from urllib.parse import unquote

                value = unquote(value)
            found[name[7:]] = value
    return found


def _random_part(trace_id: str) -> float:
    """Six decimals out of the end of the trace's id, which is the part that every tracer makes at random."""
    return int(trace_id[-13:], 16) * 1_000_000 // 2**52 / 1_000_000


def _ratio(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number <= 1 else None


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
