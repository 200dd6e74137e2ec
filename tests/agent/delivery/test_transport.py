# SPDX-License-Identifier: MIT
"""The transport: safe at once, delivered soon, kept through every fault of server and disk."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any, Callable

import pytest
from deliveries import event, new_id, waiting
from sink import Sink

from errtrack.delivery import envelope, forks, places, post, worker
from errtrack.delivery.reports import Reports
from errtrack.delivery.transport import Transport
from errtrack.dsn import Dsn
from errtrack.options import Options

Until = Callable[[Callable[[], Any]], Any]


def put(transport: Transport, count: int = 1) -> list[str]:
    ids = [new_id() for _ in range(count)]
    for event_id in ids:
        assert transport.put(event(event_id))
    return ids


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_events_arrive_once_and_in_order(transport: Transport, sink: Sink, tmp_path: Path) -> None:
    ids = put(transport, 20)
    assert transport.flush(5)
    assert sink.event_ids() == ids
    assert waiting(tmp_path) == []


def test_an_event_wakes_an_idle_thread(transport: Transport, sink: Sink) -> None:
    first = put(transport)
    assert transport.flush(5)
    time.sleep(0.2)
    second = put(transport)
    assert sink.wait(2, timeout=2) == first + second


def test_what_somebody_leaves_after_our_last_look_is_drained_too(
    transport: Transport, options: Options, sink: Sink, tmp_path: Path
) -> None:
    own = put(transport)
    assert transport.flush(5)
    assert transport.drain(5)  # has looked, and looks again in half a minute
    other = Transport(options, Dsn.parse(sink.dsn))
    other._closed = True  # writes, and sends nothing
    left = put(other)
    other.close(0)
    assert waiting(tmp_path) == left
    assert transport.drain(5)
    assert sink.event_ids() == own + left


def test_an_event_is_on_disk_when_put_returns(options: Options, tmp_path: Path) -> None:
    transport = Transport(options, Dsn.parse("http://k@127.0.0.1:1/1"))
    ids = put(transport, 3)
    assert waiting(tmp_path) == ids
    transport.close(0)
    assert waiting(tmp_path) == ids


def test_nothing_of_the_key_is_on_disk(options: Options, tmp_path: Path) -> None:
    transport = Transport(options, Dsn.parse("http://verysecretkey@127.0.0.1:1/1"))
    put(transport)
    transport.close(0)
    for path in tmp_path.rglob("*"):
        assert "verysecretkey" not in str(path)
        assert not path.is_file() or b"verysecretkey" not in path.read_bytes()


def test_destinations_do_not_mix(options: Options, sink: Sink, tmp_path: Path) -> None:
    other = Transport(options, Dsn.parse("http://k@127.0.0.1:1/2"))
    left = put(other)
    other.close(0)
    transport = Transport(options, Dsn.parse(sink.dsn))
    ids = put(transport)
    assert transport.close(5)
    assert sink.event_ids() == ids
    assert waiting(tmp_path) == left


def test_a_clean_exit_leaves_no_file(transport: Transport, sink: Sink, tmp_path: Path) -> None:
    put(transport)
    assert transport.close(5)
    assert list(tmp_path.rglob("seg-*")) == []


def test_an_event_after_close_is_kept_for_the_next_process(
    transport: Transport, sink: Sink, tmp_path: Path
) -> None:
    put(transport)
    transport.close(5)
    ids = put(transport)
    time.sleep(0.1)
    assert waiting(tmp_path) == ids
    assert len(sink.event_ids()) == 1


def test_a_server_that_comes_back_gets_everything(
    options: Options, quick: None, capfd: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    transport = Transport(options, Dsn.parse("http://k@127.0.0.1:%d/1" % port))
    ids = put(transport, 20)
    assert not transport.flush(0.5)
    with Sink(port=port) as sink:
        sink.wait(20)
        assert sink.event_ids() == ids
        transport.close(1)
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert "http://127.0.0.1:%d cannot be reached (Connection refused)" % port in err


def test_the_next_process_delivers_what_was_left(
    options: Options, sink: Sink, quick: None, tmp_path: Path
) -> None:
    sink.answer(503)
    first = Transport(options, Dsn.parse(sink.dsn))
    left = put(first, 5)
    first.close(0.2)
    sink.ok()
    second = Transport(options, Dsn.parse(sink.dsn))
    own = put(second)
    sink.wait(6)
    assert sink.event_ids() == own + left
    second.close(2)
    assert list(tmp_path.rglob("seg-*")) == []


def test_at_exit_a_healthy_server_is_given_what_was_left_too(
    options: Options, sink: Sink, tmp_path: Path
) -> None:
    first = Transport(options, Dsn.parse(sink.dsn))
    first._make_worker = lambda: _unstartable(Transport._make_worker(first))  # type: ignore[method-assign]
    left = put(first, 5)
    for spool in first._spools.values():
        spool.close()
    second = Transport(options, Dsn.parse(sink.dsn))
    own = put(second)
    assert second.close(2)
    assert sink.event_ids() == own + left
    assert list(tmp_path.rglob("seg-*")) == []


def _unstartable(made: worker.Worker) -> worker.Worker:
    made.start = lambda: False  # type: ignore[method-assign]
    return made


def test_without_a_thread_the_caller_of_close_delivers(
    transport: Transport, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(forks, "start_new_thread", refuse)
    ids = put(transport, 3)
    time.sleep(0.1)
    assert sink.event_ids() == []
    assert transport.close(5)
    assert sink.event_ids() == ids


def test_without_a_thread_the_caller_of_close_waits_no_longer_than_allowed(
    transport: Transport, sink: Sink, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(forks, "start_new_thread", refuse)
    sink.mode = "hang"
    ids = put(transport, 3)
    began = time.monotonic()
    assert not transport.close(0.7)
    assert time.monotonic() - began < 1.2
    assert waiting(tmp_path) == ids


def test_flush_tries_at_once_although_a_pause_is_on(transport: Transport, sink: Sink, until: Until) -> None:
    sink.answer(503, {"Retry-After": "600"})
    ids = put(transport)
    made = transport.worker()
    assert made is not None
    until(lambda: made.destination.ready_at > time.monotonic() + 500)
    assert not transport.flush(1)
    sink.ok()
    assert transport.flush(2)
    assert sink.event_ids() == ids


@pytest.mark.parametrize("status", [400, 404, 422, 451])
def test_what_the_server_refuses_is_given_up_and_counted(
    transport: Transport, sink: Sink, tmp_path: Path, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    sink.answer(status, {"X-Sentry-Error": "bad\x1b[31m data"})
    put(transport, 2)
    assert transport.flush(5)
    assert len(sink.requests) == 3  # the two, and a report that is refused as well
    sink.ok()
    assert transport.flush(5)
    assert waiting(tmp_path) == []
    assert sink.reports() == {("send_error", "error"): 2}
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert "HTTP %d bad?[31m data" % status in err


@pytest.mark.parametrize("status", [408, 425, 502, 503, 504])
def test_a_busy_server_is_asked_again_later(
    transport: Transport, sink: Sink, quick: None, tmp_path: Path, status: int
) -> None:
    sink.answer(status)
    ids = put(transport, 3)
    sink.wait(3, of="requests")
    assert {r.envelope.event_id for r in sink.requests} == {ids[0]}  # one knocks for all
    sink.ok()
    assert sink.wait(3) == ids
    assert sink.reports() == {}


@pytest.mark.parametrize("is_wanted", [True, False])
def test_a_loss_is_counted_without_what_delivery_needs(options: Options, is_wanted: bool) -> None:
    """Requests that are not sampled come to nothing else, on the application's thread."""
    options.set("send_client_reports", is_wanted, "test")
    made = Transport(options, Dsn.parse("http://k@127.0.0.1:1/1"))
    made.lost("sample_rate", "error")
    made.lost_transaction("sample_rate", 3)
    counter = made.worker()
    assert counter is not None and counter.made is None
    counter.destination.lost("sample_rate", "error")
    told = counter.reports.take(0.0, 0.0) if counter.reports is not None else None
    counted = json.loads(told)["discarded_events"] if told is not None else []
    assert {(row["category"], row["quantity"]) for row in counted} == (
        {("error", 2), ("transaction", 1), ("span", 3)} if is_wanted else set()
    )


