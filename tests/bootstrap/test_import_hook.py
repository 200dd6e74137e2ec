# SPDX-License-Identifier: MIT
"""Hooks run after imports, and imports are as ever. Numbers: part E of the fact sheet."""

import ast
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from houses import TALKER, House, build

PY = sys.executable

HOOKED = (
    "lib",
    "pkg",
    "pkg.part",
    "space",
    "zipped",
    "sourceless",
    "_frozen_like",
    "_elementtree",
    "faulthandler",
)


@pytest.fixture
def hooked(tmp_path: Path) -> House:
    """Hooks on every kind of module; `bad` raises, and stands before `talker` in each row."""
    names = (*HOOKED, "__hello__", "__phello__", "_sha1", "array")
    bad = "class I:\n    def apply(self, name, module): raise ValueError(name)\nINSTRUMENTATION = I()\n"
    house = build(tmp_path, dict.fromkeys(names, ("bad", "talker")), {"talker": TALKER, "bad": bad})
    house.module("lib.py", "print('body')\nVALUE = 1\ndef f(): return VALUE\n")
    house.module("pkg/__init__.py", "print('pkg body')\n")
    house.module("pkg/__main__.py", "import pkg\nprint('main of pkg', type(__loader__).__name__)\n")
    house.module("pkg/part.py", "print('part body')\n")
    house.module("pkg/data.txt", "data")
    house.module("space/inner.py", "print('inner body')\n")
    house.module("sourceless.py", "print('sourceless body')\n")
    with zipfile.ZipFile(house.work / "archive.zip", "w") as file:
        file.writestr("zipped.py", "print('zipped body')\n")
        file.writestr("other_zipped.py", "print('other')\n")
    return house


def run(house: House, python: str, code: str) -> str:
    house.module("app.py", code)
    done = house.launch(python, "app.py")
    assert done.stderr == "", done.stderr
    assert done.returncode == 0
    return done.stdout


def test_hooks_run_once_after_the_code_and_before_the_import_returns(hooked: House, any_python: str) -> None:
    """54, 55, 56: and the one that raises stops neither the import nor the other."""
    out = run(hooked, any_python, "import lib\nprint('imported')\nimport lib\nfrom pkg import part\n")
    assert (
        out == "body\nhook lib module\nimported\npkg body\nhook pkg module\npart body\nhook pkg.part module\n"
    )


def test_a_raising_hook_is_told_once_when_debug_is_on(hooked: House, plain_python: str) -> None:
    """55"""
    done = hooked.launch(plain_python, "-c", "import lib", options=["--debug"])
    assert done.stderr.startswith("errtrack: internal fault in bad, hooked on lib: ")
    assert "ValueError: lib" in done.stderr
    assert done.stderr.count("internal fault") == done.stderr.count("\n") == 1


DESCRIBE = """
import sys, pkgutil, inspect, linecache, importlib, pickle
sys.path.insert(0, "archive.zip")
def describe(m):
    spec, loader = m.__spec__, m.__loader__
    print(m.__name__, type(loader), isinstance(loader, type) and loader.__name__, spec.loader is loader)
    print(vars(loader).keys() if not isinstance(loader, type) else sorted(vars(loader)))
    print(spec.origin, spec.cached, spec.has_location, getattr(m, "__file__", 0), getattr(m, "__cached__", 0))
    print(list(spec.submodule_search_locations or []), sorted(k for k in vars(m) if k.startswith("__")))
    for name in ("get_source", "get_code", "is_package", "get_filename", "get_resource_reader"):
        f = getattr(loader, name, None)
        try: print(name, type(f(m.__name__)) if f else None)
        except Exception as e: print(name, repr(e))
"""


@pytest.mark.parametrize("name", HOOKED)
def test_loader_and_spec_are_those_of_a_bare_import(hooked: House, any_python: str, name: str) -> None:
    """57, 58, 64, 65: source, package, namespace, zip, sourceless, extension and builtin modules."""
    if name == "sourceless":
        compile_it = "import py_compile; py_compile.compile('sourceless.py', 'sourceless.pyc')"
        hooked.bare([any_python, "-c", compile_it])
        (hooked.work / "sourceless.py").unlink()
    if name == "_frozen_like":
        hooked.module("_frozen_like.py", "import sys\nsys.modules[__name__] = sys\n")
    code = DESCRIBE + "import %s\nif %r != '_frozen_like': describe(sys.modules[%r])\n" % (name, name, name)
    code += "import other_zipped, space.inner, math, binascii, zlib, errno, _string\nprint('all')\n"
    hooked.module("app.py", code)
    bare, ours = hooked.bare([any_python, "app.py"]), hooked.launch(any_python, "app.py")
    assert bare.returncode == 0, bare.stderr
    assert "hook %s " % name in ours.stdout
    lines = [line for line in ours.stdout.splitlines(True) if not line.startswith("hook")]
    assert ("".join(lines), ours.stderr, ours.returncode) == (bare.stdout, bare.stderr, 0)


