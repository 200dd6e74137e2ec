"""The documents say what the code does: README, changelog, packaging and catalogue are held against each other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_table_of_instrumentations_is_the_catalogue() -> None:
    from errtrack_instrumentations import table

    block = README.split("<!-- instrumentations")[1].split("<!-- /instrumentations")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", block, re.M)
    assert {name: (title, what) for name, title, what in rows} == table.INSTRUMENTATIONS


def test_every_instrumentation_has_file_row_and_test() -> None:
    from errtrack_instrumentations import catalogue, table

    folder = ROOT / "instrumentations" / "errtrack_instrumentations"
    files = {p.stem for p in folder.glob("*.py") if not p.stem.startswith("_")} - {"catalogue", "table"}
    loaded = {file for files_ in catalogue.HOOKS.values() for file in files_.split(",")}
    loaded |= set(catalogue.WIRES.values()) | set(catalogue.AT_EXIT.split(","))
    assert files == loaded == set(table.INSTRUMENTATIONS)
    tests = "".join(
        p.read_text(encoding="utf-8") for p in (ROOT / "tests" / "instrumentations").glob("test_*.py")
    )
    for name in files:
        assert name in tests, "no test mentions " + name


def test_hooks_are_the_modules_that_are_patched() -> None:
    import importlib

    from errtrack_instrumentations import catalogue, table

    for file in table.INSTRUMENTATIONS:
        instrumentation = importlib.import_module("errtrack_instrumentations." + file).INSTRUMENTATION
        assert instrumentation.name == file
        assert instrumentation.opt_in == (file in catalogue.OPT_IN)
        patched = {p.module for p in instrumentation.patches} | {r.module for r in instrumentation.on_import}
        hooked = {name for name, files in catalogue.HOOKS.items() if file in files.split(",")}
        wired = {place.rpartition(".")[0] for place, f in catalogue.WIRES.items() if f == file}
        assert patched == hooked | wired


@pytest.mark.parametrize("path", sorted((ROOT / "instrumentations").rglob("*.py")), ids=lambda p: p.stem)
def test_instrumentations_import_only_the_face_the_kit_and_the_ground(path: Path) -> None:
    """Law 3: never the target, no other instrumentation, nothing heavy at top level."""
    allowed = {
        "errtrack",
        "errtrack.instrumentation",
        "__future__",
        "sys",
        "os",
        "weakref",
        "functools",
        "_thread",
        "time",
        "errtrack.context",
    }
    shared = {p.stem for p in path.parent.glob("_*.py")}
    late = shared | {"loaded", "scopes", "tracing"}  # of the context wing, which is allowed at once as well
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= allowed
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                assert {alias.name for alias in node.names} <= (late if node.module == "_late" else shared)
                assert node.module in (None, "_late")
            else:
                assert node.module in allowed
                names = {alias.name for alias in node.names}
                assert node.module != "errtrack" or names <= {
                    "distributions",
                    "guard",
                    "instrumentation",
                    "loggers",
                    "reserves",
                    "options",
                }


@pytest.mark.parametrize("path", sorted((ROOT / "instrumentations").rglob("*.py")), ids=lambda p: p.stem)
def test_instrumentations_are_short(path: Path) -> None:
    if path.stem.startswith("_") or path.stem in ("catalogue", "table"):
        return
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 120


def test_versions_agree() -> None:
    import errtrack
    import errtrack_run

    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.M)
    assert version and errtrack.__version__ == errtrack_run.__version__ == version.group(1)


def test_public_names_are_the_face() -> None:
    import errtrack
    from errtrack import api

    assert set(api.__all__) == errtrack._PUBLIC
    for name in api.__all__:
        assert getattr(errtrack, name) is getattr(api, name)
        assert name in dir(errtrack)


def test_readme_commands_and_options_exist() -> None:
    from errtrack_run import launcher

    for option in re.findall(r"^\| `(--[a-z-]+)", README, re.M):
        assert option in launcher.HELP
    for command in re.findall(r"^\| `errtrack ([a-z]+)", README, re.M):
        assert command in {"list", "show", "forget", "test", "doctor", "spool", "config", "export"}


def test_nothing_names_a_development_machine() -> None:
    pattern = re.compile(r"(?<![\w.])/(?:work|farm|root)/")
    for path in ROOT.rglob("*"):
        hidden = any(part.startswith(".") and part != ".ci" for part in path.relative_to(ROOT).parts)
        if path.is_file() and not hidden and path.suffix in (".py", ".md", ".toml", ".sh", ""):
            assert not pattern.search(path.read_text(encoding="utf-8", errors="replace")), path
