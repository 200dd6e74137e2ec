"""What leaves the process when nothing is traced just now, in unusual ways, or by way of other libraries."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from test_interpreter import traced
from test_stdlib import CLIENT, PROCESS, Answers, crumbs_of, trace_of

from errtrack import options
from errtrack_instrumentations import _outgoing


@pytest.fixture
def answers() -> Iterator[Answers]:
    server = Answers()
    yield server
    server.close()


@pytest.mark.parametrize("rate", ["0", "1"])
def test_outside_of_transactions_the_trace_goes_along_with_tracing_on(sandbox, answers, rate) -> None:
    code = "ask(here, '/status/200')\nimport subprocess, sys\n"
    code += "print(eval(subprocess.run([sys.executable, '-S', '-c', 'import os; print(dict(os.environ))'],"
    code += "stdout=subprocess.PIPE, text=True).stdout).get('SUBPROCESS_SENTRY_TRACE'))"
    done = sandbox.python(CLIENT % (answers.port, code), ERRTRACK_TRACES_SAMPLE_RATE=rate)
    trace = sandbox.event()["contexts"]["trace"]
    (sent,), baggage = trace_of(answers.headers[0])
    assert sent.split("-")[0] == trace["trace_id"] and "sentry-trace_id=%s" % trace["trace_id"] in baggage[0]
    assert done.stdout.strip().split("-")[0] == trace["trace_id"]


def test_targets_are_searched_for_in_the_url() -> None:
    settings = _outgoing.Settings(
        options.resolve({}, {"trace_propagation_targets": ["https://example.com/", r"\.test(:\d+)?/v\d$"]})
    )
    assert [
        settings.reaches(url)
        for url in (
            "https://example.com/", "https://example.com/a?b", "https://example.com", "http://example.com/",
            "http://api.test:80/v2", "http://api.test/v2/x",
        )
    ] == [True, True, False, False, True, False]  # fmt: skip


def test_an_answer_asked_for_in_an_outdated_way_is_noted_once(sandbox, answers) -> None:
    code = """
here.request("GET", "/status/200")
try: here.getresponse(buffering=True)
except TypeError: print("TypeError")
print(here.getresponse().read())
"""
    crumbs = crumbs_of(sandbox, CLIENT % (answers.port, code))
    assert [c["data"]["http.response.status_code"] for c in crumbs] == [200]


def test_https_and_default_ports_and_passwords_in_urls(sandbox, answers) -> None:
    code = """
import http.client
for connection, target in (
    (http.client.HTTPSConnection("127.0.0.1", %d, timeout=5), "/tls"),
    (http.client.HTTPConnection("127.0.0.1", %d, timeout=5), "http://joe:hunter2@shop.test/way"),
):
    try: ask(connection, target)
    except OSError as error: pass
""" % (answers.port, answers.port)
    crumbs = crumbs_of(sandbox, CLIENT % (answers.port, code))
    assert crumbs[0]["data"]["url"] == "https://127.0.0.1:%d/tls" % answers.port
    assert crumbs[1]["data"]["url"] == "http://[Filtered]:[Filtered]@shop.test/way"
    assert "http.response.status_code" not in crumbs[0]["data"]  # no certificate: refused before the request


WAYS = """
import asyncio, ctypes, os
async def main():
    process = await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", "pass", "asyncio")
    await process.wait()
    errtrack.capture_message("in the task")
asyncio.run(main())
subprocess.call([sys.executable, "-S", "-c", "pass", "call"])
subprocess.check_call([sys.executable, "-S", "-c", "pass", "check_call"])
subprocess.check_output([sys.executable, "-S", "-c", "pass", "check_output"])
subprocess.getoutput("echo getoutput")
os.system("true")
class Own(subprocess.Popen):
    def __init__(self, program, *, colour): super().__init__([program, "-S", "-c", "pass", colour])
