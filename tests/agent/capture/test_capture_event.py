# SPDX-License-Identifier: MIT
"""The finished event: what servers accept, its bytes, its bounds."""

from __future__ import annotations

import json
import math
import re
import sys
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from errtrack.capture import event as events

KNOWN = set(
    "breadcrumbs contexts culprit debug_meta dist environment errors event_id exception extra fingerprint level "
    "logentry logger modules platform release request sdk server_name tags threads timestamp transaction "
    "transaction_info user _meta".split()
)


def test_ids_are_random_version_4_uuids() -> None:
    made = {events.new_id() for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch(r"[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}", one) for one in made)


def test_times_are_utc_with_microseconds() -> None:
    assert events.stamp(0.25) == "1970-01-01T00:00:00.250000Z"
    assert events.stamp(1700000000.999999) == "2023-11-14T22:13:20.999999Z"


def test_id_time_platform_and_level_are_set_when_absent(capture) -> None:
    before = time.time()
    event = capture.finished({})
    assert set(event) == {"event_id", "timestamp", "platform", "level"}
    assert event["platform"] == "python"
    assert events.stamp(before)[:16] <= event["timestamp"][:16] <= events.stamp(time.time())[:16]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("critical", "fatal"),
        ("WARN", "warning"),
        ("warning", "warning"),
        (40, "error"),
        (10, "debug"),
        ("nonsense", "error"),
        (99, "fatal"),
        ("log", "info"),
    ],
)
def test_levels_are_one_of_five(capture, given: Any, wanted: str) -> None:
    assert capture.finished({"level": given})["level"] == wanted


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (1700000000, "2023-11-14T22:13:20.000000Z"),
        ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
        ("2024-01-02 03:04:05", "2024-01-02T03:04:05Z"),
        ("2024-01-02T03:04:05+02:00", "2024-01-02T03:04:05+02:00"),
    ],
)
def test_times_given_are_kept(capture, given: Any, wanted: str) -> None:
    assert capture.finished({"timestamp": given})["timestamp"] == wanted


@pytest.mark.parametrize("given", [None, "yesterday", -5, math.nan, 1e300, [], "0000"])
def test_times_that_are_none_become_now(capture, given: Any) -> None:
    assert capture.finished({"timestamp": given})["timestamp"][:4] == events.stamp(time.time())[:4]


@pytest.mark.parametrize(
    ("key", "given", "wanted"),
    [
        ("release", "app/1.0\n", "app-1.0"),
        ("release", "latest", None),
        ("release", 5, "5"),
        ("release", "x" * 300, "x" * 197 + "..."),
        ("environment", "prod/eu", "prod-eu"),
        ("environment", "None", None),
        ("environment", " ", None),
        ("dist", "a b/ü", "a-b--"),
        ("server_name", 7, "7"),
        ("logger", "x" * 100, "x" * 61 + "..."),
        ("transaction", b"bytes", "bytes"),
        ("event_id", "0" * 32, "new"),
        ("event_id", "12345678-1234-4234-8234-123456789012", "12345678123442348234123456789012"),
        ("fingerprint", "one", ["one"]),
        ("fingerprint", ["{{ default }}", 5, None], ["{{ default }}", "5"]),
        ("modules", {"a": "1", "b": 2, 3: "c"}, {"a": "1"}),
        ("modules", ["a"], None),
        ("sdk", None, None),
        ("sdk", {"name": "x"}, None),
        ("sdk", {"name": "x", "version": "1", "settings": {}}, {"name": "x", "version": "1"}),
        ("transaction_info", {"source": "odd"}, {"source": "custom"}),
        ("extra", [1], {"value": [1]}),
        ("contexts", {"a": "text", "b": {"c": 1}, "d": None}, {"a": {"value": "text"}, "b": {"c": 1}}),
        ("breadcrumbs", {"values": []}, None),
        ("exception", "text", None),
        ("unknown", 1, None),
        ("message", "m", None),
        ("type", "odd", None),
        ("spans", [], None),
    ],
)
def test_attributes_are_put_right(capture, key: str, given: Any, wanted: Any) -> None:
    found = capture.finished({key: given}).get(key)
    if wanted == "new":
        assert found != given
    else:
        assert found == wanted


