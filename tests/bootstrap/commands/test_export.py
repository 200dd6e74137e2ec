# SPDX-License-Identifier: MIT
"""errtrack export: the folder instruments any Python, wherever and by whomever it is mounted. Numbers: part J."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from desk import Desk
from houses import House, python_of

VERSIONS = ("3.9", "3.13")


def open_to_all(folder: Path) -> None:
    """Let other users come to *folder*, through the folders that pytest keeps for its own user."""
    for path in (folder, *folder.parents):
        path.chmod(0o755)
        if path.name.startswith("pytest-of-"):
            break


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that was exported for two Pythons and then copied, as an init container does it, and closed."""
    folder = tmp_path_factory.mktemp("exported")
    open_to_all(folder)
    pythons = [option for version in VERSIONS for option in ("--python", python_of(version))]
    command = [sys.executable, "-m", "errtrack_run.cli", "export", str(folder / "first"), *pythons]
    done = subprocess.run(command, capture_output=True, text=True)
    if "pip could not fetch" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    shutil.copytree(folder / "first", folder / "copy", copy_function=shutil.copy)  # with times of its own
    shutil.rmtree(folder / "first")
    for path in [folder / "copy", *(folder / "copy").rglob("*")]:
        path.chmod(path.stat().st_mode & 0o555)
    return folder / "copy"


CRASH = "import sys\nprint(type(sys.meta_path[0]).__name__)\nraise ValueError('exported')\n"


