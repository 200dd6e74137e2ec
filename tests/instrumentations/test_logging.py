"""logging: every record that passed the program's own rules, once, and the program's own output as it was."""

from __future__ import annotations

import gc
import logging
import logging.handlers
import queue
import signal
import sys
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import errtrack
from web import Server, main_exception


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    logger = logging.getLogger("shop.cart")
    logger.setLevel(logging.INFO)
    yield logger
    logger.setLevel(logging.NOTSET)
    logger.propagate = True
    logger.disabled = False
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    for one in list(logger.filters):
        logger.removeFilter(one)


def crumbs(event: dict[str, Any]) -> list[dict[str, Any]]:
    return list(event.get("breadcrumbs", {}).get("values", []))


def test_info_is_a_breadcrumb_and_error_an_event(watching, log) -> None:
    watching("logging")
    log.info("a")
    log.error("b %s", 1)
    event = watching.event()
    assert (event["level"], event["logger"]) == ("error", "shop.cart")
    assert event["logentry"] == {"message": "b %s", "formatted": "b 1", "params": [1]}
    (crumb,) = crumbs(event)
    assert (crumb["message"], crumb["level"]) == ("a", "info")
    assert (crumb["category"], crumb["type"]) == ("shop.cart", "log")
    assert "exception" not in event and "threads" not in event
    assert watching.hints[0]["log_record"].name == "shop.cart"
    log.error("c")
    assert [c["message"] for c in crumbs(watching.events[1])] == ["a", "b 1"]


def test_disabled_by_name_nothing_is_touched(watching, log) -> None:
    before = logging.Logger.callHandlers
    watching("logging", disable=["logging"])
    log.error("b")
    assert watching.events == [] and logging.Logger.callHandlers is before


def test_removed_again_nothing_is_left(watching, log) -> None:
    before = logging.Logger.callHandlers
    watching("logging")
    assert logging.Logger.callHandlers is not before
    watching.stop()
    assert logging.Logger.callHandlers is before


def test_critical_is_fatal(watching, log) -> None:
    watching("logging")
    log.critical("LOL")
    event = watching.event()
    assert event["level"] == "fatal"
    assert event["logentry"] == {"message": "LOL", "formatted": "LOL", "params": []}


def test_extra_is_shown_and_nothing_else_is(watching, log) -> None:
    watching("logging")
    handler = logging.StreamHandler(open("/dev/null", "w"))
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    log.info("a", extra={"foo": 42, "request": object(), "password": "hunter2"})
    log.error("b", extra={"foo": 42, 1: 1, "tags": {"tenant": "acme"}})
    handler.stream.close()
    event = watching.event()
    assert event["extra"] == {"foo": 42, "1": 1}
    assert event["tags"] == {"tenant": "acme"}
    assert crumbs(event)[0]["data"] == {
        "foo": 42,
        "request": "<class 'object'>",
        "password": "[Filtered]",
    }


def test_exception_has_its_mechanism_and_the_logged_text(watching, log) -> None:
    watching("logging")
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("cannot divide %s", "it")
    event = watching.event()
    error = main_exception(event)
    assert error["type"] == "ZeroDivisionError"
    assert error["mechanism"] == {"type": "logging", "handled": True}
    assert event["logentry"]["formatted"] == "cannot divide it"
    assert event["level"] == "error"
    assert isinstance(watching.hints[0]["exc_info"][1], ZeroDivisionError)


@pytest.mark.parametrize("how", [{"exc_info": True}, {"stack_info": True}])
def test_stack_is_shown_without_logging_itself(watching, log, how) -> None:
    watching("logging")
    log.error("x", **how)
    log.error("plain")
    shown, plain = watching.events
    (thread,) = shown["threads"]["values"]
    assert thread["stacktrace"]["frames"][-1]["function"] == "test_stack_is_shown_without_logging_itself"
    assert thread["current"] is True
    assert "exception" not in shown and "threads" not in plain


