# SPDX-License-Identifier: MIT
"""The command line, and what the command sees of the launcher: nothing. Numbers: part A of the fact sheet."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from houses import TALKER, House, build

PY = sys.executable


def test_no_command_prints_usage_on_stderr_and_returns_2(house: House) -> None:
    """1"""
    done = house.launch()
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: errtrack-run")


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_prints_every_option_and_an_example(house: House, option: str) -> None:
    """2"""
    done = house.launch(option)
    assert (done.returncode, done.stderr) == (0, "")
    for name in (
        "dsn",
        "environment",
        "release",
        "config",
        "debug",
        "no-propagate",
        "check",
        "version",
        "help",
    ):
        assert "--" + name in done.stdout
    assert "example:" in done.stdout


def test_version_is_that_of_the_distribution(house: House) -> None:
    """2"""
    done = house.launch("--version")
    assert (done.returncode, done.stderr) == (0, "")
    project = Path(__file__).parents[2] / "pyproject.toml"
    found = re.search(r'^version = "(.+)"', project.read_text(), re.M)
    assert found is not None
    assert done.stdout == "errtrack-run %s\n" % found[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nonsense", "true"], "unknown option --nonsense"),
        (["--env", "x", "true"], "did you mean --environment?"),
        (["-x", "true"], "unknown option -x"),
        (["--dsn"], "--dsn needs a value"),
        (["--debug=1", "true"], "--debug takes no value"),
    ],
)
def test_a_misused_option_is_one_line_and_returns_2(house: House, arguments: list[str], message: str) -> None:
    """3"""
    done = house.launch(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_command_not_found_returns_127(house: House) -> None:
    """4"""
    done = house.launch("no-such-command")
    assert (done.returncode, done.stdout) == (127, "")
    assert done.stderr == "errtrack-run: no-such-command: command not found\n"
    done = house.launch("./no/such/file")
    assert (done.returncode, done.stderr) == (
        127,
        "errtrack-run: ./no/such/file: no such file or directory\n",
    )


def test_a_directory_or_a_file_that_cannot_be_executed_returns_126(house: House) -> None:
    """5"""
    house.module("script.py", "print(1)")
    done = house.launch("./script.py")
    assert done.returncode == 126
    assert done.stderr == (
        "errtrack-run: ./script.py: permission denied; did you mean: errtrack-run python ./script.py\n"
    )
    done = house.launch(".", env=house.environ())
    assert done.returncode == 127  # a name without a slash is looked for on PATH
    done = house.launch("./")
    assert (done.returncode, done.stderr) == (126, "errtrack-run: ./: is a directory\n")
    done = house.launch("script.py")
    assert done.returncode == 127
    assert "errtrack-run python script.py" in done.stderr


def test_a_script_without_a_first_line_returns_126(house: House) -> None:
    """6"""
    house.module("script", "echo 1\n").chmod(0o755)
    done = house.launch("./script")
    assert done.returncode == 126
    assert "exec format error" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_missing_interpreter_is_named_and_returns_127(house: House) -> None:
    """7"""
    house.module("script", "#!/no/such/interpreter -x\n").chmod(0o755)
    done = house.launch("./script")
    assert done.returncode == 127
    assert done.stderr == (
        "errtrack-run: ./script: bad interpreter: /no/such/interpreter: no such file or directory\n"
    )


def test_an_empty_command_returns_2(house: House) -> None:
    """8"""
    done = house.launch("")
    assert (done.returncode, done.stdout) == (2, "")
    assert "empty" in done.stderr


def test_everything_after_the_command_word_is_the_commands(house: House) -> None:
    """9, 10"""
    show = "import sys; print(sys.argv[1:])"
    arguments = ["--version", "-d", "--", "x", "", "a b", "--dsn", "é"]
    for separator in ([], ["--"]):
        done = house.launch(*separator, PY, "-c", show, *arguments)
        assert done.stdout == "%r\n" % arguments
    assert house.launch(PY, "--help").stdout.startswith("usage: " + PY)
    assert house.launch("--debug", "--", PY, "--version").stdout.startswith("Python 3")


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_exit_status_is_the_commands(house: House, code: int) -> None:
    """11"""
    assert house.launch("sh", "-c", "exit %d" % code).returncode == code


def test_process_and_parent_are_what_they_would_be(house: House) -> None:
    """11, 13: the launcher becomes the command, so signals reach it."""
    process = subprocess.Popen(
        [*house.launcher, "sh", "-c", "echo $$ $PPID; exec sleep 30"],
        env=house.environ(),
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "%d %d\n" % (process.pid, os.getpid())
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -signal.SIGTERM


@pytest.mark.parametrize("typed", ["sh", "/bin/sh"])
def test_argv0_is_what_was_typed(house: House, typed: str) -> None:
    """12"""
    assert house.launch(typed, "-c", "echo $0; tr '\\0' ' ' < /proc/$$/cmdline").stdout.startswith(
        "%s\n%s -c" % (typed, typed)
    )
    (house.work / "python3").symlink_to(PY)
    show = "import sys; print(sys.argv[0], getattr(sys, 'orig_argv', ['python3'])[0])"
    path = "%s:%s" % (house.work, os.environ["PATH"])
    assert house.launch("python3", "-c", show, env=house.environ(PATH=path)).stdout == "-c python3\n"


def test_signal_handlers_of_python_are_the_same(house: House, any_python: str) -> None:
    """13: none is installed."""
    house.module(
        "show.py",
        "import signal\n"
        "for number in sorted(signal.valid_signals()): print(str(signal.getsignal(number)).split(' at ')[0])",
    )
    assert house.launch(any_python, "show.py").stdout == house.bare([any_python, "show.py"]).stdout


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="reads /proc")
def test_signal_dispositions_are_the_same(house: House) -> None:
    """14: Python ignores SIGPIPE and SIGXFSZ for itself; the command must not inherit that."""
    command = ["grep", "^Sig", "/proc/self/status"]
    assert house.launch(*command).stdout == house.bare(command).stdout
    done = house.launch("sh", "-c", "yes | head -1")
    assert (done.stdout, done.stderr) == ("y\n", "")


def test_an_ignored_interrupt_stays_ignored(house: House) -> None:
    """14: as under nohup or in a shell's background job."""
    script = "trap '' INT; exec %s %s grep SigIgn /proc/self/status" % (PY, house.stub)
    bare = house.bare(["sh", "-c", "trap '' INT; exec grep SigIgn /proc/self/status"])
    assert house.bare(["sh", "-c", script]).stdout == bare.stdout


