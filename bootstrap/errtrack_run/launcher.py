# SPDX-License-Identifier: MIT
"""``errtrack-run [options] [--] COMMAND [ARGS...]``: the command runs as ever, and its errors are reported.

The launcher becomes the command (exec): process id, signals and exit status are the application's. It sets
PYTHONPATH and ``ERRTRACK_*`` variables and nothing else. It never imports the agent, so whatever is wrong
with that or with its settings, the command starts. Its own exit codes are a shell's: 127, 126, and 2 for
bad usage.
"""

import _signal  # type: ignore[import-not-found]  # the signal module would import enum
import os
import sys

from errtrack_run import __version__, cautions
from errtrack_run.pythonpath import with_inject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

USAGE = "usage: errtrack-run [options] [--] COMMAND [ARGS...]"

HELP = (
    USAGE
    + """

Run COMMAND as it would run without errtrack-run, and report its errors.

  --dsn DSN            where events are sent; without one they are kept on this machine
  --environment NAME   deployment stage shown with every event
  --release VERSION    version of the application
  --config FILE        TOML file with settings (default: errtrack.toml here, if there is one)
  --debug              tell on stderr what is sent, and what went wrong inside errtrack
  --no-propagate       leave the Python processes that COMMAND starts alone
  --supervise          stay as its parent, and report at once when it is killed
  --monitor NAME       tell the server when this scheduled job begins and how it ends
  --schedule CRONTAB   when it is due, as "0 3 * * *"; the server's monitor is set up by it
  --check              tell what would happen to COMMAND, and do not run it
  --version            print the version
  --help               print this

example: errtrack-run --environment staging gunicorn app:wsgi
         errtrack list"""
)

#: The folder that goes on PYTHONPATH. It holds sitecustomize.py and nothing else.
INJECT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inject")

_VALUES = ("dsn", "environment", "release", "config", "monitor", "schedule")
_FLAGS = ("debug", "no-propagate", "supervise", "check", "version", "help")

#: Settings that name files and folders.
_PATHS = ("STORE", "SPOOL_DIR", "CA_CERTS", "CERT_FILE", "KEY_FILE", "PROJECT_ROOT")

_ENOEXEC = 8  # of every Unix; the errno module is not imported for one number


class Misuse(Exception):
    """The launcher's own command line cannot be understood; the message says what is wrong."""


def main(argv: "Sequence[str] | None" = None) -> int:
    """Become the command of *argv*; return an exit code where that is not possible."""
    try:
        options, command = parse(list(sys.argv[1:] if argv is None else argv))
    except Misuse as problem:
        return _say("%s (see errtrack-run --help)" % problem, 2)
    if "help" in options:
        print(HELP)
        return 0
    if "version" in options:
        print("errtrack-run " + __version__)
        return 0
    if "check" in options:
        os.environ.update(settings(options, os.environ))
        # By name: the launcher does not depend on the command line tools, which import a great deal.
        __import__("errtrack_run.cli")
        doctor = ["doctor", "--", *command] if command else ["doctor"]
        return int(sys.modules["errtrack_run.cli"].main(doctor) or 0)
    if not command:
        if sys.stderr is not None:
            sys.stderr.write(USAGE + "\n")
        return 2
    if not command[0]:
        return _say("the command is an empty text", 2)
    environ = child_environment(options, os.environ)
    for warning in cautions.warnings(options, command, environ):
        _say("warning: " + warning, 0)
    if os.name == "nt":
        return _spawn(command, environ)
    if "supervise" in options or "monitor" in options:
        job = None
        if "monitor" in options:
            __import__("errtrack_run.job")  # by name, as above
            job = sys.modules["errtrack_run.job"].Job(
                options["monitor"], options.get("schedule", ""), environ
            )
        __import__("errtrack_run.supervisor")
        supervisor = sys.modules["errtrack_run.supervisor"]
        return int(supervisor.run(command, environ, lambda: _become(command, environ), job))
    return _become(command, environ)