def test_frozen_modules_are_hooked_and_others_stay_importable(hooked: House, any_python: str) -> None:
    """64, 65"""
    code = (
        "import contextlib, io\n"
        "with contextlib.redirect_stdout(io.StringIO()) as out: import __hello__\n"
        "print('hook __hello__ module' in out.getvalue(), __hello__.__loader__, __hello__.__spec__.loader)\n"
        "import __phello__.spam, _frozen_importlib\n"
    )
    out = run(hooked, any_python, code)
    assert out.startswith(
        "True <class '_frozen_importlib.FrozenImporter'> <class '_frozen_importlib.FrozenImporter'>"
    )


def test_resources_sources_and_data_are_found(hooked: House, any_python: str) -> None:
    """58"""
    code = """
import pkg, lib, pkgutil, inspect, linecache, importlib.resources as r
print(r.files(pkg).joinpath("data.txt").read_text(), pkgutil.get_data("pkg", "data.txt"))
print(inspect.getsource(lib.f).strip(), linecache.getline(lib.__file__, 2, vars(lib)).strip())
print([m.name for m in pkgutil.iter_modules(pkg.__path__)])
"""
    out = run(hooked, any_python, code)
    assert out.endswith("data b'data'\ndef f(): return VALUE VALUE = 1\n['__main__', 'part']\n")


@pytest.mark.parametrize("name", ["lib", "pkg", "pkg.part"])
def test_python_m_runs_a_hooked_module(hooked: House, any_python: str, name: str) -> None:
    """59"""
    bare, ours = hooked.bare([any_python, "-m", name]), hooked.launch(any_python, "-m", name)
    lines = [line for line in ours.stdout.splitlines(True) if not line.startswith("hook")]
    assert ("".join(lines), ours.stderr, ours.returncode) == (bare.stdout, bare.stderr, bare.returncode)
    assert bare.returncode == 0


def test_python_m_out_of_a_zip_has_the_real_loader(hooked: House, any_python: str) -> None:
    """59: where a loader has to be stood in for."""
    with zipfile.ZipFile(hooked.work / "archive.zip", "a") as file:
        file.writestr(
            "lib.py", "print(type(__loader__), type(__spec__.loader), __spec__.loader is __loader__)\n"
        )
    (hooked.work / "lib.py").unlink()
    env = hooked.environ(PYTHONPATH="archive.zip")
    done = hooked.launch(any_python, "-m", "lib", env=env)
    assert done.stdout == hooked.bare([any_python, "-m", "lib"], env=env).stdout
    assert done.stdout.startswith("<class 'zipimport.zipimporter'> <class 'zipimport.zipimporter'> True")


def test_a_module_that_is_there_already_is_handled_at_registration(hooked: House, any_python: str) -> None:
    """60: complete, now; half-way through, when it is complete; never twice."""
    hooked.module("half.py", "import app\napp.register('half')\nimport colorsys\nprint('half body')\n")
    hooked.module("whole.py", "print('whole body')\n")
    code = """
import sys
from errtrack_run import boot, hooking
def register(name): hooking.register(boot.finder, name, "talker")
sys.modules["app"] = sys.modules["__main__"]
import whole
register("whole")
print("--")
import half
print("imported")
import chunk_of_nothing
print("--")
import tabnanny
"""
    hooked.module("chunk_of_nothing.py", "print('nothing')\n")
    out = run(hooked, any_python, code)
    assert out == ("whole body\nhook whole module\n--\nhalf body\nimported\nnothing\nhook half module\n--\n")


