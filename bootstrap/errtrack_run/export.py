# SPDX-License-Identifier: MIT
"""``errtrack export DIR``: a folder with all of errtrack in it, to be mounted where nothing can be installed.

An init container copies it to a volume, a Lambda layer or an image holds it; any supported Python is
instrumented from it without pip. Every file is compiled in advance, with ``.pyc`` files that are taken as they
are ("unchecked hash", PEP 552): copying changes the times of files, and the folder may be read-only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from errtrack_run.cli import CommandError
from errtrack_run.terminal import Terminal, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from errtrack_run.cli import Settings

_PACKAGES = ("errtrack", "errtrack_instrumentations", "errtrack_run")
#: Import name -> distribution. tomli is for Pythons older than 3.11.
_DEPENDENCIES = {"wrapt": "wrapt", "urllib3": "urllib3", "certifi": "certifi", "tomli": "tomli"}
_REQUIREMENTS = ("wrapt>=1.14", "urllib3>=1.26,<3", "certifi", "tomli>=1.1")

#: DIR/errtrack-run, for a shell, for ENTRYPOINT and for AWS_LAMBDA_EXEC_WRAPPER.
_LAUNCHER = """\
#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from errtrack_run.launcher import main

if __name__ == "__main__":
    sys.exit(main())
"""

_COMPILE = """\
import compileall, py_compile, sys
unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
compileall.compile_dir(sys.argv[1], quiet=2, force=True, invalidation_mode=unchecked)
print("%d.%d" % sys.version_info[:2])
"""


def run(settings: Settings) -> int:
    """Write the folder, or a layer. Exit status 1 when something could not be done."""
    arguments = settings.arguments
    target = os.path.abspath(arguments.folder)
    pythons = arguments.python or [sys.executable]
    if not arguments.layer:
        inject = os.path.join(target, "errtrack_run", "inject")
        terminal = Terminal()
        terminal.print(_write(target, pythons))
        terminal.print("Start a command with it:  %s" % os.path.join(target, "errtrack-run COMMAND"))
        terminal.print("Or in the environment:    PYTHONPATH=%s" % inject)
        return 0
    if os.path.exists(target):
        raise CommandError("%s is there already" % target)
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        _write(os.path.join(temporary, "errtrack"), pythons)
        _zip(temporary, target)
    terminal = Terminal()
    terminal.print("Wrote %s (%s), a Lambda layer." % (target, size(os.path.getsize(target))))
    terminal.print("In the environment of the function:  AWS_LAMBDA_EXEC_WRAPPER=/opt/errtrack/errtrack-run")
    return 0


def _zip(folder: str, target: str) -> None:
    """Pack *folder* with the modes of its files: the launcher stays executable."""
    import zipfile

    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for parent, folders, files in os.walk(folder):
            folders.sort()
            for name in sorted(files):
                path = os.path.join(parent, name)
                archive.write(path, os.path.relpath(path, folder))


def _write(folder: str, pythons: Sequence[str]) -> str:
    """Write *folder*, compiled for *pythons*; return what to say of it."""
    if os.path.exists(folder) and (not os.path.isdir(folder) or os.listdir(folder)):
        raise CommandError("%s is there already, and not empty" % folder)
    found = [_version(python) for python in pythons]
    _copy_packages(folder)
    _add_dependencies(folder, min(found))
    with open(os.path.join(folder, "errtrack-run"), "w", encoding="utf-8") as file:
        file.write(_LAUNCHER)
    for python in pythons:
        _compile(folder, python)
    _open_to_all(folder)
    total = sum(
        os.path.getsize(os.path.join(parent, name)) for parent, _, files in os.walk(folder) for name in files
    )
    versions = ", ".join("%d.%d" % version for version in sorted(set(found)))
    return "Wrote %s (%s), compiled for Python %s." % (folder, size(total), versions)


def _copy_packages(folder: str) -> None:
    from errtrack_run.import_hook import own_spec

    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for name in _PACKAGES:
        spec = own_spec(root, name)
        if spec is None or not spec.submodule_search_locations:
            raise CommandError("the package %s is not there" % name)
        _copy(spec.submodule_search_locations[0], os.path.join(folder, name))


def _copy(source: str, target: str) -> None:
    # Extension modules are for one version of Python; all that we need goes without.
    shutil.copytree(
        source, target, ignore=shutil.ignore_patterns("__pycache__", ".*", "*.so", "*.pyd", "*.c", "*.pyi")
    )


def _add_dependencies(folder: str, oldest: tuple[int, int]) -> None:
    """Put what errtrack needs beside it: the releases of this environment where they are for *oldest* too."""
    from importlib.metadata import PackageNotFoundError, distribution

    from errtrack import distributions

    missing = []
    for name, project in _DEPENDENCIES.items():
        try:
            found = distribution(project)
        except PackageNotFoundError:
            missing.append(name)
            continue
        wanted = found.metadata["Requires-Python"] or ""
        place = str(found.locate_file(""))
        if not os.path.isdir(os.path.join(place, name)) or (
            wanted and not distributions.satisfies("%d.%d" % oldest, wanted)
        ):
            missing.append(name)
        else:
            _copy_with_licence(place, name, folder)
    if missing:
        _fetch(folder, missing, oldest)


def _fetch(folder: str, names: Sequence[str], oldest: tuple[int, int]) -> None:
    """Have pip fetch releases that are for *oldest*."""
    import tempfile
    import zipfile

    wanted = [line for line in _REQUIREMENTS if line.partition(">")[0] in names]
    with tempfile.TemporaryDirectory() as temporary:
        # Downloaded and unpacked: some releases of pip heed --python-version in `download`, but not in `install`.
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", temporary]
        command += ["--only-binary", ":all:", "--python-version", "%d.%d" % oldest, "--implementation", "cp"]
        done = subprocess.run([*command, *wanted], capture_output=True, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["exit status %d" % done.returncode])[-1]
            raise CommandError("pip could not fetch %s: %s" % (", ".join(names), last))
        for wheel in os.listdir(temporary):
            with zipfile.ZipFile(os.path.join(temporary, wheel)) as archive:
                archive.extractall(temporary)
        for name in names:
            _copy_with_licence(temporary, name, folder)


def _copy_with_licence(source: str, name: str, target: str) -> None:
    _copy(os.path.join(source, name), os.path.join(target, name))
    for entry in os.listdir(source):
        if entry.lower().startswith(name + "-") and entry.endswith(".dist-info"):
            _copy(os.path.join(source, entry), os.path.join(target, entry))


def _version(python: str) -> tuple[int, int]:
    code = "import sys; print('%d %d' % sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
        major, minor = done.stdout.split()
    except OSError as error:
        raise CommandError("%s cannot be started: %s" % (python, error.strerror or error)) from None
    except (ValueError, subprocess.CalledProcessError):
        raise CommandError("%s is no Python that can be started" % python) from None
    if (int(major), int(minor)) < (3, 9):
        raise CommandError("%s is Python %s.%s; errtrack needs 3.9 or newer" % (python, major, minor))
    return int(major), int(minor)


def _compile(folder: str, python: str) -> None:
    done = subprocess.run([python, "-I", "-c", _COMPILE, folder], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["exit status %d" % done.returncode])[-1]
        raise CommandError("%s could not compile: %s" % (python, last))


def _open_to_all(folder: str) -> None:
    """Readable for any user: containers run as whoever they like."""
    for parent, folders, files in os.walk(folder):
        for name in folders:
            os.chmod(os.path.join(parent, name), 0o755)
        for name in files:
            path = os.path.join(parent, name)
            os.chmod(path, 0o755 if path == os.path.join(folder, "errtrack-run") else 0o644)
    os.chmod(folder, 0o755)
