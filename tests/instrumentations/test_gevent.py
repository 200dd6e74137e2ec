"""gevent: a greenlet that dies is one event, with what it said; patched threads are as threads are."""

from __future__ import annotations

import pytest

from web import main_exception

pytest.importorskip("gevent")

CODE = """
import gevent.monkey; gevent.monkey.patch_all()
import errtrack, gevent, sys, threading
errtrack.set_tag("main", "yes")

def fail(kind):
    errtrack.set_tag("own", "yes")
    raise kind

%s
"""


def test_a_greenlet_that_dies_is_one_event_in_its_own_scope(sandbox) -> None:
    done = sandbox.python(CODE % "gevent.spawn(fail, KeyError('x')).join()")
    assert "failed with KeyError" in done.stderr  # gevent's own report
    event = sandbox.event()
    error = main_exception(event)
    assert (error["type"], error["mechanism"]) == ("KeyError", {"type": "gevent", "handled": False})
    assert error["stacktrace"]["frames"][-1]["function"] == "fail"
    assert event["tags"] == {"own": "yes"}


def test_an_end_is_no_failure(sandbox) -> None:
    sandbox.python(CODE % "gevent.spawn(fail, gevent.GreenletExit()).join()")
    assert sandbox.events() == []


def test_switched_off_nothing_is_seen(sandbox) -> None:
    sandbox.python(CODE % "gevent.spawn(fail, KeyError('x')).join()", ERRTRACK_DISABLE="gevent")
    assert sandbox.events() == []


def test_a_patched_thread_is_one_event_with_its_starters_tags(sandbox) -> None:
    sandbox.python(CODE % "t = threading.Thread(target=fail, args=(KeyError('x'),)); t.start(); t.join()")
    event = sandbox.event()
    assert main_exception(event)["mechanism"]["type"] == "threading"
    assert event["tags"] == {"main": "yes", "own": "yes"}