def test_a_top_level_message_becomes_a_log_entry(capture) -> None:
    assert capture.finished({"message": "hello"})["logentry"] == {"formatted": "hello"}


def test_tags_are_texts_of_bounded_length(capture) -> None:
    given = {
        "a b": True,
        "n": 5,
        "none": None,
        "empty": "",
        "two\nlines": "x\ny",
        "k" * 50: "v" * 300,
        "release": "clash",
        "password": "hunter2",
        "obj": object(),
    }
    tags = capture.finished({"tags": given})["tags"]
    assert tags["a_b"] == "true"
    assert tags["n"] == "5"
    assert "none" not in tags
    assert "empty" not in tags
    assert tags["two_lines"] == "x y"
    assert tags["k" * 32] == "v" * 197 + "..."
    assert tags["tag_release"] == "clash"
    assert tags["password"] == "[Filtered]"
    assert tags["obj"] == "<object object>"
    assert len(capture.finished({"tags": {"t%d" % n: "x" for n in range(1000)}})["tags"]) == 100


def test_users_are_known_attributes_as_text_and_the_rest_is_data(capture) -> None:
    user = {
        "id": 5,
        "email": "a@b.c",
        "plan": "gold",
        "token": "hunter2",
        "ip_address": "not one",
        "geo": {"city": "Bern"},
    }
    assert capture.finished({"user": user})["user"] == {
        "id": "5",
        "email": "a@b.c",
        "geo": {"city": "Bern"},
        "data": {"plan": "gold", "token": "[Filtered]"},
    }
    assert capture.finished({"user": {"ip_address": "{{auto}}"}})["user"] == {"ip_address": "{{auto}}"}
    assert capture.finished({"user": 7})["user"] == {"id": "7"}


def test_requests_are_known_attributes_without_secrets(capture) -> None:
    request = {
        "url": "https://ann:hunter2@example.com/a?token=hunter2&page=2#part",
        "method": "post",
        "headers": [
            ("Accept", "a"),
            ("Accept", "b"),
            ("X-Number", 5),
            ("Authorization", "hunter2"),
            (b"Host", b"h"),
        ],
        "cookies": {"sessionid": "hunter2", "theme": "dark"},
        "data": {"password": "hunter2", "count": 2},
        "env": {"REMOTE_ADDR": "10.0.0.1", "SERVER_PORT": 80},
        "odd": 1,
    }
    clean = capture.finished({"request": request})["request"]
    assert clean == {
        "url": "https://[Filtered]:[Filtered]@example.com/a",
        "query_string": "token=[Filtered]&page=2",
        "method": "POST",
        "headers": {"Accept": "a,b", "X-Number": "5", "Authorization": "[Filtered]", "Host": "h"},
        "cookies": {"sessionid": "[Filtered]", "theme": "dark"},
        "data": {"password": "[Filtered]", "count": 2},
        "env": {"REMOTE_ADDR": "[Filtered]", "SERVER_PORT": "80"},
    }


def test_a_form_or_json_body_given_as_text_is_scrubbed(capture) -> None:
    for body in ("password=hunter2&x=1", '{"password": "hunter2", "x": 1}', "x=1&token=hunter2"):
        assert "hunter2" not in json.dumps(capture.finished({"request": {"data": body}}))


