# SPDX-License-Identifier: MIT
"""Which line of the application a slow span was spent for: a query without an index has an address."""

from __future__ import annotations

import _thread
import sys

from . import _outgoing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from errtrack.context.span import Span

_DEEPEST = 200


def locate(span: Span, threshold: float) -> None:
    """Note on *span*, which has just ended, the innermost frame of the application, if it took *threshold* ms."""
    if span.seconds * 1000.0 < threshold:
        return
    from errtrack.capture import paths

    territory = _outgoing.settings().territory
    frame = sys._getframe(1)
    for _ in range(_DEEPEST):
        module = frame.f_globals.get("__name__")
        module = module if isinstance(module, str) else None
        path = paths.absolute(frame.f_code.co_filename)
        if not paths.is_own(module) and territory.in_app(path, module):
            span.set_data("code.lineno", frame.f_lineno)
            span.set_data("code.filepath", paths.short(path, module, frame.f_globals))
            span.set_data("code.function", frame.f_code.co_name)
            if module:
                span.set_data("code.namespace", module)
            return
        if frame.f_back is None:
            return
        frame = frame.f_back


def thread() -> dict[str, str]:
    """Which thread this is, as spans tell it."""
    threading = sys.modules.get("threading")
    found = {"thread.id": str(_thread.get_ident())}
    if threading is not None:
        found["thread.name"] = threading.current_thread().name
    return found
