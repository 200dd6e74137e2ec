"""Uncaught exceptions: reported once, and the program's own end is as without us."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time

import pytest

from web import main_exception

CRASH = "def fail(amount):\n    return amount / 0\n\nfail(17)\n"


def test_crash_is_reported_and_ends_as_ever(sandbox) -> None:
    bare = sandbox.python(CRASH, launched=False)
    watched = sandbox.python(CRASH)
    assert (watched.returncode, watched.stdout, watched.stderr) == (bare.returncode, bare.stdout, bare.stderr)
    event = sandbox.event()
    error = main_exception(event)
    assert (error["type"], error["value"]) == ("ZeroDivisionError", "division by zero")
    assert error["mechanism"]["type"] == "excepthook" and error["mechanism"]["handled"] is False
    assert event["level"] == "fatal"
    frames = error["stacktrace"]["frames"]
    assert [f["function"] for f in frames] == ["<module>", "fail"]
    assert frames[-1]["vars"] == {"amount": "17"}
    assert frames[-1]["context_line"].strip() == "return amount / 0"
    assert all(f["in_app"] for f in frames)


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "import sys; sys.exit('text')", "pass"])
def test_ordinary_ends_are_no_events(sandbox, code: str) -> None:
    bare = sandbox.python(code, launched=False)
    watched = sandbox.python(code)
    assert (watched.returncode, watched.stdout, watched.stderr) == (bare.returncode, bare.stdout, bare.stderr)
    assert sandbox.events() == []


CONSOLE = """
import code, sys

class Console(code.InteractiveConsole):
    def write(self, text):
        sys.stdout.write("console: " + text)

before = sys.excepthook
console = Console()
for line in "1 / 0", "def", "raise ValueError('typed')", "print('goes on')":
    console.runsource(line)
assert sys.excepthook is before
sys.excepthook = lambda kind, error, tb: print("own hook:", kind.__name__)
console.runsource("1 / 0")
"""


def test_a_console_in_a_program_writes_errors_itself(sandbox) -> None:
    bare = sandbox.python(CONSOLE, launched=False)
    assert bare.stdout.count("console: ") >= 3 and bare.stdout.endswith(
        "goes on\nown hook: ZeroDivisionError\n"
    )
    watched = sandbox.python(CONSOLE)
    assert (watched.returncode, watched.stdout, watched.stderr) == (0, bare.stdout, bare.stderr)
    assert sandbox.events() == []
    always = sandbox.python(CONSOLE, ERRTRACK_EXCEPTHOOK_ALWAYS_RUN="1")
    assert (always.returncode, always.stdout, always.stderr) == (0, bare.stdout, bare.stderr)
    assert {main_exception(event)["type"] for event in sandbox.events()} >= {
        "ZeroDivisionError",
        "ValueError",
    }


def test_ctrl_c_is_no_event(sandbox) -> None:
    code = "raise KeyboardInterrupt"
    bare = sandbox.python(code, launched=False)
    watched = sandbox.python(code)
    assert (watched.returncode, watched.stderr) == (bare.returncode, bare.stderr)
    assert sandbox.events() == []


def test_hook_set_by_the_application_and_chained_to_ours_is_called_once(sandbox) -> None:
    code = """
import sys
previous = sys.excepthook
def hook(kind, error, tb):
    print("application saw", kind.__name__)
    previous(kind, error, tb)
sys.excepthook = hook
1 / 0
"""
    watched = sandbox.python(code)
    assert watched.stdout == "application saw ZeroDivisionError\n"
    assert watched.stderr.count("Traceback (most recent call last)") == 1
    assert main_exception(sandbox.event())["type"] == "ZeroDivisionError"


def test_interactive_prompt_is_left_alone_unless_asked(sandbox) -> None:
    code = "import sys; sys.ps1 = '>>> '; 1 / 0"
    assert sandbox.python(code).returncode == 1
    assert sandbox.events() == []
    sandbox.python(code, ERRTRACK_EXCEPTHOOK_ALWAYS_RUN="1")
    assert len(sandbox.events()) == 1


@pytest.mark.parametrize("way", ["prompting.py", "-mprompting"])
def test_what_ends_a_program_that_had_a_prompt_is_reported(sandbox, way: str) -> None:
    """code.interact() leaves sys.ps1 behind."""
    code = """
