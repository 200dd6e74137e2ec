# SPDX-License-Identifier: MIT
"""The bytes on the wire, as a server gets them: whole envelopes, compared to the byte."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from running import Running
from sink import Sink

import errtrack
from errtrack.delivery.envelope import VERSION

KEY = "d45fd436a6294e4f8b6d5ef4a4f0d1c3"


@pytest.fixture
def steady(running: Running, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> Running:
    """A client whose events hold nothing of this machine and this moment."""
    from errtrack import instrumentation, process

    monkeypatch.setattr(instrumentation, "active", {})
    monkeypatch.setattr(process, "_contexts", dict)
    running.send_to(
        sink, server_name="box", release="shop@1.0", environment="test", dist="7", tags={"a": "b"}
    )
    scope = errtrack.get_isolation_scope()
    scope.get_propagation().trace_id = "1" * 32
    scope.get_propagation().span_id = "2" * 16
    scope.set_context("process", {"pid": 1})
    return running


def body(sink: Sink) -> bytes:
    (request,) = sink.accepted
    data = re.sub(rb'"sent_at":"[0-9T:.-]+Z"', b'"sent_at":"NOW"', request.body)
    assert data != request.body
    return data


def test_a_message_with_an_attachment(steady: Running, sink: Sink) -> None:
    errtrack.set_user({"id": 5, "plan": "Größe"})
    errtrack.add_attachment(b"one\ntwo\n", "notes.txt")
    errtrack.capture_event(
        {"event_id": "a" * 31 + "b", "timestamp": 1_790_000_000.25, "level": "warning", "message": "größer"}
    )
    assert steady.clients[-1].flush(10)
    version = VERSION.encode()
    payload = (
        '{"event_id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab","timestamp":"2026-09-21T14:13:20.250000Z","level":"warning",'
        '"user":{"id":"5","data":{"plan":"Größe"}},'
        '"contexts":{"process":{"pid":1},"trace":{"trace_id":"11111111111111111111111111111111",'
        '"span_id":"2222222222222222"}},"platform":"python","environment":"test","server_name":"box",'
        '"release":"shop@1.0","dist":"7","tags":{"a":"b"},"logentry":{"formatted":"größer"},'
        '"sdk":{"name":"errtrack.python","version":"%s","packages":[{"name":"pypi:errtrack-run","version":"%s"}]}}'
        % (VERSION, VERSION)
    ).encode()
    assert body(sink) == (
        b'{"event_id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab","sdk":{"name":"errtrack.python","version":"' + version
        + b'"},"trace":{"trace_id":"11111111111111111111111111111111","environment":"test","release":"shop@1.0",'
        + b'"public_key":"' + KEY.encode() + b'"},"sent_at":"NOW"}\n{"type":"event",'
        + b'"content_type":"application/json","length":%d}\n' % len(payload)
        + payload
        + b'\n{"type":"attachment","filename":"notes.txt","content_type":"text/plain",'
        b'"attachment_type":"event.attachment","length":8}\none\ntwo\n\n'
    )  # fmt: skip


def test_a_check_in(steady: Running, sink: Sink) -> None:
    errtrack.capture_checkin("job", "c" * 32, "ok", 1.5, {"schedule": (2, "hour")})
    assert steady.clients[-1].flush(10)
    payload = (
        b'{"check_in_id": "cccccccccccccccccccccccccccccccc", "monitor_slug": "job", "status": "ok", '
        b'"environment": "test", "contexts": {"trace": {"trace_id": "11111111111111111111111111111111"}}, '
        b'"release": "shop@1.0", "duration": 1.5, "monitor_config": {"schedule": {"type": "interval", "value": 2, '
        b'"unit": "hour"}}}'
    )
    assert body(sink) == (
        b'{"sdk":{"name":"errtrack.python","version":"' + VERSION.encode() + b'"},"sent_at":"NOW"}\n'
        b'{"type":"check_in","content_type":"application/json","length":%d}\n%s\n' % (len(payload), payload)
    )  # fmt: skip


def test_the_request_says_who_sends_what_and_how(steady: Running, sink: Sink) -> None:
    errtrack.capture_message("x" * 2000)
    assert steady.clients[-1].flush(10)
    (request,) = sink.accepted
    assert request.path == "/api/1/envelope/"
    client = "errtrack.python/" + VERSION
    assert request.headers["x-sentry-auth"] == (
        "Sentry sentry_key=%s, sentry_version=7, sentry_client=%s" % (KEY, client)
    )
    assert (request.headers["user-agent"], request.headers["content-encoding"]) == (client, "gzip")
    assert request.headers["content-type"] == "application/x-sentry-envelope"


def test_only_attributes_of_the_schema_are_sent(steady: Running, sink: Sink) -> None:
    """One unknown attribute, and a server that validates loses the whole event."""
    known = set(
        "breadcrumbs contexts culprit debug_meta dist environment errors event_id exception extra fingerprint level "
        "logentry logger modules platform release request sdk server_name tags threads timestamp transaction "
        "transaction_info type user _meta".split()
    )
    errtrack.capture_event(
        {
            **{key: {"unknown": 1} for key in known - {"logentry"}},
            "message": "m",
            "spans": [],
            "received": 1,
            "x": 2,
        }
    )
    (event,) = steady.trees(sink, "event")
    assert set(event) <= known - {"culprit", "debug_meta", "errors"}
    assert "message" not in event and event["logentry"]["formatted"]


def test_an_event_over_a_megabyte_is_sent_and_says_what_it_lost(steady: Running, sink: Sink) -> None:
    values: dict[str, Any] = {"part %d" % n: {"text": "x" * 1000, "list": list(range(50))} for n in range(40)}
    errtrack.capture_event(
        {
            "message": "large", "extra": values,
            "breadcrumbs": {"values": [{"message": "y" * 4000, "data": values} for _ in range(100)]},
            "exception": {"values": [{"type": "E", "value": "v", "stacktrace": {"frames": [
                {"function": "f", "vars": {"v%d" % n: "z" * 1000 for n in range(20)}} for _ in range(200)]}}]},
        }
    )  # fmt: skip
    ((_, payload),) = steady.items(sink, "event")
    assert len(payload) < 1_000_000
    event = json.loads(payload)
    assert event["exception"]["values"][0]["value"] == "v" and event["_meta"]
