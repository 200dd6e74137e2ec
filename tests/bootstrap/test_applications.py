# SPDX-License-Identifier: MIT
"""What the application does in its own process, before, during and after an error. Part H of the fact sheet."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from commands.desk import Sink
from houses import VERSIONS, build
from rooms import room

from errtrack_run.launcher import INJECT
from web import main_exception

PY = sys.executable


def test_a_hook_that_does_not_call_ours_is_the_last_word(sandbox: Any) -> None:
    """83: the application replaced it; nothing goes behind its back, and nothing is sent twice."""
    code = "import sys\nsys.excepthook = lambda *error: print('mine', error[0].__name__)\n1/0\n"
    done = sandbox.python(code)
    assert (done.returncode, done.stdout, done.stderr) == (1, "mine ZeroDivisionError\n", "")
    assert sandbox.events() == []


def test_an_error_in_a_thread_is_reported_and_printed_as_ever(sandbox: Any) -> None:
    """84: also of a thread whose class has a run of its own."""
    from errtrack_instrumentations import table

    if "threading" not in table.INSTRUMENTATIONS:
        pytest.skip("the catalogue has no threading yet")
    code = (
        "import threading\nclass Own(threading.Thread):\n    def run(self): raise ValueError('own')\n"
        "def work(): raise ValueError('target')\n"
        "for t in (Own(name='one'), threading.Thread(target=work, name='two')): t.start(); t.join()\n"
    )
    done, bare = sandbox.python(code), sandbox.python(code, launched=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, bare.stdout, bare.stderr)
    assert {main_exception(event)["value"] for event in sandbox.events()} == {"own", "target"}


def test_boot_imports_no_threading(sandbox: Any, any_python: str) -> None:
    """84: it is wrapped when the application imports it."""
    done = sandbox.run(any_python, "-c", "import sys; print('threading' in sys.modules)")
    bare = sandbox.run(any_python, "-c", "import sys; print('threading' in sys.modules)", launched=False)
    assert done.stdout == bare.stdout


@pytest.mark.parametrize("flags", [["-i", "-c", "pass"], ["-i"]])
def test_nothing_is_sent_from_a_prompt(sandbox: Any, flags: list[str]) -> None:
    """85"""
    import subprocess

    command = sandbox.command(PY, *flags)
    done = subprocess.run(
        command,
        input="2/0\n",
        text=True,
        capture_output=True,
        cwd=sandbox.folder,
        env=sandbox.env,
        timeout=60,
    )
    assert "ZeroDivisionError" in done.stderr
    assert sandbox.events() == []


@pytest.mark.parametrize(
    "end",
    [
        "SystemExit(4)",
        "SystemExit('message')",
        "KeyboardInterrupt",
        "GeneratorExit",
    ],
)
def test_an_ordinary_end_is_no_event_and_is_as_ever(sandbox: Any, end: str) -> None:
    """86"""
    code = "raise %s\n" % end
    done, bare = sandbox.python(code), sandbox.python(code, launched=False)
    assert (done.returncode, done.stderr) == (bare.returncode, bare.stderr)
    assert sandbox.events() == []


def test_the_handlers_of_logging_are_the_applications_own(sandbox: Any, any_python: str) -> None:
    """87: boot adds none, and what the application configures is what it gets."""
    code = """
