"""What is said to models, in spans and in the trace's own data: whole JSON, bounded, and scrubbed."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from errtrack import options
from errtrack.capture import event as events
from errtrack.capture.scrubber import Scrubber
from errtrack.context.shortened import Shortened


def finished(data: dict[str, Any], count: int = 1) -> dict[str, Any]:
    now = time.time()
    row = {"trace_id": "a" * 32, "span_id": "b" * 16, "start_timestamp": now, "timestamp": now, "data": data}
    event: dict[str, Any] = {
        "type": "transaction",
        "start_timestamp": now,
        "timestamp": now,
        "contexts": {"trace": {"trace_id": "a" * 32, "span_id": "c" * 16, "data": dict(data)}},
        "spans": [dict(row) for _ in range(count)],
    }
    settings = options.resolve({})
    events.finish(event, settings, Scrubber(settings))
    return event


@pytest.mark.parametrize("again", [False, True], ids=["once", "after a hook"])
def test_lists_and_dicts_are_json_text(again: bool) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "é" * 9_000}]}] * 2
    event = finished({"gen_ai.request.messages": messages, "gen_ai.response.text": "x" * 9_000})
    if again:
        events.sanitise(event)
    for data in (event["spans"][0]["data"], event["contexts"]["trace"]["data"]):
        assert json.loads(data["gen_ai.request.messages"]) == messages
        assert data["gen_ai.response.text"] == "x" * 9_000


def test_numbers_of_tokens_are_no_secrets_and_secrets_are() -> None:
    event = finished(
        {
            "gen_ai.usage.input_tokens": 20,
            "gen_ai.response.time_to_first_token": 0.5,
            "flag.evaluation.new-token-flow": True,
            "gen_ai.request.messages": [{"role": "user", "content": "x", "password": "hunter2hunter2"}],
            "api_key": "hunter2hunter2",
        }
    )
    for data in (event["spans"][0]["data"], event["contexts"]["trace"]["data"]):
        assert data["gen_ai.usage.input_tokens"] == 20
        assert data["gen_ai.response.time_to_first_token"] == 0.5
        assert data["flag.evaluation.new-token-flow"] is True
        assert json.loads(data["gen_ai.request.messages"])[0]["password"] == "[Filtered]"
        assert data["api_key"] == "[Filtered]"


def test_what_was_left_out_is_told() -> None:
    event = finished({"gen_ai.request.messages": Shortened(["the last"], 6)})
    assert event["spans"][0]["data"]["gen_ai.request.messages"] == '["the last"]'
    assert event["_meta"]["spans"]["0"]["data"]["gen_ai.request.messages"][""] == {"len": 6}


def test_a_transaction_has_room_for_so_much_and_the_rest_is_still_json() -> None:
    event = finished({"gen_ai.request.messages": ["x" * 9_000] * 3, "gen_ai.usage.input_tokens": 3}, 100)
    texts = [span["data"]["gen_ai.request.messages"] for span in event["spans"]]
    assert sum(map(len, texts)) < 400_000
    assert all(isinstance(json.loads(text), list) for text in texts)
    assert all(span["data"]["gen_ai.usage.input_tokens"] == 3 for span in event["spans"])