def parse(arguments: "list[str]") -> "tuple[dict[str, str], list[str]]":
    """Split the command line into our options (name -> value) and the command. Raises Misuse.

    The first word that is no option begins the command; from there on nothing is ours.
    """
    options: dict[str, str] = {}
    while arguments and arguments[0].startswith("-") and arguments[0] != "-":
        word = arguments.pop(0)
        if word == "--":
            break
        name, has_value, value = word[2:].partition("=") if word.startswith("--") else ("", "", "")
        if word == "-h":
            name = "help"
        if name in _VALUES:
            if not has_value:
                if not arguments:
                    raise Misuse("--%s needs a value" % name)
                value = arguments.pop(0)
            options[name] = value
        elif name in _FLAGS:
            if has_value:
                raise Misuse("--%s takes no value" % name)
            options[name] = ""
        else:
            near = [known for known in _VALUES + _FLAGS if name and known.startswith(name)]
            raise Misuse("unknown option %s%s" % (word, "; did you mean --%s?" % near[0] if near else ""))
    if "schedule" in options and "monitor" not in options:
        raise Misuse("--schedule is for a job that --monitor names")
    return options, arguments


def settings(options: "Mapping[str, str]", environ: "Mapping[str, str]") -> "dict[str, str]":
    """The ``ERRTRACK_*`` variables that the launcher's options, and the folder it was started in, ask for."""
    found: dict[str, str] = {}
    given = []
    for name in ("dsn", "environment", "release"):
        if name in options:
            found["ERRTRACK_" + name.upper()] = options[name]
            given.append(name)
    if "debug" in options:
        found["ERRTRACK_DEBUG"] = "1"
        given.append("debug")
    if "no-propagate" in options:
        found["ERRTRACK_PROPAGATE"] = "0"
        given.append("propagate")
    if "config" in options:
        given.append("config")
    config = options.get("config") or environ.get("ERRTRACK_CONFIG")
    if not config and os.path.isfile("errtrack.toml"):
        config = "errtrack.toml"
    paths = {"ERRTRACK_" + name: environ.get("ERRTRACK_" + name, "").strip() for name in _PATHS}
    for name, path in {"ERRTRACK_CONFIG": config, **paths}.items():
        if path:
            found[name] = _absolute(path)
    if given:
        outer = environ.get("ERRTRACK_RUN_OPTIONS", "").split(",")
        given += [name for name in outer if name and name not in given]
        found["ERRTRACK_RUN_OPTIONS"] = ",".join(given)
    return found


def _absolute(path: str) -> str:
    """*path* as a child in another folder has to know it, so that it does not pick up a stranger's file."""
    if path[0] == "~" or os.path.isabs(path):
        return path
    try:
        return os.path.abspath(path)
    except OSError:  # this folder is gone
        return path


def child_environment(options: "Mapping[str, str]", environ: "Mapping[str, str]") -> "dict[str, str]":
    """The environment of the command: the launcher's, with our folder on PYTHONPATH, and ``ERRTRACK_*``."""
    child = dict(environ)
    child.update(settings(options, environ))
    original = child.get("PYTHONPATH")
    # In a launcher below a launcher, the value from before the outermost one is the original.
    nested = "ERRTRACK_RUN" in child and os.path.join("errtrack_run", "inject") in (original or "")
    if not nested:
        if original is None:
            child.pop("ERRTRACK_RUN_PYTHONPATH", None)
        else:
            child["ERRTRACK_RUN_PYTHONPATH"] = original
    child["ERRTRACK_RUN"] = _packages_elsewhere() or "1"
    child["PYTHONPATH"] = with_inject(original, INJECT)
    if _locale_was_coerced(child):
        del child["LC_CTYPE"]
    return child