import logging, logging.config, sys
print(logging.root.handlers, logging.root.level, logging.lastResort is not None)
logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)
logging.error("first")
logging.config.dictConfig({"version": 1, "root": {"handlers": [], "level": "DEBUG"}})
logging.error("second")
print([type(h).__name__ for h in logging.root.handlers], logging.root.level)
"""
    sandbox.write("app.py", code)
    done, bare = (sandbox.run(any_python, "app.py", launched=launched) for launched in (True, False))
    assert (done.stdout, done.stderr) == (bare.stdout, bare.stderr)


def test_an_error_logged_before_any_framework_is_captured(sandbox: Any) -> None:
    """87"""
    from errtrack_instrumentations import table

    if "logging" not in table.INSTRUMENTATIONS:
        pytest.skip("the catalogue has no logging yet")
    sandbox.python("import logging\nlogging.error('it is %s', 'broken')\n")
    assert sandbox.event()["logentry"]["message"] == "it is %s"


def test_with_nothing_captured_the_end_takes_no_time_and_no_thread(sandbox: Any, any_python: str) -> None:
    """88: though the client is there, and its server is not."""
    code = (
        "import errtrack.client, sys, time, atexit\nerrtrack.client.get_client()\nbegin = time.monotonic()\n"
        "import threading\nclose = errtrack.client.Client.close\n"
        "def timed(self, *args):\n    close(self, *args)\n    print(time.monotonic() - begin < 0.5)\n"
        "    print(threading.active_count())\n"
        "errtrack.client.Client.close = timed\n"
    )
    sandbox.write("app.py", code)
    done = sandbox.run(any_python, "app.py", ERRTRACK_DSN="http://key@127.0.0.1:9/1")
    assert (done.stdout, done.stderr) == ("True\n1\n", "")


@pytest.mark.parametrize("kind", ["store", "server"])
def test_a_first_event_at_exit_is_not_lost(sandbox: Any, any_python: str, kind: str) -> None:
    """89: from Python 3.12 on no thread can be started then."""
    sandbox.write(
        "app.py",
        "import atexit\n@atexit.register\ndef late():\n    import errtrack\n"
        "    errtrack.capture_message('late')\n",
    )
    if kind == "store":
        done = sandbox.run(any_python, "app.py")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert sandbox.event()["logentry"]["formatted"] == "late"
        return
    with Sink() as sink:
        done = sandbox.run(any_python, "app.py", ERRTRACK_DSN=sink.dsn)
        assert (done.returncode, done.stdout) == (0, "")
        if "No module named 'urllib3'" in done.stderr:
            # The launcher's own release is not for so old a Python: told once, and kept.
            assert "kept on disk" in done.stderr
            assert "Traceback" not in done.stderr
            return
        assert done.stderr == ""
        assert [event["logentry"]["formatted"] for event in sink.events()] == ["late"]


@pytest.mark.parametrize(
    ("end", "status"),
    [("os._exit(3)", 3), ("os.kill(os.getpid(), 9)", -signal.SIGKILL)],
    ids=["exit", "kill"],
)
def test_what_was_captured_before_a_sudden_end_is_kept(
    sandbox: Any, any_python: str, end: str, status: int
) -> None:
    """90"""
    sandbox.write("app.py", "import os, errtrack\nerrtrack.capture_message('last words')\n%s\n" % end)
    done = sandbox.run(any_python, "app.py")
    assert (done.returncode, done.stderr) == (status, "")
    assert sandbox.event()["logentry"]["formatted"] == "last words"


def test_what_is_kept_here_does_not_load_hashlib(sandbox: Any) -> None:
    """Where descriptors run out just then, hashlib would be left to the program with half of what it has, and log that."""
    code = "import errtrack, logging, sys\nlogging.error('kept')\nerrtrack.flush(10)\n"
    done = sandbox.python(code + "print('sqlite3' in sys.modules, 'hashlib' in sys.modules)")
    assert done.stdout == "True False\n"


EXHAUSTED = {
    "descriptors": "import os\nwhile True: os.dup(0)\n",
    "recursion": "def f(): f()\nf()\n",
    "memory": "raise MemoryError('none left')\n",
}


@pytest.mark.parametrize("what", EXHAUSTED)
def test_a_program_that_ran_out_of_something_ends_as_ever(sandbox: Any, any_python: str, what: str) -> None:
    """91"""
    limit = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
    sandbox.write("app.py", limit + EXHAUSTED[what])
    done, bare = (sandbox.run(any_python, "app.py", launched=launched) for launched in (True, False))
    if what != "descriptors":
        assert (done.returncode, done.stderr) == (bare.returncode, bare.stderr)
        assert len(sandbox.events()) == 1
        return
    # Where a library was instrumented before, a reserve is let go at the end: Python can then read the failing line,
    # and one line of ours tells what could not be written.
    ours = [line for line in done.stderr.splitlines() if not line.startswith("errtrack: cannot write")]
    theirs = bare.stderr.splitlines()
    assert (done.returncode, ours[0], ours[-1]) == (bare.returncode, theirs[0], theirs[-1])
    assert set(theirs) <= set(ours) and not any("errtrack" in line for line in ours)


WANDERER = """
import logging, os, sys, time
for name in ("first", "second"):
    os.mkdir(name)
    if sys.argv[1] == "goes before":
        os.chdir(name)
    logging.error(name)
    if sys.argv[1] == "goes behind":
        os.chdir(name)
        time.sleep(1.5)  # by then it is in the store
