"""unleash: whether a toggle was on is on later events, also where a fallback said so."""

from __future__ import annotations

import asyncio

import pytest

import errtrack
import flagging

unleash = pytest.importorskip("UnleashClient")

TOGGLES = {
    "version": 1,
    "features": [
        {"name": "on", "enabled": True, "strategies": [{"name": "default"}]},
        {"name": "off", "enabled": False, "strategies": []},
    ],
}


def made(**more):
    return unleash.UnleashClient(
        "http://127.0.0.1:9/api", "app", disable_metrics=True, disable_registration=True, **more
    )


@pytest.fixture
def client(watching, tmp_path):
    from UnleashClient.cache import FileCache

    watching("threading", "unleash")
    cache = FileCache("toggles", directory=str(tmp_path))
    cache.bootstrap_from_dict(TOGGLES)
    started = made(cache=cache)
    started.initialize_client(fetch_toggles=False)
    yield started
    started.destroy()


def test_known_and_unknown_toggles(watching, client) -> None:
    assert client.is_enabled("on") is True
    assert client.is_enabled("off") is False
    assert client.is_enabled("unknown") is False
    assert flagging.flags(watching) == [("on", True), ("off", False), ("unknown", False)]


def test_fallback_of_a_client_that_is_not_initialised(watching) -> None:
    watching("unleash")
    client = made()
    assert client.is_enabled("x", fallback_function=lambda name, context: True) is True
    assert client.is_enabled(feature_name="y", context={"userId": "1"}) is False
    assert flagging.flags(watching) == [("x", True), ("y", False)]


def test_variants_are_no_flags(watching, client) -> None:
    assert client.get_variant("on")["enabled"] is False
    assert flagging.flags(watching) == []


def test_method_keeps_its_looks_and_its_errors(watching, client) -> None:
    method = unleash.UnleashClient.is_enabled
    assert (method.__name__, method.__qualname__) == ("is_enabled", "UnleashClient.is_enabled")

    with pytest.raises(TypeError):
        client.is_enabled()
    assert flagging.flags(watching) == []


def test_a_failure_of_ours_changes_nothing(watching, client, faults_counted, monkeypatch) -> None:
    def broken(flag, result):
        raise RuntimeError("ours")

    monkeypatch.setattr(errtrack, "add_feature_flag", broken)
    assert client.is_enabled("on") is True
    assert faults_counted == {"unleash": 1}


def test_spans_have_their_first_ten(watching, client) -> None:
    flagging.on_a_span(watching, client.is_enabled)


def test_threads_and_tasks_keep_to_themselves(watching, client) -> None:
    flagging.in_threads(watching, client.is_enabled)
    with errtrack.isolation_scope() as scope:
        scope.flags = None
        flagging.in_tasks(watching, client.is_enabled)


def test_async_client(watching) -> None:
    try:
        from UnleashClient import AsyncUnleashClient
    except ImportError:
        pytest.skip("this release has no AsyncUnleashClient, or lacks what it needs")

    watching("unleash")

    async def main() -> None:
        client = AsyncUnleashClient("http://127.0.0.1:9/api", "app")
        assert client.is_enabled("x", fallback_function=lambda name, context: True) is True
        assert flagging.flags(watching) == [("x", True)]

    asyncio.run(main())


def test_a_program_under_the_launcher(sandbox) -> None:
    result = sandbox.python(
        "from UnleashClient import UnleashClient\n"
        "client = UnleashClient('http://127.0.0.1:9/api', 'app', disable_metrics=True,"
        " disable_registration=True)\n"
        "print(client.is_enabled('x', fallback_function=lambda n, c: True), client.is_enabled('y'))\n"
        "1 / 0\n"
    )
    assert result.stdout == "True False\n"
    assert sandbox.event()["contexts"]["flags"]["values"] == [
        {"flag": "x", "result": True},
        {"flag": "y", "result": False},
    ]