def test_breadcrumbs_are_put_right_and_scrubbed(capture) -> None:
    given = [
        {
            "timestamp": 1700000000.5,
            "message": "login password=hunter2",
            "level": "WARN",
            "data": "text",
            "odd": 1,
        },
        {
            "type": "http",
            "category": "httplib",
            "data": {"url": "https://u:hunter2@x/?api_key=hunter2", "n": 200},
        },
        "junk",
    ]
    assert capture.finished({"breadcrumbs": given})["breadcrumbs"] == {
        "values": [
            {
                "timestamp": "2023-11-14T22:13:20.500000Z",
                "message": "login password=[Filtered]",
                "level": "warning",
                "data": {"value": "text"},
            },
            {
                "type": "http",
                "category": "httplib",
                "data": {"url": "https://[Filtered]:[Filtered]@x/?api_key=[Filtered]", "n": 200},
            },
        ]
    }


def test_a_breadcrumb_that_changed_since_the_last_event_is_shown_as_it_is_now(capture, capture_with) -> None:
    crumb: dict[str, Any] = {"timestamp": 1700000000.5, "message": "get", "data": {"n": 1, "token": 5}}
    for number in (1, 1.5, True, "x", 1):
        crumb["data"]["n"] = number
        event: dict[str, Any] = {"breadcrumbs": {"values": [dict(crumb)]}}
        shown = capture.finished(event)["breadcrumbs"]["values"][0]["data"]
        assert repr(shown["n"]) == repr(number)
        assert shown["token"] == "[Filtered]"
        event["breadcrumbs"]["values"][0]["data"]["n"] = "changed by a hook"
    again = capture_with(scrub_keys=["n"]).finished({"breadcrumbs": [crumb]})
    assert again["breadcrumbs"]["values"][0]["data"]["n"] == "[Filtered]"


def test_numbers_stay_numbers_where_json_has_them(capture) -> None:
    extra = {
        "n": 5,
        "f": 1.5,
        "big": 2**64,
        "nan": math.nan,
        "inf": -math.inf,
        "no": None,
        "yes": True,
        "card": 4111111111111111,
    }
    assert capture.finished({"extra": extra})["extra"] == {
        "n": 5,
        "f": 1.5,
        "big": str(2**64),
        "nan": "nan",
        "inf": "-inf",
        "no": None,
        "yes": True,
        "card": "[Filtered]",
    }


def test_what_is_cut_or_filtered_is_told_in_meta(capture) -> None:
    event = capture.finished(
        {"extra": {"long": "x" * 5000, "many": list(range(80)), "password": "hunter2", "deep": [[[[[[1]]]]]]}}
    )
    assert event["extra"]["long"] == "x" * 1021 + "..."
    meta = event["_meta"]["extra"]
    assert meta["long"] == {"": {"len": 5000, "rem": [["!limit", "x", 1021, 1024]]}}
    assert meta["many"] == {"": {"len": 80}}
    assert meta["password"] == {"": {"rem": [["!config", "s"]]}}
    assert event["extra"]["deep"] == [[[["<list of 1>"]]]]


def test_a_stack_trace_given_by_hand_is_put_right(capture) -> None:
    frame = {
        "filename": "a.py",
        "lineno": "5",
        "module": 7,
        "in_app": 1,
        "vars": {"n": 5, "no": None},
        "odd": 1,
    }
    given = {
        "values": [
            {"type": 5, "value": None, "stacktrace": {"frames": [frame]}, "mechanism": {"handled": "no"}}
        ]
    }
    assert capture.finished({"exception": given})["exception"]["values"] == [
        {
            "type": "5",
            "mechanism": {"type": "generic"},
            "stacktrace": {"frames": [{"filename": "a.py", "module": "7", "vars": {"n": "5", "no": "None"}}]},
        }
    ]
    assert (
        "stacktrace"
        not in capture.finished({"exception": [{"type": "E", "stacktrace": {"frames": []}}]})["exception"][
            "values"
        ][0]
    )


def test_messages_have_template_parameters_and_final_text(capture) -> None:
    made = events.from_message("%s is %d", "info", ["x", 5], capture.options, capture.scrubber)
    assert capture.finished(made)["logentry"] == {
        "message": "%s is %d",
        "params": ["x", 5],
        "formatted": "x is 5",
    }
    odd = events.from_message("%d", "info", ["x"], capture.options, capture.scrubber)
    assert capture.finished(odd)["logentry"]["formatted"] == "%d"