def test_a_failing_import_fails_as_ever_and_its_retry_is_hooked(hooked: House, any_python: str) -> None:
    """61: from Python 3.11 on, no frame of ours in the traceback."""
    hooked.module(
        "lib.py", "import os\nif not os.path.exists('flag'): raise KeyError('from lib')\nprint('body')\n"
    )
    code = """
import traceback, sys
def attempt():
    try: import lib
    except Exception: traceback.print_exc(file=sys.stdout)
attempt(); open("flag", "w").close(); attempt(); attempt()
try: import space.missing
except ImportError: traceback.print_exc(file=sys.stdout)
"""
    hooked.module("app.py", code)
    ours = hooked.launch(any_python, "app.py").stdout
    (hooked.work / "flag").unlink()
    bare = hooked.bare([any_python, "app.py"]).stdout
    new = hooked.bare([any_python, "-c", "import sys; print(sys.version_info >= (3, 11))"]).stdout == "True\n"
    assert "KeyError: 'from lib'" in ours
    assert ours.count("hook lib module\n") == 1
    if new:
        assert "".join(line for line in ours.splitlines(True) if not line.startswith("hook")) == bare


@pytest.mark.parametrize("raised", ["SyntaxError", "SystemExit", "KeyboardInterrupt"])
def test_whatever_a_module_raises_reaches_the_importer(hooked: House, plain_python: str, raised: str) -> None:
    """61"""
    hooked.module("lib.py", "this is no python" if raised == "SyntaxError" else "raise %s('x')\n" % raised)
    code = (
        "import sys\ntry: import lib\n"
        "except BaseException as e: print(type(e).__name__, 'lib' in sys.modules)\n"
    )
    assert run(hooked, plain_python, code) == "%s False\n" % raised


def test_reload_and_import_anew_run_the_hook_again(hooked: House, any_python: str) -> None:
    """62"""
    code = "import importlib, sys, lib\nimportlib.reload(lib)\ndel sys.modules['lib']\nimport lib\n"
    assert run(hooked, any_python, code) == "body\nhook lib module\n" * 3


def test_a_module_that_replaces_itself_is_handed_over_as_its_replacement(
    hooked: House, any_python: str
) -> None:
    """63: celery does that."""
    hooked.module("lib.py", "import sys\nclass Other: pass\nsys.modules[__name__] = Other()\n")
    assert run(hooked, any_python, "import lib\nprint(type(lib).__name__)") == "hook lib Other\nOther\n"


LAZY = """
import importlib.util, sys
def lazily(name):
    spec = importlib.util.find_spec(name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
"""


def test_a_lazy_module_is_hooked_when_it_loads_and_not_before(hooked: House, any_python: str) -> None:
    """66"""
    out = run(hooked, any_python, LAZY + "lib = lazily('lib')\nprint('lazy')\nprint(lib.VALUE)\n")
    assert out.splitlines()[:2] == ["lazy", "body"]
    assert out.splitlines()[-1] == "1"
    assert out.count("hook lib") == 1
    hooked.module("late.py", "print('late body')\nVALUE = 2\n")
    code = (
        LAZY
        + "late = lazily('late')\nfrom errtrack_run import boot, hooking\nhooking.register(boot.finder, 'late', 'talker')\n"
    )
    out = run(hooked, any_python, code + "print('lazy')\nprint(late.VALUE)\n")
    assert out.splitlines()[:2] == ["lazy", "late body"]
    assert out.count("hook late") == 1


def test_asking_for_a_spec_runs_nothing(hooked: House, any_python: str) -> None:
    """67"""
    code = (
        "import importlib.util as u, sys\nspec = u.find_spec('lib')\n"
        "print(type(spec.loader).__name__, spec.origin.endswith('lib.py'), 'lib' in sys.modules)\n"
        "print(spec.loader.get_source('lib')[:5])\n"
        "m = u.module_from_spec(spec); spec.loader.exec_module(m); print(vars(spec.loader).keys())"
    )
    out = run(hooked, any_python, code)
    assert out == ("SourceFileLoader True False\nprint\nbody\nhook lib module\ndict_keys(['name', 'path'])\n")


def test_many_threads_import_at_once_and_the_hook_runs_once(tmp_path: Path, any_python: str) -> None:
    """68: a hook that imports, while others import in another order, is no deadlock."""
    importing = (
        "class I:\n    def apply(self, name, module):\n"
        "        import time; time.sleep(0.01)\n        import xml.dom.minidom, wave, email.mime.text\n"
        "        print('hook', name)\nINSTRUMENTATION = I()\n"
    )
    house = build(tmp_path, {"lib": ["talker"], "wave": ["talker"]}, {"talker": importing})
    house.module("lib.py", "import time; time.sleep(0.01); import csv\n")
    code = """
import threading, importlib
names = ["lib", "wave", "xml.dom.minidom", "email.mime.text"]
start = threading.Barrier(32)
def work(n):
    start.wait()
    for k in range(4): importlib.import_module(names[(n + k) % 4])
threads = [threading.Thread(target=work, args=(n,)) for n in range(32)]
for t in threads: t.start()
for t in threads: t.join(30)
assert not any(t.is_alive() for t in threads)
"""
    assert sorted(run(house, any_python, code).splitlines()) == ["hook lib", "hook wave"]


