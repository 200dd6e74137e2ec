# SPDX-License-Identifier: MIT
"""What a model answered, of a whole answer or of the pieces of a stream, and what a span says of it.

For each API a class: ``take(answer)`` a whole one, ``add(chunk)`` a piece; then ``describe(span)``. Servers that are
only like OpenAI's leave things out; nothing here relies on anything being there.
"""

from __future__ import annotations

from . import _openai_content as content

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Answer:
    """What all have in common. *reads*: texts and calls of tools are wanted, not only numbers and reasons."""

    __slots__ = (
        "calls",
        "failed",
        "finish",
        "first",
        "id",
        "model",
        "reads",
        "room",
        "seconds",
        "texts",
        "usage",
    )

    def __init__(self, reads: bool) -> None:
        self.reads = reads
        self.model: Any = None
        self.id: Any = None
        self.usage: Any = None
        #: How long the request has taken by now; and had, when the first piece of the answer itself came.
        self.seconds: Callable[[], float] = float
        self.first: float | None = None
        self.finish: dict[Any, Any] = {}
        #: Pieces of text and calls of tools, by their place in the answer.
        self.texts: dict[Any, list[str]] = {}
        self.calls: dict[Any, dict[str, Any]] = {}
        self.room = content.LONGEST
        self.failed = False

    def head(self, answer: Any) -> None:
        """Take down what stands at the head of an answer, and of each piece of one."""
        self.model = content.field(answer, "model")
        self.id = content.field(answer, "id")
        self.usage = content.field(answer, "usage")

    def take(self, answer: Any) -> None:
        """Take a whole answer."""
        self.head(answer)

    def add(self, chunk: Any) -> None:
        """Take a piece of one."""
        self.head(chunk)

    def said(self) -> list[str]:
        """The texts of the answer, as far as there was room for them."""
        return ["".join(pieces) for _, pieces in sorted(self.texts.items())]

    def text(self) -> Any:
        """What the span shows of the answer: a text, or a list of several."""
        texts = [content.text(one) for one in self.said() if one]
        return texts[0] if len(texts) == 1 else texts

    def tool_calls(self) -> list[Any]:
        """The calls of tools that the model asks for."""
        return [call for _, call in sorted(self.calls.items())]

    def describe(self, span: Any, shows: bool) -> None:
        """Put what is known on *span*; texts only if it *shows* them."""
        if isinstance(self.model, str):
            span.set_data("gen_ai.response.model", self.model)
        if isinstance(self.id, str):
            span.set_data("gen_ai.response.id", self.id)
        reasons = [reason for _, reason in sorted(self.finish.items()) if isinstance(reason, str)]
        if reasons:
            span.set_data("gen_ai.response.finish_reasons", reasons)
        if not shows:
            return
        for name, value in (("text", self.text()), ("tool_calls", self.tool_calls())):
            if value:
                span.set_data("gen_ai.response." + name, value)

    def keep(self, place: Any, piece: str) -> None:
        """Keep a piece of text, as long as there is room."""
        if self.room > 0:
            self.room -= len(piece)
            pieces = self.texts.get(place)
            if pieces is None:
                self.texts[place] = [piece]
            else:
                pieces.append(piece)