Own(sys.executable, colour="subclass").wait()
subprocess.run([sys.executable, "-S", "-c", "pass", "x" * 9000])
"""


def test_every_way_to_start_a_process_is_one_breadcrumb(sandbox) -> None:
    done = sandbox.python(PROCESS % WAYS)
    assert (done.returncode, done.stderr) == (0, "")
    task, rest = (event["breadcrumbs"]["values"] for event in sandbox.events())
    assert [crumb["message"].split()[-1] for crumb in task] == ["asyncio"]
    messages = [crumb["message"] for crumb in rest]
    assert [message.split()[-1].strip("'") for message in messages[:-1]] == [
        "call", "check_call", "check_output", "getoutput", "subclass",
    ]  # fmt: skip
    assert len(messages[-1]) <= 4096 and messages[-1].endswith("xxx")


def test_processes_of_gevent_are_seen(sandbox) -> None:
    pytest.importorskip("gevent")
    code = "import gevent.monkey; gevent.monkey.patch_all()\n" + PROCESS % (
        "print(type(subprocess.Popen).__name__, subprocess.Popen.__module__)\n"
        "print(subprocess.run(CHILD, stdout=subprocess.PIPE, text=True).stdout)"
    )
    done = sandbox.python(code)
    assert done.returncode == 0, done.stderr
    assert "gevent" in done.stdout.splitlines()[0] and "SUBPROCESS_SENTRY_TRACE" in done.stdout
    crumbs = sandbox.event()["breadcrumbs"]["values"]
    assert [c["category"] for c in crumbs] == ["subprocess"]


def test_without_us_or_switched_off_a_process_gets_what_it_is_given(sandbox) -> None:
    done = sandbox.python(
        PROCESS % "print(subprocess.run(CHILD, env={}, stdout=-1).stdout)", ERRTRACK_ENABLED="0"
    )
    assert b"TRACE" not in done.stdout.encode() and done.returncode == 0


def test_a_trace_taken_over_from_the_environment_goes_no_further_by_itself(sandbox) -> None:
    """A grandchild gets the trace of whoever started it."""
    trace, parent = "7" * 32, "8" * 16
    code = PROCESS % "print(subprocess.run(CHILD, stdout=-1, text=True).stdout)"
    done = sandbox.python(code, SUBPROCESS_SENTRY_TRACE="%s-%s" % (trace, parent))
    own = sandbox.event()["contexts"]["trace"]
    assert (own["trace_id"], own["parent_span_id"]) == (trace, parent)
    child = eval(done.stdout)
    for name in ("SUBPROCESS_SENTRY_TRACE", "ERRTRACK_TRACE"):
        assert child[name] == "%s-%s" % (trace, own["span_id"])


SOCKETS = """
import errtrack, socket, sys
server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen(8)
port = server.getsockname()[1]
with errtrack.start_transaction(name="work", op="test"):
    socket.create_connection(("127.0.0.1", port), timeout=2.5, source_address=("127.0.0.1", 0)).close()
    if sys.version_info >= (3, 11):
        socket.create_connection(address=("127.0.0.1", port), all_errors=True).close()
    socket.getaddrinfo(b"127.0.0.1", b"80")
    try: socket.getaddrinfo("name.invalid", 80)
    except socket.gaierror: pass
socket.getaddrinfo("127.0.0.1", 80)
server.close()
print(port)
"""


def test_connections_and_lookups_are_spans(sandbox) -> None:
    (work,) = traced(sandbox, SOCKETS, ERRTRACK_ENABLE="socket")
    spans = work["spans"]
    assert {span["origin"] for span in spans} == {"auto.socket.socket"}
    connections = [span for span in spans if span["op"] == "socket.connection"]
    lookups = [span for span in spans if span["op"] == "socket.dns"]
    assert len(connections) == (2 if sys.version_info >= (3, 11) else 1)
    first = connections[0]
    assert first["data"]["address"] == first["description"] and first["data"]["timeout"] == "2.5"
    assert first["data"]["source_address"] == "127.0.0.1:0"
    # A connection looks its host up.
    assert [span["parent_span_id"] for span in lookups[: len(connections)]] == [
        s["span_id"] for s in connections
    ]
    assert [span["description"] for span in lookups[-2:]] == ["127.0.0.1:80", "name.invalid:80"]
    assert lookups[-1]["status"] == "internal_error"
    assert {key: lookups[-2]["data"][key] for key in ("host", "port")} == {"host": "127.0.0.1", "port": "80"}


def test_sockets_are_no_spans_unless_asked_for(sandbox) -> None:
    (work,) = traced(sandbox, SOCKETS)
    assert not work["spans"]
