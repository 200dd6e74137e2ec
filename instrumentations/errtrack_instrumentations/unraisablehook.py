# SPDX-License-Identifier: MIT
"""Errors that nobody can catch are reported: in ``__del__``, in raw threads, in callbacks at exit (Python 3.10).

The interpreter prints its "Exception ignored in" as ever. What fails at one place again and again, as finalisers
do, is reported once in ten seconds. The object whose end it was is neither kept nor asked for its ``repr``.
"""

from __future__ import annotations

from errtrack.instrumentation import Call, Instrumentation, Patch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from errtrack.instrumentation import Advice

_PAUSE = 10.0
_MOST = 200

#: Place -> when it was reported last.
_reported: dict[tuple[str, str, int], float] = {}


def report(call: Call) -> Advice:
    """sys.unraisablehook(unraisable)"""
    given = call.args[0]
    error, tb = given.exc_value, given.exc_traceback
    if (
        isinstance(error, BaseException)
        and tb is not None
        and not isinstance(error, KeyboardInterrupt)
        and is_due(type(error), tb)
    ):
        from errtrack import client

        running = client.get_client()
        if running is not None:
            mechanism = {"type": "unraisablehook", "handled": False, "data": describe(given)}
            running.capture_exception(error, tb, mechanism)
    del given, error, tb
    yield


def is_due(kind: type[BaseException], tb: TracebackType) -> bool:
    """Whether the place that *tb* leads to was not reported a moment ago."""
    from time import monotonic

    while tb.tb_next is not None:
        tb = tb.tb_next
    place = (kind.__qualname__, tb.tb_frame.f_code.co_filename, tb.tb_lineno)
    now = monotonic()
    if now - _reported.get(place, -_PAUSE) < _PAUSE:
        return False
    if len(_reported) >= _MOST:
        _reported.clear()
    _reported[place] = now
    return True


def describe(given: Any) -> dict[str, str]:
    """What the interpreter was at, in its own words, and for which kind of object."""
    from errtrack.capture.shapes import exact, label_of

    data = {}
    message = exact(given.err_msg)
    if message:
        data["message"] = message
    about = given.object
    if about is not None:
        name = getattr(about, "__qualname__", None) if type(about) in _FUNCTIONS else None
        data["object"] = exact(name) or label_of(type(about))
    return data


_FUNCTIONS = (type(is_due), type(len))

INSTRUMENTATION = Instrumentation("unraisablehook", patches=[Patch("sys", "unraisablehook", report)])
