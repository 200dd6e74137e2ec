"""A signal handler of the application that raises, such as a time limit, is the application's: wherever it strikes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "bootstrap"))

from houses import VERSIONS, python_of


@pytest.fixture(params=VERSIONS)
def any_version(request: pytest.FixtureRequest) -> str:
    return python_of(request.param)


PROGRAM = """
import functools, json, logging, signal, subprocess, sys

class Late({"Exception": Exception, "KeyboardInterrupt": KeyboardInterrupt}[sys.argv[3]]):
    pass

def late(*args):
    raise Late

class Limit:
    def __call__(self, number, frame):
        late()

    def strike(self, number, frame):
        late()

HANDLERS = {"function": late, "object": Limit(), "method": Limit().strike, "partial": functools.partial(late, 1)}

def fail():
    amounts = {"apples": 3, "pears": [1, 2, 3]}
    try:
        sum(amounts["pears"]) / 0
    except ZeroDivisionError:
        logging.exception("failed with %s", amounts, extra={"amounts": amounts})

def attempt(number):
    \"\"\"What comes of a signal at the call with this number of a function of errtrack.\"\"\"
    calls = 0
    def watch(frame, what, arg):
        nonlocal calls
        name = frame.f_globals.get("__name__") or ""
        if what == "call" and name.startswith("errtrack"):
            calls += 1
            if calls == number:
                signal.raise_signal(signal.SIGUSR1)
    sys.setprofile(watch)
    try:
        fail()
    except Late:
        return "raised"
    finally:
        sys.setprofile(None)
    return "swallowed" if calls >= number else "over"

logging.getLogger().addHandler(logging.NullHandler())
fail()
signal.signal(signal.SIGUSR1, HANDLERS[sys.argv[1]])
step = int(sys.argv[2])
outcomes = {}
number = 1
while outcomes.setdefault(number, attempt(number)) != "over":
    number += step
signal.signal(signal.SIGUSR1, signal.SIG_DFL)
logging.error("afterwards")
print(json.dumps([list(outcomes.values()).count(what) for what in ("raised", "swallowed", "over")]))
print([number for number, what in outcomes.items() if what == "swallowed"])
"""


@pytest.mark.parametrize(
    "handler, step, kind",
    [
        ("function", 1, "Exception"),
        ("object", 31, "Exception"),
        ("method", 31, "Exception"),
        ("partial", 31, "Exception"),
        ("function", 1, "KeyboardInterrupt"),
    ],
)
def test_a_handler_that_strikes_in_a_capture_reaches_the_application(
    sandbox, handler: str, step: int, kind: str
) -> None:
    import sys

    sandbox.write("app.py", PROGRAM)
    unbounded = {"ERRTRACK_MAX_EVENTS_PER_MINUTE": "0", "ERRTRACK_MAX_CAPTURE_CPU": "0"}
    done = sandbox.run(sys.executable, "app.py", handler, str(step), kind, timeout=120, **unbounded)
    raised, swallowed, over = json.loads(done.stdout.splitlines()[0])
    assert (swallowed, over) == (0, 1), done.stdout
    assert raised * step > 300
    messages = [event.get("logentry", {}).get("formatted") for event in sandbox.events()]
    assert "afterwards" in messages


ENDS = """
import signal, sys
left = int(sys.argv[1])
def watch(frame, what, arg):
    global left
    if what == "call" and (frame.f_globals.get("__name__") or "").startswith("errtrack"):
        left -= 1
        if not left:
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)
sys.setprofile(watch)
raise ValueError("why it ends")
"""


@pytest.mark.parametrize("call", [30, 100, 400])
def test_who_interrupts_the_report_of_what_ended_the_program_sees_that_all_the_same(
    sandbox, any_version: str, call: int
) -> None:
    sandbox.write("app.py", ENDS)
    done = sandbox.run(any_version, "app.py", str(call))
    bare = sandbox.run(any_version, "app.py", str(call), launched=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", bare.stderr)
