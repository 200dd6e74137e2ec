# SPDX-License-Identifier: MIT
"""errtrack test: one real event, and the server's real answer."""

from __future__ import annotations

import re

import pytest
from desk import Desk, Sink


def test_the_test_event_arrives_and_the_answer_is_shown(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERRTRACK_ENVIRONMENT", "staging")
    monkeypatch.setenv("ERRTRACK_TAGS", "team=blue")
    with Sink() as sink:
        monkeypatch.setenv("ERRTRACK_DSN", sink.dsn)
        result = desk.run("test")
        (event,) = sink.events()
    assert result.status == 0
    assert "HTTP 200 OK" in result.out and event["event_id"] in result.out
    assert "publickey" not in result.out
    assert event["environment"] == "staging" and event["tags"]["team"] == "blue"
    assert "publickey" in sink.requests[0][0]["x-sentry-auth"]


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (403, {"X_Sentry_Error": "bad \x1b[31m key"}, "reason  bad \\x1b[31m key"),
        (429, {"Retry_After": "60"}, "limits  60"),
        (500, {}, "HTTP 500 Internal Server Error"),
        (302, {"Location": "http://elsewhere.test/"}, "elsewhere.test"),
        (404, {}, "no such project"),
    ],
)
def test_a_refused_test_event_is_exit_status_1_with_the_reason(
    desk: Desk, status: int, headers: dict[str, str], expected: str
) -> None:
    with Sink(status, **headers) as sink:
        result = desk.run("test", "--dsn", sink.dsn)
    assert result.status == 1
    assert "HTTP %d" % status in result.out and expected in result.out
    assert "from --dsn" in result.out
    assert len(sink.requests) == 1


def test_an_unreachable_server_is_told(desk: Desk) -> None:
    with Sink() as sink:
        pass
    result = desk.run("test", "--dsn", sink.dsn)
    assert result.status == 1
    assert "answer  none: " in result.out and "could not be reached" in result.out


def test_without_a_dsn_the_test_event_is_kept_and_can_be_shown(desk: Desk) -> None:
    result = desk.run("test")
    assert result.status == 0
    shown = re.search(r"errtrack (show [0-9a-f]{8})", result.out)
    assert shown is not None
    assert "Test event of errtrack" in desk.run(*shown.group(1).split()).out


def test_what_stands_in_the_way_of_tls_is_told_with_what_to_do(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERRTRACK_CERT_FILE", "/no/such.pem")
    result = desk.run("test", "--dsn", "https://key@127.0.0.1:9/1")
    assert result.status == 1
    assert "cert_file: cannot use /no/such.pem (No such file or directory)" in result.out
    assert "It did not arrive: no trusted connection could be made; correct that setting." in result.out


def test_a_malformed_dsn_is_not_tested_as_if_there_were_none(desk: Desk) -> None:
    result = desk.run("test", "--dsn", "https://no-key.example.test/1")
    assert result.status == 1
    assert "no public key" in result.err
    assert desk.run("list", "--json").json["issues"] == []
