"""Scopes: what is set in one request, task or thread is on its events and on no other's."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from errtrack.context import scope as scopes
from errtrack.context.merge import apply_scopes
from errtrack.context.scope import Scope
from errtrack.context.trace import continue_trace


def in_fresh_context(function: Any) -> Any:
    return contextvars.Context().run(function)


def merged() -> dict[str, Any]:
    event: dict[str, Any] = {}
    apply_scopes(event, scopes.merged_scopes())
    return event


def test_fork_and_parent_do_not_see_each_other() -> None:
    parent = Scope()
    parent.set_tag("a", 1)
    parent.add_breadcrumb({"message": "before"})
    child = parent.fork()
    parent.set_tag("b", 2)
    parent.add_breadcrumb({"message": "parent"})
    child.set_tag("c", 3)
    child.add_breadcrumb({"message": "child"})
    assert parent.tags == {"a": 1, "b": 2} and child.tags == {"a": 1, "c": 3}
    assert [c["message"] for c in parent.breadcrumbs or ()] == ["before", "parent"]
    assert [c["message"] for c in child.breadcrumbs or ()] == ["before", "child"]


def test_blocks_restore_what_was() -> None:
    def check() -> None:
        scopes.get_isolation_scope().set_tag("outer", 1)
        with scopes.isolation_scope() as inner:
            inner.set_tag("inner", 1)
            assert merged()["tags"] == {"outer": 1, "inner": 1}
            with scopes.new_scope() as block:
                block.set_tag("block", 1)
                assert merged()["tags"] == {"outer": 1, "inner": 1, "block": 1}
            assert merged()["tags"] == {"outer": 1, "inner": 1}
        assert merged()["tags"] == {"outer": 1}

    in_fresh_context(check)


def test_threads_have_scopes_of_their_own() -> None:
    def check() -> None:
        scopes.get_isolation_scope().set_tag("main", 1)
        seen = []
        thread = threading.Thread(target=lambda: seen.append(dict(scopes.get_isolation_scope().tags)))
        thread.start()
        thread.join()
        assert seen == [{}]

    in_fresh_context(check)


def test_tasks_inherit_and_do_not_leak() -> None:
    async def work(name: str) -> dict[str, Any]:
        with scopes.isolation_scope() as scope:
            scope.set_tag("task", name)
            await asyncio.sleep(0)
            return dict(merged()["tags"])

    async def main() -> None:
        scopes.get_isolation_scope().set_tag("main", 1)
        results = await asyncio.gather(*(work(str(n)) for n in range(20)))
        assert results == [{"main": 1, "task": str(n)} for n in range(20)]
        assert merged()["tags"] == {"main": 1}

    in_fresh_context(lambda: asyncio.run(main()))


def test_leaving_in_another_context_restores_by_value() -> None:
    before = scopes._scopes.get()
    entered = scopes.isolation_scope()
    contextvars.copy_context().run(entered.__enter__)
    entered.__exit__(None, None, None)  # a token of another context: no ValueError
    assert scopes._scopes.get() is before


def test_scope_can_be_entered_again_on_another_thread() -> None:
    scope = Scope()
    scope.set_tag("request", "a")

    def use() -> dict[str, Any]:
        with scopes.entered(scope):
            return dict(merged()["tags"])

    with ThreadPoolExecutor(2) as pool:
        assert [pool.submit(use).result() for _ in range(4)] == [{"request": "a"}] * 4


def test_fresh_scope_starts_without_breadcrumbs_and_with_a_trace_of_its_own() -> None:
    def check() -> None:
        outer = scopes.get_isolation_scope()
        outer.set_tag("service", "x")
        outer.add_breadcrumb({"message": "boot"})
        trace = outer.get_propagation().trace_id
        token = scopes.enter(scopes.unit_of_work())
        scope = scopes.get_isolation_scope()
        assert scope.tags == {"service": "x"}
        assert not scope.breadcrumbs
        assert scope.get_propagation().trace_id != trace
        scopes.leave(token)
        assert scopes.get_isolation_scope() is outer
        assert outer.get_propagation().trace_id == trace

    in_fresh_context(check)


def test_merge_order_and_the_events_own_values_win() -> None:
    first, second = Scope(), Scope()
    first.set_tags({"a": 1, "b": 1, "c": 1})
    second.set_tags({"b": 2, "c": 2})
    first.set_user({"id": 1, "email": "x"})
    second.set_level("warning")
    second.set_transaction_name("job")
    first.set_context("one", {"x": 1})
    event = {"tags": {"c": 3}, "user": {"id": 3}, "level": "error"}
    apply_scopes(event, (first, second))
    assert event["tags"] == {"a": 1, "b": 2, "c": 3}
    assert event["user"] == {"id": 3, "email": "x"}
    assert event["level"] == "warning"
    assert (event["transaction"], event["transaction_info"]) == ("job", {"source": "custom"})
    assert event["contexts"] == {"one": {"x": 1}}


def test_breadcrumbs_are_a_ring_sorted_over_scopes_and_copied() -> None:
    one, two = Scope(), Scope()
    for n in range(5):
        one.add_breadcrumb({"message": n, "timestamp": float(n)}, 3)
    two.add_breadcrumb({"message": "x", "timestamp": 3.5}, 3)
    event: dict[str, Any] = {}
    apply_scopes(event, (one, two))
    assert [c["message"] for c in event["breadcrumbs"]["values"]] == [2, 3, "x", 4]
    event["breadcrumbs"]["values"][0]["message"] = "changed by a hook"
    assert (one.breadcrumbs or [{}])[0]["message"] == 2


def test_clear_keeps_trace_and_processors() -> None:
    scope = Scope()
    scope.set_tag("a", 1)
    scope.add_event_processor(lambda event, hint: event)
    trace = scope.get_propagation()
    scope.clear()
    assert scope.tags == {} and scope.propagation is trace and len(scope.processors) == 1


TRACE, SPAN = "771a43a4192642f0b136d5159a501700", "a0cfbde2bdff3adc"


def test_sentry_trace_is_parsed_tolerantly() -> None:
    for header, sampled in (
        ("%s-%s-1" % (TRACE, SPAN), True),
        ("  %s-%s-0 " % (TRACE.upper(), SPAN), False),
        ("%s-%s" % (TRACE, SPAN), None),
        ("%s-%s-1, other" % (TRACE, SPAN), True),
    ):
        found = continue_trace(header)
        assert found is not None
        assert (found.trace_id, found.parent_span_id, found.sampled) == (TRACE, SPAN, sampled)
        assert found.as_context()["parent_span_id"] == SPAN
    for junk in ("", "x", "0" * 32 + "-" + SPAN, TRACE[:-1], "-".join(("g" * 32, SPAN))):
        assert continue_trace(junk) is None


def test_traceparent_is_read_where_sentry_trace_is_absent() -> None:
    found = continue_trace(traceparent="00-%s-%s-01" % (TRACE, SPAN))
    assert found is not None and (found.trace_id, found.parent_span_id, found.sampled) == (TRACE, SPAN, True)
    assert continue_trace(traceparent="00-%s-01" % TRACE) is None


def test_executors_and_copied_contexts_see_the_scope_they_were_given() -> None:
    def look() -> object:
        return scopes.get_isolation_scope().tags.get("unit")

    with scopes.isolation_scope() as scope, ThreadPoolExecutor(1) as pool:
        scope.set_tag("unit", "mine")
        assert pool.submit(look).result() is None  # a bare thread knows nothing ...
        assert pool.submit(contextvars.copy_context().run, look).result() == "mine"  # ... unless it is told
        assert pool.submit(look).result() is None


def test_async_generators_leave_no_scope_behind() -> None:
    async def numbers() -> AsyncIterator[int]:
        with scopes.isolation_scope() as scope:
            scope.set_tag("inside", "generator")
            for number in range(10):
                yield number

    async def main() -> object:
        async for number in numbers():
            if number == 2:
                break
        generator = numbers()
        await generator.__anext__()
        await asyncio.create_task(close(generator))  # its end runs in another task's context
        return None

    async def close(generator: Any) -> None:
        await generator.aclose()

    before = scopes._scopes.get()
    asyncio.run(main())
    assert scopes._scopes.get() is before


def test_deeply_nested_blocks() -> None:
    with scopes.isolation_scope() as outer:
        outer.set_tag("depth", 0)
        blocks = []
        for depth in range(200):
            block = scopes.new_scope()
            block.__enter__().set_tag("depth", depth)
            blocks.append(block)
        while blocks:
            assert scopes.get_current_scope().tags["depth"] == len(blocks) - 1
            blocks.pop().__exit__(None, None, None)


def test_greenlets_have_scopes_of_their_own() -> None:
    greenlet = pytest.importorskip("greenlet")

    def work(name: str) -> None:
        with scopes.isolation_scope() as scope:
            scope.set_tag("name", name)
            greenlet.getcurrent().parent.switch()
            assert scopes.get_isolation_scope().tags == {"name": name}

    started = [greenlet.greenlet(work) for _ in range(2)]
    for name, one in zip("ab", started):
        one.switch(name)
    for one in started:
        one.switch()
