"""openai: streams stay what they are, piece by piece, and their span ends once, however they do."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import pytest

import errtrack
from models import ModelServer
from talking import MESSAGES, TOKENS, Talk

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
    return Talk(watching, send_default_pii=True)


def stream_of(client, model="ok", **more):
    return client.chat.completions.create(model=model, messages=MESSAGES, stream=True, **more)


def helper_of(client):
    helper = getattr(client.chat.completions, "stream", None)
    if helper is None:
        helper = getattr(getattr(client.beta, "chat", None), "completions", None)
        helper = getattr(helper, "stream", None)
    if helper is None:
        pytest.skip("this release of openai has no .stream()")
    return helper


def run(server, main):
    async def whole():
        async with openai.AsyncOpenAI(api_key="k", base_url=server.url, max_retries=0) as client:
            return await main(client)

    return asyncio.run(whole())


def test_pieces_arrive_unchanged_and_make_up_the_answer(talk, client) -> None:
    with talk.work():
        pieces = list(stream_of(client))
    texts = [piece.choices[0].delta.content for piece in pieces]
    assert texts == ["", "hello ", "world", None]
    data = talk.data()
    assert data["gen_ai.response.text"] == "hello world"
    assert data["gen_ai.response.finish_reasons"] == ["stop"]
    assert (data["gen_ai.response.model"], data["gen_ai.response.id"]) == ("real-ok", "chat_1")
    assert data["gen_ai.response.streaming"] is True
    assert isinstance(data["gen_ai.response.time_to_first_token"], float)
    assert 0 < data["gen_ai.response.time_to_first_token"] < 60
    assert not [name for name in data if name.startswith("gen_ai.usage.")]
    assert talk.errors == []


def test_usage_comes_with_the_last_piece_if_asked_for(talk, client, server) -> None:
    with talk.work():
        pieces = list(stream_of(client, stream_options={"include_usage": True}))
    assert pieces[-1].choices == []
    assert TOKENS.items() <= talk.data().items()
    with talk.work():
        list(stream_of(client))
    assert "stream_options" not in server.requests[-1][1]


def test_async_streams_with_usage(talk, server) -> None:
    async def main(client):
        stream = await stream_of(client, stream_options={"include_usage": True})
        assert [len(piece.choices) async for piece in stream] == [1, 1, 1, 1, 0]

    with talk.work():
        run(server, main)
    data = talk.data()
    assert TOKENS.items() <= data.items()
    assert data["gen_ai.response.text"] == "hello world"
    assert data["gen_ai.request.messages"] == [{"role": "user", "content": "hi"}]


def test_a_piece_costs_next_to_nothing(talk) -> None:
    """The goal is 2 microseconds; the bound has room for a machine that is busy with other things."""
    from types import SimpleNamespace

    from errtrack.instrumentation import Call
    from errtrack_instrumentations import _openai, _openai_request, _openai_stream

    delta = SimpleNamespace(content="word ", tool_calls=None)
    choice = SimpleNamespace(index=0, delta=delta, finish_reason=None)
    piece = SimpleNamespace(choices=[choice], usage=None, model="m", id="i")

    def seconds(watched):
        stream = SimpleNamespace(_iterator=iter([piece] * 1000))
        if watched:
            request = _openai.Request(
                _openai_request.CHAT, Call((object(),), {"messages": [], "stream": True})
            )
            request.begin()
            request.leave()
            assert _openai_stream.watch(stream, request)
        began = time.perf_counter()
        for _ in stream._iterator:
            pass
        return (time.perf_counter() - began) / 1000

    with talk.work():
        bare = min(seconds(False) for _ in range(20))
        watched = min(seconds(True) for _ in range(20))
    assert watched - bare < 10e-6


def test_numbers_of_nothing_are_not_set(talk, client) -> None:
    with talk.work():
        list(stream_of(client, "quiet", stream_options={"include_usage": True}))
    data = talk.data()
    assert (data["gen_ai.usage.input_tokens"], data["gen_ai.usage.total_tokens"]) == (20, 20)
    assert "gen_ai.usage.output_tokens" not in data
    assert "gen_ai.response.text" not in data


def test_choices_are_not_mixed(talk, client) -> None:
    with talk.work():
        list(stream_of(client, "n2", n=2))
    data = talk.data()
    assert data["gen_ai.response.text"] == ["hello world", "goodbye"]
    assert data["gen_ai.response.finish_reasons"] == ["stop", "length"]


def test_pieces_of_calls_are_put_together(talk, client) -> None:
    with talk.work():
        list(stream_of(client, "tools"))
    data = talk.data()
    function = {"name": "weather", "arguments": '{"city":"Bern"}'}
    assert data["gen_ai.response.tool_calls"] == [{"id": "call_1", "type": "function", "function": function}]
    assert "gen_ai.response.text" not in data


def test_the_object_is_the_clients_own(talk, client) -> None:
    stream = stream_of(client)
    assert isinstance(stream, openai.Stream)
    assert type(stream) is openai.Stream
    assert stream.response.status_code == 200
    assert iter(stream._iterator) is stream._iterator
    assert stream._iterator.gi_frame is not None  # what the client's own generator has
    assert next(stream).choices[0].delta.role == "assistant"
    assert [piece.choices[0].delta.content for piece in stream] == ["hello ", "world", None]
    with pytest.raises(StopIteration):
        next(stream)


def test_nothing_is_read_ahead(talk, server) -> None:
    server.let_go.clear()
    with openai.OpenAI(api_key="k", base_url=server.url, max_retries=0) as client, talk.work():
        stream = stream_of(client, "waits")
        try:
            # The server holds back the rest until these two have been seen here.
            assert next(stream).choices[0].delta.content == ""
            assert next(stream).choices[0].delta.content == "hello "
        finally:
            server.let_go.set()
        assert len(list(stream)) == 2
    assert talk.data()["gen_ai.response.text"] == "hello world"


def exhausted(client):
    list(stream_of(client))


def closed_after_one(client):
    stream = stream_of(client)
    next(stream)
    stream.close()
    stream.close()


def left_early(client):
    with stream_of(client) as stream:
        for _ in stream:
            break


def left_by_an_exception(client):
    with pytest.raises(KeyError), stream_of(client) as stream:
        next(stream)
        raise KeyError("the application's")


def broken_out_of(client):
    for _ in stream_of(client):
        break


def never_iterated(client):
    stream_of(client)


def read_on_after_the_end(client):
    stream = stream_of(client)
    list(stream)
    assert list(stream) == []
    stream.close()


def raw(client):
    response = client.chat.completions.with_raw_response.create(model="ok", messages=MESSAGES, stream=True)
    stream = response.parse()
    assert isinstance(stream, openai.Stream)
    assert response.parse() is stream
    assert len(list(stream)) == 4


def raw_and_closed(client):
    response = client.chat.completions.with_raw_response.create(model="ok", messages=MESSAGES, stream=True)
    with response.parse() as stream:
        next(stream)


def body_streamed(client):
    streaming = client.chat.completions.with_streaming_response
    with streaming.create(model="ok", messages=MESSAGES, stream=True) as response:
        assert b"hello" in b"".join(response.iter_bytes())


WAYS = [
    exhausted, closed_after_one, left_early, left_by_an_exception, broken_out_of, never_iterated,
    read_on_after_the_end, raw, raw_and_closed, body_streamed,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("has_work", [True, False], ids=["in a transaction", "alone"])
def test_the_span_ends_once_on_every_way_out(talk, client, way, has_work) -> None:
    if has_work:
        with talk.work():
            way(client)
            gc.collect()
        assert talk.span()["description"] == "chat ok"
        assert "status" not in talk.span()
    else:
        way(client)
        gc.collect()
        (event,) = talk.transactions
        assert (event["transaction"], event["contexts"]["trace"]["status"]) == ("chat ok", "ok")
    assert talk.errors == []


async def async_exhausted(client):
    assert [piece.choices[0].delta.content async for piece in await stream_of(client)] == [
        "",
        "hello ",
        "world",
        None,
    ]


async def async_closed_after_one(client):
    stream = await stream_of(client)
    assert type(stream) is openai.AsyncStream
    async for _ in stream:
        break
    await stream.close()


async def async_left_early(client):
    async with await stream_of(client) as stream:
        async for _ in stream:
            break


async def async_left_by_an_exception(client):
    with pytest.raises(KeyError):
        async with await stream_of(client) as stream:
            await stream.__anext__()
            raise KeyError("the application's")


async def async_never_iterated(client):
    stream = await stream_of(client)
    await stream.response.aclose()
    del stream


async def async_broken_out_of(client):
    async for _ in await stream_of(client):
        break
    gc.collect()
    for _ in range(10):
        await asyncio.sleep(0.01)


async def async_raw(client):
    create = client.chat.completions.with_raw_response.create
    response = await create(model="ok", messages=MESSAGES, stream=True)
    assert len([piece async for piece in response.parse()]) == 4


ASYNC_WAYS = [
    async_exhausted, async_closed_after_one, async_left_early, async_left_by_an_exception,
    async_never_iterated, async_broken_out_of, async_raw,
]  # fmt: skip


@pytest.mark.parametrize("way", ASYNC_WAYS, ids=lambda way: way.__name__)
def test_async_streams_end_once_on_every_way_out(talk, server, way) -> None:
    with talk.work():
        run(server, way)
        gc.collect()
    assert talk.span()["description"] == "chat ok"
    assert talk.errors == []


def test_a_cancelled_task_is_no_error(talk, server) -> None:
    server.let_go.clear()

    async def main(client):
        stream = await stream_of(client, "waits")
        read = asyncio.Event()

        async def consume():
            async for piece in stream:
                if piece.choices[0].delta.content == "hello ":
                    read.set()

        task = asyncio.ensure_future(consume())
        await asyncio.wait_for(read.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.let_go.set()

    with talk.work():
        run(server, main)
    assert talk.span()["status"] == "cancelled"
    assert talk.data()["gen_ai.response.text"] == "hello "
    assert talk.errors == []


def test_a_cancelled_request_is_no_error(talk, server) -> None:
    async def main(client):
        task = asyncio.ensure_future(client.chat.completions.create(model="ok", messages=MESSAGES))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with talk.work():
        run(server, main)
    assert [span.get("status") for span in talk.spans()] == ["cancelled"]
    assert talk.errors == []


@pytest.mark.parametrize("model", ["breaks", "cut"])
def test_a_stream_that_breaks_off_is_an_error_and_a_finished_span(talk, client, model) -> None:
    with talk.work(), pytest.raises(Exception) as caught:
        list(stream_of(client, model))
    assert talk.span()["status"] == "internal_error"
    assert talk.data()["gen_ai.response.text"] == "hello "
    (event,) = talk.errors
    values = event["exception"]["values"]
    assert values[-1]["type"] == type(caught.value).__name__
    assert {value["mechanism"]["type"] for value in values} >= {"openai"}
    assert event["contexts"]["trace"]["span_id"] == talk.span()["span_id"]


def test_without_tracing_a_stream_that_breaks_off_is_an_error_all_the_same(watching, client) -> None:
    talk = Talk(watching, traces_sample_rate=None)
    with pytest.raises(openai.APIError):
        list(stream_of(client, "breaks"))
    assert len(talk.errors) == 1


def test_an_async_stream_that_breaks_off(talk, server) -> None:
    async def main(client):
        with pytest.raises(openai.APIError, match="exploded"):
            async for _ in await stream_of(client, "breaks"):
                pass

    with talk.work():
        run(server, main)
    assert talk.span()["status"] == "internal_error"
    assert len(talk.errors) == 1


def test_helpers_around_a_stream_are_one_span(talk, client) -> None:
    with talk.work(), helper_of(client)(model="ok", messages=MESSAGES) as stream:
        assert stream.get_final_completion().choices[0].message.content == "hello world"
    assert talk.data()["gen_ai.response.text"] == "hello world"


def test_helpers_left_early_end_their_span_there(talk, client) -> None:
    with talk.work():
        with helper_of(client)(model="ok", messages=MESSAGES) as stream:
            for _ in stream:
                break
        ended = time.time()
        time.sleep(0.3)
        # Still held: the end is that of the block, and not of the object.
        assert stream is not None
    assert talk.span()["timestamp"] < ended + 0.2


def test_async_helpers(talk, server) -> None:
    async def main(client):
        async with helper_of(client)(model="ok", messages=MESSAGES) as stream:
            async for _ in stream:
                pass
        async with helper_of(client)(model="ok", messages=MESSAGES) as stream:
            async for _ in stream:
                break

    with talk.work():
        run(server, main)
    assert [span["description"] for span in talk.spans()] == ["chat ok"] * 2


def responses(client, model="ok", **more):
    if not hasattr(client, "responses"):
        pytest.skip("this release of openai has no responses")
    return client.responses.create(model=model, input="hi", stream=True, **more)


def test_streamed_responses_have_text_of_text_alone(talk, client) -> None:
    with talk.work():
        kinds = [event.type for event in responses(client, "thinks")]
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    data = talk.data()
    assert data["gen_ai.response.text"] == "hello world"
    assert TOKENS.items() <= data.items()
    assert data["gen_ai.response.finish_reasons"] == ["completed"]
    assert data["gen_ai.response.time_to_first_token"] > 0


def test_streamed_responses_that_call_a_tool(talk, client) -> None:
    with talk.work():
        list(responses(client, "tools"))
    data = talk.data()
    (call,) = data["gen_ai.response.tool_calls"]
    assert (call["name"], call["arguments"]) == ("weather", '{"city":"Bern"}')
    assert "gen_ai.response.text" not in data


def test_streamed_responses_closed_early_keep_what_was_read(talk, client) -> None:
    with talk.work(), responses(client) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                break
    data = talk.data()
    assert data["gen_ai.response.text"] == "hello "
    assert data["gen_ai.response.model"] == "real-ok"


def test_streamed_responses_that_fail(talk, client) -> None:
    with talk.work():
        assert [event.type for event in responses(client, "failed")][-1] == "response.failed"
    assert talk.span()["status"] == "internal_error"
    assert TOKENS.items() <= talk.data().items()
    talk.forget()
    with talk.work():
        assert len(list(responses(client, "breaks"))) == 2  # the error is an event like others
    assert talk.span()["status"] == "internal_error"
    talk.forget()
    with talk.work(), pytest.raises(Exception) as caught:
        list(responses(client, "cut"))
    assert caught.value is not None
    assert talk.span()["status"] == "internal_error"
    assert len(talk.errors) == 1


def test_helpers_around_streamed_responses(talk, client, server) -> None:
    helper = getattr(getattr(client, "responses", None), "stream", None)
    if helper is None:
        pytest.skip("this release of openai has no responses.stream()")
    with talk.work():
        with helper(model="ok", input="hi") as stream:
            assert stream.get_final_response().output_text == "hello world"
        with helper(model="ok", input="hi") as stream:
            next(iter(stream))
    assert [span["description"] for span in talk.spans()] == ["responses ok"] * 2
    assert talk.spans()[0]["data"]["gen_ai.response.text"] == "hello world"

    async def main(client):
        async with client.responses.stream(model="ok", input="hi") as stream:
            async for _ in stream:
                break
        assert len([event async for event in await responses(client)]) > 3

    talk.forget()
    with talk.work():
        run(server, main)
    assert [span["description"] for span in talk.spans()] == ["responses ok"] * 2


def test_a_stream_read_on_another_thread(talk, client) -> None:
    with talk.work():
        stream = stream_of(client)
        thread = threading.Thread(target=list, args=(stream,))
        thread.start()
        thread.join()
    assert talk.data()["gen_ai.response.text"] == "hello world"


def test_a_stream_that_outlives_its_work_harms_nothing(talk, client) -> None:
    with talk.work():
        stream = stream_of(client)
    assert len(list(stream)) == 4
    assert talk.spans() == []


def test_pieces_that_we_cannot_read_are_passed_on(talk, client, faults_counted, monkeypatch) -> None:
    from errtrack_instrumentations import _openai_answer

    def broken(self, chunk):
        raise RuntimeError("ours")

    monkeypatch.setattr(_openai_answer.Chat, "add", broken)
    with talk.work():
        assert len(list(stream_of(client))) == 4
    assert talk.span()["description"] == "chat ok"
    assert faults_counted == {"openai": 1}


def test_what_happens_while_a_stream_is_read_is_not_below_its_span(talk, client) -> None:
    with talk.work() as transaction:
        for _ in stream_of(client):
            with errtrack.start_span(op="function", name="between") as span:
                assert span.parent_span_id == transaction.span_id
