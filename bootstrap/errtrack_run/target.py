# SPDX-License-Identifier: MIT
"""``errtrack doctor -- COMMAND``: in which Python would it run, and would errtrack start there?

The Python is asked itself: it is started as errtrack-run would start it, with the same flags, and says
whether errtrack was there. The command is not run.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from errtrack_run.cautions import flags_of, interpreter_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_TIMEOUT = 60.0

#: So many lines of what a Python says as it starts, such as that its sitecustomize fails.
_SAID = 4


class Target:
    """What a command is: ``path``, and the ``python`` it runs in with its ``flags`` (None: it is none).

    ``missing``: what its first line names, and is not there.
    """

    def __init__(
        self,
        path: str,
        python: str | None = None,
        flags: Sequence[str] = (),
        why: str = "",
        missing: str = "",
    ) -> None:
        self.path = path
        self.python = python
        self.flags = list(flags)
        self.why = why
        self.missing = missing


def find(command: Sequence[str], environ: Mapping[str, str]) -> Target | None:
    """Find out what *command* is; None when there is no such command."""
    import shutil

    path = shutil.which(command[0], path=environ.get("PATH"))
    if path is None:
        return None
    if is_python(path):
        return Target(path, path, _flags(command[1:]), "it is a Python")
    words = interpreter_of(path)
    if words and os.sep not in words[0]:
        words[0] = shutil.which(words[0], path=environ.get("PATH")) or words[0]
    elif words and os.path.basename(words[0]) == "sh":
        words = _by_shell(path) or words
    if words and not os.path.exists(words[0]):
        return Target(path, missing=words[0])
    if words and is_python(words[0]):
        return Target(path, words[0], _flags(words[1:]), "its first line names %s" % words[0])
    return Target(path)


def why_not(program: str) -> str:
    """Why *program*, which :func:`find` has not found, is no command."""
    from errtrack_run.launcher import hint

    if not os.path.exists(program):
        return "there is no such command"
    if os.sep not in program:
        return "there is no such command on PATH" + hint(program, "that in this folder is ./%s" % program)
    what = "is a directory" if os.path.isdir(program) else "may not be executed"
    return what + hint(program)


def is_python(path: str) -> bool:
    """Whether a program is a Python by its name, as the launcher sees it."""
    return os.path.basename(path).lower().startswith(("python", "pypy"))


def ask(target: Target, modules: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any]:
    """The facts of *target*'s Python, started under errtrack. Raises OSError, ValueError, TimeoutExpired."""
    import json

    from errtrack import distributions
    from errtrack_run import facts
    from errtrack_run.launcher import child_environment

    assert target.python is not None
    # -W ignore: a warning of the environment's is not our finding
    command = [target.python, *target.flags, "-W", "ignore", facts.__file__, distributions.__file__, *modules]
    done = subprocess.run(
        command,
        env=child_environment({}, environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise ValueError((done.stderr.strip().splitlines() or ["exit status %d" % done.returncode])[-1])
    found: dict[str, Any] = json.loads(lines[-1])
    found["said"] = done.stderr.split("\n")[:-1][:_SAID]
    return found


def _flags(arguments: Sequence[str]) -> list[str]:
    """The flags among a Python's first arguments that decide whether it reads PYTHONPATH and imports site."""
    return ["-" + letter for letter in flags_of(arguments) if letter in "IESsP"]


def _by_shell(path: str) -> list[str]:
    """The Python that a script starts in its second line: pip writes that where a path is too long for the first."""
    with open(path, "rb") as file:
        file.readline(512)
        line = os.fsdecode(file.readline(4096))
    return [part for part in line.split('"') if is_python(part)][:1] if "exec" in line[:8] else []
