# SPDX-License-Identifier: MIT
"""The public functions, under the names that users of ``sentry_sdk`` know.

They work with and without the launcher: where errtrack was neither launched nor initialised, captures do nothing
and return None, and scopes can be used as ever.
"""

from __future__ import annotations

import sys

from errtrack import client as _client
from errtrack.context.scope import (
    Scope,
    get_current_scope,
    get_global_scope,
    get_isolation_scope,
    isolation_scope,
    new_scope,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType, TracebackType
    from typing import Any

    from errtrack.context.scope import Event, Hint
    from errtrack.feedback import capture_feedback
    from errtrack.monitors import capture_checkin, monitor
    from errtrack.tracing import (
        continue_trace,
        get_baggage,
        get_current_span,
        get_traceparent,
        start_span,
        start_transaction,
        trace,
        trace_propagation_meta,
        update_current_span,
    )

__all__ = [
    "Scope",
    "add_attachment",
    "add_breadcrumb",
    "add_feature_flag",
    "capture_checkin",
    "capture_event",
    "capture_exception",
    "capture_feedback",
    "capture_message",
    "close",
    "continue_trace",
    "dismiss_exception",
    "end_session",
    "flush",
    "get_baggage",
    "get_current_scope",
    "get_current_span",
    "get_global_scope",
    "get_isolation_scope",
    "get_traceparent",
    "ignore_logger",
    "init",
    "is_initialized",
    "isolation_scope",
    "last_event_id",
    "monitor",
    "new_scope",
    "report_exception",
    "report_message",
    "set_context",
    "set_extra",
    "set_fingerprint",
    "set_level",
    "set_tag",
    "set_tags",
    "set_transaction_name",
    "set_user",
    "should_send_default_pii",
    "start_session",
    "start_span",
    "start_transaction",
    "trace",
    "trace_propagation_meta",
    "unignore_logger",
    "update_current_span",
]


def init(dsn: str | None = None, **options: Any) -> None:
    """Start errtrack in code; what is given here wins over the launcher, the environment and the file.

    Options are those of ``errtrack config``; one such as ``flask.transaction_style`` is written
    ``flask_transaction_style``. Wrong values are told on stderr and replaced by defaults; nothing is raised.
    """
    _client.init(dict(options, dsn=dsn))


def is_initialized() -> bool:
    """Whether captures go anywhere: errtrack was launched or initialised, and is not switched off."""
    client = _client.get_client()
    return client is not None and client.is_active


def capture_exception(
    error: BaseException | Any = None,
    scope: Scope | Callable[[Scope], object] | None = None,
    **scope_args: Any,
) -> str | None:
    """Capture *error* (an exception, an ``exc_info`` tuple, or by default the one being handled).

    Keywords (``tags``, ``user``, ``level``, ``extra``, ``contexts``, ``fingerprint``) hold for this event only.
    Returns the event's id, or None when nothing was captured.
    """
    client = _client.get_client()
    if client is None:
        return None
    tb = None
    # isinstance() alone would ask the exception.
    if issubclass(type(error), tuple) and isinstance(error, tuple) and len(error) == 3:
        _, error, tb = error
    if error is None:
        error = sys.exc_info()[1]
    if not isinstance(error, BaseException):
        return None
    return client.capture_exception(error, tb, scope=_call_scope(scope, scope_args))


def capture_message(
    message: str,
    level: str | None = None,
    scope: Scope | Callable[[Scope], object] | None = None,
    *,
    params: Any = None,
    **scope_args: Any,
) -> str | None:
    """Capture a text at *level* (default ``info``). Returns the event's id, or None."""
    client = _client.get_client()
    if client is None:
        return None
    return client.capture_message(message, level, params, _call_scope(scope, scope_args))


def capture_event(
    event: Event,
    hint: Hint | None = None,
    scope: Scope | Callable[[Scope], object] | None = None,
    **scope_args: Any,
) -> str | None:
    """Capture an event that is already in the protocol's form. Returns its id, or None."""
    client = _client.get_client()
    if client is None:
        return None
    return client.capture_event(event, hint, _call_scope(scope, scope_args))


def report_exception(
    error: BaseException,
    mechanism: str,
    *,
    handled: bool = False,
    level: str | None = None,
    tb: TracebackType | None = None,
    scope: Scope | None = None,
    hint: Hint | None = None,
) -> str | None:
    """Capture what an instrumentation caught; *mechanism* names the hook that saw it."""
    client = _client.get_client()
    if client is None:
        return None
    return client.capture_exception(error, tb, {"type": mechanism, "handled": handled}, level, hint, scope)


def dismiss_exception(error: BaseException) -> None:
    """Let no later layer report *error*: whoever saw it knows that it is no failure."""
    client = _client.get_client()
    if client is not None:
        client.dismiss(error)


def report_message(
    message: str,
    level: str,
    *,
    scope: Scope | None = None,
    hint: Hint | None = None,
    frame: FrameType | None = None,
) -> str | None:
    """Capture a text that an instrumentation saw, with the stack of *frame* where one is given."""
    client = _client.get_client()
    if client is None:
        return None
    return client.capture_message(message, level, None, scope, hint, frame)


def ignore_logger(name: str) -> None:
    """Leave the records of a logger out, as breadcrumbs and as events; ``"noisy.*"`` names all below it."""
    from errtrack import loggers

    loggers.ignore(name)


def unignore_logger(name: str) -> None:
    """Take back what :func:`ignore_logger` was told."""
    from errtrack import loggers

    loggers.unignore(name)


def add_breadcrumb(crumb: Mapping[str, Any] | None = None, hint: Hint | None = None, **fields: Any) -> None:
    """Note something that happened: ``message``, ``category``, ``level``, ``type``, ``data``; later events show it."""
    client = _client.get_client()
    if client is not None:
        client.add_breadcrumb({**(crumb or {}), **fields}, hint)


def set_tag(key: str, value: Any) -> None:
    """Set one tag on the events of this request, task or thread."""
    get_isolation_scope().set_tag(key, value)


def set_tags(tags: Mapping[str, Any]) -> None:
    """Set several tags."""
    get_isolation_scope().set_tags(tags)


def set_user(user: Mapping[str, Any] | None) -> None:
    """Say who is affected: ``id``, ``username``, ``email``, ``ip_address`` or own keys; None forgets the user."""
    get_isolation_scope().set_user(user)


def set_context(key: str, value: Mapping[str, Any]) -> None:
    """Attach a table under a name of its own."""
    get_isolation_scope().set_context(key, value)


def set_extra(key: str, value: Any) -> None:
    """Attach any value."""
    get_isolation_scope().set_extra(key, value)


def set_level(level: str) -> None:
    """Override the level of the events to come."""
    get_isolation_scope().set_level(level)


def set_fingerprint(fingerprint: list[str]) -> None:
    """Group the events to come by these texts."""
    get_isolation_scope().set_fingerprint(fingerprint)


def set_transaction_name(name: str, source: str = "custom") -> None:
    """Name the unit of work in hand."""
    get_isolation_scope().set_transaction_name(name, source)


def add_attachment(
    bytes: bytes | Callable[[], bytes] | None = None,
    filename: str | None = None,
    path: str | None = None,
    content_type: str | None = None,
    add_to_transactions: bool = False,
) -> None:
    """Send a file along with the events of this request, task or thread: *bytes*, a function, or *path*."""
    get_isolation_scope().add_attachment(bytes, filename, path, content_type, add_to_transactions)


def add_feature_flag(flag: str, result: Any) -> None:
    """Note what a feature flag was evaluated to; the last 100 are shown with each event."""
    get_isolation_scope().add_feature_flag(flag, result)


def start_session() -> None:
    """Begin a session of release health for this task or run; without ``auto_session_tracking`` nothing happens."""
    client = _client.get_client()
    if client is not None and client.is_active and client.sessions is not None:
        end_session()
        get_isolation_scope().session = client.sessions.begin()


def end_session() -> None:
    """End the session in hand: well, in error, or in a crash, by what was captured meanwhile."""
    scope = get_isolation_scope()
    session, scope.session = scope.session, None
    if session is not None:
        session.end()


def last_event_id() -> str | None:
    """The id of the event captured last in this request, task or thread."""
    return get_isolation_scope().last_event_id


def flush(timeout: float | None = None) -> bool:
    """Wait at most *timeout* seconds (default ``shutdown_timeout``) until all is delivered; True when it is."""
    client = _client.get_client()
    return True if client is None else client.flush(timeout)


def close(timeout: float | None = None) -> None:
    """Flush and stop delivering; what is left stays on disk for the next process."""
    client = _client.get_client()
    if client is not None:
        client.close(timeout)


def should_send_default_pii() -> bool:
    """Whether personal data may be sent. The one place that instrumentations ask."""
    client = _client.get_client()
    return client is not None and bool(client.options.send_default_pii)


def _call_scope(given: Any, fields: dict[str, Any]) -> Scope | None:
    """A scope for one call, from keywords such as ``tags={...}``; unknown keywords are told in debug.

    *given* may be a function that is given an empty scope to fill.
    """
    scope: Scope | None = given if given is None or isinstance(given, Scope) else _filled(given)
    if not fields:
        return scope
    made = scope.fork() if scope is not None else Scope()
    for key, value in fields.items():
        if key == "tags":
            made.set_tags(value)
        elif key == "user":
            made.set_user(value)
        elif key == "level":
            made.set_level(value)
        elif key in ("extra", "extras"):
            made.set_extras(value)
        elif key == "contexts":
            for name, context in value.items():
                made.set_context(name, context)
        elif key == "fingerprint":
            made.set_fingerprint(value)
        else:
            from errtrack import guard

            guard.debug("capture: unknown keyword %s is left out" % key)
    return made


def _filled(fill: Any) -> Scope | None:
    made = Scope()
    try:
        fill(made)
    except Exception as error:
        from errtrack import guard

        guard.tell("capture: scope=... failed (%s); the event goes without it" % type(error).__name__)
    return made


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in ("capture_checkin", "monitor"):  # few jobs use them
            from errtrack import monitors

            return getattr(monitors, name)
        if name == "capture_feedback":
            from errtrack import feedback

            return feedback.capture_feedback
        if name in __all__:  # the rest is tracing by hand
            from errtrack import tracing

            return getattr(tracing, name)
        raise AttributeError("module 'errtrack.api' has no attribute %r" % name)
