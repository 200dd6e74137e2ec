"""openfeature: what a flag was evaluated to is on later events, or the default, where evaluating it failed."""

from __future__ import annotations

import asyncio

import pytest

import errtrack
import flagging

api = pytest.importorskip("openfeature.api")
memory = pytest.importorskip("openfeature.provider.in_memory_provider")


@pytest.fixture
def client(watching):
    watching("threading", "openfeature")
    on_off = {"on": True, "off": False}
    known = {
        "hello": memory.InMemoryFlag("on", on_off),
        "world": memory.InMemoryFlag("off", on_off),
        "number": memory.InMemoryFlag("a", {"a": 3}),
    }
    api.set_provider(memory.InMemoryProvider(known))
    yield api.get_client()
    watching.stop()
    api.clear_hooks()
    api.clear_providers()


def test_values_and_the_default_on_failure(watching, client) -> None:
    assert client.get_boolean_value("hello", False) is True
    assert client.get_boolean_value("world", True) is False
    assert client.get_boolean_value("unknown", True) is True
    assert client.get_boolean_value("number", False) is False
    assert client.get_boolean_details("hello", False).value is True
    expected = [("world", False), ("unknown", True), ("number", False), ("hello", True)]
    assert flagging.flags(watching) == expected


def test_what_is_no_boolean_is_left_out(watching, client) -> None:
    assert client.get_integer_value("number", 0) == 3
    assert client.get_string_value("unknown", "x") == "x"
    assert flagging.flags(watching) == []


def test_async_evaluations(watching, client) -> None:
    if not hasattr(client, "get_boolean_value_async"):
        pytest.skip("this release evaluates synchronously alone")

    async def main() -> None:
        assert await client.get_boolean_value_async("hello", False) is True
        assert await client.get_boolean_value_async("unknown", True) is True
        assert flagging.flags(watching) == [("hello", True), ("unknown", True)]

    asyncio.run(main())


@pytest.mark.parametrize("clear", ["clear_hooks", "shutdown"])
def test_clearing_the_hooks_does_not_end_it(watching, client, clear) -> None:
    getattr(api, clear)()
    assert len(api.get_hooks()) == 1
    assert api.get_client().get_boolean_value("hello", False) is (clear == "clear_hooks")
    assert [name for name, _ in flagging.flags(watching)] == ["hello"]


def test_a_failure_of_ours_changes_nothing(watching, client, faults_counted, monkeypatch) -> None:
    def broken(flag, result):
        raise RuntimeError("ours")

    monkeypatch.setattr(errtrack, "add_feature_flag", broken)
    assert client.get_boolean_value("hello", False) is True
    assert client.get_boolean_value("unknown", True) is True
    assert faults_counted == {"openfeature": 2}


def test_spans_have_their_first_ten(watching, client) -> None:
    flagging.on_a_span(watching, lambda flag: client.get_boolean_value(flag, True))


def test_threads_and_tasks_keep_to_themselves(watching, client) -> None:
    flagging.in_threads(watching, lambda flag: client.get_boolean_value(flag, False))
    with errtrack.isolation_scope() as scope:
        scope.flags = None
        flagging.in_tasks(watching, lambda flag: client.get_boolean_value(flag, False))


def test_switched_off_in_code(watching, client) -> None:
    watching(disable=["openfeature"])
    client.get_boolean_value("hello", False)
    assert flagging.flags(watching) == []


def test_a_program_under_the_launcher(sandbox) -> None:
    result = sandbox.python(
        "from openfeature import api\n"
        "from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider\n"
        "api.set_provider(InMemoryProvider({'hello': InMemoryFlag('on', {'on': True})}))\n"
        "client = api.get_client()\n"
        "print(client.get_boolean_value('hello', False), client.get_boolean_value('x', False))\n"
        "1 / 0\n",
        ERRTRACK_DISABLE="logging",
    )
    assert result.stdout == "True False\n"
    assert sandbox.event()["contexts"]["flags"]["values"] == [
        {"flag": "hello", "result": True},
        {"flag": "x", "result": False},
    ]
