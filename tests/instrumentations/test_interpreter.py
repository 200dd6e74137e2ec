"""What several instrumentations of the interpreter do together, and what each leaves as it was."""

from __future__ import annotations

import ast
import gc
import json
import logging
import sys
import weakref
from typing import Any

import pytest

from errtrack_instrumentations.dedupe import is_repeat
from web import main_exception

SPY = """
import json
def keep(event, hint):
    with open("transactions", "a") as file:
        file.write(json.dumps({k: event.get(k) for k in ("transaction", "contexts", "spans", "extra", "modules")}) + "\\n")
    return event
"""


def traced(sandbox: Any, code: str, **env: str) -> list[dict[str, Any]]:
    """Run *code* with tracing on; its transactions."""
    sandbox.write("spy.py", SPY)
    more = {"ERRTRACK_TRACES_SAMPLE_RATE": "1", "ERRTRACK_BEFORE_SEND_TRANSACTION": "spy:keep"}
    done = sandbox.python(code, **{**more, "PYTHONPATH": str(sandbox.folder), "ERRTRACK_DEBUG": "1", **env})
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    kept = sandbox.folder / "transactions"
    return [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []


TRIGGERS = [
    ("logging", "Logger.callHandlers"),
    ("threading", "Thread.start"),
    ("threading", "Thread._bootstrap_inner"),
    ("concurrent.futures.thread", "_WorkItem.__init__"),
    ("concurrent.futures.thread", "_WorkItem.run"),
    ("concurrent.futures._base", "Future.set_exception"),
    ("concurrent.futures._base", "Future.exception"),
    ("subprocess", "Popen.__init__"),
    ("subprocess", "Popen.wait"),
    ("subprocess", "Popen.communicate"),
    ("http.client", "HTTPConnection.endheaders"),
    ("http.client", "HTTPConnection.getresponse"),
    ("http.client", "HTTPResponse._close_conn"),
    ("asyncio.base_events", "BaseEventLoop.call_exception_handler"),
    ("asyncio.base_events", "BaseEventLoop.create_task"),
    ("multiprocessing.process", "BaseProcess._bootstrap"),
]

PATCHED = """
import importlib, sys
rows = []
for name, attribute in %r:
    function = importlib.import_module(name)
    for part in attribute.split("."):
        function = getattr(function, part)
    rows.append((name, attribute, function))
loaded = [n for n in ("wrapt", "importlib.metadata") if n in sys.modules]
import inspect
for name, attribute, function in rows:
    looks = [getattr(function, a) for a in ("__name__", "__qualname__", "__module__", "__doc__")]
    print((name, attribute, hasattr(function, "__wrapped__"), *looks, str(inspect.signature(function))))
print(loaded)
"""


def test_each_trigger_is_patched_without_wrapt_and_looks_as_ever(sandbox) -> None:
    code = PATCHED % TRIGGERS
    *bare, bare_loaded = map(ast.literal_eval, sandbox.python(code, launched=False).stdout.splitlines())
    traced = sandbox.python(
        code, ERRTRACK_TRACES_SAMPLE_RATE="1"
    )  # what only traces need is not patched otherwise
    *ours, loaded = map(ast.literal_eval, traced.stdout.splitlines())
    assert loaded == bare_loaded
    assert [row[:2] for row in ours if not row[2]] == []
    assert [row[:2] + row[3:] for row in ours] == [row[:2] + row[3:] for row in bare]


def test_plain_programs_never_load_wrapt_nor_asyncio(sandbox) -> None:
    code = """
import sys, threading, logging, subprocess, http.client, errtrack
from concurrent.futures.thread import ThreadPoolExecutor
logging.basicConfig(level="INFO", stream=open("log", "w"))
before = {"wrapt", "asyncio", "importlib.metadata", "platform"} & set(sys.modules)
logging.info("a")
thread = threading.Thread(target=int); thread.start(); thread.join()
with ThreadPoolExecutor(1) as pool: pool.submit(int).result()
subprocess.run([sys.executable, "-S", "-c", "pass"])
try: http.client.HTTPConnection("127.0.0.1", 9, timeout=1).request("GET", "/")
except OSError: pass
logging.error("b")
errtrack.flush(5)
print({"wrapt", "asyncio", "importlib.metadata", "platform"} & set(sys.modules) == before)
print("wrapt" in sys.modules, "asyncio" in sys.modules)
"""
    assert sandbox.python(code).stdout == "True\nFalse False\n"


def test_logged_and_raised_to_the_top_is_one_event_and_the_first_wins(sandbox) -> None:
    code = "import logging\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    logging.exception('told')\n    raise\n"
    assert sandbox.python(code).returncode == 1
    assert main_exception(sandbox.event())["mechanism"] == {"type": "logging", "handled": True}


def test_the_previous_hook_gets_the_very_same_objects_once_and_we_report(sandbox) -> None:
    code = """
import atexit, sys
seen = []
sys.excepthook.errtrack_previous = lambda *given: seen.append(given)
atexit.register(lambda: print(len(seen), [type(part).__name__ for part in seen[0]], seen[0][1] is error))
error = ValueError("x")
raise error
"""
    done = sandbox.python(code)
    assert (done.stdout, done.stderr) == ("1 ['type', 'ValueError', 'traceback'] True\n", "")
    assert main_exception(sandbox.event())["value"] == "x"


def test_at_a_prompt_the_traceback_is_printed_as_ever(sandbox) -> None:
    code = "import sys; sys.ps1 = '>>> '; 1 / 0"
    bare = sandbox.python(code, launched=False)
    for always in ("0", "1"):
        assert sandbox.python(code, ERRTRACK_EXCEPTHOOK_ALWAYS_RUN=always).stderr == bare.stderr


def test_messages_are_no_repeats_of_each_other(sandbox) -> None:
    sandbox.python("import errtrack\nfor _ in range(2): errtrack.capture_message('x')\n")
    assert len(sandbox.events()) == 2


def test_exceptions_are_let_go_by_dedupe() -> None:
    class Own(Exception):
        pass

    error = Own()
    assert not is_repeat(error, None, "0" * 32)
    gone = weakref.ref(error)
    del error
    gc.collect()
    assert gone() is None


def test_an_effect_shows_the_cause_that_was_reported_before(sandbox) -> None:
    code = """
import errtrack
try:
    1 / 0
except ZeroDivisionError as error:
    errtrack.capture_exception(error)
    raise RuntimeError("effect") from error
"""
    sandbox.python(code)
    first, second = sandbox.events()
    assert [v["type"] for v in first["exception"]["values"]] == ["ZeroDivisionError"]
    assert [v["type"] for v in second["exception"]["values"]] == ["ZeroDivisionError", "RuntimeError"]


def test_failing_weak_reference_callback_is_reported(sandbox) -> None:
    code = """
import weakref
class Thing: pass
def gone(reference): 1 / 0
thing = Thing()
reference = weakref.ref(thing, gone)
del thing
print("goes on")
"""
    done = sandbox.python(code)
    assert (done.returncode, done.stdout) == (0, "goes on\n") and "ZeroDivisionError" in done.stderr
    error = main_exception(sandbox.event())
    assert (error["type"], error["mechanism"]["type"]) == ("ZeroDivisionError", "unraisablehook")


def test_transactions_have_command_line_and_runtime_but_no_modules(sandbox) -> None:
    code = "import errtrack\nwith errtrack.start_transaction(name='work', op='test'): pass\n"
    (work,) = traced(sandbox, code)
    assert work["extra"]["sys.argv"][0].endswith("app.py")
    assert work["contexts"]["runtime"]["version"] == "%d.%d.%d" % sys.version_info[:3]
    assert work["contexts"]["runtime"]["name"] == "CPython"
    assert work["modules"] is None


def test_installed_packages_are_read_once(sandbox) -> None:
    code = """
import errtrack, os
real, asked = os.listdir, []
os.listdir = lambda path=".": asked.append(path) or real(path)
for _ in range(3): errtrack.capture_message("x")
import sys
site = [p for p in sys.path if p.endswith("site-packages")][-1]
print(asked.count(site))
"""
    assert sandbox.python(code).stdout == "1\n"
    assert all(event["modules"] for event in sandbox.events()[1:])


def test_malformed_calls_are_breadcrumbs_too(watching) -> None:
    watching("logging")
    log = logging.getLogger("malformed")
    log.addHandler(logging.NullHandler())
    log.propagate = False
    try:
        log.warning("%d", "x")
        log.error("next")
    finally:
        log.propagate = True
    (crumb,) = watching.event()["breadcrumbs"]["values"]
    assert (crumb["message"], crumb["level"]) == ("%d", "warning")


def test_breadcrumb_has_the_time_of_its_record(watching) -> None:
    from datetime import datetime, timezone

    watching("logging")
    log = logging.getLogger("timed")
    record = log.makeRecord("timed", logging.WARNING, __file__, 1, "early", (), None)
    record.created = 86400.25
    log.handle(record)
    log.error("x")
    (crumb,) = watching.event()["breadcrumbs"]["values"]
    told = crumb["timestamp"]
    if isinstance(told, str):
        told = datetime.fromisoformat(told.replace("Z", "+00:00")).astimezone(timezone.utc).timestamp()
    assert told == 86400.25


def test_empty_exc_info_of_any_kind_is_none(watching) -> None:
    watching("logging")
    logging.getLogger("odd").error("x", exc_info="")  # type: ignore[arg-type]
    assert not {"exception", "threads"} & set(watching.event())


def test_a_record_that_is_handled_again_is_an_event_of_its_own(watching) -> None:
    """As receivers of sockets do with those of other processes."""
    watching("logging")
    record = logging.LogRecord("remote", logging.ERROR, "x.py", 1, "from afar", (), None)
    logging.getLogger("remote").handle(record)
    assert watching.event()["logentry"]["formatted"] == "from afar"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="filters may replace records from Python 3.12 on")
