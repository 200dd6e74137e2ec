# SPDX-License-Identifier: MIT
"""PYTHONPATH byte for byte, and sys.path as if we were not there. Numbers: part B of the fact sheet."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from houses import TALKER, House, build
from hypothesis import given
from hypothesis import strategies as st

from errtrack_run.pythonpath import with_inject, without_inject

PY = sys.executable
OURS = "/opt/x/errtrack_run/inject"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, OURS),
        ("", OURS),
        ("/a", OURS + ":/a"),
        ("/a:/b:/a:", OURS + ":/a:/b:/a:"),
        (":", OURS + "::"),
        (":/a", OURS + "::/a"),
        ("/with space:/é:/\udcff", OURS + ":/with space:/é:/\udcff"),
        (OURS, OURS),
        (OURS + ":/a", OURS + ":/a"),
        ("/a:" + OURS + ":/b", OURS + ":/a:/b"),
        (OURS + ":" + OURS + "::", OURS + "::"),
        (OURS + ":", OURS + "::"),
        ("/a/../a:" + OURS + "/", OURS + ":/a/../a:" + OURS + "/"),
    ],
)
def test_our_folder_stands_first_once_and_the_rest_is_untouched(before: "str | None", after: str) -> None:
    """25"""
    assert with_inject(before, OURS) == after
    assert with_inject(after, OURS) == after


@given(st.one_of(st.none(), st.text(alphabet=":/ab é\udcff", max_size=12)))
def test_taking_our_folder_out_gives_back_what_was_there(value: "str | None") -> None:
    """25: all but the difference between unset and empty, which the launcher notes down."""
    assert without_inject(with_inject(value, OURS), OURS) == (value or None)


SHOW = "import sys, os; print(ascii(sys.path))"


@pytest.mark.parametrize("value", [None, "", "/a", "/a:rel:/b:/a:", ":", "/with space:/é"])
def test_sys_path_is_that_of_a_bare_run(house: House, any_python: str, value: "str | None") -> None:
    """24, 25"""
    env = house.environ() if value is None else house.environ(PYTHONPATH=value)
    bare = house.bare([any_python, "-c", SHOW], env=env)
    ours = house.launch(any_python, "-c", SHOW, env=env)
    assert (ours.stdout, ours.stderr) == (bare.stdout, bare.stderr)


def test_entries_that_are_not_text_survive(house: House) -> None:
    """25: the command sees the same bytes behind ours."""
    env = {**{k.encode(): v.encode() for k, v in house.environ().items()}, b"PYTHONPATH": b"/a\xff:/b "}
    done = subprocess.run([*house.launcher, "env"], env=env, capture_output=True, check=True)
    assert b"\nPYTHONPATH=%s:/a\xff:/b \n" % os.fsencode(house.inject) in b"\n" + done.stdout
    assert b"\nERRTRACK_RUN_PYTHONPATH=/a\xff:/b \n" in b"\n" + done.stdout


def test_safe_path_keeps_the_working_directory_out(house: House) -> None:
    """26"""
    if sys.version_info < (3, 11):
        pytest.skip("safe_path is of Python 3.11")
    house.module("local.py", "")
    for command in ([PY, "-P", "-c", "import local"], [PY, "-c", "import local"]):
        done = house.launch(*command, env=house.environ(PYTHONSAFEPATH="1"))
        assert done.returncode == 1
        assert "No module named 'local'" in done.stderr


def test_the_folder_holds_one_importable_name(house: House) -> None:
    """27"""
    names = {name.partition(".")[0] for name in os.listdir(house.inject)}
    assert names - {"__pycache__"} == {"sitecustomize"}


def test_children_are_reached_and_the_folder_leaves_no_trace_in_this_interpreter(house: House) -> None:
    """28"""
    done = house.launch(
        PY, "-c", "import sys, os; print(os.environ['PYTHONPATH'], %r in sys.path)" % house.inject
    )
    assert done.stdout == "%s False\n" % house.inject


RESTORED = """
import os, sys
print(*sorted(i for i in os.environ.items() if i[0].startswith(('PYTHONPATH', 'ERRTRACK_RUN'))))
print('errtrack_run' in sys.modules)
"""


@pytest.mark.parametrize("value", [None, "", "/a:/b:", ":"])
@pytest.mark.parametrize("by_option", [True, False])
def test_without_propagation_children_see_the_original(
    house: House, value: "str | None", by_option: bool
) -> None:
    """29: unset stays unset, empty stays empty."""
    env = house.environ(ERRTRACK_PROPAGATE="1" if by_option else "off")
    if value is not None:
        env["PYTHONPATH"] = value
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', %r])" % RESTORED
    done = house.launch(PY, "-c", child, env=env, options=["--no-propagate"] if by_option else [])
    expected = [] if value is None else [("PYTHONPATH", value)]
    if by_option:
        expected.append(("ERRTRACK_RUN_OPTIONS", "propagate"))
    assert done.stdout == " ".join(map(str, sorted(expected))) + "\nFalse\n"


def test_without_propagation_what_was_added_on_the_way_is_kept(house: House) -> None:
    """29"""
    script = 'PYTHONPATH=$PYTHONPATH:/added exec %s -c "%s"' % (
        PY,
        "import os; print(os.environ['PYTHONPATH'])",
    )
    done = house.launch("sh", "-c", script, options=["--no-propagate"])
    assert done.stdout == "/added\n"


def test_children_are_instrumented_by_default(house: House) -> None:
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', %r])" % (
        "import sys; print('errtrack_run.boot' in sys.modules)"
    )
    assert house.launch(PY, "-c", child).stdout == "True\n"


def test_an_emptied_sys_path_does_not_stop_us(tmp_path: Path, any_python: str) -> None:
    """30: pex, buildout and others replace it; our modules are loaded all the same."""
    house = build(tmp_path, {"json": ["talker"]}, {"talker": TALKER})
    code = (
        "import sys; stdlib = [p for p in sys.path if 'site-packages' not in p]\n"
        "sys.path[:] = stdlib; sys.path_importer_cache.clear()\n"
        "import json, errtrack.guard, errtrack_instrumentations.talker as t; print(t.__file__)"
    )
    done = house.launch(any_python, "-c", code)
    talker = house.run.parent / "errtrack_instrumentations" / "talker.py"
    assert done.stdout == "hook json module\n%s\n" % talker


def test_a_removed_package_leaves_the_application_alone(tmp_path: Path) -> None:
    """31: removed before the interpreter starts, or while it runs."""
    house = build(tmp_path, {"json": ["talker"]}, {"talker": TALKER})
    env = house.environ(PYTHONPATH=house.inject, ERRTRACK_RUN="1")
    remove = "import shutil; shutil.rmtree(%r)" % str(house.run.parent)
    done = house.bare([PY, "-c", remove + "\nimport json; print('ran')\n1/0"], env=env)
    assert (done.returncode, done.stdout) == (1, "ran\n")
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert done.stderr.startswith("Traceback")
    done = house.bare([PY, "-c", "print('ran')"], env=env)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")


DAMAGED = """
import json, os, sys, threading, warnings
warnings.simplefilter('ignore', DeprecationWarning)  # of a fork while the thread's end is still under way, now and then
threading.Thread(target=int).start()
if not os.fork():
    os._exit(0)