def _packages_elsewhere() -> str:
    """The folder with what errtrack needs, where that does not lie beside it (an editable install); or ''."""
    root = os.path.dirname(os.path.dirname(INJECT))
    for folder in (root, *sys.path):
        if os.path.isdir(os.path.join(folder, "urllib3")):
            return "" if folder == root else os.path.abspath(folder)
    return ""


def _locale_was_coerced(environ: "Mapping[str, str]") -> bool:
    """Whether LC_CTYPE is this Python's own doing in a C locale (PEP 538), and no wish of the user."""
    if environ.get("LC_CTYPE") not in ("C.UTF-8", "C.utf8", "UTF-8"):
        return False
    try:
        with open("/proc/self/environ", "rb") as file:
            return not any(entry.startswith(b"LC_CTYPE=") for entry in file.read().split(b"\0"))
    except OSError:
        return False


def _become(command: "Sequence[str]", environ: "dict[str, str]") -> int:
    """Replace this process by *command*; return the exit code of a shell if the system refuses."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()  # a sitecustomize of the user's may have printed something
        except Exception:
            pass
    for name in ("SIGPIPE", "SIGXFSZ"):
        # Python ignores them for itself, and what is ignored stays ignored across exec.
        if hasattr(_signal, name):
            _signal.signal(getattr(_signal, name), _signal.SIG_DFL)
    program = command[0]
    if os.sep in program:
        candidates = [program]
    else:
        folders = environ.get("PATH", os.defpath).split(os.pathsep)
        candidates = [os.path.join(folder, program) for folder in folders]
    denied = None
    for candidate in candidates:
        try:
            _exec(candidate, command, environ)
        except (FileNotFoundError, NotADirectoryError):
            if os.path.isfile(candidate):
                words = cautions.first_words(candidate)
                what = "bad interpreter: %s" % words[0] if words else "its loader is missing"
                return _say("%s: %s: no such file or directory" % (candidate, what), 127)
        except PermissionError:
            if denied is None and (os.sep in program or not os.path.isdir(candidate)):
                denied = candidate
        except OSError as error:
            if error.errno == _ENOEXEC:
                other = hint(program, "a script's first line names its interpreter, such as #!/bin/sh")
                return _say("%s: exec format error%s" % (candidate, other), 126)
            return _say("%s: %s" % (candidate, (error.strerror or str(error)).lower()), 126)
    if denied is not None:
        if os.path.isdir(denied):
            return _say("%s: is a directory" % denied, 126)
        return _say("%s: permission denied%s" % (denied, hint(program)), 126)
    if os.sep in program:
        return _say("%s: no such file or directory" % program, 127)
    return _say("%s: command not found%s" % (program, hint(program) if os.path.exists(program) else ""), 127)


def _exec(path: str, command: "Sequence[str]", environ: "dict[str, str]") -> "NoReturn":
    os.execve(path, list(command), environ)  # argv[0] stays what the user typed


def hint(program: str, other: str = "") -> str:
    """What to try in the place of *program*; else *other*."""
    if program.endswith(".py"):
        return "; did you mean: errtrack-run python %s" % program
    return "; " + other if other else ""


def _spawn(command: "Sequence[str]", environ: "dict[str, str]") -> int:
    """On Windows exec would break the process tree: wait for the command, and leave Ctrl-C to it."""
    import shutil
    import subprocess

    path = shutil.which(command[0], path=environ.get("PATH"))
    if path is None:
        return _say("%s: command not found%s" % (command[0], hint(command[0])), 127)
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    try:
        return subprocess.call([path, *command[1:]], env=environ)
    except OSError as error:
        return _say("%s: %s" % (command[0], error.strerror or error), 126)


def _say(line: str, code: int) -> int:
    """Tell *line* on stderr, where there is one, and return *code*."""
    try:
        if sys.stderr is not None:
            sys.stderr.write("errtrack-run: %s\n" % line)
            sys.stderr.flush()
    except OSError:
        pass
    return code
