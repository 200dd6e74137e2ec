"""Opt-in instrumentations: not there at all unless they are named, in the environment or in the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from houses import TALKER, build

from errtrack_run.opt_in import named_in

ASK = "import sys; sys.exit.__class__; print(hasattr(sys.exit, 'errtrack_place')); import json.tool"


def house(folder: Path):
    return build(
        folder,
        {"json.tool": ("talker",)},
        {"talker": TALKER},
        wires={"sys.exit": "talker"},
        opt_in=("talker",),
    )


def run(place, python: str, *, file: str | None = None, **env: str) -> str:
    more = {}
    if file is not None:
        place.module("errtrack.toml", file)
        more["ERRTRACK_CONFIG"] = str(place.work / "errtrack.toml")
    done = place.launch(python, "-c", ASK, env=place.environ(**env, **more))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_not_there_unless_named(tmp_path: Path, plain_python: str) -> None:
    assert run(house(tmp_path), plain_python) == "False\n"


def test_named_in_the_environment(tmp_path: Path, plain_python: str) -> None:
    assert run(house(tmp_path), plain_python, ERRTRACK_ENABLE="other, talker").startswith(
        "True\nhook json.tool"
    )


def test_named_in_the_file(tmp_path: Path, plain_python: str) -> None:
    assert run(house(tmp_path), plain_python, file='enable = ["talker"]\n').startswith("True\nhook json.tool")
    assert run(house_again(tmp_path), plain_python, file='# enable = ["talker"]\n') == "False\n"


def house_again(folder: Path):
    (folder / "second").mkdir()
    return house(folder / "second")


def test_disabled_wins_over_enabled(tmp_path: Path, plain_python: str) -> None:
    assert (
        run(house(tmp_path), plain_python, ERRTRACK_ENABLE="talker", ERRTRACK_DISABLE="talker") == "False\n"
    )


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('enable = ["a", "b"]', ["a", "b"]),
        ("enable=['a'] # 'c'", ["a"]),
        ('dsn = ""\nenable = [\n  "a", # first\n  "b",\n]\ntags = {"x" = "y"}', ["a", "b"]),
        ('enabled = true\nenable_x = ["a"]', []),
        ('[table]\nenable = ["a"]', []),
        ("enable = []", []),
        ("", []),
    ],
)
def test_names_in_the_file(tmp_path: Path, text: str, names: list[str]) -> None:
    path = tmp_path / "errtrack.toml"
    path.write_text(text)
    assert named_in(str(path)) == names


def test_file_that_cannot_be_read_names_nothing(tmp_path: Path) -> None:
    assert named_in(str(tmp_path / "absent")) == named_in(str(tmp_path)) == named_in("a\0b") == []
    (tmp_path / "binary").write_bytes(b"\xff\xfe enable = [\x00")
    assert named_in(str(tmp_path / "binary")) == []
