# SPDX-License-Identifier: MIT
"""Modules that a .pth file of the environment imports before us: the start stays cheap, and nothing is missed."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from houses import House, build


@pytest.fixture(scope="module")
def early(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python whose environment imports threading and logging at every start."""
    folder = tmp_path_factory.mktemp("early")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = sysconfig.get_path("purelib", vars={"base": str(folder)})
    Path(site, "early.pth").write_text("import threading, logging\n")
    return str(folder / "bin" / "python")


def test_the_start_loads_no_more_of_ours_than_lays_the_wires(house: House, early: str) -> None:
    ask = "import sys; print(sorted(n for n in sys.modules if n.startswith('errtrack')))"
    ours = ["", ".boot", ".circumstances", ".early"]
    assert house.launch(early, "-c", ask).stdout == "%s\n" % ["errtrack_run" + name for name in ours]


def test_the_methods_look_as_ever(house: House, early: str) -> None:
    ask = (
        "import inspect, logging, threading\n"
        "for f in threading.Thread.start, logging.Logger.callHandlers:\n"
        "    print(f.__name__, f.__qualname__, f.__module__, bool(f.__doc__), inspect.signature(f))"
    )
    bare = house.bare([early, "-c", ask])
    assert bare.stdout
    assert house.launch(early, "-c", ask).stdout == bare.stdout


def test_the_first_thread_that_dies_is_reported(sandbox: Any, early: str) -> None:
    code = (
        "import threading\nthread = threading.Thread(target=lambda: 1 / 0)\nthread.start(); thread.join()\n"
    )
    assert sandbox.run(early, str(sandbox.write("app.py", code))).returncode == 0
    (error,) = sandbox.event()["exception"]["values"]
    assert (error["type"], error["mechanism"]["type"]) == ("ZeroDivisionError", "threading")


def test_the_first_line_that_is_logged_is_reported(sandbox: Any, early: str) -> None:
    code = "import logging\nlogging.getLogger('shop').error('no stock')\n"
    assert sandbox.run(early, str(sandbox.write("app.py", code))).stderr == "no stock\n"
    assert sandbox.event()["logentry"]["message"] == "no stock"


@pytest.mark.parametrize("text", ["", "not Python\n", "raise RuntimeError('damaged')\n"])
def test_what_is_damaged_by_the_first_call_leaves_it_alone(tmp_path: Path, early: str, text: str) -> None:
    house = build(tmp_path, {"threading": ["any"], "logging": ["any"]}, {"any": ""})
    (house.run / "hooking.py").write_text(text)
    code = (
        "import logging, threading\nthread = threading.Thread(target=print, args=('ran',))\n"
        "thread.start(); thread.join()\nlogging.getLogger('shop').error('no stock')\n"
    )
    done = house.launch(early, "-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "no stock\n")


RACE = """
import _thread, logging, time
logger = logging.getLogger("shop")
logger.addHandler(logging.NullHandler())
done = []
def log(number):
    logger.error("no stock of %d" % number)
    done.append(number)
for number in range(8):
    _thread.start_new_thread(log, (number,))
while len(done) < 8:
    time.sleep(0.01)
"""


def test_none_is_missed_of_those_that_are_logged_first_all_at_once(sandbox: Any, early: str) -> None:
    assert sandbox.run(early, str(sandbox.write("app.py", RACE))).returncode == 0
    found = sorted(event["logentry"]["message"] for event in sandbox.events())
    assert found == ["no stock of %d" % number for number in range(8)]


ON_TOP = """
import threading
calls = []
def start(self, *, ours=threading.Thread.start):
    calls.append(self)
    ours(self)
threading.Thread.start = start
for _ in range(2):
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
print(len(calls), threading.Thread.start is start)
"""


def test_what_others_put_on_top_meanwhile_stays_there(sandbox: Any, early: str) -> None:
    done = sandbox.run(early, str(sandbox.write("app.py", ON_TOP)))
    assert done.stdout == "2 True\n"
    assert len(sandbox.events()) == 2
