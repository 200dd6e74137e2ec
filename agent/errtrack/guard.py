# SPDX-License-Identifier: MIT
"""The one wall between our faults and the application.

Whatever goes wrong inside errtrack ends here: it is counted, told on stderr when ``debug`` is on, and goes no
further. Control flow is not a fault: ``KeyboardInterrupt``, ``SystemExit``, ``CancelledError`` and every other
``BaseException`` pass through, so callers catch ``Exception`` and hand it to :func:`fault`.

It also answers one question, asked in one place: is this thread inside errtrack right now? What our own work
does (its HTTP requests, its log lines, the hooks it calls) must not be captured by us again.
"""

from __future__ import annotations

import _thread
import os
import sys
from _weakref import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

#: Internal faults of this process: where -> how many. Shown by ``errtrack doctor`` and in debug output.
faults: dict[str, int] = {}

#: An instrumentation with so many internal faults is switched off for the process.
MOST_FAULTS = 3

#: How an instrumentation is switched off: its name -> a function of the last error. Which ones were.
breakers: dict[str, Callable[[BaseException], None]] = {}
tripped: set[str] = set()

#: Names of exceptions that signal handlers of libraries raise into whatever code runs just then, such as a time limit
#: of the application's task. Where that is ours they are no fault of ours, and go on to the application.
passing: set[str] = set()

#: Tests set this, so that an internal fault fails them instead of being counted.
raise_faults = False

#: Set by the client from the option ``debug``.
debug_enabled = False

#: Threads that run our own code, and the innermost mark of each: one that a signal handler's exception has kept from
#: being taken away goes with that. Where a microsecond counts, `if guard.inside and guard.is_inside()`.
inside: dict[int, ref[Inside]] = {}


#: What signal handlers of the application have raised into our code, by thread.
_struck: dict[int, BaseException] = {}


class NotNow(Exception):
    """Something of ours could not be loaded: for want of descriptors or memory, or as this very thread is about to load
    it, or what it needs, and does something else in between. The next call tries again.
    """


def tell(line: str) -> None:
    """Write one line to the user's stderr, or nothing when there is none. Never raises.

    The interpreter's own stderr object is used, not descriptor 2: a closed descriptor may since have been reused
    by the application's data file, and a redirected ``sys.stderr`` may lead into a logger that we watch.
    """
    stream = sys.__stderr__
    if stream is None:
        return
    line = "errtrack: %s\n" % line.replace("\n", " ")
    try:
        try:
            descriptor = stream.fileno()
        except (AttributeError, OSError, ValueError):
            stream.write(line)
            stream.flush()
            return
        # Past the stream's buffer: what a full device leaves in it would change the exit code to 120. Nor is it
        # flushed: a thread that is stopped with the lock of the stream, as the interpreter ends, makes Python abort.
        os.write(descriptor, line.encode(stream.encoding or "utf-8", "backslashreplace"))
    except Exception:
        pass


def debug(line: str) -> None:
    """Like :func:`tell`, but only when the option ``debug`` is on."""
    if debug_enabled:
        tell(line)


def fault(where: str, error: BaseException) -> bool:
    """Take note of an internal fault at *where* (a dotted name). The caller then goes on without us.

    True when *where* (up to a colon) names an instrumentation that has been switched off, by this fault or before.
    """
    if type(error) is NotNow:
        debug("%s: %s cannot be loaded just now" % (where, error))
        return False
    if raise_faults or type(error).__name__ in passing:
        raise error
    if pass_on(error):
        return False
    faults[where] = faults.get(where, 0) + 1
    if debug_enabled:
        try:
            import traceback

            text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
            tell("internal fault in %s: %s" % (where, text.replace("\n", " | ")))
        except Exception:
            pass
    name = where.partition(":")[0]
    if name not in breakers or name in tripped:
        return name in tripped
    if sum(count for at, count in list(faults.items()) if at.partition(":")[0] == name) < MOST_FAULTS:
        return False
    tripped.add(name)
    try:
        breakers[name](error)
    except Exception:
        pass
    return True


def is_of_signal_handler(error: BaseException) -> bool:
    """Whether a signal handler of the application has raised *error* into whatever code ran just then, such as a time
    limit of its own: where that is ours, it is no fault of ours, and the application waits for it.
    """
    try:
        import _signal  # type: ignore[import-not-found]
    except ImportError:  # Python takes itself apart, and runs no handlers any more
        return False
    codes = set()
    for number in range(1, _signal.NSIG):
        handler = _signal.getsignal(number)
        try:
            handler = getattr(handler, "func", handler)  # of a functools.partial
            handler = getattr(handler, "__func__", handler)
            codes.add(getattr(handler, "__code__", None) or getattr(type(handler).__call__, "__code__", None))
        except Exception:  # the application's own object may answer as it likes
            pass
    tb = error.__traceback__
    while tb is not None:
        frame = tb.tb_frame
        if frame.f_code is _EXIT:  # it may not have come to anything yet
            frame.f_locals["self"].leave()
        if frame.f_code in codes:
            return True
        tb = tb.tb_next
    return False


def pass_on(error: BaseException) -> bool:
    """If a signal handler has raised *error*, have it go on to the application as this thread leaves our code.

    For whoever puts a word in place of what cannot be read; :func:`fault` does it by itself. True if so.
    """
    if is_of_signal_handler(error):
        if not is_inside():
            raise error
        _struck.setdefault(_thread.get_ident(), error)
        return True
    return False


def is_inside() -> bool:
    """True while this thread runs errtrack's own code (a capture, a hook of the user, a delivery)."""
    # `_thread.get_ident` is looked up at each call: gevent and eventlet replace it, and this module may be older.
    mark = inside.get(_thread.get_ident())
    return mark is not None and mark() is not None


class Inside:
    """``with Inside():`` marks this thread as running errtrack's own code; may be nested."""

    __slots__ = ("__weakref__", "_before", "_ident")

    def __enter__(self) -> Inside:
        ident = self._ident = _thread.get_ident()
        before = inside.get(ident)
        self._before = before if before is not None and before() is not None else None
        inside[ident] = ref(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.leave()
        if _struck and not self._before and self._ident in _struck:
            struck = _struck.pop(self._ident)
            if kind is None or issubclass(kind, Exception):
                raise struck

    def leave(self) -> None:
        """Take the mark away; once more does no harm."""
        if self._before:
            inside[self._ident] = self._before
        else:
            inside.pop(self._ident, None)


_EXIT = Inside.__exit__.__code__


def after_fork_in_child() -> None:
    """Forget the marks of threads that exist only in the parent; this thread's own mark stays right."""
    mine = inside.get(_thread.get_ident())
    inside.clear()
    if mine is not None:
        inside[_thread.get_ident()] = mine
