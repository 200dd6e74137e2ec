# SPDX-License-Identifier: MIT
"""Calls of ``sys.exit`` that end the program as failed are reported, with the stack that led to them.

Opt-in. Successful ends (0 and None) are reported with ``sys_exit.capture_successful_exits``. ``raise SystemExit``,
``os._exit`` and a ``from sys import exit`` that ran before Python started the application are not seen.
"""

from __future__ import annotations

from errtrack.instrumentation import Call, Instrumentation, Patch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from errtrack.instrumentation import Advice


def report(call: Call) -> Advice:
    """sys.exit(status=None)"""
    try:
        yield
    except SystemExit as error:
        from errtrack import client, options

        running = client.get_client()
        successful = error.code is None or (isinstance(error.code, int) and int(error.code) == 0)
        if running is not None and (not successful or options.current().sys_exit_capture_successful_exits):
            mechanism = {"type": "sys_exit", "handled": False}
            running.capture_exception(error, with_callers(error.__traceback__), mechanism)
        raise


def with_callers(tb: TracebackType | None) -> TracebackType | None:
    """*tb* with the calls that led to it in front; so far the exception has only come through our own."""
    if tb is None:
        return None
    frame = tb.tb_frame.f_back
    while frame is not None:
        tb = type(tb)(tb, frame, frame.f_lasti, frame.f_lineno)
        frame = frame.f_back
    return tb


INSTRUMENTATION = Instrumentation("sys_exit", opt_in=True, patches=[Patch("sys", "exit", report)])
