"""Errors nobody can catch: reported by sys.unraisablehook, printed as ever, and never kept alive."""

from __future__ import annotations

import sys

import pytest

from web import main_exception

FINALISER = """
class Resource:
    def __del__(self):
        amount = 17
        raise ValueError("not closed")

%s
print("goes on")
"""


def test_failing_finaliser_is_reported_and_printed_as_ever(sandbox) -> None:
    code = FINALISER % "resource = Resource(); del resource"
    bare = sandbox.python(code, launched=False)
    watched = sandbox.python(code)
    assert watched.returncode == bare.returncode == 0
    assert watched.stdout == bare.stdout == "goes on\n"

    def without_address(text: str) -> list[str]:
        return [line.split(" at 0x")[0] for line in text.splitlines()]

    assert without_address(watched.stderr) == without_address(bare.stderr)
    assert "Exception ignored" in watched.stderr
    error = main_exception(sandbox.event())
    assert (error["type"], error["value"]) == ("ValueError", "not closed")
    mechanism = error["mechanism"]
    assert (mechanism["type"], mechanism["handled"]) == ("unraisablehook", False)
    assert "__del__" in str(mechanism["data"])
    assert error["stacktrace"]["frames"][-1]["vars"]["amount"] == "17"


def test_raw_thread_is_reported(sandbox) -> None:
    code = """
import _thread, sys, time
def work(order):
    1 / order
previous, finished = sys.unraisablehook, []
sys.unraisablehook = lambda given: (previous(given), finished.append(1))
_thread.start_new_thread(work, (0,))
deadline = time.monotonic() + 20
while not finished and time.monotonic() < deadline:
    time.sleep(0.01)
"""
    done = sandbox.python(code)
    assert "ZeroDivisionError" in done.stderr
    error = main_exception(sandbox.event())
    assert (error["type"], error["mechanism"]["type"]) == ("ZeroDivisionError", "unraisablehook")
    assert "work" in str(error["mechanism"]["data"])


@pytest.mark.skipif(sys.version_info < (3, 10), reason="3.9 prints these without asking a hook")
def test_callback_at_exit_is_reported_before_the_last_flush(sandbox) -> None:
    code = "import atexit\n@atexit.register\ndef close():\n    {}['session']\n"
    done = sandbox.python(code)
    assert "KeyError: 'session'" in done.stderr
    error = main_exception(sandbox.event())
    assert (error["type"], error["mechanism"]["type"]) == ("KeyError", "unraisablehook")


def test_storm_of_one_place_is_one_event_and_two_places_are_two(sandbox) -> None:
    code = FINALISER % "for _ in range(50): Resource()"
    code += "class Other:\n    def __del__(self): raise ValueError('other')\nOther()\n"
    assert sandbox.python(code).stderr.count("Exception ignored") == 51
    assert sorted(main_exception(e)["value"] for e in sandbox.events()) == ["not closed", "other"]


def test_hook_of_the_application_in_front_of_ours_is_called_once(sandbox) -> None:
    code = """
import sys
previous = sys.unraisablehook
def hook(given):
    print("application saw", given.exc_type.__name__)
    previous(given)
sys.unraisablehook = hook
"""
    done = sandbox.python(code + FINALISER % "Resource()")
    assert done.stdout == "application saw ValueError\ngoes on\n"
    assert done.stderr.count("Exception ignored") == 1
    assert len(sandbox.events()) == 1


def test_ctrl_c_and_errors_without_traceback_are_no_events(sandbox) -> None:
    code = """
import sys
from types import SimpleNamespace as given
class Stopped:
    def __del__(self): raise KeyboardInterrupt
Stopped()
for value in (None, ValueError("never raised")):
    sys.unraisablehook.errtrack_previous, shown = lambda given: None, sys.unraisablehook.errtrack_previous
    sys.unraisablehook(given(exc_type=ValueError, exc_value=value, exc_traceback=None, err_msg=None, object=None))
"""
    assert sandbox.python(code).returncode == 0
    assert sandbox.events() == []


def test_nothing_is_kept_alive_nor_brought_back(sandbox) -> None:
    code = """
import gc, weakref
class Big: pass
class Resource:
    def __repr__(self): print("asked"); return "x"
    def __del__(self):
        big = self.big
        raise ValueError("not closed")
resource = Resource()
resource.big = Big()
mark = weakref.ref(resource.big)
import sys; sys.unraisablehook.errtrack_previous = lambda given: None
del resource
gc.collect()
print(mark())
"""
    assert sandbox.python(code).stdout == "None\n"
    assert len(sandbox.events()) == 1


def test_failing_finaliser_inside_of_a_capture_does_not_recurse(sandbox) -> None:
    code = FINALISER % ""
    code += "import errtrack\nerrtrack.init(before_send=lambda event, hint: (Resource(), event)[1])\n"
    code += "errtrack.capture_message('x')\nprint('done')"
    done = sandbox.python(code)
    assert done.stdout == "goes on\ndone\n" and "Exception ignored" in done.stderr
    assert [e["logentry"]["formatted"] for e in sandbox.events()] == ["x"]


def test_disabled_by_name_the_hook_is_the_interpreters_own(sandbox) -> None:
    code = "import sys; print(sys.unraisablehook is sys.__unraisablehook__)\n" + FINALISER % "Resource()"
    assert sandbox.python(code, ERRTRACK_DISABLE="unraisablehook").stdout == "True\ngoes on\n"
    assert sandbox.events() == []
