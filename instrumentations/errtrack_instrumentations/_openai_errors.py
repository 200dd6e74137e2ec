# SPDX-License-Identifier: MIT
"""Errors of requests to models, as events: with the client's status and id, and without what was said."""

from __future__ import annotations

import errtrack
from errtrack import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

#: Packages whose variables are the request and its answer.
_CARRIERS = frozenset(("openai", "httpx", "httpx2", "httpcore", "httpcore2", "pydantic"))


def report(error: Exception, shows: bool) -> None:
    """Report *error*, or leave a breadcrumb where that is wanted; with what was said only if the event *shows* it."""
    known = about(error)
    if options.current().openai_errors == "breadcrumb":
        data = {"error": type(error).__name__, **known}
        errtrack.add_breadcrumb(category="openai", type="error", level="error", data=data)
        return
    scope = errtrack.Scope()
    if known:
        scope.set_context("openai", known)
    if not shows:
        scope.add_event_processor(without_content)
    errtrack.report_exception(error, "openai", tb=with_callers(error.__traceback__), scope=scope)


def about(error: BaseException) -> dict[str, Any]:
    """What OpenAI says of an error: its status, its codes, and the id to ask its support with."""
    found = {name: getattr(error, name, None) for name in ("status_code", "request_id", "code", "type")}
    return {name: value for name, value in found.items() if isinstance(value, (str, int))}


def without_content(event: dict[str, Any], hint: Any) -> dict[str, Any]:
    """*event* without the variables of the client's own frames."""
    for value in event["exception"]["values"]:
        for frame in (value.get("stacktrace") or {}).get("frames") or ():
            if (frame.get("module") or "").partition(".")[0] in _CARRIERS:
                frame.pop("vars", None)
    return event


def with_callers(tb: TracebackType | None) -> TracebackType | None:
    """*tb* with the application's calls in front that led to it; so far the exception has only left the client."""
    frame = tb.tb_frame.f_back if tb is not None else None
    while frame is not None and tb is not None:
        tb = type(tb)(tb, frame, frame.f_lasti, frame.f_lineno)
        frame = frame.f_back
    return tb
