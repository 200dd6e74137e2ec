# SPDX-License-Identifier: MIT
"""Frames: names, source, whose code, how many; and that nothing keeps them alive."""

from __future__ import annotations

import gc
import importlib
import os
import py_compile
import subprocess
import sys
import time
import weakref
import zipfile
from pathlib import Path
from typing import Any

import pytest

from errtrack.capture import stacktrace
from errtrack.capture.paths import Territory
from errtrack.options import resolve


def frames(event: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = event["exception"]["values"][-1]["stacktrace"]["frames"]
    return found


def run(source: str, filename: str = "<generated>", **namespace: Any) -> Any:
    space = {"__name__": "generated", **namespace}
    exec(compile(source, filename, "exec"), space)
    return space


def test_a_frame_names_file_function_line_and_shows_its_source(capture, raised) -> None:
    def outer() -> None:
        inner()

    def inner() -> None:
        raise ValueError("x")  # the failing line

    found = frames(capture.of(raised(outer)))
    last = found[-1]
    assert [frame["function"] for frame in found[-2:]] == ["outer", "inner"]
    assert last["context_line"].strip() == 'raise ValueError("x")  # the failing line'
    assert last["pre_context"][-1].strip() == "def inner() -> None:"
    assert len(last["pre_context"]) == len(last["post_context"]) == 5
    assert Path(last["abs_path"]) == Path(__file__)
    assert last["filename"] == os.path.basename(__file__)
    assert last["module"] == __name__
    assert last["lineno"] == inner.__code__.co_firstlineno + 1


def test_the_line_is_the_tracebacks_and_not_where_the_frame_has_moved_on_to(capture) -> None:
    def work() -> tuple[BaseException, int]:
        try:
            line = sys._getframe().f_lineno + 1
            raise ValueError
        except ValueError as error:
            kept = error
        return kept, line

    error, line = work()
    assert frames(capture.of(error))[-1]["lineno"] == line


@pytest.mark.parametrize(
    ("module", "path", "short"),
    [
        ("a.b.c", "/x/a/b/c.py", "a/b/c.py"),
        ("a.b", "/x/a/b/__init__.py", "a/b/__init__.py"),
        ("job", "/x/job.py", "job.py"),
        ("a.b", "/elsewhere/other.py", "other.py"),
        (None, "/x/job.py", "job.py"),
        ("a", "<string>", "<string>"),
    ],
)
def test_file_names_are_short_below_the_top_package(module: Any, path: str, short: str) -> None:
    from errtrack.capture import paths

    assert paths.short(path, module, {}) == short


def test_the_main_module_of_a_package_is_named_below_it() -> None:
    from errtrack.capture import paths

    assert (
        paths.short("/x/pkg/sub/__main__.py", "__main__", {"__package__": "pkg.sub"}) == "pkg/sub/__main__.py"
    )


def test_whose_code_a_frame_is(tmp_path: Path) -> None:
    options = resolve(
        {},
        {"project_root": str(tmp_path), "in_app_include": ["mine"], "in_app_exclude": ["vendored"]},
    )
    territory = Territory(options)
    library = os.path.dirname(os.__file__)
    root = str(tmp_path)
    rows = [
        (root + "/app.py", "app", True),
        (root + "/venv/lib/python3/site-packages/lib.py", "lib", False),
        ("/usr/lib/python3/dist-packages/lib.py", "lib", False),
        ("/usr/lib/python3/dist-packages/mine/x.py", "mine.x", True),
        (root + "/vendored/x.py", "vendored.x", False),
        (root + "/vendoredish.py", "vendoredish", True),
        (library + "/json/decoder.py", "json.decoder", False),
        ("<frozen importlib._bootstrap>", "importlib._bootstrap", False),
        ("<string>", "x", None),
        ("/somewhere/else.py", "x", None),
        (root + "-other/app.py", "app", None),
    ]
    for path, module, expected in rows:
        assert territory.in_app(path, module) is expected, path


def test_the_standard_library_is_not_the_application_even_when_the_root_holds_it() -> None:
    territory = Territory(resolve({}, {"project_root": "/"}))
    assert territory.in_app(os.__file__, "os") is False
    assert territory.in_app("/srv/app.py", "app") is True


def test_a_virtual_environment_inside_the_project_is_not_the_application(tmp_path: Path) -> None:
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    code = (
        "from errtrack.capture.paths import Territory\nfrom errtrack.options import resolve\n"
        "t = Territory(resolve({}, {'project_root': %r}))\n"
        "print(t.in_app(%r, 'tool'), t.in_app(%r, 'app'))"
    ) % (str(tmp_path), str(environment / "bin" / "tool.py"), str(tmp_path / "app.py"))
    agent = str(Path(stacktrace.__file__).parents[2])
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    done = subprocess.run(
        [str(python), "-c", code], env={"PYTHONPATH": agent}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]


def test_hidden_frames_are_left_out_but_never_all(capture, raised) -> None:
    def hidden() -> None:
        __traceback_hide__ = True
        raise ValueError

    def shown() -> None:
        hidden()

    assert frames(capture.of(raised(shown)))[-1]["function"] == "shown"
    error = raised(hidden)
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
    assert [frame["function"] for frame in frames(capture.of(error))] == ["hidden"]


def test_our_own_frames_and_wrappers_are_left_out(capture, raised) -> None:
    def application() -> None:
        raise ValueError

    for module in (
        "errtrack.client",
        "errtrack_instrumentations.flask",
        "errtrack_run.boot",
        "wrapt.wrappers",
    ):
        wrapper = run("def wrapper(call):\n    call()\n", __name__=module)["wrapper"]
        names = [frame["function"] for frame in frames(capture.of(raised(lambda: wrapper(application))))]
        assert names[-1] == "application"
        assert "wrapper" not in names
    other = run("def wrapper(call):\n    call()\n", __name__="errtracker")["wrapper"]
    assert frames(capture.of(raised(lambda: other(application))))[-2]["function"] == "wrapper"


def test_of_1000_frames_the_first_50_and_the_last_200_are_kept(capture, raised) -> None:
    def down(left: int) -> None:
        if left:
            down(left - 1)
        raise RecursionError("deep")

    old = sys.getrecursionlimit()
    sys.setrecursionlimit(5000)
    try:
        event = capture.of(raised(lambda: down(990)))
    finally:
        sys.setrecursionlimit(old)
    found = frames(event)
    assert len(found) == 250
    assert event["_meta"]["exception"]["values"]["0"]["stacktrace"]["frames"][""]["len"] == 993
    assert [frame["vars"]["left"] for frame in found[2:5]] == ["990", "989", "988"]
    assert found[-1]["vars"]["left"] == "0"
    assert "vars" not in found[100]
    assert "pre_context" not in found[100]
    assert "context_line" in found[100]
    with_vars = [index for index, frame in enumerate(found) if "vars" in frame]
    assert with_vars == [*range(2, 25), *range(225, 250)] or with_vars == [*range(25), *range(225, 250)]


def test_a_traceback_made_by_hand_without_an_instruction_shows_its_line(capture, raised) -> None:
    error = raised(lambda: 1 / 0)
    tb = error.__traceback__
    while tb.tb_next is not None:
        tb = tb.tb_next
    for line in (tb.tb_lineno, tb.tb_lineno - 1):
        made = type(tb)(None, tb.tb_frame, -1, line)
        assert frames(capture.of(error.with_traceback(made)))[-1]["lineno"] == line


def test_a_traceback_of_100000_frames_does_not_hang(capture, raised) -> None:
    error = raised(lambda: 1 / 0)
    tb = error.__traceback__
    assert tb is not None
    kind = type(tb)
    for _ in range(100_000):
        tb = kind(tb, tb.tb_frame, tb.tb_lasti, tb.tb_lineno)
    started = time.thread_time()  # whoever else keeps the machine busy is no matter
    event = capture.of(error.with_traceback(tb))
    assert time.thread_time() - started < 1
    assert len(frames(event)) == 250
    while tb is not None:  # taken apart step by step: freeing it at once would recurse in C
        tb = tb.tb_next


def test_source_comes_from_a_zip_archive(capture, raised, tmp_path: Path, monkeypatch) -> None:
    archive = tmp_path / "app.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped_app.py", "def work():\n    raise ValueError('in a zip')\n")
    monkeypatch.syspath_prepend(str(archive))
    module = importlib.import_module("zipped_app")
    last = frames(capture.of(raised(module.work)))[-1]
    assert last["context_line"] == "    raise ValueError('in a zip')"
    assert last["filename"] == "zipped_app.py"


