# SPDX-License-Identifier: MIT
"""Nobody waits at a terminal for a slow server: a process of its own delivers what is pending when a program ends.

The program ends at once; the uploader has a minute, delivers what the spool holds, others' too, and is gone. It is a
bare interpreter in a session of its own, with no descriptor of the program's. There is one at a time for a spool,
held apart by a lock; what it does not get through stays on disk, as ever. Where a container ends with its first process
it would be killed, so there, and where no terminal is, ``uploader = "auto"`` has the program wait as it did.
"""

from __future__ import annotations

import os
import sys
from time import monotonic, sleep

from errtrack import guard, surroundings
from errtrack.delivery import away, claims, left_behind, places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from errtrack.delivery.transport import Transport
    from errtrack.options import Options

#: Seconds that an uploader has.
LIFE = 60.0

#: Seconds that the worker of a process leaves delivery alone: one that ends before has imported nothing for it.
BEGIN_AFTER = 0.25

LOCK_NAME = "uploader"

_START = (
    "import sys; sys.path += sys.argv[3:]; "
    "from errtrack.delivery import uploader; uploader.upload(sys.argv[1], float(sys.argv[2]))"
)

#: Settings that delivery hangs on, and that ``errtrack.init()`` may have given: paths, and others.
_PATHS = ("store", "spool_dir", "ca_certs", "cert_file", "key_file")
_OTHERS = (
    "connect_timeout", "request_timeout", "http_proxy", "https_proxy", "send_client_reports", "strict_protocol",
)  # fmt: skip

_PACKAGES = ("urllib3", "certifi", "tomli")


def applies(options: Options, environ: Mapping[str, str] | None = None, root: str = "") -> bool:
    """Whether a process with *options* leaves what is pending at its end to an uploader. *root*: before every path."""
    if options.uploader == "off" or not _can_be_started():
        return False
    if options.uploader == "on":
        return True
    environ = os.environ if environ is None else environ
    is_hosted = any(environ.get(variable) for variable, _, _ in surroundings.PLATFORMS)
    return os.isatty(2) and not is_hosted and "container" not in surroundings.detect(environ, root)


def _can_be_started() -> bool:
    # uWSGI and frozen programs give themselves for their Python.
    is_python = os.path.basename(sys.executable or "").lower().startswith(("python", "pypy"))
    if not is_python or hasattr(sys, "frozen") or not hasattr(os, "posix_spawn") or os.getpid() == 1:
        return False
    # Where nothing can be sent, the program's own thread says so, and what to do.
    return any(os.path.isdir(os.path.join(place, "urllib3")) for place in _places())


def hand_over(options: Options, folder: str) -> bool:
    """Have an uploader deliver what lies in *folder*; False where none can be started. Its segments must be free."""
    if _is_at_work(folder):
        return True  # it looks again before it ends
    environ = dict(os.environ, ERRTRACK_DSN=options.dsn)
    for name in _PATHS + _OTHERS:
        if options.source(name) == "init()":
            environ["ERRTRACK_" + name.upper()] = str(getattr(options, name))
    command = [sys.executable, "-I", "-S", "-B", "-c", _START, folder, str(LIFE), *_places()]
    actions: list[Any] = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    actions += [(os.POSIX_SPAWN_CLOSE, number) for number in _inheritable()]
    try:
        os.posix_spawn(sys.executable, command, environ, file_actions=actions, setsid=True, setsigmask=())
    except (OSError, NotImplementedError, ValueError) as error:
        guard.debug("no uploader could be started: %s" % error)
        return False
    return True


def _places() -> list[str]:
    """Where our packages lie, and what they need: the folders that an interpreter without any site must be told."""
    own = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # The launcher names the folder with our packages' needs, where that is not on the application's path.
    others = [entry for entry in (os.environ.get("ERRTRACK_RUN", ""), *sys.path) if isinstance(entry, str)]
    return [own] + [
        entry for entry in others if os.path.isabs(entry) and entry != own and _holds_needs(entry)
    ]


def _holds_needs(folder: str) -> bool:
    return any(os.path.isdir(os.path.join(folder, package)) for package in _PACKAGES)


def _inheritable() -> list[int]:
    """The descriptors above 2 that a child would be given: a lock held by one of them must not outlive the program."""
    try:
        numbers = [int(name) for name in os.listdir("/dev/fd")]
    except (OSError, ValueError):
        return []
    found = []
    for number in numbers:
        try:
            if number > 2 and os.get_inheritable(number):
                found.append(number)
        except OSError:  # the listing's own
            pass
    return found


def upload(folder: str, life: float) -> None:
    """The uploader's whole work: deliver what lies in *folder* within *life* seconds. Settings: the environment's."""
    import signal

    from errtrack.delivery.transport import Transport
    from errtrack.dsn import Dsn
    from errtrack.options import resolve

    signal.alarm(int(life) + 15)  # whatever happens to it, it does not stay
    options = resolve()
    if all(os.path.isabs(path) for path in (getattr(options, name) for name in _PATHS) if path):
        os.chdir("/")  # or the program's folder could not be unmounted meanwhile
    until = monotonic() + life
    while monotonic() < until:
        lock = _take(folder)
        if lock is None:
            return
        try:
            transport = Transport(options, Dsn.parse(options.dsn))
            settled = _deliver(transport, until)
            worker = transport.worker()
            if worker is None or worker.can_send:
                away.tell(folder, not settled)
            transport.close(0)
        finally:
            os.close(lock)
        # Who has ended since the last look has seen the lock, and left its events to us.
        if not settled or not _has_left_behind(folder):
            return


def _deliver(transport: Transport, until: float) -> bool:
    pause = 1.0
    while True:
        if transport.drain(until - monotonic()):
            return True
        if monotonic() + pause >= until:
            return False
        sleep(pause)
        pause *= 2


def _take(folder: str) -> int | None:
    """The descriptor that is the right to upload from *folder*; None while another one has it."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = places.open_private(os.path.join(folder, LOCK_NAME), flags)
    try:
        claims.lock(descriptor)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _is_at_work(folder: str) -> bool:
    try:
        lock = _take(folder)
    except OSError:
        return False
    if lock is not None:
        os.close(lock)
    return lock is None


def _has_left_behind(folder: str) -> bool:
    names = [name for name in os.listdir(folder) if name.startswith("seg-")]
    return any(left_behind.is_left(os.path.join(folder, name), False) for name in names)