os.wait()
print('ran', flush=True)
1 / 0
"""


@pytest.mark.parametrize("text", [None, "", "def broken(:"], ids=["missing", "empty", "syntax"])
@pytest.mark.parametrize("file", ["import_hook", "hooking", "forks", "opt_in", "circumstances", "early"])
def test_a_package_that_is_damaged_in_part_leaves_the_application_alone(
    tmp_path: Path, plain_python: str, file: str, text: "str | None"
) -> None:
    """31: half of it is missing, or a full disk has left a file empty."""
    house = build(
        tmp_path, {"json": ["talker"], "sys": ["talker"]}, {"talker": TALKER.replace("print", "str")}
    )
    path = house.run / (file + ".py")
    path.unlink() if text is None else path.write_text(text)
    house.module("app.py", DAMAGED)
    env = house.environ(PYTHONPATH=house.inject, ERRTRACK_PROPAGATE="0", ERRTRACK_DISABLE="other")
    bare = house.bare([plain_python, "app.py"])
    done = house.bare([plain_python, "app.py"], env=env)
    assert (done.returncode, done.stdout, done.stderr) == (1, "ran\n", bare.stderr)


def test_the_copy_of_the_applications_environment_wins_and_versions_are_not_mixed(tmp_path: Path) -> None:
    """32"""
    ours = build(tmp_path / "a", {"json": ["talker"]}, {"talker": TALKER})
    theirs = build(tmp_path / "b", {"json": ["talker"]}, {"talker": TALKER.replace("hook", "their hook")})
    site = str(theirs.run.parent)
    code = (
        "import json, errtrack, errtrack_run.boot, errtrack_instrumentations as i\n"
        "print(*{m.__file__.partition('/errtrack')[0] for m in (errtrack, errtrack_run.boot, i)})"
    )
    done = ours.launch(PY, "-c", code, env=ours.environ(PYTHONPATH=site))
    assert done.stdout == "their hook json module\n%s\n" % site


@pytest.mark.parametrize(
    "text", ["", "def broken(:", "import no_such_module"], ids=["empty", "syntax", "import"]
)
@pytest.mark.parametrize(
    "file", ["errtrack_run/__init__.py", "errtrack_run/boot.py", "errtrack_instrumentations/catalogue.txt"]
)
def test_a_damaged_copy_in_the_applications_environment_gives_way_to_the_launchers(
    tmp_path: Path, plain_python: str, file: str, text: str
) -> None:
    """31, 32"""
    ours = build(tmp_path / "a", {"json": ["talker"]}, {"talker": TALKER})
    theirs = build(tmp_path / "b", {"json": ["talker"]}, {"talker": TALKER.replace("hook", "their hook")})
    (theirs.run.parent / file).write_text(text)
    env = ours.environ(PYTHONPATH=str(theirs.run.parent))
    code = (
        "import sys, json, errtrack, errtrack_run, errtrack_instrumentations as i\n"
        "print(*{m.__file__.partition('/errtrack')[0] for m in (errtrack, errtrack_run, i)})\n"
        "print(sum(type(finder).__name__ == 'Finder' for finder in sys.meta_path), sys.path)"
    )
    bare = ours.bare([plain_python, "-c", "import sys; print(1, sys.path)"], env=env)
    done = ours.launch(plain_python, "-c", code, env=env)
    assert done.stderr == ""
    assert done.stdout == "hook json module\n%s\n%s" % (ours.run.parent, bare.stdout)
    told = ours.launch(plain_python, "-c", "import json", env=env, options=["--debug"])
    assert told.stdout == "hook json module\n"
    assert told.stderr.startswith("errtrack: not started: ") and told.stderr.count("\n") == 1


def test_a_package_of_our_name_on_the_applications_path_is_not_ours(
    tmp_path: Path, plain_python: str
) -> None:
    """32: our three names are not searched for."""
    house = build(tmp_path, {"json": ["talker"]}, {"talker": TALKER})
    house.module("errtrack_instrumentations/__init__.py", "raise RuntimeError")
    assert house.launch(plain_python, "-c", "import json").stdout == "hook json module\n"


def test_a_folder_that_is_merely_called_like_our_package_is_not_ours(
    tmp_path: Path, plain_python: str
) -> None:
    """32: a namespace package of nothing."""
    house = build(tmp_path, {"json": ["talker"]}, {"talker": TALKER})
    (house.work / "errtrack_run").mkdir()
    done = house.launch(plain_python, "-c", "import json", env=house.environ(PYTHONPATH=str(house.work)))
    assert done.stdout == "hook json module\n"


DEPENDENT = """
try:
    import wrapt
    found = wrapt.WHERE