def test_code_without_source_has_a_frame_without_source(capture, raised, tmp_path: Path, monkeypatch) -> None:
    source = tmp_path / "only_compiled.py"
    source.write_text("def work():\n    raise ValueError\n")
    py_compile.compile(str(source), cfile=str(tmp_path / "only_compiled.pyc"))
    source.unlink()
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("only_compiled")
    last = frames(capture.of(raised(module.work)))[-1]
    assert last["function"] == "work"
    assert "context_line" not in last


def test_generated_code_shows_the_source_in_linecache(capture, raised, monkeypatch) -> None:
    import linecache

    source = "def work():\n    raise ValueError('made')\n"
    monkeypatch.setitem(linecache.cache, "<made 1>", (len(source), None, source.splitlines(True), "<made 1>"))
    last = frames(capture.of(raised(run(source, "<made 1>")["work"])))[-1]
    assert last["context_line"] == "    raise ValueError('made')"
    assert last["filename"] == last["abs_path"] == "<made 1>"


def test_source_in_another_encoding_and_with_huge_lines(capture, raised, tmp_path: Path) -> None:
    path = tmp_path / "latin.py"
    text = "# -*- coding: latin-1 -*-\ndef work():\n    raise ValueError('Größe')  # %s\n" % ("x" * 100_000)
    path.write_bytes(text.encode("latin-1"))
    space = run("", "x")
    exec(compile(path.read_bytes(), str(path), "exec"), space)
    last = frames(capture.of(raised(space["work"])))[-1]
    assert last["context_line"].startswith("    raise ValueError('Größe')")
    assert len(last["context_line"]) == 512


