# SPDX-License-Identifier: MIT
"""The commands of ``redis`` are breadcrumbs, and spans where tracing is on: blocking, async and in pipelines.

Told is the command and its key; values only with ``send_default_pii``, and credentials never.
"""

from __future__ import annotations

from errtrack import guard, options
from errtrack.context import trace as tracing
from errtrack.instrumentation import Call, Instrumentation, Patch

from . import _breadcrumbs, _queries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice

#: Commands whose every argument is a secret, or may be one.
_SECRET = frozenset(("AUTH", "HELLO", "ACL", "CONFIG", "MIGRATE", "EVAL", "SCRIPT"))

#: Commands whose every argument is a key.
_KEYS = frozenset(("DEL", "EXISTS", "MGET", "TOUCH", "UNLINK", "WATCH", "SUNION", "SINTER", "SDIFF"))

_FILTERED, _LONGEST, _MOST = "[Filtered]", 200, 10


def execute(call: Call) -> Advice:
    """Redis.execute_command(self, *args, **options)"""
    if guard.is_inside() or len(call.args) < 2:
        yield
        return
    client, words = call.args[0], call.args[1:]
    text = command_text(words, options.current().send_default_pii)
    command = str(words[0]).split(" ")[0].upper() if isinstance(words[0], str) else "?"
    data: dict[str, Any] = {"redis.command": command, "db.operation": command}
    if len(words) > 1 and command not in _SECRET and isinstance(words[1], (str, bytes, int)):
        data["redis.key"] = shown(words[1])
    return (yield from tell(client, text, data))


def execute_pipeline(call: Call) -> Advice:
    """Pipeline.execute(self, raise_on_error=True)"""
    pipeline = call.args[0]
    waiting = list(getattr(pipeline, "command_stack", None) or ())
    if guard.is_inside() or not waiting:
        yield
        return
    personal = options.current().send_default_pii
    first = [command_text(words_of(one), personal) for one in waiting[:_MOST]]
    data = {
        "redis.transaction": bool(getattr(pipeline, "is_transaction", False)),
        "redis.commands": {"count": len(waiting), "first_ten": first},
    }
    return (yield from tell(pipeline, "redis.pipeline.execute", data))


def tell(client: Any, text: str, data: dict[str, Any]) -> Advice:
    """One exchange with the server."""
    _breadcrumbs.keep({"type": "redis", "category": "redis", "message": text, "data": data})
    parent = tracing.recording()
    if parent is None:
        yield
        return
    span = parent.start_child("db.redis", text, "auto.db.redis")
    try:
        yield
    except BaseException:
        span.set_status("internal_error")
        raise
    finally:
        _queries.finish(span, lambda: {**data, "db.system": "redis", **address_of(client)}, True)


def address_of(client: Any) -> dict[str, Any]:
    """Where the client's pool connects to."""
    pool = getattr(client, "connection_pool", None)
    given = getattr(pool, "connection_kwargs", None) or {}
    configured = {"NAME": str(given.get("db") or 0), "HOST": given.get("host"), "PORT": given.get("port")}
    return _queries.address_of(None, {**configured, "HOST": given.get("path") or configured["HOST"]})


def words_of(one: Any) -> tuple[Any, ...]:
    """The words of a command in a pipeline: a pair with options, or a cluster's object."""
    return tuple(getattr(one, "args", None) or (one[0] if isinstance(one, tuple) and one else ()))


def command_text(words: tuple[Any, ...], personal: bool) -> str:
    """A command for people: its name, its key, and whatever may be shown of the rest."""
    name = str(words[0]) if words and isinstance(words[0], str) else "?"
    command = name.split(" ")[0].upper()
    out = [name]
    for position, word in enumerate(words[1 : 1 + _MOST], 1):
        is_key = position == 1 or command in _KEYS
        is_shown = command not in _SECRET and (personal or is_key)
        out.append("'%s'" % shown(word) if is_shown else _FILTERED)
    return " ".join(out) + (" ..." if len(words) > 1 + _MOST else "")


def shown(word: Any) -> str:
    """A word as a text, not too long; no code of the application's is run for it."""
    if type(word) is bytes:
        return word[:_LONGEST].decode("utf-8", "replace")
    return str(word)[:_LONGEST] if type(word) in (str, int, float) else "<%s>" % type(word).__name__


INSTRUMENTATION = Instrumentation(
    "redis",
    supports=">=3.0",
    patches=[
        Patch("redis.client", "Redis.execute_command", execute),
        Patch("redis.client", "Pipeline.execute", execute_pipeline),
        Patch("redis.asyncio.client", "Redis.execute_command", execute),
        Patch("redis.asyncio.client", "Pipeline.execute", execute_pipeline),
        Patch("redis.cluster", "RedisCluster.execute_command", execute),
        Patch("redis.cluster", "ClusterPipeline.execute", execute_pipeline),
    ],
)
