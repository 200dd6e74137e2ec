"""What is there when it is asked for: gnu_backtrace, executing, pure_eval, cloud_resource_context, socket."""

from __future__ import annotations

import http.server
import json
import sys
import threading
from collections.abc import Iterator

import pytest

from web import free_port, main_exception

NATIVE = """
TEXT = '''DB::Exception: no such table
Stack trace:

0. DB::Exception::Exception(int, bool) @ 0x7f11aa in /usr/bin/server
1. ? @ 0xABCDEF01
12. start_thread @ 0x74ab
2. not a frame @ nowhere
that is all'''
class ServerError(Exception): pass
def query():
    try:
        raise ServerError(TEXT)
    except ServerError as error:
        raise %s from error
query()
"""


def test_gnu_frames_leave_the_text_and_follow_the_frames(sandbox) -> None:
    sandbox.python(NATIVE % "RuntimeError('1. main @ 0x1 in /bin/x')", ERRTRACK_ENABLE="gnu_backtrace")
    inner, outer = sandbox.event()["exception"]["values"]
    frames = inner["stacktrace"]["frames"]
    assert [f["function"] for f in frames if f.get("platform") != "native"] == ["query"]
    natives = [f for f in frames if f.get("platform") == "native"]
    assert frames[-3:] == natives
    assert [f["function"] for f in natives] == ["start_thread", "?", "DB::Exception::Exception(int, bool)"]
    assert [f.get("package") for f in natives] == [None, None, "/usr/bin/server"]
    kept = inner["value"].split("\n")
    assert kept[:2] == ["DB::Exception: no such table", "Stack trace:"]
    assert kept[-3:-1] == ["2. not a frame @ nowhere", "that is all"]
    assert "moved to the frames" in kept[-1]
    # Chained exceptions are looked at one by one.
    assert [f["function"] for f in outer["stacktrace"]["frames"]][-1] == "main"


def test_text_without_gnu_frames_stays(sandbox) -> None:
    sandbox.python("raise ValueError('1. one\\n2. at @ home')", ERRTRACK_ENABLE="gnu_backtrace")
    assert main_exception(sandbox.event())["value"] == "1. one\n2. at @ home"


def test_gnu_frames_stay_in_the_text_unless_asked_for(sandbox) -> None:
    sandbox.python(NATIVE % "ValueError('x')")
    assert "start_thread @ 0x74ab" in sandbox.event()["exception"]["values"][0]["value"]


METHODS = """
class Order:
    def pay(self):
        def inner(amount):
            return 1 / amount
        return inner(0)
Order().pay()
"""


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the package executing is needed")
def test_executing_qualifies_the_functions_of_frames(sandbox) -> None:
    sandbox.python(METHODS, ERRTRACK_ENABLE="executing")
    frames = main_exception(sandbox.event())["stacktrace"]["frames"]
    assert [f["function"] for f in frames] == ["<module>", "Order.pay", "Order.pay.<locals>.inner"]
    assert frames[-1]["vars"] == {"amount": "0"} and frames[-1]["context_line"].strip() == "return 1 / amount"


@pytest.mark.skipif(sys.version_info >= (3, 11), reason="the interpreter knows the names")
def test_executing_uses_the_package_where_the_interpreter_does_not_know(sandbox) -> None:
    pytest.importorskip("executing")
    sandbox.python(METHODS, ERRTRACK_ENABLE="executing")
    frames = main_exception(sandbox.event())["stacktrace"]["frames"]
    assert [f["function"] for f in frames] == ["<module>", "Order.pay", "Order.pay.<locals>.inner"]


def test_frames_have_plain_names_unless_asked_for(sandbox) -> None:
    sandbox.python(METHODS)
    frames = main_exception(sandbox.event())["stacktrace"]["frames"]
    assert [f["function"] for f in frames] == ["<module>", "pay", "inner"]


EXPRESSIONS = """
from types import SimpleNamespace
def fail(password="hunter2"):
    namespace = SimpleNamespace()
    namespace.d = {1: 2}
    far = [1, 2, 3]
    a = b = c = d = e = f = g = h = i = j = 0
    far[1]
    namespace.d[1] / 0
    namespace.d[1]
    far[2]
%s
"""


@pytest.fixture
def pure_eval() -> None:
    pytest.importorskip("pure_eval")
    pytest.importorskip("executing")


def test_expressions_near_the_failing_statement_come_first(sandbox, pure_eval: None) -> None:
    hook = (
        "def keep(event, hint):\n    frame = event['exception']['values'][-1]['stacktrace']['frames'][-1]\n"
    )
    sandbox.write("hooks/order.py", hook + "    print(list(frame['vars']))\n    return event\n")
    env = {"ERRTRACK_BEFORE_SEND": "order:keep", "PYTHONPATH": str(sandbox.folder / "hooks")}
    done = sandbox.python(EXPRESSIONS % "fail()", ERRTRACK_ENABLE="pure_eval", **env)
    names = eval(done.stdout)
    assert names[:4] == ["namespace", "namespace.d", "namespace.d[1]", "far"] and len(names) == 10
    assert "far[2]" not in names
    shown = main_exception(sandbox.event())["stacktrace"]["frames"][-1]["vars"]
    assert shown["namespace.d[1]"] == "2" and "hunter2" not in json.dumps(sandbox.event())


