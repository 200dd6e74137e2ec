"""Requests and processes that the application starts: breadcrumbs, trace headers, and nothing else changed."""

from __future__ import annotations

import http.server
import json
import re
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from web import free_port


class Answers:
    """A server that answers by path: ``/status/404``, ``/drop``; and keeps the headers that it was sent."""

    def __init__(self) -> None:
        headers = self.headers = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                headers.append([(k.lower(), v) for k, v in self.headers.items()])
                if self.path == "/drop":
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                found = re.search(r"/status/(\d+)", self.path)
                self.send_response(int(found.group(1)) if found else 200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            do_POST = do_GET

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


@pytest.fixture
def answers() -> Iterator[Answers]:
    server = Answers()
    yield server
    server.close()


CLIENT = """
import http.client, errtrack
def ask(connection, target, method="GET", **more):
    connection.request(method, target, **more)
    answer = connection.getresponse()
    answer.read()
    return answer.status
here = http.client.HTTPConnection("127.0.0.1", %d, timeout=10)
%s
errtrack.capture_message("done")
"""


def crumbs_of(sandbox: Any, code: str, **env: str) -> list[dict[str, Any]]:
    done = sandbox.python(code, ERRTRACK_DEBUG="1", **env)
    assert (done.returncode, done.stderr) == (0, "")
    crumbs = sandbox.event().get("breadcrumbs", {}).get("values", [])
    return [c for c in crumbs if c["category"] in ("httplib", "subprocess")]


def test_request_is_a_breadcrumb_with_its_status_and_level(sandbox, answers: Answers) -> None:
    paths = ["/status/200?a=b#part", "/status/301", "/status/403", "/status/500"]
    code = "print([ask(here, path) for path in %r])" % (paths,)
    crumbs = crumbs_of(sandbox, CLIENT % (answers.port, code))
    assert crumbs[0]["type"] == "http" and "level" not in crumbs[0]
    assert crumbs[0]["data"] == {
        "url": answers.url + "/status/200",
        "http.method": "GET",
        "http.query": "a=b",
        "http.fragment": "part",
        "http.response.status_code": 200,
        "reason": "OK",
    }
    # One connection, four requests: each has its own status.
    assert [c["data"]["http.response.status_code"] for c in crumbs] == [200, 301, 403, 500]
    assert [c.get("level") for c in crumbs] == [None, None, "warning", "error"]


def test_urllib_and_urllib3_are_seen_once(sandbox, answers: Answers) -> None:
    code = """
import urllib.request, urllib3
urllib.request.urlopen("http://127.0.0.1:%d/status/200").read()
urllib3.PoolManager(retries=False).request("POST", "http://127.0.0.1:%d/status/201", body=b"x")
""" % (answers.port, answers.port)
    crumbs = crumbs_of(sandbox, CLIENT % (answers.port, code))
    found = [(c["data"]["http.method"], c["data"]["http.response.status_code"]) for c in crumbs]
    assert found == [("GET", 200), ("POST", 201)]


def test_failed_requests_are_breadcrumbs_without_status(sandbox, answers: Answers) -> None:
    code = """
for connection, target in (
    (http.client.HTTPConnection("127.0.0.1", %d), "/refused"), (here, "/drop"),
):
    try: ask(connection, target)
    except (ConnectionError, http.client.RemoteDisconnected) as error: print(type(error).__name__)
    connection.close()
ask(here, "/status/204")
""" % free_port()
    crumbs = crumbs_of(sandbox, CLIENT % (answers.port, code))
    assert [c["data"]["url"].rpartition("/")[2] for c in crumbs] == ["refused", "drop", "204"]
    for crumb in crumbs[:2]:
        assert not {"http.response.status_code", "reason"} & set(crumb["data"])


def test_read_timeout_is_a_breadcrumb_without_status(sandbox) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(8)
        code = """
here.timeout = 0.2
try: ask(here, "/slow")
except TimeoutError: pass
except OSError as error: assert "timed out" in str(error)
"""
        crumbs = crumbs_of(sandbox, CLIENT % (server.getsockname()[1], code))
    assert len(crumbs) == 1 and "http.response.status_code" not in crumbs[0]["data"]


def test_second_request_before_the_answer_leaves_the_first_one_intact(sandbox, answers: Answers) -> None:
    code = """
here.request("GET", "/status/200")
try: here.request("GET", "/second")
except http.client.CannotSendRequest as error: print(type(error).__name__)
print(here.getresponse().status)
try: here.getresponse()
except http.client.ResponseNotReady: pass
"""
    crumbs = crumbs_of(sandbox, CLIENT % (answers.port, code))
    assert [c["data"]["url"] for c in crumbs] == [answers.url + "/status/200"]


def test_connection_that_refuses_attributes_is_seen_as_any(sandbox, answers: Answers) -> None:
    code = """
class Strict(http.client.HTTPConnection):
    def __setattr__(self, name, value):
        if "errtrack" in name: raise AttributeError(name)
        super().__setattr__(name, value)
print(ask(Strict("127.0.0.1", here.port), "/status/201"))
"""
    (crumb,) = crumbs_of(sandbox, CLIENT % (answers.port, code))
    assert crumb["data"]["http.response.status_code"] == 201


def test_put_request_without_url(sandbox, answers: Answers) -> None:
    bare = sandbox.python(
        "import http.client\nhttp.client.HTTPConnection('127.0.0.1', 1).putrequest('POST', None)",
        launched=False,
    )
    watched = sandbox.python(
        "import http.client\nhttp.client.HTTPConnection('127.0.0.1', 1).putrequest('POST', None)"
    )
    assert (watched.returncode, watched.stderr) == (bare.returncode, bare.stderr)


def test_secrets_in_urls_are_filtered(sandbox, answers: Answers) -> None:
    code = 'ask(here, "http://user:hunter2@127.0.0.1:%d/status/200?token=hunter3&a=b")' % answers.port
    crumbs = crumbs_of(sandbox, CLIENT % (answers.port, code))
    assert "hunter" not in json.dumps(sandbox.event())
    assert crumbs[0]["data"]["http.query"] == "token=[Filtered]&a=b"


def test_request_through_a_tunnel_names_target_and_proxy(sandbox, answers: Answers) -> None:
    code = """
here.set_tunnel("target.test", 8080)
ask(here, "/status/200")
here.close()
here.set_tunnel("target.test")
ask(here, "/status/200")
"""
    crumbs = crumbs_of(sandbox, CLIENT % (answers.port, code))
    assert [c["data"]["url"] for c in crumbs] == [
        "http://target.test:8080/status/200",
        "http://target.test/status/200",
    ]
    peer = crumbs[0]["data"]
    assert (peer["network.peer.address"], peer["network.peer.port"]) == ("127.0.0.1", answers.port)


def test_hook_may_change_and_drop_breadcrumbs(sandbox, answers: Answers) -> None:
    sandbox.write(
        "hooks.py",
        "def crumb(crumb, hint):\n"
        "    if crumb['data']['url'].endswith('/drop-it'): return None\n"
        "    crumb['data']['seen'] = 'yes'\n    return crumb\n",
    )
    code = "ask(here, '/not/drop-it'); ask(here, '/status/200')"
    crumbs = crumbs_of(
        sandbox,
        CLIENT % (answers.port, code),
        ERRTRACK_BEFORE_BREADCRUMB="hooks:crumb",
        PYTHONPATH=str(sandbox.folder),
    )
    assert [c["data"]["seen"] for c in crumbs] == ["yes"]


def trace_of(headers: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return (
        [value for name, value in headers if name == "sentry-trace"],
        [value for name, value in headers if name == "baggage"],
    )


def test_request_carries_the_trace_of_its_event(sandbox, answers: Answers) -> None:
    crumbs_of(
        sandbox,
        CLIENT % (answers.port, "ask(here, '/status/200', headers={'baggage': 'other=1'})"),
        ERRTRACK_ENVIRONMENT="st age",
        ERRTRACK_RELEASE="shop@1.2",
    )
    traces, baggages = trace_of(answers.headers[0])
    trace = sandbox.event()["contexts"]["trace"]
    assert traces == ["%s-%s" % (trace["trace_id"], trace["span_id"])]
    expected = "sentry-trace_id=%s,sentry-environment=st%%20age,sentry-release=shop%%401.2"
    assert baggages == ["other=1", expected % trace["trace_id"]]


def test_continued_trace_is_handed_on_with_its_own_baggage(sandbox, answers: Answers) -> None:
    code = """
from errtrack.context.trace import continue_trace
errtrack.get_isolation_scope().propagation = continue_trace(
    "%s-%s-1", "vendor=x, sentry-trace_id=%s,sentry-sample_rate=0.5")
ask(here, "/status/200")
""" % ("a" * 32, "b" * 16, "a" * 32)
    crumbs_of(sandbox, CLIENT % (answers.port, code))
    traces, baggages = trace_of(answers.headers[0])
    assert traces[0].startswith("a" * 32 + "-") and "b" * 16 not in traces[0]
    assert baggages == ["sentry-trace_id=%s,sentry-sample_rate=0.5" % ("a" * 32)]


def test_headers_of_the_application_win(sandbox, answers: Answers) -> None:
    code = "ask(here, '/status/200', headers={'Sentry-Trace': 'mine'})"
    crumbs_of(sandbox, CLIENT % (answers.port, code))
    assert trace_of(answers.headers[0]) == (["mine"], [])


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (r"^http://127\.0\.0\.1:\d+/status/200", [True, False]),
        ("/301,nowhere", [False, True]),
        ("nowhere", [False, False]),
    ],
)
def test_targets_decide_which_requests_carry_the_trace(
    sandbox, answers: Answers, targets: str, expected: list[bool]
) -> None:
    code = "ask(here, '/status/200'); ask(here, '/status/301')"
    crumbs_of(sandbox, CLIENT % (answers.port, code), ERRTRACK_TRACE_PROPAGATION_TARGETS=targets)
    assert [bool(trace_of(headers)[0]) for headers in answers.headers] == expected


