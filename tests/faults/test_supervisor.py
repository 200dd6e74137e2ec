# SPDX-License-Identifier: MIT
"""``errtrack-run --supervise``: the command lives and ends as without it, and a death without a witness is reported."""

from __future__ import annotations

import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there it stays as the parent anyway")


def command(sandbox: Any, code: str, supervised: bool = True) -> list[str]:
    path = sandbox.write("app.py", code)
    options = ["--supervise"] if supervised else []
    return [sys.executable, "-m", "errtrack_run", *options, sys.executable, str(path)]


def supervise(sandbox: Any, code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return sandbox.run(*command(sandbox, code), launched=False, **env)  # type: ignore[no-any-return]


def start(sandbox: Any, code: str, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(sandbox, code), cwd=sandbox.folder, env=sandbox.env, stdout=subprocess.PIPE, text=True, **more
    )


@pytest.mark.parametrize("end", ["pass", "sys.exit(3)", "1 / 0", "os._exit(255)"])
def test_exit_status_and_output_are_the_commands(sandbox: Any, end: str) -> None:
    code = "import os, sys; print(sys.stdin.read()); sys.stdout.flush()\n" + end
    bare = sandbox.python(code, launched=False)
    done = supervise(sandbox, code)
    assert (done.returncode, done.stdout, done.stderr) == (bare.returncode, bare.stdout, bare.stderr)


def test_kill_is_reported_at_once_and_passed_on(sandbox: Any) -> None:
    done = supervise(
        sandbox, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", ERRTRACK_RELEASE="r1"
    )
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")
    event = sandbox.event()
    (value,) = event["exception"]["values"]
    assert (event["level"], event["release"], value["type"]) == ("fatal", "r1", "SIGKILL")
    assert value["mechanism"]["type"] == "supervisor" and not value["mechanism"]["handled"]
    assert "signal 9" in value["value"]


def test_crash_is_one_event_with_its_stacks(sandbox: Any) -> None:
    done = supervise(sandbox, "import logging, os\ndef fail(): os.abort()\nfail()")
    assert done.returncode == -signal.SIGABRT
    (value,) = sandbox.event()["exception"]["values"]
    assert value["type"] == "SIGABRT" and value["stacktrace"]["frames"][-1]["function"] == "fail"


def test_fatal_error_of_the_interpreter_is_reported_though_it_leaves_no_stacks(sandbox: Any) -> None:
    code = "import ctypes; ctypes.pythonapi.Py_FatalError(b'out of luck')"
    done = supervise(sandbox, code)
    assert done.returncode == -signal.SIGABRT and "out of luck" in done.stderr
    assert sandbox.event()["exception"]["values"][0]["type"] == "SIGABRT"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_polite_end_is_passed_on_and_no_news(sandbox: Any, name: str) -> None:
    process = start(
        sandbox,
        "import time, signal\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\nprint(1, flush=True); time.sleep(60)",
    )
    assert process.stdout is not None and process.stdout.readline() == "1\n"
    process.send_signal(getattr(signal, name))
    assert process.wait(30) == -getattr(signal, name)
    process.stdout.close()
    assert sandbox.events() == []


def test_every_signal_reaches_the_command(sandbox: Any) -> None:
    names = ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGWINCH", "SIGCONT"]
    code = """
import os, signal, sys, time
def seen(number, frame):
    os.write(1, (signal.Signals(number).name + "\\n").encode())
for name in %r:
    signal.signal(getattr(signal, name), seen)
os.write(1, b"ready\\n")
while not os.path.exists("over"):
    time.sleep(0.02)
sys.exit(5)
""" % (names,)
    process = start(sandbox, code)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for name in names:
        process.send_signal(getattr(signal, name))
        assert process.stdout.readline() == name + "\n"
    sandbox.write("over", "")
    assert process.wait(30) == 5
    process.stdout.close()


def test_signals_are_as_the_launcher_found_them(sandbox: Any) -> None:
    code = "print(*[line for line in open('/proc/self/status') if line.startswith('Sig')])"
    if not os.path.exists("/proc/self/status"):
        pytest.skip("no /proc here")
    plain = sandbox.run(*command(sandbox, code, supervised=False), launched=False)
    done = supervise(sandbox, code)
    masks = [line for line in done.stdout.splitlines() if "SigQ" not in line]
    assert masks == [line for line in plain.stdout.splitlines() if "SigQ" not in line] and len(masks) >= 4


def test_what_systemd_has_for_the_process_that_it_starts_is_the_commands(sandbox: Any) -> None:
    """sd_listen_fds(3) looks whether LISTEN_PID is its own process."""
    code = (
        "import os; print(*[os.environ[name] == str(os.getpid()) for name in ('LISTEN_PID', 'WATCHDOG_PID')])"
    )
    words = " ".join(map(shlex.quote, command(sandbox, code)))
    for name, seen in (("$$", "True True\n"), ("1234567", "False False\n")):
        script = "LISTEN_PID=%s WATCHDOG_PID=%s exec %s" % (name, name, words)
        assert sandbox.run("sh", "-c", script, launched=False).stdout == seen


def test_command_that_cannot_be_run_is_told_as_ever(sandbox: Any) -> None:
    done = sandbox.run(sys.executable, "-m", "errtrack_run", "--supervise", "nonesuch", launched=False)
    assert done.returncode == 127 and "command not found" in done.stderr
    assert sandbox.events() == []


def test_death_by_want_of_memory_is_told_apart_by_the_control_group(sandbox: Any) -> None:
    group = sandbox.folder / "cgroup"
    group.mkdir()
    (group / "memory.events").write_text("low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\n")
    app = sandbox.write(
        "app.py",
        "import os, sys, signal\n"
        "if len(sys.argv) > 1: open('cgroup/memory.events', 'w').write('oom 2\\noom_kill 2\\n')\n"
        "os.kill(os.getpid(), signal.SIGKILL)",
    )
    outer = (
        "import sys; from errtrack_run import launcher, supervisor; supervisor._places = lambda: ['cgroup'];"
        "sys.exit(launcher.main(['--supervise', *sys.argv[1:]]))"
    )
    for more in ([], ["uses up the memory"]):
        done = sandbox.run(sys.executable, "-c", outer, sys.executable, str(app), *more, launched=False)
        assert done.returncode == -9, done.stderr
    found = [event["exception"]["values"][0] for event in sandbox.events()]
    assert [value["type"] for value in found] == ["SIGKILL", "OutOfMemory"]
    assert "out of memory" in found[1]["value"]


def test_ctrl_c_at_a_terminal_reaches_the_command_once(sandbox: Any) -> None:
    code = """
import os, signal, time
count = 0
def seen(number, frame):
    global count; count += 1
signal.signal(signal.SIGINT, seen)
os.write(1, b"ready\\n")
end = time.monotonic() + 20
while not count and time.monotonic() < end:
    time.sleep(0.02)
time.sleep(0.5)
os.write(1, b"count=%d\\n" % count)
"""
    arguments = command(sandbox, code)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(sandbox.folder)
        os.execve(arguments[0], arguments, sandbox.env)
    output = b""
    try:
        while b"ready" not in output:
            output += os.read(terminal, 1000)
        os.write(terminal, b"\x03")
        while b"count=" not in output or not output.endswith(b"\n"):
            output += os.read(terminal, 1000)
    finally:
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
    assert b"count=1" in output and os.WEXITSTATUS(status) == 0


def can_unshare() -> bool:
    try:
        arguments = ["unshare", "-Urpf", "--mount-proc", "true"]
        return subprocess.run(arguments, capture_output=True, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.mark.skipif(not can_unshare(), reason="no user and PID namespaces here")
def test_process_1_of_a_container_reaps_orphans_and_passes_the_status_on(sandbox: Any) -> None:
    code = """
import os, sys, time
assert os.getppid() == 1
for _ in range(5):
    if os.fork() == 0:
        if os.fork() == 0:
            time.sleep(0.1)   # its parent is gone by now: process 1 inherits it
        os._exit(0)
    os.wait()
end = time.monotonic() + 20
def dead():
    found = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try: found += open("/proc/" + name + "/stat").read().rpartition(")")[2].split()[0] == "Z"
            except OSError: pass
    return found
time.sleep(0.3)
while dead() and time.monotonic() < end: time.sleep(0.05)
print("zombies", dead())
%s
"""
    for end, status in (("sys.exit(4)", 4), ("os.kill(os.getpid(), 9)", 137)):
        arguments = [
            "unshare",
            "-Urpf",
            "--mount-proc",
            *command(sandbox, code % ("sys.stdout.flush(); " + end)),
        ]
        done = sandbox.run(*arguments, launched=False)
        assert (done.returncode, done.stdout) == (status, "zombies 0\n"), done.stderr


def test_parent_uses_no_processor_time_and_loads_nothing_while_it_waits(sandbox: Any) -> None:
    if not os.path.exists("/proc/self/stat"):
        pytest.skip("no /proc here")
    process = start(sandbox, "import time; print(1, flush=True); time.sleep(60)")
    assert process.stdout is not None and process.stdout.readline() == "1\n"

    def used() -> int:
        fields = Path("/proc/%d/stat" % process.pid).read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = used()
    time.sleep(0.5)
    after = used()
    maps = Path("/proc/%d/maps" % process.pid).read_text()
    process.terminate()
    process.wait(30)
    process.stdout.close()
    assert after - before <= 1 and "_ssl" not in maps
