"""Spans are cleaned once where they are alike; what tells them apart is each one's own."""

from __future__ import annotations

from typing import Any

import pytest

from errtrack.capture import request, spans
from errtrack.capture.jsonable import Cleaner
from errtrack.capture.scrubber import Scrubber
from errtrack.capture.wire import Notes
from errtrack.options import Options

SCRUBBER = Scrubber(Options())


def row(number: int = 1, **more: Any) -> dict[str, Any]:
    span = {
        "trace_id": "%032x" % number,
        "span_id": "%016x" % number,
        "parent_span_id": "%016x" % 7,
        "start_timestamp": 1_700_000_000.0 + number,
        "timestamp": 1_700_000_001.0 + number,
        "op": "db",
        "description": "SELECT 1",
        "origin": "auto.db.django",
    }
    return {**span, **more}


def cleaned(*rows: dict[str, Any], scrubber: Scrubber = SCRUBBER) -> tuple[list[Any], dict[str, Any]]:
    notes = Notes()
    return spans.clean(list(rows), Cleaner(scrubber, notes), ("spans",)), notes.tree


def test_spans_that_are_alike_keep_their_own_ids_and_times() -> None:
    first, second = row(1, data={"db.system": "sqlite"}), row(2, data={"db.system": "sqlite"})
    assert cleaned(first, second)[0] == [first, second]


def test_what_is_done_to_one_event_is_not_seen_in_the_next() -> None:
    span = row(data={"signal": "saved"}, tags={"signal": "saved"})
    made = cleaned(span)[0][0]
    made["data"]["signal"] = made["tags"]["signal"] = made["op"] = "a hook was here"
    assert cleaned(span)[0] == [span]


@pytest.mark.parametrize("pair", [(1, True), (1, 1.0), (0, False), ("1", 1), (None, "")])
def test_values_that_are_equal_and_of_other_types_are_told_apart(pair: tuple[Any, Any]) -> None:
    for value in pair * 2:
        found = cleaned(row(data={"value": value}))[0][0]["data"]["value"]
        assert (type(found), found) == (type(value), value)


def test_a_secret_is_filtered_and_told_of_each_time() -> None:
    span = row(data={"password": "tr0ub4dor"})
    for _ in range(3):
        found, notes = cleaned(span)
        assert found[0]["data"] == {"password": "[Filtered]"}
        assert notes["spans"]["0"]["data"]["password"][""]["rem"]


def test_another_scrubber_does_not_take_over_what_the_first_let_pass() -> None:
    span = row(data={"colour": "blue"})
    assert cleaned(span)[0][0]["data"] == {"colour": "blue"}
    strict = Options()
    strict.set("scrub_keys", ["colour"], "test")
    assert cleaned(span, scrubber=Scrubber(strict))[0][0]["data"] == {"colour": "[Filtered]"}
    shown = {"headers": {"X-Colour": "blue"}}
    assert request.clean(shown, Cleaner(SCRUBBER, Notes()), ("request",)) == shown
    for _ in range(2):
        found: Any = request.clean(shown, Cleaner(Scrubber(strict), Notes()), ("request",))
        assert found["headers"] == {"X-Colour": "[Filtered]"}


def test_no_more_is_remembered_than_there_is_room_for() -> None:
    for number in range(3 * spans._MOST_KNOWN):
        cleaned(row(description="SELECT %d" % number))
    cleaned(row(description="SELECT " + 1000 * "x", status="ok"))
    assert len(spans._known) <= spans._MOST_KNOWN
    assert not any(len(str(key)) > 2 * spans._SHORT for key in spans._known)
    for number in range(3 * request._MOST):
        request.clean({"headers": {"X-Number": str(number)}}, Cleaner(SCRUBBER, Notes()), ("request",))
    assert len(request._harmless) <= request._MOST
