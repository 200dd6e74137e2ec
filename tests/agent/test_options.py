"""Settings: precedence, sources, conversion, and bad input that is told and survived."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from errtrack import options
from errtrack.options import OPTIONS, resolve


def test_defaults_and_their_source() -> None:
    resolved = resolve({})
    assert resolved.environment == "production"
    assert resolved.max_breadcrumbs == 100
    assert resolved.source("environment") == "default"
    assert resolved.problems == []


def test_precedence_default_file_environment_launcher_code(tmp_path: Path) -> None:
    file = tmp_path / "errtrack.toml"
    file.write_text(
        'environment = "file"\nrelease = "file"\ndist = "file"\nserver_name = "file"\n[flask]\ntransaction_style = "url"\n'
    )
    environ = {
        "ERRTRACK_CONFIG": str(file),
        "ERRTRACK_RELEASE": "env",
        "ERRTRACK_DIST": "launcher",
        "ERRTRACK_SERVER_NAME": "env",
        "ERRTRACK_RUN_OPTIONS": "dist",
    }
    resolved = resolve(environ, {"server_name": "code", "tags": None})
    values = (resolved.environment, resolved.release, resolved.dist, resolved.server_name)
    assert values == ("file", "env", "launcher", "code")
    assert resolved.flask_transaction_style == "url"
    sources = [resolved.source(n) for n in ("environment", "release", "dist", "server_name", "tags")]
    assert sources == [str(file), "ERRTRACK_RELEASE", "--dist", "init()", "default"]


def test_every_option_has_an_environment_variable_that_works() -> None:
    samples: dict[str, tuple[str, Any]] = {}
    for option in OPTIONS.values():
        for text in (
            "https://k@h/1",
            "true",
            "false",
            "0.5",
            "7",
            "repr",
            "url",
            "small",
            "always",
            "a=b",
            "pkg.mod:fn",
            "SIGTERM",
            "off",
            "gcp",
            "some,text",
            "function_name",
            "endpoint",
            "breadcrumb",
            "method_and_path_pattern",
        ):
            try:
                value = option.convert(text)
            except options.BadValue:
                continue
            if value != option.default:
                samples[option.name] = (text, value)
                break
    assert set(samples) == set(OPTIONS)
    resolved = resolve({OPTIONS[name].env: text for name, (text, _) in samples.items()})
    assert resolved.problems == []
    for name, (_, value) in samples.items():
        assert getattr(resolved, OPTIONS[name].attribute) == value, name
        assert resolved.source(name) == OPTIONS[name].env


def test_sentry_variables_are_read_where_ours_are_absent() -> None:
    sentry = {"SENTRY_DSN": "https://k@sentry/1", "SENTRY_ENVIRONMENT": "stage", "SENTRY_RELEASE": "r1"}
    resolved = resolve(sentry)
    assert (resolved.dsn, resolved.environment, resolved.release) == ("https://k@sentry/1", "stage", "r1")
    assert resolved.source("dsn") == "SENTRY_DSN"
    resolved = resolve({**sentry, "ERRTRACK_DSN": "", "ERRTRACK_ENVIRONMENT": "ours"})
    assert (resolved.dsn, resolved.environment) == ("", "ours")  # an empty DSN asks for the embedded store


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("sample_rate", "2", "between 0 and 1"),
        ("sample_rate", "nan", "between 0 and 1"),
        ("max_breadcrumbs", "-1", "0 or more"),
        ("max_breadcrumbs", "ten", "whole number"),
        ("debug", "maybe", "true or false"),
        ("shutdown_timeout", "soon", "seconds"),
        ("max_request_body_size", "huge", "never, small, medium, always"),
        ("tags", "novalue", "key=value"),
        ("trace_propagation_targets", "ok,(", "regular expressions"),
        ("atexit.signals", "SIGKILL", "SIGTERM and SIGHUP"),
        ("cloud_resource_context.cloud_provider", "nimbus", "must be one of aws, gcp; using none"),
        ("excepthook.always_run", "perhaps", "true or false"),
        ("aiohttp.failed_request_status_codes", "bad", "such as 403 and 500-599; using [500-599]"),
        ("dsn", "https://SECRET@/1", "no host"),
    ],
)
def test_wrong_value_is_told_with_key_source_remedy_and_replaced_by_the_default(
    name: str, value: str, said: str
) -> None:
    resolved = resolve({OPTIONS[name].env: value})
    assert getattr(resolved, OPTIONS[name].attribute) == OPTIONS[name].default
    assert len(resolved.problems) == 1
    problem = resolved.problems[0]
    assert problem.startswith(OPTIONS[name].env + ": " + name) and said in problem
    assert "SECRET" not in problem


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("before_send", "not a name", "not a name"),
        ("before_send", 5, "5"),
        ("processors", "own:good,not one,other.good", ("own:good", "not one", "other.good")),
        ("processors", 5, ("5",)),
    ],
)
def test_filter_that_cannot_be_called_is_told_and_lets_nothing_pass(name: str, value: Any, kept: Any) -> None:
    resolved = options.Options()
    assert not resolved.set(name, value, "errtrack.toml")
    assert getattr(resolved, name) == kept, "the default would let everything pass"
    (problem,) = resolved.problems
    assert problem.startswith("errtrack.toml: " + name) and problem.endswith(
        "package.module:function; until then it fails"
    )


def test_misspelt_names_are_told_with_the_nearest_one(tmp_path: Path) -> None:
    file = tmp_path / "e.toml"
    file.write_text('enviroment = "x"\n[flask]\ntransaction_stile = "url"\n')
    problems = resolve({"ERRTRACK_CONFIG": str(file), "ERRTRACK_SAMPLERATE": "1"}).problems
    assert len(problems) == 3
    for expected in ("environment", "flask.transaction_style", "ERRTRACK_SAMPLE_RATE"):
        assert any("did you mean %s?" % expected in p for p in problems), problems


def test_letters_in_another_order_or_case_are_a_misspelling_of_short_names_too(tmp_path: Path) -> None:
    file = tmp_path / "e.toml"
    file.write_text('dns = "x"\nDSN = "x"\n')
    problems = resolve({"ERRTRACK_CONFIG": str(file), "ERRTRACK_DNS": "x"}).problems
    assert [problem.partition("did you mean ")[2] for problem in problems] == [
        "dsn?",
        "dsn?",
        "ERRTRACK_DSN?",
    ]


def test_variables_set_by_orchestrators_are_no_misspellings() -> None:
    environ = {"ERRTRACK_SERVICE_HOST": "10.0.0.1", "ERRTRACK_PORT_80_TCP_ADDR": "10.0.0.1"}
    assert resolve(environ).problems == []


def test_toml_with_a_syntax_error_is_left_out_and_told(tmp_path: Path) -> None:
    file = tmp_path / "e.toml"
    file.write_text("environment = \n")
    resolved = resolve({"ERRTRACK_CONFIG": str(file)})
    assert resolved.environment == "production"
    assert len(resolved.problems) == 1 and "not valid TOML" in resolved.problems[0]


def test_toml_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    assert "cannot read" in resolve({"ERRTRACK_CONFIG": str(tmp_path / "none.toml")}).problems[0]
    binary = tmp_path / "b.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert "not valid TOML" in resolve({"ERRTRACK_CONFIG": str(binary)}).problems[0]


def test_tables_and_lists() -> None:
    resolved = resolve({"ERRTRACK_TAGS": "region=eu, tier=gold ,", "ERRTRACK_DISABLE": "flask, ,argv"})
    assert resolved.tags == {"region": "eu", "tier": "gold"}
    assert resolved.disable == ("flask", "argv")
    assert resolved.is_disabled("flask") and not resolved.is_disabled("django")
    assert resolve({"ERRTRACK_ENABLED": "0"}).is_disabled("django")


def test_exception_classes_can_be_ignored_in_code() -> None:
    resolved = resolve({}, {"ignore_errors": [ValueError, "KeyError"]})
    assert resolved.ignore_errors == (ValueError, "KeyError")


def test_shown_rows_mask_secrets() -> None:
    resolved = resolve({"ERRTRACK_DSN": "https://SECRET@h/1", "ERRTRACK_HTTPS_PROXY": "http://u:SECRET@p:1"})
    assert "SECRET" not in repr(resolved.as_rows())


def test_unknown_code_option_is_told() -> None:
    problems = resolve({}, {"environmnt": "x"}).problems
    assert problems == ["init(): unknown setting environmnt: did you mean environment?"]