except ImportError:
    found = "missing"
class I:
    def apply(self, name, module):
        print(found)
INSTRUMENTATION = I()
"""


def test_dependencies_come_from_the_application_first_then_from_us(tmp_path: Path, plain_python: str) -> None:
    house = build(tmp_path, {"json": ["dependent"]}, {"dependent": DEPENDENT})
    (house.run.parent / "urllib3").mkdir()
    bare = "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p and p]\n"
    code = bare + "import json"
    assert house.launch(plain_python, "-c", code).stdout == "missing\n"
    beside = house.run.parent / "wrapt"
    beside.mkdir()
    (beside / "__init__.py").write_text("WHERE = 'ours'")
    (house.run.parent / "stranger.py").write_text("")
    assert house.launch(plain_python, "-c", code).stdout == "ours\n"
    house.module("wrapt/__init__.py", "WHERE = 'theirs'")
    theirs = bare + "sys.path.append(%r)\nimport json" % str(house.work)
    assert house.launch(plain_python, "-c", theirs).stdout == "theirs\n"


def test_dependencies_of_an_editable_checkout_come_from_the_launchers_environment(
    tmp_path: Path, plain_python: str
) -> None:
    """44"""
    house = build(tmp_path, {"json": ["dependent"]}, {"dependent": DEPENDENT})
    elsewhere = tmp_path / "site"
    for name, text in (("wrapt", "WHERE = 'the launcher'"), ("urllib3", ""), ("stranger", "")):
        (elsewhere / name).mkdir(parents=True)
        (elsewhere / name / "__init__.py").write_text(text)
    house.stub.write_text("import sys; sys.path.insert(0, %r)\n" % str(elsewhere) + house.stub.read_text())
    done = house.launch(
        plain_python, "-c", "import json\ntry: import stranger\nexcept ImportError as e: print(e)"
    )
    assert done.stdout == "the launcher\nNo module named 'stranger'\n"


def test_dependencies_that_are_not_for_this_python_are_not_tried(tmp_path: Path, plain_python: str) -> None:
    """44: the launcher's Python may be a newer one."""
    house = build(tmp_path, {"json": ["dependent"]}, {"dependent": DEPENDENT})
    beside = house.run.parent
    for name in ("wrapt", "urllib3"):
        (beside / name).mkdir()
    (beside / "wrapt" / "__init__.py").write_text("WHERE = 'ours'")
    (beside / "wrapt-9.dist-info").mkdir()
    for requirement, told in ((">=3.9", "ours"), (">=3.99,<4", "missing"), ("!=3.0.*, >=3.9.1", "ours")):
        text = "Metadata-Version: 2.1\nName: wrapt\nRequires-Python: %s\n\nText\n" % requirement
        (beside / "wrapt-9.dist-info" / "METADATA").write_text(text)
        assert house.launch(plain_python, "-c", "import json").stdout == told + "\n"


def test_dependencies_of_ours_are_not_there_for_the_application(tmp_path: Path, plain_python: str) -> None:
    house = build(tmp_path, {}, {})
    for name in ("wrapt", "stranger"):
        (house.run.parent / name).mkdir()
        (house.run.parent / name / "__init__.py").write_text("")
    code = (
        "import sys, importlib.util; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]\n"
        "print(importlib.util.find_spec('wrapt'), importlib.util.find_spec('stranger'))\n"
        "try: import wrapt\n"
        "except ImportError as e: print(e)\n"
    )
    done = house.launch(plain_python, "-c", code)
    assert done.stdout == "None None\nNo module named 'wrapt'\n"
