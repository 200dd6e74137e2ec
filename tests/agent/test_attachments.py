# SPDX-License-Identifier: MIT
"""Files and feature flags that go along with an event."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from running import Running
from sink import Sink

import errtrack
from errtrack.context import attachments
from errtrack.context.attachments import Attachment


def test_attachments_stand_behind_their_event_in_the_same_envelope(
    running: Running, sink: Sink, tmp_path: Path
) -> None:
    (tmp_path / "app.log").write_bytes(b"line\n\xff\0")
    running.send_to(sink)
    errtrack.get_global_scope().add_attachment(b"{}", "settings.json")
    try:
        with errtrack.new_scope() as scope:
            scope.add_attachment(path=str(tmp_path / "app.log"))
            scope.add_attachment(lambda: b"made", "made.bin", content_type="x/y")
            errtrack.capture_message("x")
    finally:
        errtrack.get_global_scope().attachments = ()
    assert running.clients[-1].flush(10)
    (request,) = sink.accepted
    assert [headers["type"] for headers, _ in request.envelope.items] == ["event"] + ["attachment"] * 3
    found = [(h["filename"], h["content_type"], body) for h, body in request.envelope.items[1:]]
    assert found == [
        ("settings.json", "application/json", b"{}"),
        ("app.log", "text/plain", b"line\n\xff\0"),
        ("made.bin", "x/y", b"made"),
    ]


def test_a_scope_keeps_its_attachments_to_itself(running: Running, sink: Sink) -> None:
    running.send_to(sink)
    with errtrack.isolation_scope():
        errtrack.add_attachment(b"1", "inside.txt")
    errtrack.capture_message("outside")
    assert running.items(sink, "attachment") == []


def test_hooks_may_add_attachments(running: Running, sink: Sink) -> None:
    def hook(event: Any, hint: Any) -> Any:
        hint["attachments"].append(Attachment(b"1", "a.txt"))
        hint["attachments"].append("not an attachment")
        return event

    running.send_to(sink, before_send=hook)
    errtrack.capture_message("x")
    assert [body for _, body in running.items(sink, "attachment")] == [b"1"]


def test_one_that_cannot_be_had_costs_only_itself(
    running: Running, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attachments, "ROOM", 100)
    client = running.send_to(sink)
    errtrack.add_attachment(path="/no/such/file")
    errtrack.add_attachment(lambda: 1 / 0, "raises")  # type: ignore[arg-type, return-value]
    errtrack.add_attachment(b"x" * 60, "fits")
    errtrack.add_attachment(b"x" * 60, "too much")
    errtrack.add_attachment(b"x" * 30, "fits too")
    assert errtrack.capture_message("x")
    assert [headers["filename"] for headers, _ in running.items(sink, "attachment")] == ["fits", "fits too"]
    client.close(5)
    assert sink.reports() == {("buffer_overflow", "attachment"): 60}


def test_transactions_take_only_what_is_meant_for_them() -> None:
    given = [Attachment(b"1", "no"), Attachment(b"2", "yes", add_to_transactions=True)]
    items, lost = attachments.items_of(given, for_transaction=True)
    assert [headers["filename"] for headers, _ in items] == ["yes"] and lost == []


def test_feature_flags_are_on_the_event_the_newest_last(running: Running) -> None:
    running.start()
    for number in range(120):
        errtrack.add_feature_flag("flag-%d" % number, number % 2 == 0)
    errtrack.add_feature_flag("flag-50", "variant-b")
    with errtrack.isolation_scope():
        errtrack.add_feature_flag("only here", True)
        inner = errtrack.capture_message("inner")
    errtrack.capture_message("outer")
    by_id = {event["event_id"]: event["contexts"]["flags"]["values"] for event in running.events()}
    (outer,) = (values for event_id, values in by_id.items() if event_id != inner)
    assert len(outer) == 100
    assert outer[-1] == {"flag": "flag-50", "result": "variant-b"}
    assert outer[0] == {"flag": "flag-20", "result": True} and outer[1]["result"] is False
    assert by_id[str(inner)][-1] == {"flag": "only here", "result": True}


def test_strange_flags_are_put_right(running: Running) -> None:
    running.start()
    errtrack.add_feature_flag("x" * 500, object())
    errtrack.add_feature_flag(5, None)  # type: ignore[arg-type]
    errtrack.capture_message("x")
    first, second = running.event()["contexts"]["flags"]["values"]
    assert len(first["flag"]) == 200 and first["result"] == "<object object>"
    assert second == {"flag": "5", "result": ""}
