# SPDX-License-Identifier: MIT
"""Traced Django requests show the background tasks that they enqueue (Django 6.0 and later).

A task that fails is reported through the logger ``django.tasks``, with its exception.
"""

from __future__ import annotations

from errtrack.instrumentation import Call, Instrumentation, Patch

from ._late import _django_spans

TYPE_CHECKING = False
if TYPE_CHECKING:
    from errtrack.instrumentation import Advice


def measure(call: Call) -> Advice:
    """Task.enqueue(self, *args, **kwargs) -> TaskResult; aenqueue is the same"""
    yield from _django_spans.measured("queue.submit.django", call.args[0].module_path)


INSTRUMENTATION = Instrumentation(
    "django_tasks",
    supports=">=3.2",
    distribution="django",
    patches=[
        Patch("django.tasks.base", "Task.enqueue", measure, lambda args: _django_spans.is_off(args)),
        Patch("django.tasks.base", "Task.aenqueue", measure, lambda args: _django_spans.is_off(args)),
    ],
)
