# SPDX-License-Identifier: MIT
"""Frames show the expressions around the failing statement: ``order.lines[1]`` beside ``order``, nearest first.

Opt-in; needs the packages ``pure_eval`` and ``executing`` in the application's environment. They evaluate only
what has no side effects. Without them, or without source, frames show their variables as ever.
"""

from __future__ import annotations

from errtrack.instrumentation import Instrumentation, OnImport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType, TracebackType
    from typing import Any

_MOST = 10
_BUDGET = 2048


def show_expressions(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    """Replace the variables of the raised exception's frames, and of those of its causes."""
    given = hint.get("exc_info")
    try:
        source = __import__("executing").Source
        evaluator = __import__("pure_eval").Evaluator
    except ImportError:
        return event
    from errtrack.capture.stacktrace import Frame

    error = given[1] if given else None
    tb = given[2] if given else None
    for value in reversed((event.get("exception") or {}).get("values") or ()):
        if error is None:
            break
        frames = (value.get("stacktrace") or {}).get("frames") or []
        for position, frame in enumerate(frames):
            if type(frame) is not Frame:
                continue
            while tb is not None and (
                tb.tb_frame.f_code is not frame.place.code or tb.tb_lineno != frame.place.shown.get("lineno")
            ):
                tb = tb.tb_next  # frames that are not shown
            if tb is None:
                break
            if frame.detailed and frame.vars is not None:
                found = expressions(tb, source, evaluator)
                if found:
                    frames[position] = {**frame.plain(), "vars": found}
            tb = tb.tb_next
        below = error.__cause__
        if below is None and not error.__suppress_context__:
            below = error.__context__
        error, tb = below, below.__traceback__ if below is not None else None
    return event


show_expressions.touches_frames = False  # type: ignore[attr-defined]


def expressions(tb: TracebackType, source_class: Any, evaluator_class: Any) -> dict[str, Any]:
    """Expression -> described value, those nearest to the failing statement first."""
    import ast
    from json import loads

    from errtrack import client
    from errtrack.capture.serializer import Describer

    running = client.get_client()
    source = source_class.for_frame(tb.tb_frame)
    statements = list(source.statements_at_line(tb.tb_lineno)) if source.tree else []
    if not statements or running is None:
        return {}
    scope = statement = statements[0]
    while not isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)):
        scope = scope.parent
    end = statement.end_lineno

    def nearness(group: tuple[list[Any], Any]) -> tuple[int, int, int]:
        before = [node for node in group[0] if node.lineno <= end]
        if not before:
            return 1, group[0][0].lineno, 0
        line = max(node.lineno for node in before)
        nearest = [node for node in before if node.lineno == line]
        return -line, min(node.col_offset for node in nearest), len(ast.dump(group[0][0]))

    groups = evaluator_class.from_frame(tb.tb_frame).interesting_expressions_grouped(scope)
    describer = Describer(running.options, running.scrubber)
    out: dict[str, Any] = {}
    for nodes, value in sorted(groups, key=nearness)[:_MOST]:
        out[ast.unparse(nodes[0])[:200]] = loads(describer.describe(value, _BUDGET // 2))
    return out


def install(client: ModuleType) -> None:
    """errtrack.client has been loaded."""
    client.add_event_processor(show_expressions)


INSTRUMENTATION = Instrumentation("pure_eval", opt_in=True, on_import=[OnImport("errtrack.client", install)])
