# SPDX-License-Identifier: MIT
"""Puts ``.pyc`` files into the wheels, of this distribution and of errtrack-run.

Some installers compile nothing, and where Python may not write beside what it imports, every start of every Python
would compile it again. What is compiled is what ``program`` reads (``pyproject.toml``): Python is asked, so that there
is no list to keep. For the Python that builds, and those that ``ERRTRACK_WHEEL_PYTHONS`` names, with ``:`` between.

The files say that they are for a source of a certain hash (PEP 552): one that is edited counts, and neither time nor
place are in them. An installer that compiles writes over those of its own Python; others it does not look at.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: Prints every file below a folder that a program has executed.
_READ = """
import os, sys
folder, program = sys.argv[1:]
read = set()
def heard(event, args):
    if event == "exec":
        read.add(getattr(args[0], "co_filename", ""))
sys.addaudithook(heard)
exec(program)
print("\\n".join(sorted(os.path.relpath(path, folder) for path in read if path.startswith(folder + os.sep))))
"""

#: Compiles files below a folder into another one, and prints what it has written there.
_COMPILE = """
import importlib.util, os, py_compile, sys
folder, target, *paths = sys.argv[1:]
for path in paths:
    compiled, mode = importlib.util.cache_from_source(path), py_compile.PycInvalidationMode.CHECKED_HASH
    place = os.path.join(target, compiled)
    py_compile.compile(os.path.join(folder, path), place, path, doraise=True, invalidation_mode=mode)
    print(compiled)
"""


class CompiledFiles(BuildHookInterface):  # type: ignore[type-arg]
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        self.folder = tempfile.TemporaryDirectory(prefix="errtrack-compiled-")
        target = os.path.realpath(self.folder.name)
        try:
            self._compile(sys.executable, target, build_data)
        except (OSError, subprocess.CalledProcessError) as error:  # an installation that starts slower is one
            self.app.display_warning("no compiled files for %s: %s" % (sys.executable, error))
        for python in filter(None, os.environ.get("ERRTRACK_WHEEL_PYTHONS", "").split(os.pathsep)):
            self._compile(python, target, build_data)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            self.folder.cleanup()

    def _compile(self, python: str, target: str, build_data: dict[str, Any]) -> None:
        read = self._run(python, _READ, self.root, self.config["program"])
        for path in self._run(python, _COMPILE, self.root, target, *read):
            build_data["force_include"][os.path.join(target, path)] = path

    def _run(self, python: str, code: str, *arguments: str) -> list[str]:
        """The lines that *code* prints. Only the standard library is there, and no setting of whoever builds."""
        environ = {name: value for name, value in os.environ.items() if name[:6] not in ("PYTHON", "ERRTRA")}
        environ["PYTHONHASHSEED"] = "0"  # up to Python 3.10 the order in a compiled set depends on it
        environ["PYTHONPATH"] = os.path.join(self.root, self.config["python-path"])
        with tempfile.TemporaryDirectory() as empty:
            environ["ERRTRACK_STORE"] = environ["HOME"] = empty
            command = [python, "-s", "-S", "-B", "-c", code, *arguments]
            done = subprocess.run(
                command, env=environ, cwd=empty, stdout=subprocess.PIPE, check=True, text=True
            )
        return done.stdout.split("\n")[:-1]
