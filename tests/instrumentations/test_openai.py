"""openai: what the spans of requests to models say, whichever API, client or way of asking."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import warnings

import pytest

from models import ModelServer
from talking import CONTENT, MESSAGES, TOKENS, Talk, opened

openai = pytest.importorskip("openai")

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "tells it",
            "parameters": {"type": "object"},
            "strict": True,
        },
    },
    {"type": "custom", "custom": {"name": "free", "description": "anything"}},
    "no tool",
]
IMAGE = "data:image/png;base64," + "QUJD" * 100


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
    return Talk(watching, send_default_pii=True)


def run(server, main):
    """Run main(client) with an async client."""

    async def whole():
        async with openai.AsyncOpenAI(api_key="k", base_url=server.url, max_retries=0) as client:
            return await main(client)

    return asyncio.run(whole())


def needs(client, *path):
    """The method of *client* at *path*, if this release has it."""
    for name in path:
        client = getattr(client, name, None)
        if client is None:
            pytest.skip("this release of openai has no %s" % ".".join(path))
    return client


def parse_of(client):
    return getattr(client.chat.completions, "parse", None) or needs(
        client, "beta", "chat", "completions", "parse"
    )


def test_a_whole_chat(talk, client, server) -> None:
    with talk.work():
        answer = client.chat.completions.create(
            model="ok", messages=MESSAGES, temperature=0.5, seed=7, stop=["x"]
        )
    assert answer.choices[0].message.content == "hello world"
    span = talk.span()
    assert (span["op"], span["description"], span["origin"]) == ("gen_ai.chat", "chat ok", "auto.ai.openai")
    assert talk.data() == {
        "gen_ai.system": "openai",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "ok",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": ["x"],
        "gen_ai.response.streaming": False,
        "gen_ai.system_instructions": [{"type": "text", "content": "be nice"}],
        "gen_ai.request.messages": [{"role": "user", "content": "hi"}],
        "gen_ai.response.model": "real-ok",
        "gen_ai.response.id": "chat_1",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.response.text": {"role": "assistant", "content": "hello world"},
        "server.address": "127.0.0.1",
        "server.port": server.port,
        **TOKENS,
    }
    assert talk.errors == []


@pytest.mark.parametrize(("pii", "prompts"), [(True, False), (False, True), (False, False)])
def test_what_was_said_needs_personal_data_and_prompts_allowed(watching, client, pii, prompts) -> None:
    talk = Talk(watching, send_default_pii=pii, openai_include_prompts=prompts)
    with talk.work():
        client.chat.completions.create(model="ok", messages=MESSAGES)
        list(client.chat.completions.create(model="tools", messages=MESSAGES, stream=True))
        client.embeddings.create(model="e", input="secret prompt")
        if hasattr(client, "responses"):
            client.responses.create(model="tools", input="hi", instructions="be nice")
    for span in talk.spans():
        assert not set(CONTENT) & set(span["data"])
        assert span["data"]["gen_ai.request.model"]
    assert talk.spans()[0]["data"]["gen_ai.usage.total_tokens"] == 30
    assert talk.spans()[1]["data"]["gen_ai.response.finish_reasons"] == '["tool_calls"]'


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize("content", ["be nice", [{"type": "text", "text": "be nice"}]], ids=["text", "parts"])
def test_instructions_are_apart_from_the_conversation(talk, client, role, content) -> None:
    messages = [{"role": role, "content": content}, {"role": "user", "content": "hi"}]
    with talk.work():
        client.chat.completions.create(model="ok", messages=messages)
    data = talk.data()
    assert data["gen_ai.system_instructions"] == [{"type": "text", "content": "be nice"}]
    assert data["gen_ai.request.messages"] == [{"role": "user", "content": "hi"}]


def test_a_generator_of_messages_still_reaches_the_api(talk, client, server) -> None:
    with talk.work():
        client.chat.completions.create(model="ok", messages=(message for message in MESSAGES))
    assert server.requests[-1][1]["messages"] == MESSAGES
    assert talk.data()["gen_ai.request.messages"] == [{"role": "user", "content": "hi"}]


def test_a_generator_that_fails_fails_where_it_did(talk, client) -> None:
    def messages():
        yield MESSAGES[0]
        raise LookupError("no more")

    with talk.work(), pytest.raises(LookupError, match="no more"):
        client.chat.completions.create(model="ok", messages=messages())


def test_a_generator_is_not_lost_to_a_failure_of_ours(
    talk, client, server, faults_counted, monkeypatch
) -> None:
    from errtrack_instrumentations import _openai

    def broken(op, name):
        raise RuntimeError("ours")

    monkeypatch.setattr(_openai, "started", broken)
    with talk.work():
        client.chat.completions.create(model="ok", messages=(message for message in MESSAGES))
    assert server.requests[-1][1]["messages"] == MESSAGES
    assert faults_counted == {"openai": 1}


def test_without_tracing_nothing_is_read_or_made(watching, client, server) -> None:
    talk = Talk(watching, send_default_pii=True, traces_sample_rate=None)

    class Messages(list):
        def __iter__(self):
            looked.append(inspect.stack()[1].filename)
            return super().__iter__()

    looked: list[str] = []
    messages = (message for message in MESSAGES)
    answer = client.chat.completions.create(model="ok", messages=messages)
    assert answer.choices[0].message.content == "hello world"
    client.chat.completions.create(model="ok", messages=Messages(MESSAGES))
    assert not any("errtrack" in name for name in looked)
    assert len(list(client.chat.completions.create(model="ok", messages=MESSAGES, stream=True))) == 4
    assert (talk.transactions, talk.errors) == ([], [])


def test_work_that_is_not_sampled_gets_no_transactions_of_its_requests(watching, client) -> None:
    talk = Talk(watching, traces_sample_rate=0.0)
    with talk.work():
        client.chat.completions.create(model="ok", messages=MESSAGES)
    assert talk.transactions == []


def test_outside_of_all_work_a_request_is_a_transaction(talk, client) -> None:
    client.chat.completions.create(model="ok", messages=MESSAGES)
    list(client.chat.completions.create(model="n2", messages=MESSAGES, stream=True))
    assert [event["transaction"] for event in talk.transactions] == ["chat ok", "chat n2"]
    for event in talk.transactions:
        trace = event["contexts"]["trace"]
        assert (trace["op"], trace["origin"], trace["status"]) == ("gen_ai.chat", "auto.ai.openai", "ok")
        assert opened(trace["data"])["gen_ai.request.messages"] == [{"role": "user", "content": "hi"}]


def test_arguments_that_the_client_refuses_are_refused_as_ever(talk, client, server) -> None:
    before = len(server.requests)
    with talk.work():
        with pytest.raises(TypeError):
            client.chat.completions.create(model="ok")
        with pytest.raises(TypeError):
            client.chat.completions.create(MESSAGES, "ok")
        with pytest.raises(TypeError):
            client.embeddings.create(model="ok")
    assert (talk.spans(), talk.errors, len(server.requests)) == ([], [], before)


def test_tools_are_defined_and_called(talk, client) -> None:
    tools = copy.deepcopy(TOOLS)[:2]
    with talk.work():
        client.chat.completions.create(
            model="tools", messages=MESSAGES, tools=tools, n=1, max_completion_tokens=99
        )
    data = talk.data()
    assert data["gen_ai.tool.definitions"] == [
        {"type": "function", "name": "weather", "description": "tells it", "parameters": {"type": "object"}},
        {"type": "custom", "name": "free", "description": "anything"},
    ]
    assert tools == TOOLS[:2]
    (call,) = data["gen_ai.response.tool_calls"]
    assert call["function"] == {"name": "weather", "arguments": '{"city":"Bern"}'}
    assert "None" not in json.dumps(data["gen_ai.response.text"])
    assert (data["gen_ai.request.max_tokens"], data["gen_ai.request.choice.count"]) == (99, 1)


def test_roles_are_made_common_and_the_callers_messages_left_alone(talk, client) -> None:
    messages = [
        {"role": "ai", "content": "yes?"},
        {"role": "human", "content": "no"},
        {"role": "tool_call", "content": "4"},
        {"role": "oracle", "content": "42"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}]},
    ]
    given = copy.deepcopy(messages)
    with talk.work():
        client.chat.completions.create(model="ok", messages=messages)
    shown = talk.data()["gen_ai.request.messages"]
    assert [message["role"] for message in shown] == ["assistant", "user", "tool", "oracle", "user"]
    assert shown[-1]["content"][0]["image_url"]["url"] == "[Blob substitute]"
    assert messages == given


def test_no_file_is_shown(talk, client) -> None:
    data = "QUJD" * 100
    parts = [
        {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64," + data, "filename": "a.pdf"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "text", "text": "what is this?"},
    ]
    with talk.work():
        client.chat.completions.create(model="ok", messages=[{"role": "user", "content": parts}])
    audio, file, image, words = talk.data()["gen_ai.request.messages"][0]["content"]
    assert audio["input_audio"] == {"data": "[Blob substitute]", "format": "wav"}
    assert file["file"] == {"file_data": "[Blob substitute]", "filename": "a.pdf"}
    assert (image, words) == (parts[2], parts[3])


def test_secrets_in_what_was_said_are_filtered(talk, client) -> None:
    said = [
        {"role": "user", "content": "x", "api_key": "abcdefghijkl"},
        {"role": "user", "content": "use api_key=abcdefghijkl"},
    ]
    with talk.work():
        client.chat.completions.create(model="ok", messages=said)
    assert "abcdefghijkl" not in talk.span()["data"]["gen_ai.request.messages"]


def test_messages_that_are_models_are_shown_as_their_fields(talk, client) -> None:
    with talk.work():
        answer = client.chat.completions.create(model="tools", messages=MESSAGES)
        result = {"role": "tool", "tool_call_id": "call_1", "content": "rain"}
        client.chat.completions.create(model="ok", messages=[*MESSAGES, answer.choices[0].message, result])
    shown = opened(talk.spans()[1]["data"])["gen_ai.request.messages"]
    assert shown[1]["tool_calls"][0]["function"]["name"] == "weather"
    assert shown[2] == result


def test_long_conversations_keep_their_newest_messages_and_are_json(talk, client) -> None:
    messages = [{"role": "user", "content": "%d " % number + "x" * 12_000} for number in range(5)]
    with talk.work():
        client.chat.completions.create(model="ok", messages=messages)
    (shown,) = talk.data()["gen_ai.request.messages"]
    assert shown["content"].startswith("4 ") and shown["content"].endswith("...")
    assert len(shown["content"]) == 10_003
    noted = talk.transactions[0]["_meta"]["spans"]["0"]["data"]["gen_ai.request.messages"]
    assert noted[""] == {"len": 5}


def test_answers_without_choices(talk, client) -> None:
    with talk.work():
        assert client.chat.completions.create(model="odd", messages=MESSAGES).choices is None
    assert "gen_ai.response.text" not in talk.data()


def test_answers_with_several_choices(talk, client) -> None:
    with talk.work():
        client.chat.completions.create(model="n2", messages=MESSAGES, n=2)
    data = talk.data()
    assert [message["content"] for message in data["gen_ai.response.text"]] == ["hello world", "bye"]
    assert data["gen_ai.response.finish_reasons"] == ["stop", "stop"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("one", ["one"]),
        (["one", "two"], ["one", "two"]),
        ((text for text in ("one", "two")), ["one", "two"]),
        ([1, 2, 3], [1, 2, 3]),
        ([[1, 2], [3]], [[1, 2], [3]]),
        ({"not": "meant"}, None),
        (["x" * 15_000, "y" * 15_000], ["y" * 10_000 + "..."]),
    ],
    ids=["text", "texts", "iterator", "tokens", "lists of tokens", "dict", "long"],
)
def test_embeddings(talk, client, server, given, shown) -> None:
    with talk.work():
        client.embeddings.create(model="e", input=given, dimensions=2)
    data = talk.data()
    assert talk.span()["op"] == "gen_ai.embeddings"
    assert data.get("gen_ai.embeddings.input") == shown
    assert (data["gen_ai.request.model"], data["gen_ai.response.model"]) == ("e", "real-e")
    assert (data["gen_ai.usage.input_tokens"], data["gen_ai.usage.total_tokens"]) == (4, 4)
    assert "gen_ai.response.streaming" not in data
    if shown == ["one", "two"]:
        assert server.requests[-1][1]["input"] == shown


def test_completions_of_the_old_kind(talk, client) -> None:
    with talk.work():
        client.completions.create(model="ok", prompt="say hello")
        list(client.completions.create(model="ok", prompt="say hello", stream=True))
    for span in talk.spans():
        data = opened(span["data"])
        assert (span["op"], span["description"]) == ("gen_ai.text_completion", "text_completion ok")
        assert data["gen_ai.request.messages"] == ["say hello"]
        assert data["gen_ai.response.text"] == "hello world"
        assert data["gen_ai.response.finish_reasons"] == ["length"]


RESPONSES = [
    ({"input": "hi", "instructions": "be nice"}, ["be nice"], ["hi"]),
    (
        {"input": [{"role": "system", "content": "be nice"}, {"role": "user", "content": "hi"}]},
        ["be nice"],
        [{"role": "user", "content": "hi"}],
    ),
    (
        {
            "input": [
                {
                    "type": "message",
                    "role": "developer",
                    "content": [{"type": "input_text", "text": "short"}],
                },
                {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
            ],
            "instructions": "be nice",
        },
        ["be nice", "short"],
        [{"type": "function_call_output", "call_id": "call_1", "output": "rain"}],
    ),
    ({"instructions": "be nice"}, ["be nice"], None),
    ({}, None, None),
]


@pytest.mark.parametrize(("asked", "instructions", "messages"), RESPONSES, ids=list("abcde"))
def test_responses(talk, client, asked, instructions, messages) -> None:
    create = needs(client, "responses", "create")
    if "input" not in asked and "input" in str(inspect.signature(create).parameters["input"].default):
        pytest.skip("this release wants an input")
    with talk.work():
        try:
            create(model="ok", max_output_tokens=7, reasoning={"effort": "low"}, **asked)
        except TypeError:
            pytest.skip("this release wants an input")
    span, data = talk.span(), talk.data()
    assert (span["op"], span["description"]) == ("gen_ai.responses", "responses ok")
    shown = data.get("gen_ai.system_instructions")
    assert (shown and [row["content"] for row in shown]) == instructions
    assert data.get("gen_ai.request.messages") == messages
    assert (data["gen_ai.response.text"], data["gen_ai.response.model"]) == ("hello world", "real-ok")
    assert (data["gen_ai.request.max_tokens"], data["gen_ai.request.reasoning.level"]) == (7, "low")
    assert data["gen_ai.response.id"] == "resp_1"
    assert TOKENS.items() <= data.items()


def test_responses_that_call_a_tool(talk, client) -> None:
    create = needs(client, "responses", "create")
    tools = [
        {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": True},
        {"type": "web_search_preview", "user_location": {"type": "approximate", "city": "Bern"}},
    ]
    with talk.work():
        create(model="tools", input="hi", tools=tools, extra_body={"conversation": "conv_1"})
    data = talk.data()
    assert data["gen_ai.tool.definitions"] == [
        {"type": "function", "name": "weather", "parameters": {"type": "object"}},
        {"type": "web_search_preview"},
    ]
    (call,) = data["gen_ai.response.tool_calls"]
    assert (call["name"], call["arguments"]) == ("weather", '{"city":"Bern"}')
    assert "gen_ai.response.text" not in data


@pytest.mark.parametrize("conversation", ["conv_1", {"id": "conv_1"}], ids=["text", "dict"])
def test_conversation_of_a_response(talk, client, conversation) -> None:
    create = needs(client, "responses", "create")
    if "conversation" not in inspect.signature(create).parameters:
        pytest.skip("this release of openai has no conversations")
    with talk.work():
        create(model="ok", input="hi", conversation=conversation)
    assert talk.data()["gen_ai.conversation.id"] == "conv_1"


def test_parsed_answers_are_one_span_each(talk, client) -> None:
    import pydantic

    class Answer(pydantic.BaseModel):
        answer: int

    parse = parse_of(client)
    with talk.work():
        parsed = parse(model="ok", messages=MESSAGES, response_format=Answer)
        assert parsed.choices[0].message.parsed == Answer(answer=42)
        if hasattr(getattr(client, "responses", None), "parse"):
            assert (
                client.responses.parse(model="ok", input="hi", text_format=Answer).output_parsed.answer == 42
            )
    spans = talk.spans()
    assert [span["op"] for span in spans] in (["gen_ai.chat"], ["gen_ai.chat", "gen_ai.responses"])
    for span in spans:
        assert "42" in span["data"]["gen_ai.response.text"]
        assert TOKENS.items() <= span["data"].items()


def test_raw_answers(talk, client) -> None:
    with talk.work():
        raw = client.chat.completions.with_raw_response.create(model="ok", messages=MESSAGES)
        assert type(raw).__name__ == "LegacyAPIResponse"
        assert raw.headers["x-request-id"] == "req_7"
        assert raw.parse().choices[0].message.content == "hello world"
    assert TOKENS.items() <= talk.data().items()
    assert talk.data()["gen_ai.response.text"]["content"] == "hello world"


def test_raw_answers_are_not_parsed_for_nothing(watching, client, monkeypatch) -> None:
    Talk(watching, traces_sample_rate=None)
    raw = client.chat.completions.with_raw_response.create(model="ok", messages=MESSAGES)
    assert vars(raw).get("_parsed_by_type", {}) == {}
    assert raw.parse().choices


def test_raw_answers_whose_body_is_streamed_are_not_read(talk, client) -> None:
    streaming = client.chat.completions.with_streaming_response
    with talk.work(), streaming.create(model="ok", messages=MESSAGES) as response:
        assert type(response).__name__ == "APIResponse"
        assert not response.http_response.is_stream_consumed
        assert b"hello world" in response.read()
    assert talk.data()["gen_ai.request.model"] == "ok"


def test_options_of_a_client_and_its_module_level_twin(talk, client, server, monkeypatch) -> None:
    monkeypatch.setattr(openai, "api_key", "k")
    monkeypatch.setattr(openai, "base_url", server.url)
    with talk.work():
        client.with_options(timeout=30).chat.completions.create(model="ok", messages=MESSAGES)
        openai.chat.completions.create(model="ok", messages=MESSAGES)
    assert [span["description"] for span in talk.spans()] == ["chat ok", "chat ok"]
    getattr(openai, "_reset_client", lambda: None)()


def test_azure(talk, server) -> None:
    azure = openai.AzureOpenAI(
        api_key="k", api_version="2024-01-01", azure_endpoint=server.root, max_retries=0
    )
    with azure, talk.work():
        azure.chat.completions.create(model="ok", messages=MESSAGES)
    assert server.requests[-1][0] == "/openai/deployments/ok/chat/completions"
    assert TOKENS.items() <= talk.data().items()


def test_retries_of_the_client_are_one_span(talk, server, monkeypatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    before = len(server.requests)
    refused = pytest.raises(openai.InternalServerError)
    with openai.OpenAI(api_key="k", base_url=server.url, max_retries=2) as client, talk.work(), refused:
        client.chat.completions.create(model="http500", messages=MESSAGES)
    assert len(server.requests) - before == 3
    assert talk.span()["status"] == "internal_error"
    assert len(talk.errors) == 1


def test_async_clients(talk, server) -> None:
    async def main(client):
        assert await client.chat.completions.create(model="ok", messages=MESSAGES)
        assert await client.chat.completions.create(model="ok", messages=(message for message in MESSAGES))
        assert await client.embeddings.create(model="e", input="one")
        assert await client.completions.create(model="ok", prompt="hi")
        if hasattr(client, "responses"):
            assert await client.responses.create(model="ok", input="hi")
        raw = await client.chat.completions.with_raw_response.create(model="ok", messages=MESSAGES)
        assert raw.parse().id == "chat_1"

    with talk.work():
        run(server, main)
    spans = talk.spans()
    assert len(spans) >= 5
    for span in spans:
        assert span["data"]["gen_ai.usage.input_tokens"]
    assert opened(spans[1]["data"])["gen_ai.request.messages"] == [{"role": "user", "content": "hi"}]
    assert TOKENS.items() <= spans[-1]["data"].items()


def test_async_parse(talk, server) -> None:
    import pydantic

    class Answer(pydantic.BaseModel):
        answer: int

    async def main(client):
        parsed = await parse_of(client)(model="ok", messages=MESSAGES, response_format=Answer)
        assert parsed.choices[0].message.parsed.answer == 42

    with talk.work():
        run(server, main)
    assert TOKENS.items() <= talk.data().items()


def test_requests_side_by_side_are_children_of_the_work_and_not_of_each_other(talk, server) -> None:
    async def main(client):
        ask = client.chat.completions.create
        await asyncio.gather(*(ask(model="ok", messages=MESSAGES) for _ in range(5)))

    with talk.work() as transaction:
        run(server, main)
    assert len(talk.spans()) == 5
    # Without the instrumentation of asyncio tasks share one span in hand; with it each has its own.
    assert transaction.span_id in {span["parent_span_id"] for span in talk.spans()}


def test_functions_keep_their_looks(watching) -> None:
    from openai.resources.chat import completions

    names = [(cls, name) for cls in ("Completions", "AsyncCompletions") for name in ("create", "parse")]
    before = {}
    for cls, name in names:
        function = getattr(getattr(completions, cls), name, None)
        if function is not None:
            before[cls, name] = (function, inspect.signature(function), inspect.iscoroutinefunction(function))
    Talk(watching)
    for (cls, name), (function, signature, is_coroutine) in before.items():
        now = getattr(getattr(completions, cls), name)
        assert now is not function
        assert (inspect.signature(now), inspect.iscoroutinefunction(now)) == (signature, is_coroutine)
        assert (now.__name__, now.__qualname__) == (function.__name__, function.__qualname__)


def test_a_coroutine_keeps_its_name(talk, server) -> None:
    async def main(client):
        coroutine = client.chat.completions.create(model="ok", messages=MESSAGES)
        assert inspect.iscoroutine(coroutine)
        assert coroutine.__qualname__ == "AsyncCompletions.create"
        await coroutine

    run(server, main)


@pytest.mark.parametrize("end", ["close", "throw", "cancel", "forget", "await"])
def test_a_coroutine_that_is_not_awaited_is_told_of_as_ever(talk, server, end: str) -> None:
    async def main(client):
        coroutine = client.chat.completions.create(model="ok", messages=MESSAGES)
        if end == "close":
            coroutine.close()
        elif end == "throw":
            with pytest.raises(KeyError):
                coroutine.throw(KeyError())
        elif end == "cancel":
            task = asyncio.ensure_future(coroutine)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        elif end == "await":
            await coroutine

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(server, main)
    told = [str(warning.message) for warning in caught if "never awaited" in str(warning.message)]
    assert told == ["coroutine 'AsyncCompletions.create' was never awaited"] * (end == "forget")


def test_switched_off_in_code(talk, client) -> None:
    import errtrack

    errtrack.init(pytest=True, disable=["openai"], traces_sample_rate=1.0)
    from openai.resources.chat import completions

    assert not hasattr(completions.Completions.create, "__errtrack_driven__")


def test_a_program_under_the_launcher(sandbox, server) -> None:
    result = sandbox.python(
        "import openai\n"
        "client = openai.OpenAI(api_key='k', base_url=%r, max_retries=0)\n"
        "said = [{'role': 'user', 'content': 'a private prompt'}]\n"
        "print(client.chat.completions.create(model='ok', messages=said).choices[0].message.content)\n"
        "for chunk in client.chat.completions.create(model='ok', messages=said, stream=True):\n"
        "    pass\n"
        "client.chat.completions.create(model='http429', messages=said)\n" % server.url,
        ERRTRACK_TRACES_SAMPLE_RATE="1.0",
    )
    assert result.stdout == "hello world\n"
    assert "RateLimitError" in result.stderr
    (event,) = [event for event in sandbox.events() if event.get("type") != "transaction"]
    error = event["exception"]["values"][-1]
    assert (error["type"], error["mechanism"]["type"]) == ("RateLimitError", "openai")
    assert event["contexts"]["openai"]["request_id"] == "req_7"
    modules = [frame.get("module", "") for frame in error["stacktrace"]["frames"]]
    assert modules[0] == "__main__"