import code, sys
typed = ["1 / 0"]
def read(prompt):
    if typed:
        return typed.pop()
    raise EOFError
code.interact(readfunc=read)
print("prompt" if hasattr(sys, "ps1") else "no prompt")
{}["end"]
"""
    sandbox.write("prompting.py", code)
    done = sandbox.run(sys.executable, way)
    assert done.stdout == "prompt\n" and "ZeroDivisionError" in done.stderr
    assert main_exception(sandbox.event())["type"] == "KeyError"


def test_program_that_lies_elsewhere_than_where_it_is_started_is_told_apart_from_libraries(sandbox) -> None:
    """As of cron, which starts programs in the user's home: nothing marks its frames as the application's."""
    code = "import json\n\ndef load(text):\n    return json.loads(text)\n\nload('{')\n"
    sandbox.python(code, ERRTRACK_PROJECT_ROOT=str(sandbox.folder / "elsewhere"))
    assert [f.get("in_app") for f in main_exception(sandbox.event())["stacktrace"]["frames"]][:3] == [
        None,
        None,
        False,
    ]
    shown = sandbox.errtrack("show").stdout
    assert "where        __main__ in load\n" in shown
    assert "text = '{'" in shown and "s = " not in shown


def test_disabled_by_name(sandbox) -> None:
    assert sandbox.python(CRASH, ERRTRACK_DISABLE="excepthook").returncode == 1
    assert sandbox.events() == []


def test_disabled_by_file(sandbox) -> None:
    sandbox.write("errtrack.toml", 'disable = ["excepthook"]\n')
    assert sandbox.python(CRASH).returncode == 1
    assert sandbox.events() == []


def test_chain_of_causes_and_command_line(sandbox) -> None:
    code = """
try:
    {}["key"]
except KeyError as error:
    raise RuntimeError("outer") from error
"""
    path = sandbox.write("chain.py", code)
    sandbox.run(sys.executable, str(path), "--password=hunter2", "plain")
    event = sandbox.event()
    assert [v["type"] for v in event["exception"]["values"]] == ["KeyError", "RuntimeError"]
    assert event["exception"]["values"][0]["mechanism"]["source"] == "__cause__"
    argv = event["extra"]["sys.argv"]
    assert argv[-1] == "plain" and "hunter2" not in str(event)


def test_error_in_the_users_hook_keeps_the_traceback(sandbox) -> None:
    sandbox.write("hooks.py", "def drop(event, hint):\n    raise RuntimeError('mine')\n")
    watched = sandbox.python(CRASH, ERRTRACK_BEFORE_SEND="hooks:drop", PYTHONPATH=str(sandbox.folder))
    assert "ZeroDivisionError: division by zero" in watched.stderr
    assert "before_send failed (RuntimeError: mine)" in watched.stderr
    assert watched.returncode == 1
    assert sandbox.events() == []


def test_before_send_changes_and_drops(sandbox) -> None:
    sandbox.write(
        "hooks.py",
        "def change(event, hint):\n    event['tags']['hooked'] = hint['exc_info'][0].__name__\n    return event\n",
    )
    sandbox.python(
        CRASH, ERRTRACK_BEFORE_SEND="hooks:change", ERRTRACK_TAGS="a=b", PYTHONPATH=str(sandbox.folder)
    )
    assert sandbox.event()["tags"] == {"a": "b", "hooked": "ZeroDivisionError"}
    sandbox.write("hooks.py", "def change(event, hint):\n    return None\n")
    sandbox.python(CRASH, ERRTRACK_BEFORE_SEND="hooks:change", PYTHONPATH=str(sandbox.folder))
    assert len(sandbox.events()) == 1


def test_modules_runtime_and_release_are_on_the_event(sandbox) -> None:
    sandbox.python(
        CRASH, ERRTRACK_RELEASE="shop@1.2", ERRTRACK_ENVIRONMENT="stage", ERRTRACK_SERVER_NAME="web-1"
    )
    event = sandbox.event()
    assert event["modules"]["pytest"]
    assert event["contexts"]["runtime"]["version"] == "%d.%d.%d" % sys.version_info[:3]
    assert (event["release"], event["environment"], event["server_name"]) == ("shop@1.2", "stage", "web-1")
    assert {"excepthook", "argv", "modules", "dedupe"} <= set(event["sdk"]["integrations"])
    assert len(event["contexts"]["trace"]["trace_id"]) == 32


def test_terminal_user_is_told_how_to_see_it_again(sandbox) -> None:
    pty = pytest.importorskip("pty")
    import os

    path = sandbox.write("app.py", CRASH)
    shown = b""

    def read(fd: int) -> bytes:
        nonlocal shown
        data = os.read(fd, 4096)
        shown += data
        return data

    command = [
        "env",
        "-i",
        *("%s=%s" % item for item in sandbox.env.items()),
        *sandbox.command(sys.executable, str(path)),
    ]
    pty.spawn(command, read)
    text = shown.decode()
    assert text.index("ZeroDivisionError") < text.index("errtrack show ")
    event_id = text.split("errtrack show ")[1].split()[0]
    assert sandbox.errtrack("show", event_id).returncode == 0


def python_of(version: str) -> str:
    """An interpreter of *version*, this one or another on this machine."""
    import shutil
    from pathlib import Path

    if version == "%d.%d" % sys.version_info[:2]:
        return sys.executable
    found = sorted(Path.home().glob(".pyenv/versions/%s.*/bin/python" % version))
    python = str(found[0]) if found else shutil.which("python" + version)
    if python is None:
        pytest.skip("no Python %s on this machine" % version)
    return python


INSTALL_FIRST = """
import sys
def hook(*given):
    print("application saw", *(type(part).__name__ for part in given))
    sys.__excepthook__(*given)
