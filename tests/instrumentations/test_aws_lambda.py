"""AWS Lambda: failed invocations, reported in time and with what is known; the platform is told what it ever was."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lambdas import ARN, Platform
from web import main_exception

pytest.importorskip("awslambdaric")

FUNCTION = """
import sys, time
import errtrack

class Strange:
    pass

def handler(event, context):
    do = event.get("do") if isinstance(event, dict) else None
    if do == "tag":
        errtrack.set_tag("told", "yes")
        errtrack.add_breadcrumb(message="told")
        raise ValueError("tagged")
    if do == "fail":
        number = 42
        raise ValueError(event.get("text", "failed"))
    if do == "deep":
        def inner():
            try:
                {}["missing"]
            except KeyError as error:
                raise RuntimeError("outer") from error
        inner()
    if do == "exit":
        sys.exit(1)
    if do == "strange":
        return Strange()
    if do == "sleep":
        errtrack.set_tag("asleep", "yes")
        time.sleep(event["seconds"])
    if do == "log":
        import logging
        logging.getLogger("shop").error("logged")
    return {"echo": event}

def fail(event, context):
    raise ValueError("failed")
"""


@pytest.fixture
def platform(sandbox: Any) -> Iterator[Platform]:
    sandbox.write("function.py", FUNCTION)
    with Platform(sandbox) as platform:
        yield platform


def test_failed_invocation_is_one_event_with_all_that_is_known(platform: Platform) -> None:
    platform.invoke("function.handler", {"do": "fail"})
    event = platform.event()
    error = main_exception(event)
    assert (error["type"], error["value"]) == ("ValueError", "failed")
    assert (error["mechanism"]["type"], error["mechanism"]["handled"]) == ("aws_lambda", False)
    frames = error["stacktrace"]["frames"]
    assert [frames[-1]["function"], frames[-1]["vars"]["number"]] == ["handler", "42"]
    assert not [f for f in frames if f["module"].startswith("errtrack")]
    assert (event["transaction"], event["transaction_info"]) == ("shop", {"source": "component"})
    assert event["tags"]["aws_region"] == "eu-west-1"
    assert event["tags"]["cold_start"] == "true"
    told = event["extra"]["lambda"]
    assert (told["function_name"], told["function_version"]) == ("shop", "7")
    assert (told["invoked_function_arn"], told["aws_request_id"]) == (ARN, "request-0")
    assert 0 <= told["execution_duration_in_millis"] < 60_000
    assert 0 < told["remaining_time_in_millis"] <= 60_000
    logs = event["extra"]["cloudwatch logs"]
    assert (logs["log_group"], logs["log_stream"]) == ("/aws/lambda/shop", "stream")
    assert logs["url"].startswith("https://console.aws.amazon.com/cloudwatch/home?region=eu-west-1")


def test_event_is_delivered_before_the_platform_is_told(platform: Platform) -> None:
    platform.invoke("function.handler", {"do": "fail"}, {"do": "log"}, {})
    assert platform.order == ["envelope", "error", "envelope", "result", "result"]


def test_invocations_do_not_mix(platform: Platform) -> None:
    platform.invoke("function.handler", {"do": "tag"}, {"do": "fail"}, {"do": "fail"})
    first, second, third = platform.events()
    assert (first["tags"]["told"], first["tags"]["cold_start"]) == ("yes", "true")
    assert "told" not in second["tags"]
    assert "breadcrumbs" not in second
    assert second["tags"]["cold_start"] == "false"
    assert [e["extra"]["lambda"]["aws_request_id"] for e in (first, second, third)] == [
        "request-0", "request-1", "request-2",
    ]  # fmt: skip
    assert len({e["contexts"]["trace"]["trace_id"] for e in (first, second, third)}) == 3


def without_time(text: str) -> str:
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)


@pytest.mark.parametrize("how", ["json", "text"])
def test_platform_and_log_are_told_the_same_without_us(platform: Platform, how: str) -> None:
    events = [
        {"do": "fail"},
        {"do": "deep"},
        {"do": "strange"},
        {"do": "nothing"},
        {"do": "fail", "text": "<é\n>"},
    ]
    env = {"AWS_LAMBDA_LOG_FORMAT": how}
    bare = platform.invoke("function.handler", *events, launched=False, **env)
    expected, platform.log = platform.log, []
    ours = platform.invoke("function.handler", *events, **env)
    assert [entry for entry in platform.log if entry[0] != "envelope"] == expected
    assert len(platform.events()) == 4
    if how == "text":
        assert without_time(ours) == without_time(bare)


@pytest.mark.parametrize(
    ("handler", "source", "kind", "file"),
    [
        ("missing.handler", None, "ModuleNotFoundError", None),
        ("broken.handler", "import json\nimport no_such_module\n", "ModuleNotFoundError", "broken.py"),
        ("broken.handler", "def handler(:\n", "SyntaxError", None),
        (
            "broken.handler",
            "def load():\n    raise ValueError('loading')\nload()\n",
            "ValueError",
            "broken.py",
        ),
        ("function.nowhere", None, "FaultException", None),
        ("nonsense", None, "FaultException", None),
    ],
)
def test_function_that_cannot_be_loaded(
    platform: Platform, handler: str, source: str | None, kind: str, file: str | None
) -> None:
    from awslambdaric import bootstrap

    if hasattr(bootstrap, "make_fault_handler"):
        pytest.skip("this runtime tells of it at the first invocation")
    if source is not None:
        platform.sandbox.write("broken.py", source)
    bare = platform.invoke(handler, launched=False)
    expected, platform.log = platform.log, []
    ours = platform.invoke(handler)
    assert platform.order == ["envelope", "init error"]
    assert platform.log[1:] == expected
    assert without_time(ours) == without_time(bare)
    error = main_exception(platform.event())
    assert (error["type"], error["mechanism"]["type"]) == (kind, "aws_lambda")
    if file:
        assert error["stacktrace"]["frames"][-1]["filename"] == file


def test_answer_that_is_no_json_is_one_event(platform: Platform) -> None:
    platform.invoke("function.handler", {"do": "strange"})
    assert platform.order == ["envelope", "error"]
    values = platform.event()["exception"]["values"]
    assert "Unable to marshal response" in values[-1]["value"]
    assert platform.event()["tags"]["aws_region"] == "eu-west-1"


def test_exit_is_one_event(platform: Platform) -> None:
    platform.invoke("function.handler", {"do": "exit"}, {})
    assert platform.order == ["envelope"]
    assert main_exception(platform.event())["type"] == "SystemExit"
    assert main_exception(platform.event())["mechanism"]["type"] == "aws_lambda"


@pytest.mark.parametrize("pii", ["0", "1"])
def test_payloads_of_every_kind(platform: Platform, pii: str) -> None:
    several = [{"httpMethod": "GET", "path": "/first"}, {"httpMethod": "POST"}]
    odd: list[Any] = [
        "text", 1, 1.5, None, True, [], [1, 2], several, {}, {"headers": None}, {"headers": ""}, {"headers": []},
        {"headers": {"Sentry-Trace": None, "n": 1}}, {"requestContext": None}, {"requestContext": {"http": []}},
        {"Records": None}, {"Records": [1]}, {"httpMethod": "GET", "headers": None, "body": {}, "path": 3},
        {"httpMethod": "POST", "body": "!", "isBase64Encoded": True, "headers": {"Host": "h"}, "cookies": {"a": 1}},
        {"httpMethod": "GET", "multiValueHeaders": {"A": "b", "C": [1]}, "queryStringParameters": {"a": None}},
    ]  # fmt: skip
    output = platform.invoke("function.fail", *odd, ERRTRACK_SEND_DEFAULT_PII=pii, ERRTRACK_DEBUG="1")
    assert "internal fault" not in output
    events = platform.events()
    assert len(events) == len(odd)
    assert "batch_request" not in events[5]["tags"]
    assert (events[6]["tags"]["batch_request"], events[6]["tags"]["batch_size"]) == ("true", "2")
    assert (events[7]["request"]["method"], events[7]["request"]["url"]) == ("GET", "awslambda:///shop")


REST = {
    "httpMethod": "POST",
    "path": "/orders",
    "headers": {
        "Host": "shop.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "203.0.113.9",
        "Cookie": "a=b",
    },
    "queryStringParameters": {"page": "2"},
    "requestContext": {
        "identity": {"userArn": "arn:aws:iam::1:user/x", "sourceIp": "203.0.113.7"},
        "stage": "prod",
    },
    "body": '{"order": 1, "password": "hunter2"}',
}
HTTP = {
    "version": "2.0",
    "rawPath": "/orders",
    "rawQueryString": "page=2&page=3",
    "cookies": ["a=b", "c=d"],
    "headers": {
        "host": "abc.lambda-url.eu-west-1.on.aws",
        "x-forwarded-proto": "https",
        "content-type": "application/x-www-form-urlencoded",
    },
    "requestContext": {
        "domainName": "abc.lambda-url.eu-west-1.on.aws",
        "http": {"method": "POST", "path": "/orders", "sourceIp": "203.0.113.7"},
    },
    "body": base64.b64encode(b"a=1&a=2&b=3").decode(),
    "isBase64Encoded": True,
}
BALANCER = {
    "httpMethod": "GET",
    "path": "/health",
    "multiValueHeaders": {"host": ["lb.example"], "x-forwarded-proto": ["http"], "accept": ["a", "b"]},
    "multiValueQueryStringParameters": {"q": ["1", "2"]},
    "requestContext": {"elb": {"targetGroupArn": "arn:..."}},
    "body": "",
}
QUEUE = {"Records": [{"eventSource": "aws:sqs", "body": "x"}, {"eventSource": "aws:sqs", "body": "y"}]}
TOPIC = {"Records": [{"EventSource": "aws:sns", "Sns": {}}]}
BUS = {"version": "0", "source": "shop.orders", "detail-type": "Order", "detail": {}}
SOURCES = {
    "aws:apigateway": REST, "aws:lambda-url": HTTP, "aws:elb": BALANCER, "aws:sqs": QUEUE, "aws:sns": TOPIC,
    "shop.orders": BUS,
}  # fmt: skip


def test_what_the_function_was_invoked_with(platform: Platform) -> None:
    platform.invoke("function.fail", *SOURCES.values())
    events = platform.events()
    assert [event["tags"]["event_source"] for event in events] == list(SOURCES)
    rest, http, balancer, queue, topic, bus = events
    assert (rest["request"]["method"], rest["request"]["url"]) == ("POST", "https://shop.example/orders")
    assert rest["request"]["query_string"] == "page=2"
    assert http["request"]["url"] == "https://abc.lambda-url.eu-west-1.on.aws/orders"
    assert (http["request"]["method"], http["request"]["query_string"]) == ("POST", "page=2&page=3")
    assert balancer["request"]["url"] == "http://lb.example/health"
    assert balancer["request"]["query_string"] == "q=1&q=2"
    assert balancer["request"]["headers"]["accept"] == "a, b"
    assert (queue["tags"]["batch_request"], queue["tags"]["batch_size"]) == ("true", "2")
    assert "batch_size" not in topic["tags"]
    assert not {"request"} & {*queue, *topic, *bus}


def test_personal_data_stays_out(platform: Platform) -> None:
    platform.invoke("function.fail", REST, HTTP)
    for event in platform.events():
        del event["exception"]  # the function's arguments are among its local variables
        text = json.dumps(event)
        assert "user" not in event
        assert "cookies" not in event["request"]
        assert "203.0.113" not in text
        assert "hunter2" not in text
        assert event["request"]["data"] == ""
        assert event["_meta"]["request"]["data"][""] == {"rem": [["!raw", "x"]]}


def test_personal_data_where_it_may_be_sent(platform: Platform) -> None:
    more = {**REST, "headers": {**REST["headers"], "Content-Type": "application/json"}}
    platform.invoke("function.fail", more, HTTP, ERRTRACK_SEND_DEFAULT_PII="1")
    rest, http = platform.events()
    assert rest["user"] == {"id": "arn:aws:iam::1:user/x", "ip_address": "203.0.113.9"}
    assert rest["request"]["data"] == {"order": 1, "password": "[Filtered]"}
    assert rest["request"]["cookies"] == {"a": "b"}
    assert http["user"]["ip_address"] == "203.0.113.7"
    assert http["request"]["data"] == {"a": ["1", "2"], "b": "3"}
    assert http["request"]["cookies"] == {"a": "b", "c": "d"}


def test_warning_before_time_runs_out(platform: Platform) -> None:
    platform.invoke(
        "function.handler", {"do": "sleep", "seconds": 6}, seconds=4, ERRTRACK_AWS_LAMBDA_TIMEOUT_WARNING="1"
    )
    assert platform.order == ["envelope", "result"]
    event = platform.event()
    error = main_exception(event)
    assert error["type"] == "ServerlessTimeoutWarning"
    assert "4 seconds" in error["value"]
    assert (error["mechanism"]["type"], error["mechanism"]["handled"]) == ("threading", False)
    assert error["stacktrace"]["frames"][-1]["function"] == "handler"
    assert event["level"] == "warning"
    assert event["tags"]["asleep"] == "yes"
    assert 0 <= event["extra"]["lambda"]["remaining_time_in_millis"] < 1_600


def test_no_warning_for_who_answers_in_time(platform: Platform) -> None:
    """Nor later on, when its time would have been up; and none that nobody has asked for."""
    on = {"ERRTRACK_AWS_LAMBDA_TIMEOUT_WARNING": "1"}
    sleepy = {"do": "sleep", "seconds": 2}
    platform.invoke("function.handler", *[{}] * 5, {**sleepy, "given": 60}, seconds=3, **on)
    assert platform.order == ["result"] * 6
    platform.invoke("function.handler", sleepy, seconds=1.2, **on)  # there is no time for one
    platform.invoke("function.handler", sleepy, seconds=2)
    assert platform.order == ["result"] * 8


@pytest.mark.parametrize("seconds", [60, 2])
def test_server_that_hangs_costs_bounded_time(platform: Platform, seconds: float) -> None:
    """No more than the setting, and never what is left of the function's time."""
    platform.ingest = None
    began = time.monotonic()
    timeout = "1" if seconds == 60 else "30"
    platform.invoke(
        "function.handler", {"do": "fail"}, {}, seconds=seconds, ERRTRACK_SHUTDOWN_TIMEOUT=timeout
    )
    assert platform.order == ["error", "result"]
    assert time.monotonic() - began < 20


