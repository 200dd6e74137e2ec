# SPDX-License-Identifier: MIT
"""What a user would want to know before the command starts, one line each; it starts all the same."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OFF = ("0", "false", "f", "no", "n", "off")

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
    if environ.get("ERRTRACK_ENABLED", "").strip().lower() in _OFF:
        return found
    folder = os.path.dirname(os.path.abspath(__file__))
    if os.pathsep in folder:
        found.append("PYTHONPATH cannot name %s; nothing will be reported" % folder)
    program = os.path.basename(command[0]).lower()
    flag = _flag_against_us(program, command[1:])
    # Who sets ERRTRACK_AUTOLOAD has errtrack-run-autoload there, which only -S keeps out.
    if flag and (flag == "-S" or not environ.get("ERRTRACK_AUTOLOAD")):
        found.append("%s %s keeps errtrack from starting; nothing will be reported" % (program, flag))
    if program in ("uwsgi", "pyuwsgi") and _uwsgi_has_no_threads(command[1:]):
        found.append("%s without --enable-threads does not run background threads; add it" % program)
    return found


def _looks_like_a_dsn(dsn: str) -> bool:
    scheme, _, rest = dsn.strip().partition("://")
    key, at, place = rest.rpartition("@")
    host, _, project = place.partition("/")
    return scheme in ("http", "https") and bool(key and at and host and project.strip("/"))


def _flag_against_us(program: str, arguments: "Sequence[str]") -> str:
    """The flag with which a Python does not read PYTHONPATH (-I, -E) or does not import site (-S); or ''."""
    if not program.startswith(("python", "pypy")):
        return ""
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == "--check-hash-based-pycs":
            del words[:1]
        if word.startswith("--"):
            continue
        if not word.startswith("-") or word == "-":
            return ""
        for position, letter in enumerate(word[1:], 2):
            if letter in "IES":
                return "-" + letter
            if letter in "cm":
                return ""
            if letter in "WX":
                if position == len(word):
                    del words[:1]
                break
    return ""


def _uwsgi_has_no_threads(arguments: "Sequence[str]") -> bool:
    for word in arguments:
        name = word.lstrip("-").partition("=")[0]
        # A configuration file may well switch them on, and is not ours to read.
        if name in _UWSGI_THREADS or word.endswith((".ini", ".xml", ".yaml", ".yml", ".json")):
            return False
    return True