"""


@pytest.mark.parametrize("where", ["goes before", "goes behind"])
@pytest.mark.parametrize("launcher", ["launched", "by PYTHONPATH alone"])
def test_a_relative_store_stays_in_its_place_wherever_the_program_goes(
    sandbox: Any, launcher: str, where: str
) -> None:
    app = str(sandbox.write("app.py", WANDERER))
    sandbox.store = sandbox.folder / "state"
    environ = {"ERRTRACK_STORE": "state"}
    if launcher != "launched":
        environ["PYTHONPATH"] = INJECT
    done = sandbox.run(sys.executable, app, where, launched=launcher == "launched", **environ)
    assert done.returncode == 0, done.stderr
    assert sorted(event["logentry"]["formatted"] for event in sandbox.events()) == ["first", "second"]
    assert [path.parent.name for path in sandbox.folder.rglob("store.db")] == ["state"]


def test_a_relative_store_in_a_folder_that_is_gone_is_told_and_the_next_place_is_taken(
    sandbox: Any,
) -> None:
    sandbox.write(
        "app.py",
        "import os\nos.mkdir('x')\nos.chdir('x')\nos.rmdir('../x')\nimport logging\nlogging.error(1)",
    )
    environ = {"ERRTRACK_STORE": "state", "XDG_STATE_HOME": str(sandbox.folder), "PYTHONPATH": INJECT}
    done = sandbox.run(sys.executable, "app.py", launched=False, **environ)
    first, told = done.stderr.splitlines()
    assert (first, told.count("store must be an absolute path, as the working directory is gone")) == (
        "ERROR:root:1",
        1,
    ), told
    assert list((sandbox.folder / "errtrack").rglob("seg-*"))


def test_before_send_is_found_in_the_applications_own_code(sandbox: Any, any_python: str) -> None:
    """92: at the first event, as its folder is not on sys.path at boot."""
    sandbox.write(
        "script/rules.py", "def mark(event, hint):\n    event['tags'] = {'seen': 'yes'}\n    return event\n"
    )
    sandbox.write("script/app.py", "import sys\nprint('rules' in sys.modules)\nraise ValueError\n")
    done = sandbox.run(any_python, "script/app.py", ERRTRACK_BEFORE_SEND="rules:mark")
    assert done.stdout == "False\n"
    assert sandbox.event()["tags"] == {"seen": "yes"}


def test_sentry_sdk_in_the_same_process_reports_too(sandbox: Any) -> None:
    """93: each once, and the traceback is printed once."""
    with Sink() as sink:
        code = "import sentry_sdk\nsentry_sdk.init(%r)\nraise ValueError('both')\n" % sink.dsn
        sandbox.write("app.py", code)
        python = room("sentry").python
        bare = sandbox.run(python, "app.py", launched=False)
        ours = sandbox.run(python, "app.py")
        assert (ours.returncode, ours.stdout, ours.stderr) == (bare.returncode, bare.stdout, bare.stderr)
        assert [main_exception(event)["value"] for event in sink.events()] == ["both", "both"]
    assert main_exception(sandbox.event())["value"] == "both"


def test_settings_in_code_win_and_nothing_is_done_twice(sandbox: Any, any_python: str) -> None:
    """94"""
    code = "import errtrack\nerrtrack.init(environment='code')\nerrtrack.init(environment='later')\nraise ValueError\n"
    sandbox.write("app.py", code)
    done = sandbox.run(any_python, "app.py", ERRTRACK_ENVIRONMENT="variable")
    assert done.stderr.count("Traceback") == 1
    assert sandbox.event()["environment"] == "later"


FAILING_TEST = "def test_one():\n    assert 1 == 2\ndef test_two():\n    raise ValueError\n"


@pytest.mark.parametrize("arguments", [[], ["-n", "2"]], ids=["", "xdist"])
def test_pytest_is_left_alone(sandbox: Any, arguments: list[str]) -> None:
    """96: its failures are no errors, and it finds nothing imported too early."""
    python = room("frameworks").python
    sandbox.write("test_it.py", FAILING_TEST)
    command = (
        python,
        "-W",
        "error",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-W",
        "error",
        *arguments,
    )
    done, bare = (sandbox.run(*command, launched=launched) for launched in (True, False))
    assert (done.returncode, done.stderr) == (bare.returncode, bare.stderr) == (1, "")
    assert "2 failed" in done.stdout and "Warning" not in done.stdout
    assert sandbox.events() == []


def test_coverage_counts_the_same_lines(sandbox: Any) -> None:
    """97"""
    python = room("frameworks").python
    sandbox.write("lib.py", "def f(a):\n    if a:\n        return 1\n    return 2\n")
    sandbox.write("app.py", "import lib\nlib.f(0)\ntry:\n    1/0\nfinally:\n    lib.f(0)\n")
    reports = []
    for launched in (True, False):
        done = sandbox.run(python, "-m", "coverage", "run", "--source=.", "app.py", launched=launched)
        assert done.stderr.count("Traceback") == 1
        text = sandbox.run(python, "-m", "coverage", "report", "-m", launched=launched)
        reports.append((done.returncode, text.stdout))
    assert reports[0] == reports[1]
    assert "lib.py" in reports[0][1] and "errtrack" not in reports[0][1]
    assert len(sandbox.events()) == 1


TRACED = """
import sys, threading
def trace(frame, event, arg): return trace
sys.settrace(trace)
sys.setprofile(trace)
def hook(*error):
    print(sys.gettrace() is trace, sys.getprofile() is trace)