TRACE = "12312012123120121231201212312012"


@pytest.mark.parametrize("name", ["sentry-trace", "Sentry-Trace", "SENTRY-TRACE"])
def test_trace_is_continued_whatever_the_case_of_its_header(platform: Platform, name: str) -> None:
    payload = {**REST, "headers": {name: TRACE + "-1121201211212012-1"}}
    platform.invoke("function.fail", payload)
    trace = platform.event()["contexts"]["trace"]
    assert (trace["trace_id"], trace["parent_span_id"]) == (TRACE, "1121201211212012")


def test_transactions(platform: Platform) -> None:
    payload = {"do": "fail", "headers": {"sentry-trace": TRACE + "-1121201211212012-1"}}
    platform.invoke("function.handler", {}, payload, {"do": "nothing"}, ERRTRACK_TRACES_SAMPLE_RATE="1")
    assert [kind for kind in platform.order if kind != "envelope"] == ["result", "error", "result"]
    assert platform.order[-1] == "result" and platform.order[0] == "envelope"
    first, failed, last = platform.items("transaction")
    for transaction in (first, failed, last):
        assert (transaction["transaction"], transaction["transaction_info"]) == (
            "shop",
            {"source": "component"},
        )
        assert transaction["contexts"]["trace"]["op"] == "function.aws"
        assert transaction["contexts"]["trace"]["origin"] == "auto.function.aws_lambda"
    assert [t["contexts"]["trace"]["status"] for t in (first, failed, last)] == ["ok", "internal_error", "ok"]
    event = platform.event()
    assert failed["contexts"]["trace"]["trace_id"] == event["contexts"]["trace"]["trace_id"] == TRACE
    assert len({t["contexts"]["trace"]["trace_id"] for t in (first, failed, last)}) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_workers_of_the_runtime_report(platform: Platform) -> None:
    """One process forks several, each of which asks for invocations."""
    pytest.importorskip("awslambdaric.lambda_multi_concurrent_utils")
    payload = {"do": "sleep", "seconds": 0.3}
    platform.invoke("function.handler", *([{"do": "fail"}, payload] * 3), AWS_LAMBDA_MAX_CONCURRENCY="2")
    assert sorted(kind for kind in platform.order if kind != "envelope") == ["error"] * 3 + ["result"] * 3
    assert len(platform.events()) == 3


