# SPDX-License-Identifier: MIT
"""The wheel brings compiled files for what every start reads, whatever the installer compiles."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from houses import VERSIONS, find_python, python_of

ROOT = Path(__file__).parents[2]
pytest.importorskip("hatchling", reason="builds the wheel")

#: What any start reads, and what the standard library has it read further.
AT_START = {"errtrack_run/inject/sitecustomize", "errtrack_run/__init__", "errtrack_run/boot"}
STDLIB = (
    "import asyncio, http.client, logging, multiprocessing, subprocess, threading, wsgiref.simple_server\n"
)
STDLIB += "logging.getLogger().info('a line'); threading.Thread(target=int).start()"


def build(root: Path, target: Path, *options: str, pythons: str = "", **environ: str) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(target), *(options or ("-t", "wheel"))]
    env = {**os.environ, "ERRTRACK_WHEEL_PYTHONS": pythons, **environ}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(target.glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of this checkout, for every Python that is here."""
    pythons = os.pathsep.join(filter(None, map(find_python, VERSIONS)))
    return build(ROOT, tmp_path_factory.mktemp("dist"), pythons=pythons)


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As an installer leaves it that compiles nothing."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


class Start:
    """Which of our files a Python has read as it ran *code*: *compiled* beforehand, or from *source*."""

    def __init__(self, python: str, site: Path, code: str = "pass") -> None:
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(site / "errtrack_run" / "inject"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "ERRTRACK_STORE": str(site.parent / "store"),
        }
        done = subprocess.run([python, "-v", "-c", code], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-1000:]
        self.stdout = done.stdout
        lines = [line for line in done.stderr.splitlines() if line.startswith("# code object from ")]
        read = [line[len("# code object from ") :].strip("'") for line in lines if str(site) in line]
        names = [os.path.relpath(path, site).replace("__pycache__/", "") for path in read]
        self.compiled = {name.partition(".")[0] for name in names if name.endswith(".pyc")}
        self.source = {name.partition(".")[0] for name in names if name.endswith(".py")}
        # Our own loader says no word of the compiled file that it takes; it does when it has to take the source.
        loaded = [line for line in done.stderr.splitlines() if line[:8] == "import '" and "OwnLoader" in line]
        self.compiled |= {line.split("'")[1].replace(".", "/") for line in loaded} - self.source


def test_nothing_is_compiled_at_a_start_nor_for_the_standard_library(unpacked: Path, any_python: str) -> None:
    start = Start(any_python, unpacked)
    assert start.compiled >= AT_START and not start.source
    start = Start(any_python, unpacked, STDLIB)
    assert start.compiled >= AT_START | {"errtrack_run/hooking", "errtrack/options"} and not start.source


def test_code_from_compiled_files_says_where_it_lies(unpacked: Path, any_python: str) -> None:
    code = (
        "import sys, types\n"
        "def files(code):\n"
        "    found = {code.co_filename}\n"
        "    for each in code.co_consts:\n"
        "        found |= files(each) if isinstance(each, types.CodeType) else set()\n"
        "    return found\n"
        "from errtrack_run import boot\n"
        "print(*files(boot.Finder.find_spec.__code__) | files(boot.lay_wire.__code__))\n"
    )
    assert Start(any_python, unpacked, code).stdout == "%s\n" % (unpacked / "errtrack_run" / "boot.py")


