# SPDX-License-Identifier: MIT
"""A program: does the same work again and again, and the N-th call to the system fails (or is the last), for every N.

``nth_call.py SCENARIO FAULT DSN FOLDER FROM STEP`` prints a line of JSON for each N: what was accepted, what the next
process without faults left, how the faulty one ended, and what it said. FAULT is ``kill``, ``short``, or the name of an
error. The work is done by real code on real files and sockets; between it and the system stands only the counting.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
import time
from typing import Any

from errtrack import guard, recovery, storms
from errtrack.client import Client
from errtrack.context.scope import Scope
from errtrack.delivery import bounds, claims, connection, crash_file, envelope, part, places, spool
from errtrack.delivery.drain import drain_to_store
from errtrack.delivery.segment import Reader
from errtrack.delivery.store import Store
from errtrack.delivery.transport import Transport
from errtrack.dsn import Dsn
from errtrack.options import Options

CALLS = (
    "open", "write", "pread", "pwrite", "fstat", "lstat", "unlink", "rename", "close", "listdir", "scandir", "mkdir",
    "fdatasync", "posix_fallocate", "access",
)  # fmt: skip

real = {name: getattr(os, name) for name in CALLS if hasattr(os, name)}


class Layer:
    """Counts the calls that errtrack makes; the one with the number *at* does what *fault* says."""

    def __init__(self, at: int, fault: str) -> None:
        self.at = at
        self.fault = fault
        self.count = 0
        self.name = ""

    def install(self) -> None:
        for name in real:
            setattr(os, name, self.wrapped(name, real[name]))
        layer = self

        class File(part.FileIO):
            def write(self, data: Any) -> int:
                return layer.call("file.write", super().write, data)  # type: ignore[no-any-return]

        part.FileIO = File  # type: ignore[misc]
        for module in (claims, crash_file):
            module.flock = self.wrapped("flock", module.flock)  # type: ignore[attr-defined]

    def wrapped(self, name: str, function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not sys._getframe(1).f_globals.get("__name__", "").startswith("errtrack."):
                return function(*args, **kwargs)
            return self.call(name, function, *args, **kwargs)

        return call

    def call(self, name: str, function: Any, *args: Any, **kwargs: Any) -> Any:
        self.count += 1
        if self.count != self.at:
            return function(*args, **kwargs)
        self.name = name
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "short":
            if name not in ("write", "file.write", "pwrite"):
                return function(*args, **kwargs)
            position = next(i for i, arg in enumerate(args) if isinstance(arg, bytes))
            half = (*args[:position], args[position][: len(args[position]) // 2], *args[position + 1 :])
            return function(*half, **kwargs)
        if name == "close":
            function(*args, **kwargs)  # a close that fails has closed
        number = getattr(errno, self.fault)
        raise OSError(number, os.strerror(number))


def options_for(dsn: str, folder: str, **more: object) -> Options:
    made = Options()
    given = {"store": folder, "spool_reserve": 4096, "shutdown_timeout": 5.0, "dsn": dsn, **more}
    for name, value in given.items():
        if value != "":
            assert made.set(name, value, "test"), made.problems
    return made


def put(transport: Transport, log: int, count: int, fatal: bool = False) -> None:
    """Events; what was accepted is noted where it outlives the process."""
    for _ in range(count):
        event_id = os.urandom(16).hex()
        payload = '{"event_id":"%s","platform":"python","logentry":{"message":"x"}}' % event_id
        if transport.put(envelope.build(event_id, "event", payload.encode()), fatal=fatal):
            real["write"](log, (event_id + "\n").encode())


def deliver(options: Options, log: int) -> None:
    """The server is well: rotation, retirement and a second segment are part of it."""
    transport = Transport(options, Dsn.parse(options.dsn))
    put(transport, log, 2)
    transport.flush(5)
    spool.MAX_SIZE = 300
    put(transport, log, 3)
    put(transport, log, 1, fatal=True)
    transport.flush(5)
    transport.close(2)


def server_away(options: Options, log: int) -> None:
    """The server cannot be reached: everything stays on disk."""
    spool.MAX_SIZE = 300
    transport = Transport(options, Dsn.parse(options.dsn))
    put(transport, log, 4)
    transport.flush(0.05)
    put(transport, log, 1, fatal=True)
    transport.close(0)


def next_process(options: Options, log: int) -> None:
    """Somebody has died and left events and a crash; they are taken over."""
    transport = Transport(options, Dsn.parse(options.dsn))
    transport.recover = lambda: recovery.report_crashes_from_outside(options)
    transport.drain(10)
    transport.close(2)


def store(options: Options, log: int) -> None:
    """There is no server: what waits is filled into the store."""
    transport = Transport(options, None)
    put(transport, log, 3)
    transport.flush(5)
    put(transport, log, 2)
    transport.close(2)


def too_much(options: Options, log: int) -> None:
    """The bounds are reached while the server is away."""
    spool.MAX_SIZE = 300
    transport = Transport(options, Dsn.parse(options.dsn))
    put(transport, log, 8)
    transport.flush(0.05)
    put(transport, log, 1, fatal=True)
    transport.close(0)


def storm(options: Options, log: int) -> None:
    """Two errors come again and again; each capture is noted, whatever became of it."""
    now = [time.monotonic()]
    storms.monotonic = lambda: now[0]  # type: ignore[attr-defined]
    client = Client(options)
    mark = Scope()
    mark.set_extra("full", True)
    first, second = raised("first"), raised("second")

    def capture(error: Exception, count: int) -> None:
        for number in range(count):
            client.capture_exception(error, scope=mark)
            real["write"](log, b"%x-%d\n" % (id(error), number))

    capture(first, 7)
    now[0] += 10.0  # one more is told, and tells of five
    capture(first, 4)
    capture(second, 5)
    now[0] += 61.0  # the first storm is over, and somebody is there to say so
    capture(second, 3)
    client.flush(5)
    client.close(2)


def raised(text: str) -> Exception:
    try:
        raise ValueError(text)
    except ValueError as error:
        return error.with_traceback(None) if text == "second" else error


SCENARIOS = {
    "deliver": deliver,
    "server_away": server_away,
    "next_process": next_process,
    "store": store,
    "too_much": too_much,
    "storm": storm,
}


def leave_behind(options: Options, log: int) -> None:
    """What next_process() finds: a segment and a crash."""
    transport = Transport(options, Dsn.parse(options.dsn))
    transport._closed = True  # no thread: it dies before it could send anything
    put(transport, log, 3)
    crash = crash_file.CrashFile(str(places.crash_folder(options)), options)
    os.write(
        crash.descriptor, b"Fatal Python error: Aborted\n\nCurrent thread 0x1 (most recent call first):\n"
    )
    real["write"](log, (crash_file.Crash(crash.path, -1, {}, "", 0.0).event_id + "\n").encode())


def in_child(function: Any, *args: Any, stderr: str = os.devnull) -> tuple[int, str]:
    """Run *function* in a fork; its status (None: it hung) and what it told by the pipe."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
            sys.stderr = sys.__stderr__ = open(2, "w", closefd=False)
            text = function(*args)
            real["write"](tell, (text or "").encode())
            code = 0
        except BaseException as error:
            sys.stderr.write("Traceback: %r\n" % error)
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(tell)
    end = time.monotonic() + 60
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(told)
            return -1, "hung"
        time.sleep(0.002)
    with os.fdopen(told) as file:
        return status, file.read()


