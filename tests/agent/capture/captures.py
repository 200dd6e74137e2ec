# SPDX-License-Identifier: MIT
"""Capture as the client does it: from an exception to the bytes, and back to a tree to look at."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from errtrack.capture import event as events
from errtrack.capture.scrubber import Scrubber
from errtrack.options import Options, resolve

MECHANISM = {"type": "generic", "handled": True}


class Capture:
    """Options and a scrubber; ``of(error)`` is the event as a server reads it."""

    def __init__(self, **code: Any) -> None:
        self.options: Options = resolve({}, code)
        assert self.options.problems == []
        self.scrubber = Scrubber(self.options)

    def event(self, error: BaseException, **more: Any) -> dict[str, Any]:
        event = events.from_exception(error, error.__traceback__, MECHANISM, self.options, self.scrubber)
        event.update(more)
        return event

    def bytes(self, error: BaseException, **more: Any) -> bytes:
        event = self.event(error, **more)
        events.finish(event, self.options, self.scrubber)
        return events.encode(event)

    def of(self, error: BaseException, **more: Any) -> dict[str, Any]:
        return read(self.bytes(error, **more))

    def finished(self, event: dict[str, Any]) -> dict[str, Any]:
        events.finish(event, self.options, self.scrubber)
        return read(events.encode(event))

    def variables(self, **values: Any) -> dict[str, Any]:
        """What is shown of local variables that hold *values*."""
        source = "def frame(%s):\n    raise LookupError\n" % ", ".join(values)
        namespace: dict[str, Any] = {}
        exec(source, namespace)
        error = caught(lambda: namespace["frame"](**values))
        shown: dict[str, Any] = self.of(error)["exception"]["values"][-1]["stacktrace"]["frames"][-1]["vars"]
        return shown


def read(data: bytes) -> dict[str, Any]:
    """Strict JSON: no NaN, no lone surrogate, no NUL."""

    def no_constant(name: str) -> None:
        raise AssertionError(name)

    text = data.decode("utf-8", "strict")
    assert "\\u0000" not in text.replace("\\\\", "")
    tree: dict[str, Any] = json.loads(text, parse_constant=no_constant)
    return tree


def caught(function: Callable[[], Any]) -> BaseException:
    """The exception that *function* raises."""
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")