def test_a_hook_that_fires_in_the_middle_of_another_import_may_import(
    tmp_path: Path, any_python: str
) -> None:
    """54: also what is half imported at that moment."""
    importing = "class I:\n    def apply(self, *_):\n        import outer, threading\nINSTRUMENTATION = I()\n"
    house = build(tmp_path, {"inner": ["talker"]}, {"talker": importing})
    house.module("outer.py", "import inner\nDONE = 1\n")
    house.module("inner.py", "")
    assert run(house, any_python, "import outer\nprint(outer.DONE)") == "1\n"


FINDERS = """
import sys, importlib.util, importlib.machinery
class Rude:
    def find_spec(self, name, path=None, target=None):
        return importlib.util.find_spec(name) if self.armed(name) else None
    busy = False
    def armed(self, name):
        if self.busy or name != "lib": return False
        Rude.busy = True
        return True
"""


@pytest.mark.parametrize("where", ["insert(0, Rude())", "append(Rude())", "insert(1, Rude())"])
def test_finders_that_ask_importlib_in_their_turn_are_no_recursion(
    hooked: House, plain_python: str, where: str
) -> None:
    """68, 72"""
    out = run(
        hooked, plain_python, FINDERS + "sys.meta_path.%s\nimport lib\nprint(lib.__spec__.name)" % where
    )
    assert out == "body\nhook lib module\nlib\n"


def test_what_another_finder_raises_passes_through(hooked: House, plain_python: str) -> None:
    code = (
        "import sys, traceback\nclass Wall:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'lib': raise ImportError('walled')\n"
        "sys.meta_path.insert(1, Wall())\ntry: import lib\n"
        "except ImportError: text = traceback.format_exc()\n"
        "print('walled' in text, 'errtrack' in text)\n"
    )
    out = run(hooked, plain_python, code)
    assert out == ("True False\n" if sys.version_info >= (3, 11) else "True True\n")


def test_a_finder_that_gives_the_same_spec_twice_does_not_double_the_hook(
    hooked: House, plain_python: str
) -> None:
    code = """
import sys, importlib.util, importlib.machinery
class Keeper:
    spec = None
    def find_spec(self, name, path=None, target=None):
        if name == "lib":
            Keeper.spec = Keeper.spec or importlib.machinery.PathFinder.find_spec("lib")
            return Keeper.spec
sys.meta_path.insert(1, Keeper())
importlib.util.find_spec("lib"); importlib.util.find_spec("lib")
import lib
"""
    assert run(hooked, plain_python, code) == "body\nhook lib module\n"


def test_removing_our_finder_leaves_imports_alone(hooked: House, plain_python: str) -> None:
    """72"""
    code = "import sys; f = sys.meta_path.pop(0)\nimport lib\nprint(f.find_spec('pkg').name)\n"
    assert run(hooked, plain_python, code) == "body\npkg\n"


def test_a_rewriting_loader_with_a_life_of_its_own_is_delegated_to(hooked: House, any_python: str) -> None:
    """64: one shared loader object, as pytest's assertion rewriting and editable installs have."""
    code = """
import sys, importlib.machinery, importlib.util, importlib.abc
class Rewriter(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name in ("lib", "pkg"):
            found = importlib.machinery.PathFinder.find_spec(name, path)
            return importlib.util.spec_from_file_location(
                name, found.origin, loader=self, submodule_search_locations=found.submodule_search_locations)
    def create_module(self, spec): print("create", spec.loader is self or isinstance(spec.loader, Rewriter))
    def exec_module(self, module):
        print("exec", module.__spec__.loader is self, module.__loader__ is self)
        exec(open(module.__spec__.origin).read(), vars(module))
rewriter = Rewriter()
sys.meta_path.insert(1, rewriter)
import lib, pkg
print(lib.__loader__ is rewriter, lib.__spec__.loader is rewriter, pkg.__loader__ is rewriter)
"""
    out = run(hooked, any_python, code)
    assert out == (
        "create True\nexec True True\nbody\nhook lib module\n"
        "create True\nexec True True\npkg body\nhook pkg module\nTrue True True\n"
    )


