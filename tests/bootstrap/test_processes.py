# SPDX-License-Identifier: MIT
"""Children of every kind are reached, each reports once, and nothing hangs. Numbers: part F of the fact sheet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from houses import python_of
from rooms import room

from web import Server, main_exception

PY = sys.executable


def pid_of(event: dict[str, Any]) -> int:
    return int(event["contexts"]["process"]["pid"])


def argv_of(event: dict[str, Any]) -> list[str]:
    found: list[str] = event["extra"]["sys.argv"]
    return found


def test_a_child_program_reports_with_its_own_pid_and_command_line(sandbox: Any) -> None:
    """74: subprocess."""
    sandbox.write("child.py", "import os\nprint(os.getpid(), flush=True)\nraise ValueError('child')\n")
    code = "import subprocess, sys\nsys.exit(subprocess.call([sys.executable, 'child.py', 'word']))\n"
    done = sandbox.python(code)
    assert done.returncode == 1
    event = sandbox.event()
    assert (pid_of(event), main_exception(event)["value"]) == (int(done.stdout), "child")
    assert argv_of(event) == ["child.py", "word"]


POOL = """
import multiprocessing, os, sys
def work(number):
    import errtrack
    try:
        raise ValueError("child %d" % number)
    except ValueError:
        errtrack.capture_exception()
    print(os.getpid(), flush=True)
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    children = [multiprocessing.Process(target=work, args=(number,)) for number in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join(30)
    sys.exit(sum(child.exitcode for child in children))
"""


@pytest.mark.parametrize("version", ["this", "3.9", "3.13"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_report_once_each(sandbox: Any, method: str, version: str) -> None:
    """74: by each start method."""
    python = PY if version == "this" else python_of(version)
    sandbox.write("pool.py", POOL)
    done = sandbox.run(python, "-W", "error", "pool.py", method)
    assert (done.returncode, done.stderr) == (0, "")
    events = sandbox.events()
    assert sorted(main_exception(event)["value"] for event in events) == ["child 0", "child 1"]
    assert {pid_of(event) for event in events} == {int(line) for line in done.stdout.split()}


def test_children_of_billiard_report_once_each(sandbox: Any) -> None:
    """74: celery's multiprocessing."""
    sandbox.write("pool.py", POOL.replace("multiprocessing", "billiard"))
    done = sandbox.run(room("frameworks").python, "pool.py", "fork")
    assert (done.returncode, done.stderr) == (0, "")
    events = sandbox.events()
    assert {pid_of(event) for event in events} == {int(line) for line in done.stdout.split()}
    assert len(events) == 2


FAILING_WSGI = """
import os
def app(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        raise ValueError("failed in the worker")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""


@pytest.mark.parametrize("arguments", [(), ("--preload",), ("--reload",)], ids=["", "preload", "reload"])
def test_gunicorn_reports_from_the_worker(sandbox: Any, arguments: tuple[str, ...]) -> None:
    """74"""
    sandbox.write("served.py", FAILING_WSGI)
    with Server.gunicorn(sandbox, "served:app", *arguments) as server:
        worker = int(server.get("/")[1])
        server.get("/fail")
        assert worker != server.process.pid
    event = sandbox.event()
    assert (pid_of(event), main_exception(event)["value"]) == (worker, "failed in the worker")


@pytest.mark.slow
def test_gunicorn_reports_from_the_worker_of_a_master_that_replaced_itself(sandbox: Any) -> None:
    """74: USR2 starts the new master with exec, QUIT ends the old one."""
    sandbox.write("served.py", FAILING_WSGI)
    with Server.gunicorn(sandbox, "served:app", "--pid", "pid") as server:
        server.get("/")
        server.process.send_signal(signal.SIGUSR2)
        new = wait_for(lambda: int((sandbox.folder / "pid.2").read_text()))
        wait_for(lambda: children_of(new)[0])
        server.process.send_signal(signal.SIGQUIT)
        server.process.wait(20)
        try:
            worker = int(wait_for(lambda: server.get("/")[1]))
            server.get("/fail")
            assert worker in children_of(new)
        finally:
            os.kill(new, signal.SIGTERM)
            wait_for(lambda: not os.path.exists("/proc/%d" % new) or is_zombie(new))
    event = sandbox.event()
    assert pid_of(event) == worker


def wait_for(condition: Any, timeout: float = 20) -> Any:
    """The first true value of *condition*; errors count as not yet."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            found = condition()
            if found:
                return found
        except (OSError, ValueError, IndexError):
            pass
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def children_of(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return [int(word) for word in found.stdout.split()]


def is_zombie(pid: int) -> bool:
    with open("/proc/%d/stat" % pid) as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"


BEFORE_AND_AFTER = """
import os, sys
if "without hooks" in sys.argv:
    del os.register_at_fork
import errtrack
errtrack.capture_message("before")
for number in range(2):
    pid = os.fork()
    if not pid:
        errtrack.capture_message("after in child")
        errtrack.flush(5)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
errtrack.capture_message("after in parent")
print(os.getpid())
"""


@pytest.mark.parametrize("mode", ["with hooks", "without hooks"])
def test_errors_before_and_after_a_fork_all_arrive(sandbox: Any, any_python: str, mode: str) -> None:
    """75: also where no fork hook runs, as under uWSGI."""
    sandbox.write("app.py", BEFORE_AND_AFTER)
    # Python 3.12 and later warn of any fork in a process with more than one thread.
    done = sandbox.run(any_python, "-W", "ignore:This process:DeprecationWarning", "app.py", mode)
    assert (done.returncode, done.stderr) == (0, "")
    found = [(event["logentry"]["formatted"], pid_of(event)) for event in sandbox.events()]
    assert sorted(text for text, _ in found) == ["after in child"] * 2 + ["after in parent", "before"]
    parents = {pid for text, pid in found if text in ("before", "after in parent")}
    assert parents == {int(done.stdout)}
    assert len({pid for _, pid in found}) == 3


FORK_WHILE_IMPORTING = """
import os, sys, threading, time
delay = float(sys.argv[1])
def capture():
    import errtrack
    errtrack.capture_message("thread")
thread = threading.Thread(target=capture)
thread.start()
time.sleep(delay)
pid = os.fork()
if not pid:
    import errtrack
    errtrack.capture_message("child")
    os._exit(0)
deadline = time.monotonic() + 20
while time.monotonic() < deadline:
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        break
    time.sleep(0.01)
else:
    os.kill(pid, 9)
    sys.exit("the child hangs")
thread.join()
sys.exit(status)
"""


def test_a_fork_in_the_middle_of_an_import_is_no_deadlock(sandbox: Any, any_python: str) -> None:
    """77: what the other thread was importing of ours is imported anew in the child."""
    sandbox.write("app.py", FORK_WHILE_IMPORTING)
    delays = [0.001, 0.005, 0.01, 0.02, 0.03, 0.05]
    for delay in delays:
        done = sandbox.run(any_python, "-W", "ignore::DeprecationWarning", "app.py", str(delay))
        assert (done.returncode, done.stderr) == (0, ""), delay
    texts = sorted(event["logentry"]["formatted"] for event in sandbox.events())
    assert texts == ["child"] * len(delays) + ["thread"] * len(delays)


def test_a_program_that_has_emptied_the_table_of_modules_forks_in_silence(
    sandbox: Any, any_python: str
) -> None:
    code = "import os, sys\nsys.modules.clear()\npid = os.fork()\nif not pid: os._exit(3)\n"
    code += "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    done = sandbox.run(any_python, "-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")


STOPPED_CLOCK = """
import logging, os, sys, time
logging.error("first")
time.sleep(0.5)
real, now = time.monotonic, time.monotonic()
for module in list(sys.modules.values()):
    if vars(module).get("monotonic") is real:
        module.monotonic = lambda: now
logging.error("second")
pid = os.fork()
if not pid:
    os._exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_a_clock_that_is_stopped_for_a_test_stops_no_fork(sandbox: Any, any_python: str) -> None:
    """As freezegun does it, in every module that it finds."""
    sandbox.write("app.py", STOPPED_CLOCK)
    # What cannot be delivered is what a fork waits for.
    dsn = "http://key@127.0.0.1:9/1"
    done = sandbox.run(any_python, "-W", "ignore", "app.py", timeout=20, ERRTRACK_DSN=dsn)
    assert (done.returncode, done.stdout) == (0, "3\n"), done.stderr


SUBINTERPRETERS = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
finder = None if "probe" in sys.argv else sys.meta_path[0]
code = '''
import sys
finder = sys.meta_path[0]
assert type(finder).__name__ == "Finder" and type(finder).__module__ == "errtrack_run.boot"
assert id(finder) != %d
assert "errtrack.client" not in sys.modules
import errtrack
''' % id(finder)
if "capture" in sys.argv:
    code += "assert errtrack.capture_message('in a subinterpreter')"
if "probe" in sys.argv:
    code = "import sqlite3"
for _ in range(2):
    one = interpreters.create()
    failed = interpreters.run_string(one, code)
    assert not failed, failed
    try:
        failed = interpreters.run_string(one, "raise ValueError('inside')")
    except Exception as error:
        failed = error
    assert "ValueError" in repr(failed), failed
    interpreters.destroy(one)
assert finder in (None, sys.meta_path[0])
print("ran")
"""


def test_every_subinterpreter_has_wires_of_its_own(sandbox: Any, any_python: str) -> None:
    """78: those with a lock of their own too, where extension modules may refuse to load."""
    sandbox.write("app.py", SUBINTERPRETERS)
    # Early releases of 3.12 die of a second import of datetime, with and without us.
    probe = sandbox.run(any_python, "-W", "ignore", "app.py", "probe", launched=False)
    mode = "capture" if probe.stdout == "ran\n" else "no capture"
    done = sandbox.run(any_python, "-W", "ignore", "app.py", mode)
    assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr


@pytest.mark.slow
def test_workers_of_uvicorn_are_reached(sandbox: Any) -> None:
    """74: they are spawned, which other launchers lost for years."""
    served = """
import os
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    import errtrack
    if scope["path"] == "/fail":
        errtrack.capture_message("in the worker")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""
    sandbox.write("served.py", served)
    for option in ("--workers=2", "--reload"):
        command = (room("frameworks").python, "-m", "uvicorn", "--port", "PORT", option, "served:app")
        with Server(sandbox, *command) as server:
            worker = int(wait_for(lambda: server.get("/fail")[1]))
            assert worker != server.process.pid
        assert worker in {pid_of(event) for event in sandbox.events()}
    assert len(sandbox.events()) == 2


@pytest.mark.slow
def test_the_reloader_of_flask_serves_an_instrumented_application(sandbox: Any) -> None:
    """74"""
    served = "import os, flask\napp = flask.Flask(__name__)\n"
    served += "@app.route('/')\ndef pid(): return str(os.getpid())\n"
    served += "@app.route('/fail')\ndef fail(): raise ValueError('reloaded')\n"
    sandbox.write("served.py", served)
    command = (
        room("frameworks").python,
        "-m",
        "flask",
        "--app",
        "served",
        "run",
        "--port",
        "PORT",
        "--reload",
    )
    with Server(sandbox, *command) as server:
        worker = int(server.get("/")[1])
        assert server.get("/fail")[0] == 500
        assert worker != server.process.pid
    event = sandbox.event()
    assert (pid_of(event), main_exception(event)["value"]) == (worker, "reloaded")


@pytest.mark.slow
def test_the_reloader_of_django_serves_an_instrumented_application(sandbox: Any) -> None:
    """74"""
    served = """
import os, sys
from django.conf import settings
from django.http import HttpResponse
from django.urls import path
if not settings.configured:
    settings.configure(DEBUG=True, ALLOWED_HOSTS=["*"], ROOT_URLCONF="served", SECRET_KEY="x")
def answer(request):
    import errtrack
    errtrack.capture_message("in the reloaded process")
    return HttpResponse(str(os.getpid()))
urlpatterns = [path("ask", answer)]
if __name__ == "__main__":
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""
    sandbox.write("served.py", served)
    with Server(
        sandbox, room("frameworks").python, "served.py", "runserver", "--skip-checks", "PORT"
    ) as server:
        status, worker = server.get("/ask")
        assert status == 200
        assert int(worker) != server.process.pid
    assert pid_of(sandbox.event()) == int(worker)


TASKS = """
import os
from celery import Celery
app = Celery("tasks", broker="filesystem://")
app.conf.broker_transport_options = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "c"}
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
@app.task
def fail():
    import errtrack
    try:
        raise ValueError("in a task")
    except ValueError:
        errtrack.capture_exception()
    open("done-%d" % os.getpid(), "w").close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["prefork", "threads", "solo"])
def test_workers_of_celery_are_reached(sandbox: Any, pool: str) -> None:
    """74"""
    for name in ("queue", "c"):
        (sandbox.folder / name).mkdir()
    sandbox.write("tasks.py", TASKS)
    python = room("frameworks").python
    sent = sandbox.run(python, "-c", "import tasks; tasks.fail.delay()", launched=False, PYTHONPATH=".")
    assert sent.returncode == 0, sent.stderr
    command = sandbox.command(python, "-m", "celery", "-A", "tasks", "worker", "-P", pool, "-c", "1")
    log = open(sandbox.folder / "log", "w")
    with (
        log,
        subprocess.Popen(command, cwd=sandbox.folder, env=sandbox.env, stdout=log, stderr=log) as worker,
    ):
        try:
            marks = wait_for(lambda: list(sandbox.folder.glob("done-*")), 40)
        finally:
            worker.terminate()
            worker.wait(30)
    event = sandbox.event()
    assert (pid_of(event), main_exception(event)["value"]) == (int(marks[0].name[5:]), "in a task")
    assert (pid_of(event) == worker.pid) == (pool != "prefork")


UWSGI_APP = """
import os, sys, uwsgi
def application(environ, start_response):
    import errtrack
    status = "200 OK"
    if environ["PATH_INFO"] == "/fail":
        try:
            raise ValueError("in a worker of uwsgi")
        except ValueError:
            errtrack.capture_exception()
    start_response(status, [("Content-Type", "text/plain")])
    threads = len(os.listdir("/proc/%d/task" % uwsgi.masterpid())) if uwsgi.masterpid() else 0
    return [("%d %d %d" % (os.getpid(), uwsgi.masterpid(), threads)).encode()]
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("--master",),
        ("--master", "--enable-threads"),
        ("--master", "--enable-threads", "--lazy-apps"),
        ("--master", "--enable-threads", "--py-call-osafterfork"),
        ("--master", "--enable-threads", "--single-interpreter"),
        ("--enable-threads",),
        ("--master", "--enable-threads", "--max-requests", "1"),
    ],
    ids=lambda arguments: " ".join(arguments).replace("--", ""),
)
def test_uwsgi_reports_from_its_workers_and_has_no_thread_in_its_master(
    sandbox: Any, arguments: tuple[str, ...]
) -> None:
    """76"""
    sandbox.write("served.py", UWSGI_APP)
    command = (room("uwsgi").program("uwsgi"), "--http-socket", "127.0.0.1:PORT", "--wsgi-file", "served.py")
    with Server(sandbox, *command, "--need-app", "--die-on-term", *arguments) as server:
        status, body = server.get("/fail")
        assert status == 200, server.output
        worker, master, threads = map(int, body.split())
        assert (master == server.process.pid and threads == 1) or "--master" not in arguments
        assert wait_for(lambda: server.get("/")[0]) == 200  # also after a respawn
    event = sandbox.event()
    assert (pid_of(event), main_exception(event)["value"]) == (worker, "in a worker of uwsgi")
