# SPDX-License-Identifier: MIT
"""Whose sitecustomize runs, in whatever Python. Numbers: part C of the fact sheet."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from houses import INJECT, TALKER, House, build

PY = sys.executable

REPORT = """
import sys
module = sys.modules.get("sitecustomize")
print("ran", getattr(module, "MARK", None))
"""

CASES = {
    "none": None,
    "plain": "MARK = 1\nimport sys\nsys.stdout.write('theirs\\n')\n",
    "raises": "import sys\nsys.stdout.write('theirs\\n')\nraise RuntimeError('boom')\n",
    "raises ImportError for another": "import sys\nsys.stdout.write('theirs\\n')\nimport no_such_module\n",
    "raises ImportError of no name": "raise ImportError('boom')\n",
    "raises SystemExit": "raise SystemExit(3)\n",
    "raises KeyboardInterrupt": "raise KeyboardInterrupt\n",
    "raises a warning": "import warnings\nwarnings.warn('theirs')\n",
    "replaces itself": "import sys\nclass M: MARK = 2\nsys.modules['sitecustomize'] = M\n",
    "syntax error": "this is no python\n",
}


def same_text(text: str) -> str:
    """Without the lines of a fatal error's traceback that name frozen modules and addresses."""
    noise = ("  File", "    ", "Current thread")
    return "\n".join(line for line in text.splitlines() if not line.startswith(noise))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("flags", [(), ("-W", "error", "-X", "dev")], ids=["", "strict"])
def test_the_applications_sitecustomize_runs_as_without_us(
    house: House, any_python: str, case: str, flags: "tuple[str, ...]"
) -> None:
    """33, 34, 35, 36, 37: output and exit status are those of a bare run."""
    source = CASES[case]
    env = house.environ()
    if source is not None:
        env["PYTHONPATH"] = str(house.module("theirs/sitecustomize.py", source).parent)
    house.module("app.py", REPORT)
    bare = house.bare([any_python, *flags, "app.py"], env=env)
    # The launcher is a Python as well, and would run their file first: begin where it would hand over.
    launched = {**env, "PYTHONPATH": house.inject + (":" + env["PYTHONPATH"] if "PYTHONPATH" in env else "")}
    ours = house.bare([any_python, *flags, "app.py"], env=launched)
    assert (ours.returncode, ours.stdout) == (bare.returncode, bare.stdout)
    assert same_text(ours.stderr) == same_text(bare.stderr)
    assert "KeyError" not in ours.stderr


@pytest.mark.parametrize(
    "case", ["none", "plain", "raises", "raises ImportError for another", "syntax error"]
)
def test_we_are_active_whatever_theirs_does(tmp_path: Path, any_python: str, case: str) -> None:
    """34, 35"""
    house = build(tmp_path, {"json": ["talker"]}, {"talker": TALKER})
    source = CASES[case]
    env = house.environ(PYTHONPATH=house.inject)
    if source is not None:
        env["PYTHONPATH"] += ":" + str(house.module("theirs/sitecustomize.py", source).parent)
    assert house.bare([any_python, "-c", "import json"], env=env).stdout.endswith("hook json module\n")


def test_theirs_is_the_module_with_its_own_spec_and_runs_once(house: House, any_python: str) -> None:
    """33"""
    path = house.module("theirs/sitecustomize.py", "import sys\nsys.stdout.write('once\\n')\n")
    code = "import sitecustomize as s; print(s.__file__, s.__spec__.origin, s.__name__, s.__loader__.path)"
    env = house.environ(PYTHONPATH="%s:%s" % (house.inject, path.parent))
    done = house.bare([any_python, "-c", code], env=env)
    assert done.stdout == "once\n%s %s sitecustomize %s\n" % (path, path, path)


def test_theirs_in_a_zip_runs(house: House, any_python: str) -> None:
    """33"""
    archive = house.work / "theirs.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("sitecustomize.py", "MARK = 'zipped'\n")
    house.module("app.py", REPORT)
    env = house.environ(PYTHONPATH="%s:%s" % (house.inject, archive))
    assert house.bare([any_python, "app.py"], env=env).stdout == "ran zipped\n"


def test_theirs_in_site_packages_runs(house: House) -> None:
    """33: as a distribution's own does."""
    subprocess.run([PY, "-m", "venv", "--without-pip", str(house.work / "venv")], check=True)
    python = str(house.work / "venv" / "bin" / "python")
    site = house.bare([python, "-c", "import site; print(site.getsitepackages()[0])"]).stdout.strip()
    Path(site, "sitecustomize.py").write_text("MARK = 'site'\n")
    house.module("app.py", REPORT)
    assert house.launch(python, "app.py").stdout == "ran site\n"


def test_usercustomize_runs_after_ours(house: House) -> None:
    """38"""
    house.module("theirs/usercustomize.py", "import sys\nprint('user', 'errtrack_run.boot' in sys.modules)\n")
    code = "import site; site.ENABLE_USER_SITE = True; site.execusercustomize()"
    env = house.environ(PYTHONPATH="%s:%s" % (house.inject, house.work / "theirs"))
    assert house.bare([PY, "-c", code], env=env).stdout.splitlines()[-1] == "user True"


