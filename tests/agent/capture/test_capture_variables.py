# SPDX-License-Identifier: MIT
"""Values in frames: shown as far as they can be without running a line of the application's code."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import decimal
import enum
import functools
import http.cookiejar
import json
import pathlib
import sqlite3
import sys
import threading
import time
import types
import unittest.mock
import urllib.parse
import uuid
import weakref
from typing import Any, NamedTuple

import httpx
import pytest

from errtrack.capture import event as events
from errtrack.capture.jsonable import Cleaner
from errtrack.capture.scrubber import Scrubber
from errtrack.capture.serializer import Describer
from errtrack.capture.wire import Notes
from errtrack.options import resolve

CALLS: list[str] = []


def trap(name: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        CALLS.append(name)
        raise RuntimeError(name)

    return method


#: Every special method that describing something could touch. Creation and destruction stay.
DUNDERS = [
    "__repr__", "__str__", "__format__", "__bytes__", "__hash__", "__bool__", "__len__", "__iter__", "__next__",
    "__contains__", "__getitem__", "__missing__", "__reversed__", "__getattribute__", "__getattr__", "__dir__",
    "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__int__", "__float__", "__index__", "__add__",
    "__radd__", "__call__", "__enter__", "__exit__", "__reduce__", "__reduce_ex__", "__sizeof__", "__fspath__",
    "__length_hint__", "__instancecheck__", "__subclasscheck__", "keys", "items", "values", "get", "copy", "isoformat",
]  # fmt: skip


def hostile_namespace() -> dict[str, Any]:
    space: dict[str, Any] = {name: trap(name) for name in DUNDERS}
    space["__class__"] = property(trap("__class__"))
    space["lazy"] = property(trap("property"))
    return space


def hostile_meta() -> type:
    space = {name: trap("meta " + name) for name in DUNDERS if name not in ("__call__", "__getattribute__")}
    space["__getattribute__"] = trap("meta __getattribute__")
    return type("Meta", (type,), space)


def hostile_values() -> dict[str, Any]:
    """Instances of hostile classes, by name, made before the traps count."""
    made: dict[str, Any] = {}
    cases: list[tuple[str, tuple[type, ...], tuple[Any, ...]]] = [
        ("plain", (object,), ()),
        ("a_dict", (dict,), ([("inside", 1)],)),
        ("a_list", (list,), ([1, 2],)),
        ("a_tuple", (tuple,), ([1, 2],)),
        ("a_set", (set,), ([1, 2],)),
        ("a_frozenset", (frozenset,), ([1, 2],)),
        ("a_text", (str,), ("words",)),
        ("some_bytes", (bytes,), (b"bytes",)),
        ("a_number", (int,), (5,)),
        ("a_float", (float,), (1.5,)),
        ("a_deque", (collections.deque,), ([1],)),
        ("an_ordered_dict", (collections.OrderedDict,), ([("inside", 1)],)),
        ("a_default_dict", (collections.defaultdict,), ()),
        ("an_error", (ValueError,), ("words",)),
        ("a_module", (types.ModuleType,), ("lazy_module",)),
        ("a_moment", (datetime.datetime,), (2024, 1, 2)),
        ("a_decimal", (decimal.Decimal,), ("1.5",)),
        ("a_path", (type(pathlib.PurePath()),), ()),
        ("an_id", (uuid.UUID,), ("12345678123456781234567812345678",)),
    ]
    for name, bases, arguments in cases:
        made[name] = type("Hostile_" + name, bases, {"__class__": property(trap("__class__"))})(*arguments)
    for name, value in made.items():
        cls = type(value)
        for attribute, method in hostile_namespace().items():
            if attribute != "__class__":
                setattr(cls, attribute, method)
    meta = hostile_meta()
    made["of_hostile_meta"] = type.__call__(meta, "OfMeta", (), {})
    made["hostile_class"] = object.__new__(made["of_hostile_meta"])
    slotted = type("Slotted", (), {"__slots__": ("filled", "empty", "__weakref__")})
    one = slotted()
    one.filled = "in a slot"
    for attribute, method in hostile_namespace().items():
        if attribute != "__class__":
            setattr(slotted, attribute, method)
    made["slotted"] = one
    key = type("Key", (), {"__repr__": trap("key repr")})()
    made["odd_keys"] = {key: 1, (key, 2): 2, None: 3, 4.5: 4, b"b": 5}
    made["ordered"] = collections.OrderedDict([(key, 1)])
    type(key).__hash__ = trap("key hash")  # type: ignore[method-assign]
    type(key).__eq__ = trap("key eq")  # type: ignore[method-assign,assignment]
    zone_type = type(
        "Zone", (datetime.tzinfo,), {"utcoffset": trap("utcoffset"), "__repr__": trap("zone repr")}
    )
    made["zoned"] = datetime.datetime(2024, 1, 2, tzinfo=zone_type())
    made["sliced"] = slice(made["plain"], None)
    made["partial"] = functools.partial(made["plain"].__class__ if False else print, made["plain"])
    dead = type("Dead", (), {})()
    made["dead_proxy"] = weakref.proxy(dead)
    made["proxy"] = weakref.proxy(made["slotted"])
    made["generator"] = (trap("generator")(None) for _ in range(1))
    made["nested"] = [{"deeper": (made["plain"], made["a_dict"])}]
    return made


def test_no_method_of_the_application_runs_while_its_values_are_described(capture) -> None:
    values = hostile_values()
    names = list(values)
    CALLS.clear()
    describer = Describer(capture.options, capture.scrubber)
    shown = {name: json.loads(describer.describe(values[name], 2000)) for name in names}
    assert CALLS == []
    assert "could not be read" not in json.dumps(shown)
    assert shown["a_dict"]["inside"] == "1"
    assert shown["a_list"] == ["1", "2"]
    assert shown["a_text"] == "'words'"
    assert shown["a_number"] == "5"
    assert shown["slotted"]["filled"] == "'in a slot'"
    assert shown["plain"].endswith("Hostile_plain>")
    assert shown["zoned"].startswith("2024-01-02T00:00:00 <")
    with pytest.raises(RuntimeError):  # the traps are set
        repr(values["plain"])
    assert CALLS != []


def test_a_whole_event_with_hostile_locals_runs_none_of_their_code(capture, raised) -> None:
    values = hostile_values()

    def work(values: dict[str, Any]) -> None:
        plain, a_dict, meta = values["plain"], values["a_dict"], values["of_hostile_meta"]
        raise ValueError("x")

    error = raised(lambda: work(values))
    CALLS.clear()
    event = capture.of(error)
    assert CALLS == []
    last = event["exception"]["values"][-1]["stacktrace"]["frames"][-1]
    assert {"plain", "a_dict", "meta", "values"} <= set(last["vars"])


def test_hostile_values_attached_to_an_event_are_not_asked_either(capture) -> None:
    places = "tags extra contexts user request breadcrumbs modules fingerprint release level logger timestamp".split()
    for name, value in hostile_values().items():
        CALLS.clear()
        event: dict[str, Any] = dict.fromkeys(places, value)
        event["exception"] = {
            "values": [{"type": value, "value": value, "mechanism": {"type": value, "data": value}}]
        }
        shown = capture.finished(event)
        nested = {
            "request": dict.fromkeys(
                ("url", "headers", "cookies", "data", "env", "query_string", "method"), value
            ),
            "user": {"id": value, "plan": value},
            "tags": {"t": value},
            "contexts": {"c": value},
            "extra": {"e": value},
            "breadcrumbs": [{"message": value, "data": value, "level": value, "timestamp": value}],
        }
        capture.finished(nested)
        assert CALLS == [], (name, shown)


def test_leaves_are_texts_like_their_repr(capture) -> None:
    assert capture.variables(a=5, b="x", c=None, d=True, e=1.5, f=b"y", g=2j, h=...) == {
        "a": "5",
        "b": "'x'",
        "c": "None",
        "d": "True",
        "e": "1.5",
        "f": "b'y'",
        "g": "2j",
        "h": "Ellipsis",
    }


class Colour(enum.Enum):
    RED = 1


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Order:
    number: int
    lines: list[str]

    @property
    def total(self) -> int:
        raise AssertionError("a property was read")


def test_standard_types_show_what_they_hold(capture) -> None:
    shown = capture.variables(
        moment=datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
        day=datetime.date(2024, 1, 2),
        span=datetime.timedelta(seconds=5),
        price=decimal.Decimal("1.50"),
        ident=uuid.UUID(int=1),
        path=pathlib.PurePosixPath("/srv/app"),
        colour=Colour.RED,
        point=Point(1, 2),
        order=Order(7, ["a"]),
        queue=collections.deque([1, 2]),
        counts=collections.Counter("aab"),
        error=ValueError("x"),
        kind=Order,
        module=sys,
        call=functools.partial,
        lock=threading.Lock(),
    )
    assert shown["moment"] == "2024-01-02T03:04:05+00:00"
    assert shown["day"] == "2024-01-02"
    assert shown["span"] == "datetime.timedelta(seconds=5)"
    assert shown["price"] == "Decimal('1.50')"
    assert shown["ident"] == "UUID('00000000-0000-0000-0000-000000000001')"
    assert shown["path"] == "PurePosixPath('/srv/app')"
    assert shown["colour"] == "<%s.Colour.RED>" % __name__
    assert shown["point"] == {"__class__": "<%s.Point>" % __name__, "x": "1", "y": "2"}
    assert shown["order"] == {"__class__": "<%s.Order>" % __name__, "number": "7", "lines": ["'a'"]}
    assert shown["queue"] == ["1", "2"]
    assert shown["counts"] == {"__class__": "<collections.Counter>", "a": "2", "b": "1"}
    assert shown["error"] == {"__class__": "<ValueError>", "args": ["'x'"]}
    assert shown["kind"] == "<class %s.Order>" % __name__
    assert shown["module"] == "<module sys>"
    assert shown["lock"] == "<_thread.lock>"


def test_mocks_are_shown_without_being_called(capture) -> None:
    mock = unittest.mock.MagicMock()
    before = len(mock.mock_calls)
    shown = capture.variables(mock=mock)
    assert shown["mock"]["__class__"] == "<unittest.mock.MagicMock>"
    assert len(mock.mock_calls) == before


class Query:
    """Like a lazy query: every way of looking at it counts."""

    def __init__(self) -> None:
        self.model = "orders"
        self._result_cache = None

    def _run(self, *args: Any) -> Any:
        raise AssertionError("the query ran")

    __iter__ = __len__ = __bool__ = __repr__ = __getitem__ = _run


def test_a_lazy_query_is_not_run(capture) -> None:
    shown = capture.variables(query=Query())
    assert shown["query"]["model"] == "'orders'"
    assert shown["query"]["_result_cache"] == "None"


@pytest.mark.parametrize(
    "made",
    [
        lambda: "x" * 300_000_000,
        lambda: b"x" * 300_000_000,
        lambda: list(range(10_000_000)),
        lambda: 10**100_000,
        lambda: -(10**100_000),
        lambda: {n: n for n in range(1_000_000)},
        lambda: set(range(1_000_000)),
        lambda: range(10**18),
        lambda: memoryview(b"x" * 1_000_000),
        lambda: decimal.Decimal("1" * 100_000),
    ],
    ids=["text", "bytes", "list", "int", "negative", "dict", "set", "range", "memoryview", "decimal"],
)
def test_huge_values_cost_less_than_a_millisecond(capture, made: Any) -> None:
    value = made()  # not kept while other tests run: each look of the garbage collector would take its time
    describer = Describer(capture.options, capture.scrubber)
    best = 1.0
    for _ in range(5):
        started = time.perf_counter()
        text = describer.describe(value, 2000)
        best = min(best, time.perf_counter() - started)
    assert best < 0.001
    assert len(text) < 2000


def test_what_was_cut_says_how_much_there_was(capture) -> None:
    shown = capture.variables(a="x" * 5000, b=list(range(50)), c={n: n for n in range(30)})
    assert shown["a"].startswith("'xxx")
    assert shown["a"].endswith("(5000 characters)")
    assert shown["b"][-1] == "'... 40 more'" or shown["b"][-1] == "... 40 more"
    assert shown["c"]["..."] == "20 more"


def test_a_frame_stays_within_its_bytes(capture, raised) -> None:
    def deep(level: int) -> Any:
        return {"key%d" % n: deep(level - 1) for n in range(10)} if level else "leaf " * 20

    def outer(tree: Any, name: str) -> None:
        inner(tree)

    def inner(tree: Any) -> None:
        raise ValueError

    tree = deep(5)
    found = capture.of(raised(lambda: outer(tree, "n")))["exception"]["values"][-1]["stacktrace"]["frames"]
    assert len(json.dumps(found[-1]["vars"])) < 4096 + 1024
    assert len(json.dumps(found[-2]["vars"])) < 2048 + 1024
    assert found[-2]["vars"]["name"] == "'n'"


def test_of_100_locals_the_first_are_shown_and_the_rest_counted(capture_with, raised) -> None:
    capture = capture_with()
    source = "def work():\n%s    raise ValueError\n" % "".join(
        "    name%d = %d\n" % (n, n) for n in range(100)
    )
    space: dict[str, Any] = {"__name__": "m"}
    exec(source, space)
    event = capture.of(raised(space["work"]))
    position = len(event["exception"]["values"][0]["stacktrace"]["frames"]) - 1
    shown = event["exception"]["values"][0]["stacktrace"]["frames"][-1]["vars"]
    assert list(shown) == ["name%d" % n for n in range(25)]
    note = event["_meta"]["exception"]["values"]["0"]["stacktrace"]["frames"][str(position)]["vars"][""]
    assert note == {"len": 100}


def test_circles_and_deep_nesting_end(capture) -> None:
    circle: list[Any] = []
    circle.append(circle)
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    child: dict[str, Any] = {}
    child["parent"] = child
    shown = capture.variables(circle=circle, deep=deep, child=child)
    assert shown["circle"] == ["<cycle>"]
    assert shown["child"] == {"parent": "<cycle>"}
    assert shown["deep"] == [[["<list of 1>"]]]
    while deep:  # freed step by step
        deep = deep[0]


def test_odd_texts_become_valid_json(capture) -> None:
    shown = capture.variables(a="\ud800 \x00 \x1b", b={"\x00\ud800": 1}, c="Größe 🎉")
    assert shown["a"] == r"'\ud800 \x00 \x1b'"
    assert shown["b"] == {"\ufffd?": "1"}
    assert shown["c"] == "'Größe 🎉'"


def test_a_dict_that_another_thread_changes_costs_only_the_rest_of_it(capture) -> None:
    changing: dict[Any, int] = {n: n for n in range(8)}
    stop = threading.Event()

    def change() -> None:
        n = 0
        while not stop.is_set():
            changing[n % 1000 + 8] = n
            changing.pop(n % 997 + 8, None)
            n += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        describer = Describer(capture.options, capture.scrubber)
        for _ in range(2000):
            assert "could not" not in describer.describe({"changing": changing}, 2000)
            describer = Describer(capture.options, capture.scrubber)
    finally:
        stop.set()
        thread.join()


def test_repr_is_called_only_when_asked_for_and_guarded(capture, capture_with) -> None:
    class Own:
        def __repr__(self) -> str:
            return "<mine password=hunter2-real>"

    class Bad:
        def __repr__(self) -> str:
            raise ValueError

    class Long:
        def __repr__(self) -> str:
            return "x" * 5_000_000

    assert capture.variables(own=Own())["own"].endswith("Own>")
    shown = capture_with(locals="repr").variables(own=Own(), bad=Bad(), long=Long(), plain=[1])
    assert shown["own"].startswith("<mine password=[Filtered]")
    assert shown["bad"].endswith("repr raised ValueError>")
    assert len(shown["long"]) < 1100
    assert shown["plain"] == ["1"]


def test_one_object_in_many_frames_is_described_once() -> None:
    options = resolve({}, {})
    describer = Describer(options, Scrubber(options))
    shared = {"a": ["x" * 50] * 5}
    first = describer.describe(shared, 2000)
    assert describer.describe(shared, 2000) is first


def test_secrets_in_locals_are_filtered_by_name_and_by_look(capture) -> None:
    class Settings:
        def __init__(self) -> None:
            self.api_key = "value-1"
            self.host = "db"

    shown = capture.variables(
        password="value-2",
        settings=Settings(),
        headers=[("Authorization", "value-3"), (b"X-Api-Key", b"value-4")],
        form={"user": "ann", b"passwd": "value-5", ("token", 1): "value-6"},
        url="https://ann:value-7@example.com/?access_token=value-8",
        number=4111111111111111,
        text="pay with 4111 1111 1111 1111 now",
        author="Ann",
    )
    assert "value-" not in json.dumps(shown)
    assert "4111" not in json.dumps(shown)
    assert shown["author"] == "'Ann'"
    assert shown["settings"]["host"] == "'db'"
    assert shown["form"]["user"] == "'ann'"


class Header(NamedTuple):
    name: str
    value: str


class Composed:
    """As botocore's names of headers: a key that is no text."""

    def __init__(self, name: str) -> None:
        self._key = name