def test_the_record_that_a_filter_puts_in_place_is_the_one_seen(watching) -> None:
    watching("logging")
    log = logging.getLogger("replaced")

    def replace(record: logging.LogRecord) -> logging.LogRecord:
        return logging.LogRecord(record.name, record.levelno, "x.py", 1, "in its place", (), None)

    log.addFilter(replace)
    try:
        log.error("secret")
    finally:
        log.removeFilter(replace)
    assert watching.event()["logentry"]["formatted"] == "in its place"


def test_levels_below_the_thresholds_of_loggers_are_nothing(watching) -> None:
    watching("logging", logging_event_level="DEBUG")
    log = logging.getLogger("levels")
    for level in (logging.WARNING, logging.ERROR):
        log.setLevel(level)
        log.log(level - 10, "below")
    log.setLevel(logging.NOTSET)
    logging.disable(logging.ERROR)
    try:
        log.error("disabled altogether")
    finally:
        logging.disable(logging.NOTSET)
    assert watching.events == []


SPANS = """
import asyncio, errtrack
from concurrent.futures import ThreadPoolExecutor

def work(number):
    with errtrack.start_span(op="test", name="span %d" % number):
        pass

with errtrack.start_transaction(name="work", op="test"):
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(4)))
"""


@pytest.mark.parametrize(("propagate", "count"), [("1", 4), ("0", 0)])
def test_spans_of_pool_tasks_are_the_submitters_only_with_propagation(sandbox, propagate, count) -> None:
    works = traced(sandbox, SPANS, ERRTRACK_THREADING_PROPAGATE_SCOPE=propagate)
    (work,) = [one for one in works if one["transaction"] == "work"]
    assert len(work["spans"] or ()) == count


