# SPDX-License-Identifier: MIT
"""One request to a model: its span, from the call to the last piece of the answer, and the error that ends it.

With tracing off nothing is read or made: what is left is that errors are reported.
"""

from __future__ import annotations

from weakref import ref

import errtrack
from errtrack import guard, options
from errtrack.context import scope as scopes
from errtrack.context import trace as tracing
from errtrack.instrumentation import is_async, leave_no_frame, traceback_of

from . import _openai_content as content
from . import _openai_errors as errors
from . import _openai_request as requests
from . import _openai_stream as streams
from . import _openai_tokens as tokens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice, Call

    from ._openai_answer import Answer

_RAW = "X-Stainless-Raw-Response"

#: What tells of the end of each coroutine of ours that lives.
_not_gone: set[ref[Any]] = set()


def observe(api: requests.Api, call: Call) -> Advice:
    """Around a call that returns an answer or a stream of one."""
    if is_misused(api, call) or not errtrack.is_initialized():
        yield
        return
    request = Request(api, call)
    request.begin()
    try:
        answer = yield
    except BaseException as error:
        request.leave()
        request.fail(error)
        raise
    request.leave()
    request.answered(answer)


def observe_async(api: requests.Api, call: Call) -> Advice:
    """Around a call of an async client: a coroutine function, or one that a decorator has made a plain one of."""
    return observe(api, call) if call.awaited else observe_awaitable(api, call)


def observe_awaitable(api: requests.Api, call: Call) -> Advice:
    """Around a call that returns a coroutine: the request begins when that is awaited, where it is awaited."""
    if is_misused(api, call) or not errtrack.is_initialized():
        yield
        return None
    request = Request(api, call)
    coroutine = yield
    return request.awaiting(coroutine) if hasattr(coroutine, "__await__") else None


def is_misused(api: requests.Api, call: Call) -> bool:
    """Whether the client will refuse the call: everything has a name, and some things must be there."""
    return len(call.args) != 1 or (api.required and api.says not in call.kwargs)


