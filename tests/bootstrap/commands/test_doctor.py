# SPDX-License-Identifier: MIT
"""errtrack doctor: it finds what is wrong, says so in one line, and changes nothing."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, Result, Sink, failure

from errtrack import options
from errtrack.delivery import envelope, places, spool
from errtrack.dsn import Dsn
from errtrack_run import facts


def checks(result: Result) -> dict[tuple[str, str], tuple[str, str]]:
    return {(row["section"], row["name"]): (row["state"], row["text"]) for row in result.json["checks"]}


def test_doctor_finds_nothing_wrong_with_a_sound_setup(desk: Desk) -> None:
    desk.add(failure())
    result = desk.run("doctor", "--json")
    found = checks(result)
    assert result.status == 0 and result.json["ok"] is True, [
        c for c in found.items() if c[1][0] == "problem"
    ]
    assert "1 issue, 1 event" in found["On disk", "store"][1]
    assert found["Settings", "store"][1].endswith("from ERRTRACK_STORE")
    assert found["Instrumentations", "excepthook"][0] == "ok"
    assert found["Instrumentations", "tracing"][0] == "off"
    text = desk.run("doctor").out
    assert text.rstrip().endswith("All is well.")
    assert max(map(len, text.splitlines())) <= 80


def test_doctor_has_a_row_for_everything_in_the_catalogue(desk: Desk) -> None:
    from errtrack_instrumentations import table

    found = checks(desk.run("doctor", "--json"))
    rows = [name for section, name in found if section == "Instrumentations"]
    assert rows == list(table.INSTRUMENTATIONS)


def test_doctor_names_libraries_that_are_not_installed_in_one_row_and_problems_once_more_at_the_end(
    desk: Desk, plain_python: str
) -> None:
    arguments = ("--", plain_python, "-I", "app.py")
    found = checks(desk.run("doctor", "--json", *arguments))
    absent = [name for (_, name), (state, _) in found.items() if state == "absent"]
    assert "flask" in absent and "threading" not in absent
    text = desk.run("doctor", *arguments).out
    assert text.count("not installed") == 1
    row = text[text.index("not installed") :].partition("\n\n")[0]
    assert [name.strip(",") for name in row.split()[2:]] == absent
    last = text[text.index("problems found:") :]
    for (_, name), (state, told) in found.items():
        assert (told in " ".join(last.split()) and name in last) is (state == "problem"), name


def test_doctor_tells_what_is_disabled_and_what_is_misspelt(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERRTRACK_DISABLE", "flask")
    (desk.folder / "errtrack.toml").write_text("sampel_rate = 0.5\n")
    result = desk.run("doctor", "--json")
    found = checks(result)
    assert result.status == 1
    assert found["Instrumentations", "flask"] == ("off", "Flask: disabled by ERRTRACK_DISABLE")
    assert "did you mean sample_rate" in found["Settings", "problem"][1]
    assert found["Settings", "file"][1] == str(desk.folder / "errtrack.toml")


def test_doctor_tells_an_unsupported_version(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site" / "flask-0.9.dist-info").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    result = desk.run("doctor", "--json")
    state, text = checks(result)["Instrumentations", "flask"]
    assert (result.status, state) == (1, "problem")
    assert "flask 0.9 is not supported" in text


def test_doctor_asks_the_server_and_leaves_no_event_there(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Sink() as sink:
        monkeypatch.setenv("ERRTRACK_DSN", sink.dsn)
        result = desk.run("doctor", "--json")
        assert list(sink.events()) == []
        assert len(sink.requests) == 1
    assert result.status == 0
    assert checks(result)["Destination", "server"][0] == "ok"
    assert "publickey" not in result.out
    refused = desk.run("doctor", "--json")
    assert (refused.status, checks(refused)["Destination", "server"][0]) == (1, "problem")
    with Sink(403) as sink:
        monkeypatch.setenv("ERRTRACK_DSN", sink.dsn)
        assert checks(desk.run("doctor", "--json"))["Destination", "server"][0] == "problem"


def test_doctor_tells_how_a_program_ends(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sink() as sink:
        monkeypatch.setenv("ERRTRACK_DSN", sink.dsn)
        monkeypatch.setenv("ERRTRACK_SHUTDOWN_TIMEOUT", "3")
        assert "waits up to 3 s" in checks(desk.run("doctor", "--json"))["Destination", "exit"][1]
        monkeypatch.setenv("ERRTRACK_UPLOADER", "on")
        assert "ends at once" in checks(desk.run("doctor", "--json"))["Destination", "exit"][1]


def test_doctor_counts_what_waits_and_looks_without_touching(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ERRTRACK_DSN", "http://key@127.0.0.1:9/1")
    assert desk.run("doctor").status == 1
    assert not desk.state.exists()
    resolved = options.resolve()
    folder = places.spool_folder(resolved, Dsn.parse(resolved.dsn).digest)
    assert folder is not None
    kept = spool.Spool(folder, {})
    for _ in range(3):
        assert kept.put(envelope.build("a" * 32, "event", b"{}"))
    kept.close()
    _, text = checks(desk.run("doctor", "--json"))["On disk", "spool"]
    assert text == "3 events waiting for the server"


def test_doctor_tells_what_captures_may_cost_and_which_process_went_over_it(sandbox: Any) -> None:
    def rows(**env: str) -> dict[str, list[str]]:
        report = json.loads(sandbox.errtrack("doctor", "--json", **env).stdout)
        found: dict[str, list[str]] = {}
        for check in report["checks"]:
            if check["name"].startswith("max_capture"):
                found.setdefault(check["name"], []).append(check["text"])
        return found

    assert rows() == {
        "max_capture_time": ["50 ms of a processor an event, the default"],
        "max_capture_cpu": ["20 % of a processor in ten seconds, the default"],
    }
    code = "import errtrack\nfor n in range(200):\n    try: 1 / 0\n    except Exception as e: errtrack.capture_exception(e)\n"
    low = {"ERRTRACK_MAX_CAPTURE_CPU": "0.05"}  # 5 ms of ten seconds
    done = sandbox.python(code + "import os; print(os.getpid())", **low)
    texts = rows(ERRTRACK_MAX_CAPTURE_TIME="0", **low)
    assert texts["max_capture_time"][0].startswith("no bound, from ERRTRACK_MAX_CAPTURE_TIME")
    first, *over = texts["max_capture_cpu"]
    assert first == "0.05 % of a processor in ten seconds, from ERRTRACK_MAX_CAPTURE_CPU"
    assert any(
        "process %d went over it" % int(done.stdout) in text and "only counted" in text for text in over
    ), over


def test_doctor_tells_a_folder_that_cannot_be_made(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    (desk.folder / "file").write_text("")
    monkeypatch.setenv("ERRTRACK_STORE", str(desk.folder / "file" / "state"))
    found = desk.run("doctor", "--json")
    told = [row["text"] for row in found.json["checks"] if row["state"] == "problem"]
    assert (found.status, len(told)) == (1, 1)
    assert "file is not a folder" in told[0]


def test_doctor_tells_a_folder_that_others_can_write_to(desk: Desk) -> None:
    desk.state.mkdir()
    desk.state.chmod(0o777)
    result = desk.run("doctor", "--json")
    assert result.status == 1
    assert any("others can write" in row["text"] for row in result.json["checks"])


def test_doctor_tells_how_a_command_would_be_instrumented(desk: Desk) -> None:
    result = desk.run("doctor", "--json", "--", sys.executable, "app.py", "--json")
    found = checks(result)
    assert result.status == 0, found
    state, text = found["Command", "start"]
    assert state == "ok" and "sitecustomize on PYTHONPATH" in text
    assert found["Python", "interpreter"][1].endswith(sys.executable)


@pytest.mark.parametrize("flags", ["-I", "-E", "-S", "-X dev -I", "-W error -bE", "-Xdev -S"])
def test_doctor_tells_flags_that_keep_errtrack_out(desk: Desk, flags: str) -> None:
    result = desk.run("doctor", "--json", "--", sys.executable, *flags.split(), "app.py")
    found = checks(result)
    assert result.status == 1
    assert "-" + flags[-1] in found["Command", "flags"][1]
    assert found["Command", "start"][0] == "problem"


@pytest.mark.skipif(sys.platform == "win32", reason="scripts name their interpreter on Unix")
@pytest.mark.parametrize(
    "first_line", ["#!%s", "#!/usr/bin/env %s", "#!/bin/sh\n'''exec' \"%s\" \"$0\" \"$@\"\n' '''"]
)
def test_doctor_looks_into_scripts_for_their_python(desk: Desk, first_line: str) -> None:
    script = desk.folder / "serve"
    script.write_text(first_line % sys.executable + "\nimport app\n")
    script.chmod(0o755)
    found = checks(desk.run("doctor", "--json", "--", str(script)))
    assert found["Command", "start"][0] == "ok"


def test_doctor_tells_commands_that_are_no_python_and_commands_that_are_not_there(desk: Desk) -> None:
    found = checks(desk.run("doctor", "--json", "--", "sh", "-c", "true"))
    assert "no Python program itself" in found["Command", "Python"][1]
    missing = desk.run("doctor", "--json", "--", "no-such-command-anywhere")
    assert missing.status == 1
    assert checks(missing)["Command", "no-such-command-anywhere"][1] == "there is no such command"


@pytest.mark.skipif(sys.platform == "win32", reason="scripts name their interpreter on Unix")
@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("app.py", "there is no such command on PATH; did you mean: errtrack-run python app.py"),
        ("tool", "there is no such command on PATH; that in this folder is ./tool"),
        ("./tool", "may not be executed"),
        ("./folder", "is a directory"),
        ("./env", "its first line names no-python, which is not there"),
        ("./gone", "its first line names /no/python3, which is not there"),
    ],
)
def test_doctor_tells_why_a_command_would_not_start(desk: Desk, command: str, told: str) -> None:
    (desk.folder / "folder").mkdir()
    for name, text in (
        ("app.py", ""),
        ("tool", ""),
        ("env", "#!/usr/bin/env no-python"),
        ("gone", "#!/no/python3"),
    ):
        (desk.folder / name).write_text(text + "\n")
    for name in ("env", "gone"):
        (desk.folder / name).chmod(0o755)
    result = desk.run("doctor", "--json", "--", command)
    problems = [row["text"] for row in result.json["checks"] if row["state"] == "problem"]
    assert (result.status, problems) == (1, [told])


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the launcher's tomli serves")
def test_doctor_tells_a_settings_file_that_the_python_of_the_command_cannot_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (desk.folder / "errtrack.toml").write_text('environment = "staging"\n')
    hider = "import sys\nsys.modules['tomllib'] = sys.modules['tomli'] = None\n"
    (desk.folder / "site").mkdir()
    (desk.folder / "site" / "sitecustomize.py").write_text(hider)
    arguments = ("doctor", "--json", "--", sys.executable, "app.py")
    assert ("Settings", "tomli") not in checks(desk.run(*arguments))
    monkeypatch.setenv("PYTHONPATH", str(desk.folder / "site"))
    told = checks(desk.run(*arguments))["Settings", "tomli"]
    assert told[0] == "problem" and "install tomli" in told[1]


def test_doctor_looks_for_every_place_to_patch_in_the_python_of_the_command(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = checks(desk.run("doctor", "--json", "--", sys.executable, "app.py"))
    state, text = found["Instrumentations", "flask"]
    assert state == "ok"
    assert re.search(r"(\d+) of \1 patch points are there", text), text
    state, text = found["Instrumentations", "wsgi_servers"]
    assert state == "ok"
    assert re.search(r"([1-9]\d*) of \1 patch points are there", text), text


def test_doctor_tells_what_cannot_be_patched(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "site" / "flask"
    library.mkdir(parents=True)
    (library / "__init__.py").write_text("")
    (library / "app.py").write_text("class Flask:\n    pass\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    result = desk.run("doctor", "--json", "--", sys.executable, "app.py")
    state, text = checks(result)["Instrumentations", "flask"]
    assert state == "note"
    assert "missing: flask.app.Flask" in text and "AttributeError" in text


def test_doctor_tells_whose_copy_of_a_dependency_serves_another_environment(
    desk: Desk, plain_python: str
) -> None:
    found = checks(desk.run("doctor", "--json", "--", plain_python, "app.py"))
    assert found["Python", "urllib3"][0] == "ok"
    assert "the launcher's" in found["Python", "urllib3"][1]


def test_doctor_tells_who_stands_in_front_of_the_finder(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """72"""
    code = "import sys\nclass Intruder:\n    find_spec = lambda *a, **k: None\n"
    (desk.folder / "site").mkdir()
    fails = "raise RuntimeError('of the sitecustomize')\n"
    (desk.folder / "site" / "sitecustomize.py").write_text(
        code + "sys.meta_path.insert(0, Intruder())\n" + fails
    )
    monkeypatch.setenv("PYTHONPATH", str(desk.folder / "site"))
    found = checks(desk.run("doctor", "--json", "--", sys.executable, "app.py"))
    assert "Intruder" in found["Command", "imports"][1]
    assert found["Command", "sitecustomize"][1].startswith(str(desk.folder / "site"))
    assert found["Command", "stderr"][1] == "it says as it starts: RuntimeError: of the sitecustomize"


def test_a_part_of_a_library_for_another_that_is_not_installed_is_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as Django's for Jinja."""
    package = tmp_path / "parted_library"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("import parted_librarys_extra\n")
    (package / "broken.py").write_text("import parted_library.gone\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    told = facts.gather({}, [], ["parted_library.part:f", "parted_library.broken:f", "parted_library:f"])[
        "points"
    ]
    assert told["parted_library.part:f"] == "not installed"
    assert told["parted_library.broken:f"].startswith("ModuleNotFoundError")
    assert told["parted_library:f"].startswith("AttributeError")
