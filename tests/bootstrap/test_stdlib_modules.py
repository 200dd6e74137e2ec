# SPDX-License-Identifier: MIT
"""Every module of the standard library, imported first: what it brings, holds, prints and raises is as without us.

"First" is right after the start of the interpreter: a process that has imported nothing is forked for each module.
That takes a minute for each Python: CI looks at the one that it runs on, ``nox -s soak`` at all of them, and at the
modules inside of packages.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from typing import Any

import pytest
from houses import House

from errtrack_instrumentations import catalogue

#: What an import may bring along beside itself: what the annotations of an instrumentation cost, and the crash file;
#: modules of C or of one page, which import nothing.
SMALL = {"atexit", "__future__", "faulthandler", "fcntl", "sitecustomize"}

#: What starts a process for its page, which is to carry the trace; a server, whose door is watched from the start.
NEED_SCOPES = ("antigravity", "wsgiref.handlers", "wsgiref.simple_server")

PROGRAM = r"""
import os, sys

STDLIB = os.path.dirname(os.__file__)

def below(folder, prefix):
    for name in sorted(os.listdir(folder)):
        path = folder + "/" + name
        stem = name.partition(".")[0]
        if stem in ("test", "tests", "idle_test", "__main__", "__init__", "__pycache__", "site-packages", "lib-dynload"):
            continue
        if name.endswith((".py", ".so")):
            yield prefix + stem
        elif os.path.isfile(path + "/__init__.py"):
            yield prefix + name
            if name != "idlelib":  # some of its modules start the editor
                yield from below(path, prefix + name + ".")

names = {*below(STDLIB, ""), *below(STDLIB + "/lib-dynload", "")}
names |= {*sys.builtin_module_names, *getattr(sys, "stdlib_module_names", ())}
names = {name for name in names if ("." in name) == (sys.argv[1] == "submodules")}
# What has a test of its own, or is no module.
names -= {"__main__", "_testinternalcapi", "_testclinic", "_testclinic_limited", "_xxtestfuzz", "xxsubtype"}

def shape(value):
    if isinstance(value, type):
        return [type(value).__name__, value.__name__, value.__module__,
                sorted((k, type(v).__name__) for k, v in vars(value).items())]
    if type(value).__name__ in ("function", "builtin_function_or_method", "module"):
        return [type(value).__name__] + [getattr(value, a, None) for a in ("__name__", "__qualname__", "__module__", "__doc__")]
    return type(value).__name__

def report(name):
    before = set(sys.modules)
    outcome = "imported"
    try:
        __import__(name)
    except BaseException as error:
        outcome = "%s: %s" % (type(error).__name__, error)
    brought = sorted(set(sys.modules) - before)
    module = sys.modules.get(name)
    held = {k: shape(v) for k, v in vars(module).items() if k != "__builtins__"} if module is not None else {}
    spec = getattr(module, "__spec__", None)
    origin = [type(getattr(module, "__loader__", None)).__name__, type(getattr(spec, "loader", None)).__name__,
              getattr(spec, "name", None), getattr(spec, "origin", None), getattr(spec, "cached", None)]
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return outcome, brought, held, origin

for name in sorted(names):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        text = "\n" + repr(report(name))
        with open(1, "wb") as file:
            file.write(text.encode("utf-8", "backslashreplace"))
        os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as file:
        printed, _, told = file.read().rpartition("\n")
    status = os.waitpid(pid, 0)[1]
    print(repr((name, status, printed, told)), flush=True)
"""


def reports(done: Any) -> dict[str, tuple[Any, ...]]:
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    found = {}
    for line in done.stdout.splitlines():
        name, status, printed, told = ast.literal_eval(line)
        found[name] = (status, printed, *(ast.literal_eval(told) if told else ()))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("which", ["modules", "submodules"])
def test_every_module_imported_first_is_as_bare(house: House, any_python: str, which: str) -> None:
    version = subprocess.run([any_python, "-V"], capture_output=True, text=True).stdout.split()[1]
    is_ours = version.split(".")[:2] == sys.version.split(".")[:2]
    if os.environ.get("ERRTRACK_TEST_LEVEL") != "soak" and (which == "submodules" or not is_ours):
        pytest.skip("takes minutes: nox -s soak")
    house.module("app.py", PROGRAM)
    env = house.environ(BROWSER="true", PYTHONHASHSEED="0")  # antigravity opens a page
    bare = reports(house.bare([any_python, "app.py", which], env, timeout=300))
    ours = reports(house.launch(any_python, "app.py", which, env=env, timeout=300))
    assert list(ours) == list(bare) and len(bare) > 200
    assert {*(catalogue.HOOKS)} & set(bare)
    for name, (status, printed, outcome, brought, held, origin) in bare.items():
        assert ours[name][0] == status == 0, name
        assert ours[name][1:3] == (printed, outcome), name
        if name != "sys" and not name.startswith("sqlite3"):  # wires; a function in place of one of C
            assert ours[name][4] == held, name
        assert ours[name][5] == origin, name
        if name in NEED_SCOPES:
            brought = [*brought, "contextvars", "_contextvars"]
            ours[name][3].extend(["contextvars", "_contextvars"])
        more = {n for n in ours[name][3] if n.partition(".")[0] not in OURS} - SMALL
        assert more - set(brought) == set() and set(brought) - SMALL - set(ours[name][3]) == set(), name


OURS = {"errtrack", "errtrack_instrumentations", "errtrack_run"}