def test_no_targets_in_the_file_means_no_headers(sandbox, answers: Answers) -> None:
    sandbox.write("errtrack.toml", "trace_propagation_targets = []\n")
    crumbs_of(sandbox, CLIENT % (answers.port, "ask(here, '/status/200')"))
    assert trace_of(answers.headers[0]) == ([], [])


def test_our_own_server_is_left_alone(sandbox, answers: Answers) -> None:
    """Neither what we send nor what the application asks of the same server."""
    code = CLIENT % (answers.port, "ask(here, '/status/200')")
    code += "errtrack.flush(5)\nerrtrack.capture_message('second')\n"
    sandbox.write(
        "hooks/hooks.py", "def show(event, hint):\n    print(event.get('breadcrumbs'))\n    return event\n"
    )
    done = sandbox.python(
        code,
        ERRTRACK_DSN="http://key@127.0.0.1:%d/1" % answers.port,
        ERRTRACK_BEFORE_SEND="hooks:show",
        PYTHONPATH=str(sandbox.folder / "hooks"),
    )
    assert done.stdout == "None\nNone\n"
    assert all(trace_of(headers) == ([], []) for headers in answers.headers)


PROCESS = """
import errtrack, subprocess, sys, os
CHILD = [sys.executable, "-S", "-c", "import os; print({k: v for k, v in os.environ.items()})"]
before = dict(os.environ)
%s
assert dict(os.environ) == before
errtrack.capture_message("done")
"""