def test_a_file_that_is_no_file_is_not_read(capture, raised, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.py"
    os.mkfifo(pipe)
    for name in (str(pipe), "/dev/zero", str(tmp_path)):
        last = frames(capture.of(raised(run("def work():\n    raise ValueError\n", name)["work"])))[-1]
        assert "context_line" not in last


def test_source_context_and_locals_can_be_switched_off(capture_with, raised) -> None:
    capture = capture_with(include_source_context=False, include_local_variables=False)
    last = frames(capture.of(raised(lambda: 1 / 0)))[-1]
    assert not {"vars", "context_line", "pre_context", "post_context"} & set(last)


def test_names_of_the_failing_line_come_first_then_parameters(capture, raised) -> None:
    def work(first: int, second: int = 2) -> None:
        other = 1
        wanted = 0
        print(other / wanted)

    shown = frames(capture.of(raised(lambda: work(5))))[-1]["vars"]
    assert list(shown) == ["other", "wanted", "first", "second"]


def test_a_module_shows_its_data_and_not_its_machinery(capture, raised) -> None:
    source = "import os\ndef f(): pass\nclass C: pass\nlimit = 3\nname = 'n'\n__private__ = 1\nlen_ = len\nlimit / 0\n"
    shown = frames(capture.of(raised(lambda: run(source))))[-1]["vars"]
    assert shown == {"limit": "3", "name": "'n'"}


def test_the_same_line_is_shown_with_each_captures_values(capture, raised) -> None:
    def work(number: int) -> None:
        raise ValueError(number)

    shown = [frames(capture.of(raised(lambda n=n: work(n))))[-1] for n in (1, 2)]
    assert [frame.pop("vars") for frame in shown] == [{"number": "1"}, {"number": "2"}]
    assert shown[0] == shown[1]


def test_code_objects_at_a_reused_address_are_told_apart(capture, raised) -> None:
    for number in range(300):
        work = run("def work_%d():\n    raise ValueError\n" % number, "<code %d>" % number)[
            "work_%d" % number
        ]
        last = frames(capture.of(raised(work)))[-1]
        assert last["function"] == "work_%d" % number
        del work


def test_what_is_remembered_of_places_is_bounded(capture, raised) -> None:
    for number in range(2200):
        error = raised(run("def work():\n    raise ValueError\n", "<many %d>" % number)["work"])
        capture.event(error)
    places = stacktrace.stacks_for(capture.options, capture.scrubber)._places
    assert len(places) <= 2000


class Watched:
    pass


def test_nothing_of_the_exception_stays_alive(capture) -> None:
    watched: list[Any] = []

    def work() -> None:
        big = Watched()
        watched.append(weakref.ref(big))
        raise ValueError("x")

    try:
        work()
    except ValueError as error:
        capture.bytes(error)
    gc.collect()
    assert watched[0]() is None


def test_a_frame_that_lives_on_does_not_keep_the_values_it_had(capture) -> None:
    def long_lived() -> Any:
        big: Any = Watched()
        watched = weakref.ref(big)
        try:
            raise ValueError("x")
        except ValueError as error:
            capture.bytes(error)
        big = None
        gc.collect()
        return watched()

    assert long_lived() is None


def test_the_applications_own_locals_dict_is_left_alone(capture) -> None:
    def work() -> tuple[dict[str, Any], Any]:
        value = 5
        mine = locals()
        exec("made_by_exec = 6", globals(), mine)
        try:
            raise ValueError(value)
        except ValueError as error:
            capture.bytes(error)
        return mine, mine.get("made_by_exec")

    mine, made = work()
    assert mine["value"] == 5
    assert made == 6


def test_a_namespace_of_the_applications_own_is_not_asked(capture, raised) -> None:
    asked: list[Any] = []

    class Namespace(dict):  # type: ignore[type-arg]
        def __getitem__(self, key: str) -> Any:
            asked.append(key)
            return dict.__getitem__(self, key)

        def get(self, key: str, default: Any = None) -> Any:
            raise AssertionError

    code = compile("number = 3\nraise ValueError\n", "<body>", "exec")
    last = frames(capture.of(raised(lambda: exec(code, {"__name__": "m"}, Namespace()))))[-1]
    assert "number" not in asked
    assert last["function"] == "<module>"


def test_odd_module_names_and_missing_globals(capture, raised) -> None:
    for space in ({"__name__": 5}, {}, {"__name__": None, "__loader__": object()}):
        last = frames(capture.of(raised(lambda space=space: exec("1/0", space))))[-1]
        assert isinstance(last.get("module", ""), str)


def test_a_message_shows_its_stack_when_asked(capture_with) -> None:
    from errtrack.capture import event as events

    capture = capture_with(attach_stacktrace=True)
    event = events.from_message("hello", "info", None, capture.options, capture.scrubber, sys._getframe())
    (thread,) = capture.finished(event)["threads"]["values"]
    assert thread["current"] is True
    assert thread["crashed"] is False
    assert thread["stacktrace"]["frames"][-1]["function"] == "test_a_message_shows_its_stack_when_asked"
