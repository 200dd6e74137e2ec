# SPDX-License-Identifier: MIT
"""A public function that cannot be loaded just now raises nothing into the application, and loses what it need not."""

from __future__ import annotations

import sys
from typing import Any

import pytest

#: The handler runs in the middle of the loading of the client, as an import of it is told to the audit hook.
SIGNAL = """
import errtrack, signal, sys
said = []
def handler(number, frame):
    try: raise ValueError("handler")
    except ValueError: errtrack.capture_exception()
    errtrack.set_tag("a", "b")
    with errtrack.new_scope() as scope: scope.set_tag("c", "d")
    said.append("went on")
def hook(event, args):
    if event == "import" and args[0] == "errtrack.client" and not said: signal.raise_signal(signal.SIGUSR1)
signal.signal(signal.SIGUSR1, handler)
sys.addaudithook(hook)
try: raise ValueError("program")
except ValueError as error: errtrack.capture_exception(error)
print(said)
"""

TORN_DOWN = """
import builtins, errtrack, os
class Late:
    def __del__(self):
        errtrack.set_tag("a", "b")
        with errtrack.isolation_scope(): pass
        errtrack.monitor("job")(os.write)(1, b"went on")
builtins.late = Late()
builtins.late.me = builtins.late
"""

NO_DESCRIPTORS = """
import logging, errtrack, os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
keep = []
try:
    while True: keep.append(os.open("/dev/null", os.O_RDONLY))
except OSError as error: errtrack.capture_exception(error)
try: 1 / 0
except ZeroDivisionError as error: errtrack.capture_exception(error)
raise ValueError("the end")
"""


def values(sandbox: Any) -> list[str]:
    return [event["exception"]["values"][-1]["type"] for event in sandbox.events()]


@pytest.mark.skipif(not hasattr(__import__("signal"), "SIGUSR1"), reason="no such signal")
def test_signal_handler_in_the_middle_of_the_loading_is_heard_afterwards(sandbox: Any) -> None:
    done = sandbox.python(SIGNAL)
    assert (done.returncode, done.stdout, done.stderr) == (0, "['went on']\n", "")
    said = [event["exception"]["values"][-1]["value"] for event in sandbox.events()]
    assert sorted(said) == ["handler", "program"]


def test_finaliser_at_the_end_of_the_interpreter_goes_on(sandbox: Any) -> None:
    done = sandbox.python(TORN_DOWN)
    assert (done.returncode, done.stdout, done.stderr) == (0, "went on", "")


@pytest.mark.skipif(sys.platform != "linux", reason="what is set aside is counted for Linux")
def test_first_event_without_a_descriptor_left_is_kept_and_so_is_the_last(sandbox: Any) -> None:
    done = sandbox.python(NO_DESCRIPTORS)
    assert done.returncode == 1 and "ValueError: the end\n" in done.stderr
    # The store wants descriptors, too; whether it was tried before the end is a matter of time.
    ours = [line for line in done.stderr.splitlines() if line.startswith("errtrack: ")]
    assert len(ours) < 2 and all("events wait in the spool" in line for line in ours)
    assert values(sandbox) == ["OSError", "ZeroDivisionError", "ValueError"]