sys.excepthook = hook
%s
"""


def test_hook_that_replaces_ours_keeps_its_say(sandbox) -> None:
    """It never calls the one before: that is the application's decision."""
    code = INSTALL_FIRST % "1 / 0"
    bare = sandbox.python(code, launched=False)
    watched = sandbox.python(code)
    assert (watched.stdout, watched.stderr) == (bare.stdout, bare.stderr)
    assert sandbox.events() == []


def test_hook_that_was_there_before_ours_is_called_once_with_the_same_arguments(sandbox) -> None:
    sandbox.write("early/sitecustomize.py", INSTALL_FIRST % "")
    crash = "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    error.args = ('mine',)\n    raise"
    watched = sandbox.python(
        "import sys; wire = sys.excepthook; print(hasattr(wire, 'errtrack_place'))\n" + crash,
        PYTHONPATH=str(sandbox.folder / "early"),
    )
    assert watched.stdout.endswith("application saw type ZeroDivisionError traceback\n")
    assert watched.stderr.count("ZeroDivisionError: mine") == 1


def test_failing_capture_keeps_the_traceback(sandbox) -> None:
    bare = sandbox.python(CRASH, launched=False)
    code = "import errtrack.client as client\ndef broken(*a, **k): raise RuntimeError('ours')\n"
    code += "client.Client.capture_exception = broken\n" + CRASH
    watched = sandbox.python(code)
    assert watched.returncode == bare.returncode
    assert "ZeroDivisionError: division by zero" in watched.stderr and "ours" not in watched.stderr


@pytest.mark.parametrize("stream", ["sys.stderr = None", "sys.stderr.close()", "import os; os.close(2)"])
def test_without_stderr(sandbox, stream: str) -> None:
    code = "import sys; %s\n1 / 0" % stream
    # Descriptor 2 must not become a file of ours: the traceback would go there, and the exit code be another.
    assert sandbox.python(code).returncode == sandbox.python(code, launched=False).returncode
    assert main_exception(sandbox.event())["type"] == "ZeroDivisionError"


def test_wrong_setting_is_refused_in_one_line(sandbox) -> None:
    watched = sandbox.python(CRASH, ERRTRACK_EXCEPTHOOK_ALWAYS_RUN="perhaps")
    assert "ERRTRACK_EXCEPTHOOK_ALWAYS_RUN: excepthook.always_run must be true or false" in watched.stderr
    assert len(sandbox.events()) == 1