class Chat(Answer):
    """Chat completions."""

    __slots__ = ("messages",)

    def __init__(self, reads: bool) -> None:
        Answer.__init__(self, reads)
        self.messages: list[Any] = []

    def take(self, answer: Any) -> None:
        self.head(answer)
        for place, choice in enumerate(getattr(answer, "choices", None) or ()):
            self.finish[place] = getattr(choice, "finish_reason", None)
            message = getattr(choice, "message", None)
            if not self.reads or message is None:
                continue
            copied = content.plain(message)
            self.messages.append(copied)
            self.texts[place] = content.texts_of(message)
            for call in copied.get("tool_calls") or () if isinstance(copied, dict) else ():
                self.calls[len(self.calls)] = call

    def add(self, chunk: Any) -> None:
        if self.model is None:
            self.model = getattr(chunk, "model", None)
            self.id = getattr(chunk, "id", None)
        choices = getattr(chunk, "choices", None)
        if choices:
            if self.first is None:
                self.first = self.seconds()
            for choice in choices:
                place = choice.index or 0
                reason = choice.finish_reason
                if reason is not None:
                    self.finish[place] = reason
                delta = choice.delta
                if delta is None or not self.reads:
                    continue
                piece = delta.content
                if piece:
                    self.keep(place, piece)
                calls = getattr(delta, "tool_calls", None)
                if calls:
                    for call in calls:
                        self.add_call(place, call)
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            self.usage = usage

    def add_call(self, place: Any, piece: Any) -> None:
        """Take a piece of a call of a tool: its id and name come with the first, its arguments bit by bit."""
        call = self.calls.setdefault((place, piece.index or 0), {"function": {"arguments": ""}})
        for name in ("id", "type"):
            if getattr(piece, name, None):
                call[name] = getattr(piece, name)
        function = getattr(piece, "function", None)
        called, bit = getattr(function, "name", None), getattr(function, "arguments", None)
        if called:
            call["function"]["name"] = called
        if bit and self.room > 0:
            self.room -= len(bit)
            call["function"]["arguments"] += bit

    def text(self) -> Any:
        if not self.messages:
            return Answer.text(self)
        return self.messages[0] if len(self.messages) == 1 else self.messages


class Text(Answer):
    """Completions of the old kind: text to text."""

    __slots__ = ()

    def take(self, answer: Any) -> None:
        self.add(answer)

    def add(self, chunk: Any) -> None:
        if self.model is None:
            self.head(chunk)
        for choice in getattr(chunk, "choices", None) or ():
            if self.first is None:
                self.first = self.seconds()
            if choice.finish_reason is not None:
                self.finish[choice.index] = choice.finish_reason
            if self.reads and choice.text:
                self.keep(choice.index, choice.text)
        usage = getattr(chunk, "usage", None)
        if usage is not None:
            self.usage = usage


class Responses(Answer):
    """The responses API. Of its events only those of text are text; calls of tools come whole at their end.

    What a release of the client does not know yet it leaves a dict.
    """

    __slots__ = ()

    def take(self, answer: Any) -> None:
        self.head(answer)
        status = content.field(answer, "status")
        self.failed = status == "failed"
        reason = content.field(content.field(answer, "incomplete_details"), "reason")
        if status in ("completed", "failed", "incomplete"):
            self.finish[0] = reason or status
        output = content.field(answer, "output")
        if not self.reads or not output:
            return
        self.texts, self.calls = {}, {}
        for place, item in enumerate(output):
            kind = content.field(item, "type")
            if kind == "function_call":
                self.calls[place] = content.plain(item)
            elif kind == "message":
                for part_place, part in enumerate(content.field(item, "content") or ()):
                    said = content.field(part, "text") or content.field(part, "refusal")
                    if isinstance(said, str):
                        self.texts[(place, part_place)] = [said]

    def add(self, chunk: Any) -> None:
        kind = getattr(chunk, "type", None)
        if kind is None:
            self.failed = self.failed or getattr(chunk, "event", None) == "error"  # as 1.66 has it
        elif kind.endswith(".delta"):
            if self.first is None:
                self.first = self.seconds()
            if self.reads and kind in ("response.output_text.delta", "response.refusal.delta"):
                self.keep((chunk.output_index, chunk.content_index), chunk.delta)
        elif kind in ("response.completed", "response.failed", "response.incomplete"):
            self.take(chunk.response)
        elif kind == "response.created":
            self.head(chunk.response)
        elif kind == "response.output_item.done":
            if self.reads and content.field(chunk.item, "type") == "function_call":
                self.calls[chunk.output_index] = content.plain(chunk.item)
        elif kind == "error":
            self.failed = True