def environment_of(text: str) -> dict[str, str]:
    return dict(line.partition("=")[::2] for line in text.splitlines())  # type: ignore[misc]


def test_environment_differs_by_our_own_variables_alone(house: House) -> None:
    """15"""
    bare, ours = (environment_of(done.stdout) for done in (house.bare(["env"]), house.launch("env")))
    added = {name: value for name, value in ours.items() if bare.get(name) != value}
    assert added == {"PYTHONPATH": house.inject, "ERRTRACK_RUN": ours["ERRTRACK_RUN"]}
    assert set(bare) <= set(ours)


def test_where_errtracks_packages_lie_is_told_only_where_they_are_not_beside_it(tmp_path: Path) -> None:
    """44: an editable install, whose dependencies another interpreter would not find."""
    house = build(tmp_path, {}, {})
    beside = house.run.parent / "urllib3"
    told = environment_of(house.launch("env").stdout)["ERRTRACK_RUN"]
    assert Path(told, "urllib3").is_dir()
    beside.mkdir()
    assert environment_of(house.launch("env").stdout)["ERRTRACK_RUN"] == "1"


def test_locale_that_python_sets_for_itself_does_not_leak(house: House) -> None:
    """15: PEP 538."""
    ours = environment_of(house.launch("env", env={"PATH": os.environ["PATH"]}).stdout)
    assert set(ours) - {"PWD", "SHLVL", "_"} == {"PATH", "PYTHONPATH", "ERRTRACK_RUN"}
    wanted = {"PATH": os.environ["PATH"], "LC_CTYPE": "C.UTF-8"}
    assert environment_of(house.launch("env", env=wanted).stdout)["LC_CTYPE"] == "C.UTF-8"


