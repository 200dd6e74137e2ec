# SPDX-License-Identifier: MIT
"""A forked child delivers its own events, never its parent's, and nobody hangs; with fork hooks or without."""

from __future__ import annotations

import collections

import pytest
from deliveries import Child
from sink import Sink

#: The fork in C runs no hooks of Python's, as in uWSGI. It holds the interpreter's lock, as uWSGI does, and our thread
#: must not be waiting for that lock just then: the child would inherit a broken one, with us or without.
FORKS = {"os.fork": "fork = os.fork", "C": "import ctypes; fork = ctypes.PyDLL(None).fork"}


@pytest.mark.parametrize("fork", FORKS)
@pytest.mark.parametrize("ending", ["transport.close(9)", "transport.flush(9)"])
def test_a_child_sends_its_own_events_and_not_the_parents(
    child: Child, sink: Sink, fork: str, ending: str
) -> None:
    sink.mode, sink.delay = "slow", 0.3
    # Without hooks a fork cannot wait until our imports are done; so they are, here.
    done = child.run(
        FORKS[fork]
        + """
ids = [put()]
transport.flush(9)
ids += [put() for _ in range(4)]
time.sleep(0.1)       # the thread waits for the server's answer
pid = fork()
if pid == 0:
    mine = [put() for _ in range(3)]
    ok = %s
    os.write(1, (" ".join(mine) + " ").encode())
    os._exit(0 if ok else 1)
print(os.waitpid(pid, 0)[1], flush=True)
ok = transport.close(9)
print(ok, *ids)
"""
        % ending,
        sink.dsn,
    )
    words = done.stdout.split()
    assert words[3:5] == ["0", "True"], done
    assert collections.Counter(sink.event_ids()) == collections.Counter(words[:3] + words[5:])


@pytest.mark.parametrize("fork", FORKS)
def test_a_child_that_puts_nothing_ends_at_once(child: Child, sink: Sink, fork: str) -> None:
    sink.mode = "hang"
    done = child.run(
        FORKS[fork]
        + """
put()
time.sleep(0.2)
pid = fork()
if pid == 0:
    began = time.monotonic()
    transport.flush(9); transport.close()
    os._exit(1 if time.monotonic() - began > 0.2 else 0)
print(os.waitpid(pid, 0)[1])
transport.close(0)
""",
        sink.dsn,
    )
    assert done.stdout.split() == ["0"]


def test_children_of_a_parent_whose_threads_capture_never_hang_and_lose_nothing(
    child: Child, sink: Sink
) -> None:
    done = child.run(
        """
import threading, faulthandler
over = threading.Event()
lock, ids = threading.Lock(), []
def work():
    while not over.is_set():
        one = put()
        with lock: ids.append(one)
        time.sleep(0.005)
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads: thread.start()
bad = 0
for _ in range(40):
    pid = os.fork()
    if pid == 0:
        faulthandler.dump_traceback_later(8, exit=True)   # a child that hangs is ended, and counted
        one = put()
        os.write(1, (one + " ").encode())
        transport.close(5)
        os._exit(0)
    bad += os.waitpid(pid, 0)[1] != 0
over.set()
for thread in threads: thread.join()
ok = transport.close(20)
os.write(1, (" ".join(ids) + " %d %s" % (bad, ok)).encode())
""",
        sink.dsn,
    )
    *ids, bad, ok = done.stdout.split()
    assert (bad, ok) == ("0", "True"), done.stderr
    assert collections.Counter(sink.event_ids()) == collections.Counter(ids)


WAYS = {
    "pty": """
import pty
def run():
    pid, terminal = pty.fork()
    if pid == 0:
        os.write(out, (put() + " ").encode()); transport.close(9); os._exit(0)
    while True:
        try:
            if not os.read(terminal, 99): break
        except OSError: break
    os.close(terminal)
    return os.waitpid(pid, 0)[1]
""",
    "preexec_fn": """
import subprocess
def first(): os.write(out, (put() + " ").encode())
def run():
    return subprocess.run(["/bin/true"], preexec_fn=first).returncode
""",
}


@pytest.mark.parametrize("way", WAYS)
def test_children_of_terminals_and_of_subprocess_are_children_too(child: Child, sink: Sink, way: str) -> None:
    done = child.run(
        "import threading\nfrom errtrack.delivery import worker\nworker.BACKLOG_GAP = 0.005\nout = os.dup(1)\n"
        + WAYS[way]
        + """
over = threading.Event()
def work():
    while not over.wait(0.01): os.write(out, (put() + " ").encode())
thread = threading.Thread(target=work)
thread.start()
bad = sum(run() != 0 for _ in range(8))
over.set(); thread.join()
ok = transport.drain(20)
transport.close(9)
os.write(out, ("%d %s" % (bad, ok)).encode())
""",
        sink.dsn,
    )
    *ids, bad, ok = done.stdout.split()
    assert (bad, ok) == ("0", "True"), done.stderr
    assert set(sink.event_ids()) == set(ids)
    # Sent twice is only what a child was sending as it became another program, which no hook of Python's tells.
    twice = len(sink.event_ids()) - len(ids)
    assert twice <= (8 if way == "preexec_fn" else 0)
    assert len(ids) > 8