@dataclasses.dataclass
class Variable:
    name: str
    value: str


@pytest.mark.parametrize(
    "value",
    [
        {"name": "DB_PASSWORD", "value": "hunter2"},
        [{"Key": "X-Api-Key", "Value": "hunter2"}],
        [{"op": "replace", "path": "/password", "value": "hunter2"}],
        Header("Authorization", "hunter2"),
        Variable("DB_PASSWORD", "hunter2"),
        http.cookiejar.Cookie(
            0,
            "sessionid",
            "hunter2",
            None,
            False,
            "h",
            True,
            False,
            "/",
            True,
            False,
            None,
            False,
            None,
            None,
            {},
        ),
        ["login", "--password", "hunter2", "x"],
        ("mysql", "-u", "root", "-phunter2"),
        ["curl", "-u", "ann:hunter2"],
        json.dumps({"password": ["hunter2"]}),
        ValueError("password", "hunter2"),
        httpx.Headers({"X-Api-Key": "hunter2"}),
        {"type": "x", "loc": ("body", "password"), "msg": "too short", "input": "hunter2"},
        httpx.URL("http://ann:hunter2@h/"),
        urllib.parse.urlsplit("http://ann:hunter2@h/"),
        {Composed("X-Api-Key"): "hunter2"},
        "password=hunter2".partition("="),
        b"GET / HTTP/1.1\r\nCookie: a=hunter2; b=hunter2\r\nAuthorization: Key hunter2\r\n\r\n",
        b'--x\r\nContent-Disposition: form-data; name="password"\r\n\r\nhunter2\r\n--x--',
    ],
    ids=lambda value: "%s %.40r" % (type(value).__name__, value),
)
def test_values_are_filtered_by_the_names_beside_them_in_variables_and_in_what_is_attached(
    value: Any,
) -> None:
    options = resolve({}, {})
    scrubber = Scrubber(options)
    shown = Describer(options, scrubber).describe(value, 4000)
    attached = json.dumps(Cleaner(scrubber, Notes(), 1024).tree({"given": value}, ()))
    for text in (shown, attached):
        assert "hunter2" not in text and "[Filtered]" in text
        assert "ann" in text or "curl" not in text


