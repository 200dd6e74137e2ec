"""Uncaught exceptions: reported once, and the program's own end is as without us."""

from __future__ import annotations

import sys

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
