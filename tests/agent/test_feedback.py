# SPDX-License-Identifier: MIT
"""Feedback: what a person says about an error reaches the server beside it, and nothing is sent without a word."""

from __future__ import annotations

import pytest
from running import Running, raised
from sink import Sink

import errtrack


def test_feedback_is_an_item_of_its_own_about_the_last_error(running: Running, sink: Sink) -> None:
    running.send_to(sink, release="shop@2", environment="test")
    errtrack.set_tag("tenant", "acme")
    errtrack.set_user({"id": "7"})
    about = errtrack.capture_exception(raised(ValueError("no stock")))
    feedback_id = errtrack.capture_feedback(
        "The cart is empty!", name="Ada", contact_email="ada@example.org", url="https://shop.example/cart"
    )
    (feedback,) = running.trees(sink, "feedback")
    assert feedback["contexts"]["feedback"] == {
        "message": "The cart is empty!",
        "name": "Ada",
        "contact_email": "ada@example.org",
        "url": "https://shop.example/cart",
        "associated_event_id": about,
    }
    (error,) = running.trees(sink, "event")
    assert feedback["event_id"] == feedback_id != about
    assert (feedback["type"], feedback["level"], feedback["release"]) == ("feedback", "info", "shop@2")
    assert (feedback["tags"]["tenant"], feedback["user"]["id"]) == ("acme", "7")
    assert feedback["contexts"]["trace"]["trace_id"] == error["contexts"]["trace"]["trace_id"]
    request = next(r for r in sink.accepted if r.envelope.items[0][0]["type"] == "feedback")
    assert request.envelope.headers["event_id"] == feedback_id
    assert len(request.envelope.items) == 1


def test_feedback_may_name_another_event_and_is_cut(running: Running, sink: Sink) -> None:
    running.send_to(sink)
    assert errtrack.capture_feedback("x" * 5000, associated_event_id="ab" * 16)
    (feedback,) = running.trees(sink, "feedback")
    said = feedback["contexts"]["feedback"]
    assert said == {"message": "x" * 4096, "associated_event_id": "ab" * 16}


def test_feedback_is_neither_sampled_nor_shown_to_before_send(running: Running, sink: Sink) -> None:
    seen = []
    running.send_to(sink, sample_rate=0.0, before_send=lambda event, hint: seen.append(event))
    assert errtrack.capture_feedback("still here")
    assert len(running.trees(sink, "feedback")) == 1 and seen == []


@pytest.mark.parametrize("message", ["", "  \n"])
def test_nothing_said_is_nothing_sent(running: Running, sink: Sink, message: str) -> None:
    running.send_to(sink)
    assert errtrack.capture_feedback(message) is None
    assert running.trees(sink, "feedback") == []


def test_without_a_server_there_is_nobody_to_read_it(running: Running) -> None:
    running.start()
    assert errtrack.capture_feedback("hello") is None
    assert running.events() == []
