# SPDX-License-Identifier: MIT
"""Client reports: exact counts, from any thread, signal handler or half-finished count."""

from __future__ import annotations

import json
import signal
import threading
import time
from typing import Any

from errtrack.delivery.reports import Reports


def taken(reports: Reports) -> Any:
    payload = reports.take(0.0, 1_700_000_000.0)
    return None if payload is None else json.loads(payload)


def test_losses_are_summed_by_reason_and_category() -> None:
    reports = Reports(0.0)
    reports.lost("before_send", "error")
    reports.lost("before_send", "error")
    reports.lost("send_error", "attachment", 1000)
    assert taken(reports) == {
        "timestamp": 1_700_000_000.0,
        "discarded_events": [
            {"reason": "before_send", "category": "error", "quantity": 2},
            {"reason": "send_error", "category": "attachment", "quantity": 1000},
        ],
    }
    assert taken(reports) is None


def test_a_report_that_could_not_be_delivered_is_counted_again() -> None:
    reports = Reports(0.0)
    reports.lost("before_send", "error", 3)
    payload = reports.take(0.0, 0.0)
    assert payload is not None
    reports.lost("before_send", "error")
    reports.give_back(payload)
    assert taken(reports)["discarded_events"] == [
        {"reason": "before_send", "category": "error", "quantity": 4}
    ]


def test_a_report_rides_along_after_30_seconds_and_has_an_envelope_of_its_own_after_60() -> None:
    reports = Reports(100.0)
    assert not reports.may_ride(200.0)
    reports.lost("before_send", "error")
    assert not reports.may_ride(129.0)
    assert reports.may_ride(131.0) and not reports.is_overdue(131.0)
    assert reports.is_overdue(161.0)
    reports.take(161.0, 0.0)
    reports.lost("before_send", "error")
    assert not reports.may_ride(190.0)


def test_counts_are_exact_with_threads_and_a_signal_handler_counting_and_reports_being_taken() -> None:
    reports = Reports(0.0)
    interrupts = 0

    def interrupt(*_: object) -> None:
        nonlocal interrupts
        interrupts += 1
        reports.lost("a", "error")

    def work() -> None:
        for _ in range(5000):
            reports.lost("a", "error")

    total = 0
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        work()
        while any(thread.is_alive() for thread in threads):
            found = taken(reports)
            total += sum(row["quantity"] for row in found["discarded_events"]) if found else 0
            time.sleep(0.001)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    found = taken(reports)
    total += sum(row["quantity"] for row in found["discarded_events"]) if found else 0
    assert interrupts > 0
    assert total == 20_000 + interrupts
