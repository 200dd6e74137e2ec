"""Checked by mypy --strict, never run: the public API as a typed application uses it."""

from __future__ import annotations

import errtrack

errtrack.init(dsn="https://k@h/1", environment="stage", before_send=lambda event, hint: event)
active: bool = errtrack.is_initialized()

try:
    raise ValueError
except ValueError as error:
    event_id: str | None = errtrack.capture_exception(error, tags={"a": "b"})

errtrack.capture_exception()
message_id: str | None = errtrack.capture_message("x", level="warning")
errtrack.capture_event({"logentry": {"formatted": "x"}})
errtrack.set_tag("a", 1)
errtrack.set_tags({"a": 1})
errtrack.set_user({"id": "1"})
errtrack.set_user(None)
errtrack.set_context("order", {"id": 1})
errtrack.set_extra("a", object())
errtrack.add_breadcrumb({"message": "x"})
errtrack.add_breadcrumb(category="c", message="x")
with errtrack.new_scope() as scope:
    scope.set_tag("a", "b")
    scope.add_event_processor(lambda event, hint: None)
with errtrack.isolation_scope() as isolation:
    reveal: errtrack.Scope = isolation
last: str | None = errtrack.last_event_id()
done: bool = errtrack.flush(2.0)
errtrack.close()

errtrack.set_tag()  # type: ignore[call-arg]
errtrack.no_such_function()  # type: ignore[attr-defined]