AGENT = """
import os, sys
print({name!r})
here = os.path.dirname(__file__)
sys.path.remove(here)
del sys.modules["sitecustomize"]
try:
    import sitecustomize
finally:
    sys.path.insert(0, here)
"""


@pytest.mark.parametrize("ours_first", [True, False])
def test_another_agent_of_our_kind_boots_in_either_order(
    tmp_path: Path, plain_python: str, ours_first: bool
) -> None:
    """39: one that chains, as ddtrace-run and newrelic-admin do."""
    house = build(tmp_path, {"json": ["talker"]}, {"talker": TALKER})
    other = house.module("other/sitecustomize.py", AGENT.format(name="other agent")).parent
    path = [house.inject, str(other)]
    env = house.environ(PYTHONPATH=os.pathsep.join(path if ours_first else reversed(path)))
    done = house.bare([plain_python, "-c", "import json"], env=env)
    assert (done.stdout, done.stderr) == ("other agent\nhook json module\n", "")


def test_two_installations_of_ours_boot_once(tmp_path: Path, plain_python: str) -> None:
    """42"""
    one = build(tmp_path / "a", {"json": ["talker"]}, {"talker": TALKER.replace("hook", "one")})
    two = build(tmp_path / "b", {"json": ["talker"]}, {"talker": TALKER.replace("hook", "two")})
    env = one.environ(PYTHONPATH="%s:%s" % (two.inject, one.inject))
    done = one.bare([plain_python, "-c", "import json, sys; print(len(sys.meta_path), sys.path)"], env=env)
    bare = one.bare([plain_python, "-c", "import sys; print(len(sys.meta_path) + 2, sys.path)"])
    assert done.stdout == "two json module\n" + bare.stdout


def test_old_pythons_run_as_without_us(house: House, old_python: str) -> None:
    """43, 79: silent, and their own sitecustomize still runs."""
    house.module("app.py", "import sitecustomize\nprint(sitecustomize.MARK)\n")
    theirs = house.module("theirs/sitecustomize.py", "MARK = 5\n").parent
    done = house.launch(old_python, "app.py", env=house.environ(PYTHONPATH=str(theirs)))
    assert (done.returncode, done.stdout, done.stderr) == (0, "5\n", "")
    done = house.launch(old_python, "-c", "import sys; print('errtrack_run' in sys.modules)")
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_the_file_is_readable_for_python_2() -> None:
    """43, without a Python 2 on the machine: no annotation, no f-string, nothing but ASCII, and short."""
    source = Path(INJECT, "sitecustomize.py").read_text(encoding="ascii")
    assert "->" not in source
    assert not re.search(r"""[=(,\s]f["']""", source)
    assert "nonlocal" not in source and "*," not in source
    assert len(source.splitlines()) <= 55


def test_another_interpreter_without_errtrack_is_instrumented(tmp_path: Path, any_python: str) -> None:
    """44"""
    house = build(tmp_path, {"json": ["talker"]}, {"talker": TALKER})
    done = house.launch(any_python, "-c", "import json")
    assert (done.stdout, done.stderr) == ("hook json module\n", "")


@pytest.mark.parametrize("redirect", ["2>&-", ">&-", "<&-", "2>&- >&- <&-"])
def test_closed_standard_streams_are_no_obstacle(house: House, any_python: str, redirect: str) -> None:
    """45: nothing is written to what took the descriptor's place."""
    house.module("app.py", "import sys\nopen('out.txt', 'w').write(repr(sys.meta_path[0]))\n")
    script = "exec %s app.py %s" % (any_python, redirect)
    env = house.environ(PYTHONPATH=house.inject, ERRTRACK_DEBUG="1")
    done = house.bare(["sh", "-c", script], env=env)
    assert done.returncode == 0
    assert "errtrack_run.boot.Finder" in (house.work / "out.txt").read_text()


def test_boot_does_without_argv(house: House, any_python: str) -> None:
    """46: as where Python is embedded."""
    code = "import sys; del sys.argv\nimport site; site.main(); print(sys.meta_path[0])"
    env = house.environ(PYTHONPATH=house.inject)
    done = house.bare([any_python, "-S", "-c", code], env=env)
    assert "boot.Finder" in done.stdout, done.stderr


def test_the_file_does_nothing_under_another_name(house: House) -> None:
    """A tool that collects modules may import it."""
    path = os.path.join(INJECT, "sitecustomize.py")
    code = "import importlib.util as u, sys\nspec = u.spec_from_file_location('collected', %r)\n" % path
    code += "spec.loader.exec_module(u.module_from_spec(spec)); print(type(sys.meta_path[0]).__name__)"
    bare = house.bare([PY, "-c", "import sys, importlib.util; print(type(sys.meta_path[0]).__name__)"])
    assert house.bare([PY, "-c", code]).stdout == bare.stdout
