# SPDX-License-Identifier: MIT
"""Start errtrack in this Python, then run the sitecustomize that would have run without it.

Whatever Python inherits PYTHONPATH runs this file, of any age: its grammar is that of 2.7, and it is silent.
"""

# mypy: ignore-errors
import os
import sys


def start(inject):
    path = sys.path[:]
    try:
        try:
            sys.path.append(os.path.dirname(os.path.dirname(inject)))  # an environment's own copy comes first
            import errtrack_run
        finally:
            sys.path[:] = path
        errtrack_run.beside("boot").boot(inject)
    except BaseException as error:
        from _frozen_importlib_external import SourceFileLoader

        again = type(sys)("errtrack_run.again")
        SourceFileLoader("errtrack_run.again", os.path.dirname(inject) + "/again.py").exec_module(again)
        again.start(inject, error)


def chain():
    ours = sys.modules.pop("sitecustomize")
    try:
        import sitecustomize  # noqa: F401
    except ImportError as error:
        if getattr(error, "name", "sitecustomize") != "sitecustomize":
            raise
    finally:  # importlib takes it out once more, or fails with KeyError
        sys.modules.setdefault("sitecustomize", ours)


if __name__ == "sitecustomize":
    here = os.path.dirname(os.path.abspath(__file__))
    while here in sys.path:
        sys.path.remove(here)
    try:
        switch = os.environ.get("ERRTRACK_ENABLED", "").strip().lower()
        if sys.version_info >= (3, 9) and switch not in "0 false f no n off".split():  # noqa: SIM905
            start(here)
    except KeyboardInterrupt:
        raise
    except BaseException:  # one that escapes would be a fatal error of the interpreter
        pass
    chain()
