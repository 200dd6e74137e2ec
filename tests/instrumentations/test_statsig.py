"""statsig and statsig-python-core: every gate that is checked is on later events, and no check is changed by it."""

from __future__ import annotations

import pytest

import errtrack
import flagging

GATES = [("hello", True), ("world", False), ("other", False)]


class Pure:
    """The package ``statsig``, in local mode."""

    def __init__(self) -> None:
        self.module = pytest.importorskip("statsig.statsig_server")
        self.package = pytest.importorskip("statsig")
        self.user = self.package.StatsigUser("u1")

    def start(self, **options):
        server = self.module.StatsigServer()
        server.initialize("secret-local", self.options(**options))
        server.override_gate("hello", True)
        server.override_gate("world", False)
        server.override_config("config", {"on": True})
        server.override_experiment("experiment", {"on": True})
        server.override_layer("layer", {"on": True})
        return server

    def options(self, **more):
        return self.package.StatsigOptions(
            local_mode=True, disable_diagnostics=True, disable_all_logging=True, **more
        )

    def stop(self, server) -> None:
        server.shutdown()


class Core:
    """The package ``statsig-python-core``, without a network."""

    def __init__(self) -> None:
        self.module = self.package = pytest.importorskip("statsig_python_core")
        self.user = self.package.StatsigUser("u1")

    def start(self, make=None):
        settings = self.package.StatsigOptions()
        settings.disable_network = settings.disable_all_logging = True
        settings.output_log_level = "none"
        server = (make or self.package.Statsig)("secret-key", settings)
        server.initialize().wait(timeout=20)
        server.override_gate("hello", True)
        server.override_gate("world", False)
        server.override_dynamic_config("config", {"on": True})
        server.override_experiment("experiment", {"on": True})
        server.override_layer("layer", {"on": True})
        return server

    def stop(self, server) -> None:
        server.shutdown().wait(timeout=20)


@pytest.fixture(params=[Pure, Core], ids=["statsig", "statsig-python-core"])
def library(request, watching):
    made = request.param()
    watching("threading", "statsig")
    return made


@pytest.fixture
def server(library):
    started = library.start()
    yield started
    library.stop(started)


def test_gates_known_and_unknown(watching, library, server) -> None:
    assert [(name, server.check_gate(library.user, name)) for name, _ in GATES] == GATES
    assert flagging.flags(watching) == GATES


def test_gates_asked_for_as_objects(watching, library, server) -> None:
    assert server.get_feature_gate(library.user, "hello").value is True
    assert server.get_feature_gate(library.user, "other").value is False
    assert flagging.flags(watching) == [("hello", True), ("other", False)]


def test_configurations_experiments_and_layers_are_no_flags(watching, library, server) -> None:
    get_config = getattr(server, "get_dynamic_config", None) or server.get_config
    assert get_config(library.user, "config").value == {"on": True}
    server.get_experiment(library.user, "experiment")
    layer = server.get_layer(library.user, "layer")
    assert not hasattr(layer, "get") or layer.get("on", None) is True
    assert flagging.flags(watching) == []


def test_no_name_at_all_is_answered_as_ever(watching, library, server) -> None:
    assert server.check_gate(library.user, "") is False
    assert [name for name, _ in flagging.flags(watching)] in ([], [""])


def test_threads_and_tasks_keep_to_themselves(watching, library, server) -> None:
    flagging.in_threads(watching, lambda flag: server.check_gate(library.user, flag))
    with errtrack.isolation_scope() as scope:
        scope.flags = None
        flagging.in_tasks(watching, lambda flag: server.check_gate(library.user, flag))


def test_spans_have_their_first_ten(watching, library, server) -> None:
    flagging.on_a_span(watching, lambda flag: server.check_gate(library.user, flag))


def test_a_failure_of_ours_changes_nothing(watching, library, server, faults_counted, monkeypatch) -> None:
    def broken(flag, result):
        raise RuntimeError("ours")

    monkeypatch.setattr(errtrack, "add_feature_flag", broken)
    assert server.check_gate(library.user, "hello") is True
    assert server.get_feature_gate(library.user, "hello").value is True
    assert set(faults_counted) == {"statsig"}


def test_switched_off_in_code(watching, library, server) -> None:
    watching(disable=["statsig"])
    assert server.check_gate(library.user, "hello") is True
    assert flagging.flags(watching) == []


