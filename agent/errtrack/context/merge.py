# SPDX-License-Identifier: MIT
"""Put the scopes' data on an event: global, isolation, current, call; later wins, the event's own wins over all."""

from __future__ import annotations

from errtrack import guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Union

    from errtrack.context.scope import Scope

    #: A breadcrumb in a scope: made already, or (function, *arguments) that make it should an event want it.
    Kept = Union[dict[str, Any], tuple[Any, ...]]


def apply_scopes(event: dict[str, Any], scopes: Iterable[Scope]) -> None:
    """Merge the data of *scopes* (in this order, later wins) into *event* in place."""
    tags: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    contexts: dict[str, Any] = {}
    crumbs: list[dict[str, Any]] = []
    flags: dict[str, Any] = {}
    sources = 0
    is_transaction = event.get("type") == "transaction"
    for scope in scopes:
        tags.update(scope.tags)
        extra.update(scope.extra)
        contexts.update(scope.contexts)
        if scope.flags is not None:
            for flag, result in scope.flags.items():
                flags.pop(flag, None)  # the order is that of evaluation
                flags[flag] = result
        if scope.breadcrumbs and not is_transaction:  # that has spans
            crumbs.extend(filter(None, map(_breadcrumb, tuple(scope.breadcrumbs))))
            sources += 1
        if scope.user is not None:
            event["user"] = {**scope.user, **(event.get("user") or {})}
        if scope.level is not None:
            event["level"] = scope.level
        if scope.fingerprint is not None:
            event["fingerprint"] = scope.fingerprint
        if scope.transaction is not None:
            event["transaction"], source = scope.transaction
            event["transaction_info"] = {"source": source}
    if flags and event.get("type") != "transaction":
        own = event.get("contexts")
        given = contexts.get("flags")
        if isinstance(own, dict) and "flags" in own:
            event["contexts"] = {**own}
            given = event["contexts"].pop("flags")
        contexts["flags"] = _with_flags(given, flags)
    _merge(event, "tags", tags)
    _merge(event, "extra", extra)
    _merge(event, "contexts", contexts)
    if crumbs:
        if sources > 1:
            crumbs.sort(key=_crumb_time)
        event.setdefault("breadcrumbs", {"values": crumbs})


def _breadcrumb(kept: Kept) -> dict[str, Any]:
    """A new dict of what was *kept*: what a hook changes in one event must not change the next event's."""
    if type(kept) is dict:
        return dict(kept)
    try:
        made: dict[str, Any] = kept[0](*kept[1:])  # type: ignore[index]
        return made
    except Exception as error:
        guard.fault("breadcrumb", error)
        return {}


def _with_flags(context: Any, flags: dict[str, Any]) -> dict[str, Any]:
    said = context.get("values") if isinstance(context, dict) else None
    values = [{"flag": flag, "result": result} for flag, result in flags.items()]
    return {"values": [*(said if isinstance(said, list) else ()), *values][-100:]}


def _merge(event: dict[str, Any], key: str, inherited: dict[str, Any]) -> None:
    own = event.get(key)
    if inherited or own:
        event[key] = {**inherited, **own} if isinstance(own, dict) else inherited


def _crumb_time(crumb: dict[str, Any]) -> float:
    stamp = crumb.get("timestamp")
    return stamp if isinstance(stamp, float) else 0.0
