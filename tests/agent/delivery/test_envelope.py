# SPDX-License-Identifier: MIT
"""Envelopes: built as the servers want them, read as tolerantly as the servers do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from errtrack.delivery import envelope
from errtrack.delivery.envelope import VERSION

ID = "0123456789abcdef0123456789abcdef"


def test_the_version_is_the_one_of_the_distribution() -> None:
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8")
    assert re.search(r'^version = "(.+)"$', text, re.M).group(1) == VERSION  # type: ignore[union-attr]


def test_a_built_envelope_has_its_headers_and_no_time_of_sending() -> None:
    data = envelope.build(
        ID, "event", b'{"a":1}', {"trace_id": "t"}, [({"type": "attachment", "filename": "ü"}, b"\n\n")]
    )
    found = envelope.parse(data)
    assert found.headers == {
        "event_id": ID,
        "sdk": {"name": "errtrack.python", "version": VERSION},
        "trace": {"trace_id": "t"},
    }
    assert found.items == [
        ({"type": "event", "content_type": "application/json", "length": 7}, b'{"a":1}'),
        ({"type": "attachment", "filename": "ü", "length": 2}, b"\n\n"),
    ]
    assert found.event_id == ID
    assert envelope.parse(found.encode()).items == found.items


def test_an_envelope_without_an_event_has_no_id() -> None:
    assert "event_id" not in envelope.parse(envelope.build(None, "client_report", b"{}")).headers


def test_the_time_of_sending_is_set_and_set_again_without_touching_the_items() -> None:
    data = envelope.build(ID, "event", b'{"n":"\\n"}')
    first = envelope.as_sent(data, 0.25)
    again = envelope.as_sent(first, 1_700_000_000.999999)
    assert envelope.parse(first).headers["sent_at"] == "1970-01-01T00:00:00.250000Z"
    assert envelope.parse(again).headers["sent_at"] == "2023-11-14T22:13:20.999999Z"
    assert again.split(b"\n", 1)[1] == data.split(b"\n", 1)[1]


def test_the_key_is_put_on_a_trace_at_the_last_moment_unless_it_is_anothers() -> None:
    bare = envelope.build("a" * 32, "event", b"{}", {"trace_id": "b" * 32})
    assert envelope.parse(bare).headers["trace"] == {"trace_id": "b" * 32}
    sent = envelope.parse(envelope.as_sent(bare, 0.0, "key")).headers["trace"]
    assert sent == {"trace_id": "b" * 32, "public_key": "key"}
    theirs = envelope.build("a" * 32, "event", b"{}", {"trace_id": "b" * 32, "public_key": "theirs"})
    assert envelope.parse(envelope.as_sent(theirs, 0.0, "key")).headers["trace"]["public_key"] == "theirs"
    none = envelope.build("a" * 32, "event", b"{}")
    assert "trace" not in envelope.parse(envelope.as_sent(none, 0.0, "key")).headers


@pytest.mark.parametrize(
    "now, text", [(1.9999999, "1970-01-01T00:00:02.000000Z"), (59.5, "1970-01-01T00:00:59.500000Z")]
)
def test_times_are_rounded_to_whole_microseconds(now: float, text: str) -> None:
    assert envelope.rfc3339(now) == text


@pytest.mark.parametrize(
    "data, items",
    [
        (b"{}", []),
        (b"{}\n", []),
        (b'{}\n{"type":"x"}\nhello', [b"hello"]),
        (b'{}\n{"type":"x"}\nhello\n{"type":"y","length":0}\n', [b"hello", b""]),
        (b'{}\n{"type":"x","length":"3"}\nhello\n', [b"hello"]),
        (b'{}\n{"type":"x","length":-1}\nhello\n', [b"hello"]),
        (b'{}\n{"type":"x","length":null}\nhello\n', [b"hello"]),
        (b'{}\n{"type":"x","length":3}\na\nb\n\n{"type":"y","length":1}\nc', [b"a\nb", b"c"]),
        (b'{ }\r\n{"type":"unheard of","length":2}\r\n{}\n', [b"{}"]),
    ],
)
def test_a_reader_is_as_tolerant_as_the_servers(data: bytes, items: list[bytes]) -> None:
    assert [payload for _, payload in envelope.parse(data).items] == items


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]\n",
        b"nonsense",
        b"\xff\xfe\n",
        b'{}\n{"length":9}\nabc',
        b'{}\n{"length":2}\nabc\n',
        b"{}\n7\nabc\n",
        b"[" * 100_000,
    ],
)
def test_what_is_no_envelope_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        envelope.parse(data)


def test_an_event_that_is_too_large_loses_what_is_largest() -> None:
    frame = {
        "function": "f",
        "vars": {"a": "1"},
        "pre_context": ["x"],
        "context_line": "y",
        "post_context": ["z"],
    }
    event = {
        "event_id": ID,
        "exception": {"values": [{"type": "E", "stacktrace": {"frames": [frame]}}]},
        "threads": {"values": [{"stacktrace": {"frames": [dict(frame)]}}, "odd"]},
        "breadcrumbs": {"values": [{}]},
        "tags": {"a": "b"},
    }
    data = envelope.build(
        ID, "event", json.dumps(event).encode(), None, [({"type": "attachment"}, b"x" * 99)]
    )
    lean = envelope.slimmed(data)
    assert lean is not None
    found = envelope.parse(lean)
    assert len(found.items) == 1
    bare = {"function": "f", "context_line": "y"}
    assert json.loads(found.items[0][1]) == {
        "event_id": ID,
        "exception": {"values": [{"type": "E", "stacktrace": {"frames": [bare]}}]},
        "threads": {"values": [{"stacktrace": {"frames": [bare]}}, "odd"]},
        "tags": {"a": "b"},
    }
    assert envelope.slimmed(lean) is None
