"""What the tests of OpenAI share: clients of a server on loopback, and the spans and errors of what they ask."""

from __future__ import annotations

import json
from typing import Any

import errtrack

MESSAGES = [{"role": "system", "content": "be nice"}, {"role": "user", "content": "hi"}]
TOKENS = {
    "gen_ai.usage.input_tokens": 20,
    "gen_ai.usage.input_tokens.cached": 5,
    "gen_ai.usage.output_tokens": 10,
    "gen_ai.usage.output_tokens.reasoning": 8,
    "gen_ai.usage.total_tokens": 30,
}
CONTENT = (
    "gen_ai.request.messages",
    "gen_ai.system_instructions",
    "gen_ai.response.text",
    "gen_ai.response.tool_calls",
    "gen_ai.embeddings.input",
)


class Talk:
    """``with talk.work():`` a transaction; then ``talk.span()`` is the one of the request to a model in it."""

    def __init__(self, watching: Any, **settings: Any) -> None:
        self.transactions: list[dict[str, Any]] = []
        self.watching = watching

        def keep(event: dict[str, Any], hint: Any) -> None:
            self.transactions.append(event)

        watching(
            "openai",
            **{"traces_sample_rate": 1.0, "before_send_transaction": keep, "store_max_age": 0, **settings},
        )

    @property
    def errors(self) -> list[dict[str, Any]]:
        return self.watching.events

    def work(self) -> Any:
        return errtrack.start_transaction(name="work")

    def spans(self) -> list[dict[str, Any]]:
        """The spans in the one transaction that there was."""
        assert len(self.transactions) == 1, [event["transaction"] for event in self.transactions]
        return [span for span in self.transactions[0]["spans"] if span["op"].startswith("gen_ai.")]

    def span(self) -> dict[str, Any]:
        found = self.spans()
        assert len(found) == 1, [span["description"] for span in found]
        return found[0]

    def data(self) -> dict[str, Any]:
        """The data of the one span, with what is JSON parsed."""
        return opened(self.span()["data"])

    def forget(self) -> None:
        self.transactions.clear()
        self.errors.clear()


def opened(data: dict[str, Any]) -> dict[str, Any]:
    return {
        key: json.loads(value) if isinstance(value, str) and value[:1] in ("[", "{") else value
        for key, value in data.items()
    }