class Request:
    """What is known of a request, from its call on. Each end may be told more than once; the first counts."""

    __slots__ = (
        "_is_stream", "_kwargs", "_raw", "_resource", "_said", "_texts", "_token", "_unawaited", "answer", "api",
        "counts", "is_over", "shows", "span",
    )  # fmt: skip

    def __init__(self, api: requests.Api, call: Call) -> None:
        self.api = api
        self.is_over = False
        self.span: Any = None
        self.answer: Answer | None = None
        self.shows = self.counts = False
        self._resource = call.args[0]
        self._token: Any = None
        self._unawaited: Any = None
        self._said: Any = None
        self._texts: list[str] = []
        self._kwargs = call.kwargs
        self._is_stream = api.streams(call.kwargs)
        headers = call.kwargs.get("extra_headers")
        self._raw = headers.get(_RAW) if isinstance(headers, dict) else None
        if is_traced():
            self.shows = may_show()
            self.counts = bool(options.current().openai_tiktoken_encoding_name)
            if self.shows or self.counts:
                self._kwargs = call.kwargs = dict(call.kwargs)
                self._said = requests.spoken(api, call.kwargs)

    def begin(self) -> None:
        """Begin the span, below the one in hand or as a transaction of its own, and have it in hand. Never raises
        ``Exception``: an iterator that was read would be lost to the request.
        """
        try:
            name = "%s %s" % (self.api.operation, requests.model_of(self._kwargs))
            self.span = started(self.api.op, name.strip())
            if self.span is not None:
                self._describe_request(self.span)
                self._token = self.span.enter()
        except Exception as error:
            guard.fault("openai", error)
        self._kwargs, self._said, self._resource = {}, None, None

    def _describe_request(self, span: Any) -> None:
        try:
            requests.describe(span, self.api, self._resource, self._kwargs)
            if self.shows:
                requests.describe_content(span, self.api, self._said, self._kwargs)
            if self.counts:
                tokens.prepare()
                self._texts = requests.texts(self.api, self._said, self._kwargs)
            self.answer = self.api.answer(self.shows or self.counts)
            self.answer.seconds = lambda: float(span.seconds)
            if self.counts:
                self.answer.room = 100 * content.LONGEST
        except Exception as error:
            guard.fault("openai", error)

    def leave(self) -> None:
        """The call is over, though the answer may not be."""
        token, self._token = self._token, None
        if token is not None:
            self.span.leave(token)

    async def _await(self) -> Any:
        coroutine, self._unawaited = self._unawaited, None
        self.begin()
        try:
            answer = await coroutine
        except BaseException as error:
            tb = traceback_of(error)
            self.leave()
            self.fail(error)
            leave_no_frame(error, tb)
            raise
        self.leave()
        self.answered(answer)
        return answer

    def awaiting(self, coroutine: Any) -> Any:
        """A coroutine in place of *coroutine*, with the same result, and its name."""
        ours: Any = self._await()
        self._unawaited = coroutine
        try:
            ours.__name__, ours.__qualname__ = coroutine.__name__, coroutine.__qualname__
        except AttributeError:
            pass
        _not_gone.add(ref(ours, self._gone))
        return ours

    def _gone(self, reference: Any) -> None:
        """What was returned by :meth:`awaiting` is no more. If nobody has awaited it, Python has said so, or had no
        reason to, as it was closed: it shall not say so of the coroutine that it stood for.
        """
        _not_gone.discard(reference)
        if self._unawaited is not None:
            self._unawaited.close()

    def answered(self, answer: Any) -> None:
        """The call has returned *answer*: whole, or a stream whose pieces are looked at as the application reads."""
        try:
            if self._looked_at(answer):
                return
        except Exception as error:
            if self._raw is None:
                guard.fault("openai", error)  # else it is one of parsing, which the application will see
        self.end()

    def _looked_at(self, answer: Any) -> bool:
        """Take what there is to know of *answer*; True where more is to come."""
        if self._raw not in (None, "true") or (self.answer is None and not self._is_stream):
            return False  # its body is the application's to read, or there is no span
        if self._raw and not is_async(getattr(type(answer), "parse", None)):
            # What is parsed is kept: the application is given the same object when it asks.
            answer = answer.parse()
        if self._is_stream:
            return streams.watch(answer, self)
        if self.answer is not None:
            self.answer.take(answer)
        return False

    def fail(self, error: BaseException) -> None:
        """The request has ended in *error*, which goes on to the application. Never raises ``Exception``."""
        if self.is_over:
            return
        if not isinstance(error, Exception):
            self.end("" if isinstance(error, GeneratorExit) else "cancelled")
            return
        try:
            self._report(error)
        except Exception as fault:
            guard.fault("openai", fault)
        self.end("internal_error", error)

    def _report(self, error: Exception) -> None:
        token = self.span.enter() if self.span is not None else None
        try:
            errors.report(error, may_show())
        finally:
            if token is not None:
                self.span.leave(token)

    def end(self, status: str = "", error: BaseException | None = None) -> None:
        """The answer is over: finish the span with all that is known of it. Never raises ``Exception``."""
        if self.is_over:
            return
        self.is_over = True
        span, answer = self.span, self.answer
        if span is None:
            return
        try:
            if answer is not None:
                self._describe(span, answer)
                if answer.failed and not status:
                    status = "internal_error"
            if error is not None:
                for name, value in errors.about(error).items():
                    span.set_data(
                        "http.response.status_code" if name == "status_code" else "openai." + name, value
                    )
        except Exception as fault:
            guard.fault("openai", fault)
        try:
            if status:
                span.set_status(status)
                span.set_tag("status", status)
            if span.transaction is not span:
                span.finish()
            else:
                with span:  # which is in hand then, with its trace, and finishes at the end of the block
                    pass
        except Exception as fault:
            guard.fault("openai", fault)

    def _describe(self, span: Any, answer: Answer) -> None:
        answer.describe(span, self.shows)
        if answer.first is not None and self._is_stream:
            span.set_data("gen_ai.response.time_to_first_token", answer.first)
        used = tokens.of_usage(answer.usage)
        into, out = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
        if self.counts and not used[into]:
            used[into] = tokens.count(self._texts)
        if self.counts and not used[out]:
            used[out] = tokens.count(answer.said())
        if not used["gen_ai.usage.total_tokens"] and used[into] and used[out]:
            used["gen_ai.usage.total_tokens"] = used[into] + used[out]
        for name, number in used.items():
            if number:
                span.set_data(name, number)


def may_show() -> bool:
    """Whether what is said to models may be sent."""
    return bool(options.current().openai_include_prompts) and errtrack.should_send_default_pii()


def is_traced() -> bool:
    """Whether there will be a span."""
    return tracing.recording() is not None or may_begin()


def may_begin() -> bool:
    """Whether a request outside of all other work is to be a transaction: of a script, say. Work that came from
    elsewhere, or that was decided not to be sampled, has had its chance.
    """
    if tracing.tracer is None:
        return False
    scope = scopes.get_isolation_scope()
    return not scope.is_unit and (scope.propagation is None or scope.propagation.sampled is not False)


def started(op: str, name: str) -> Any:
    """A span, begun now, below the one in hand or of its own; or None."""
    parent = tracing.recording()
    if parent is not None:
        return parent.start_child(op=op, name=name, origin="auto.ai.openai")
    if not may_begin():
        return None
    made = errtrack.start_transaction(op=op, name=name, origin="auto.ai.openai")
    return made if made.sampled else None