previous = sys.excepthook
def chained(*error):
    previous(*error)
    hook()
sys.excepthook = chained
raise ValueError
"""


def test_trace_functions_of_a_debugger_stay_in_place(sandbox: Any, any_python: str) -> None:
    """97"""
    sandbox.write("app.py", TRACED)
    done = sandbox.run(any_python, "app.py")
    assert done.stdout == "True True\n"
    assert len(sandbox.events()) == 1


def test_pdb_stops_where_it_does_without_us(sandbox: Any) -> None:
    """97"""
    sandbox.write("app.py", "def f():\n    a = 1\n    return a\nf()\n")
    command = (PY, "-m", "pdb", "-c", "break 3", "-c", "continue", "-c", "p a", "-c", "quit", "app.py")
    done, bare = (sandbox.run(*command, launched=launched) for launched in (True, False))
    assert done.stdout == bare.stdout
    assert done.stdout.endswith("\n1\n")


@pytest.mark.slow
def test_debugpy_debugs_a_launched_program(sandbox: Any) -> None:
    """97: it starts, waits for nobody, and the program's error is reported."""
    from web import free_port

    python = room("frameworks").python
    sandbox.write("app.py", "print('ran')\nraise ValueError('under a debugger')\n")
    done = sandbox.run(python, "-m", "debugpy", "--listen", str(free_port()), "app.py")
    assert "ran" in done.stdout
    assert main_exception(sandbox.event())["value"] == "under a debugger"


BEFORE_THE_UPGRADE = """
import sys
print("booted", flush=True)
sys.stdin.readline()
def f():
    return 1 / 0
f()
"""