def listed(exported: Path, python: str, env: dict[str, str]) -> str:
    """What `errtrack list` says, run out of the exported folder itself."""
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from errtrack_run.cli import main; sys.exit(main())"
    )
    done = subprocess.run(
        [python, "-B", "-c", code, str(exported), "list"], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def untouched(exported: Path) -> Iterator[None]:
    """Nothing may be written into the folder; root could."""

    def look() -> list[tuple[str, int]]:
        return sorted((str(path), path.stat().st_mtime_ns) for path in exported.rglob("*"))

    before = look()
    yield
    assert look() == before


@pytest.mark.slow
def test_any_python_is_instrumented_from_it(
    exported: Path, untouched: None, house: House, any_python: str
) -> None:
    """100: one that it was compiled for or not; by its launcher, and by PYTHONPATH alone."""
    house.module("app.py", CRASH)
    env = house.environ()
    if any("/%s." % version in any_python or any_python.endswith(version) for version in VERSIONS):
        del env["PYTHONDONTWRITEBYTECODE"]  # the others would write, as root may even here
    done = house.bare([any_python, str(exported / "errtrack-run"), any_python, "app.py"], env=env)
    assert (done.returncode, done.stdout) == (1, "Finder\n")
    by_variable = {**env, "PYTHONPATH": str(exported / "errtrack_run" / "inject")}
    done = house.bare([any_python, "app.py"], env=by_variable)
    assert (done.returncode, done.stdout) == (1, "Finder\n")
    text = listed(exported, any_python, env)
    assert "ValueError: exported" in text and " 2 " in text


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_its_compiled_files_are_taken_though_every_time_changed(
    exported: Path, untouched: None, house: House, version: str
) -> None:
    """100: a Python that finds them stale would say that it compiles."""
    env = house.environ(PYTHONPATH=str(exported / "errtrack_run" / "inject"))
    done = house.bare([python_of(version), "-v", "-c", "pass"], env=env)
    ours = [line for line in done.stderr.splitlines() if str(exported) in line and ".py" in line]
    matched = [line for line in ours if " matches " in line]
    read = {Path(line.rpartition(" matches ")[2]).name for line in matched}
    assert read == {"sitecustomize.py", "__init__.py", "boot.py"}
    assert not [line for line in ours if "bytecode is stale" in line or "wrote" in line]


@pytest.mark.slow
def test_events_reach_a_server_without_anything_installed(
    exported: Path, untouched: None, house: House, any_python: str
) -> None:
    """100: what sending needs is in the folder, in releases for the oldest of its Pythons."""
    from commands.desk import Sink

    house.module("app.py", CRASH)
    env = house.environ(PYTHONPATH=str(exported / "errtrack_run" / "inject"))
    with Sink() as sink:
        bare = "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]\n"
        house.module("app.py", bare + CRASH)
        house.bare(
            [any_python, "app.py"], env={**env, "ERRTRACK_DSN": sink.dsn, "ERRTRACK_SHUTDOWN_TIMEOUT": "20"}
        )
        assert [event["exception"]["values"][0]["value"] for event in sink.events()] == ["exported"]


def as_anybody(*command: str) -> list[str]:
    """*command* as a user who has no entry in the password file, no home and no group."""
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("to become another user takes root and setpriv")
    return [setpriv, "--reuid", "54321", "--regid", "54321", "--clear-groups", "--", *command]


@pytest.mark.slow
def test_any_user_may_use_it_without_a_home(exported: Path, untouched: None, house: House) -> None:
    """100, 102: an arbitrary UID, HOME unset; the events go where this user can write."""
    candidates = [python_of("3.13"), "/usr/bin/python3", os.path.realpath(sys.executable)]
    probe = "import sys; sys.exit(sys.version_info < (3, 9))"
    usable = [
        c
        for c in candidates
        if os.path.exists(c) and not subprocess.run(as_anybody(c, "-c", probe)).returncode
    ]
    if not usable:
        pytest.skip("another user cannot start any Python of this machine")
    python = usable[0]
    for path in (house.folder, house.work):
        path.chmod(0o755)
    house.module("app.py", CRASH).chmod(0o644)
    temporary = house.folder / "tmp"
    temporary.mkdir()
    temporary.chmod(0o1777)
    open_to_all(house.folder)
    env = {"PATH": os.environ["PATH"], "TMPDIR": str(temporary)}
    command = as_anybody(python, str(exported / "errtrack-run"), python, "app.py")
    done = house.bare(command, env=env)
    assert (done.returncode, done.stdout) == (1, "Finder\n"), done.stderr
    listing = house.bare(
        as_anybody(
            python,
            "-c",
            "import sys; sys.path.insert(0, %r); from errtrack_run.cli import main; main(['list'])"
            % str(exported),
        ),
        env=env,
    )
    assert "ValueError: exported" in listing.stdout, listing.stderr


WITHOUT_SHELL = """
import os, sys
assert not os.path.exists("/bin/sh")
os.execve(sys.argv[1], sys.argv[1:], os.environ)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="mount namespaces are Linux's")
def test_it_works_where_there_is_no_shell(exported: Path, untouched: None, house: House) -> None:
    """101: as in distroless images; every program of the system is hidden."""
    unshare = shutil.which("unshare")
    python = os.path.realpath(python_of("3.13"))
    hidden = os.path.realpath("/bin")
    if unshare is None or os.geteuid() != 0 or python.startswith(hidden):
        pytest.skip("hiding the system's programs takes root and unshare")
    house.module("app.py", CRASH)
    house.module("without_shell.py", WITHOUT_SHELL)
    script = 'mount -t tmpfs none %s && exec "$@"' % hidden
    command = [python, "without_shell.py", python, str(exported / "errtrack-run"), python, "app.py"]
    done = house.bare([unshare, "-m", "sh", "-c", script, "sh", *command])
    if "unshare failed" in done.stderr or "permission denied" in done.stderr:
        pytest.skip(done.stderr)
    assert (done.returncode, done.stdout) == (1, "Finder\n"), done.stderr
    assert "ValueError: exported" in listed(exported, python, house.environ())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="mount namespaces are Linux's")
def test_a_read_only_root_is_no_obstacle(exported: Path, house: House) -> None:
    """102: readOnlyRootFilesystem; nothing at all can be written but the store."""
    unshare = shutil.which("unshare")
    if unshare is None or os.geteuid() != 0:
        pytest.skip("to mount takes root and unshare")
    python = python_of("3.13")
    house.module("app.py", CRASH)
    bare = house.bare([python, "app.py"])
    script = "mount -o remount,bind,ro / 2>/dev/null || mount --bind / / && mount -o remount,bind,ro / && "
    # Memory can still be written to; what is kept there is to be this test's alone.
    script += 'mount -t tmpfs none /dev/shm && exec "$@"'
    command = [python, str(exported / "errtrack-run"), python, "app.py"]
    env = {"PATH": os.environ["PATH"]}
    done = house.bare([unshare, "-m", "sh", "-c", script, "sh", *command], env=env)
    if "mount:" in done.stderr:
        pytest.skip(done.stderr)
    assert (done.returncode, done.stdout) == (1, "Finder\n"), done.stderr
    assert bare.stderr.splitlines()[-1] in done.stderr


LAMBDA_RUNTIME = """
import importlib, os, sys
sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
handler = importlib.import_module("handler")
handler = importlib.reload(handler)
try:
    handler.handle({"key": 1}, None)
except ValueError as error:
    import errtrack
    errtrack.capture_exception(error)
    errtrack.flush(2)
print(sys.argv[1:], flush=True)
if "spawned" not in sys.argv:
    import subprocess
    subprocess.run([sys.executable, __file__, "spawned"], check=True)
"""


@pytest.mark.slow
def test_it_is_an_exec_wrapper_of_lambda(exported: Path, untouched: None, house: House) -> None:
    """99: AWS_LAMBDA_EXEC_WRAPPER gets interpreter and arguments; a runtime like Amazon's imports and reloads."""
    python = python_of("3.13")
    house.module("runtime/bootstrap.py", LAMBDA_RUNTIME)
    house.module("task/handler.py", "def handle(event, context):\n    raise ValueError('in the handler')\n")
    env = house.environ(
        LAMBDA_TASK_ROOT=str(house.work / "task"),
        PATH="%s:%s" % (os.path.dirname(python), os.environ["PATH"]),
        PYTHONPATH=str(house.work / "runtime"),
    )
    done = house.bare([str(exported / "errtrack-run"), python, "runtime/bootstrap.py", "--flag"], env=env)
    assert (done.returncode, done.stdout) == (0, "['--flag']\n['spawned']\n"), done.stderr
    text = listed(exported, python, env)
    assert "ValueError: in the handler" in text and " 2 " in text


def test_a_folder_with_something_in_it_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    command = [sys.executable, "-m", "errtrack_run.cli", "export", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, os.listdir(tmp_path)) == (1, ["mine"])
    assert "not empty" in done.stderr


@pytest.mark.parametrize("python", ["no-such-python", "true", "old"])
def test_what_is_no_supported_python_is_told(tmp_path: Path, python: str) -> None:
    path = python_of("3.8") if python == "old" else python
    command = [sys.executable, "-m", "errtrack_run.cli", "export", str(tmp_path / "new"), "--python", path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("python", "told"),
    [
        ("no-such-python", "no-such-python cannot be started: No such file or directory"),
        ("false", "false is no Python that can be started"),
    ],
)
def test_a_python_that_is_none_is_told_in_one_line(desk: Desk, python: str, told: str) -> None:
    result = desk.run("export", "folder", "--python", python)
    assert (result.status, result.err) == (1, "errtrack: %s\n" % told)