def test_an_extension_module_of_ones_own_is_hooked(hooked: House, plain_python: str) -> None:
    """64: one that lies in a folder, as compiled wheels have it."""
    source = Path(str(sysconfig.get_config_var("DESTSHARED") or ""))
    found = sorted(source.glob("array.*")) + sorted(source.glob("_heapq.*"))
    if not found or "array" in sys.builtin_module_names:
        pytest.skip("this Python has its extension modules built in")
    shutil.copy(found[0], hooked.work / found[0].name)
    name = found[0].name.partition(".")[0]
    out = run(
        hooked,
        plain_python,
        "import %s as m\nprint(type(m.__loader__).__name__, vars(m.__loader__).keys())" % name,
    )
    assert out == "hook %s module\nExtensionFileLoader dict_keys(['name', 'path'])\n" % name


@pytest.mark.parametrize("name", ["threading", "logging", "subprocess", "http.client", "asyncio", "ssl"])
def test_a_module_of_the_standard_library_may_come_first(house: House, any_python: str, name: str) -> None:
    """No hook of ours fires in the middle of its import and finds it half made."""
    code = (
        "import %s, sys; print(sorted(m for m in sys.modules if not m.startswith(('errtrack', 'sitec'))))"
        % name
    )
    bare, ours = house.bare([any_python, "-c", code]), house.launch(any_python, "-c", code)
    # __future__ is what the annotations of an instrumentation cost; faulthandler and fcntl, modules of C both, what
    # the crash file takes. None of them imports anything.
    small = {"atexit", "__future__", "faulthandler", "fcntl"}
    assert set(ast.literal_eval(ours.stdout)) - small == set(ast.literal_eval(bare.stdout)) - small
    assert ours.stderr == bare.stderr


