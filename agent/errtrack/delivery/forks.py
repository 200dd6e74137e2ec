# SPDX-License-Identifier: MIT
"""Forks: what a parent does before one, so that neither the child nor the application notices our threads.

The child must not inherit something half done, an import or a transaction: a fork waits until those are over.
And from 3.12 on Python warns whoever forks a process that has threads. Where ours are the only ones, they are asked
to leave, and the worker comes back afterwards: its connection and its claims stay as they are.
"""

from __future__ import annotations

import os
import sys
from _thread import get_ident, get_native_id, start_new_thread
from time import monotonic, sleep

from errtrack import guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from typing import Any

    from errtrack.delivery.transport import Transport
    from errtrack.delivery.worker import Worker
else:
    import _signal

#: A fork waits no longer than this (seconds) for the worker to come to a point where it does no harm.
FORK_WAITS = 3.0

#: Seconds: how long a fork waits for our threads to end, and after that for the kernel to have seen it.
LEAVE, GONE = 0.05, 0.05

#: So often it is looked whether they have; no fork waits for ever where somebody has stopped the clock (freezegun).
LOOKS = 250

_WARNS = sys.version_info >= (3, 12)
#: Counted are the threads that there are after the fork hooks, those included that come back in them
#: (https://github.com/python/cpython/issues/137109).
_COUNTS_LATE = (3, 13) <= sys.version_info < (3, 13, 10) or (3, 14) <= sys.version_info < (3, 14, 1)
_KERNEL_TELLS = sys.platform == "linux"

_transports: list[Transport] = []
_held: list[Worker] = []
_away: list[Worker] = []
_is_registered = False


class _Thread:
    """One of ours. ``native`` is 0 while it starts, and below 0 where it is no thread but a greenlet."""

    __slots__ = ("ident", "is_over", "native", "pid")

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.ident = self.native = 0
        self.is_over = False

    def run(self, starter: int, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        native = get_native_id()
        self.ident = get_ident()
        self.native = -1 if native == starter else native
        try:
            _block_signals()
            function(*arguments)
        except Exception as error:
            # Python would print it: into the application's output, and with the lock of stderr in hand, which makes
            # an interpreter that ends just then abort.
            guard.fault("delivery.thread", error)
        finally:
            self.is_over = True

    def is_gone(self) -> bool:
        """True when nobody counts it any more: the kernel does for an instant longer than Python."""
        if self.native < 0 or self.pid != os.getpid():
            return True
        if not self.native or not _KERNEL_TELLS:
            return self.is_over
        return not os.path.exists("/proc/self/task/%d" % self.native)


def _block_signals() -> None:
    """Leave signals to the application's threads, but for those that are faults of the thread itself."""
    greenlets = sys.modules.get("greenlet")
    current = getattr(greenlets, "getcurrent", None)
    if current is not None and current().parent is not None:
        return  # eventlet and gevent make threads greenlets of a thread of the application's
    try:
        faults = {_signal.SIGSEGV, _signal.SIGBUS, _signal.SIGFPE, _signal.SIGILL, _signal.SIGABRT}
        _signal.pthread_sigmask(_signal.SIG_BLOCK, set(_signal.valid_signals()) - faults)
    except (AttributeError, OSError, ValueError):  # Windows
        pass


_threads: list[_Thread] = []


def start_thread(function: Callable[..., object], *arguments: Any) -> None:
    """Run *function* in a thread that forks know to be ours. Raises ``RuntimeError`` where there can be none."""
    _register()
    _sweep()
    thread = _Thread()
    _threads.append(thread)
    try:
        start_new_thread(thread.run, (get_native_id(), function, arguments))
    except BaseException:
        thread.is_over = True
        raise


def _sweep() -> None:
    for thread in _threads[:]:
        if thread.is_gone():
            try:
                _threads.remove(thread)
            except ValueError:  # somebody else was quicker
                pass


def watch(transport: Transport) -> None:
    """From now on forks see to the worker of *transport*."""
    if transport not in _transports:
        _transports.append(transport)
    _register()


def forget(transport: Transport) -> None:
    """*transport* is closed."""
    if transport in _transports:
        _transports.remove(transport)


def _register() -> None:
    global _is_registered
    if not _is_registered and hasattr(os, "register_at_fork"):
        _is_registered = True
        os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)