def test_a_fork_in_the_middle_of_our_imports_leaves_a_child_that_can_import(child: Child, sink: Sink) -> None:
    done = child.run(
        """
import signal
bad = 0
put()            # the thread begins to import urllib3, ssl, ...
for pause in range(12):
    time.sleep(0.005)
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        import urllib3, ssl, json, sqlite3
        put(); transport.close(5)
        os._exit(0)
    bad += os.waitpid(pid, 0)[1] != 0
print(bad)
transport.close(5)
""",
        sink.dsn,
    )
    assert done.stdout.split() == ["0"], done.stderr
    assert len(sink.event_ids()) == 13


def test_a_fork_does_not_hold_up_an_import_of_ours_that_asks_for_loggers(child: Child, sink: Sink) -> None:
    """logging takes its lock in a fork hook; imported after us, it has it before we wait for the import."""
    done = child.run(
        """
assert "logging" not in sys.modules
put()
while not hasattr(sys.modules.get("urllib3"), "logging"):
    pass                         # the thread has imported logging, and will ask it for loggers
began = time.monotonic()
pid = os.fork()
longest = time.monotonic() - began
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
print(longest > 2.9)             # FORK_WAITS
transport.close(5)
""",
        sink.dsn,
    )
    assert done.stdout.split() == ["False"], done


def test_the_parents_connection_survives_its_children(child: Child, sink: Sink) -> None:
    done = child.run(
        """
put(); transport.flush(9)
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        put(); transport.close(9); os._exit(0)
    os.waitpid(pid, 0)
    put(); print(transport.flush(9))
transport.close(9)
""",
        sink.dsn,
    )
    assert done.stdout.split() == ["True"] * 3
    assert len(sink.event_ids()) == 7
    assert sink.connections == 4  # the parent's one, and one each


def test_a_child_of_multiprocessing_that_ends_without_us_leaves_its_events(child: Child, sink: Sink) -> None:
    done = child.run(
        """
import multiprocessing
def work():
    os.write(1, (put() + " ").encode())
if __name__ == "__main__":
    put(); transport.flush(9)
    context = multiprocessing.get_context("fork")
    ps = [context.Process(target=work) for _ in range(3)]
    for p in ps: p.start()
    for p in ps: p.join()
    transport._workers[os.getpid()]._look_at = 0.0    # do not wait for the half minute
    put(); transport.flush(9); transport.close(9)
""",
        sink.dsn,
    )
    ids = done.stdout.split()
    assert len(ids) == 3
    assert set(ids) <= set(sink.wait(5))
    # Its thread may have been sending one as it ended: once more is the price of never losing one.
    assert len(set(sink.event_ids())) == 5


def test_the_store_is_filled_by_parent_and_child(child: Child) -> None:
    done = child.run("""
from errtrack.delivery.store import Store
ids = [put() for _ in range(5)]
assert transport.flush(9)
pid = os.fork()
if pid == 0:
    ids = [put() for _ in range(5)]
    ok = transport.flush(9)
    os.write(1, (" ".join(ids) + " ").encode())
    os._exit(0 if ok else 1)
print(*ids, os.waitpid(pid, 0)[1], flush=True)
transport.close()
store = Store(os.environ["ERRTRACK_STORE"], 0, 0)
print(*sorted(row["event_id"] for row in store.events(100)))
""")
    words = done.stdout.split()
    assert words[10] == "0", done
    assert sorted(words[:10]) == words[11:]


def test_forks_while_the_thread_imports_what_it_needs_are_silent(child: Child, sink: Sink) -> None:
    """A module with fork hooks of its own (logging) must not be imported by the thread: a fork that waits for it would
    run the second half of its hooks without the first, and Python would complain on stderr."""
    done = child.run(
        """
put()
for _ in range(60):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    time.sleep(0.001)
print(transport.close(9))
""",
        sink.dsn,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_child_that_inherits_an_open_store_leaves_its_events_to_others(child: Child) -> None:
    """As where C forks, without Python's hooks, in the middle of a transaction: SQLite would lose what it writes."""
    code = """
from errtrack.delivery import drain, places
from errtrack.delivery.store import Store
folder = places.state_folder(options)
open_here = Store(folder, 0, 0)
one = os.urandom(16).hex()
open_here.add([build(one, "event", ('{"event_id":"%s"}' % one).encode())])
pid = os.fork()
if not pid:
    put()
    settled = transport.flush(2)
    transport.close()
    os._exit(settled)
assert os.waitpid(pid, 0)[1] == 0
before = open_here.totals()["events"]
open_here.close()
print(before, drain.drain_to_store(options), Store(folder, 0, 0).totals()["events"])
"""
    done = child.run(code)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["1", "1", "2"], "")