@pytest.mark.parametrize("value", [None, 0, False])
def test_no_exc_info_is_none(watching, log, value) -> None:
    watching("logging")
    log.error("x", exc_info=value)
    assert not {"exception", "threads"} & set(watching.event())


def test_levels_filters_and_disabling_of_the_program_come_first(watching, log) -> None:
    watching("logging", logging_event_level="INFO")
    log.setLevel(logging.WARNING)
    log.info("below")
    log.addFilter(lambda record: "no" not in record.msg)
    log.error("no")
    log.disabled = True
    log.error("disabled")
    log.disabled = False
    log.error("yes")
    assert watching.event()["logentry"]["message"] == "yes"


def test_redaction_by_a_handlers_filter_is_kept(watching, log) -> None:
    watching("logging")
    handler = logging.NullHandler()
    handler.addFilter(lambda record: setattr(record, "msg", "redacted") or True)
    handler.handle = handler.filter  # type: ignore[method-assign,assignment]
    log.addHandler(handler)
    log.error("secret")
    assert watching.event()["logentry"]["formatted"] == "redacted"


def test_ignored_loggers(watching, log) -> None:
    watching("logging", logging_ignore_loggers=["from.settings"])
    errtrack.ignore_logger("  a.b ")
    errtrack.ignore_logger("c.*")
    for name in ("a.b", "a", "c", "c.d", " a.b  ", "from.settings"):
        logging.getLogger(name).error(name)
        logging.getLogger(name).warning(name)
    assert [e["logger"] for e in watching.events] == ["a", "c"]
    assert [c["category"] for c in crumbs(watching.events[1])] == ["a", "a"]
    errtrack.unignore_logger("a.b")
    logging.getLogger("a.b").error("again")
    assert len(watching.events) == 3