def test_plain_gives_hooks_dicts_and_encodes_to_the_same(capture, raised) -> None:
    event = capture.event(raised(lambda: 1 / 0))
    events.finish(event, capture.options, capture.scrubber)
    before = json.loads(events.encode(event))
    assert events.plain(event) is event
    assert all(type(frame) is dict for frame in event["exception"]["values"][0]["stacktrace"]["frames"])
    assert json.loads(events.encode(event)) == before
    event["exception"]["values"][0]["stacktrace"]["frames"][-1]["context_line"] = "changed by a hook"
    events.sanitise(event)
    assert read_line(json.loads(events.encode(event))) == "changed by a hook"
    assert read_line(capture.of(raised(lambda: 1 / 0))) != "changed by a hook"


def read_line(event: dict[str, Any]) -> str:
    line: str = event["exception"]["values"][0]["stacktrace"]["frames"][-1]["context_line"]
    return line


def test_what_a_hook_returns_is_put_right_but_not_scrubbed(capture) -> None:
    event = {
        "tags": {"a": 1},
        "extra": {"o": object(), "nan": math.nan, "password": "put there on purpose"},
        "odd": 1,
    }
    events.sanitise(event)
    clean = json.loads(events.encode(event))
    assert clean["tags"] == {"a": "1"}
    assert clean["extra"]["password"] == "put there on purpose"
    assert "odd" not in clean


def test_even_junk_is_encoded(capture) -> None:
    junk: dict[Any, Any] = {"a": {1, 2}, ("t", 1): object(), "nan": math.nan}
    junk["circle"] = junk
    assert json.loads(events.encode(junk))["nan"] == "nan"


def test_an_application_cannot_forge_the_place_of_the_frames(capture, raised) -> None:
    from errtrack.capture import event as module

    error = raised(lambda: 1 / 0)
    event = capture.event(error, extra={"forged": "frames:" + "0" * 32, "quote": '"]}'})
    events.finish(event, capture.options, capture.scrubber)
    assert json.loads(events.encode(event))["extra"]["forged"].startswith("frames:0")
    assert len(module._MARK) > 30


def large_event(capture: Any, raised: Any, frames: int) -> dict[str, Any]:
    def down(left: int, text: str) -> None:
        numbers = {"n%d" % n: text[:100] for n in range(10)}
        if left:
            down(left - 1, text + str(left))
        raise ValueError(numbers)

    event: dict[str, Any] = capture.event(raised(lambda: down(frames, "x" * 100)))
    event["request"] = {"url": "http://x/", "data": {"k%d" % n: "b" * 1000 for n in range(50)}}
    event["extra"] = {"k%d" % n: "e" * 1000 for n in range(50)}
    crumbs = [{"timestamp": 1.7e9 + n, "message": "m" * 200, "data": {"d": "d" * 300}} for n in range(100)]
    event["breadcrumbs"] = {"values": crumbs}
    event["modules"] = {"module%d" % n: "1.0" for n in range(500)}
    events.finish(event, capture.options, capture.scrubber)
    return event


def test_a_large_event_sheds_in_order_and_says_so(capture, raised) -> None:
    event = large_event(capture, raised, 40)
    full = len(events.encode(event))
    seen: list[tuple[str, ...]] = []
    limit = full - 1
    while True:
        data = events.encode(event, limit)
        assert len(data) <= limit
        limit = len(data) - 1
        small = json.loads(data)
        frames = small["exception"]["values"][-1].get("stacktrace", {}).get("frames", [])
        left = (
            *(("vars",) if any("vars" in frame for frame in frames) else ()),
            *(("data",) if "data" in small.get("request", {}) else ()),
            *(("extra",) if "extra" in small else ()),
            *(
                ("crumb data",)
                if any("data" in c for c in small.get("breadcrumbs", {}).get("values", ()))
                else ()
            ),
            *(("crumbs",) if "breadcrumbs" in small else ()),
            *(("modules",) if "modules" in small else ()),
            *(("source",) if any("context_line" in frame for frame in frames) else ()),
        )
        if not seen or seen[-1] != left:
            seen.append(left)
        assert small["exception"]["values"][-1]["type"] == "ValueError"
        assert "_meta" in small
        if not left:
            break
    order = ("vars", "data", "extra", "crumb data", "crumbs", "modules", "source")
    for left in seen:
        assert left == order[len(order) - len(left) :]
    assert len(seen) >= 5
    assert len(events.encode(event)) == full  # the event itself was not touched
    assert small["_meta"]["extra"][""]["rem"] == [["!limit", "x"]]


