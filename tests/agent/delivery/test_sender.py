# SPDX-License-Identifier: MIT
"""The sender: the request the servers want, and nothing a server does can hold us up or lead us elsewhere."""

from __future__ import annotations

import gzip
import os
import socket
import threading
import time
from pathlib import Path

import pytest
from deliveries import event, new_id
from sink import Sink

from errtrack import guard
from errtrack.delivery import sender as senders
from errtrack.delivery.connection import proxy_for
from errtrack.delivery.sender import Sender
from errtrack.dsn import Dsn
from errtrack.options import Options

CERTIFICATE = str(Path(__file__).with_name("loopback.pem"))


@pytest.fixture
def sender(options: Options, sink: Sink) -> Sender:
    return Sender(options, Dsn.parse(sink.dsn), {})


def test_the_request_is_the_one_of_the_protocol(sender: Sender, sink: Sink) -> None:
    wanted = new_id()
    answer = sender.send(event(wanted))
    (request,) = sink.requests
    assert answer.status == 200 and answer.meaning == senders.DELIVERED
    assert request.path == "/api/1/envelope/"
    assert request.headers["content-type"] == "application/x-sentry-envelope"
    assert request.headers["user-agent"].startswith("errtrack.python/")
    assert request.headers["x-sentry-auth"] == (
        "Sentry sentry_key=d45fd436a6294e4f8b6d5ef4a4f0d1c3, sentry_version=7, sentry_client="
        + request.headers["user-agent"]
    )
    assert "content-encoding" not in request.headers and "cookie" not in request.headers
    assert request.envelope.event_id == wanted
    sent_at = request.envelope.headers["sent_at"]
    assert (
        abs(time.mktime(time.strptime(sent_at[:19], "%Y-%m-%dT%H:%M:%S")) - time.mktime(time.gmtime())) < 3700
    )
    sender.close()


def test_only_larger_bodies_are_compressed_and_always_to_the_same_bytes(sender: Sender, sink: Sink) -> None:
    sender.send(event(size=5000))
    assert sink.requests[0].headers["content-encoding"] == "gzip"
    assert len(sink.requests[0].packed) < 1000
    assert b"x" * 5000 in sink.requests[0].body
    assert senders.compressed(b"abc" * 999) == senders.compressed(b"abc" * 999)
    assert gzip.decompress(senders.compressed(b"abc")) == b"abc"
    sender.close()


def test_the_connection_is_kept(sender: Sender, sink: Sink) -> None:
    for _ in range(3):
        assert sender.send(event()).status == 200
    assert sink.connections == 1
    sender.close()


@pytest.mark.skipif(not hasattr(socket, "MSG_MORE"), reason="only Linux can be told that there is more")
def test_head_and_body_leave_together(sender: Sender, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = {}

    def sendall(self: socket.socket, data: bytes, more: int = 0) -> None:
        flags[data[:4]] = more
        for at in range(0, len(data), 1000):
            assert self.send(data[at : at + 1000], more) > 0

    monkeypatch.setattr(socket.socket, "sendall", sendall, raising=False)
    assert sender.send(event()).status == 200
    assert (flags[b"POST"], flags[b'{"ev']) == (socket.MSG_MORE | socket.MSG_NOSIGNAL, socket.MSG_NOSIGNAL)
    sender.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="only Linux lets a program ask for it")