def faulty(scenario: str, options: Options, log_path: str, at: int, fault: str) -> str:
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    layer = Layer(at, fault)
    layer.install()
    SCENARIOS[scenario](options, log)
    return "%d %s %d" % (layer.count, layer.name or "-", sum(guard.faults.values()))


def sound(options: Options) -> str:
    """The next process: everything goes where it should."""
    if not options.dsn:
        drain_to_store(options)
        # A store folder that could not be made gave way to the next candidate, which was told.
        stores = [Store(place, 0, 0) for place in places.state_folders(options)[:2]]
        return " ".join(row["event_id"] for found in stores for row in found.events(limit=10_000))
    transport = Transport(options, Dsn.parse(options.dsn))
    recovery.report_crashes_from_outside(options)
    transport.drain(30)
    transport.close(2)
    return ""


def pending(folder: str) -> list[str]:
    found = []
    for above, _, names in os.walk(folder):
        for name in names:
            if "seg-" in name:
                reader = Reader.open(os.path.join(above, name), write=False)
                reader.look()
                payloads = map(reader.payload, reader.pending.values())
                found += [envelope.parse(payload or b"{}\n").event_id for payload in payloads]
                reader.close()
    return found


def main() -> None:
    scenario, fault, dsn, folder, first, step = sys.argv[1:7]
    assert bounds and connection  # imported before any fork
    at = int(first)
    while True:
        state = os.path.join(folder, "state-%s-%s-%d" % (scenario, fault, at))
        log_path, stderr = state + ".accepted", state + ".stderr"
        dead_end = {"http_proxy": "http://127.0.0.1:9"} if scenario in ("server_away", "too_much") else {}
        more: dict[str, object] = {"spool_max_size": 1500} if scenario == "too_much" else {}
        if scenario == "storm":
            release = "%s-%s-%d" % (scenario, fault, at)
            more = {"release": release, "max_events_burst": 2, "max_events_per_minute": 6.0}
        options = options_for(dsn, state, **dead_end, **more)
        if scenario == "next_process":
            log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            in_child(leave_behind, options, log)
            os.close(log)
        status, told = in_child(faulty, scenario, options, log_path, at, fault, stderr=stderr)
        after, stored = in_child(sound, options_for(dsn, state), stderr=stderr)
        with open(log_path) as file:
            accepted = file.read().split()
        with open(stderr) as file:
            said = file.read()
        row = {
            "at": at, "status": status, "told": told, "accepted": accepted, "left": pending(state), "after": after,
            "stored": stored.split(), "said": said,
        }  # fmt: skip
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()
        shutil.rmtree(state, ignore_errors=True)
        for path in (log_path, stderr):
            os.unlink(path)
        reached = told.split()[1] != "-" if status == 0 and told else True
        if not reached and not (fault == "short" and int(told.split()[0]) >= at):
            return
        at += int(step)


if __name__ == "__main__":
    main()