def test_a_pause_grows_and_is_bounded(options: Options) -> None:
    made = post.Post(options, Dsn.parse("http://k@127.0.0.1:1/1"), Reports(time.monotonic()))
    longest = 0.0
    for count in range(1, 40):
        made._pause(None)
        pause = made.ready_at - time.monotonic()
        longest = max(longest, pause)
        assert pause <= min(900, 2 ** (count - 1)) + 0.1
    assert longest > 60
    made._pause(99_999_999.0)
    assert made.ready_at - time.monotonic() <= 900


def test_a_server_that_fails_on_one_event_is_given_three_tries_and_the_others_get_through(
    transport: Transport, sink: Sink, quick: None, tmp_path: Path
) -> None:
    bad = new_id()
    sink.fails_on = bad.encode()
    transport.put(event(bad))
    ids = put(transport, 3)
    sink.wait(3)
    deadline = time.monotonic() + 5
    while waiting(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert waiting(tmp_path) == []
    assert sink.event_ids() == ids
    assert sum(r.envelope.event_id == bad for r in sink.requests) == post.TRIES
    assert transport.flush(2)
    assert sink.reports() == {("send_error", "error"): 1}


@pytest.mark.parametrize(
    "status, remedy", [(401, "key"), (403, "key"), (302, "final address"), (407, "proxy")]
)
def test_wrong_settings_are_told_with_their_remedy_and_everything_is_kept(
    transport: Transport,
    sink: Sink,
    tmp_path: Path,
    status: int,
    remedy: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    sink.answer(status, {"Location": "https://elsewhere/"})
    ids = put(transport, 3)
    sink.wait(1, of="requests")
    time.sleep(0.2)
    assert len(sink.requests) == 1
    assert waiting(tmp_path) == ids
    began = time.monotonic()
    transport.close(2)
    assert time.monotonic() - began < 0.5  # there is no use in waiting
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert "HTTP %d" % status in err and remedy in err


def test_an_untrusted_certificate_is_told_with_its_remedy_and_everything_is_kept(
    options: Options, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Sink(str(Path(__file__).with_name("loopback.pem"))) as sink:
        transport = Transport(options, Dsn.parse(sink.dsn))
        ids = put(transport)
        assert not transport.flush(5)
        transport.close(0)
    assert waiting(tmp_path) == ids
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert "ca_certs" in err and "certificate" in err


def test_an_event_that_is_too_large_is_sent_again_without_its_bulk(transport: Transport, sink: Sink) -> None:
    sink.answer(413)
    frames = [{"function": "f", "vars": {"x": "y" * 100}}]
    payload = {
        "event_id": new_id(),
        "exception": {"values": [{"type": "E", "stacktrace": {"frames": frames}}]},
    }
    transport.put(envelope.build(new_id(), "event", json.dumps(payload).encode()))
    sink.wait(2, of="requests")
    full, lean = sink.requests[:2]
    assert b'"vars"' in full.body and b'"vars"' not in lean.body and b'"function"' in lean.body
    sink.ok()
    assert transport.flush(5)
    assert sink.event_ids() == []
    assert sink.reports() == {("send_error", "error"): 1}


def test_429_keeps_the_event_until_the_limit_ends(
    transport: Transport, sink: Sink, until: Until, tmp_path: Path
) -> None:
    sink.answer(429, {"X-Sentry-Rate-Limits": "1.5:error:organization"})
    ids = put(transport, 3)
    sink.wait(1, of="requests")
    limited_at = time.monotonic()
    sink.ok()
    sink.wait(3)
    assert time.monotonic() - limited_at > 1.2
    assert [r.envelope.event_id for r in sink.requests] == [ids[0], *ids]
    assert sink.reports() == {}


def test_a_limit_on_one_category_does_not_hold_up_another(
    transport: Transport, sink: Sink, tmp_path: Path
) -> None:
    sink.headers = {"X-Sentry-Rate-Limits": "3600:transaction;span:organization"}
    first = put(transport)
    assert transport.flush(5)
    transaction = envelope.build(new_id(), "transaction", b"{}")
    assert not transport.put(transaction, "transaction")  # not worth a place on disk for an hour
    second = put(transport)
    assert transport.flush(5)
    assert sink.event_ids() == first + second
    assert waiting(tmp_path) == []
    assert sink.reports() == {("ratelimit_backoff", "transaction"): 1}


def test_limited_items_are_taken_out_of_an_envelope(transport: Transport, sink: Sink) -> None:
    sink.headers = {"X-Sentry-Rate-Limits": "3600:attachment:organization"}
    put(transport)
    assert transport.flush(5)
    wanted = new_id()
    transport.put(envelope.build(wanted, "event", b"{}", None, [({"type": "attachment"}, b"12345")]))
    assert transport.flush(5)
    last = next(r.envelope for r in sink.accepted if r.envelope.event_id == wanted)
    assert [headers["type"] for headers, _ in last.items] == ["event"]
    assert sink.reports() == {("ratelimit_backoff", "attachment"): 5}


def test_a_limit_on_everything_stops_everything(transport: Transport, sink: Sink, tmp_path: Path) -> None:
    sink.answer(429, {"Retry-After": "600"})
    transport.lost("before_send", "error")
    ids = put(transport, 3)
    sink.wait(1, of="requests")
    assert not transport.flush(0.5)
    sink.ok()
    assert not transport.flush(0.5)
    assert len(sink.requests) == 1
    assert waiting(tmp_path) == ids


@pytest.mark.parametrize(
    "status, reports", [(429, {}), (503, {("send_error", "error"): 2}), (500, {("send_error", "error"): 2})]
)
def test_strict_protocol_gives_up_at_once(
    options: Options, sink: Sink, tmp_path: Path, status: int, reports: dict[tuple[str, str], int]
) -> None:
    options.set("strict_protocol", True, "test")
    transport = Transport(options, Dsn.parse(sink.dsn))
    sink.answer(status, {"X-Sentry-Rate-Limits": "0:error"})
    put(transport, 2)
    assert transport.flush(5)
    assert waiting(tmp_path) == []
    sink.ok()
    assert transport.flush(5)
    assert sink.reports() == reports
    transport.close(0)


def test_losses_are_reported_when_the_transport_is_closed(transport: Transport, sink: Sink) -> None:
    transport.lost("before_send", "error", 2)
    transport.lost("sample_rate", "transaction")
    put(transport)
    transport.close(5)
    assert sink.reports() == {("before_send", "error"): 2, ("sample_rate", "transaction"): 1}


def test_losses_ride_along_with_an_event(transport: Transport, sink: Sink) -> None:
    transport.lost("before_send", "error")
    made = transport.worker()
    assert made is not None
    made.destination.reports.told_at -= 31  # type: ignore[union-attr]
    put(transport)
    sink.wait(1)
    assert [h["type"] for h, _ in sink.accepted[0].envelope.items] == ["event", "client_report"]


def test_client_reports_can_be_switched_off(options: Options, sink: Sink) -> None:
    options.set("send_client_reports", False, "test")
    transport = Transport(options, Dsn.parse(sink.dsn))
    transport.lost("before_send", "error")
    put(transport)
    transport.close(5)
    assert sink.reports() == {} and len(sink.requests) == 1


@pytest.fixture
def no_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(places, "state_folders", lambda *_: [str(tmp_path / "file" / "x")])


def test_without_any_folder_events_go_through_memory(
    no_disk: None, options: Options, sink: Sink, capfd: pytest.CaptureFixture[str]
) -> None:
    transport = Transport(options, Dsn.parse(sink.dsn))
    ids = [new_id() for _ in range(5)]
    for event_id in ids:
        assert not transport.put(event(event_id))  # not durable, and it says so
    assert transport.flush(5)
    assert sink.event_ids() == ids
    transport.close(1)
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and "memory only" in err


def test_memory_is_bounded_and_what_gives_way_is_counted(
    no_disk: None, options: Options, sink: Sink, quick: None, until: Until
) -> None:
    sink.answer(503)
    transport = Transport(options, Dsn.parse(sink.dsn))
    ids = [new_id() for _ in range(worker.RING + 10)]
    for event_id in ids:
        transport.put(event(event_id))
    sink.ok()
    # Before the newest of them comes the one that was on its way meanwhile, if any was.
    until(lambda: set(sink.event_ids()) >= set(ids[10:]))
    assert transport.close(5)
    lost = len(ids) - len(set(sink.event_ids()))
    assert lost in (9, 10)
    assert sink.reports() == {("cache_overflow", "error"): lost}


def test_a_full_disk_is_told_once_and_events_go_through_memory(
    transport: Transport, sink: Sink, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import resource

    first = put(transport)
    assert transport.flush(5)
    size = next(tmp_path.rglob("seg-*")).stat().st_size
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, hard))
    try:
        ids = [new_id() for _ in range(3)]
        for event_id in ids:
            assert not transport.put(event(event_id))
        assert transport.flush(5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    last = put(transport)
    assert transport.flush(5)
    assert sink.event_ids() == first + ids + last
    err = capfd.readouterr().err
    assert err.count("\n") == 1 and "cannot write to" in err


def test_hundreds_of_events_from_many_threads_arrive_exactly_once(transport: Transport, sink: Sink) -> None:
    ids: list[str] = []

    def work() -> None:
        for _ in range(60):
            ids.extend(put(transport))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert transport.flush(20)
    assert sorted(sink.event_ids()) == sorted(ids)


def test_events_from_a_signal_handler_that_interrupts_everything_arrive(
    transport: Transport, sink: Sink
) -> None:
    ids: list[str] = []
    before = signal.signal(signal.SIGALRM, lambda *_: ids.extend(put(transport)))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.002)
    try:
        until = time.monotonic() + 0.7
        while time.monotonic() < until:
            ids.extend(put(transport))
            time.sleep(0.002)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert transport.flush(30)
    assert sorted(sink.event_ids()) == sorted(ids)


def test_flush_does_not_wait_for_itself(transport: Transport, sink: Sink) -> None:
    put(transport)
    made = transport.worker()
    assert made is not None and transport.flush(5)
    seen: list[bool] = []
    made.destination.report = lambda at_once: seen.append(transport.flush(5))  # type: ignore[method-assign, assignment]
    began = time.monotonic()
    put(transport)
    assert transport.flush(5)
    assert time.monotonic() - began < 2
    assert seen[0] is False


def test_a_broken_record_does_not_hold_up_the_others(
    transport: Transport, sink: Sink, tmp_path: Path
) -> None:
    assert transport.put(b"this is no envelope at all")
    ids = put(transport)
    assert transport.flush(5)
    assert sink.event_ids() == ids
    assert waiting(tmp_path) == []


def test_no_thread_and_no_file_before_the_first_event(options: Options, sink: Sink, tmp_path: Path) -> None:
    before = (
        threading.active_count(),
        len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0,
    )
    transport = Transport(options, Dsn.parse(sink.dsn))
    assert transport.flush(1) and transport.close(1)
    after = (
        threading.active_count(),
        len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0,
    )
    assert after == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
def test_close_ends_the_thread(options: Options, sink: Sink, until: Until) -> None:
    before = len(os.listdir("/proc/self/task"))
    sink.mode = "hang"
    transport = Transport(options, Dsn.parse(sink.dsn))
    put(transport)
    sink.wait(1, of="requests")
    handlers = 1  # of the server
    assert len(os.listdir("/proc/self/task")) == before + 1 + handlers
    transport.close(0.2)
    until(lambda: len(os.listdir("/proc/self/task")) <= before + handlers)
