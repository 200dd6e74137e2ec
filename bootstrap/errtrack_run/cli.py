# SPDX-License-Identifier: MIT
"""The ``errtrack`` command: look at what was caught, and at why something was not.

``errtrack list | show | forget | test | doctor | spool | config | export``. The settings are found as the launcher
finds them: the environment, and ``errtrack.toml`` in the working directory when ``ERRTRACK_CONFIG`` names no other
file. A command imports only what it needs. Exit status: 0 fine, 1 not found or a problem, 2 wrong usage or an
unusable store.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from errtrack.options import Options

CONFIG_NAME = "errtrack.toml"


class CommandError(Exception):
    """The command cannot go on; the message is one line for the user, ``status`` the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class Settings:
    """What every command starts from: its arguments, its environment, and the settings in force."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        from errtrack.options import resolve

        self.arguments = arguments
        self.environ = _environment(arguments)
        self.options: Options = resolve(self.environ)
        _check_names(self.options)


def main(argv: list[str] | None = None) -> int:
    """Run ``errtrack`` with *argv* (default: the process's arguments) and return its exit status."""
    try:
        if sys.stdout is None:
            raise CommandError("stdout is closed: there is nowhere to write to")
        status = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        _give_up_output()  # the reader (head, a closed pager) has seen enough
        return 0
    except KeyboardInterrupt:
        return 130
    except CommandError as error:
        complain(error)
        return error.status
    except OSError as error:  # of the output, such as a full disk, or of a file that a command writes
        complain(error)
        try:
            sys.stdout.flush()
        except OSError:
            _give_up_output()
        return 1


def complain(what: object) -> None:
    """Tell *what* in one line on stderr, where there is one."""
    from errtrack_run.terminal import escape

    if sys.stderr is not None:
        sys.stderr.write("errtrack: %s\n" % escape(str(what)))


def _give_up_output() -> None:
    """Python would complain again when it closes stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(argv: list[str]) -> int:
    command: Sequence[str] = ()
    if "--" in argv:  # argparse would take the options of doctor's COMMAND for its own
        at = argv.index("--")
        argv, command = argv[:at], argv[at + 1 :]
    arguments = _parser().parse_args(argv)
    if command and arguments.command_name != "doctor":
        raise CommandError("%s takes no command after --" % arguments.command_name, 2)
    arguments.target = list(command)
    run: Callable[[Settings], int] = _load(arguments.command_name)
    return run(Settings(arguments))


def _load(name: str) -> Callable[[Settings], int]:
    if name == "list":
        from errtrack_run.listing import run
    elif name == "show":
        from errtrack_run.show import run
    elif name == "forget":
        from errtrack_run.forgetting import run
    elif name == "test":
        from errtrack_run.probe import run
    elif name == "doctor":
        from errtrack_run.doctor import run
    elif name == "spool":
        from errtrack_run.waiting import run
    elif name == "export":
        from errtrack_run.export import run
    else:
        from errtrack_run.settings import run
    return run


def _environment(arguments: argparse.Namespace) -> dict[str, str]:
    """The environment as the launcher would make it for a command, and over it the options given here."""
    from errtrack.options import LAUNCHER_MARK

    environ = dict(os.environ)
    if not environ.get("ERRTRACK_CONFIG") and os.path.isfile(CONFIG_NAME):
        environ["ERRTRACK_CONFIG"] = CONFIG_NAME
    marks = [mark for mark in environ.get(LAUNCHER_MARK, "").split(",") if mark]
    for name in ("config", "dsn", "store"):
        value = getattr(arguments, name, None)
        if value is not None:
            environ["ERRTRACK_" + name.upper()] = os.path.abspath(value) if name == "store" else value
            marks.append(name)
    if environ.get("ERRTRACK_CONFIG"):
        environ["ERRTRACK_CONFIG"] = os.path.abspath(environ["ERRTRACK_CONFIG"])
    if marks:
        environ[LAUNCHER_MARK] = ",".join(marks)
    return environ


def _check_names(options: Options) -> None:
    """Tell names of instrumentations that there are none of; a process cannot: it does not load the list."""
    for setting in ("disable", "enable"):
        for name in getattr(options, setting):
            from errtrack.options import nearest
            from errtrack_instrumentations.table import INSTRUMENTATIONS

            if name not in INSTRUMENTATIONS:
                near = nearest(name, INSTRUMENTATIONS)
                hint = "did you mean %s?" % near if near else "`errtrack doctor` lists them all"
                told = "%s: %s: there is no instrumentation %s: %s"
                options.problems.append(told % (options.source(setting), setting, name, hint))


class _Parser(argparse.ArgumentParser):
    """Tells wrong usage in one line, as the launcher does."""

    def error(self, message: str) -> NoReturn:
        raise CommandError("%s (see %s --help)" % (message, self.prog), 2)


def _parser() -> argparse.ArgumentParser:
    from errtrack.delivery.envelope import VERSION

    parser = _Parser(
        prog="errtrack",
        description="Look at what errtrack-run caught, and at why something was not caught.",
        epilog="example: errtrack-run python -c '1/0'; errtrack show\n\nMore: errtrack COMMAND --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version="errtrack " + VERSION)
    commands = parser.add_subparsers(dest="command_name", metavar="COMMAND", required=True)

    def command(name: str, summary: str, text: str, *examples: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".\n\n" + text,
            epilog="examples:\n" + "\n".join("  " + example for example in examples),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name != "export":
            made.add_argument("--config", metavar="FILE", help="read this TOML file, not ./errtrack.toml")
            made.add_argument("--store", metavar="FOLDER", help="folder of the embedded store")
        return made

    made = command(
        "list",
        "what was caught, newest first",
        "One row for each issue: events with the same cause, however often it happened. With a TEXT: those that\n"
        "have it in what happened or where.",
        "errtrack list",
        "errtrack list checkout --since 2h",
        "errtrack list --events --limit 5",
        "errtrack list --json | python -m json.tool",
    )
    made.add_argument("text", nargs="?", default="", metavar="TEXT", help="upper and lower case are the same")
    made.add_argument(
        "--since", type=_age, metavar="AGE", help="only what happened in the last 30s, 15m, 2h, 3d"
    )
    made.add_argument("--events", action="store_true", help="one row for each event")
    made.add_argument("--issue", metavar="ID", help="only the events of this issue (E-7)")
    made.add_argument(
        "--limit", type=_limit, default=30, metavar="N", help="at most N rows, 0: all (default: 30)"
    )
    _add_json(made)
    made = command(
        "show",
        "one event with everything known about it",
        "Traceback with source and local variables, request, user, tags, breadcrumbs, contexts.",
        "errtrack show             # the newest event",
        "errtrack show 7f1c2f0a    # the beginning of an event's id",
        "errtrack show E-7         # the newest event of an issue",
    )
    made.add_argument(
        "id", nargs="?", default="", metavar="ID", help="event or issue (default: the newest event)"
    )
    made.add_argument(
        "--full", action="store_true", help="shorten nothing: long values, all frames, all breadcrumbs"
    )
    _add_json(made)
    made = command(
        "forget",
        "delete what was caught",
        "What is mended, or was an experiment. If it happens again, it is a new issue.",
        "errtrack forget E-7",
        "errtrack forget --all --yes",
    )
    made.add_argument("ids", nargs="*", metavar="ID", help="an issue (E-7)")
    made.add_argument("--all", action="store_true", help="everything in the store")
    made.add_argument("--yes", action="store_true", help="with --all: do it")
    _add_json(made)
    made = command(
        "test",
        "send a test event and show the server's real answer",
        "Without a DSN the event goes to the embedded store.",
        "errtrack test",
        "errtrack test --dsn https://KEY@HOST/PROJECT",
    )
    made.add_argument("--dsn", metavar="DSN", help="send it there, whatever is configured")
    made = command(
        "doctor",
        "what is configured, from where, and what would be patched",
        "With a COMMAND: would errtrack-run instrument it? Exit status 1 when something is wrong.",
        "errtrack doctor",
        "errtrack doctor -- gunicorn app:wsgi",
    )
    made.usage = "errtrack doctor [options] [-- COMMAND ...]"
    _add_json(made)
    made = command(
        "spool",
        "what waits for delivery; deliver it now, or throw it away",
        "show: how much waits, for whom, since when. drain: deliver it now; exit status 1 if something is left.\n"
        "clear: throw away what waits for the configured destination, but for what living processes hold.",
        "errtrack spool",
        "errtrack spool drain --timeout 60",
        "errtrack spool clear --yes",
    )
    made.add_argument("action", nargs="?", choices=("show", "drain", "clear"), default="show")
    made.add_argument(
        "--timeout", type=_seconds, default=30.0, metavar="SECONDS", help="drain: longest wait (default: 30)"
    )
    made.add_argument("--yes", action="store_true", help="clear: do it")
    _add_json(made)
    made = command(
        "config",
        "every setting, its value, and which source gave it",
        "Later sources win: default, errtrack.toml, ERRTRACK_* variables, launcher options, errtrack.init().",
        "errtrack config",
        "errtrack config --changed",
        "errtrack config --example > errtrack.toml",
    )
    made.add_argument("--changed", action="store_true", help="only the settings that are given somewhere")
    made.add_argument("--example", action="store_true", help="print a configuration file with every setting")
    _add_json(made)
    made = command(
        "export",
        "write a copy that instruments any Python without being installed",
        "For init containers, Lambda layers and images: mount it anywhere, read-only if you like.",
        "errtrack export /opt/errtrack",
        "errtrack export layer --python python3.11 --python python3.12",
        "errtrack export --layer layer.zip --python python3.12",
    )
    made.add_argument(
        "folder", metavar="DIR", help="a folder that is not there yet, or is empty; FILE.zip with --layer"
    )
    made.add_argument(
        "--layer", action="store_true", help="write an AWS Lambda layer: a zip of the folder `errtrack`"
    )
    made.add_argument(
        "--python",
        action="append",
        metavar="PYTHON",
        help="a Python to compile for; may be given several times (default: errtrack's own)",
    )
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError("must be a whole number, 0 or more")
    return int(text)


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not number >= 0:  # and NaN is not
        raise argparse.ArgumentTypeError("must be a number of seconds, 0 or more")
    return number


def _age(text: str) -> float:
    """``2h`` in seconds."""
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdigit() and unit in "smhd"):
        raise argparse.ArgumentTypeError("%r is no age such as 30s, 15m, 2h or 3d" % text)
    return int(number) * {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}[unit]


if __name__ == "__main__":
    # By its own name: as __main__ this module would be there twice, and with it CommandError.
    from errtrack_run import cli

    sys.exit(cli.main())
