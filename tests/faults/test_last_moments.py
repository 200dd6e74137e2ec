# SPDX-License-Identifier: MIT
"""What is captured while an interpreter goes down is stored, and it goes down as ever."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "bootstrap"))

from houses import python_of
from rooms import room

LAST = {
    "a callback registered before ours": "atexit.register(capture, 'late')\nerrtrack.capture_message('first')",
    "a callback registered after ours": "errtrack.capture_message('first')\natexit.register(capture, 'late')",
    "a finaliser when modules go": (
        "class Late:\n    capture = staticmethod(capture)\n    def __del__(self): self.capture('late')\n"
        "kept = Late()\nerrtrack.capture_message('first')"
    ),
    "an error in a finaliser when modules go": (
        "class Late:\n    capture = staticmethod(errtrack.capture_exception)\n"
        "    def __del__(self):\n        try: {}['late']\n        except KeyError as error: self.capture(error)\n"
        "kept = Late()\nerrtrack.capture_message('first')"
    ),
    "a thread that outlives main": (
        "import threading, time\n"
        "def work():\n    time.sleep(0.3)\n    capture('late')\n"
        "threading.Thread(target=work).start()\nerrtrack.capture_message('first')"
    ),
    "a daemon thread in the middle of its work": (
        "import threading, time\nlate = threading.Event()\n"
        "def work():\n    capture('late')\n    late.set()\n    while True: sum(range(1000))\n"
        "errtrack.capture_message('first')\nthreading.Thread(target=work, daemon=True).start()\nlate.wait()"
    ),
}


@pytest.mark.parametrize("version", ["this", "3.12", "3.13"])
@pytest.mark.parametrize("when", LAST)
def test_what_comes_last_is_stored_and_nobody_is_told(sandbox: Any, when: str, version: str) -> None:
    python = sys.executable if version == "this" else python_of(version)
    sandbox.write("app.py", "import atexit, errtrack\ncapture = errtrack.capture_message\n" + LAST[when])
    done = sandbox.run(python, "-W", "error", "app.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    first, last = sandbox.events()
    assert first["logentry"]["formatted"] == "first"
    if "exception" in last:
        assert last["exception"]["values"][-1]["value"] == "'late'"
    else:
        assert last["logentry"]["formatted"] == "late"


#: Programs that are interrupted while the last of them waits for the server, and how they end.
INTERRUPTED = {
    "Ctrl-C": ("interrupt(KeyboardInterrupt)\nlogging.error('last')\nsys.exit(3)", 3),
    "an exception of a handler": ("interrupt(TimeoutError)\nlogging.error('last')\nsys.exit(3)", 3),
    "Ctrl-C in a forked child": (
        "import multiprocessing, os\n"
        "def work():\n    interrupt(KeyboardInterrupt)\n    logging.error('last')\n"
        "child = multiprocessing.get_context('fork').Process(target=work)\n"
        "child.start(); child.join(); os._exit(child.exitcode)",
        0,
    ),
}
INTERRUPT = """
import logging, signal, sys
def interrupt(error):
    def strike(*_):
        raise error
    signal.signal(signal.SIGALRM, strike)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
"""


@pytest.mark.parametrize("version", ["this", "3.12", "3.13"])
@pytest.mark.parametrize("what", INTERRUPTED)
def test_who_interrupts_the_last_wait_has_the_program_end_at_once_and_as_ever(
    sandbox: Any, what: str, version: str
) -> None:
    code, status = INTERRUPTED[what]
    python = sys.executable if version == "this" else python_of(version)
    sandbox.write("app.py", INTERRUPT + code)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never answers
        dsn = "http://key@127.0.0.1:%d/1" % silent.getsockname()[1]
        began = time.monotonic()
        done = sandbox.run(python, "app.py", ERRTRACK_DSN=dsn)
        took = time.monotonic() - began
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "ERROR:root:last\n")
    assert 1.0 <= took < 15, "the server is waited for, until somebody does not want to wait"
    waiting = sandbox.errtrack("spool", "--json", ERRTRACK_DSN=dsn).stdout
    assert [row["waiting"] for row in json.loads(waiting)["destinations"]] == [1]


#: At exit there is no thread on Python 3.12: it is sent by the program's own, as it is where threads are greenlets.
HUNG_UP_ON = """
import atexit, errtrack, os, signal, sys, time
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
def last():
    errtrack.add_attachment(bytes=os.urandom(6_000_000), filename="large")
    errtrack.capture_message("last")
