# SPDX-License-Identifier: MIT
"""A program that closes every descriptor and opens files of its own: none of them is written to, and no event is lost."""

from __future__ import annotations

from typing import Any

import pytest
from sinks import Sink

DAEMON = """
import os, sys, time, errtrack
def capture(text):
    try: raise ValueError(text)
    except ValueError as error: errtrack.capture_exception(error)
for n in range(3): capture("before %d" % n)
time.sleep(float(os.environ["PAUSE"]))
os.closerange(3, 256)
files = [os.open("data-%d" % n, os.O_CREAT | os.O_RDWR) for n in range(40)]
for n in range(3): capture("after %d" % n)
time.sleep(1.5)
capture("later")
print(sum(os.fstat(n).st_size for n in files))
"""

SAID = sorted([*("before %d" % n for n in range(3)), *("after %d" % n for n in range(3)), "later"])


@pytest.mark.parametrize("pause", ["0", "1.5"], ids=["at once", "with the store filled"])
def test_nothing_is_written_into_files_of_the_application(sandbox: Any, pause: str) -> None:

    done = sandbox.python(DAEMON, PAUSE=pause)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
    assert sorted(event["exception"]["values"][-1]["value"] for event in sandbox.events()) == SAID


def test_events_go_on_where_no_other_file_has_taken_the_number(sandbox: Any) -> None:
    closing = DAEMON.replace("range(40)", "range(0)")

    done = sandbox.python(closing, PAUSE="0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
    assert sorted(event["exception"]["values"][-1]["value"] for event in sandbox.events()) == SAID


SOCKETS = """
import os, socket, sys, time, errtrack
def capture(text):
    try: raise ValueError(text)
    except ValueError as error: errtrack.capture_exception(error)
capture("before")
assert errtrack.flush(20)
os.closerange(3, 256)
pairs = [socket.socketpair() for n in range(20)]
capture("after")
assert errtrack.flush(20)
for pair in pairs:
    for one, other in (pair, pair[::-1]):
        one.sendall(b"x")
        other.settimeout(5)
        assert other.recv(100) == b"x"
"""


def test_no_request_of_ours_goes_to_whomever_a_socket_of_the_application_leads(
    sandbox: Any, sink: Sink
) -> None:
    done = sandbox.python(SOCKETS, ERRTRACK_DSN=sink.dsn)
    assert (done.returncode, done.stderr) == (0, "")
    said = [event["exception"]["values"][-1]["value"] for event in sink.events()]
    assert said == ["before", "after"]