def test_an_absurd_event_is_still_sent(capture, raised) -> None:
    event = large_event(capture, raised, 40)
    (value,) = event["exception"]["values"]
    event["exception"]["values"] = [*([value] * 100), {**value, "value": "ü" * 5_000_000}]
    data = events.encode(event)
    assert len(data) <= 1_000_000
    assert json.loads(data)["event_id"] == event["event_id"]


SECRET = "S3cr3t-%02d-Xq7Zp"


def test_secrets_planted_in_40_places_are_not_in_the_bytes(capture, raised) -> None:
    used: list[str] = []

    def secret() -> str:
        used.append(SECRET % len(used))
        return used[-1]

    class Config:
        def __init__(self) -> None:
            self.api_key = secret()
            self._password = secret()

    class Slotted:
        __slots__ = ("auth_token",)

        def __init__(self) -> None:
            self.auth_token = secret()

    def fail(
        password: str,
        config: Any,
        slotted: Any,
        headers: Any,
        raw: Any,
        environ: Any,
        nested: Any,
        texts: Any,
    ) -> None:
        raise ConnectionError("cannot connect: host=db password=%s" % secret()) from ValueError(
            "https://u:%s@h/?token=%s" % (secret(), secret())
        )

    error = raised(
        lambda: fail(
            secret(),
            Config(),
            Slotted(),
            {"Authorization": secret(), "X-Api-Key": secret(), "Cookie": "a=" + secret()},
            [(b"authorization", secret().encode()), ("Set-Cookie", secret())],
            {"AWS_SECRET_ACCESS_KEY": secret(), "DATABASE_URL": "postgres://app:%s@db/x" % secret()},
            {"a": [{"b": ({"clientSecret": secret()},)}], ("token", 1): secret(), b"passwd": secret()},
            [
                "postgres://u:%s@h/d" % secret(),
                "/cb?access_token=%s&x=1" % secret(),
                '{"password": "%s"}' % secret(),
                "Authorization: Bearer %s" % secret(),
                "api_key=%s" % secret(),
                "-----BEGIN PRIVATE KEY-----\n%s" % secret(),
                "%s password=%s" % ("x" * 900, secret()),
            ],
        )
    )
    error.__dict__["__notes__"] = ["retry with token=%s" % secret()]
    data = capture.bytes(
        error,
        tags={"api_token": secret(), "url": "http://u:%s@h/" % secret()},
        extra={
            "argv": ["--password=" + secret()],
            "deep": {"a": {"b": [{"secret_key": secret()}]}},
            "pair": ["token", secret()],
        },
        contexts={"app": {"dsn": secret()}, "trace": {"trace_id": "1" * 32, "span_id": "2" * 16}},
        user={"id": "5", "data": {"password": secret()}, "session_token": secret()},
        request={
            "url": "https://u:%s@h/p?sig=1&api_key=%s" % (secret(), secret()),
            "query_string": "token=%s&a=b" % secret(),
            "headers": {
                "X-Csrftoken": secret(),
                "Proxy-Authorization": secret(),
                "Referer": "http://h/?password=" + secret(),
            },
            "cookies": {"sessionid": secret()},
            "data": {"user": {"passWord": secret()}, "list": [["pwd", secret()]]},
            "env": {"HTTP_COOKIE": secret()},
        },
        breadcrumbs={
            "values": [
                {"message": "login password=%s" % secret(), "data": {"auth": secret()}},
                {
                    "message": "SELECT 1",
                    "data": {"db.params": {"token": secret()}, "url": "http://h/?key=1&secret=" + secret()},
                },
            ]
        },
        logentry={
            "message": "token=%s",
            "params": {"password": secret()},
            "formatted": "token=%s" % secret(),
        },
    )
    assert len(used) >= 40
    found = [one for one in used if one.encode() in data]
    assert found == []
    assert b"hunter" not in data