def test_expressions_of_causes_are_shown_too(sandbox, pure_eval: None) -> None:
    code = EXPRESSIONS % "try:\n    fail()\nexcept Exception as error:\n    raise ValueError from error"
    sandbox.python(code, ERRTRACK_ENABLE="pure_eval")
    cause = sandbox.event()["exception"]["values"][0]
    assert "namespace.d[1]" in cause["stacktrace"]["frames"][-1]["vars"]


def test_without_source_the_variables_stay(sandbox, pure_eval: None) -> None:
    code = "exec('def fail(amount):\\n    return amount / 0\\n')\nfail(17)"
    sandbox.python(code, ERRTRACK_ENABLE="pure_eval")
    frames = main_exception(sandbox.event())["stacktrace"]["frames"]
    assert frames[-1]["vars"] == {"amount": "17"}


def test_without_the_packages_the_variables_stay(sandbox) -> None:
    hide = "import sys; sys.modules['pure_eval'] = None\n"
    done = sandbox.python(hide + EXPRESSIONS % "fail()", ERRTRACK_ENABLE="pure_eval", ERRTRACK_DEBUG="1")
    assert "internal fault" not in done.stderr
    assert "namespace.d" not in main_exception(sandbox.event())["stacktrace"]["frames"][-1]["vars"]


AWS_DOCUMENT = {
    "accountId": "123",
    "availabilityZone": "eu-1a",
    "region": "eu-1",
    "instanceId": "i-1",
    "instanceType": "t3.small",
    "imageId": "ami",
}
GCP_DOCUMENT = {
    "instance": {"zone": "projects/9/zones/europe-west1-b", "id": 77},
    "project": {"projectId": "shop"},
}


