# SPDX-License-Identifier: MIT
"""An error in a template shows the template: its name, the line and the lines around it as the innermost frame.

With ``DEBUG`` of the template engine and without. Templates can put ``{{ sentry_trace_meta }}`` in their head, which
carries the trace on to the browser; where tracing is on, rendering has spans.
"""

from __future__ import annotations

from errtrack.instrumentation import Call, Instrumentation, OnImport, Patch, active

from ._late import _django_templates, _trace_meta, scopes, tracing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from errtrack.instrumentation import Advice


def render(call: Call) -> Advice:
    """Template.render(self, context=None, request=None) of Django's backends for its own language and for Jinja2"""
    context = call.get(1, "context")
    if context is None or (type(context) is dict and _trace_meta.NAME not in context):
        call.replace(1, "context", {_trace_meta.NAME: _trace_meta.for_django, **(context or {})})
    parent = tracing.recording()
    if parent is None:
        yield
        return
    name = getattr(call.args[0].template, "name", None) or "<template>"
    with parent.start_child(op="template.render", name=str(name), origin="auto.http.django") as span:
        for key, value in (context or {}).items():
            span.set_data("context.%s" % key, _django_templates.shown(value))
        yield


def add_frame(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    """Put the place in a template below the frames of the exception that came out of it."""
    error = hint.get("exc_info", (None, None, None))[1]
    if isinstance(error, Exception) and "django_templates" in active:
        frame = _django_templates.frame_of(error)
        values = event.get("exception", {}).get("values")
        if frame is not None and values:
            trace = values[-1].setdefault("stacktrace", {"frames": []})
            trace["frames"] = [*trace["frames"], frame]
    return event


add_frame.touches_frames = False  # type: ignore[attr-defined]


def watch_errors(base: ModuleType) -> None:
    """django.template.base has been loaded: from now on templates can fail."""
    scope = scopes.get_global_scope()
    if add_frame not in scope.processors:
        scope.add_event_processor(add_frame)


INSTRUMENTATION = Instrumentation(
    "django_templates",
    supports=">=3.2",
    distribution="django",
    patches=[
        Patch("django.template.backends.django", "Template.render", render),
        Patch("django.template.backends.jinja2", "Template.render", render),
    ],
    on_import=[OnImport("django.template.base", watch_errors)],
)
