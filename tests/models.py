"""A server of models on loopback, with the HTTP API of OpenAI; the model asked for decides how it behaves.

``ok``, ``n2`` (two choices), ``tools`` (asks for a tool), ``bare`` (no usage), ``quiet`` (no content, usage 20/0/20),
``odd`` (no choices at all), ``thinks`` (before it speaks), ``failed`` (responses: failed), ``http429`` (any status), ``garbage`` (no JSON),
``breaks`` (an error in the middle of a stream), ``cut`` (the connection ends there), ``waits`` (until let go).
"""

from __future__ import annotations

import base64
import json
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

CHAT_USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 10,
    "total_tokens": 30,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 8},
}
USAGE = {
    "input_tokens": 20,
    "output_tokens": 10,
    "total_tokens": 30,
    "input_tokens_details": {"cached_tokens": 5},
    "output_tokens_details": {"reasoning_tokens": 8},
}
ARGUMENTS = '{"city":"Bern"}'
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ARGUMENTS}}
CUT = "cut the connection"


class ModelServer:
    """``with ModelServer() as server:``; ``server.url`` is the base URL, ``server.requests`` what was asked."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.let_go = threading.Event()
        outer = self

        class Handler(_Handler):
            server_of_models = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.root = "http://127.0.0.1:%d" % self._server.server_address[1]
        self.url = self.root + "/v1"
        self.port = self._server.server_address[1]

    def __enter__(self) -> ModelServer:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_of_models: ModelServer

    def log_message(self, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = self.path.partition("?")[0]
        self.server_of_models.requests.append((path, asked))
        model = str(asked.get("model") or "ok")
        if model.startswith("http"):
            error = {"message": "refused", "type": "refusal", "param": None, "code": "no"}
            self._whole(int(model[4:]), json.dumps({"error": error}).encode())
        elif model == "garbage":
            self._whole(200, b"<html>")
        elif path.endswith("/embeddings"):
            self._whole(200, json.dumps(_embedding(model, asked)).encode())
        else:
            whole, pieces = _api(path)
            if asked.get("stream"):
                self._stream(model, pieces(model, asked))
            else:
                self._whole(200, json.dumps(whole(model, asked)).encode())

    def _whole(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("x-request-id", "req_7")
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, model: str, pieces: Iterator[Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for number, piece in enumerate(pieces):
                if piece == CUT:
                    self.connection.shutdown(2)
                    self.close_connection = True
                    return
                if model == "waits" and number == 2:
                    self.server_of_models.let_go.wait(60)
                self._chunk(piece)
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.close_connection = True

    def _chunk(self, piece: Any) -> None:
        text = piece if isinstance(piece, str) else "data: %s\n\n" % json.dumps(piece)
        if isinstance(piece, dict) and "sequence_number" in piece:
            text = "event: %s\n%s" % (piece["type"], text)
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


def _embedding(model: str, asked: dict[str, Any]) -> dict[str, Any]:
    vector: Any = [0.5, 0.25]
    if asked.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack("<2f", *vector)).decode()
    row = {"object": "embedding", "index": 0, "embedding": vector}
    answer = {"object": "list", "model": "real-" + model, "data": [row]}
    return {**answer, "usage": {"prompt_tokens": 4, "total_tokens": 4}} if model != "bare" else answer


def _said(asked: dict[str, Any]) -> str:
    wanted = asked.get("response_format") or (asked.get("text") or {}).get("format")
    return '{"answer": 42}' if wanted else "hello world"


def _chat(model: str, asked: dict[str, Any]) -> dict[str, Any]:
    head = {"id": "chat_1", "object": "chat.completion", "created": 1, "model": "real-" + model}
    if model == "odd":
        return {**head, "choices": None, "error": {"message": "overloaded"}}
    message: dict[str, Any] = {"role": "assistant", "content": _said(asked), "refusal": None}
    if model == "tools":
        message = {**message, "content": None, "tool_calls": [CALL]}
    reason = "tool_calls" if model == "tools" else "stop"
    choice = {"index": 0, "finish_reason": reason, "logprobs": None, "message": message}
    choices = [choice, {**choice, "index": 1, "message": {**message, "content": "bye"}}]
    answer = {**head, "choices": choices if model == "n2" else choices[:1]}
    return answer if model == "bare" else {**answer, "usage": CHAT_USAGE}


def _chat_pieces(model: str, asked: dict[str, Any]) -> Iterator[Any]:
    head = {"id": "chat_1", "object": "chat.completion.chunk", "created": 1, "model": "real-" + model}

    def piece(delta: dict[str, Any], place: int = 0, reason: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": place, "delta": delta, "finish_reason": reason}]}

    yield piece({"role": "assistant", "content": ""})
    if model == "tools":
        function = {"name": "weather", "arguments": ""}
        yield piece({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]})
        for bit in ('{"city":', '"Bern"}'):
            yield piece({"tool_calls": [{"index": 0, "function": {"arguments": bit}}]})
        yield piece({}, reason="tool_calls")
    elif model != "quiet":
        first, last = ('{"answer"', ": 42}") if asked.get("response_format") else ("hello ", "world")
        yield piece({"content": first})
        if model == "n2":
            yield piece({"content": "good"}, 1)
        if model == "breaks":
            yield {"error": {"message": "exploded", "type": "server_error", "code": "boom"}}
            return
        if model == "cut":
            yield CUT
        yield piece({"content": last})
        if model == "n2":
            yield piece({"content": "bye"}, 1)
            yield piece({}, 1, "length")
        yield piece({}, reason="stop")
    if (asked.get("stream_options") or {}).get("include_usage"):
        quiet = {"prompt_tokens": 20, "completion_tokens": 0, "total_tokens": 20}
        yield {**head, "choices": [], "usage": quiet if model == "quiet" else CHAT_USAGE}
    yield "data: [DONE]\n\n"


def _text(model: str, asked: dict[str, Any]) -> dict[str, Any]:
    head = {"id": "text_1", "object": "text_completion", "created": 1, "model": "real-" + model}
    choice = {"index": 0, "finish_reason": "length", "logprobs": None, "text": "hello world"}
    return {**head, "choices": [choice], "usage": CHAT_USAGE}


def _text_pieces(model: str, asked: dict[str, Any]) -> Iterator[Any]:
    whole = {**_text(model, asked), "usage": None}
    for text, reason in (("hello ", None), ("world", "length")):
        yield {**whole, "choices": [{**whole["choices"][0], "text": text, "finish_reason": reason}]}
    yield "data: [DONE]\n\n"


def _response(model: str, asked: dict[str, Any], status: str = "completed") -> dict[str, Any]:
    part = {"type": "output_text", "text": _said(asked), "annotations": []}
    item: dict[str, Any] = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
    output: list[dict[str, Any]] = [{**item, "content": [part]}]
    if model == "thinks":
        output.insert(0, {"id": "rs_1", "type": "reasoning", "summary": []})
    if model == "tools":
        output = [_function_call("completed", ARGUMENTS)]
    answer = {
        "id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": "real-" + model,
        "output": output if status == "completed" else [], "parallel_tool_calls": True, "tool_choice": "auto",
        "tools": [], "error": None, "incomplete_details": None, "instructions": None, "metadata": {},
        "temperature": 1.0, "top_p": 1.0,
    }  # fmt: skip
    return answer if model == "bare" or status == "in_progress" else {**answer, "usage": USAGE}


def _function_call(status: str, arguments: str) -> dict[str, Any]:
    return {
        "id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "weather",
        "arguments": arguments, "status": status,
    }  # fmt: skip


def _response_pieces(model: str, asked: dict[str, Any]) -> Iterator[Any]:
    for number, (kind, event) in enumerate(_response_events(model, asked)):
        yield CUT if kind == CUT else {"type": kind, "sequence_number": number, **event}


def _response_events(model: str, asked: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "response.created", {"response": _response(model, asked, "in_progress")}
    if model == "breaks":
        yield "error", {"code": "boom", "message": "exploded", "param": None}
        return
    if model == "cut":
        yield CUT, {}
    if model == "tools":
        place = {"item_id": "fc_1", "output_index": 0}
        yield "response.output_item.added", {"output_index": 0, "item": _function_call("in_progress", "")}
        yield "response.function_call_arguments.delta", {**place, "delta": ARGUMENTS}
        done = {**place, "arguments": ARGUMENTS, "name": "weather"}
        yield "response.function_call_arguments.done", done
        yield "response.output_item.done", {"output_index": 0, "item": _function_call("completed", ARGUMENTS)}
    else:
        thought = {"item_id": "rs_1", "output_index": 0, "summary_index": 0}
        item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        place: dict[str, Any] = {
            "item_id": "msg_1",
            "output_index": int(model == "thinks"),
            "content_index": 0,
        }
        thinking = {"id": "rs_1", "type": "reasoning", "summary": []}
        if place["output_index"]:
            yield "response.output_item.added", {"output_index": 0, "item": thinking}
            part = {"type": "summary_text", "text": ""}
            yield "response.reasoning_summary_part.added", {**thought, "part": part}
            yield "response.reasoning_summary_text.delta", {**thought, "delta": "thinking"}
        yield "response.output_item.added", {"output_index": place["output_index"], "item": item}
        part = {"type": "output_text", "text": "", "annotations": []}
        yield "response.content_part.added", {**place, "part": part}
        text = _said(asked)
        for piece in (text[:6], text[6:]):
            yield "response.output_text.delta", {**place, "delta": piece, "logprobs": []}
        yield "response.output_text.done", {**place, "text": text, "logprobs": []}
    end = "failed" if model == "failed" else "completed"
    yield "response." + end, {"response": _response(model, asked, end)}


def _api(path: str) -> Any:
    if path.endswith("/responses"):
        return _response, _response_pieces
    return (_chat, _chat_pieces) if "/chat/" in path else (_text, _text_pieces)