def test_started_processes_are_breadcrumbs(sandbox) -> None:
    code = """
import pathlib
subprocess.run([sys.executable, "-S", "-c", "pass"], cwd=pathlib.Path("/"))
subprocess.run("echo hi", shell=True, stdout=subprocess.DEVNULL)
subprocess.run(iter([sys.executable, "-S", "-c", "pass"]))
subprocess.run([pathlib.Path(sys.executable), "-S", "-c", "pass"] + ["x"] * 120)
os.popen("echo popen").read()
"""
    crumbs = crumbs_of(sandbox, PROCESS % code)
    assert {(c["type"], c["category"]) for c in crumbs} == {("subprocess", "subprocess")}
    messages = [c["message"] for c in crumbs]
    assert messages[0] == sys.executable + " -S -c pass"
    assert messages[1] == "'echo hi'"
    assert messages[2].startswith("<") and "iterator" in messages[2]
    assert messages[3].startswith("['%s', '-S'" % sys.executable)
    assert "echo popen" in messages[4]
    assert [c.get("data") for c in crumbs] == [{"subprocess.cwd": "/"}, None, None, None, None]


def test_secrets_on_command_lines_are_filtered(sandbox) -> None:
    code = """
for command in (
    ["true", "--password=hunter2", "--token", "hunter2", "plain"],
    ["sh", "-c", "true --api-key hunter2"],
    "API_TOKEN=hunter2 true --secret hunter2",
):
    subprocess.run(command, shell=isinstance(command, str))
"""
    crumbs = crumbs_of(sandbox, PROCESS % code)
    assert len(crumbs) == 3 and "hunter2" not in json.dumps(crumbs)
    assert crumbs[0]["message"] == "true --password=[Filtered] --token [Filtered] plain"


