# SPDX-License-Identifier: MIT
"""Start errtrack in this Python, then run the sitecustomize that would have run without it.

Whatever Python inherits PYTHONPATH runs this file, of any age: its grammar is that of 2.7, and it is silent.
"""

# mypy: ignore-errors
import os
import sys

OFF = ("0", "false", "f", "no", "n", "off")


def start(inject):
    path = list(sys.path)
    try:
        # Found last: an environment's own copy comes first, and one that has none is served all the same.
        sys.path.append(os.path.dirname(os.path.dirname(inject)))
        import errtrack_run.boot
    finally:
        sys.path[:] = path
    errtrack_run.boot.boot(inject)


def chain():
    ours = sys.modules.pop("sitecustomize")
    try:
        import sitecustomize  # noqa: F401
    except BaseException as error:
        sys.modules["sitecustomize"] = ours  # importlib takes it out once more, or fails with KeyError
        if not isinstance(error, ImportError) or getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise


if __name__ == "sitecustomize":
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if entry != here]
    try:
        enabled = os.environ.get("ERRTRACK_ENABLED", "").strip().lower() not in OFF
        if sys.version_info >= (3, 9) and enabled:
            start(here)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # one that escapes would be a fatal error of the interpreter
        if os.environ.get("ERRTRACK_DEBUG", "0") != "0" and sys.stderr is not None:
            sys.stderr.write("errtrack: not started: %s: %s\n" % (type(error).__name__, error))
    chain()
