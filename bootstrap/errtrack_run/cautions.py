# SPDX-License-Identifier: MIT
"""What a user would want to know before the command starts, one line each; it starts all the same."""

import os

from errtrack_run.pythonpath import OFF

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_UWSGI_THREADS = ("enable-threads", "threads", "T", "ini", "xml", "yaml", "yml", "json", "emperor")


def warnings(
    options: "Mapping[str, str]", command: "Sequence[str]", environ: "Mapping[str, str]"
) -> "list[str]":
    """What the user would want to know before the command starts, one line each."""
    found = []
    if options.get("dsn") and not _looks_like_a_dsn(options["dsn"]):
        found.append("--dsn is not of the form https://KEY@HOST/PROJECT")
    if options.get("config") and not os.path.exists(options["config"]):
        found.append("--config %s: no such file" % options["config"])
    elif options.get("config") and os.path.isdir(options["config"]):
        found.append("--config %s: is a directory" % options["config"])
    if environ.get("ERRTRACK_ENABLED", "").strip().lower() in OFF:
        return found
    folder = os.path.dirname(os.path.abspath(__file__))
    if os.pathsep in folder:
        found.append("PYTHONPATH cannot name %s; nothing will be reported" % folder)
    found += kept_out(command, environ)
    program = os.path.basename(command[0]).lower()
    if program in ("uwsgi", "pyuwsgi") and _uwsgi_has_no_threads(command[1:]):
        found.append("%s without --enable-threads does not run background threads; add it" % program)
    return found


def kept_out(command: "Sequence[str]", environ: "Mapping[str, str]") -> "list[str]":
    """The warning that a flag of the command's Python keeps errtrack out, where one does."""
    program = os.path.basename(command[0])
    flag, where = _flag_against_us(program, command[1:]), ""
    if not flag:
        words = interpreter_of(_path_of(command[0], environ))
        if words:
            program, where = os.path.basename(words[0]), " (in the first line of %s)" % program
            flag = _flag_against_us(program, words[1:])
    # Who sets ERRTRACK_AUTOLOAD has errtrack-run-autoload there, which only -S keeps out.
    if not flag or (flag != "-S" and environ.get("ERRTRACK_AUTOLOAD")):
        return []
    remedy = "leave it out"
    if flag != "-S":
        remedy += ", or install errtrack-run-autoload there and set ERRTRACK_AUTOLOAD=1"
    text = "%s %s%s keeps errtrack from starting; nothing will be reported; %s"
    return [text % (program, flag, where, remedy)]


def first_words(path: str) -> "list[str]":
    """What the first line of the script at *path* names, an interpreter and its arguments; [] where it is no script."""
    try:
        if not os.path.isfile(path):  # a pipe would be waited for
            return []
        with open(path, "rb") as file:
            line = file.readline(512)
    except (OSError, ValueError):
        return []
    return [os.fsdecode(word) for word in line[2:].split()] if line.startswith(b"#!") else []


def interpreter_of(path: str) -> "list[str]":
    """As :func:`first_words`, but behind ``env``: what that is to look for, and its arguments."""
    words = first_words(path)
    if words and os.path.basename(words[0]) == "env":
        words = [word for word in words[1:] if word != "-S" and "=" not in word]
    return words


def _path_of(program: str, environ: "Mapping[str, str]") -> str:
    """Where the command *program* lies; '' where there is none."""
    if os.sep in program:
        return program
    for folder in environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder, program)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return ""


def _looks_like_a_dsn(dsn: str) -> bool:
    scheme, _, rest = dsn.strip().partition("://")
    key, at, place = rest.rpartition("@")
    host, _, project = place.partition("/")
    return scheme in ("http", "https") and bool(key and at and host and project.strip("/"))


def _flag_against_us(program: str, arguments: "Sequence[str]") -> str:
    """The flag with which a Python does not read PYTHONPATH (-I, -E) or does not import site (-S); or ''."""
    if not program.lower().startswith(("python", "pypy")):
        return ""
    return next(("-" + letter for letter in flags_of(arguments) if letter in "IES"), "")


def flags_of(arguments: "Sequence[str]") -> "list[str]":
    """The letters of a Python's flags among its first *arguments*, without those that have a value."""
    words, found = list(arguments), []  # type: tuple[list[str], list[str]]
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word in ("-", "--"):
            break
        if word == "--check-hash-based-pycs":
            del words[:1]
        if word.startswith("--"):
            continue
        for position, letter in enumerate(word[1:], 2):
            if letter in "cm":
                return found
            if letter in "WX":
                if position == len(word):
                    del words[:1]
                break
            found.append(letter)
    return found


def _uwsgi_has_no_threads(arguments: "Sequence[str]") -> bool:
    for word in arguments:
        name = word.lstrip("-").partition("=")[0]
        # A configuration file may well switch them on, and is not ours to read.
        if name in _UWSGI_THREADS or word.endswith((".ini", ".xml", ".yaml", ".yml", ".json")):
            return False
    return True