def test_a_source_that_was_edited_counts(unpacked: Path, any_python: str, tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(unpacked, site)
    for name in ("errtrack_run/boot.py", "errtrack/options.py"):
        times = (site / name).stat()
        with open(site / name, "a") as file:
            file.write("\nEDITED = True\n")
        os.utime(site / name, (times.st_atime, times.st_mtime))
    code = "import threading\nfrom errtrack_run import boot\nfrom errtrack import options\n"
    start = Start(any_python, site, code + "print(boot.EDITED, options.EDITED)")
    assert start.stdout == "True True\n"
    assert start.source == {"errtrack_run/boot", "errtrack/options"}


def test_a_python_that_the_files_are_not_for_compiles_as_ever(
    unpacked: Path, any_python: str, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    shutil.copytree(unpacked, site)
    for path in site.rglob("*.pyc"):
        path.write_bytes(b"\0\0\r\n" + path.read_bytes()[4:])
    start = Start(any_python, site, "import sys; print(type(sys.meta_path[0]).__name__)")
    assert start.source >= AT_START and not start.compiled and start.stdout == "Finder\n"


def test_the_wheel_is_for_any_python_and_is_the_same_from_anywhere(tmp_path: Path) -> None:
    """Neither place nor time nor what the builder has set is in it."""
    first = build(ROOT, tmp_path / "first", pythons=sys.executable)
    assert first.name.endswith("-py3-none-any.whl")
    copy = tmp_path / "another place"
    ignored = shutil.ignore_patterns("__pycache__", ".git", "tests", "bench")
    shutil.copytree(ROOT, copy, ignore=ignored, copy_function=shutil.copy)  # which gives new times
    environ = {"ERRTRACK_ENABLED": "0", "PYTHONHASHSEED": "7", "PYTHONOPTIMIZE": "2"}
    again = build(copy, tmp_path / "again", **environ)
    assert again.read_bytes() == first.read_bytes()


def test_an_editable_installation_has_no_compiled_files(tmp_path: Path) -> None:
    wheel = build(ROOT, tmp_path, "-t", "wheel:editable")
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".pyc")]


def test_a_python_that_is_asked_for_and_is_not_there_ends_the_build(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no-such-python"):
        build(ROOT, tmp_path, pythons="no-such-python")


def test_the_second_distribution_brings_its_module_compiled(tmp_path: Path) -> None:
    names = zipfile.ZipFile(build(ROOT / "bootstrap" / "autoload", tmp_path)).namelist()
    compiled = "__pycache__/errtrack_autoload.%s.pyc" % sys.implementation.cache_tag
    assert [name for name in names if name.endswith(".pyc")] == [compiled]


def ours(site: Path) -> list[str]:
    return sorted(str(path.relative_to(site)) for path in site.rglob("*errtrack*"))


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.9", "3.11", "3.13"])
def test_pip_installs_and_uninstalls_it_whether_it_compiles_or_not(
    wheel: Path, version: str, tmp_path: Path
) -> None:
    subprocess.run([python_of(version), "-m", "venv", str(tmp_path / "venv")], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    before = ours(site)
    for options in (["--no-compile"], []):
        pip = [python, "-m", "pip", "--disable-pip-version-check"]
        install = [*pip, "install", "-q", "--no-index", "--no-deps", *options, str(wheel)]
        done = subprocess.run(install, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        start = Start(python, site, STDLIB)
        assert start.compiled >= AT_START and not start.source
        done = subprocess.run([*pip, "uninstall", "-q", "-y", "errtrack-run"], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert ours(site) == before == []


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.9", "3.11", "3.13"])
@pytest.mark.parametrize("options", [[], ["--compile-bytecode"]], ids=["", "compiles"])
def test_uv_installs_and_uninstalls_it(wheel: Path, version: str, options: list[str], tmp_path: Path) -> None:
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("no uv on this machine")
    subprocess.run([python_of(version), "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    env = {"PATH": os.environ["PATH"], "UV_CACHE_DIR": str(tmp_path / "cache"), "UV_OFFLINE": "1"}
    common = ["-q", "--python", python]
    install = [uv, "pip", "install", *common, "--no-index", "--no-deps", *options, str(wheel)]
    subprocess.run(install, env=env, check=True)
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    start = Start(python, site, STDLIB)
    assert start.compiled >= AT_START and not start.source
    subprocess.run([uv, "pip", "uninstall", *common, "errtrack-run"], env=env, check=True)
    assert ours(site) == []
