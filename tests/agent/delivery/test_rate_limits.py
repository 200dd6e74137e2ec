# SPDX-License-Identifier: MIT
"""Rate limits: understood in every spelling, never longer than a day, never more than was asked."""

from __future__ import annotations

import pytest

from errtrack.delivery.limits import ALL, LONGEST, Limits, retry_after

NOW, WALL = 1000.0, 1_700_000_000.0  # the latter is Tue, 14 Nov 2023 22:13:20 GMT


def limits(status: int, **headers: str) -> dict[str, float]:
    made = Limits()
    made.update(status, {name.replace("_", "-"): value for name, value in headers.items()}, NOW, WALL)
    return {category: deadline - NOW for category, deadline in made.deadlines.items()}


@pytest.mark.parametrize(
    "header, expected",
    [
        ("60:error:organization", {"error": 60}),
        ("60::key", {ALL: 60}),
        ("60", {ALL: 60}),
        (" 2.5 : error ; transaction : key : reason : namespaces : more", {"error": 2.5, "transaction": 2.5}),
        ("60:error,120:transaction;span:org", {"error": 60, "transaction": 120, "span": 120}),
        ("60:unheard_of", {}),
        ("60:unheard_of;error", {"error": 60}),
        ("abc:error,10:session", {"session": 10}),
        ("nan:error,inf:session", {"session": LONGEST}),
        ("-5:error", {"error": 0}),
        ("99999999999:error", {"error": LONGEST}),
        ("9" * 5000 + ":error", {}),
        ("10:error,60:error,20:error", {"error": 60}),
        ("", {}),
    ],
)
@pytest.mark.parametrize("status", [200, 429, 503])
def test_the_header_counts_on_every_answer(status: int, header: str, expected: dict[str, float]) -> None:
    assert limits(status, x_sentry_rate_limits=header) == {c: s for c, s in expected.items() if s}


@pytest.mark.parametrize(
    "value, seconds",
    [("7", 7), ("1.5", 1.5), ("Tue, 14 Nov 2023 22:14:20 GMT", 60), ("Tue, 14 Nov 2023 23:14:20 +0100", 60), ("soon", 60), ("-3", 0),
     ("Tue, 14 Nov 9999 22:14:20 GMT", LONGEST), ("nan", 60)],
)  # fmt: skip
def test_429_without_the_header_obeys_retry_after(value: str, seconds: float) -> None:
    found = limits(429, retry_after=value)
    assert found == ({ALL: seconds} if seconds else {})


def test_429_without_any_header_holds_for_a_minute() -> None:
    assert limits(429) == {ALL: 60}


def test_retry_after_on_another_status_is_no_limit() -> None:
    assert limits(503, retry_after="60") == {}
    assert retry_after(None, WALL) is None


def test_a_shorter_limit_does_not_end_a_longer_one() -> None:
    made = Limits()
    made.update(200, {"x-sentry-rate-limits": "60:error"}, NOW, WALL)
    made.update(200, {"x-sentry-rate-limits": "5:error"}, NOW, WALL)
    assert made.is_limited("error", NOW + 59)
    assert not made.is_limited("error", NOW + 61)
    assert not made.is_limited("transaction", NOW)


def test_a_limit_on_everything_covers_every_category() -> None:
    made = Limits()
    made.update(429, {"x-sentry-rate-limits": "60::key, 86400:transaction;span:organization"}, NOW, WALL)
    assert (
        made.is_limited("error", NOW)
        and made.is_limited("internal", NOW)
        and made.is_limited("log_item", NOW)
    )
    assert not made.is_limited("error", NOW + 61)
    assert made.is_limited("span", NOW + 61)
