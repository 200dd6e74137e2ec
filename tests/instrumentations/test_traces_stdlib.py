"""HTTP requests and started processes as spans (stdlib), functions named by functions_to_trace (tracing)."""

from __future__ import annotations

import http.server
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from web import free_port

SPY = """
import json
def keep(event, hint):
    with open("transactions", "a") as file:
        file.write(json.dumps({key: event.get(key) for key in ("transaction", "contexts", "spans")}) + "\\n")
    return event
"""

#: What the program does; each step is a transaction of that name.
STEPS = """
import http.client, subprocess, sys, time, urllib.request
import errtrack

PORT, FREE, MUTE = %d, %d, %d

def step(name, function):
    with errtrack.start_transaction(name=name, op="test"):
        try:
            function()
        except Exception as error:
            print(name, type(error).__name__, flush=True)

def ask(path, read=True, port=PORT, timeout=20, tunnel=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    if tunnel:
        connection.set_tunnel(tunnel)
    connection.request("GET", path)
    answer = connection.getresponse()
    if read:
        answer.read()
    return answer

step("query", lambda: ask("/200?token=hunter2&a=b#part"))
for status in (301, 404, 429, 500, 503):
    step(str(status), lambda: ask("/%%d" %% status))
step("refused", lambda: ask("/", port=FREE))
step("mute", lambda: ask("/", port=MUTE, timeout=0.3))
step("dripping", lambda: ask("/drip"))
step("by line", lambda: [line for line in ask("/drip", read=False)])
step("unread", lambda: ask("/drip", read=False) and None)
step("urllib", lambda: urllib.request.urlopen("http://127.0.0.1:%%d/200" %% PORT).read())
step("slow", lambda: ask("/slow"))
step("tunnel", lambda: ask("/200", tunnel="target.test"))
def signed():
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    connection.request("GET", "/200?signed", headers={"Authorization": "AWS4-HMAC-SHA256 Credential=x"})
    connection.getresponse().read()
step("signed", signed)
def twice():
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    for path in ("/200", "/404"):
        connection.request("GET", path)
        connection.getresponse().read()
step("twice", twice)
PYTHON = [sys.executable, "-c", "import sys; sys.stdin.read(); print('done')", "--password=hunter2"]
step("run", lambda: subprocess.run(PYTHON, input="x", capture_output=True, text=True, check=True))
def by_hand():
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    process.wait()
step("by hand", by_hand)
step("missing", lambda: subprocess.run(["/no/such/program"]))
step("timeout", lambda: subprocess.run([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.3))
"""