def test_answer_in_two_pieces_is_not_waited_for(
    sender: Sender, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without TCP_NODELAY the second piece leaves when the first was acknowledged: 40 ms later, unless at once.
    monkeypatch.setattr(sink._server.RequestHandlerClass, "disable_nagle_algorithm", False)
    took = []
    for _ in range(50):
        began = time.monotonic()
        assert sender.send(event()).status == 200
        took.append(time.monotonic() - began)
    assert sink.connections == 1
    assert min(took[20:]) < 0.03  # of the first ones Linux acknowledges all at once


def test_a_connection_that_the_server_gave_up_is_made_again(options: Options) -> None:
    with Sink() as first:
        sender = Sender(options, Dsn.parse(first.dsn), {})
        assert sender.send(event()).status == 200
        port = first.port
    with Sink(port=port) as second:
        # Whatever the first attempt meets, the one after it gets through.
        answers = [sender.send(event()).status for _ in range(2)]
        assert answers[-1] == 200
        assert len(second.event_ids()) >= 1
        sender.close()


@pytest.mark.parametrize(
    "status, meaning",
    [(200, "delivered"), (202, "delivered"), (301, "forbidden"), (307, "forbidden"), (400, "refused"), (401, "forbidden"),
     (403, "forbidden"), (404, "refused"), (408, "busy"), (413, "too large"), (422, "refused"), (425, "busy"),
     (429, "limited"), (500, "broken"), (501, "broken"), (502, "busy"), (503, "busy"), (504, "busy")],
)  # fmt: skip
def test_what_every_status_means(sender: Sender, sink: Sink, status: int, meaning: str) -> None:
    sink.answer(status, {"Retry-After": "7", "X-Sentry-Error": "no\tgood"})
    answer = sender.send(event())
    assert (answer.status, answer.meaning) == (status, meaning)
    assert answer.headers["retry-after"] == "7"
    assert answer.detail == "no good"
    assert len(sink.requests) == 1  # never tried again by itself
    sender.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(sender: Sender, sink: Sink, status: int) -> None:
    with Sink() as other:
        sink.answer(status, {"Location": "http://127.0.0.1:%d/api/1/envelope/" % other.port})
        sender.send(event())
        assert other.connections == 0
    sender.close()


def test_an_endless_answer_is_read_no_further_than_64_kib(sender: Sender, sink: Sink) -> None:
    sink.mode = "bigbody"
    answer = sender.send(event())
    assert answer.status == 200
    time.sleep(0.1)
    assert sink.sent_of_big_body < 20_000_000  # what the kernels' buffers took
    sink.mode = "ok"
    assert sender.send(event()).status == 200
    sender.close()


BOMBS = {
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"10000\r\n" + b"x" * 65_536 + b"\r\n",
    ),
    "one chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffff\r\n", b"x" * 65_536),
    "packed": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 99999999999\r\n\r\n",
        gzip.compress(bytes(10_000_000)),
    ),
    "heads": (b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n" * 1000),
    "one head": (b"HTTP/1.1 200 OK\r\nX-Sentry-Rate-Limits: ", b"9" * 65_536),
    "statuses": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_answers_without_end_of_every_kind_are_given_up(options: Options, bomb: str) -> None:
    import resource

    options.set("request_timeout", 3.0, "test")
    head, more = BOMBS[bomb]
    sent = 0

    def answer() -> None:
        nonlocal sent
        connection, _ = server.accept()
        with connection:
            connection.recv(100_000)
            try:
                connection.sendall(head)
                while sent < 600_000_000:
                    connection.sendall(more)
                    sent += len(more)
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sender = Sender(options, Dsn.parse("http://k@127.0.0.1:%d/1" % server.getsockname()[1]), {})
        answered = sender.send(event())
        sender.close()
        thread.join(20)
    assert not thread.is_alive()  # its connection was closed
    assert answered.status in (0, 200)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000


@pytest.mark.parametrize("mode", ["hang", "drip"])
def test_an_answer_has_to_be_there_in_time(options: Options, sink: Sink, mode: str) -> None:
    options.set("request_timeout", 1.3, "test")
    sink.mode = mode
    sender = Sender(options, Dsn.parse(sink.dsn), {})
    began = time.monotonic()
    answer = sender.send(event())
    assert 1.2 < time.monotonic() - began < 2.0
    assert (answer.status, answer.meaning, answer.error) == (0, "unreachable", "no answer in time")
    sender.close()


def test_a_black_hole_is_given_up_after_the_connect_timeout(options: Options) -> None:
    hole = socket.socket()
    hole.bind(("127.0.0.1", 0))
    hole.listen(0)
    filling = []
    for _ in range(4):  # the kernel drops what does not fit in the queue
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(hole.getsockname())
        filling.append(one)
    options.set("connect_timeout", 0.5, "test")
    sender = Sender(options, Dsn.parse("http://k@127.0.0.1:%d/1" % hole.getsockname()[1]), {})
    began = time.monotonic()
    assert sender.send(event()).meaning == "unreachable"
    assert 0.4 < time.monotonic() - began < 1.5
    # And a connection that is being made can be cut short.
    options.set("connect_timeout", 30, "test")
    threading.Timer(0.2, sender.abort).start()
    began = time.monotonic()
    assert sender.send(event()).status == 0
    assert time.monotonic() - began < 1.5
    for one in (hole, *filling):
        one.close()


@pytest.mark.parametrize("mode", ["hang", "drip"])
@pytest.mark.parametrize("tls", [False, True])
def test_a_hanging_request_is_cut_short_from_another_thread(options: Options, mode: str, tls: bool) -> None:
    options.set("ca_certs", CERTIFICATE, "test")
    with Sink(CERTIFICATE if tls else None) as sink:
        sink.mode = mode
        sender = Sender(options, Dsn.parse(sink.dsn), {})
        threading.Timer(0.5, sender.abort).start()
        began = time.monotonic()
        answer = sender.send(event())
        assert answer.status == 0
        assert 0.4 < time.monotonic() - began < 2.5
        assert sender.send(event()).status == 0  # and none is begun any more
        assert len(sink.requests) == 1


def test_faults_of_the_network_are_put_into_words(options: Options, sink: Sink) -> None:
    sink.mode = "reset"
    assert "reset" in Sender(options, Dsn.parse(sink.dsn), {}).send(event()).error
    closed = Sender(options, Dsn.parse("http://k@127.0.0.1:1/1"), {}).send(event())
    assert closed.error == "Connection refused" and closed.meaning == "unreachable"
    unknown = Sender(options, Dsn.parse("http://k@errtrack.invalid/1"), {}).send(event())
    assert unknown.meaning == "unreachable" and unknown.error


def test_a_resolver_that_wants_a_thread_when_none_is_to_be_had_is_done_without(
    sender: Sender, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def threaded(*_: object) -> object:  # as gevent's at exit, from Python 3.12 on
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(socket, "getaddrinfo", threaded)
    assert sender.send(event()).status == 200
    sender.close()


def test_our_own_requests_are_known_as_such(
    options: Options, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda *a, **k: (seen.append(guard.is_inside()), real(*a, **k))[1]
    )
    sender = Sender(options, Dsn.parse(sink.dsn), {})
    sender.send(event())
    sender.close()
    assert seen == [True]


def test_an_untrusted_certificate_is_never_talked_to(options: Options) -> None:
    with Sink(CERTIFICATE) as sink:
        answer = Sender(options, Dsn.parse(sink.dsn), {}).send(event())
        assert "set ca_certs" in answer.tls_remedy and answer.meaning == "forbidden"
        assert "self-signed" in answer.error or "self signed" in answer.error
        assert sink.requests == []


@pytest.mark.parametrize("where", ["ca_certs", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_ca_bundle_can_be_named(options: Options, where: str) -> None:
    environ = {}
    if where == "ca_certs":
        options.set("ca_certs", CERTIFICATE, "test")
    else:
        environ[where] = CERTIFICATE
    with Sink(CERTIFICATE) as sink:
        sender = Sender(options, Dsn.parse(sink.dsn), environ)
        assert [sender.send(event()).status for _ in range(2)] == [200, 200]
        assert sink.connections == 1
        wrong = Dsn.parse(sink.dsn.replace("127.0.0.1", "localhost"))
        told = Sender(options, wrong, environ).send(event()).tls_remedy  # trusted, but another host's
        assert told == "put the host into the DSN that the server's certificate is for"
        sender.close()


@pytest.mark.parametrize("setting", ["ca_certs", "cert_file"])
def test_a_bundle_that_cannot_be_read_is_named(options: Options, sink: Sink, setting: str) -> None:
    options.set(setting, "/nowhere/x.pem", "test")
    answer = Sender(options, Dsn.parse(sink.dsn.replace("http:", "https:")), {}).send(event())
    assert answer.tls_remedy == "correct that setting"
    assert setting in answer.error and "/nowhere/x.pem" in answer.error and "No such file" in answer.error


def test_a_proxy_is_used_and_given_its_password(options: Options, sink: Sink) -> None:
    dsn = Dsn.parse("http://k@errors.example/1")
    sender = Sender(options, dsn, {"http_proxy": "http://me:p%40ss@127.0.0.1:" + str(sink.port)})
    assert sender.send(event()).status == 200
    (request,) = sink.requests
    assert request.path == "http://errors.example/api/1/envelope/"
    assert request.headers["host"] == "errors.example"
    assert request.headers["proxy-authorization"] == "Basic bWU6cEBzcw=="
    sender.close()


def test_socks_proxies_are_spoken_to(options: Options) -> None:
    pytest.importorskip("socks")
    server = socket.create_server(("127.0.0.1", 0))
    heard = []

    def serve() -> None:
        one, _ = server.accept()
        heard.append(one.recv(100))
        one.sendall(b"\x05\x00")
        heard.append(one.recv(100))
        one.close()

    thread = threading.Thread(target=serve)
    thread.start()
    environ = {"ALL_PROXY": "socks5://127.0.0.1:%d" % server.getsockname()[1]}
    answer = Sender(options, Dsn.parse("http://k@errors.example/1"), environ).send(event())
    thread.join()
    server.close()
    assert answer.status == 0
    assert b"errors.example" in heard[1]  # the name is resolved by the proxy


@pytest.mark.parametrize(
    "dsn, settings, environ, expected",
    [
        ("http://k@h/1", {}, {}, ""),
        ("http://k@h/1", {}, {"http_proxy": "http://p:1"}, "http://p:1"),
        ("http://k@h/1", {}, {"HTTP_PROXY": "p:1"}, "http://p:1"),
        ("http://k@h/1", {}, {"HTTP_PROXY": "http://evil", "REQUEST_METHOD": "GET"}, ""),
        ("http://k@h/1", {}, {"http_proxy": "http://p", "REQUEST_METHOD": "GET"}, "http://p"),
        ("https://k@h/1", {}, {"HTTPS_PROXY": "http://p", "REQUEST_METHOD": "GET"}, "http://p"),
        ("https://k@h/1", {}, {"http_proxy": "http://p"}, ""),
        ("https://k@h/1", {}, {"all_proxy": "socks5://p"}, "socks5://p"),
        ("https://k@h/1", {"https_proxy": "http://mine"}, {"https_proxy": "http://p"}, "http://mine"),
        ("https://k@h/1", {"https_proxy": "none"}, {"https_proxy": "http://p"}, ""),
        ("https://k@a.h.example/1", {}, {"https_proxy": "http://p", "no_proxy": "x, .h.example"}, ""),
        ("https://k@h.example/1", {}, {"https_proxy": "http://p", "NO_PROXY": "h.example:443"}, ""),
        (
            "https://k@h.example:8443/1",
            {},
            {"https_proxy": "http://p", "NO_PROXY": "h.example:443"},
            "http://p",
        ),
        ("https://k@other.example/1", {}, {"https_proxy": "http://p", "no_proxy": "her.example"}, "http://p"),
        ("https://k@h/1", {}, {"https_proxy": "http://p", "no_proxy": "*"}, ""),
        ("https://k@[::1]/1", {}, {"https_proxy": "http://p", "no_proxy": "::1"}, ""),
        ("https://k@h/1", {"https_proxy": "http://mine"}, {"no_proxy": "*"}, "http://mine"),
    ],
)
def test_which_proxy_is_used(
    dsn: str, settings: dict[str, str], environ: dict[str, str], expected: str
) -> None:
    options = Options()
    for name, value in settings.items():
        options.set(name, value, "test")
    assert proxy_for(options, Dsn.parse(dsn), environ) == expected


def test_what_is_no_envelope_is_not_sent(sender: Sender, sink: Sink) -> None:
    with pytest.raises(ValueError):
        sender.send(os.urandom(100))
    assert sink.connections == 0


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="this system calls it by another name")
def test_an_idle_connection_is_probed(options: Options, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[socket.socket] = []
    watch = Sender.watch
    monkeypatch.setattr(Sender, "watch", lambda self, found: (watched.append(found), watch(self, found))[1])
    sender = Sender(options, Dsn.parse(sink.dsn), {})
    assert sender.send(event()).status == 200
    made = watched[0]
    assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    probes = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    assert [made.getsockopt(socket.IPPROTO_TCP, option) for option in probes] == [45, 10, 6]
    sender.close()