def test_processes_that_cannot_start_fail_as_ever_and_are_breadcrumbs(sandbox) -> None:
    code = """
try: subprocess.run(["no-such-program-at-all", "x"])
except FileNotFoundError as error: print(error.filename)
try: subprocess.Popen(1)
except TypeError as error: print(error)
try: subprocess.run([sys.executable, "-S", "-c", "import time; time.sleep(20)"], timeout=0.2)
except subprocess.TimeoutExpired as error: print(round(error.timeout, 2))
"""
    bare = sandbox.python(
        (PROCESS % code).replace("import errtrack,", "import").replace("errtrack.", "#"), launched=False
    )
    watched = sandbox.python(PROCESS % code)
    assert watched.stdout == bare.stdout and watched.stdout.count("\n") == 3
    crumbs = sandbox.event()["breadcrumbs"]["values"]
    assert crumbs[0]["message"] == "no-such-program-at-all x"


def test_child_gets_the_trace_and_nothing_else_changes_in_its_environment(sandbox) -> None:
    code = """
from types import MappingProxyType
import json
def of(**more):
    return eval(subprocess.run(CHILD, stdout=subprocess.PIPE, text=True, **more).stdout)
print(json.dumps([of(), of(env={}), of(env=MappingProxyType({"A": "b"})), of(env=os.environ)]))
"""
    done = sandbox.python(PROCESS % code, OF_THE_PARENT="1")
    trace = sandbox.event()["contexts"]["trace"]
    inherited, empty, given, same = json.loads(done.stdout)
    for env in (inherited, empty, given, same):
        for name in ("ERRTRACK_TRACE", "SUBPROCESS_SENTRY_TRACE"):
            assert env.pop(name) == "%s-%s" % (trace["trace_id"], trace["span_id"])
        for name in ("ERRTRACK_BAGGAGE", "SUBPROCESS_BAGGAGE"):
            assert env.pop(name).startswith("sentry-trace_id=" + trace["trace_id"])
        env.pop("LC_CTYPE", None)  # Python's own, where the locale is C
    assert inherited == same and inherited["OF_THE_PARENT"] == "1"
    assert (empty, given) == ({}, {"A": "b"})


def test_positional_arguments_reach_the_process(sandbox) -> None:
    code = """
process = subprocess.Popen(CHILD, -1, None, None, subprocess.PIPE, None, None, True, False, None, {"A": "b"}, True)
print(sorted(eval(process.communicate()[0])))
"""
    done = sandbox.python(PROCESS % code)
    assert "['A', " in done.stdout and "SUBPROCESS_SENTRY_TRACE" in done.stdout, done.stderr


