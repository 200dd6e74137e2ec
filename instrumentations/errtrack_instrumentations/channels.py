# SPDX-License-Identifier: MIT
"""Failing consumers of Django Channels are reported: a websocket connection is one unit of work, named by its consumer.

The user (with ``send_default_pii``) is shown where Channels' own middleware has looked it up. Under servers that are
known the connection is watched from outside already, and only its name is added here.
"""

from __future__ import annotations

from functools import partial

import errtrack
from errtrack.instrumentation import Call, Instrumentation, Patch

from . import _asgi, _django, _django_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice

_KINDS = frozenset(("http", "websocket"))


def is_other(args: Any) -> bool:
    """Whether an outer layer is at it, or this is no connection of a client: lifespan, workers' channels."""
    return _asgi.is_inner(args) or args[-3].get("type") not in _KINDS


def name_consumer(call: Call) -> Advice:
    """AsyncConsumer.__call__(self, scope, receive, send); a SyncConsumer is one as well"""
    asgi = call.get(1, "scope")
    if asgi.get("type") in _KINDS and _asgi.KEY not in asgi:
        return (yield from attend_alone(call))
    attend(call.args[0], asgi)
    return (yield)


def attend_alone(call: Call) -> Advice:
    """A consumer that is called by nobody we know, such as a test's communicator."""
    advice = _asgi.handle_request(call)
    advice.send(None)
    attend(call.args[0], call.args[1])
    try:
        result = yield
    except BaseException as error:
        advice.throw(error)
        raise
    try:
        advice.send(result)
    except StopIteration as stop:
        return stop.value


def attend(consumer: Any, asgi: dict[str, Any]) -> None:
    """Leave in the record of the connection what is known of it now."""
    record = asgi.get(_asgi.KEY)
    if record is None:
        return
    name = _django_names.name_of_view(type(consumer))
    record.holder, record.enrich = asgi, partial(describe, name)
    if record.span is not None and record.scope.transaction is None:
        record.scope.set_transaction_name(name, "component")


def describe(name: str, asgi: dict[str, Any], event: dict[str, Any]) -> None:
    """Name the event by its consumer, and say who is connected."""
    event.setdefault("transaction", name)
    event.setdefault("transaction_info", {"source": "component"})
    if errtrack.should_send_default_pii():
        _django.add_facts(_django.resolved(asgi.get("user")), event)


INSTRUMENTATION = Instrumentation(
    "channels",
    supports=">=3.0",
    patches=[
        Patch("channels.routing", "ProtocolTypeRouter.__call__", _asgi.handle_request, is_other),
        Patch("channels.consumer", "AsyncConsumer.__call__", name_consumer),
    ],
)