def test_functions_of_the_module_however_early_they_were_imported(watching) -> None:
    pure = Pure()
    from statsig.statsig import check_gate  # before anything is patched

    watching("statsig")
    from statsig import statsig as api

    api.initialize("secret-local", pure.options())
    api.override_gate("hello", True)
    try:
        assert check_gate(pure.user, "hello") is True
        assert api.check_gate(user=pure.user, gate="world") is False
        assert api.check_gate_with_exposure_logging_disabled(pure.user, "other") is False
        assert api.get_feature_gate(pure.user, "object").value is False
        expected = ["hello", "world", "other", "object"]
        assert [name for name, _ in flagging.flags(watching)] == expected
        assert api.get_instance().check_gate(pure.user, "instance") is False
        assert flagging.flags(watching)[-1] == ("instance", False)
    finally:
        api.shutdown()


def test_second_server_of_one_process(watching) -> None:
    pure = Pure()
    watching("statsig")
    first, second = pure.start(), pure.start()
    second.override_gate("hello", False)
    assert first.check_gate(pure.user, "hello") is True
    assert second.check_gate(pure.user, "hello") is False
    assert flagging.flags(watching) == [("hello", False)]
    first.shutdown()
    second.shutdown()


def test_arguments_results_and_callbacks_are_what_they_were(watching) -> None:
    pure = Pure()
    original = pure.module.StatsigServer.check_gate
    watching("statsig")
    patched = pure.module.StatsigServer.check_gate
    assert patched is not original
    assert (patched.__name__, patched.__qualname__) == ("check_gate", "StatsigServer.check_gate")
    seen = []
    server = pure.start(evaluation_callback=lambda gate: seen.append(gate.name))
    assert server.check_gate(pure.user, "hello", False) is True
    assert server.check_gate(user=pure.user, gate_name="hello", log_exposure=False) is True
    assert seen == ["hello", "hello"]
    server.shutdown()


def test_errors_of_the_library_are_what_they_were(watching) -> None:
    pure = Pure()
    watching("statsig")
    server = pure.module.StatsigServer()
    with pytest.raises(Exception, match="initialize") as caught:
        server.check_gate(pure.user, "hello")
    assert type(caught.value).__name__ == "StatsigRuntimeError"
    assert flagging.flags(watching) == []


def test_shared_instance_of_the_core(watching) -> None:
    core = Core()
    watching("statsig")
    make = getattr(core.package.Statsig, "new_shared", None)
    if make is None:
        pytest.skip("this release has no shared instance")
    shared = core.start(make)
    try:
        for name, _ in GATES:
            assert core.package.Statsig.shared().check_gate(core.user, name) is (name == "hello")
        assert flagging.flags(watching) == GATES
    finally:
        core.stop(shared)
        core.package.Statsig.remove_shared()


def test_options_of_the_core_pass_through(watching) -> None:
    core = Core()
    watching("statsig")
    server = core.start()
    options = core.package.FeatureGateEvaluationOptions(disable_exposure_logging=True)
    assert server.check_gate(core.user, "hello", options) is True
    assert server.check_gate(user=core.user, name="world", options=options) is False
    assert flagging.flags(watching) == [("hello", True), ("world", False)]
    core.stop(server)


@pytest.mark.parametrize(
    ("imports", "start"),
    [
        (
            "from statsig import StatsigOptions, StatsigUser, statsig as api",
            "api.initialize('secret-x', StatsigOptions(local_mode=True, disable_diagnostics=True,"
            " disable_all_logging=True))",
        ),
        (
            "from statsig_python_core import Statsig, StatsigOptions, StatsigUser",
            "o = StatsigOptions(); o.disable_network = o.disable_all_logging = True;"
            " api = Statsig('secret-x', o); api.initialize().wait(timeout=20)",
        ),
    ],
    ids=["statsig", "statsig-python-core"],
)
def test_a_program_under_the_launcher(sandbox, imports, start) -> None:
    pytest.importorskip(imports.split()[1])
    result = sandbox.python(
        imports + "\n" + start + "\napi.override_gate('hello', True)\n"
        "user = StatsigUser('u1')\nprint(api.check_gate(user, 'hello'), api.check_gate(user, 'world'))\n"
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    import logging; logging.exception('x')\napi.shutdown()\n"
    )
    assert "True False" in result.stdout
    assert sandbox.event()["contexts"]["flags"]["values"] == [
        {"flag": "hello", "result": True},
        {"flag": "world", "result": False},
    ]
