"""openai: where the API counts no tokens, tiktoken does, if an encoding is named; its tables delay nothing."""

from __future__ import annotations

import threading

import pytest

from errtrack_instrumentations import _openai_tokens as tokens
from models import ModelServer
from talking import MESSAGES, Talk

openai = pytest.importorskip("openai")
tiktoken = pytest.importorskip("tiktoken")


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


@pytest.fixture(autouse=True)
def nothing_loaded(monkeypatch):
    monkeypatch.setattr(tokens, "_encodings", {})
    monkeypatch.setattr(tokens, "_loaded", [])


@pytest.fixture
def toy(monkeypatch):
    """An encoding in which every byte is a token."""
    from tiktoken import registry

    made = tiktoken.Encoding(
        "toy",
        pat_str=r"\S+|\s+",
        mergeable_ranks={bytes([n]): n for n in range(256)},
        special_tokens={"<|end|>": 256},
    )
    monkeypatch.setitem(registry.ENCODINGS, "toy", made)
    return made


def counted(talk) -> tuple[int, int, int]:
    data = talk.data()
    return tuple(data.get("gen_ai.usage.%s_tokens" % name, 0) for name in ("input", "output", "total"))


def test_streams_without_usage_are_counted(watching, client, toy) -> None:
    talk = Talk(watching, openai_tiktoken_encoding_name="toy")
    with talk.work():
        list(client.chat.completions.create(model="ok", messages=MESSAGES, stream=True))
    assert counted(talk) == (len("be nice" + "hi"), len("hello world"), 20)
    assert "gen_ai.request.messages" not in talk.data()


def test_without_an_encoding_nothing_is_counted(watching, client) -> None:
    talk = Talk(watching)
    with talk.work():
        list(client.chat.completions.create(model="ok", messages=MESSAGES, stream=True))
    assert counted(talk) == (0, 0, 0)


def test_what_the_api_says_goes_first(watching, client, toy) -> None:
    talk = Talk(watching, openai_tiktoken_encoding_name="toy")
    with talk.work():
        client.chat.completions.create(model="ok", messages=MESSAGES)
    assert counted(talk) == (20, 10, 30)


def test_whole_answers_parts_and_what_looks_like_a_special_token(watching, client, toy) -> None:
    talk = Talk(watching, openai_tiktoken_encoding_name="toy")
    said = [
        {
            "role": "user",
            "content": [{"type": "text", "text": "<|end|>"}, {"type": "image_url", "image_url": {}}],
        }
    ]
    with talk.work():
        client.chat.completions.create(model="bare", messages=said)
    assert counted(talk) == (7, 11, 18)
    talk.forget()
    with talk.work():
        client.embeddings.create(model="bare", input=["one", "three"])
    assert counted(talk) == (8, 0, 0)
    if hasattr(client, "responses"):
        talk.forget()
        with talk.work():
            client.responses.create(model="bare", input="hi", instructions="be nice")
        assert counted(talk) == (9, 11, 20)


def test_tables_that_take_long_are_waited_for_once_and_briefly(watching, client, toy, monkeypatch) -> None:
    let_go, asked = threading.Event(), []

    def slow(name):
        asked.append(name)
        let_go.wait(60)
        return toy

    monkeypatch.setattr(tiktoken, "get_encoding", slow)
    monkeypatch.setattr(tokens, "_PATIENCE", 0.01)
    talk = Talk(watching, openai_tiktoken_encoding_name="elsewhere")
    for _ in range(3):
        talk.forget()
        with talk.work():
            client.chat.completions.create(model="bare", messages=MESSAGES)
        assert counted(talk) == (0, 0, 0)
    assert asked == ["elsewhere"]
    let_go.set()
    for _ in range(2000):
        if tokens._encodings["elsewhere"] is toy:
            break
        threading.Event().wait(0.01)
    talk.forget()
    with talk.work():
        client.chat.completions.create(model="bare", messages=MESSAGES)
    assert counted(talk) == (9, 11, 20)


def test_tables_that_cannot_be_had_are_asked_for_once(watching, client, monkeypatch) -> None:
    asked = []

    def offline(name):
        asked.append(name)
        raise ConnectionError("offline")

    monkeypatch.setattr(tiktoken, "get_encoding", offline)
    monkeypatch.setattr(tokens, "_PATIENCE", 20)
    talk = Talk(watching, openai_tiktoken_encoding_name="elsewhere")
    for _ in range(3):
        talk.forget()
        with talk.work():
            client.chat.completions.create(model="bare", messages=MESSAGES)
        assert counted(talk) == (0, 0, 0)
    assert asked == ["elsewhere"]