def test_layer_with_exec_wrapper(platform: Platform, tmp_path: Any) -> None:
    """The layer as it is written, unpacked as the platform does, started as the platform starts a wrapper."""
    layer = tmp_path / "layer.zip"
    done = platform.sandbox.errtrack("export", "--layer", str(layer))
    if "pip could not fetch" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    unpacked = tmp_path / "opt"
    shutil.unpack_archive(layer, unpacked)
    import zipfile

    with zipfile.ZipFile(layer) as archive:
        assert archive.getinfo("errtrack/errtrack-run").external_attr >> 16 & 0o111 == 0o111
    wrapper = unpacked / "errtrack" / "errtrack-run"
    wrapper.chmod(0o755)
    path = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
    platform.invoke(
        "",
        {"do": "fail"},
        command=(str(wrapper), sys.executable, "-m", "awslambdaric", "function.handler"),
        PATH=path,
    )
    assert platform.order == ["envelope", "error"]
    assert main_exception(platform.event())["mechanism"]["type"] == "aws_lambda"


def test_process_that_is_no_function_is_left_alone(sandbox: Any) -> None:
    code = "import awslambdaric.bootstrap, sys\nprint('errtrack.client' in sys.modules)"
    done: subprocess.CompletedProcess[str] = sandbox.python(code)
    assert (done.returncode, done.stdout) == (0, "False\n")
    assert sandbox.events() == []
