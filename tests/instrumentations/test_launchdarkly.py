"""launchdarkly: every evaluation of every client is on later events, and none is changed by it."""

from __future__ import annotations

import asyncio
import logging

import pytest

import errtrack
import flagging

ldclient = pytest.importorskip("ldclient")
test_data = pytest.importorskip("ldclient.integrations.test_data")

USER = ldclient.Context.create("user-1")


def config(**flags):
    source = test_data.TestData.data_source()
    for name, value in flags.items():
        if isinstance(value, bool):
            source.update(source.flag(name).variation_for_all(value))
        else:
            source.update(source.flag(name).variations(value, "other").variation_for_all(0))
    return ldclient.Config(
        "sdk-key", update_processor_class=source, send_events=False, diagnostic_opt_out=True
    )


@pytest.fixture
def client(watching):
    watching("threading", "launchdarkly")
    made = ldclient.LDClient(config(hello=True, world=True, colour="red"))
    yield made
    made.close()


def test_booleans_of_a_client_of_ones_own(watching, client) -> None:
    assert client.variation("hello", USER, False) is True
    assert client.variation("world", USER, False) is True
    assert client.variation("other", USER, False) is False
    assert flagging.flags(watching) == [("hello", True), ("world", True), ("other", False)]


def test_shared_client_and_its_successor_are_seen_once_each(watching) -> None:
    watching("launchdarkly")
    try:
        ldclient.set_config(config(hello=True))
        first = ldclient.get()
        assert first.variation("hello", USER, False) is True
        ldclient.set_config(config(hello=False))
        second = ldclient.get()
        assert second is not first
        assert second.variation("hello", USER, True) is False
        assert flagging.flags(watching) == [("hello", False)]
        for client in (first, second):
            assert len(vars(client)["_LDClient__hooks"]) == 1
    finally:
        ldclient._reset_client()


def test_details_are_noted_and_what_is_no_boolean_is_not(watching, client) -> None:
    assert client.variation_detail("hello", USER, False).value is True
    assert client.variation("colour", USER, "none") == "red"
    client.migration_variation("colour", USER, ldclient.migrations.Stage.OFF)
    client.all_flags_state(USER)
    assert flagging.flags(watching) == [("hello", True)]


def test_texts_and_numbers_by_option(watching, client) -> None:
    watching(flags_all_types=True)
    watching.apply("launchdarkly")
    client.variation("colour", USER, "none")
    client.variation("unknown", USER, {"a": 1})
    assert flagging.flags(watching) == [("colour", "red")]


def test_the_default_where_there_is_nothing_to_evaluate(watching, client) -> None:
    offline = ldclient.LDClient(ldclient.Config("k", offline=True))
    assert offline.variation("offline", USER, True) is True
    assert client.variation("hello", ldclient.Context.create(""), False) is False
    assert flagging.flags(watching) == [("offline", True), ("hello", False)]
    offline.close()


@pytest.mark.skipif(not hasattr(ldclient.LDClient, "postfork"), reason="this release has no postfork()")
def test_after_postfork(watching, client) -> None:
    client.postfork()
    assert len(vars(client)["_LDClient__hooks"]) == 1
    client.variation("hello", USER, False)
    assert flagging.flags(watching) == [("hello", True)]


def test_hooks_of_the_application_are_called_as_ever(watching) -> None:
    watching("launchdarkly")
    called = []

    class Hook(ldclient.hook.Hook):
        metadata = ldclient.hook.Metadata("own")

        def before_evaluation(self, series_context, data):
            return {"n": 1}

        def after_evaluation(self, series_context, data, detail):
            called.append((data, detail.value))
            return data

    settings = config(hello=True)
    settings.hooks.append(Hook())
    client = ldclient.LDClient(settings)
    client.add_hook(Hook())
    assert client.variation("hello", USER, False) is True
    client.close()
    assert ({"n": 1}, True) in called
    assert flagging.flags(watching) == [("hello", True)]


def test_threads_and_tasks_keep_to_themselves(watching, client) -> None:
    flagging.in_threads(watching, lambda flag: client.variation(flag, USER, False))
    with errtrack.isolation_scope() as scope:
        scope.flags = None
        flagging.in_tasks(watching, lambda flag: client.variation(flag, USER, False))


def test_spans_have_their_first_ten(watching, client) -> None:
    watching.apply("launchdarkly")
    flagging.on_a_span(watching, lambda flag: client.variation(flag, USER, False))


def test_a_failure_of_ours_changes_nothing_and_is_not_logged(
    watching, client, faults_counted, monkeypatch, caplog
) -> None:
    def broken(flag, result):
        raise RuntimeError("ours")

    monkeypatch.setattr(errtrack, "add_feature_flag", broken)
    with caplog.at_level(logging.DEBUG):
        assert client.variation("hello", USER, False) is True
        assert client.variation_detail("hello", USER, False).reason["kind"] == "FALLTHROUGH"
    assert faults_counted == {"launchdarkly": 2}
    assert caplog.records == []


def test_switched_off_in_code_a_client_that_was_there_is_left_alone(watching, client) -> None:
    watching(disable=["launchdarkly"])
    client.variation("hello", USER, False)
    assert flagging.flags(watching) == []


def test_async_client(watching) -> None:
    async_client = pytest.importorskip("ldclient.async_client")
    from ldclient.async_config import AsyncConfig

    watching("launchdarkly")

    async def look() -> None:
        client = async_client.AsyncLDClient(AsyncConfig("k", offline=True))
        await client.start()
        assert await client.variation("hello", USER, True) is True
        assert await client.variation("world", USER, False) is False
        assert await client.variation("colour", USER, "red") == "red"
        assert flagging.flags(watching) == [("hello", True), ("world", False)]
        await client.close()

    asyncio.run(look())


def test_a_program_under_the_launcher(sandbox) -> None:
    sandbox.write("flags.json", '{"flagValues": {"hello": true, "colour": "red"}}')
    result = sandbox.python(
        "import sys\n"
        "assert not {'ldclient', 'errtrack_instrumentations.launchdarkly'} & set(sys.modules)\n"
        "from ldclient import Config, Context, LDClient\n"
        "from ldclient.integrations import Files\n"
        "source = Files.new_data_source(paths=['flags.json'])\n"
        "client = LDClient(Config('k', update_processor_class=source, send_events=False,"
        " diagnostic_opt_out=True))\n"
        "user = Context.create('u')\n"
        "print(client.variation('hello', user, False), client.variation('colour', user, 'x'),"
        " client.variation('unknown', user, False))\n"
        "client.close()\n"
        "1 / 0\n"
    )
    assert result.stdout == "True red False\n"
    assert sandbox.event()["contexts"]["flags"]["values"] == [
        {"flag": "hello", "result": True},
        {"flag": "unknown", "result": False},
    ]
