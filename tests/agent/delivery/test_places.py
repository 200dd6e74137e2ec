# SPDX-License-Identifier: MIT
"""Where files go: the first folder that works, never one that a stranger could tamper with."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from errtrack.delivery import places
from errtrack.options import Options


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_candidates_in_their_order() -> None:
    uid = os.geteuid()
    options = Options()
    environ = {
        "STATE_DIRECTORY": "/var/lib/a:/var/lib/b",
        "XDG_STATE_HOME": "/x",
        "HOME": "/h",
        "TMPDIR": "/t",
    }
    rest = ["/var/tmp/errtrack-%d" % uid, "/t/errtrack-%d" % uid, "/dev/shm/errtrack-%d" % uid]
    assert places.state_folders(options, environ) == ["/var/lib/a/errtrack", "/x/errtrack", *rest]
    assert places.state_folders(options, {"HOME": "/h", "XDG_STATE_HOME": "relative", "TMPDIR": "/t"}) == [
        "/h/.local/state/errtrack",
        *rest,
    ]
    options.set("store", "/s", "test")
    assert places.state_folders(options, environ)[:2] == ["/s", "/var/lib/a/errtrack"]


def test_without_home_the_user_database_is_asked() -> None:
    import pwd

    home = pwd.getpwuid(os.geteuid()).pw_dir
    assert places.state_folders(Options(), {})[0] == home + "/.local/state/errtrack"


def test_the_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    found = places.spool_folder(Options(), "abc", environ)
    assert found == str(tmp_path / ".local/state/errtrack/spool/v1/abc")
    for part in (".local", ".local/state/errtrack", ".local/state/errtrack/spool/v1/abc"):
        assert mode(tmp_path / part) == 0o700


@pytest.mark.parametrize("umask", ["0o177", "0o277", "0o777"])
def test_what_the_umask_takes_from_new_files_and_folders_of_the_programs_is_there_for_ours(
    sandbox: Any, umask: str
) -> None:
    """Of a folder that could not be entered everything would be kept out, and for ever."""
    code = "import logging, os\nos.umask(%s)\nlogging.error('kept')\nos.abort()"
    assert sandbox.python(code % umask).stderr == "ERROR:root:kept\n"
    made = [path for path in sandbox.store.rglob("*") if path.name != "reserve"]
    assert {mode(path) for path in (sandbox.store, *made) if path.is_dir()} == {0o700}
    assert {mode(path) for path in made if path.is_file()} == {0o600}
    assert {path.name.partition("-")[0] for path in made if path.is_file()} >= {"seg", "crash"}
    assert sandbox.events()[0]["logentry"]["formatted"] == "kept"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may write to another user's home")
def test_root_makes_nothing_in_another_users_home(tmp_path: Path) -> None:
    """sudo may keep HOME; whose it is could not enter what root makes there. A folder that is named is another matter."""
    import pwd

    os.chown(tmp_path, 12345, 12345)
    own = pwd.getpwuid(0).pw_dir + "/.local/state/errtrack"
    assert places.state_folders(Options(), {"HOME": str(tmp_path)})[0] == own
    named = places.state_folders(Options(), {"XDG_STATE_HOME": str(tmp_path)})
    assert named[0] == str(tmp_path / "errtrack")
    made = tmp_path / ".local/state/errtrack"
    made.mkdir(parents=True)  # what is root's there already is root's
    assert places.state_folders(Options(), {"HOME": str(tmp_path)})[0] == str(made)


def test_an_unusable_wish_is_told_once_and_the_next_folder_used(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    options = Options()
    options.set("store", str(tmp_path / "file" / "sub"), "ERRTRACK_STORE")
    environ = {"HOME": str(tmp_path)}
    for _ in range(2):
        assert places.state_folder(options, environ) == str(tmp_path / ".local/state/errtrack")
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert "ERRTRACK_STORE" in err and "Not a directory" in err and ".local/state/errtrack" in err


def test_spool_dir_has_its_own_place(tmp_path: Path) -> None:
    options = Options()
    options.set("spool_dir", str(tmp_path / "queue"), "test")
    assert places.spool_folder(options, "abc", {"HOME": str(tmp_path)}) == str(tmp_path / "queue/v1/abc")


@pytest.mark.parametrize("kind", ["file", "fifo", "symlink", "writable by others"])
def test_what_a_stranger_could_have_prepared_is_refused(tmp_path: Path, kind: str) -> None:
    first, second = tmp_path / "first" / "errtrack", tmp_path / "second" / "errtrack"
    first.parent.mkdir()
    if kind == "file":
        first.write_text("")
    elif kind == "fifo":
        os.mkfifo(first)
    elif kind == "symlink":
        (tmp_path / "elsewhere").mkdir()
        first.symlink_to(tmp_path / "elsewhere")
    else:
        first.mkdir()
        first.chmod(0o777)
    environ = {"STATE_DIRECTORY": str(first.parent), "XDG_STATE_HOME": str(second.parent)}
    assert places.state_folder(Options(), environ) == str(second)
    assert mode(second) == 0o700
    assert places.why_unusable(str(first)) is not None


def test_nothing_is_made_below_a_strangers_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    state = tmp_path / "state"
    state.symlink_to(elsewhere)
    options = Options()
    options.set("store", str(state), "test")
    found = places.spool_folder(options, "abc", {"HOME": str(tmp_path)})
    assert found == str(tmp_path / ".local/state/errtrack/spool/v1/abc")
    assert list(elsewhere.iterdir()) == []


def test_folder_of_everybody_that_was_asked_for_holds_a_private_one(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    volume.chmod(0o777)  # an emptyDir
    options = Options()
    options.set("store", str(volume), "ERRTRACK_STORE")
    private = volume / ("errtrack-%d" % os.geteuid())
    assert places.state_folder(options, {"HOME": str(tmp_path)}) == str(private)
    assert places.spool_folder(options, "abc", {"HOME": str(tmp_path)}) == str(private / "spool/v1/abc")
    assert mode(private) == 0o700
    assert capfd.readouterr().err == ""
    options = Options()
    options.set("spool_dir", str(volume), "test")
    assert places.spool_folder(options, "abc", {}) == str(private / "v1/abc")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("kind", ["theirs", "link"])
def test_private_folder_that_a_stranger_has_prepared_is_refused(tmp_path: Path, kind: str) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    volume.chmod(0o777)
    private = volume / ("errtrack-%d" % os.geteuid())
    if kind == "link":
        private.symlink_to(tmp_path)
    else:
        private.mkdir(mode=0o700)
        os.chown(private, 12345, 12345)
    options = Options()
    options.set("store", str(volume), "ERRTRACK_STORE")
    assert places.state_folder(options, {"HOME": str(tmp_path)}) == str(tmp_path / ".local/state/errtrack")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o700)
    os.chown(folder, 12345, 12345)
    assert places.why_unusable(str(folder)) == "it belongs to another user"


def test_no_folder_at_all_is_told_with_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(places, "state_folders", lambda *_: [str(tmp_path / "file")])
    assert places.state_folder(Options(), {}) is None
    err = capfd.readouterr().err
    assert "memory only" in err and "ERRTRACK_STORE" in err
