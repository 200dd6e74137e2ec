"""wsgi_servers: what is done to one request of a WSGI application, and to its body, in process."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import sys
import threading
import weakref
from typing import Any

import pytest

import errtrack
from errtrack.context import scope as scopes
from errtrack_instrumentations import _wsgi
from web import main_exception


def environ(path: str = "/", **more: Any) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_HOST": "localhost",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        **more,
    }


def start_response(status: str, headers: Any) -> None:
    """A server of the old kind, which takes no third argument."""


def served(app: Any, given: dict[str, Any] | None = None) -> list[bytes]:
    """What a server would send: every piece, then the end."""
    body = _wsgi.watch(app)(given if given is not None else environ(), start_response)
    try:
        return list(body)
    finally:
        if hasattr(body, "close"):
            body.close()


def raising(error: BaseException) -> Any:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        yield b"first"
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "count"), [(KeyboardInterrupt(), 1), (SystemExit(3), 1), (SystemExit(0), 0)]
)
def test_what_ends_programs_while_a_body_is_iterated(watching, error: BaseException, count: int) -> None:
    watching()
    with pytest.raises(type(error)) as raised:
        served(raising(error))
    assert raised.value is error
    assert [main_exception(e)["mechanism"]["type"] for e in watching.events] == ["wsgi"] * count


@pytest.mark.parametrize(
    ("error", "levels"),
    [
        (ZeroDivisionError("x"), ["error"]),
        (SystemExit(), []),
        (SystemExit(0), []),
        (SystemExit(1), ["fatal"]),
        (SystemExit("why"), ["fatal"]),
        (KeyboardInterrupt(), ["fatal"]),
        (GeneratorExit(), []),
    ],
    ids=repr,
)
def test_what_is_raised_before_an_answer(watching, error: BaseException, levels: list[str]) -> None:
    watching()

    def app(environ: Any, start_response: Any) -> Any:
        raise error

    with pytest.raises(type(error)) as raised:
        served(app)
    assert raised.value is error and error.__traceback__ is not None
    assert [event["level"] for event in watching.events] == levels
    for event in watching.events:
        exception = main_exception(event)
        assert exception["type"] == type(error).__name__
        assert exception["mechanism"] == {"type": "wsgi", "handled": False}
        assert event["request"]["url"] == "http://localhost/" and event["request"]["method"] == "GET"
        assert event["request"]["headers"] == {"Host": "localhost"}


def test_start_response_is_the_servers_own_with_what_it_takes_and_returns(watching) -> None:
    kept = []
    watching(traces_sample_rate=1.0, before_send_transaction=lambda event, hint: kept.append(event))
    seen: list[Any] = []

    def of_the_old_kind(status: str, headers: Any) -> Any:
        seen.append((status, headers))
        return seen.append

    def of_today(status: str, headers: Any, exc_info: Any = None) -> Any:
        seen.append((status, headers, exc_info))

    def app(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [("A", "b")])
        write("written")
        return []

    def failing(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        start_response("503 Away", [], (ValueError, ValueError("x"), None))
        return []

    _wsgi.watch(app)(environ(), of_the_old_kind)
    assert seen == [("200 OK", [("A", "b")]), "written"]
    _wsgi.watch(failing)(environ(), of_today)
    assert seen[-1][:2] == ("503 Away", []) and seen[-1][2][0] is ValueError
    assert seen[-2] == ("200 OK", [], None)
    assert [event["contexts"]["response"]["status_code"] for event in kept] == [200, 503]
    assert watching.events == []


def test_transaction_ends_with_the_body_closed_or_not(watching) -> None:
    kept: list[Any] = []
    watching(traces_sample_rate=1.0, before_send_transaction=lambda event, hint: kept.append(event))
    watched = _wsgi.watch(lambda environ, start_response: Plain())
    body = watched(environ("/closed"), start_response)
    assert list(body) == [b"x"] and kept == []
    body.close()
    assert len(kept) == 1
    body.close()  # as some do twice
    assert len(kept) == 1
    body = watched(environ("/let go"), start_response)
    list(body)
    assert len(kept) == 1
    del body
    gc.collect()
    assert len(kept) == 2
    _wsgi.watch(lambda environ, start_response: [])(environ(), start_response)
    assert len(kept) == 3  # there is nothing to wait for
    for app in (lambda environ, start_response: 1 / 0, raising(RuntimeError("amid it"))):
        with pytest.raises((ZeroDivisionError, RuntimeError)):
            served(app)
    assert [event["contexts"]["trace"].get("status") for event in kept[2:]] == [
        "ok",
        "internal_error",
        "internal_error",
    ]


def test_write_of_a_server_that_fails_is_no_error_but_one_of_the_applications_own_is(watching) -> None:
    watching()
    space: dict[str, Any] = {}
    exec(
        "def start_response(status, headers):\n    return write\ndef write(piece):\n    raise BrokenPipeError(32, 'gone')",
        space,
    )

    def writing(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])(b"x")

    def failing(environ: Any, start_response: Any) -> Any:
        raise BrokenPipeError(32, "own")

    for app in (writing, failing):
        for outer in (_wsgi.watch(app), _wsgi.watch(app, is_answered=True)):
            with pytest.raises(BrokenPipeError):
                outer(environ(), space["start_response"])
    assert [main_exception(event)["value"] for event in watching.events] == ["[Errno 32] own"] * 2


@pytest.mark.parametrize("cut", [False, True])
def test_error_that_start_response_raises_again_is_the_same(watching, cut: bool) -> None:
    """As the specification has it, where the answer is under way already."""
    watching()

    def start_response(status: str, headers: Any, exc_info: Any) -> None:
        if cut:
            raise exc_info[1].with_traceback(exc_info[2])
        raise exc_info[1]

    def app(environ: Any, start_response: Any) -> Any:
        try:
            raise LookupError("x")
        except LookupError:
            errtrack.capture_exception()
            start_response("500 Oops", [], sys.exc_info())
        return []

    with pytest.raises(LookupError):
        _wsgi.watch(app)(environ(), start_response)
    assert main_exception(watching.event())["mechanism"]["type"] == "generic"


def test_end_of_a_generator_is_in_the_scope_of_its_request(watching) -> None:
    watching()

    def app(environ: Any, start_response: Any) -> Any:
        errtrack.set_tag("mine", "yes")
        try:
            yield b"first"
            yield b"second"
        finally:
            errtrack.capture_message("over")

    body = _wsgi.watch(app)(environ("/left"), start_response)
    assert next(iter(body)) == b"first"
    body.close()
    event = watching.event()
    assert event["tags"] == {"mine": "yes"} and event["request"]["url"] == "http://localhost/left"


class Plain:
    def __iter__(self) -> Any:
        return iter([b"x"])


class File(Plain):
    def fileno(self) -> int:
        return 0


@pytest.mark.parametrize("wrapper", [True, False])
@pytest.mark.parametrize("kind", [Plain, File])
def test_files_go_to_the_server_as_they_are_where_it_sends_files(watching, wrapper: bool, kind: type) -> None:
    watching()
    body = kind()
    given = environ(**({"wsgi.file_wrapper": lambda file: file} if wrapper else {}))
    answer = _wsgi.watch(lambda environ, start_response: body)(given, start_response)
    assert (answer is body) == (wrapper and kind is File)
    assert list(answer) == list(answer) == [b"x"]  # what may be gone through twice, still may


def test_lists_are_untouched_and_lengths_stay(watching) -> None:
    watching()
    pieces = [b"a"]
    assert _wsgi.watch(lambda e, s: pieces)(environ(), start_response) is pieces

    class Sized(Plain):
        def __len__(self) -> int:
            return 1

    assert len(_wsgi.watch(lambda e, s: Sized())(environ(), start_response)) == 1
    assert not hasattr(_wsgi.watch(lambda e, s: Plain())(environ(), start_response), "__len__")


def test_interleaved_bodies_on_one_thread_and_a_body_in_another(watching) -> None:
    watching()

    def app(environ: Any, start_response: Any) -> Any:
        errtrack.set_tag("path", environ["PATH_INFO"])
        yield b"1"
        errtrack.capture_message(environ["PATH_INFO"])
        yield b"2"

    watched = _wsgi.watch(app)
    first, second, third = (iter(watched(environ(path), start_response)) for path in ("/a", "/b", "/c"))
    for body in (first, second, third):
        next(body)
    next(first)
    next(second)
    thread = threading.Thread(target=next, args=(third,))
    thread.start()
    thread.join()
    assert [(e["logentry"]["formatted"], e["tags"]) for e in watching.events] == [
        (path, {"path": path}) for path in ("/a", "/b", "/c")
    ]


def test_request_inside_of_a_request_has_its_own_url_and_the_outer_one_goes_on(watching) -> None:
    watching()

    def inner(environ: Any, start_response: Any) -> Any:
        raise ValueError("inner")

    watched = _wsgi.watch(inner)

    def outer(environ_: Any, start_response: Any) -> Any:
        errtrack.set_tag("outer", "yes")
        with pytest.raises(ValueError):
            watched(environ("/inner"), start_response)
        raise RuntimeError("outer")

    with pytest.raises(RuntimeError):
        served(outer, environ("/outer"))
    assert [e["request"]["url"] for e in watching.events] == [
        "http://localhost/inner",
        "http://localhost/outer",
    ]


def test_request_of_an_event_is_the_environs(watching) -> None:
    watching()
    sent = {"REQUEST_METHOD": "POST", "QUERY_STRING": "q=1", "HTTP_X_THING": "y", "CONTENT_LENGTH": "3"}
    for kind in ("text/plain", ""):
        with pytest.raises(RuntimeError):
            served(raising(RuntimeError()), environ("/a", CONTENT_TYPE=kind, **sent))
    headers = {"Host": "localhost", "X-Thing": "y", "Content-Length": "3"}
    first, second = (event["request"] for event in watching.events)
    assert first == {
        "url": "http://localhost/a",
        "method": "POST",
        "query_string": "q=1",
        "headers": {**headers, "Content-Type": "text/plain"},
        "env": {"SERVER_NAME": "localhost", "SERVER_PORT": "80"},
    }
    assert second == {**first, "headers": headers}


def test_inner_layer_of_one_request_adds_to_the_outer_one(watching) -> None:
    kept: list[Any] = []
    watching(traces_sample_rate=1.0, before_send_transaction=lambda event, hint: kept.append(event))

    def application(environ: Any, start_response: Any) -> Any:
        errtrack.set_tag("inner", "yes")
        return [b"x"]

    inner = _wsgi.watch(application)

    def middleware(environ: Any, start_response: Any) -> Any:
        inner(environ, start_response)
        raise RuntimeError("outer")

    with pytest.raises(RuntimeError):
        served(middleware)
    assert watching.event()["tags"] == {"inner": "yes"} and len(kept) == 1


def test_environ_is_let_go_though_somebody_holds_the_scope(watching) -> None:
    watching()

    class Environ(dict):  # type: ignore[type-arg]
        pass

    held = []

    def app(environ: Any, start_response: Any) -> Any:
        held.append(errtrack.get_isolation_scope())
        return [b"x"]

    given = Environ(environ())
    reference = weakref.ref(given)
    served(app, given)
    assert _wsgi.KEY not in given
    del given
    gc.collect()
    assert reference() is None and len(held) == 1


def test_failing_close_is_one_event_and_ends_the_request(watching) -> None:
    watching()

    class Failing(Plain):
        def close(self) -> None:
            errtrack.set_tag("closing", "yes")
            raise RuntimeError("close")

    given = environ()
    with pytest.raises(RuntimeError):
        served(lambda environ, start_response: Failing(), given)
    assert main_exception(watching.event())["value"] == "close"
    assert watching.event()["tags"] == {"closing": "yes"} and _wsgi.KEY not in given


def test_no_client_address_is_no_user(watching) -> None:
    watching(send_default_pii=True)
    with pytest.raises(RuntimeError):
        served(raising(RuntimeError()))
    assert "user" not in watching.event()
    with pytest.raises(RuntimeError):
        served(raising(RuntimeError()), environ(HTTP_X_FORWARDED_FOR="192.0.2.3"))  # a proxy on a Unix socket
    assert watching.events[1]["user"] == {"ip_address": "192.0.2.3"}


def test_personal_headers_are_filtered_before_anybody_else_looks(watching) -> None:
    watching()
    names = (
        "AUTHORIZATION COOKIE FORWARDED PROXY_AUTHORIZATION SET_COOKIE X_API_KEY X_FORWARDED_FOR X_REAL_IP"
    )
    event: dict[str, Any] = {}
    _wsgi.describe(event, environ(**{"HTTP_" + name: "x" for name in names.split()}))
    shown = event["request"]["headers"]
    assert shown.pop("Host") == "localhost"
    assert set(shown.values()) == {"[Filtered]"} and len(shown) == 8


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("application/json", True),
        ("application/problem+json", True),
        ("text/x+json", False),
        ("application/jsonp", False),
    ],
)
def test_kinds_of_json(kind: str, answer: bool) -> None:
    from errtrack_instrumentations import _body

    assert _body.is_json(kind) is answer


def test_trace_that_comes_in_is_continued_and_every_request_else_has_its_own(watching) -> None:
    watching()
    trace = "771a43a4192642f0b136d5159a501700"

    def app(environ: Any, start_response: Any) -> Any:
        errtrack.capture_message("x")
        return []

    for more in ({"HTTP_SENTRY_TRACE": trace + "-a0cfbde2bdff3adc-1"}, {}, {"REQUEST_METHOD": "HEAD"}):
        served(app, environ(**more))
    traces = [event["contexts"]["trace"] for event in watching.events]
    assert (traces[0]["trace_id"], traces[0]["parent_span_id"]) == (trace, "a0cfbde2bdff3adc")
    assert len({t["trace_id"] for t in traces}) == 3


def test_w3c_trace_that_comes_in(watching) -> None:
    watching()
    trace = "771a43a4192642f0b136d5159a501700"
    with pytest.raises(RuntimeError):
        served(raising(RuntimeError()), environ(HTTP_TRACEPARENT="00-%s-a0cfbde2bdff3adc-01" % trace))
    context = watching.event()["contexts"]["trace"]
    assert (context["trace_id"], context["parent_span_id"]) == (trace, "a0cfbde2bdff3adc")


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({}, "192.0.2.1"),
        ({"HTTP_X_REAL_IP": "192.0.2.2"}, "192.0.2.2"),
        ({"HTTP_X_REAL_IP": "192.0.2.2", "HTTP_X_FORWARDED_FOR": " 192.0.2.3 , 192.0.2.4"}, "192.0.2.3"),
    ],
)
def test_address_of_the_client_and_the_users_own(watching, headers: dict[str, str], address: str) -> None:
    watching(send_default_pii=True)

    def app(environ: Any, start_response: Any) -> Any:
        errtrack.set_user(
            {"id": "1", **({"ip_address": "198.51.100.9"} if environ["PATH_INFO"] == "/own" else {})}
        )
        raise RuntimeError

    for path in ("/", "/own"):
        with pytest.raises(RuntimeError):
            served(app, environ(path, REMOTE_ADDR="192.0.2.1", **headers))
    assert [e["user"]["ip_address"] for e in watching.events] == [address, "198.51.100.9"]
    assert [e["request"]["env"]["REMOTE_ADDR"] for e in watching.events] == ["192.0.2.1"] * 2


def test_request_that_cannot_be_described_costs_no_event(watching, faults_counted: dict[str, int]) -> None:
    watching()

    def app(environ: Any, start_response: Any) -> Any:
        errtrack.set_tag("own", "yes")
        environ["SCRIPT_NAME"] = environ["PATH_INFO"] = None  # as no server would have it
        raise RuntimeError("x")

    with pytest.raises(RuntimeError):
        served(app)
    event = watching.event()
    assert event["tags"] == {"own": "yes"} and "request" not in event
    assert faults_counted == {"event processor": 1}


def test_environ_and_scopes_are_let_go(watching) -> None:
    watching()

    class Environ(dict):  # type: ignore[type-arg]
        pass

    scopes = []

    def app(environ: Any, start_response: Any) -> Any:
        scopes.append(weakref.ref(errtrack.get_isolation_scope()))
        if environ["PATH_INFO"] == "/fail":
            raise RuntimeError("x")
        return Plain()

    watched = _wsgi.watch(app)
    references = []
    for path in ["/fail"] + ["/ok"] * 1000:
        given = Environ(environ(path))
        references.append(weakref.ref(given))
        try:
            body = watched(given, start_response)
            list(body)  # and never closed
        except RuntimeError:
            pass
        body = None
        del given
    watching.events.clear()
    watching.hints.clear()
    gc.collect()
    assert [r for r in references if r() is not None] == []
    assert [r for r in scopes if r() is not None] == []


@pytest.mark.slow
def test_a_hundred_thousand_requests_leave_nothing(watching) -> None:
    watching()
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0

    def app(environ: Any, start_response: Any) -> Any:
        alive.add(errtrack.get_isolation_scope())
        return Plain()

    watched = _wsgi.watch(app)
    for number in range(100_000):
        for _ in watched(environ(), start_response):
            pass
        if number % 10_000 == 0:
            gc.collect()
            most = max(most, len(alive))
    gc.collect()
    assert most <= 1 and len(alive) == 0


def plain(environ: Any, start_response: Any) -> Any:
    return [b"plain"]


def test_watched_application_is_pickled_and_copied_as_itself() -> None:
    watched = _wsgi.watch(plain)
    assert pickle.loads(pickle.dumps(watched)) is plain
    assert copy.copy(watched) is copy.deepcopy(watched) is plain
    with pytest.raises(TypeError):
        watched()
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(_wsgi.watch(lambda environ, start_response: []))


@pytest.mark.parametrize("kind", [list, iter, Plain])
def test_requests_that_are_over_leave_nothing_to_the_garbage_collector(watching, kind: Any) -> None:
    watching()
    watched = _wsgi.watch(lambda environ, start_response: kind() if kind is Plain else kind([b"x"]))

    def serve() -> None:
        body = watched(environ(), start_response)
        assert list(body) == [b"x"]
        getattr(body, "close", list)()

    def left_by_ten() -> int:
        gc.collect()
        for _ in range(10):
            serve()
        return gc.collect()

    serve()
    gc.disable()
    try:
        # A thread of an earlier test's may leave something meanwhile; requests would each time.
        assert min(left_by_ten() for _ in range(3)) == 0
    finally:
        gc.enable()


def test_what_the_scope_of_a_request_was_told_to_call_stays_when_the_request_is_over(watching) -> None:
    watching()
    seen: list[str] = []
    held: list[Any] = []

    def note(event: Any, hint: Any) -> Any:
        seen.append(event["logentry"]["formatted"])
        return event

    def app(environ: Any, start_response: Any) -> Any:
        errtrack.get_isolation_scope().add_event_processor(note)
        held.append(errtrack.get_isolation_scope())
        return [b""]

    _wsgi.watch(app)(environ("/over"), start_response)
    with scopes.entered(held[0]):
        errtrack.capture_message("from a thread that outlives it")
    assert seen == ["from a thread that outlives it"] and "request" not in watching.event()