class Metadata:
    """A metadata server: *answers* are by path; a missing one is refused with 405."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                headers = {k.lower(): v for k, v in self.headers.items()}
                server.asked.append((self.command, self.path, headers))
                body = server.answers.get(self.path.partition("?")[0])
                self.send_response(405 if body is None else 200)
                self.end_headers()
                self.wfile.write((body or "").encode())

            do_PUT = do_GET

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.place = ("127.0.0.1", self.server.server_port)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    from errtrack_instrumentations import _cloud

    server = Metadata()
    monkeypatch.setattr(_cloud, "AWS", server.place)
    monkeypatch.setattr(_cloud, "GCP", server.place)
    yield server
    server.server.shutdown()
    server.thread.join()
    server.server.server_close()


AWS_PATHS = ("/latest/api/token", "/latest/dynamic/instance-identity/document")


def test_aws_is_asked_with_a_token(metadata: Metadata) -> None:
    from errtrack_instrumentations import _cloud

    metadata.answers = {AWS_PATHS[0]: "token-1", AWS_PATHS[1]: json.dumps(AWS_DOCUMENT)}
    assert _cloud.ask_aws() == {
        "cloud.provider": "aws",
        "cloud.platform": "aws_ec2",
        "cloud.account.id": "123",
        "cloud.availability_zone": "eu-1a",
        "cloud.region": "eu-1",
        "host.id": "i-1",
        "host.type": "t3.small",
    }
    (put, _, first), (_, _, second) = metadata.asked
    assert put == "PUT" and first["x-aws-ec2-metadata-token-ttl-seconds"] == "60"
    assert second["x-aws-ec2-metadata-token"] == "token-1"


def test_google_is_asked_and_its_zone_read(metadata: Metadata) -> None:
    from errtrack_instrumentations import _cloud

    metadata.answers = {"/computeMetadata/v1/": json.dumps(GCP_DOCUMENT)}
    assert _cloud.ask_gcp() == {
        "cloud.provider": "gcp",
        "cloud.platform": "gcp_compute_engine",
        "cloud.account.id": "shop",
        "cloud.availability_zone": "europe-west1-b",
        "cloud.region": "europe-west1",
        "host.id": 77,
    }
    assert metadata.asked[0][2]["metadata-flavor"] == "Google"


@pytest.mark.parametrize("document", ["{}", "[]", "no json", '{"instance": 3, "project": null}'])
def test_documents_in_part_or_broken(metadata: Metadata, document: str) -> None:
    from errtrack_instrumentations import _cloud

    metadata.answers = dict.fromkeys((*AWS_PATHS, "/computeMetadata/v1/"), document)
    assert _cloud.ask_aws() == {"cloud.provider": "aws", "cloud.platform": "aws_ec2"}
    assert _cloud.ask_gcp() == {"cloud.provider": "gcp", "cloud.platform": "gcp_compute_engine"}


def test_refused_or_away_is_no_cloud(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    from errtrack_instrumentations import _cloud

    assert _cloud.ask_aws() is None and _cloud.ask_gcp() is None  # 405
    monkeypatch.setattr(_cloud, "AWS", ("127.0.0.1", free_port()))
    monkeypatch.setattr(_cloud, "GCP", ("name.invalid", 80))
    assert _cloud.ask_aws() is None and _cloud.ask_gcp() is None


CLOUD = """
import errtrack, time
from errtrack_instrumentations import _cloud
_cloud.AWS = _cloud.GCP = %r
errtrack.capture_message("first")
deadline = time.monotonic() + 10
from errtrack_instrumentations import cloud_resource_context as ours
while not ours._found and time.monotonic() < deadline: time.sleep(0.02)
errtrack.capture_message("second")
"""


def test_machine_is_on_events_once_it_is_known(sandbox, metadata: Metadata) -> None:
    metadata.answers = {"/computeMetadata/v1/": json.dumps(GCP_DOCUMENT)}
    sandbox.python(CLOUD % (metadata.place,), ERRTRACK_ENABLE="cloud_resource_context")
    last = sandbox.events()[-1]
    assert last["contexts"]["cloud_resource"]["cloud.account.id"] == "shop"
    assert "breadcrumbs" not in last  # our own requests are no steps of the application
    assert [method for method, _, _ in metadata.asked] == ["PUT", "GET"]


def test_provider_that_is_named_is_the_only_one_asked(sandbox, metadata: Metadata) -> None:
    metadata.answers = {"/computeMetadata/v1/": json.dumps(GCP_DOCUMENT)}
    env = {
        "ERRTRACK_ENABLE": "cloud_resource_context",
        "ERRTRACK_CLOUD_RESOURCE_CONTEXT_CLOUD_PROVIDER": "gcp",
    }
    sandbox.python(CLOUD % (metadata.place,), **env)
    assert [method for method, _, _ in metadata.asked] == ["GET"]


def test_nobody_is_asked_unless_asked_for(sandbox, metadata: Metadata) -> None:
    code = (CLOUD % (metadata.place,)).replace("time.monotonic() + 10", "0")
    sandbox.python(code)
    assert metadata.asked == [] and "cloud_resource" not in sandbox.events()[-1]["contexts"]


SOCKETS = """
import errtrack, socket, sys
server = socket.socket(); server.bind(("127.0.0.1", 0)); server.listen(8)
port = server.getsockname()[1]
socket.create_connection(("127.0.0.1", port)).close()
socket.create_connection(address=("127.0.0.1", port), timeout=2.5, source_address=("127.0.0.1", 0)).close()
if sys.version_info >= (3, 11):
    socket.create_connection(("127.0.0.1", port), all_errors=True).close()
socket.getaddrinfo(b"127.0.0.1", b"80")
socket.getaddrinfo("127.0.0.1", None, type=socket.SOCK_STREAM)
try: socket.getaddrinfo("name.invalid", 80)
except socket.gaierror as error: print("gaierror")
try: socket.create_connection()
except TypeError as error: print(error)
server.close()
errtrack.capture_message(str(port))
"""


def test_connections_and_lookups_are_breadcrumbs(sandbox) -> None:
    bare = sandbox.python(
        SOCKETS.replace("import errtrack,", "import").replace("errtrack.", "#"), launched=False
    )
    watched = sandbox.python(SOCKETS, ERRTRACK_ENABLE="socket", ERRTRACK_DEBUG="1")
    assert (watched.returncode, watched.stdout, watched.stderr) == (0, bare.stdout, "")
    event = sandbox.event()
    here = "127.0.0.1:" + event["logentry"]["formatted"]
    crumbs = [(c["category"], c["message"]) for c in event["breadcrumbs"]["values"]]
    pair = [("socket.connection", here), ("socket.dns", here)]
    connections = 3 if sys.version_info >= (3, 11) else 2
    assert crumbs == pair * connections + [
        ("socket.dns", "127.0.0.1:80"),
        ("socket.dns", "127.0.0.1:"),
        ("socket.dns", "name.invalid:80"),
    ]
    second = event["breadcrumbs"]["values"][2]["data"]
    assert second == {"address": here, "timeout": "2.5", "source_address": "127.0.0.1:0"}


def test_sockets_are_left_alone_unless_asked_for(sandbox) -> None:
    code = "import socket; print(hasattr(socket.getaddrinfo, '__wrapped__'))"
    assert sandbox.python(code).stdout == "False\n"
    assert sandbox.python(code, ERRTRACK_ENABLE="socket").stdout == "True\n"
    assert "breadcrumbs" not in (sandbox.python(SOCKETS), sandbox.event())[1]