ENVIRONMENTS = """
import collections, subprocess, sys

class Items:
    def items(self):
        return [("A", "items")]

for env in (
    [], [("A", "b")], (), 5, {"A": None}, {1: "b"}, {"A=": "b"}, {"A": "\\0"},
    {b"A": b"bytes"}, collections.ChainMap({"A": "map"}), Items(),
):
    try:
        print(subprocess.run(["/bin/sh", "-c", "echo $A"], env=env, stdout=subprocess.PIPE).stdout)
    except Exception as error:
        print(type(error), error)
"""


def test_environments_of_every_kind_are_taken_and_refused_as_ever(sandbox) -> None:
    bare = sandbox.python(ENVIRONMENTS, launched=False)
    refused = bare.stdout.count("AttributeError") + bare.stdout.count(
        "TypeError"
    )  # by posix_spawn, from 3.13 on
    assert refused >= 5 and "b'map\\n'" in bare.stdout
    watched = sandbox.python(ENVIRONMENTS, ERRTRACK_DEBUG="1")
    assert (watched.stdout, watched.stderr) == (bare.stdout, bare.stderr)


@pytest.mark.parametrize("variable", ["ERRTRACK_SUBPROCESS_PROPAGATE_TRACE", "ERRTRACK_PROPAGATE"])
def test_trace_in_the_environment_can_be_switched_off(sandbox, variable: str) -> None:
    code = "subprocess.run(CHILD)"
    done = sandbox.python(PROCESS % code, **{variable: "0"})
    assert done.returncode == 0 and "'SUBPROCESS_" not in done.stdout


def test_processes_of_the_standard_library_itself_are_no_breadcrumbs(sandbox) -> None:
    code = "import ctypes.util, platform; ctypes.util.find_library('m'); platform.uname().processor"
    assert crumbs_of(sandbox, PROCESS % code) == []


def test_disabled_by_name_nothing_is_touched(sandbox, answers: Answers) -> None:
    code = """
import subprocess
subprocess.run(["true"])
ask(here, "/status/200")
print(hasattr(subprocess.Popen.__init__, "__wrapped__"), hasattr(here.endheaders, "__wrapped__"))
"""
    done = sandbox.python(CLIENT % (answers.port, code), ERRTRACK_DISABLE="stdlib")
    assert done.stdout == "False False\n"
    assert trace_of(answers.headers[0]) == ([], [])
    assert "breadcrumbs" not in sandbox.event()


def test_signatures_and_names_stay(sandbox) -> None:
    code = """
import http.client, inspect, subprocess
for function in (http.client.http.client.HTTPConnection.endheaders,
                 http.client.HTTPConnection.getresponse, subprocess.Popen.__init__):
    print(function.__qualname__, inspect.signature(function), function.__doc__)
"""
    assert sandbox.python(code).stdout == sandbox.python(code, launched=False).stdout


def test_requests_alone_do_not_load_the_client(sandbox, answers: Answers) -> None:
    code = CLIENT.replace(
        'errtrack.capture_message("done")', "import sys; print('errtrack.client' in sys.modules)"
    )
    code = code.replace(
        "import http.client, errtrack", "import http.client, subprocess; subprocess.run(['true'])"
    )
    assert sandbox.python(code % (answers.port, "ask(here, '/status/200')")).stdout == "False\n"


@pytest.mark.parametrize("module", ["http.client", "subprocess", "socket", "urllib.request", "xmlrpc.client"])
def test_module_imported_first_is_as_bare(sandbox, module: str) -> None:
    code = (
        "import sys, %s as module; print(sorted(vars(module)), module.__loader__, module.__spec__)" % module
    )
    bare = sandbox.python(code, launched=False)
    watched = sandbox.python(code)
    assert re.sub(" at 0x[0-9a-f]+", "", watched.stdout) == re.sub(" at 0x[0-9a-f]+", "", bare.stdout)
    assert (watched.returncode, watched.stderr) == (0, "")
