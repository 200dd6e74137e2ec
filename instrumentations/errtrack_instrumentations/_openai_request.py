# SPDX-License-Identifier: MIT
"""What is asked of a model, by API, and what a span says of it."""

from __future__ import annotations

from . import _openai_answer as answers
from . import _openai_content as content

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Parameters -> names of their attributes.
_PARAMETERS = {
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    "seed": "seed",
    "n": "choice.count",
    "reasoning_effort": "reasoning.level",
    "dimensions": "embeddings.dimension_count",
}


class Api:
    """One of OpenAI's: its *operation*, the parameter that it cannot do without, and how its answers are read."""

    def __init__(
        self, operation: str, says: str, answer: type[answers.Answer], required: bool = True
    ) -> None:
        self.operation = operation
        self.op = "gen_ai." + operation
        #: The parameter that holds what is said to the model.
        self.says = says
        self.required = required
        self.answer = answer

    def streams(self, kwargs: dict[str, Any]) -> bool:
        """Whether the answer is asked for in pieces. What stands for "not given" is false."""
        return bool(kwargs.get("stream")) and self.answer is not answers.Answer


CHAT = Api("chat", "messages", answers.Chat)
TEXT = Api("text_completion", "prompt", answers.Text)
EMBEDDINGS = Api("embeddings", "input", answers.Answer)
RESPONSES = Api("responses", "input", answers.Responses, required=False)


def model_of(kwargs: dict[str, Any]) -> str:
    """The model asked for, or nothing where the request leaves that to the server."""
    model = content.given(kwargs.get("model"))
    return model if isinstance(model, str) else ""


def describe(span: Any, api: Api, resource: Any, kwargs: dict[str, Any]) -> None:
    """Put on *span* what is no content: model, parameters, tools, and where it goes."""
    span.set_data("gen_ai.system", "openai")
    span.set_data("gen_ai.operation.name", api.operation)
    model = model_of(kwargs)
    if model:
        span.set_data("gen_ai.request.model", model)
    if api is not EMBEDDINGS:
        span.set_data("gen_ai.response.streaming", api.streams(kwargs))
    for name, attribute in _PARAMETERS.items():
        value = content.given(kwargs.get(name))
        if isinstance(value, (str, int, float)):
            span.set_data("gen_ai.request." + attribute, value)
    effort = content.field(content.given(kwargs.get("reasoning")), "effort")
    if isinstance(effort, str):
        span.set_data("gen_ai.request.reasoning.level", effort)
    stop = content.given(kwargs.get("stop"))
    if stop:
        span.set_data(
            "gen_ai.request.stop_sequences", content.plain([stop] if isinstance(stop, str) else stop)
        )
    talk = content.given(kwargs.get("conversation"))
    talk_id = talk if isinstance(talk, str) else content.field(talk, "id")
    if isinstance(talk_id, str):
        span.set_data("gen_ai.conversation.id", talk_id)
    tools = content.tool_definitions(content.given(kwargs.get("tools")))
    if tools:
        span.set_data("gen_ai.tool.definitions", tools)
    url: Any = getattr(getattr(resource, "_client", None), "base_url", None)
    if url is not None and url.host:
        span.set_data("server.address", url.host)
        span.set_data("server.port", url.port or (80 if url.scheme == "http" else 443))


def spoken(api: Api, kwargs: dict[str, Any]) -> Any:
    """What is said to the model, to be looked at: an iterator is read, and *kwargs* gets what it gave.

    A copy of it is needed before the call: what the application does with its list later is not what was said.
    """
    said = content.given(kwargs.get(api.says))
    if said is not None and not isinstance(said, (str, list, tuple, dict)) and hasattr(said, "__iter__"):
        taken = content.Taken(said)
        kwargs[api.says] = taken.again()
        said = taken.items
    return said


def describe_content(span: Any, api: Api, said: Any, kwargs: dict[str, Any]) -> None:
    """Put on *span* what is said to the model."""
    if api is EMBEDDINGS:
        embedded = content.embedded(said)
        if embedded is not None:
            span.set_data("gen_ai.embeddings.input", embedded)
        return
    messages = content.listed(said) or []
    first = content.given(kwargs.get("instructions")) if api is RESPONSES else None
    instructions = content.instructions(messages, first)
    if instructions:
        span.set_data("gen_ai.system_instructions", instructions)
    talk = content.conversation(messages)
    if talk:
        span.set_data("gen_ai.request.messages", talk)


def texts(api: Api, said: Any, kwargs: dict[str, Any]) -> list[str]:
    """The texts whose tokens the model reads."""
    first = content.given(kwargs.get("instructions")) if api is RESPONSES else None
    found = [first] if isinstance(first, str) else []
    for message in content.listed(said) or ():
        found += content.texts_of(message)
    return found