if "at once" in sys.argv:
    last()
    time.sleep(1)
else:
    atexit.register(last)
"""

LOOPBACK = str(Path(__file__).parents[1] / "agent" / "delivery" / "loopback.pem")


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("version", ["this", "3.12", "3.13"])
def test_a_server_that_hangs_up_ends_no_program_that_lets_sigpipe_end_it(
    sandbox: Any, version: str, scheme: str
) -> None:
    python = sys.executable if version == "this" else python_of(version)
    sandbox.write("app.py", HUNG_UP_ON)
    with hanging_up(scheme) as dsn:
        done = sandbox.run(python, "app.py", ERRTRACK_DSN=dsn, ERRTRACK_CA_CERTS=LOOPBACK)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.slow
def test_nor_one_whose_threads_are_greenlets(sandbox: Any) -> None:
    sandbox.write("app.py", "from gevent import monkey\nmonkey.patch_all()\n" + HUNG_UP_ON)
    with hanging_up("http") as dsn:
        done = sandbox.run(room("greenlets").python, "app.py", "at once", ERRTRACK_DSN=dsn)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_nor_one_that_sends_copies_to_spotlight(sandbox: Any) -> None:
    sandbox.write("app.py", HUNG_UP_ON)
    with hanging_up("http") as dsn:
        url = "http://" + dsn.partition("@")[2].partition("/")[0] + "/stream"
        done = sandbox.run(sys.executable, "app.py", "at once", ERRTRACK_SPOTLIGHT=url)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@contextlib.contextmanager
def hanging_up(scheme: str) -> Iterator[str]:
    """A server that refuses each request before its body has been read, as a proxy does, and then is gone."""

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            plain = connection
            try:
                if scheme == "https":
                    connection = context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=True)
                connection.recv(2000)
                connection.sendall(
                    b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
                connection.shutdown(socket.SHUT_WR)
                time.sleep(0.05)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
            except OSError:
                plain.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(LOOPBACK)
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server.bind(("127.0.0.1", 0))
        server.listen()
        threading.Thread(target=serve, daemon=True).start()
        yield "%s://key@127.0.0.1:%d/1" % (scheme, server.getsockname()[1])


THREADS = """
import errtrack, sys, threading
assert not sys._is_gil_enabled()
def work(number):
    for n in range(50):
        try: {}[number, n]
        except KeyError as error: errtrack.capture_exception(error)
threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_free_threaded_python_counts_every_error_of_32_threads(sandbox: Any) -> None:
    """Not promised yet (docs/faults.md, row 48): what to begin with where there is such a Python."""
    builds = [*Path.home().glob(".pyenv/versions/*t/bin/python"), *Path("/usr/bin").glob("python3.*t")]
    if not builds:
        pytest.skip("no Python without a global lock on this machine")
    sandbox.write("app.py", THREADS)
    done = sandbox.run(str(builds[0]), "app.py", PYTHON_GIL="0")
    assert done.returncode == 0, done.stderr
    events = sandbox.events()
    told = sum(event.get("extra", {}).get("suppressed_events", 0) for event in events)
    assert len({event["event_id"] for event in events}) + told >= 1600


LAZY = """
import errtrack, sys
import django
from django.conf import settings
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}, INSTALLED_APPS=[])
django.setup()
from django.db import connection, models
from django.utils.functional import SimpleLazyObject, lazystr
class Order(models.Model):
    class Meta: app_label = "shop"
import sqlalchemy
from sqlalchemy import orm
Base = orm.declarative_base()
class Parent(Base):
    __tablename__ = "parent"
    id = sqlalchemy.Column(sqlalchemy.Integer, primary_key=True)
    children = orm.relationship("Child")
class Child(Base):
    __tablename__ = "child"
    id = sqlalchemy.Column(sqlalchemy.Integer, primary_key=True)
    parent_id = sqlalchemy.Column(sqlalchemy.ForeignKey("parent.id"))
engine = sqlalchemy.create_engine("sqlite://")
Base.metadata.create_all(engine)
from werkzeug.local import LocalProxy
from flask import current_app, request
calls = []
def work():
    session = orm.Session(engine)
    session.add(Parent(id=1)); session.commit()
    sqlalchemy.event.listen(engine, "before_cursor_execute", lambda *a: calls.append("sqlalchemy"))
    queryset = Order.objects.filter(pk=1)
    connection.execute_wrappers.append(lambda execute, *a: calls.append("django") or execute(*a))
    parent = session.get(Parent, 1); del calls[:]
    session.expire(parent)
    query = session.query(Parent)
    lazy = SimpleLazyObject(lambda: calls.append("lazy object"))
    text = lazystr(lambda: calls.append("lazy text"))
    proxy = LocalProxy(lambda: calls.append("proxy"))
    app, req = current_app, request
    try:
        raise ValueError
    except ValueError as error:
        errtrack.capture_exception(error)
    print(calls)
work()
"""


