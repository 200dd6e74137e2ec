"""Whatever is wrong around us, the application runs as without us, and one clear line tells what to do."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import errtrack, sys
print("working")
errtrack.capture_message("from the program")
sys.exit(3)
"""


def as_without_us(sandbox, lines: int | None = 1, program: str = PROGRAM, **env: str) -> list[str]:
    """Run the program with and without us; return our lines, of which there are *lines* (None: any number)."""
    bare = sandbox.python(program, launched=False)
    watched = sandbox.python(program, **env)
    assert (watched.returncode, watched.stdout) == (bare.returncode, bare.stdout)
    ours = [line for line in watched.stderr.splitlines() if line.startswith("errtrack")]
    rest = [line for line in watched.stderr.splitlines() if not line.startswith("errtrack")]
    assert rest == bare.stderr.splitlines()
    assert lines is None or len(ours) == lines, watched.stderr
    return ours


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        ("nonsense", "no scheme"),
        ("https://SECRETKEY@/1", "no host"),
        ("https://SECRETKEY@host/", "no project"),
        ("ftp://SECRETKEY@host/1", "http or https"),
    ],
)
def test_malformed_dsn(sandbox, dsn: str, said: str) -> None:
    (line,) = as_without_us(sandbox, ERRTRACK_DSN=dsn)
    assert "ERRTRACK_DSN" in line and said in line and "SECRETKEY" not in line
    assert len(sandbox.events()) == 1  # the embedded store takes over