class Answers:
    """Answers by path: ``/404``, ``/drip`` (a body that takes 0.5 s), ``/slow``; remembers headers."""

    def __init__(self) -> None:
        headers = self.headers = {}

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                headers.setdefault(self.path, []).append({k.lower(): v for k, v in self.headers.items()})
                name = self.path.partition("?")[0].rpartition("/")[2].partition("#")[0]
                if name == "slow":
                    time.sleep(0.8)
                self.send_response(int(name) if name.isdigit() else 200)
                if name == "drip":
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    for _ in range(5):
                        self.wfile.write(b"3\r\nab\n\r\n")
                        self.wfile.flush()
                        time.sleep(0.1)
                    self.wfile.write(b"0\r\n\r\n")
                    return
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def do_CONNECT(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.close_connection = False

            def log_message(self, *args: object) -> None:
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.url = "http://127.0.0.1:%d" % self.port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Run:
    def __init__(self, sandbox: Any, answers: Answers, mute: int) -> None:
        sandbox.write("spy.py", SPY)
        self.answers, self.free = answers, free_port()
        done = sandbox.python(
            STEPS % (answers.port, self.free, mute),
            ERRTRACK_TRACES_SAMPLE_RATE="1",
            ERRTRACK_BEFORE_SEND_TRANSACTION="spy:keep",
            ERRTRACK_HTTP_REQUEST_SOURCE_THRESHOLD_MS="700",
            ERRTRACK_PROPAGATE_TRACEPARENT="1",
            ERRTRACK_RELEASE="shop@1",
            ERRTRACK_DEBUG="1",
            PYTHONPATH=str(sandbox.folder),
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        self.output = done.stdout.splitlines()
        self.text = (sandbox.folder / "transactions").read_text()
        self.source = (sandbox.folder / "app.py").read_text().splitlines()
        self.transactions = {one["transaction"]: one for one in map(json.loads, self.text.splitlines())}

    def spans(self, step: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.transactions[step]["spans"]
        return found

    def span(self, step: str) -> dict[str, Any]:
        (span,) = self.spans(step)
        assert span["parent_span_id"] == self.root(step)
        return span

    def root(self, step: str) -> str:
        found: str = self.transactions[step]["contexts"]["trace"]["span_id"]
        return found


@pytest.fixture(scope="module")
def run(sandbox_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    answers = Answers()
    try:
        with socket.socket() as mute:
            mute.bind(("127.0.0.1", 0))
            mute.listen(8)
            yield Run(sandbox_in(tmp_path_factory.mktemp("traced")), answers, mute.getsockname()[1])
    finally:
        answers.close()


def lasted(span: dict[str, Any]) -> float:
    return float(span["timestamp"] - span["start_timestamp"])


def test_request_is_a_span_without_its_query(run: Run) -> None:
    span = run.span("query")
    assert (span["op"], span["origin"]) == ("http.client", "auto.http.stdlib.httplib")
    assert span["description"] == "GET %s/200" % run.answers.url
    assert (span["status"], span["tags"]) == ("ok", {"http.status_code": "200"})
    data = dict(span["data"])
    assert (data.pop("thread.name"), data.pop("thread.id").isdigit()) == ("MainThread", True)
    assert data == {
        "url": run.answers.url + "/200", "http.method": "GET", "http.query": "token=[Filtered]&a=b",
        "http.fragment": "part", "http.response.status_code": 200, "reason": "OK",
    }  # fmt: skip
    assert "hunter2" not in run.text


@pytest.mark.parametrize(
    ("step", "status"),
    [
        ("301", "ok"), ("404", "not_found"), ("429", "resource_exhausted"), ("500", "internal_error"),
        ("503", "unavailable"),
    ],
)  # fmt: skip
def test_answer_decides_the_status(run: Run, step: str, status: str) -> None:
    assert run.span(step)["status"] == status


@pytest.mark.parametrize("step", ["refused", "mute"])
def test_request_without_an_answer_is_a_failed_span(run: Run, step: str) -> None:
    span = run.span(step)
    assert span["status"] == "internal_error" and "http.response.status_code" not in span["data"]
    assert any(line.startswith(step + " ") for line in run.output)


@pytest.mark.parametrize("step", ["dripping", "by line"])
def test_span_lasts_as_long_as_the_body(run: Run, step: str) -> None:
    assert lasted(run.span(step)) >= 0.4


def test_body_that_nobody_reads_does_not_cost_the_span(run: Run) -> None:
    assert run.span("unread")["status"] == "ok"


def test_each_request_carries_its_own_span(run: Run) -> None:
    span = run.span("query")
    (sent,) = run.answers.headers["/200?token=hunter2&a=b#part"]
    assert sent["sentry-trace"] == "%s-%s-1" % (span["trace_id"], span["span_id"])
    assert sent["traceparent"] == "00-%s-%s-01" % (span["trace_id"], span["span_id"])
    members = dict(member.split("=") for member in sent["baggage"].split(","))
    assert len(members.pop("sentry-sample_rand")) == len("0.123456")
    assert members == {
        "sentry-trace_id": span["trace_id"], "sentry-environment": "production", "sentry-release": "shop%401",
        "sentry-sample_rate": "1", "sentry-sampled": "true", "sentry-transaction": "query",
    }  # fmt: skip


def test_signed_request_is_left_as_it_is(run: Run) -> None:
    (sent,) = run.answers.headers["/200?signed"]
    assert not {"sentry-trace", "baggage", "traceparent"} & set(sent)
    assert run.span("signed")["status"] == "ok"


def test_requests_on_one_connection_have_spans_of_their_own(run: Run) -> None:
    first, second = run.spans("twice")
    assert [first["status"], second["status"]] == ["ok", "not_found"]
    assert first["span_id"] != second["span_id"]


def test_urllib_is_one_span(run: Run) -> None:
    assert run.span("urllib")["description"] == "GET %s/200" % run.answers.url


def test_slow_request_names_the_line_of_the_application(run: Run) -> None:
    data = run.span("slow")["data"]
    assert (data["code.filepath"], data["code.namespace"]) == ("app.py", "__main__")
    assert data["code.function"] == "ask" and "answer" in run.source[data["code.lineno"] - 1]
    if lasted(run.span("404")) < 0.6:
        assert not [key for key in run.span("404")["data"] if key.startswith("code.")]


def test_request_through_a_tunnel_names_target_and_proxy(run: Run) -> None:
    span = run.span("tunnel")
    assert span["description"] == "GET http://target.test/200"
    assert (span["data"]["network.peer.address"], span["data"]["network.peer.port"]) == (
        "127.0.0.1",
        run.answers.port,
    )


def test_process_is_a_span_of_start_and_one_of_waiting(run: Run) -> None:
    begun, ended = sorted(run.spans("run"), key=lambda span: span["start_timestamp"])
    assert (begun["op"], ended["op"]) == ("subprocess", "subprocess.communicate")
    assert begun["description"].startswith(sys.executable) and "[Filtered]" in begun["description"]
    assert begun["tags"]["subprocess.pid"] == ended["tags"]["subprocess.pid"]
    assert {span["origin"] for span in (begun, ended)} == {"auto.subprocess.stdlib.subprocess"}
    assert {span["parent_span_id"] for span in (begun, ended)} == {run.root("run")}


def test_process_that_is_waited_for_twice_is_waited_for_once(run: Run) -> None:
    assert [span["op"] for span in run.spans("by hand")] == ["subprocess", "subprocess.wait"]


def test_program_that_is_missing_is_a_failed_span(run: Run) -> None:
    span = run.span("missing")
    assert (span["op"], span["status"]) == ("subprocess", "internal_error")
    assert "missing FileNotFoundError" in run.output


def test_time_out_passes_and_leaves_no_span_open(run: Run) -> None:
    assert "timeout TimeoutExpired" in run.output
    spans = {span["op"]: span for span in run.spans("timeout")}
    assert spans["subprocess.communicate"]["status"] == "internal_error"
    assert lasted(spans["subprocess.communicate"]) < 50


CHILD = """
import errtrack
with errtrack.start_transaction(name="child", op="test") as transaction:
    print(errtrack.get_traceparent())
errtrack.capture_message("from the child")
"""

PARENT = """
import subprocess, sys, os, errtrack
with errtrack.start_transaction(name="parent", op="test"):
    subprocess.run([sys.executable, "child.py"], check=True)
assert "ERRTRACK_TRACE" not in os.environ
"""


def of_two(sandbox: Any, **env: str) -> tuple[dict[str, Any], dict[str, Any]]:
    sandbox.write("spy.py", SPY)
    sandbox.write("child.py", CHILD)
    done = sandbox.python(
        PARENT, ERRTRACK_BEFORE_SEND_TRANSACTION="spy:keep", PYTHONPATH=str(sandbox.folder), **env
    )
    assert done.returncode == 0, done.stderr
    kept = sandbox.folder / "transactions"
    found = (
        {one["transaction"]: one for one in map(json.loads, kept.read_text().splitlines())}
        if kept.exists()
        else {}
    )
    return found, sandbox.event()


def test_child_process_is_part_of_the_trace(sandbox: Any) -> None:
    found, event = of_two(sandbox, ERRTRACK_TRACES_SAMPLE_RATE="1")
    (start,) = [span for span in found["parent"]["spans"] if span["op"] == "subprocess"]
    for trace in (found["child"]["contexts"]["trace"], event["contexts"]["trace"]):
        assert (trace["trace_id"], trace["parent_span_id"]) == (start["trace_id"], start["span_id"])


def test_child_process_takes_over_that_the_trace_is_not_recorded(sandbox: Any) -> None:
    found, event = of_two(sandbox, ERRTRACK_TRACES_SAMPLE_RATE="0")
    assert found == {} and len(event["contexts"]["trace"]["parent_span_id"]) == 16


def test_child_process_without_propagation_has_a_trace_of_its_own(sandbox: Any) -> None:
    found, event = of_two(sandbox, ERRTRACK_TRACES_SAMPLE_RATE="1", ERRTRACK_SUBPROCESS_PROPAGATE_TRACE="0")
    assert found["child"]["contexts"]["trace"]["trace_id"] != found["parent"]["contexts"]["trace"]["trace_id"]
    assert "parent_span_id" not in event["contexts"]["trace"]


@pytest.mark.parametrize("variable", ["ERRTRACK_TRACE", "SUBPROCESS_SENTRY_TRACE", "SENTRY_TRACE"])
def test_trace_in_the_environment_is_continued_with_tracing_off(sandbox: Any, variable: str) -> None:
    trace, parent = "7" * 32, "8" * 16
    done = sandbox.python(
        "import errtrack, threading\n"
        "errtrack.capture_message('main')\n"
        "thread = threading.Thread(target=errtrack.capture_message, args=('thread',))\n"
        "thread.start(); thread.join()",
        **{variable: "%s-%s" % (trace, parent)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    for event in sandbox.events():
        assert event["contexts"]["trace"]["trace_id"] == trace
        assert event["contexts"]["trace"]["parent_span_id"] == parent


SHOP = """
class Cart:
    def total(self):
        return 3
    @staticmethod
    def fee():
        return 1
def price():
    return Cart().total() + Cart.fee()
async def ask():
    return price()
"""

ASK = """
import asyncio, errtrack, shop.cart
assert asyncio.run(shop.cart.ask()) == 4
with errtrack.start_transaction(name="work", op="test"):
    assert asyncio.run(shop.cart.ask()) == 4
"""
FUNCTIONS = [
    "shop.cart.price",
    "shop.cart.Cart.total",
    "shop.cart.Cart.fee",
    "shop.cart.ask",
    "shop.cart.nothing",
]


@pytest.mark.parametrize("place", ["environment", "file"])
def test_named_functions_are_spans(sandbox: Any, place: str) -> None:
    sandbox.write("spy.py", SPY)
    sandbox.write("shop/__init__.py", "")
    sandbox.write("shop/cart.py", SHOP)
    if place == "file":
        path: Path = sandbox.write("errtrack.toml", "functions_to_trace = %s\n" % json.dumps(FUNCTIONS))
        more = {"ERRTRACK_CONFIG": str(path)}
    else:
        more = {"ERRTRACK_FUNCTIONS_TO_TRACE": ", ".join(FUNCTIONS)}
    done = sandbox.python(
        ASK,
        ERRTRACK_TRACES_SAMPLE_RATE="1",
        ERRTRACK_BEFORE_SEND_TRANSACTION="spy:keep",
        PYTHONPATH=str(sandbox.folder),
        **more,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (work,) = map(json.loads, (sandbox.folder / "transactions").read_text().splitlines())
    assert [span["description"] for span in work["spans"]] == [
        "shop.cart.Cart.total", "shop.cart.Cart.fee", "shop.cart.price", "shop.cart.ask"
    ]  # fmt: skip
    spans = {span["description"].rpartition(".")[2]: span for span in work["spans"]}
    assert spans["ask"]["parent_span_id"] == work["contexts"]["trace"]["span_id"]
    assert spans["price"]["parent_span_id"] == spans["ask"]["span_id"]
    assert spans["total"]["parent_span_id"] == spans["fee"]["parent_span_id"] == spans["price"]["span_id"]
    assert {span["op"] for span in work["spans"]} == {"function"}


CONCURRENT = """
import asyncio, errtrack, threading
from concurrent.futures import ThreadPoolExecutor

def work(name):
    with errtrack.start_span(op="test", name=name):
        errtrack.capture_message(name)

async def task(name, others):
    with errtrack.start_span(op="test", name=name):
        others.append(name)
        while len(others) < 3:  # all of them are at it at once
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        with errtrack.start_span(op="test", name="in " + name):
            await asyncio.sleep(0)

async def tasks():
    others = []
    await asyncio.gather(*(task("task %d" % n, others) for n in range(3)))

with errtrack.start_transaction(name="work", op="test"):
    thread = threading.Thread(target=work, args=("thread",))
    thread.start()
    thread.join()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, ["pool 1", "pool 2"]))
    asyncio.run(tasks())
    assert errtrack.get_current_span().op == "test"
work("outside")
"""


def test_threads_and_tasks_begin_below_the_span_that_started_them(sandbox: Any) -> None:
    sandbox.write("spy.py", SPY)
    done = sandbox.python(
        CONCURRENT,
        ERRTRACK_TRACES_SAMPLE_RATE="1",
        ERRTRACK_BEFORE_SEND_TRANSACTION="spy:keep",
        PYTHONPATH=str(sandbox.folder),
    )
    assert (done.returncode, done.stderr) == (0, "")
    (work,) = map(json.loads, (sandbox.folder / "transactions").read_text().splitlines())
    spans = {span["description"]: span for span in work["spans"]}
    root = work["contexts"]["trace"]
    for name in ("thread", "pool 1", "pool 2", "task 0", "task 1", "task 2"):
        assert spans[name]["parent_span_id"] == root["span_id"]
    for number in range(3):
        assert spans["in task %d" % number]["parent_span_id"] == spans["task %d" % number]["span_id"]
    for event in sandbox.events():
        trace, name = event["contexts"]["trace"], event["logentry"]["formatted"]
        if name == "outside":
            assert trace["trace_id"] != root["trace_id"]
        else:
            assert trace["span_id"] == spans[name]["span_id"]
