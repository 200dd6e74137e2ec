# SPDX-License-Identifier: MIT
"""One failure is one event, however many layers see it: framework, server, logging, thread, excepthook.

The mark is a tuple of numbers on the exception itself, so nothing is kept alive by it. The same exception object
raised *anew* (a module-level instance) is a new failure; passed on through a future it is the same.
"""

from __future__ import annotations

from errtrack.instrumentation import Instrumentation, OnImport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType, TracebackType

_MARK = "__errtrack__"
_OWN = frozenset(("errtrack", "errtrack_instrumentations"))
_FUTURES = (
    "concurrent/futures/_base.py",
    "concurrent\\futures\\_base.py",
    "asyncio/futures.py",
    "asyncio/tasks.py",
)
#: Of six and of Flask 1; and WSGI servers raise there what they are given, where the answer is under way
#: (https://peps.python.org/pep-3333/#the-start-response-callable).
_PASSING_ON = frozenset(("reraise", "start_response"))


def is_repeat(error: BaseException, tb: TracebackType | None, event_id: str) -> bool:
    """True when *error* was captured before and has not been raised anew since; else it is marked as captured."""
    # Through the descriptor of BaseException: a class with its own __setattr__ or __dict__ has no say here.
    state = BaseException.__dict__["__dict__"].__get__(error)
    # The entries of our own handlers, which stand in front while they report, are gone when they have: the address
    # of one may then be that of any other entry.
    seen = tb
    while seen is not None and _is_ours(seen):
        seen = seen.tb_next
    head = id(seen or tb)
    innermost = below = tb
    while below is not None:
        innermost, below = below, below.tb_next
    mark = state.get(_MARK)
    if isinstance(mark, tuple) and len(mark) == 3 and not _raised_anew(tb, mark[1], mark[2], id(innermost)):
        return True
    state[_MARK] = (event_id, head, id(innermost))
    return False


def _is_ours(tb: TracebackType) -> bool:
    return str(tb.tb_frame.f_globals.get("__name__")).partition(".")[0] in _OWN


def _raised_anew(tb: TracebackType | None, seen_head: int, seen_innermost: int, innermost: int) -> bool:
    """Compare the traceback with the one seen at capture: as it travels up, entries are only put in front of it."""
    if seen_head == id(None):
        return False  # captured before it was raised at all
    before = None
    while tb is not None and id(tb) != seen_head:
        before, tb = tb, tb.tb_next
    if tb is None and before is not None:
        return innermost != seen_innermost  # cut by with_traceback(): the raise that began it tells
    if before is None:
        return False
    # The entry in front of the seen ones called into them, or it is a second `raise` of the same object.
    code = before.tb_frame.f_code
    if code.co_filename.endswith(_FUTURES) or code.co_name in _PASSING_ON:
        return False
    from opcode import opmap

    return code.co_code[before.tb_lasti] == opmap["RAISE_VARARGS"]


def install(client: ModuleType) -> None:
    """errtrack.client has been loaded."""
    client.add_error_filter(is_repeat)


INSTRUMENTATION = Instrumentation("dedupe", on_import=[OnImport("errtrack.client", install)])