def test_names_and_values_that_are_no_secrets_stay() -> None:
    options = resolve({}, {})
    value = [
        {"name": "color", "value": "blue"},
        {"path": "/auth/login", "value": "blue"},
        {"value": "green"},
        ["ls", "-l", "--all", "home"],
        ("password", "blue", "x"),
    ]
    shown = Describer(options, Scrubber(options)).describe(value, 4000)
    assert "[Filtered]" not in shown and "blue" in shown and "green" in shown and "home" in shown


def run(sql: str, params: tuple[Any, ...]) -> None:
    query = {"statement": sql, "params": list(params)}
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(sql, params)
    del query


@pytest.mark.parametrize(
    ("sql", "is_shown"),
    [
        ('INSERT INTO "auth_user" ("name", "password") VALUES (?, ?)', False),
        ("SELECT u.session_key FROM u WHERE a = ? AND b = ?", False),
        ('SELECT "auth_user"."name" FROM "auth_user" WHERE a = ? AND b = ?', True),
    ],
)
def test_what_is_filled_into_a_statement_is_filtered_where_that_names_a_secret(
    sql: str, is_shown: bool
) -> None:
    options = resolve({}, {})
    with pytest.raises(sqlite3.OperationalError) as caught:
        run(sql, ("ann", "hunter2"))
    event = events.from_exception(caught.value, caught.value.__traceback__, {"type": "generic"}, options)
    (value,) = json.loads(events.encode(event))["exception"]["values"]
    shown = value["stacktrace"]["frames"][-1]["vars"]
    assert (shown["params"], shown["query"]["params"]) == (
        (["'ann'", "'hunter2'"], ["'ann'", "'hunter2'"]) if is_shown else ("[Filtered]", "[Filtered]")
    )
    assert shown["sql"] == shown["query"]["statement"] == repr(sql)


