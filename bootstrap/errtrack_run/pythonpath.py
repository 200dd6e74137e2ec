# SPDX-License-Identifier: MIT
"""PYTHONPATH is changed here and nowhere else, and every byte that is not ours stays as it was."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping

#: Words for false, as the agent's options have them.
OFF = ("0", "false", "f", "no", "n", "off")


def with_inject(value: "str | None", inject: str) -> str:
    """PYTHONPATH *value* with *inject* in front, once, and every other entry as it was, empty ones too.

    An empty value is no entry at all, as for Python; but a separator at an end means the working directory.
    """
    rest = without_inject(value, inject)
    return inject + os.pathsep + rest if rest else inject


def without_inject(value: "str | None", inject: str) -> "str | None":
    """PYTHONPATH *value* without *inject*; None where nothing else was in it."""
    if not value:
        return value
    entries = value.split(os.pathsep)
    rest = [entry for entry in entries if entry != inject]
    if len(rest) == len(entries):
        return value
    if rest == [""]:
        return os.pathsep  # two empty entries say what one cannot: the working directory
    return os.pathsep.join(rest) if rest else None


def heed(environ: "MutableMapping[str, str]", inject: str) -> None:
    """Restore what ``ERRTRACK_PROPAGATE`` says is not for child processes."""
    if environ["ERRTRACK_PROPAGATE"].strip().lower() in OFF:
        restore(environ, inject)


def restore(environ: "MutableMapping[str, str]", inject: str) -> None:
    """Give PYTHONPATH in *environ* back its value from before the launcher; unset where it was unset."""
    current = environ.get("PYTHONPATH")
    if current is None:
        return
    original = environ.get("ERRTRACK_RUN_PYTHONPATH")
    if current != with_inject(original, inject):  # changed on the way here: only our folder is taken out
        original = without_inject(current, inject)
    if original is None:
        del environ["PYTHONPATH"]
    else:
        environ["PYTHONPATH"] = original
    environ.pop("ERRTRACK_RUN", None)
    environ.pop("ERRTRACK_RUN_PYTHONPATH", None)
