# SPDX-License-Identifier: MIT
"""Rate limits: what the server asked us not to send for a while is not sent, and nothing else is held up.

https://develop.sentry.dev/sdk/foundations/transport/rate-limiting/. Times are on the monotonic clock, so that
a changed wall clock neither lifts a limit nor makes it last. No answer can silence us for longer than a day.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: No limit lasts longer than this many seconds, whatever the header says.
LONGEST = 86_400.0

#: How long a 429 without any header holds.
UNTOLD = 60.0

# fmt: off
KNOWN = frozenset((
    "default", "error", "transaction", "security", "attachment", "session", "profile", "profile_chunk",
    "replay", "monitor", "feedback", "span", "log_item", "log_byte", "trace_metric",
    "trace_metric_byte", "metric_bucket", "internal", "user_report_v2",
))
# fmt: on

#: The key under which a limit on everything is kept.
ALL = ""


class Limits:
    """The limits of one destination. ``deadlines`` maps a category (or ``ALL``) to a monotonic time."""

    __slots__ = ("deadlines",)

    def __init__(self) -> None:
        self.deadlines: dict[str, float] = {}

    def until(self, category: str) -> float:
        """The monotonic time at which *category* may be sent again; 0.0 when it was never limited."""
        return max(self.deadlines.get(category, 0.0), self.deadlines.get(ALL, 0.0))

    def is_limited(self, category: str, now: float) -> bool:
        """True while the server does not want *category*."""
        return bool(self.deadlines) and self.until(category) > now

    def update(self, status: int, headers: Mapping[str, str], now: float, wall: float) -> None:
        """Take in an answer: *headers* by lower case names, *now* monotonic, *wall* in seconds since 1970."""
        told = headers.get("x-sentry-rate-limits")
        if told is not None:
            self._update_from(told, now)
        elif status == 429:
            wait = retry_after(headers.get("retry-after"), wall)
            self._hold(ALL, UNTOLD if wait is None else wait, now)

    def _update_from(self, header: str, now: float) -> None:
        for limit in header.split(","):
            fields = [field.strip() for field in limit.split(":")]
            seconds = _seconds(fields[0])
            if seconds is None:
                continue
            named = fields[1] if len(fields) > 1 else ""
            if not named:
                self._hold(ALL, seconds, now)
                continue
            for name in named.split(";"):
                if name.strip().lower() in KNOWN:
                    self._hold(name.strip().lower(), seconds, now)

    def _hold(self, category: str, seconds: float, now: float) -> None:
        deadline = now + min(seconds, LONGEST)
        if deadline > max(now, self.deadlines.get(category, 0.0)):
            self.deadlines[category] = deadline


def retry_after(value: str | None, wall: float) -> float | None:
    """Seconds to wait by a ``Retry-After`` header (a number or a date), at most a day; None without one."""
    if not value:
        return None
    seconds = _seconds(value.strip())
    if seconds is None:
        from email.utils import parsedate_tz

        parsed = parsedate_tz(value)
        if parsed is None:
            return None
        from calendar import timegm

        try:
            seconds = max(0.0, timegm(parsed[:9]) - (parsed[9] or 0) - wall)
        except (ValueError, OverflowError):
            return None
    return min(seconds, LONGEST)


def _seconds(text: str) -> float | None:
    """A number of seconds, at least 0; None for what is none (also for NaN and for endless digits)."""
    if len(text) > 40:
        return None
    try:
        seconds = float(text)
    except ValueError:
        return None
    if seconds != seconds:
        return None
    return max(0.0, seconds)
