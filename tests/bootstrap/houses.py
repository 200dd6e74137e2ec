# SPDX-License-Identifier: MIT
"""Real launchers, real interpreters, clean environments: what the bootstrap's tests are made of."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import errtrack
import errtrack_run

RUN = Path(errtrack_run.__file__).parent
INJECT = str(RUN / "inject")
AGENT = Path(str(errtrack.__file__)).parent

VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
OLD_VERSIONS = ("2.7", "3.6", "3.8")

#: errtrack_run started as a console script starts it, with neither installation nor PYTHONPATH.
STUB = "import sys; sys.path.insert(0, %r); from errtrack_run.launcher import main; sys.exit(main())\n"


def find_python(version: str) -> str | None:
    """A real interpreter of *version* (no shim script), without errtrack in it."""
    candidates = sorted(Path.home().glob(".pyenv/versions/%s.*/bin/python" % version))
    candidates += sorted(Path("/opt").glob("hostedtoolcache/Python/%s.*/x64/bin/python" % version))
    found = shutil.which("python" + version)
    candidates += [Path(found)] if found else []
    for candidate in candidates:
        probe = "import sys; sys.stdout.write('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([str(candidate), "-c", probe], capture_output=True, text=True)
        if done.returncode == 0 and done.stdout == version:
            return str(candidate)
    return None


_known: dict[str, str | None] = {}


def python_of(version: str) -> str:
    if version not in _known:
        _known[version] = find_python(version)
    path = _known[version]
    if path is None:
        pytest.skip("no Python %s on this machine" % version)
    return path


class House:
    """A place that errtrack is launched from, and a clean folder to run in."""

    def __init__(self, folder: Path, packages: Path | None = None) -> None:
        self.folder = folder
        self.run = (packages / "errtrack_run") if packages else RUN
        self.inject = str(self.run / "inject")
        self.stub = folder / "errtrack-run-stub.py"
        self.stub.write_text(STUB % str(self.run.parent))
        self.work = folder / "work"
        self.work.mkdir(exist_ok=True)

    def environ(self, **more: str) -> dict[str, str]:
        base = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.folder),
            "ERRTRACK_STORE": str(self.folder / "store"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return {**base, **more}

    def bare(
        self, command: Sequence[str], env: Mapping[str, str] | None = None, **more: object
    ) -> subprocess.CompletedProcess[str]:
        return self._run(command, env, **more)

    def launch(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        **more: object,
    ) -> subprocess.CompletedProcess[str]:
        return self._run([*self.launcher, *options, *command], env, **more)

    @property
    def launcher(self) -> list[str]:
        return [sys.executable, str(self.stub)]

    def _run(
        self, command: Sequence[str], env: Mapping[str, str] | None = None, **more: object
    ) -> subprocess.CompletedProcess[str]:
        keywords: dict[str, object] = {
            "env": self.environ() if env is None else dict(env),
            "cwd": self.work,
            "capture_output": True,
            "encoding": "utf-8",
            "errors": "surrogateescape",
            "timeout": 60,
            "stdin": subprocess.DEVNULL,
            **more,
        }
        return subprocess.run(list(command), **keywords)  # type: ignore[call-overload,no-any-return]

    def module(self, name: str, source: str) -> Path:
        """Write a module or package file into the folder that commands run in."""
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
        return path


#: An instrumentation that says what is done with it.
TALKER = """
class Talker:
    def apply(self, name, module):
        print("hook", name, type(module).__name__)
    def wrap(self, place, previous):
        def wrapped(*args):
            print("wrapped", place)
            return previous(*args)
        return wrapped
    def at_exit(self):
        print("at exit")
INSTRUMENTATION = Talker()
"""


def build(
    folder: Path,
    hooks: Mapping[str, Sequence[str]],
    files: Mapping[str, str],
    wires: Mapping[str, str] = {},
    at_exit: str = "",
    opt_in: Sequence[str] = (),
) -> House:
    """errtrack as a wheel leaves it in some site-packages, with instrumentations of the test's own."""
    packages = folder / "elsewhere"
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(RUN, packages / "errtrack_run", ignore=skip)
    shutil.copytree(AGENT, packages / "errtrack", ignore=skip)
    wing = packages / "errtrack_instrumentations"
    wing.mkdir()
    (wing / "__init__.py").write_text("")
    rows = [*wires.items(), *((name, ",".join(files)) for name, files in hooks.items())]
    if at_exit:
        rows.append(("atexit._run_exitfuncs", at_exit))
    on, off = (
        [(name, [file for file in files.split(",") if (file in opt_in) == is_off]) for name, files in rows]
        for is_off in (False, True)
    )
    parts = (
        "\n".join("%s %s" % (name, ",".join(files)) for name, files in part if files) for part in (on, off)
    )
    (wing / "catalogue.txt").write_text("\n----\n".join(["The contents page.", *parts]) + "\n")
    for name, source in files.items():
        (wing / (name + ".py")).write_text(source)
    return House(folder, packages)