def test_every_row_of_the_catalogue_has_its_file_and_its_line_of_text() -> None:
    from errtrack_instrumentations import catalogue, table

    files = {file for row in catalogue.HOOKS.values() for file in row.split(",")}
    files |= set(catalogue.WIRES.values()) | set(catalogue.AT_EXIT.split(","))
    assert files == set(table.INSTRUMENTATIONS)
    folder = Path(catalogue.__file__).parent
    assert all((folder / (file + ".py")).is_file() for file in files)
    shown = subprocess.run(
        [
            PY,
            "-I",
            "-c",
            "import sys; __file__ = %r; exec(open(__file__).read()); print(len(sys.modules))"
            % catalogue.__file__,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    bare = subprocess.run(
        [PY, "-I", "-c", "import sys; print(len(sys.modules))"], capture_output=True, text=True
    )
    assert shown.stdout == bare.stdout


def foreign_rows() -> "list[str]":
    """Hooked modules that are no part of Python or of errtrack."""
    from errtrack_instrumentations import catalogue

    own = {"errtrack", *getattr(sys, "stdlib_module_names", ())}
    return [name for name in catalogue.HOOKS if name.partition(".")[0] not in own]


@pytest.mark.skipif(sys.version_info < (3, 10), reason="this Python cannot tell what is its own")
def test_a_module_that_merely_shares_a_librarys_name_is_left_alone(house: House, plain_python: str) -> None:
    """69"""
    names = foreign_rows()
    for name in names:
        parts = name.split(".")
        for count in range(1, len(parts)):
            folder = house.work.joinpath(*parts[:count])
            folder.mkdir(exist_ok=True)
            (folder / "__init__.py").touch()
        target = house.work.joinpath(*parts)
        if not target.is_dir():
            target.with_suffix(".py").write_text("VALUE = 1\n")
    for name in ("statsig", "agents", "tornado"):
        if not (house.work / name).exists():
            house.module(name + ".py", "VALUE = 1\n")
    code = "import importlib, sys\n"
    code += "for name in %r: m = importlib.import_module(name)\n" % [*names, "statsig", "agents", "tornado"]
    code += "print('ran')\n"
    house.module("app.py", code)
    done = house.launch(plain_python, "app.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")


def test_an_unsupported_release_is_told_once_and_left_alone(house: House, plain_python: str) -> None:
    """70"""
    house.module("flask-0.9.dist-info/METADATA", "Metadata-Version: 2.1\nName: flask\nVersion: 0.9\n")
    house.module("flask/__init__.py", "from flask.app import Flask\n")
    house.module("flask/app.py", "class Flask:\n    def full_dispatch_request(self): return 1\n")
    code = "import flask.app\nprint(vars(flask.app.Flask)['full_dispatch_request'].__module__)\n"
    code += "print(hasattr(flask.Flask.full_dispatch_request, '__wrapped__'))\n"
    house.module("app.py", code)
    done = house.launch(plain_python, "app.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "flask.app\nFalse\n", "")
    done = house.launch(plain_python, "app.py", options=["--debug"])
    assert (done.returncode, done.stdout) == (0, "flask.app\nFalse\n")
    assert done.stderr.count("flask 0.9 is not supported") == 1


def test_what_runs_in_the_middle_of_an_import_asks_for_nothing_of_that_library() -> None:
    """71: its package is half made then; only what the hook hands over may be touched."""
    import ast
    import importlib
    import inspect
    import textwrap

    from errtrack_instrumentations import table
    from errtrack_run.libraries import library_names

    for file in table.INSTRUMENTATIONS:
        instrumentation = importlib.import_module("errtrack_instrumentations." + file).INSTRUMENTATION
        tops = set(library_names(file))
        for row in instrumentation.on_import:
            tree = ast.parse(textwrap.dedent(inspect.getsource(row.function)))
            for node in ast.walk(tree):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                assert not {name.partition(".")[0] for name in names} & tops, (file, row.module)


@pytest.mark.parametrize(
    "compiled",
    [
        "right",
        "right by hash",
        "not to be checked",
        "none",
        "cut short",
        "of older source",
        "of older source by hash",
        "of another Python",
    ],
)
def test_our_own_modules_are_what_importlib_would_make_of_them(
    tmp_path: Path, compiled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import py_compile
    from importlib.machinery import SourceFileLoader
    from importlib.util import cache_from_source, module_from_spec, spec_from_file_location

    from errtrack_run.import_hook import OwnLoader, OwnPath, submodule

    source = tmp_path / "part.py"
    cached = Path(cache_from_source(str(source)))
    source.write_text("VALUE = 1\n" if "of older source" in compiled else "VALUE = 22\n")
    mode = py_compile.PycInvalidationMode.TIMESTAMP
    if "by hash" in compiled:
        mode = py_compile.PycInvalidationMode.CHECKED_HASH
    elif compiled == "not to be checked":
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    if compiled != "none":
        py_compile.compile(str(source), invalidation_mode=mode)
    source.write_text("VALUE = 22\n")
    if compiled == "cut short":
        cached.write_bytes(cached.read_bytes()[:20])
    elif compiled == "of another Python":
        cached.write_bytes(b"\0\0\r\n" + cached.read_bytes()[4:])
    elif compiled in ("right", "right by hash", "not to be checked"):
        py_compile.compile(str(source), invalidation_mode=mode)
        cached.write_bytes(
            cached.read_bytes().replace(b"\x16\0\0\0", b"\x17\0\0\0")
        )  # tells where it comes from
    spec = submodule("errtrack.part", OwnPath([str(tmp_path)]))
    ordinary = spec_from_file_location("errtrack.part", str(source))
    assert spec is not None and ordinary is not None and isinstance(spec.loader, OwnLoader)
    ours, theirs = module_from_spec(spec), module_from_spec(ordinary)
    for name in ("__name__", "__file__", "__cached__", "__package__"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert (spec.origin, spec.cached, spec.has_location) == (ordinary.origin, ordinary.cached, True)
    assert not hasattr(ours, "__path__")
    if compiled == "cut short":
        with pytest.raises(EOFError):  # as ever
            spec.loader.exec_module(ours)
        return
    is_right = compiled in ("right", "right by hash", "not to be checked")
    with monkeypatch.context() as patch:
        if is_right:  # then it is loaded on the short way
            patch.setattr(SourceFileLoader, "get_code", None, raising=False)
        spec.loader.exec_module(ours)
    wanted = 23 if is_right else 22
    assert wanted == ours.VALUE
    assert ours.__dict__["__builtins__"] and spec.loader.get_source("errtrack.part") == "VALUE = 22\n"


def test_each_of_our_own_compiled_files_is_read_at_once() -> None:
    import marshal

    from errtrack_run import import_hook

    root = Path(import_hook.__file__).resolve().parents[2]
    sources = [path for folder in import_hook.OWN.values() for path in (root / folder).rglob("*.py")]
    assert len(sources) > 100
    for source in sources:
        size = len(marshal.dumps(compile(source.read_bytes(), str(source), "exec")))
        assert size + 16 < import_hook._LARGEST, "importlib would have to read it again: %s" % source