def test_malformed_dsn_as_an_option_of_the_launcher(sandbox) -> None:
    path = sandbox.write("app.py", PROGRAM)
    command = [sys.executable, "-m", "errtrack_run", "--dsn", "nonsense", sys.executable, str(path)]
    done = subprocess.run(
        command, cwd=sandbox.folder, env=sandbox.env, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (3, "working\n")
    assert "--dsn" in done.stderr


def test_unreachable_server(sandbox) -> None:
    began = time.monotonic()
    (line,) = as_without_us(sandbox, ERRTRACK_DSN="http://0123456789abcdef@127.0.0.1:9/1")
    assert "127.0.0.1:9" in line and "0123456789abcdef" not in line
    assert time.monotonic() - began < 6
    assert [p for p in sandbox.store.rglob("seg-*") if p.stat().st_size > 200]  # it waits on disk


def test_toml_with_a_syntax_error(sandbox) -> None:
    sandbox.write("errtrack.toml", "environment = \n")
    (line,) = as_without_us(sandbox)
    assert "errtrack.toml" in line and "not valid TOML" in line


def test_toml_with_an_unknown_key(sandbox) -> None:
    sandbox.write("errtrack.toml", 'enviroment = "stage"\n')
    (line,) = as_without_us(sandbox)
    assert "enviroment" in line and "did you mean environment?" in line


def test_toml_with_a_wrong_value(sandbox) -> None:
    sandbox.write("errtrack.toml", "sample_rate = 7\n")
    (line,) = as_without_us(sandbox)
    assert "errtrack.toml: sample_rate must be a number between 0 and 1; using 1.0" in line


def test_file_of_a_stranger_is_not_picked_up_in_a_child(sandbox) -> None:
    """A child in another folder reads the file of the launcher, not one that lies about there."""
    sandbox.write("errtrack.toml", 'environment = "ours"\n')
    sandbox.write("elsewhere/errtrack.toml", 'environment = "theirs"\n')
    child = "import errtrack; errtrack.capture_message('child')"
    sandbox.python(
        "import subprocess, sys; subprocess.run([sys.executable, '-c', %r], cwd='elsewhere')" % child
    )
    assert sandbox.event()["environment"] == "ours"


def test_unwritable_store_folder(sandbox) -> None:
    blocked = sandbox.write("blocked", "a file where a folder should be")
    (line,) = as_without_us(
        sandbox, ERRTRACK_STORE=str(blocked / "store"), XDG_STATE_HOME=str(sandbox.folder / "xdg")
    )
    assert "blocked" in line
    assert list((sandbox.folder / "xdg").rglob("seg-*")) or list((sandbox.folder / "xdg").rglob("store.db"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_store_folder(sandbox) -> None:
    folder = sandbox.folder / "readonly"
    folder.mkdir(mode=0o500)
    (line,) = as_without_us(sandbox, ERRTRACK_STORE=str(folder), XDG_STATE_HOME=str(sandbox.folder / "xdg"))
    assert "readonly" in line


def test_corrupt_store_file(sandbox) -> None:
    as_without_us(sandbox, 0)
    assert len(sandbox.events()) == 1
    (sandbox.store / "store.db").write_bytes(b"this is no database " * 500)
    for name in ("store.db-wal", "store.db-shm"):
        (sandbox.store / name).unlink(missing_ok=True)
    # Whoever comes to the file first tells: the program's delivery thread, if the program lives a second, or the list.
    told = as_without_us(sandbox, None)
    listed = sandbox.errtrack("list")
    assert listed.returncode == 0
    told += listed.stderr.splitlines()
    assert len(told) == 1 and "corrupt" in told[0]
    assert len(sandbox.events()) == 1  # the new one; the old file was moved aside
    assert list(sandbox.store.glob("store.db.corrupt-*"))


def test_store_in_the_middle_of_which_bytes_were_changed(sandbox) -> None:
    for _ in range(3):
        as_without_us(sandbox, 0)
    assert len(sandbox.events()) == 3
    path = sandbox.store / "store.db"
    connection = sqlite3.connect(path)
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
    data = bytearray(path.read_bytes())
    data[4096:8192] = b"\xa5" * 4096
    path.write_bytes(bytes(data))
    as_without_us(sandbox, None)
    assert sandbox.errtrack("list").returncode in (0, 1)
    assert sandbox.errtrack("list").returncode == 0


@pytest.mark.parametrize("pause", [0, 2])
def test_full_disk(sandbox, pause: int) -> None:
    """RLIMIT_FSIZE: every write beyond a few bytes is refused, as on a full disk; told once for spool and store."""
    program = (
        """
import resource, signal, sys, time
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
import errtrack
errtrack.capture_message("no room")
time.sleep(%d)  # the worker comes to the store meanwhile, or does not
print("working")
sys.exit(3)
"""
        % pause
    )
    (line,) = as_without_us(sandbox, program=program)
    assert "cannot write" in line


@pytest.mark.skipif(not os.path.exists("/dev/shm") or shutil.which("unshare") is None, reason="needs unshare")
def test_full_file_system(sandbox) -> None:
    """A real file system of 64 kB, in a mount namespace of its own."""
    path = sandbox.write(
        "app.py",
        "import errtrack\nfor n in range(300): errtrack.capture_message('x' * 900 + str(n))\nprint('working')",
    )
    mount = sandbox.folder / "small"
    mount.mkdir()
    command = "mount -t tmpfs -o size=64k,mode=700 none %s && exec %s" % (
        mount,
        " ".join(sandbox.command(sys.executable, str(path))),
    )
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", command],
        env={**sandbox.env, "ERRTRACK_STORE": str(mount)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip("no user namespaces here: " + done.stderr.strip())
    assert (done.returncode, done.stdout) == (0, "working\n"), done.stderr
    assert len(done.stderr.splitlines()) <= 2  # one for the spool, one for the store


def test_stderr_closed(sandbox) -> None:
    path = sandbox.write("app.py", "open('data.txt', 'w').write('mine')\n1 / 0\n")
    command = " ".join(sandbox.command(sys.executable, str(path))) + " 2>&-"
    done = subprocess.run(
        ["sh", "-c", command], cwd=sandbox.folder, env={**sandbox.env, "ERRTRACK_DSN": "nonsense"}, timeout=60
    )
    assert done.returncode == 1
    assert (sandbox.folder / "data.txt").read_text() == "mine"  # nothing of ours went to a reused descriptor
    assert sandbox.event()["exception"]["values"][0]["type"] == "ZeroDivisionError"


@pytest.mark.parametrize("program", ["1 / 0", "import errtrack; errtrack.capture_message('x')"])
def test_stderr_is_a_full_device(sandbox, program: str) -> None:
    """What could not be written must not linger in a buffer: Python would end with exit code 120 for it."""
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    path = sandbox.write("app.py", program)
    codes = []
    for launched in (False, True):
        command = " ".join(sandbox.command(sys.executable, str(path), launched=launched)) + " 2>/dev/full"
        env = {**sandbox.env, "ERRTRACK_SAMPLE_RATE": "x"}
        codes.append(
            subprocess.run(["sh", "-c", command], cwd=sandbox.folder, env=env, timeout=60).returncode
        )
    assert codes[0] == codes[1]
    assert len(sandbox.events()) == 1


def test_home_unset(sandbox) -> None:
    for name in ("HOME", "ERRTRACK_STORE", "XDG_STATE_HOME"):
        sandbox.env.pop(name, None)
    sandbox.env["XDG_STATE_HOME"] = str(sandbox.folder / "xdg")  # so that no test writes to the real one
    as_without_us(sandbox, 0)
    sandbox.store = sandbox.folder / "xdg" / "errtrack"
    assert len(sandbox.events()) == 1


def test_home_unset_and_no_folder_named(sandbox) -> None:
    """The user's real state folder may be written to here; the event says where it is, and is taken away again."""
    for name in ("HOME", "ERRTRACK_STORE", "XDG_STATE_HOME"):
        sandbox.env.pop(name, None)
    sandbox.env["STATE_DIRECTORY"] = str(sandbox.folder / "systemd")
    Path(sandbox.env["STATE_DIRECTORY"]).mkdir(mode=0o700)
    as_without_us(sandbox, 0)
    assert list((sandbox.folder / "systemd").rglob("seg-*"))


def test_working_folder_removed_under_the_program(sandbox) -> None:
    program = """
import os, tempfile, errtrack
folder = tempfile.mkdtemp()
os.chdir(folder)
os.rmdir(folder)
1 / 0
"""
    bare = sandbox.python(program.replace(", errtrack", ""), launched=False)
    watched = sandbox.python(program)
    assert (watched.returncode, watched.stderr.splitlines()[-1]) == (1, bare.stderr.splitlines()[-1])
    assert len(sandbox.events()) == 1


def test_descriptors_used_up(sandbox) -> None:
    program = """
import errtrack, os, resource
errtrack.is_initialized()
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
held = []
try:
    while True: held.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
1 / 0
"""
    # Without .pyc files our thread has to open many, and fails at it: while the program runs on, and while it ends.
    env = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": str(sandbox.folder / "none")}
    waiting = program.replace("1 / 0", "errtrack.capture_message('x')\nimport time\ntime.sleep(2)\n1 / 0")
    for text in (program, waiting):
        done = sandbox.python(text, **env)
        assert done.returncode == 1, done.stderr
        lines = done.stderr.splitlines()
        rest = [line for line in lines if not line.startswith("errtrack: ")]
        assert len(rest) <= 5 and rest[0].startswith("Traceback"), done.stderr  # and no word of our thread's
        assert rest[-1] == "ZeroDivisionError: division by zero" and len(lines) - len(rest) <= 2, done.stderr


def test_switched_off(sandbox) -> None:
    as_without_us(sandbox, 0, ERRTRACK_ENABLED="0", ERRTRACK_SAMPLE_RATE="x")
    assert sandbox.events() == []