class Thing:
    def __init__(self, value: Any) -> None:
        self.value = value


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**60, max_value=2**70)
    | st.floats()
    | st.text(max_size=60)
    | st.text(st.characters(min_codepoint=0xD7F0, max_codepoint=0xE010) | st.just("\0"), max_size=5)
    | st.binary(max_size=30)
    | st.complex_numbers()
    | st.datetimes()
    | st.decimals()
    | st.uuids()
)
KEYS = (
    st.text(max_size=20)
    | st.integers()
    | st.none()
    | st.binary(max_size=5)
    | st.tuples(st.integers(), st.text(max_size=3))
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=12)
        | st.dictionaries(KEYS, inner, max_size=12)
        | st.tuples(inner, inner)
        | inner.map(Thing)
    ),
    max_leaves=40,
)
EVENT_KEYS = st.sampled_from(
    "level logger logentry message transaction server_name release environment dist tags extra contexts user request "
    "breadcrumbs exception threads fingerprint modules sdk timestamp type event_id platform errors odd _meta".split()
)
PATIENT = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


@PATIENT
@given(value=VALUES, given=st.dictionaries(EVENT_KEYS, VALUES, max_size=6))
def test_whatever_is_captured_becomes_valid_json_within_bounds(value: Any, given: dict[str, Any]) -> None:
    from captures import read

    event = made_of(value, given)
    data = events.encode(event)
    assert len(data) < 1_000_000
    tree = read(data)
    assert set(tree) <= KNOWN
    assert re.fullmatch("[0-9a-f]{32}", tree["event_id"])
    assert all(type(v) is str for v in tree.get("tags", {}).values())
    for one in tree["exception"]["values"]:
        for frame in one.get("stacktrace", {}).get("frames", ()):
            assert all(type(v) in (str, list, dict) for v in frame.get("vars", {}).values())


def made_of(value: Any, given: dict[str, Any]) -> dict[str, Any]:
    from captures import Capture

    capture = Capture()
    try:
        local = value
        raise ValueError("x")
    except ValueError as error:
        event: dict[str, Any] = capture.event(error)
    del local
    event["extra"] = {"value": value}
    event["contexts"] = {"mine": {"value": value}}
    for key, item in given.items():
        event.setdefault(key, item)
    events.finish(event, capture.options, capture.scrubber)
    return event


@PATIENT
@given(value=VALUES, given=st.dictionaries(EVENT_KEYS, VALUES, max_size=6))
def test_whatever_is_captured_passes_the_servers_normaliser(value: Any, given: dict[str, Any]) -> None:
    processing = pytest.importorskip("sentry_relay.processing")
    normaliser = processing.StoreNormalizer(
        project_id=1,
        client="errtrack/test",
        protocol_version="7",
        key_id="1",
        client_ip="127.0.0.1",
        remove_other=True,
    )
    raw = events.encode(made_of(value, given)).decode()
    normal = normaliser.normalize_event(raw_event=raw)
    complaints = [
        error
        for error in normal.get("errors", [])
        if error["type"] not in ("past_timestamp", "future_timestamp")
    ]
    assert complaints == []


