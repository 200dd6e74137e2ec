# SPDX-License-Identifier: MIT
"""Requests to models of OpenAI, Azure and all who have the same API: spans with models, tokens and times, and errors.

Seen are chat completions, responses, embeddings and completions, streamed or whole, parsed or raw. What was said is
sent only with ``send_default_pii`` and ``openai.include_prompts``; streams stay the application's own objects.
"""

from __future__ import annotations

from errtrack.instrumentation import Call, Instrumentation, Patch

from . import _openai, _openai_stream
from . import _openai_request as requests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from errtrack.instrumentation import Advice


def chat(call: Call) -> Advice:
    """Completions.create(self, *, messages, model, stream=..., ...), .parse(...)"""
    return _openai.observe(requests.CHAT, call)


def chat_async(call: Call) -> Advice:
    """AsyncCompletions.create(self, *, messages, model, stream=..., ...), .parse(...)"""
    return _openai.observe_async(requests.CHAT, call)


def respond(call: Call) -> Advice:
    """Responses.create(self, *, input=..., model=..., stream=..., ...), .parse(...)"""
    return _openai.observe(requests.RESPONSES, call)


def respond_async(call: Call) -> Advice:
    """AsyncResponses.create(self, *, input=..., model=..., stream=..., ...), .parse(...)"""
    return _openai.observe_async(requests.RESPONSES, call)


def embed(call: Call) -> Advice:
    """Embeddings.create(self, *, input, model, ...)"""
    return _openai.observe(requests.EMBEDDINGS, call)


def embed_async(call: Call) -> Advice:
    """AsyncEmbeddings.create(self, *, input, model, ...)"""
    return _openai.observe_async(requests.EMBEDDINGS, call)


def complete(call: Call) -> Advice:
    """Completions.create(self, *, prompt, model, stream=..., ...), of old"""
    return _openai.observe(requests.TEXT, call)


def complete_async(call: Call) -> Advice:
    """AsyncCompletions.create(self, *, prompt, model, stream=..., ...), of old"""
    return _openai.observe_async(requests.TEXT, call)


def close(call: Call) -> Advice:
    """Stream.close(self), and that of the helpers that stand around one"""
    try:
        yield
    finally:
        _openai_stream.closed(call.args[0])


#: The modules that define them: they are loaded late, and one by one.
_CHAT = "openai.resources.chat.completions"  # before 1.65 a module, then a package
_BETA = "openai.resources.beta."
_LIB = "openai.lib.streaming."

INSTRUMENTATION = Instrumentation(
    "openai",
    supports=">=1.0",
    patches=[
        Patch(_CHAT + ".completions", "Completions.create", chat),
        Patch(_CHAT + ".completions", "Completions.parse", chat),
        Patch(_CHAT + ".completions", "AsyncCompletions.create", chat_async),
        Patch(_CHAT + ".completions", "AsyncCompletions.parse", chat_async),
        Patch(_CHAT, "Completions.create", chat),
        Patch(_CHAT, "AsyncCompletions.create", chat_async),
        Patch(_BETA + "chat.completions", "Completions.parse", chat),
        Patch(_BETA + "chat.completions", "AsyncCompletions.parse", chat_async),
        Patch("openai.resources.responses.responses", "Responses.create", respond),
        Patch("openai.resources.responses.responses", "Responses.parse", respond),
        Patch("openai.resources.responses.responses", "AsyncResponses.create", respond_async),
        Patch("openai.resources.responses.responses", "AsyncResponses.parse", respond_async),
        Patch(_BETA + "responses.responses", "Responses.create", respond),
        Patch(_BETA + "responses.responses", "AsyncResponses.create", respond_async),
        Patch("openai.resources.embeddings", "Embeddings.create", embed),
        Patch("openai.resources.embeddings", "AsyncEmbeddings.create", embed_async),
        Patch("openai.resources.completions", "Completions.create", complete),
        Patch("openai.resources.completions", "AsyncCompletions.create", complete_async),
        Patch("openai._streaming", "Stream.close", close),
        Patch("openai._streaming", "AsyncStream.close", close),
        Patch(_LIB + "chat._completions", "ChatCompletionStream.close", close),
        Patch(_LIB + "chat._completions", "AsyncChatCompletionStream.close", close),
        Patch(_LIB + "responses._responses", "ResponseStream.close", close),
        Patch(_LIB + "responses._responses", "AsyncResponseStream.close", close),
    ],
)