def test_descriptors_limits_mask_and_folder_are_unchanged_and_stdin_is_not_read(house: House) -> None:
    """16"""
    command = ["sh", "-c", "ls /proc/$$/fd; umask; pwd; ulimit -a; nice; cat"]
    bare = house.bare(command, stdin=None, input="text\n")
    assert house.launch(*command, stdin=None, input="text\n").stdout == bare.stdout
    assert bare.stdout.endswith("text\n")


def test_options_become_variables_and_are_known_as_the_launchers(house: House) -> None:
    """17"""
    house.module("my.toml", "")
    done = house.launch(
        "env",
        options=[
            "--dsn=https://k@h.example/1",
            "--environment",
            "staging",
            "--release",
            "v 1",
            "--config",
            "my.toml",
            "--debug",
            "--no-propagate",
        ],
    )
    ours = environment_of(done.stdout)
    assert ours["ERRTRACK_DSN"] == "https://k@h.example/1"
    assert ours["ERRTRACK_ENVIRONMENT"] == "staging"
    assert ours["ERRTRACK_RELEASE"] == "v 1"
    assert ours["ERRTRACK_CONFIG"] == str(house.work / "my.toml")
    assert ours["ERRTRACK_DEBUG"] == "1"
    assert ours["ERRTRACK_PROPAGATE"] == "0"
    assert set(ours["ERRTRACK_RUN_OPTIONS"].split(",")) == {
        "dsn",
        "environment",
        "release",
        "config",
        "debug",
        "propagate",
    }
    assert done.stderr == ""


def test_settings_file_is_named_by_option_then_variable_then_found_here(house: House) -> None:
    show = ["sh", "-c", "echo $ERRTRACK_CONFIG"]
    assert house.launch(*show).stdout == "\n"
    house.module("errtrack.toml", "")
    assert house.launch(*show).stdout == "%s\n" % (house.work / "errtrack.toml")
    named = house.environ(ERRTRACK_CONFIG="sub/../other.toml")
    assert house.launch(*show, env=named).stdout == "%s\n" % (house.work / "other.toml")
    done = house.launch(*show, env=named, options=["--config", "third.toml"])
    assert done.stdout == "%s\n" % (house.work / "third.toml")
    assert done.stderr == "errtrack-run: warning: --config third.toml: no such file\n"


def test_paths_in_the_environment_are_those_of_the_folder_it_was_started_in(house: House) -> None:
    left = {"ERRTRACK_SPOOL_DIR": "~/spool", "ERRTRACK_CA_CERTS": "/etc/../ca.pem", "ERRTRACK_CERT_FILE": " "}
    environ = house.environ(ERRTRACK_STORE="state", ERRTRACK_KEY_FILE=" /etc/key.pem", **left)
    ours = environment_of(house.launch("env", env=environ).stdout)
    assert ours["ERRTRACK_STORE"] == str(house.work / "state")
    assert ours["ERRTRACK_KEY_FILE"] == "/etc/key.pem"
    assert {name: ours[name] for name in left} == left


def test_a_folder_that_is_gone_is_no_obstacle(house: House) -> None:
    """It cannot be said where in it the files are, but the command runs."""
    named = house.environ(ERRTRACK_CONFIG="errtrack.toml", ERRTRACK_STORE="state")
    script = "mkdir gone; cd gone; rmdir ../gone; exec %s %s %s -c 'print(1)'" % (PY, house.stub, PY)
    done = house.bare(["sh", "-c", script], env=named)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr


@pytest.mark.parametrize("dsn", ["nonsense", "https://host/1", "ftp://key@host/1", "https://key@host/"])
def test_a_bad_dsn_is_one_warning_without_the_key_and_the_command_runs(house: House, dsn: str) -> None:
    """17"""
    done = house.launch("sh", "-c", "echo ran; exit 5", options=["--dsn", dsn])
    assert (done.returncode, done.stdout) == (5, "ran\n")
    assert done.stderr == "errtrack-run: warning: --dsn is not of the form https://KEY@HOST/PROJECT\n"


@pytest.mark.parametrize("dsn", ["", "https://key@host/1", "http://k:s@127.0.0.1:8000/path/2"])
def test_a_good_or_empty_dsn_is_no_warning(house: House, dsn: str) -> None:
    assert house.launch("true", options=["--dsn", dsn]).stderr == ""