@pytest.mark.parametrize("change", ["half", "all", "none"])
def test_an_upgrade_while_the_program_runs_does_it_no_harm(
    tmp_path: Path, any_python: str, change: str
) -> None:
    """98: its files are those of another version by the time of the first error."""
    import subprocess

    house = build(
        tmp_path,
        {},
        {"excepthook": "raise SyntaxError('of a later version')"},
        wires={"sys.excepthook": "excepthook"},
    )
    house.module("app.py", BEFORE_THE_UPGRADE)
    bare = house.bare([any_python, "app.py"])
    command = [*house.launcher, any_python, "app.py"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=house.work, env=house.environ(), stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "booted\n"
        later = "raise ImportError('cannot import name of a later version')\n"
        for number, path in enumerate(sorted(house.run.parent.rglob("*.py"))):
            if change == "all" or (change == "half" and number % 2):
                path.write_text(later)
        _, errors = process.communicate("\n", timeout=60)
    assert (process.returncode, errors) == (1, bare.stderr)


GREEN = {
    "gevent": "from gevent import monkey\nmonkey.patch_all()\n",
    "eventlet": "import eventlet\neventlet.monkey_patch()\n",
}

GREEN_APP = """
import sys, threading, logging
assert type(logging._lock).__module__ != "_thread"  # a lock of greenlets
import errtrack
errtrack.capture_message("from the main greenlet")
def work():
    errtrack.capture_message("from another")
thread = threading.Thread(target=work)
thread.start()
thread.join()
print("ran")
"""


@pytest.mark.parametrize("kind", ["store", "server"])
@pytest.mark.parametrize("library", GREEN)
def test_greenlets_patched_first_thing_find_nothing_imported(sandbox: Any, library: str, kind: str) -> None:
    """80: no warning of it, its locks everywhere, and the events arrive."""
    python = room("greenlets").python

    sandbox.write("app.py", GREEN[library])
    bare = sandbox.run(python, "app.py", launched=False)
    sandbox.write("app.py", GREEN[library] + GREEN_APP)
    with Sink() as sink:
        dsn = {"ERRTRACK_DSN": sink.dsn} if kind == "server" else {}
        done = sandbox.run(python, "app.py", **dsn)
        assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", bare.stderr)
        events = list(sink.events()) if kind == "server" else sandbox.events()
    assert {event["logentry"]["formatted"] for event in events} == {"from the main greenlet", "from another"}
    assert len(events) == 2


@pytest.mark.parametrize("library", GREEN)
def test_greenlets_patched_after_the_first_event_do_no_harm(sandbox: Any, library: str) -> None:
    """81: in a program that uses them; gevent's warning says itself that this is late."""
    python = room("greenlets").python
    code = "import errtrack\nerrtrack.capture_message('before')\n"
    code += "errtrack.flush(5)\n" + GREEN[library]
    code += "import time\ntime.sleep(0.01)\nerrtrack.capture_message('after')\nprint('ran')\n"
    sandbox.write("app.py", code)
    with Sink() as sink:
        done = sandbox.run(python, "-W", "ignore", "app.py", ERRTRACK_DSN=sink.dsn)
        assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr
        texts = [event["logentry"]["formatted"] for event in sink.events()]
        left = [event["logentry"]["formatted"] for event in sandbox.events()]
    assert {"before", "after"} == set(texts + left)


@pytest.mark.skipif(sys.platform != "win32", reason="a console of Windows: no such machine here")
def test_on_windows_the_command_is_a_child_that_gets_ctrl_c(sandbox: Any) -> None:
    """23"""
    done = sandbox.run("cmd", "/c", "exit 7")
    assert done.returncode == 7
    assert os.name == "nt"


def test_the_versions_here_are_those_that_are_promised() -> None:
    """The matrix of these tests is that of the package."""
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    for version in VERSIONS:
        assert "Programming Language :: Python :: %s" % version in project