@pytest.mark.parametrize(
    ("names", "values"),
    [
        (("key", "value"), ("DB_PASSWORD", "hunter2")),
        (("k", "v"), ("token", "hunter2")),
        (("key", "value"), (b"DB_PASSWORD", b"hunter2")),  # os.environ's own
        (("section", "option", "value"), ("db", "password", "hunter2")),
        (("header", "values"), ("X-Api-Key", ("hunter2",))),  # http.client's
        (("jwt", "key", "algorithms"), ("x", "hunter2", ["HS256"])),  # PyJWT's
        (("key", "msg", "digestmod"), ("hunter2", "x", "sha256")),
        (("hash", "salt"), ("hunter2", "x")),
        (("userinfo", "host"), ("ann:hunter2", "x")),
    ],
)
def test_a_variable_is_filtered_by_what_stands_beside_it(capture, names: Any, values: Any) -> None:
    shown = capture.variables(**dict(zip(names, values)))
    assert "hunter2" not in json.dumps(shown) and "[Filtered]" in shown.values()


@pytest.mark.parametrize(
    ("names", "values"),
    [
        (("key", "value"), ("color", "hunter2")),
        (("value", "fields"), ("hunter2", ("password",))),
        (("path", "value", "params"), ("/auth/token", "hunter2", {"page": "hunter2"})),
        (("name", "params"), ("auth", {"page": "hunter2"})),
        (("key", "function"), ("hunter2", len)),
        (("userinfo", "client"), ("hunter2", 5)),
    ],
)
def test_beside_what_tells_of_no_secret_it_is_shown(capture, names: Any, values: Any) -> None:
    assert "hunter2" in json.dumps(capture.variables(**dict(zip(names, values))))