def test_launcher_imports_nothing_but_its_own_few(house: House) -> None:
    """2, 18"""
    show = "import sys; before = set(sys.modules)\n%s"
    body = (
        "sys.argv = ['x', 'true']\nimport os\nfrom errtrack_run import launcher\n"
        "os.execve = lambda *a: sys.exit(' '.join(sorted(set(sys.modules) - before)))\nlauncher.main()"
    )
    stub = show % (house.stub.read_text().partition(";")[2].partition(";")[0].strip() + "\n" + body)
    done = house.bare([PY, "-I", "-c", stub])
    assert done.stderr.split() == [
        "errtrack_run",
        "errtrack_run.cautions",
        "errtrack_run.launcher",
        "errtrack_run.pythonpath",
    ]


def test_a_broken_agent_does_not_keep_the_command_from_running(tmp_path: Path) -> None:
    """18"""
    house = build(tmp_path, {}, {"talker": TALKER})
    for path in (house.run.parent / "errtrack").rglob("*.py"):
        path.write_text("this is no Python")
    (house.run / "boot.py").write_text("neither is this")
    assert house.launch("echo", "ran").stdout == "ran\n"
    done = house.launch(PY, "-c", "print('ran')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")


def test_python_m_errtrack_run_is_the_same(house: House) -> None:
    """19"""
    root = str(house.run.parent)
    done = house.bare([PY, "-m", "errtrack_run", "env"], env=house.environ(PYTHONPATH=root))
    ours = environment_of(done.stdout)
    assert ours["PYTHONPATH"] == house.inject + os.pathsep + root
    assert ours["ERRTRACK_RUN_PYTHONPATH"] == root
    assert (
        house.bare([PY, "-m", "errtrack_run", "nope"], env=house.environ(PYTHONPATH=root)).returncode == 127
    )


def test_a_launcher_below_a_launcher_changes_nothing_more(house: House) -> None:
    """20"""
    for path in (None, "", "/a:/b:"):
        env = house.environ() if path is None else house.environ(PYTHONPATH=path)
        once = environment_of(house.launch("env", env=env).stdout)
        twice = environment_of(house.launch(*house.launcher, *house.launcher, "env", env=env).stdout)
        assert twice == once
    done = house.launch(*house.launcher, "env", options=["--debug", "--dsn="], env=house.environ())
    assert environment_of(done.stdout)["ERRTRACK_RUN_OPTIONS"] == "dsn,debug"
    done = house.launch(*house.launcher, "--dsn=", "env", options=["--debug"])
    assert environment_of(done.stdout)["ERRTRACK_RUN_OPTIONS"] == "dsn,debug"


@pytest.mark.parametrize("flags", [["-I"], ["-E"], ["-S"], ["-BI"], ["-X", "dev", "-E"], ["-Wignore", "-uS"]])
def test_python_flags_that_keep_us_out_are_told(house: House, flags: list[str]) -> None:
    """22"""
    done = house.launch("python3", *flags, "-c", "print('ran')")
    assert done.stdout == "ran\n"
    letter = next(letter for letter in "IES" if any(letter in flag for flag in flags))
    assert "python3 -%s keeps errtrack from starting" % letter in done.stderr
    assert done.stderr.count("\n") == 1
    off = house.launch("python3", *flags, "-c", "print('ran')", env=house.environ(ERRTRACK_ENABLED="0"))
    assert (off.stdout, off.stderr) == ("ran\n", "")


@pytest.mark.parametrize("line", ["#!%s -I", "#!/usr/bin/env -S %s -E", "#!%s -Es"])
def test_python_flags_in_the_first_line_of_a_script_are_told(house: House, line: str) -> None:
    """22"""
    script = house.module("bin/tool", line % PY + "\nprint('ran')\n")
    script.chmod(0o755)
    path = os.pathsep.join([str(script.parent), os.environ["PATH"]])
    for command, env in (([str(script)], house.environ()), (["tool", "-x"], house.environ(PATH=path))):
        done = house.launch(*command, env=env)
        assert done.stdout == "ran\n"
        assert "(in the first line of tool) keeps errtrack from starting" in done.stderr
        assert "errtrack-run-autoload" in done.stderr and done.stderr.count("\n") == 1
        assert house.launch(*command, env={**env, "ERRTRACK_AUTOLOAD": "1"}).stderr == ""
    script.write_text("#!%s -u\nprint('ran')\n" % PY)
    assert house.launch(str(script)).stderr == ""


