"""What is found out about the process for free: its release and the distributions installed in it."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from errtrack import distributions, release


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@example.test", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    return folder


def test_release_is_the_commit_of_the_checkout(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    (checkout / "a" / "b").mkdir(parents=True)
    assert release.detect(str(checkout), {}) == head
    assert release.detect(str(checkout / "a" / "b"), {}) == head


def test_release_from_packed_refs_detached_head_and_worktree(checkout: Path, tmp_path: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    git(checkout, "pack-refs", "--all")
    assert release.git_commit(str(checkout)) == head
    git(checkout, "worktree", "add", "-q", str(tmp_path / "tree"), "-b", "side")
    assert release.git_commit(str(tmp_path / "tree")) == head
    git(checkout, "checkout", "-q", "--detach")
    assert release.git_commit(str(checkout)) == head


def test_release_from_variables_outside_of_a_checkout(tmp_path: Path) -> None:
    assert release.detect(str(tmp_path), {"GITHUB_SHA": "abc", "K_REVISION": "rev-1"}) == "rev-1"
    image = {"FLY_IMAGE_REF": "registry.fly.io/shop:deployment-01H"}
    assert release.detect(str(tmp_path), image) == "deployment-01H"
    assert release.detect(str(tmp_path), {}) == ""


def test_release_survives_a_damaged_checkout(checkout: Path) -> None:
    (checkout / ".git" / "HEAD").write_bytes(b"ref: refs/heads/\xff\xfe\x00gone")
    assert release.git_commit(str(checkout)) == ""


def test_installed_agrees_with_the_standard_library() -> None:
    ours = distributions.installed()
    for name in ("pytest", "flask", "wrapt", "urllib3"):
        assert ours[name] == metadata.version(name)


def test_first_hit_on_the_path_wins_and_odd_folders_are_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, entry in (
        ("one", "Some_Thing-1.0.dist-info"),
        ("two", "some.thing-2.0.dist-info"),
        ("two", "Old-3.1-py3.9.egg-info"),
        ("two", "broken.dist-info"),
        ("two", "zope.thing-5.dist-info"),
    ):
        (tmp_path / folder / entry).mkdir(parents=True)
    path = [str(tmp_path / "one"), str(tmp_path / "none"), str(tmp_path / "two")]
    monkeypatch.setattr(sys, "path", path)
    assert distributions.installed() == {"some-thing": "1.0", "old": "3.1", "zope-thing": "5"}
    assert distributions.version_of("zope.thing") == "5"
    assert distributions.version_of("absent") is None


@pytest.mark.parametrize(
    ("version", "supports", "answer"),
    [
        ("3.1.3", ">=1.1", True),
        ("1.0.4", ">=1.1", False),
        ("1.1", ">=1.1", True),
        ("4.0", ">=1.1,<4", False),
        ("3.99", ">=1.1, <4", True),
        ("5.2.19rc1", ">=5.2.19", True),
        ("2.0", "!=2.0", False),
        ("2.0+local", "==2", True),
        ("10.0", ">9", True),
    ],
)
def test_version_ranges(version: str, supports: str, answer: bool) -> None:
    assert distributions.satisfies(version, supports) is answer


def test_a_daemon_that_went_to_the_root_folder_keeps_the_folder_of_its_code(
    sandbox: Any, tmp_path: Path
) -> None:
    """What lies below "/" is everything; the application's code is below where it was started."""
    elsewhere = tmp_path.parent / (tmp_path.name + "-elsewhere")
    elsewhere.mkdir()
    (elsewhere / "vendored.py").write_text("def fail():\n    raise ValueError('x')\n", encoding="utf-8")
    sandbox.python(
        "import logging, os, sys\n"
        "os.chdir('/')\n"
        "sys.path.append(%r)\n"
        "import vendored\n"
        "vendored.fail()\n" % str(elsewhere)
    )
    frames = sandbox.event()["exception"]["values"][0]["stacktrace"]["frames"]
    assert [(frame["function"], frame.get("in_app")) for frame in frames] == [
        ("<module>", True),
        ("fail", None),
    ]
