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