def test_a_settings_file_that_is_none_is_told(house: House) -> None:
    for option, told in (("none.toml", "no such file"), (str(house.run), "is a directory")):
        done = house.launch("true", options=["--config", option])
        assert done.stderr == "errtrack-run: warning: --config %s: %s\n" % (option, told)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "print('ran')", "-I"],
        ["-Xutf8=1", "-c", "print('ran')"],
        ["-W", "ignore::ImportWarning", "-c", "print('ran')"],
        ["--", "-I"],
    ],
)
def test_other_words_of_python_are_not_mistaken_for_such_flags(house: House, arguments: list[str]) -> None:
    house.module("-I", "print('ran')")
    done = house.launch("python3", *arguments)
    assert (done.stdout, done.stderr) == ("ran\n", "")


def test_uwsgi_without_threads_is_told(house: House) -> None:
    fake = house.module("bin/uwsgi", "#!/bin/sh\necho ran\n")
    fake.chmod(0o755)
    for arguments, told in (
        (["--http", ":1", "--wsgi-file", "app.py"], True),
        (["--enable-threads"], False),
        (["--threads=2"], False),
        (["--ini", "x.ini"], False),
        (["x.ini"], False),
    ):
        done = house.launch(str(fake), *arguments)
        assert done.stdout == "ran\n"
        assert ("--enable-threads" in done.stderr) is told


def test_check_asks_the_doctor_and_does_not_run_the_command(tmp_path: Path) -> None:
    """21"""
    house = build(tmp_path, {}, {})
    (house.run / "cli.py").write_text(
        "import os\ndef main(argv):\n"
        "    print(argv, os.environ['ERRTRACK_DSN'], os.environ.get('PYTHONPATH'))\n    return 1\n"
    )
    done = house.launch("sh", "-c", "echo ran", options=["--dsn", "https://k@h/1", "--check"])
    assert done.returncode == 1
    assert done.stdout == "['doctor', '--', 'sh', '-c', 'echo ran'] https://k@h/1 None\n"


def test_what_is_not_executable_on_path_is_passed_over(house: House) -> None:
    """5: as a shell does; and only if nothing else is found it is 126."""
    house.module("one/tool", "#!/bin/sh\necho one\n")
    house.module("two/tool", "#!/bin/sh\necho two\n").chmod(0o755)
    path = "%s:%s" % (house.work / "one", house.work / "two")
    assert house.launch("tool", env=house.environ(PATH=path)).stdout == "two\n"
    assert house.launch("tool", env=house.environ(PATH=str(house.work / "one"))).returncode == 126


def test_a_closed_stderr_is_no_obstacle(house: House) -> None:
    script = "exec 2>&-; exec %s %s --dsn nonsense echo ran" % (PY, house.stub)
    assert house.bare(["sh", "-c", script]).stdout == "ran\n"
    script = "exec 2>&-; exec %s %s nope" % (PY, house.stub)
    assert house.bare(["sh", "-c", script]).returncode == 127


def test_arguments_that_are_not_text_pass_through_byte_for_byte(house: House) -> None:
    done = subprocess.run(
        [*house.launcher, "printf", "%s", b"\xff\xfe\xc3"],
        env={**house.environ(), "VALUE": "x"},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"\xff\xfe\xc3"


def test_launcher_costs_little_more_than_a_python(house: House) -> None:
    """2: in the same run, and generously."""

    def took(command: list[str]) -> float:
        begin = time.perf_counter()
        house.bare(command)
        return time.perf_counter() - begin

    python, launcher = [PY, "-c", "pass"], [*house.launcher, "true"]
    pairs = [(took(python), took(launcher)) for _ in range(8)]
    assert min(pair[1] for pair in pairs) < 2.5 * min(pair[0] for pair in pairs) + 0.01


def test_what_names_files_for_the_launcher_does_for_the_agent() -> None:
    from errtrack import options
    from errtrack_run import launcher

    found = {row[0].upper() for row in options._ROWS if row[2] is options.path}
    assert set(launcher._PATHS) == found