def test_error_reported_before_and_raised_to_the_top_is_one_event(sandbox) -> None:
    code = "import errtrack\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    errtrack.capture_exception()\n    raise"
    assert sandbox.python(code).returncode == 1
    assert main_exception(sandbox.event())["mechanism"]["handled"] is True


@pytest.mark.parametrize("how", [["-c", "1 / 0"], ["-m", "broken"], ["-"], ["-i", "broken.py"]])
def test_every_way_to_start_a_program(sandbox, how: list[str]) -> None:
    """With ``-i`` the program's own end is reported, before the prompt comes."""
    sandbox.write("broken.py", "1 / 0\n")
    done = subprocess.run(
        sandbox.command(sys.executable, *how),
        cwd=sandbox.folder,
        env=sandbox.env,
        input="" if how[0] == "-i" else "1 / 0\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "ZeroDivisionError" in done.stderr
    assert main_exception(sandbox.event())["type"] == "ZeroDivisionError"


def test_forked_child_that_fails_is_reported(sandbox) -> None:
    code = "import os\nif os.fork() == 0:\n    {}['in the child']\nos.wait()\nprint('parent goes on')"
    done = sandbox.python(code)
    assert done.stdout == "parent goes on\n" and done.stderr.count("KeyError") == 1
    assert main_exception(sandbox.event())["value"] == "'in the child'"


def at_prompt(sandbox, python: str, *arguments: str, text: str, **env: str) -> str:
    """Type *text* at the prompt of a real terminal, and return all that it shows."""
    import pty

    parent, child = pty.openpty()
    process = subprocess.Popen(
        sandbox.command(python, *arguments),
        cwd=sandbox.folder,
        env={**sandbox.env, "TERM": "xterm", "PYTHON_COLORS": "0", **env},
        stdin=child,
        stdout=child,
        stderr=child,
        close_fds=True,
    )
    os.close(child)
    shown, typed, deadline = b"", False, time.monotonic() + 60
    try:
        while time.monotonic() < deadline:
            if select.select([parent], [], [], 0.1)[0]:
                try:
                    data = os.read(parent, 65536)
                except OSError:
                    break
                if not data:
                    break
                shown += data
            if not typed and b">>> " in shown:
                typed = True
                for line in (*text.splitlines(), "import sys; sys.exit()"):
                    os.write(parent, line.encode() + b"\n")
                    time.sleep(0.3)
    finally:
        process.kill()
        process.wait()
        os.close(parent)
    return shown.decode("utf-8", "replace")


@pytest.mark.parametrize("version", ["3.11", "3.13"])
@pytest.mark.parametrize(
    "arguments", [[], ["-m", "asyncio"], ["-i", "-c", "pass"], ["-c", "import code; code.interact()"]]
)
def test_typing_errors_at_a_prompt_are_no_events(sandbox, version: str, arguments: list[str]) -> None:
    python = python_of(version)
    shown = at_prompt(sandbox, python, *arguments, text="mistyped_name")
    assert "NameError" in shown
    assert sandbox.events() == []


def test_typing_errors_are_events_when_asked_for(sandbox) -> None:
    shown = at_prompt(sandbox, sys.executable, text="mistyped_name", ERRTRACK_EXCEPTHOOK_ALWAYS_RUN="1")
    assert "NameError" in shown
    assert main_exception(sandbox.event())["type"] == "NameError"


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="the interpreter prints groups by itself")
def test_backport_of_exception_groups_prints_as_ever(sandbox) -> None:
    pytest.importorskip("exceptiongroup")
    code = "import exceptiongroup\nraise exceptiongroup.ExceptionGroup('both', [ValueError('a'), KeyError('b')])\n"
    bare = sandbox.python(code, launched=False)
    watched = sandbox.python(code)
    assert (watched.returncode, watched.stderr) == (bare.returncode, bare.stderr)
    assert "ValueError: a" in watched.stderr and "KeyError: 'b'" in watched.stderr
    types = [value["type"] for value in sandbox.event()["exception"]["values"]]
    assert sorted(types) == ["ExceptionGroup", "KeyError", "ValueError"]