def test_warnings_group_by_their_text(watching, log) -> None:
    watching("logging", logging_event_level="WARNING")
    logging.captureWarnings(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(False)
            logging.captureWarnings(True)
            warnings.warn("first", stacklevel=1)
    finally:
        logging.captureWarnings(False)
    entry = watching.event()["logentry"]
    assert "UserWarning: first" in entry["message"]
    assert entry["message"] == entry["formatted"] and entry["params"] == []


@pytest.mark.parametrize("name", ["custom", None])
def test_renamed_levels_stay_what_they_are(watching, log, name) -> None:
    watching("logging")
    logging.addLevelName(logging.ERROR, name)
    try:
        log.error("x")
    finally:
        logging.addLevelName(logging.ERROR, "ERROR")
    event = watching.event()
    assert event["level"] == "error" and event.get("extra", {}) == {}


def test_custom_levels_are_rounded_down_and_keep_their_name(watching, log) -> None:
    watching("logging")
    logging.addLevelName(35, "NOTICE")
    log.log(35, "crumb")
    log.log(45, "event")
    event = watching.event()
    assert event["level"] == "error" and event["extra"] == {"level_name": "Level 45"}
    assert crumbs(event)[0]["level"] == "warning"
    assert crumbs(event)[0]["data"] == {"level_name": "NOTICE"}


def test_malformed_call_is_an_event(watching, log) -> None:
    watching("logging")
    log.addHandler(logging.NullHandler())
    log.propagate = False
    log.error("%d", "x")
    assert watching.event()["logentry"] == {"message": "%d", "formatted": "%d", "params": ["x"]}


def test_report_of_a_malformed_call_is_as_without_us(sandbox) -> None:
    code = "import logging\nlogging.warning('%d', 'x')\n"
    bare = sandbox.python(code, launched=False)
    watched = sandbox.python(code)
    assert "Call stack" in bare.stderr
    assert watched.stderr == bare.stderr


def test_a_line_of_a_handler_names_its_caller_past_our_frame(sandbox) -> None:
    code = """
import logging, sys

class Handler(logging.Handler):
    def emit(self, record):
        if record.name != "inner":
            logging.getLogger("inner").warning("again", stacklevel=2)

logging.basicConfig(stream=sys.stdout, format="%(filename)s:%(lineno)d %(funcName)s")
logging.getLogger().addHandler(Handler())
logging.getLogger("outer").warning("once")
"""
    bare = sandbox.python(code, launched=False)
    assert len(bare.stdout.splitlines()) == 2
    assert sandbox.python(code).stdout == bare.stdout


def test_programs_can_be_traced_and_their_lines_be_counted(sandbox) -> None:
    sandbox.write("app.py", "import logging\nlogging.warning('traced')\n")
    command = (sys.executable, "-m", "trace", "--count", "--missing", "--coverdir", "covered", "app.py")
    bare = sandbox.run(*command, launched=False)
    assert bare.returncode == 0
    watched = sandbox.run(*command)
    assert (watched.returncode, watched.stdout, watched.stderr) == (0, bare.stdout, bare.stderr)


def test_objects_as_messages_and_dicts_as_arguments(watching, log) -> None:
    watching("logging")
    log.error(ValueError("as text"))
    log.error("%(a)s", {"a": 1})
    first, second = watching.events
    assert first["logentry"]["message"] == "as text" and "exception" not in first
    assert second["logentry"] == {"message": "%(a)s", "formatted": "1", "params": {"a": 1}}


def test_handler_that_raises_loses_neither_its_error_nor_the_event(watching, log) -> None:
    watching("logging")

    class Failing(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("handler")

    log.addHandler(Failing())
    with pytest.raises(RuntimeError, match="handler"):
        log.error("x")
    assert watching.event()["logentry"]["message"] == "x"


def test_queue_handler_and_listener_make_one_event(watching, log) -> None:
    watching("logging")
    records: queue.Queue[Any] = queue.Queue()
    log.addHandler(logging.handlers.QueueHandler(records))
    listener = logging.handlers.QueueListener(records, logging.NullHandler())
    listener.start()
    try:
        raise KeyError("k")
    except KeyError:
        log.exception("x")
    listener.stop()
    assert main_exception(watching.event())["type"] == "KeyError"


def test_thresholds_can_be_none(watching, log) -> None:
    watching("logging", logging_event_level="none")
    log.error("only a breadcrumb")
    errtrack.capture_message("m")
    assert [c["message"] for c in crumbs(watching.event())] == ["only a breadcrumb"]


def test_breadcrumbs_can_be_off(watching, log) -> None:
    watching("logging", logging_level="none")
    log.info("x")
    log.error("a")
    log.error("b")
    assert [crumbs(event) for event in watching.events] == [[], []]


def test_logger_without_handlers_and_propagation(watching, log) -> None:
    watching("logging")
    log.propagate = False
    log.warning("crumb")
    log.error("x")
    assert watching.event()["logentry"]["message"] == "x"


def test_before_breadcrumb_sees_the_record(watching, log) -> None:
    seen = []

    def before(crumb: dict[str, Any], hint: dict[str, Any]) -> None:
        seen.append(hint["log_record"].msg)

    watching("logging", before_breadcrumb=before)
    log.info("dropped")
    log.error("x")
    assert seen == ["dropped", "x"] and crumbs(watching.event()) == []


def test_logging_in_our_own_hooks_does_not_recurse(watching, log) -> None:
    events = []

    def before_send(event: dict[str, Any], hint: dict[str, Any]) -> None:
        log.error("from before_send")
        events.append(event)

    watching("logging", before_send=before_send, logging_level="DEBUG")

    class Talkative:
        def __str__(self) -> str:
            log.error("from __str__")
            return "text"

    log.error("with %s", Talkative())
    texts = [event["logentry"]["formatted"] for event in events]
    # The program's handlers may call __str__ as well, and what it logs then is the program's own doing.
    assert texts[-1] == "with text" and "from before_send" not in texts


def test_logging_from_finalisers_and_signal_handlers_in_a_capture_goes_well(watching, log) -> None:
    """Allocation in a capture runs the collector, and a signal may come at any line of it."""

    class Loud:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            log.error("finaliser")

    def on_signal(number: int, frame: Any) -> None:
        log.error("signal")

    watching("logging")
    before = signal.signal(signal.SIGALRM, on_signal)
    threshold = gc.get_threshold()
    gc.set_threshold(20)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        for number in range(60):
            Loud()
            try:
                raise ValueError(number)
            except ValueError:
                log.exception("loop")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.set_threshold(*threshold)
        gc.collect()
    loops = [e for e in watching.events if e["logentry"]["message"] == "loop"]
    assert len(loops) == 60
    assert {e["logentry"]["message"] for e in watching.events} <= {"loop", "finaliser", "signal"}


def test_first_info_does_not_load_the_client(sandbox) -> None:
    done = sandbox.python(
        "import logging, sys\nlogging.basicConfig(level=20)\nlogging.info('x')\n"
        "print('errtrack.client' in sys.modules, 'wrapt' in sys.modules)\nlogging.error('y')\n"
    )
    assert done.stdout == "False False\n"
    assert [c["message"] for c in crumbs(sandbox.event())] == ["x"]


def test_delivery_at_debug_level_makes_no_loop(sandbox) -> None:
    from agent.sink import Sink

    with Sink() as sink:
        sandbox.python(
            "import logging, errtrack\nlogging.basicConfig(level=0)\nlogging.error('x')\nerrtrack.flush(5)\n"
            "logging.error('y')\n",
            ERRTRACK_DSN="http://key@127.0.0.1:%d/1" % sink.port,
            ERRTRACK_LOGGING_LEVEL="debug",
        )
        events = [item for r in sink.accepted for item in r.envelope.items if item[0].get("type") == "event"]
    assert len(events) == 2


FLASK = """
import flask, logging
app = flask.Flask(__name__)

@app.get("/fail")
def fail():
    raise RuntimeError("failed")

@app.get("/told")
def told():
    try:
        1 / 0
    except ZeroDivisionError:
        app.logger.exception("told")
        raise

@app.get("/logged")
def logged():
    app.logger.error("only logged")
    return "fine"

def wsgi(environ, start_response):
    raise KeyError("plain")
"""


@pytest.mark.parametrize(
    "told",
    [
        "logging.error(traceback.format_exc())",
        "logging.error('job %d failed: %s', 7, traceback.format_exc())",
        "logging.error('job failed\\n' + ''.join(traceback.format_exception(*sys.exc_info())))",
    ],
    ids=["alone", "argument", "joined"],
)
def test_traceback_that_is_logged_as_a_text_is_the_exception_at_hand(sandbox, told: str) -> None:
    code = """
import logging, sys, traceback
def fail(amount):
    return amount / 0
try:
    fail(17)
except ZeroDivisionError:
    TOLD
    raise
"""
    sandbox.python(code.replace("TOLD", told))
    event = sandbox.event()
    error = main_exception(event)
    assert (error["type"], error["mechanism"]) == ("ZeroDivisionError", {"type": "logging", "handled": True})
    assert error["stacktrace"]["frames"][-1]["vars"] == {"amount": "17"}
    assert "Traceback (most recent call last)" in event["logentry"]["formatted"]


def test_traceback_of_another_exception_than_the_one_at_hand_stays_a_text(sandbox) -> None:
    code = """
import logging, traceback
try:
    {}["key"]
except KeyError:
    text = traceback.format_exc()
logging.error(text)
try:
    [][0]
except IndexError:
    logging.error(text)
    logging.error("no traceback of an IndexError")
"""
    sandbox.python(code)
    assert [event.get("exception") for event in sandbox.events()] == [None, None, None]


def test_flask_and_gunicorn_log_what_we_saw_and_it_stays_one_event(sandbox) -> None:
    pytest.importorskip("flask")
    pytest.importorskip("gunicorn")
    sandbox.write("app.py", FLASK)
    with Server.gunicorn(sandbox, "app:app") as server:
        assert server.get("/fail")[0] == 500
        assert server.get("/told")[0] == 500
        assert server.get("/logged")[0] == 200
    assert "Exception on /fail" in server.output  # app.logger repeated it
    with Server.gunicorn(sandbox, "app:wsgi") as server:
        server.get("/")
    assert "KeyError: 'plain'" in server.output  # gunicorn.error repeated it
    events = sandbox.events()
    seen = [main_exception(e)["type"] if "exception" in e else e["logentry"]["formatted"] for e in events]
    assert seen == ["RuntimeError", "ZeroDivisionError", "only logged", "KeyError"]
    assert main_exception(events[0])["mechanism"]["type"] == "flask"
    assert events[2]["request"]["url"].endswith("/logged")


STORM = """
import gc, logging, signal, threading

log = logging.getLogger("storm")
log.addHandler(logging.NullHandler())
log.propagate = False

class Loud:
    def __init__(self):
        self.me = self
    def __del__(self):
        log.error("finaliser")

signal.signal(signal.SIGALRM, lambda *args: log.error("signal"))
gc.set_threshold(30)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)

def work():
    for number in range(40):
        Loud()
        try:
            raise ValueError(number)
        except ValueError:
            log.exception("loop")

threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
work()
for thread in threads:
    thread.join()
signal.setitimer(signal.ITIMER_REAL, 0)
print("done")
"""


def test_finalisers_and_signals_from_the_first_capture_to_the_spool_never_deadlock(sandbox) -> None:
    done = sandbox.python(STORM)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    messages = [e["logentry"]["message"] for e in sandbox.events()]
    assert messages.count("loop") == 120
    assert set(messages) <= {"loop", "finaliser", "signal"}


def test_a_breadcrumb_says_what_the_line_said_when_it_was_logged(watching, log) -> None:
    watching("logging")
    log.propagate = False  # to pytest, which keeps records and fails on what does not fit
    log.addHandler(logging.NullHandler())
    cart = ["book"]
    log.info("cart %s", cart)
    log.info("%d of %s and %r", 1, "Ada", None)
    log.info("%d%%", 100)
    log.info("100%")
    log.info("%s is %s", "one")  # does not fit; logging tells the program so
    log.info("%(n)s", {"n": 5})
    log.info(Exception("no text"))
    cart.append("pen")
    log.error("x")
    said = [c["message"] for c in crumbs(watching.event())]
    assert said == [
        "cart ['book']", "1 of Ada and None", "100%", "100%", "%s is %s", "5", "no text",
    ]  # fmt: skip
    log.error("y")
    assert [c["message"] for c in crumbs(watching.events[1])] == [*said, "x"]


def test_a_line_keeps_nothing_alive(watching, log) -> None:
    class Order:
        def __str__(self) -> str:
            return "order 7"

    watching("logging")
    log.propagate = False  # to pytest, which keeps records and fails on what does not fit
    log.addHandler(logging.NullHandler())
    order = Order()
    gone = weakref.ref(order)
    log.info("%s", order, extra={"order": order})
    del order
    gc.collect()
    assert gone() is None
    log.error("x")
    assert crumbs(watching.event())[0]["message"] == "order 7"


def test_a_password_is_filtered_where_the_template_calls_it_one(watching, log) -> None:
    watching("logging")
    log.info("login of %(user)s with %(password)s", {"user": "ann", "password": "hunter2"})
    log.error("login of %(user)s with %(password)s", {"user": "ann", "password": "hunter2"})
    event = watching.event()
    assert crumbs(event)[0]["message"] == "login of ann with [Filtered]"
    assert event["logentry"]["formatted"] == "login of ann with [Filtered]"
    assert event["logentry"]["params"] == {"user": "ann", "password": "[Filtered]"}
