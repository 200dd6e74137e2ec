# SPDX-License-Identifier: MIT
"""Start errtrack in this Python, then run the sitecustomize that would have run without it.

Whatever Python inherits PYTHONPATH runs this file, of any age: its grammar is that of 2.7, and it is silent.
"""

# mypy: ignore-errors
import os
import sys


def start(inject):
    path, root = sys.path[:], os.path.dirname(os.path.dirname(inject))
    for places in path + [root], [root]:  # an environment's own copy comes first, unless it is damaged
        try:
            try:
                sys.path[:] = places
                import errtrack_run
            finally:
                sys.path[:] = path
            errtrack_run.beside("boot").boot(inject)
        except Exception as error:
            tell(error)
            [sys.modules.pop(name) for name in list(sys.modules) if name.startswith("errtrack_run")]
        else:
            break


def tell(error):
    if os.environ.get("ERRTRACK_DEBUG", "0") != "0" and sys.stderr is not None:
        sys.stderr.write("errtrack: not started: %s: %s\n" % (type(error).__name__, error))


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
        switch = os.environ.get("ERRTRACK_ENABLED", "").strip().lower()
        if sys.version_info >= (3, 9) and switch not in "0 false f no n off".split():  # noqa: SIM905
            start(here)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # one that escapes would be a fatal error of the interpreter
        tell(error)
    chain()
