"""openai: errors are reported once, with status and request id, go on unchanged, and do not carry what was said."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from models import ModelServer
from talking import MESSAGES, Talk

openai = pytest.importorskip("openai")


@pytest.fixture(scope="module")
def server():
    with ModelServer() as started:
        yield started


@pytest.fixture(scope="module")
def shared(server):
    with openai.OpenAI(api_key="k", base_url=server.url, max_retries=0) as made:
        yield made


@pytest.fixture
def client(shared):
    return shared.copy()


@pytest.fixture
def talk(watching):
    return Talk(watching)


STATUSES = [
    (401, "AuthenticationError"),
    (404, "NotFoundError"),
    (429, "RateLimitError"),
    (500, "InternalServerError"),
]


@pytest.mark.parametrize(("status", "kind"), STATUSES)
def test_refused_requests(talk, client, status, kind) -> None:
    with talk.work(), pytest.raises(getattr(openai, kind)) as caught:
        client.chat.completions.create(model="http%d" % status, messages=MESSAGES)
    (event,) = talk.errors
    value = event["exception"]["values"][-1]
    assert (value["type"], value["mechanism"]) == (kind, {"type": "openai", "handled": False})
    assert event["level"] == "error"
    about = event["contexts"]["openai"]
    assert (about["status_code"], about["code"], about["type"]) == (status, "no", "refusal")
    if hasattr(caught.value, "request_id"):
        assert about["request_id"] == "req_7"
    span = talk.span()
    assert (span["status"], span["tags"]["status"]) == ("internal_error", "internal_error")
    assert span["data"]["http.response.status_code"] == status
    assert event["contexts"]["trace"]["span_id"] == span["span_id"]


def test_the_error_is_the_same_object_with_the_same_way(talk, client) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="http429", messages=MESSAGES)
    names = [frame.name for frame in caught.traceback]
    assert names[0] == "test_the_error_is_the_same_object_with_the_same_way"
    assert not {"fail", "throw", "observe"} & set(names)
    assert caught.value.__context__ is None or "errtrack" not in str(caught.value.__context__)


def test_the_event_shows_where_the_application_asked(talk, client) -> None:
    def asking():
        client.chat.completions.create(model="http429", messages=MESSAGES)

    with pytest.raises(openai.RateLimitError):
        asking()
    frames = talk.errors[0]["exception"]["values"][-1]["stacktrace"]["frames"]
    assert "asking" in [frame["function"] for frame in frames]
    assert not [frame for frame in frames if frame["module"].startswith("errtrack")]


def test_an_error_that_escapes_is_one_event(talk, client) -> None:
    import errtrack

    try:
        client.chat.completions.create(model="http429", messages=MESSAGES)
    except openai.RateLimitError as error:
        errtrack.capture_exception(error)
    assert len(talk.errors) == 1


def test_a_handled_error_can_be_a_breadcrumb(watching, client) -> None:
    import errtrack

    talk = Talk(watching, openai_errors="breadcrumb")
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="http429", messages=MESSAGES)
    assert talk.errors == []
    errtrack.capture_message("later")
    (crumb,) = talk.errors[0]["breadcrumbs"]["values"]
    assert (crumb["category"], crumb["level"]) == ("openai", "error")
    assert (crumb["data"]["error"], crumb["data"]["status_code"]) == ("RateLimitError", 429)


def test_answers_that_are_no_json(talk, client) -> None:
    with talk.work(), pytest.raises(Exception) as caught:
        client.chat.completions.create(model="garbage", messages=MESSAGES).choices[0]
    if isinstance(caught.value, json.JSONDecodeError):
        assert talk.errors[0]["exception"]["values"][-1]["type"] == "JSONDecodeError"
    assert len(talk.spans()) == 1


def test_raw_answers_that_are_no_json_fail_where_the_application_parses_them(talk, client) -> None:
    with talk.work():
        raw = client.chat.completions.with_raw_response.create(model="garbage", messages=MESSAGES)
        assert raw.http_response.content == b"<html>"
    assert len(talk.spans()) == 1
    assert talk.errors == []


def test_servers_that_are_not_there(talk) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening
        url = "http://127.0.0.1:%d/v1" % taken.getsockname()[1]
        refused = pytest.raises(openai.APIConnectionError)
        with openai.OpenAI(api_key="k", base_url=url, max_retries=0) as client, talk.work(), refused:
            client.embeddings.create(model="e", input="x")
    (event,) = talk.errors
    assert event["exception"]["values"][-1]["type"] == "APIConnectionError"
    assert talk.span()["status"] == "internal_error"


@pytest.mark.parametrize("tracing", [1.0, None], ids=["traced", "untraced"])
def test_async_errors(watching, server, tracing) -> None:
    talk = Talk(watching, traces_sample_rate=tracing)

    async def main() -> None:
        async with openai.AsyncOpenAI(api_key="k", base_url=server.url, max_retries=0) as client:
            with pytest.raises(openai.RateLimitError):
                await client.chat.completions.create(model="http429", messages=MESSAGES)
            with pytest.raises(openai.RateLimitError):
                await client.embeddings.create(model="http429", input="x")

    with talk.work():
        asyncio.run(main())
    assert [event["exception"]["values"][-1]["type"] for event in talk.errors] == ["RateLimitError"] * 2
    for event in talk.errors:
        assert "main" in [f["function"] for f in event["exception"]["values"][-1]["stacktrace"]["frames"]]


@pytest.mark.parametrize(
    ("pii", "prompts", "shown"), [(False, True, False), (True, False, False), (True, True, True)]
)
def test_variables_of_the_client_are_what_was_said(watching, client, pii, prompts, shown) -> None:
    talk = Talk(watching, send_default_pii=pii, openai_include_prompts=prompts)
    create = client.chat.completions.create
    with pytest.raises(openai.RateLimitError):
        create(model="http429", messages=[{"role": "user", "content": "a very " + "private prompt"}])
    frames = talk.errors[0]["exception"]["values"][-1]["stacktrace"]["frames"]
    inner = [frame for frame in frames if frame["module"].partition(".")[0] in ("openai", "httpx", "httpx2")]
    assert inner
    assert any("vars" in frame for frame in inner) is shown
    assert ("a very private prompt" in json.dumps(inner)) is shown


def test_a_failure_of_ours_changes_nothing(talk, client, faults_counted, monkeypatch) -> None:
    from errtrack_instrumentations import _openai_answer, _openai_errors, _openai_request

    def broken(*args):
        raise RuntimeError("ours")

    monkeypatch.setattr(_openai_request, "describe", broken)
    monkeypatch.setattr(_openai_answer.Answer, "describe", broken)
    monkeypatch.setattr(_openai_errors, "report", broken)
    with talk.work(), pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="http429", messages=MESSAGES)
    assert [span["status"] for span in talk.spans()] == ["internal_error"]
    assert faults_counted == {"openai": 2}
    talk.forget()
    with talk.work():
        assert client.chat.completions.create(model="ok", messages=MESSAGES).choices
    # Three are enough: from here on the application is left alone.
    with talk.work():
        assert client.chat.completions.create(model="ok", messages=MESSAGES).choices
    assert [len(event["spans"]) for event in talk.transactions] == [1, 0]