def test_what_was_filtered_by_its_name_is_filtered_wherever_it_stands_in_the_event(capture, raised) -> None:
    def verify(text: str, given: bytes) -> None:
        raise ValueError("cannot verify %s of ann" % text)

    def log_in(token: str, auth: tuple[str, str], session: str, secret: str, cookie: str) -> None:
        verify(token, auth[1].encode())

    given = ("Abc4%s", "%s-and-more", "verify", "10.0.0.1:80", "a.b.c1.Verify")
    token, password, *others = [text.replace("%s", "hunter%d" % 2) for text in given]  # not in the source
    error = raised(lambda: log_in(token, ("ann", password), *others))
    said = {"message": "no %s", "formatted": "no " + token, "params": [token, "ann"]}
    event = capture.of(error, logentry=said, breadcrumbs=[{"message": "with " + password, "data": {"n": 1}}])
    assert event["logentry"] == {
        "message": "no %s",
        "formatted": "no [Filtered]",
        "params": ["[Filtered]", "ann"],
    }
    assert event["breadcrumbs"]["values"][0]["message"] == "with [Filtered]" and "withheld" not in event
    own = capture.finished(
        {"message": "a b", "withheld": ["a"], "exception": {"values": [{"type": "E", "value": "a"}]}}
    )
    assert own["logentry"]["formatted"] == "a b" and "withheld" not in own  # an application's own word
    (value,) = event["exception"]["values"]
    assert "hunter2" not in json.dumps([frame["vars"] for frame in value["stacktrace"]["frames"]])
    assert value["value"] == "cannot verify [Filtered] of ann"
    shown = value["stacktrace"]["frames"][-1]
    assert (
        shown["vars"] == {"text": "'[Filtered]'", "given": "b'[Filtered]'"} and shown["function"] == "verify"
    )


