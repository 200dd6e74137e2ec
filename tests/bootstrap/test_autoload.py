# SPDX-License-Identifier: MIT
"""The second distribution, which reaches what PYTHONPATH does not. Numbers: part C of the fact sheet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from houses import AGENT, RUN, House, python_of

ROOT = Path(__file__).parents[2]
AUTOLOAD = ROOT / "bootstrap" / "autoload"


@pytest.fixture(scope="module")
def autoloaded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python in whose environment errtrack and the second distribution are installed."""
    folder = tmp_path_factory.mktemp("autoloaded")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--no-deps", str(AUTOLOAD)]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("the distribution cannot be built here: " + done.stderr[-500:])
    site = next(folder.glob("lib/python*/site-packages"))
    import errtrack_instrumentations

    roots = (AGENT.parent, Path(str(errtrack_instrumentations.__file__)).parents[1], RUN.parent)
    (site / "_errtrack_run.pth").write_text("".join("%s\n" % path for path in roots))
    return python


ASK = "import sys; print('errtrack_run.boot' in sys.modules, type(sys.meta_path[0]).__name__)"


@pytest.mark.slow
@pytest.mark.parametrize("flags", [["-I"], ["-E"], ["-s"], []], ids=" ".join)
def test_what_pythonpath_does_not_reach_is_instrumented(
    house: House, autoloaded: str, flags: list[str]
) -> None:
    """40"""
    for variable in (
        {"ERRTRACK_AUTOLOAD": "1"},
        {"ERRTRACK_RUN": "1"},
        {"ERRTRACK_RUN": "1", "ERRTRACK_ENABLED": ""},
    ):
        done = house.bare([autoloaded, *flags, "-c", ASK], env=house.environ(**variable))
        assert (done.stdout, done.stderr) == ("True Finder\n", "")


@pytest.mark.slow
def test_the_launcher_reaches_an_isolated_python_through_it(house: House, autoloaded: str) -> None:
    """40: and does not warn who says that it is there."""
    env = house.environ(ERRTRACK_AUTOLOAD="1")
    done = house.launch(autoloaded, "-I", "-c", ASK, env=env)
    assert (done.stdout, done.stderr) == ("True Finder\n", "")
    assert "-S keeps errtrack from starting" in house.launch("python3", "-S", "-c", "", env=env).stderr


@pytest.mark.slow
def test_unasked_nothing_is_imported_and_nothing_changes(house: House, autoloaded: str) -> None:
    """40"""
    ask = "import sys; print([m for m in sys.modules if 'errtrack' in m], type(sys.meta_path[0]).__name__)"
    for variable in ({}, {"ERRTRACK_AUTOLOAD": "0"}, {"ERRTRACK_AUTOLOAD": "1", "ERRTRACK_ENABLED": "0"}):
        done = house.bare([autoloaded, "-c", ask], env=house.environ(**variable))
        imported = "['errtrack_autoload']" if variable else "[]"
        assert done.stdout.startswith(imported) and done.stdout.split()[-1] != "Finder"


@pytest.mark.slow
def test_both_ways_together_boot_once(house: House, autoloaded: str) -> None:
    """42"""
    count = "import sys; print(sum(type(f).__name__ == 'Finder' for f in sys.meta_path), sys.excepthook)"
    done = house.launch(autoloaded, "-c", count)
    assert done.stdout.startswith("1 ")
    nested = "import sys; print(getattr(sys.excepthook.errtrack_previous, 'errtrack_place', None))"
    assert house.launch(autoloaded, "-c", nested).stdout == "None\n"


def test_the_line_of_the_pth_file_costs_next_to_nothing_unasked() -> None:
    """40: below 50 microseconds."""
    import os
    import time

    line = compile((AUTOLOAD / "errtrack-autoload.pth").read_text(), "pth", "exec")
    assert not {"ERRTRACK_RUN", "ERRTRACK_AUTOLOAD"} & set(os.environ)
    best = 1.0
    for _ in range(50):
        begin = time.perf_counter()
        exec(line, {})
        best = min(best, time.perf_counter() - begin)
    assert best < 50e-6


def test_the_start_file_names_the_function_of_the_module(tmp_path: Path) -> None:
    """41: what Python 3.15 reads instead of the .pth line; by hand, as nothing here does it."""
    module, _, function = (AUTOLOAD / "errtrack-autoload.start").read_text().strip().partition(":")
    source = (AUTOLOAD / (module + ".py")).read_text()
    assert "def %s()" % function in source
    assert (AUTOLOAD / "errtrack-autoload.pth").stem == (AUTOLOAD / "errtrack-autoload.start").stem
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import %s as m; m.%s(); print('silent')" % (module, function)],
        cwd=AUTOLOAD,
        env={},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("silent\n", "")


def test_python_3_15_uses_the_start_file_alone(house: House) -> None:
    """41"""
    python = python_of("3.15")
    site = house.work / "site"
    site.mkdir()
    for path in AUTOLOAD.glob("errtrack*auto*"):
        (site / path.name).write_text(path.read_text())
    code = "import site, sys; site.addsitedir(%r); print('errtrack_autoload' in sys.modules)" % str(site)
    done = house.bare([python, "-W", "error", "-c", code])
    assert (done.stdout, done.stderr) == ("True\n", "")