def _before() -> None:
    try:
        _make_ready()
    except Exception as error:
        guard.fault("delivery.fork", error)


def _make_ready() -> None:
    workers = [worker for transport in _transports[:] if (worker := transport.worker()) is not None]
    is_to_end = _ours_are_the_only_ones(workers)
    if not workers and not is_to_end:
        return
    # Fork hooks run from the last registered to the first. Of a logging that was imported after us the forking thread
    # holds the lock by now; an import of the worker's (urllib3 asks for loggers) could not end before it gets it.
    lock: Any = getattr(sys.modules.get("logging"), "_lock", None)
    is_held = bool(lock and lock._is_owned())
    if is_held:
        lock.release()
    try:
        if is_to_end and _COUNTS_LATE:
            is_to_end = _come_to_rest(workers)
        if is_to_end:
            for worker in workers:
                _away.append(worker)
                worker.leave()
        calm = [worker for worker in workers if worker.unforkable.acquire(True, FORK_WAITS)]
        if is_to_end:
            for worker in calm:
                worker.unforkable.release()
            # It takes the lock once more, perhaps, on its way out.
            _wait_until_gone()
            calm = [worker for worker in calm if worker.unforkable.acquire(True, FORK_WAITS)]
        _held.extend(calm)
    finally:
        if lock is None:
            # Imported while we waited, it will release its lock after a fork before which it did not take it.
            lock = getattr(sys.modules.get("logging"), "_lock", None)
            is_held = lock is not None
        if is_held:
            lock.acquire()


def _ours_are_the_only_ones(workers: list[Worker]) -> bool:
    """Whether Python would warn of nothing but our threads, and they can be gone in a moment."""
    if not _WARNS:
        return False
    _sweep()
    ours = {thread.ident for thread in _threads[:]}
    if not ours or get_ident() in ours:
        return False
    # A request that is slow already will not be over in a moment.
    now = monotonic()
    if any(now - (worker.busy_since or now) > LEAVE for worker in workers):
        return False
    # Not threading.enumerate(): whatever a signal handler has interrupted may hold the lock that it takes.
    known: Any = getattr(sys.modules.get("threading"), "_active", ())
    return not set(known) - ours - {get_ident()}


def _come_to_rest(workers: list[Worker]) -> bool:
    """Give *workers* the moment that they need to have nothing left to do; False where it is not enough."""
    until, looks = monotonic() + LEAVE, LOOKS
    while any(worker.owes() for worker in workers):
        for worker in workers:
            lock = worker.unforkable
            if lock.locked() and lock.acquire(True, FORK_WAITS):
                lock.release()
                until, looks = monotonic() + LEAVE, LOOKS
        if monotonic() >= until or not looks:
            return False
        looks -= 1
        sleep(0.0005)
    return True


def _wait_until_gone() -> None:
    """Wait for our threads' end, which comes between two requests; go on without it where that takes too long."""
    if _wait(lambda: all(thread.is_over for thread in _threads[:]), LEAVE):
        _wait(lambda: all(thread.is_gone() for thread in _threads[:]), GONE)


def _wait(is_so: Callable[[], bool], longest: float) -> bool:
    until, pause = monotonic() + longest, 0.0001
    for _ in range(LOOKS):
        if is_so():
            return True
        if monotonic() >= until:
            return False
        sleep(pause)
        pause = min(pause * 2, 0.002)
    return False


def _after_in_parent() -> None:
    while _held:
        try:
            _held.pop().unforkable.release()
        except (IndexError, RuntimeError):
            break
    while _away:
        try:
            _away.pop().come_back(is_at_once=not _COUNTS_LATE)
        except IndexError:
            return
        except Exception as error:
            guard.fault("delivery.fork", error)


def _after_in_child() -> None:
    _held.clear()
    _away.clear()
    _threads.clear()
    for transport in _transports[:]:
        try:
            transport.kill_after_fork()
        except Exception as error:
            guard.fault("delivery.fork", error)