def test_words_numbers_and_dotted_names_are_no_secrets_elsewhere(capture, raised) -> None:
    def fail(session: str, auth_host: str, token_class: str, password: str) -> None:
        raise ValueError("%s %s %s %s" % (session, auth_host, token_class, password))

    text = "requests 10.0.0.1:80 django.tokens.Token2 2024-01-01T00:00:00Z"
    (value,) = capture.of(raised(lambda: fail(*text.split())))["exception"]["values"]
    assert value["value"] == text
    assert set(value["stacktrace"]["frames"][-1]["vars"].values()) == {"[Filtered]"}


def test_of_a_secret_it_is_shown_that_there_is_none(capture, raised) -> None:
    shown = capture.variables(
        token=None, has_password=True, cookies={}, password="", given={"token": None, "pw": 5}
    )
    assert shown == {
        "token": "None",
        "has_password": "True",
        "cookies": {},
        "password": "''",
        "given": {"token": "None", "pw": "[Filtered]"},
    }
    event = capture.of(
        raised(lambda: 1 // 0), extra={"has_token": False, "token": "x", "rows": [("token", None)]}
    )
    assert event["extra"] == {"has_token": False, "token": "[Filtered]", "rows": [["token", None]]}


def test_what_the_request_holds_under_a_secrets_name_is_filtered_in_the_error_too(capture, raised) -> None:
    secret = "hunter%d-of-ann" % 2  # not in the source

    def view(given: str, other: str) -> None:
        raise ValueError("no such user: %s, %s" % (given, other))

    error = raised(lambda: view(secret, "q" + secret))
    for request in (
        {"headers": {"X-Shop-Token": secret}},
        {"data": {"form": {"password": secret}}},
        {"cookies": [("sessionid", secret)]},
    ):
        event = capture.of(error, request=request)
        (value,) = event["exception"]["values"]
        assert value["value"] == "no such user: [Filtered], q[Filtered]"
        assert value["stacktrace"]["frames"][-1]["vars"] == {
            "given": "'[Filtered]'",
            "other": "'q[Filtered]'",
        }
