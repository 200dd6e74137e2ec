# SPDX-License-Identifier: MIT
"""Every exception that ends the program is reported, and its traceback is printed as ever.

Under a terminal and without a DSN, one line after the traceback tells how to see it again. Errors typed at an
interactive prompt are left alone unless ``excepthook.always_run`` is on; Ctrl-C is no error.
"""

from __future__ import annotations

import sys

import errtrack
from errtrack.instrumentation import Call, Instrumentation, OnImport, Patch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType, TracebackType

    from errtrack.instrumentation import Advice


_is_left_behind = False  # sys.ps1, by a console that the program itself had opened


def report(call: Call) -> Advice:
    """sys.excepthook(type, value, traceback)"""
    error, tb = call.args[1], call.args[2]
    event_id = None
    if isinstance(error, BaseException) and not isinstance(error, (KeyboardInterrupt, GeneratorExit)):
        from errtrack import options

        if options.current().excepthook_always_run or not is_interactive(tb):
            event_id = errtrack.report_exception(error, "excepthook", level="fatal", tb=tb)
    yield
    if event_id:
        tell_where(event_id)


def is_interactive(tb: TracebackType | None) -> bool:
    """Whether the error comes from a prompt: REPLs set ``sys.ps1``, but ``python -m asyncio`` of 3.13 does not."""
    if hasattr(sys, "ps1") and not _is_left_behind:
        return True
    filename = ""
    while tb is not None:
        filename = tb.tb_frame.f_code.co_filename
        if filename.startswith("<python-input-") or filename == "<console>":
            return True
        tb = tb.tb_next
    return bool(sys.flags.interactive) and filename == "<stdin>"


def remember(call: Call) -> Advice:
    """InteractiveConsole.interact(self, ...), which sets sys.ps1 where there is none, and leaves it there"""
    global _is_left_behind
    _is_left_behind = _is_left_behind or not hasattr(sys, "ps1")
    yield


def show_as_ever(call: Call) -> Advice:
    """InteractiveInterpreter.showtraceback(self), .showsyntaxerror(self, filename=None, ...)

    A console writes an error by itself, to wherever it is and without its own frames, only where it finds the
    interpreter's own hook in place.
    """
    wire = sys.excepthook
    if getattr(wire, "errtrack_previous", None) is not sys.__excepthook__:
        yield
        return
    error = sys.exc_info()[1]
    if error is not None:
        from errtrack import options

        if options.current().excepthook_always_run:
            errtrack.report_exception(error, "excepthook", level="fatal")
    sys.excepthook = sys.__excepthook__
    try:
        yield
    finally:
        if sys.excepthook is sys.__excepthook__:
            sys.excepthook = wire


def tell_where(event_id: str) -> None:
    """Name the event to a person at a terminal, when it is kept on this machine."""
    from errtrack import client, guard

    running = client.get_client()
    stream = sys.__stderr__
    if running is not None and running.dsn is None and stream is not None and stream.isatty():
        guard.tell("captured this as %s; see it again with: errtrack show %s" % (event_id[:8], event_id[:8]))


def run_again(formatting: ModuleType) -> None:
    """exceptiongroup._formatting has been loaded: before Python 3.11 it prints the members of groups.

    It does so only where it finds the interpreter's own hook in place
    (https://github.com/agronholm/exceptiongroup/issues/123): so it gets that, and another run.
    """
    wire = sys.excepthook
    loader = getattr(formatting.__spec__, "loader", None)
    if loader is None or getattr(wire, "errtrack_previous", None) is not sys.__excepthook__:
        return
    sys.excepthook = sys.__excepthook__
    try:
        loader.exec_module(formatting)
    finally:
        wire.errtrack_previous = sys.excepthook  # type: ignore[attr-defined]
        sys.excepthook = wire


INSTRUMENTATION = Instrumentation(
    "excepthook",
    patches=[
        Patch("sys", "excepthook", report),
        Patch("code", "InteractiveConsole.interact", remember),
        Patch("code", "InteractiveInterpreter.showtraceback", show_as_ever),
        Patch("code", "InteractiveInterpreter.showsyntaxerror", show_as_ever),
    ],
    on_import=[OnImport("exceptiongroup._formatting", run_again)],
)