def test_golden_bytes(capture_with, raised) -> None:
    capture = capture_with(project_root="/srv/app")
    source = "def pay(order, password):\n    total = order['sum'] / 0\n    return total\n"
    import linecache

    path = "/srv/app/shop/payment.py"
    linecache.cache[path] = (len(source), None, source.splitlines(True), path)
    try:
        space: dict[str, Any] = {"__name__": "shop.payment"}
        exec(compile(source, path, "exec"), space)
        error = raised(lambda: space["pay"]({"sum": 5, "note": "Größe"}, "hunter2"))
        tb = error.__traceback__
        while tb is not None and tb.tb_next is not None:
            tb = tb.tb_next
        event = capture.event(error.with_traceback(tb))
    finally:
        del linecache.cache[path]
    event["exception"]["values"][0]["thread_id"] = "1"
    event.update(event_id="a" * 31 + "b", timestamp=1700000000.5, tags={"n": 1}, release="shop@1.0")
    events.finish(event, capture.options, capture.scrubber)
    assert events.encode(event) == (
        b'{"level":"error","exception":{"values":[{"type":"ZeroDivisionError","value":"division by zero",'
        b'"thread_id":"1","mechanism":{"type":"generic","handled":true},"stacktrace":{"frames":[{'
        b'"filename":"shop/payment.py","abs_path":"/srv/app/shop/payment.py","function":"pay","module":"shop.payment",'
        b'"lineno":2,"in_app":true,"context_line":"    total = order[\'sum\'] / 0",'
        b'"pre_context":["def pay(order, password):"],"post_context":["    return total"],'
        b'"vars":{"order":{"sum":"5","note":"\'Gr\xc3\xb6\xc3\x9fe\'"},"password":"[Filtered]"}}]}}]},'
        b'"event_id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab","timestamp":"2023-11-14T22:13:20.500000Z","tags":{"n":"1"},'
        b'"release":"shop@1.0","platform":"python",'
        b'"_meta":{"exception":{"values":{"0":{"stacktrace":{"frames":{"0":{"vars":{"password":'
        b'{"":{"rem":[["!config","s"]]}}}}}}}}}}}'
    )


def test_capture_imports_nothing_heavy() -> None:
    import subprocess
    from pathlib import Path

    code = (
        "import sys; before = set(sys.modules)\n"
        "from errtrack.capture import event\nfrom errtrack.capture.scrubber import Scrubber\n"
        "from errtrack.options import resolve\n"
        "options = resolve({})\nscrubber = Scrubber(options)\n"
        "def work(number, name):\n    1 / number\n"
        "try:\n    work(0, 'ann')\n"
        "except ZeroDivisionError as error:\n"
        "    made = event.from_exception(error, error.__traceback__, {'type': 'x'}, options, scrubber)\n"
        "event.finish(made, options, scrubber)\nevent.encode(made)\n"
        "print(' '.join(sorted(m for m in set(sys.modules) - before if not m.startswith('errtrack'))))"
    )
    agent = str(Path(events.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": agent},
        capture_output=True,
        text=True,
        check=True,
    )
    heavy = {"re", "json", "typing", "dataclasses", "enum", "functools", "collections", "linecache", "tokenize",
             "traceback", "inspect", "logging", "datetime", "uuid", "threading", "random"}  # fmt: skip
    assert heavy.isdisjoint(done.stdout.split()), done.stdout


def test_a_parameter_that_is_filtered_in_the_text_of_a_log_line_is_filtered_beside_it(capture) -> None:
    entry = {
        "message": "login of %s with password=%s and %s failed after %d",
        "params": ["ann", "hunter2", {"token": "hunter2"}, 3],
        "formatted": "login of ann with password=hunter2 and {'token': 'hunter2'} failed after 3",
    }
    event = capture.finished({"logentry": entry})
    assert "hunter2" not in json.dumps(event)
    assert event["logentry"]["params"] == ["ann", "[Filtered]", {"token": "[Filtered]"}, 3]
    assert event["_meta"]["logentry"]["params"]["1"] == {"": {"rem": [["!config", "s"]]}}
