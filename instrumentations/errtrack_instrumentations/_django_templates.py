# SPDX-License-Identifier: MIT
"""Where in a Django template an exception came from, with the lines around, found in what the exception holds."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any

_AROUND = 5
_BASE = "django.template.base"
_PLAIN = frozenset((str, int, float, bool, type(None)))


def frame_of(error: BaseException) -> dict[str, Any] | None:
    """The template line of *error* as a frame; None where no template is to blame."""
    frame = _found_in_frames(error)
    if frame is None:
        # What Jinja2's errors bring along, and Django's where ``debug`` is on: up to 3.2 of the outermost template,
        # and escaped for HTML.
        told = getattr(error, "template_debug", None)
        if isinstance(told, dict) and told.get("source_lines"):
            frame = _frame(str(told.get("name")), "", told.get("line") or 0, dict(told["source_lines"]))
    return frame


def shown(value: Any) -> Any:
    """A value of a template's context for a span: never evaluated, never kept alive."""
    kind = type(value)
    if kind in _PLAIN:
        return value[:200] if kind is str else value
    if hasattr(kind, "as_manager"):  # a QuerySet would ask the database for its repr
        return "<%s from %s.%s at 0x%x>" % (kind.__name__, kind.__module__, kind.__qualname__, id(value))
    return "<%s.%s at 0x%x>" % (kind.__module__, kind.__qualname__, id(value))


def _found_in_frames(error: BaseException) -> dict[str, Any] | None:
    """The innermost node, and its template, out of the frames that the exception went through."""
    origin: Any = None
    token: Any = None
    templates: list[Any] = []
    for frame in _frames(error):
        name = frame.f_code.co_name
        if name == "render_annotated":
            node: Any = frame.f_locals.get("self")
            if getattr(node, "token", None) is not None:
                origin, token = getattr(node, "origin", None), node.token
        elif name == "compile_nodelist":
            template = frame.f_locals.get("self")
            origin, token = getattr(template, "origin", None), getattr(error, "token", None)
            templates.append(template)
        elif name == "_render":
            templates.append(frame.f_locals.get("self"))
    lineno = getattr(token, "lineno", None)
    if origin is None or not isinstance(lineno, int):
        return None
    source = next((t.source for t in reversed(templates) if getattr(t, "origin", None) == origin), "")
    lines = dict(enumerate(str(source).splitlines(True), 1))
    return _frame(str(origin.name), str(getattr(origin, "template_name", None) or ""), lineno, lines)


def _frames(error: BaseException) -> Iterator[FrameType]:
    tb = error.__traceback__
    while tb is not None:
        if tb.tb_frame.f_globals.get("__name__") == _BASE:
            yield tb.tb_frame
        tb = tb.tb_next


def _frame(path: str, name: str, lineno: int, lines: dict[int, str]) -> dict[str, Any]:
    def text(number: int) -> str:
        return lines[number].rstrip("\r\n")

    frame: dict[str, Any] = {"abs_path": path, "filename": name or path, "lineno": lineno, "in_app": True}
    if lineno in lines:
        frame["context_line"] = text(lineno)
        frame["pre_context"] = [text(n) for n in range(lineno - _AROUND, lineno) if n in lines]
        frame["post_context"] = [text(n) for n in range(lineno + 1, lineno + 1 + _AROUND) if n in lines]
    return frame
