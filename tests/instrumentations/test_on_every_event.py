"""What is on every event: command line (argv) and installed packages (modules), each off by name."""

from __future__ import annotations

import sys

MESSAGE = "import errtrack; errtrack.capture_message('x')"


def test_argv_is_read_at_the_events_time(sandbox) -> None:
    sandbox.python("import sys; sys.argv = ['changed', '--token', 'hunter2']\n" + MESSAGE)
    assert sandbox.event()["extra"]["sys.argv"] == ["changed", "--token", "[Filtered]"]


def test_argv_can_be_missing(sandbox) -> None:
    assert sandbox.python("import sys; del sys.argv\n" + MESSAGE).returncode == 0
    assert "sys.argv" not in sandbox.event().get("extra", {})


def test_argv_set_by_the_application_stays(sandbox) -> None:
    sandbox.python("import errtrack; errtrack.set_extra('sys.argv', 'mine')\n" + MESSAGE)
    assert sandbox.event()["extra"]["sys.argv"] == "mine"


def test_modules_lists_what_is_installed(sandbox) -> None:
    from importlib import metadata

    sandbox.python(MESSAGE)
    modules = sandbox.event()["modules"]
    assert modules["pytest"] == metadata.version("pytest")
    assert modules["urllib3"] == metadata.version("urllib3")


def test_each_is_off_by_name(sandbox) -> None:
    sandbox.python(MESSAGE, ERRTRACK_DISABLE="argv,modules")
    event = sandbox.event()
    assert "modules" not in event and "sys.argv" not in event.get("extra", {})
    assert not {"argv", "modules"} & set(event["sdk"]["integrations"])


def test_nothing_is_imported_for_it(sandbox) -> None:
    code = MESSAGE + "\nimport sys; print('importlib.metadata' in sys.modules, 'platform' in sys.modules)"
    if (
        "importlib.metadata" in sys.modules
        and sandbox.python("import sys; print('importlib.metadata' in sys.modules)", launched=False).stdout
        == "True\n"
    ):
        return  # a .pth file of this environment imports it in every Python
    assert sandbox.python(code).stdout == "False False\n"


SLOW = """
import errtrack, os, time, threading
real = os.listdir
def slow(path):
    if path == "/slow/disk":
        assert threading.current_thread() is not threading.main_thread()
        time.sleep(1.0)
        return ["far-1.0.dist-info"]
    return real(path)
os.listdir = slow
import sys
sys.path.append("/slow/disk")
began = time.monotonic()
errtrack.capture_message("first")
print("first took", "long" if time.monotonic() - began > 0.9 else "a moment")
%s
"""


def test_slow_path_holds_no_event_up(sandbox) -> None:
    """The folders are read beside the capture; events after it have the list."""
    done = sandbox.python(SLOW % "time.sleep(1.5)\nerrtrack.capture_message('second')")
    assert done.stdout == "first took a moment\n", done.stderr
    first, second = sandbox.events()
    assert "modules" not in first
    assert second["modules"]["far"] == "1.0" and second["modules"]["pytest"]


def test_forked_child_of_a_slow_scan_reads_for_itself(sandbox) -> None:
    code = "if os.fork() == 0:\n    os.listdir = real\n    errtrack.capture_message('child')\n    os._exit(0)\nos.wait()"
    assert sandbox.python(SLOW % code).returncode == 0
    child = [e for e in sandbox.events() if e["logentry"]["formatted"] == "child"]
    assert child[0]["modules"]["pytest"]


def test_path_that_the_application_extends_is_read_again(sandbox) -> None:
    sandbox.write("more/later_thing-2.0.dist-info/METADATA", "")
    code = "import errtrack, sys, time; errtrack.capture_message('a'); sys.path.append('more')\n"
    code += "for n in range(20):\n    time.sleep(0.05); errtrack.capture_message('b')"
    sandbox.python(code)
    events = sandbox.events()
    assert "later-thing" not in events[0]["modules"] and events[-1]["modules"]["later-thing"] == "2.0"


def test_broken_metadata_folders_do_no_harm(sandbox) -> None:
    for name in ("odd.dist-info", "-.egg-info", "..dist-info", "fine-1.dist-info"):
        sandbox.write("odd/%s/x" % name, "")
    sandbox.python("import sys; sys.path[:0] = ['odd', 'absent', '']\n" + MESSAGE)
    assert sandbox.event()["modules"]["fine"] == "1"


def test_event_at_the_very_end_has_its_modules(sandbox) -> None:
    """Python 3.12 starts no threads any more in callbacks at exit."""
    sandbox.python("import atexit, errtrack; atexit.register(lambda: errtrack.capture_message('x'))")
    assert sandbox.event()["modules"]["pytest"]


def test_extra_of_a_wrong_type_is_survived_by_argv(sandbox) -> None:
    code = "import errtrack; errtrack.capture_event({'message': 'x', 'extra': 3, 'contexts': 7})"
    assert sandbox.python(code, ERRTRACK_DEBUG="1").stderr == ""
    assert sandbox.event()["contexts"]["runtime"]["name"]


def test_runtime_system_and_device_are_on_every_event(sandbox) -> None:
    import os

    sandbox.python(MESSAGE)
    contexts = sandbox.event()["contexts"]
    version = "%d.%d.%d" % sys.version_info[:3]
    assert (contexts["runtime"]["version"], contexts["runtime"]["build"]) == (
        version,
        sys.version.replace("\n", " "),
    )
    assert contexts["os"]["version"] == os.uname().release
    assert contexts["device"]["arch"] == os.uname().machine


def test_context_that_the_application_set_wins(sandbox) -> None:
    sandbox.python("import errtrack; errtrack.set_context('runtime', {'name': 'mine'})\n" + MESSAGE)
    assert sandbox.event()["contexts"]["runtime"]["name"] == "mine"
