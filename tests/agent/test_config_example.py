# SPDX-License-Identifier: MIT
"""config.example.toml names every setting, with the default that the code has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from errtrack import options
from errtrack_run.settings import example, literal

FILE = Path(__file__).parents[2] / "config.example.toml"


def toml() -> Any:
    parser = options._toml_parser()
    if parser is None:
        pytest.skip("no TOML parser here")
    return parser


def uncommented() -> str:
    lines = []
    for line in FILE.read_text("utf-8").splitlines():
        name, separator, _ = line[2:].partition(" = ")
        is_setting = line.startswith("# ") and separator and name.isidentifier()
        lines.append(line[2:] if is_setting else line)
    return "\n".join(lines)


def test_the_example_is_what_errtrack_config_prints() -> None:
    assert FILE.read_text("utf-8") == example(), "run: errtrack config --example > config.example.toml"


def test_the_example_as_it_is_changes_nothing(tmp_path: Path) -> None:
    resolved = options.resolve({"ERRTRACK_CONFIG": str(FILE)})
    assert resolved.problems == []
    assert {source for _, _, source in resolved.as_rows()} == {"default"}


def test_every_setting_stands_in_the_example_with_its_default() -> None:
    parsed = toml().loads(uncommented())
    found = {}
    for name, value in parsed.items():
        if isinstance(value, dict) and name not in options.OPTIONS:
            found.update({"%s.%s" % (name, key): item for key, item in value.items()})
        else:
            found[name] = value
    assert list(found) == list(options.OPTIONS)
    for name, option in options.OPTIONS.items():
        default = option.default
        expected = list(default) if isinstance(default, tuple) else "" if default is None else default
        assert found[name] == expected, name


def test_the_uncommented_example_is_accepted_whole(tmp_path: Path) -> None:
    toml()
    path = tmp_path / "errtrack.toml"
    path.write_text(uncommented(), "utf-8")
    resolved = options.resolve({"ERRTRACK_CONFIG": str(path)})
    assert resolved.problems == []
    for name, option in options.OPTIONS.items():
        assert getattr(resolved, option.attribute) == option.default, name
        assert resolved.source(name) == str(path)


def test_every_setting_has_its_unit_help_and_variable_in_the_example() -> None:
    text = " ".join(line.lstrip("# ") for line in FILE.read_text("utf-8").splitlines())
    for option in options.OPTIONS.values():
        assert option.help in text, option.name
        assert "Unit: %s. Environment: %s" % (option.unit, option.env) in text, option.name
        if option.sentry_env:
            assert "%s, or %s" % (option.env, option.sentry_env) in text


@pytest.mark.parametrize(
    "value", [True, 0.5, 17, 'a "quoted" \\ text', ["a", "b"], {"k": "v", "two words": "ü"}, {}, [], ""]
)
def test_values_are_written_as_toml_reads_them(value: Any) -> None:
    assert toml().loads("x = " + literal(value)) == {"x": value}