TASKS = """
import asyncio, errtrack
async def inner():
    with errtrack.start_span(op="test", name="in it"):
        await asyncio.sleep(0.01)
async def failing():
    raise ValueError
async def endless():
    await asyncio.sleep(60)
async def main():
    await asyncio.create_task(inner())
    await asyncio.gather(failing(), return_exceptions=True)
    task = asyncio.create_task(endless())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    print(errtrack.get_current_span().op)
async def work():
    with errtrack.start_transaction(name="work", op="test"):
        await main()
asyncio.run(work())
"""


def test_tasks_are_spans_when_asked_for(sandbox) -> None:
    (work,) = traced(sandbox, TASKS, ERRTRACK_ASYNCIO_TASK_SPANS="1")
    spans = {span["description"]: span for span in work["spans"]}
    assert {name: span.get("status") for name, span in spans.items() if name != "in it"} == {
        "inner": None, "failing": "internal_error", "endless": "cancelled",
    }  # fmt: skip
    assert {spans[n]["parent_span_id"] for n in ("inner", "failing", "endless")} == {
        work["contexts"]["trace"]["span_id"]
    }
    assert (spans["inner"]["op"], spans["inner"]["origin"]) == ("function", "auto.function.asyncio")
    assert spans["in it"]["parent_span_id"] == spans["inner"]["span_id"]


def test_tasks_are_no_spans_unless_asked_for(sandbox) -> None:
    (work,) = traced(sandbox, TASKS)
    assert [span["description"] for span in work["spans"]] == ["in it"]


def test_daemon_threads_at_the_end_are_neither_events_nor_words(sandbox) -> None:
    code = """
import errtrack, threading, time
def spin():
    while True:
        try: raise ValueError
        except ValueError: errtrack.add_breadcrumb(message="x")
for _ in range(3): threading.Thread(target=spin, daemon=True).start()
errtrack.capture_message("x")
time.sleep(0.05)
"""
    done = sandbox.python(code)
    assert (done.returncode, done.stderr) == (0, "")
    assert [e["logentry"]["formatted"] for e in sandbox.events()] == ["x"]