def test_lazy_objects_of_real_libraries_are_described_without_being_asked(sandbox: Any) -> None:
    for name in ("django", "sqlalchemy", "flask"):
        pytest.importorskip(name)
    done = sandbox.python(LAZY)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
    shown = sandbox.event()["exception"]["values"][-1]["stacktrace"]["frames"][-1]["vars"]
    assert {"queryset", "parent", "query", "lazy", "text", "proxy", "app", "req"} <= set(shown)


BROKEN = {
    "syntax": ("app.py", "def f(:\n", "SyntaxError"),
    "missing import": ("app.py", "import no_such_module_anywhere\n", "ModuleNotFoundError"),
    "failing import": ("app.py", "import lib\n", "ZeroDivisionError"),
    "folder": ("app/__main__.py", "1 / 0\n", "ZeroDivisionError"),
    "archive": ("app.pyz", "1 / 0\n", "ZeroDivisionError"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_program_that_breaks_before_its_first_line_is_reported(sandbox: Any, kind: str) -> None:
    import zipfile

    name, code, error = BROKEN[kind]
    sandbox.write("lib.py", "1 / 0\n")
    (sandbox.folder / name).parent.mkdir(exist_ok=True)
    if name.endswith(".pyz"):
        with zipfile.ZipFile(sandbox.folder / name, "w") as archive:
            archive.writestr("__main__.py", code)
    else:
        sandbox.write(name, code)
    program = name.partition("/")[0]
    bare = sandbox.run(sys.executable, program, launched=False)
    done = sandbox.run(sys.executable, program)
    assert (done.returncode, done.stdout, done.stderr) == (1, bare.stdout, bare.stderr)
    assert sandbox.event()["exception"]["values"][-1]["type"] == error


ODD_MOMENTS = """
import errtrack, gc, sys, warnings, weakref
warnings.simplefilter("error")
count = 0
def capture(*_):
    global count
    count += 1
    errtrack.capture_message("odd moment")
class Node:
    def __init__(self): self.me = self
gc.callbacks.append(lambda phase, info: phase == "stop" and count < 300 and capture())
gc.set_threshold(5, 5, 5)
kept = []
for n in range(3000):
    node = Node()
    if n %% 10 == 0: kept.append(weakref.ref(node, capture))
    del node
gc.callbacks.clear()
gc.collect()
print(count)
"""


def test_captures_while_the_collector_runs_and_of_weak_references_are_all_counted(sandbox: Any) -> None:
    done = sandbox.python(ODD_MOMENTS.replace("%%", "%"), ERRTRACK_MAX_EVENTS_BURST="20")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    events = sandbox.events()
    told = sum(event.get("extra", {}).get("suppressed_events", 0) for event in events)
    whole = sum("suppressed_events" not in event.get("extra", {}) or "logentry" in event for event in events)
    assert int(done.stdout) > 300
    assert told + 20 == int(done.stdout) and whole >= 20


def test_key_of_the_dsn_is_on_no_command_line_of_the_process_or_its_children(sandbox: Any) -> None:
    code = (
        "import subprocess, sys\nlook = 'print(open(\"/proc/self/cmdline\").read())'\n"
        "print(open('/proc/self/cmdline').read())\n"
        "subprocess.run([sys.executable, '-c', look]); subprocess.run(['cat', '/proc/self/cmdline'])\n"
        "import errtrack; errtrack.capture_message('x'); errtrack.flush(1)\n"
    )
    sandbox.write("app.py", code)
    if not os.path.exists("/proc/self/cmdline"):
        pytest.skip("no /proc here")
    key = "d45fd436a6294e4f8b6d5ef4a4f0d1c3"
    launcher = [sys.executable, "-m", "errtrack_run", "--dsn", "http://%s@127.0.0.1:9/1" % key]
    done = sandbox.run(*launcher, sys.executable, "app.py", launched=False)
    assert done.returncode == 0 and "cmdline" in done.stdout
    assert key not in done.stdout + done.stderr
    assert not any(key.encode() in path.read_bytes() for path in sandbox.store.rglob("*") if path.is_file())
