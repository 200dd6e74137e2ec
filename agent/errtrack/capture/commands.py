# SPDX-License-Identifier: MIT
"""Command lines without their passwords: ``--password x``, ``--token=x``, ``KEY=x``, and the short options of programs
that take one: ``mysql -px``, ``curl -u user:x``.
"""

from __future__ import annotations

from errtrack.capture.scrubber import FILTERED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_LONGEST = 4096

#: Program -> its options with a password, in the same word or, where a blank is written, in the next one as well.
#: Behind a colon: of "user:password" the second.
_OPTIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("mysql", "mysqldump", "mysqladmin", "mysqlimport", "mysqlcheck", "mariadb"), ("-p",)),
    **dict.fromkeys(("mariadb-dump", "mariadb-admin", "7z", "7za"), ("-p",)),
    **dict.fromkeys(("sshpass", "login", "mongo", "mongosh", "mongodump", "mongorestore"), ("-p ",)),
    **dict.fromkeys(("ldapsearch", "ldapmodify", "ldapadd", "ldapdelete"), ("-w ",)),
    **dict.fromkeys(("zip", "unzip"), ("-P ",)),
    "redis-cli": ("-a ",),
    "curl": ("-u :", "--user :", "-U :", "--proxy-user :"),
}


def filtered(words: list[Any], is_secret: Callable[[str], bool], scrubbed: Callable[[str], str]) -> list[Any]:
    """*words* with passwords replaced; what is no text stays as it is."""
    out: list[Any] = []
    hide: Callable[[str], str] | None = None  # what becomes of the next word
    options: tuple[str, ...] = ()
    for word in words:
        if type(word) is not str:
            out.append(word)
            continue
        if hide is not None and word[:1] != "-":
            out.append(hide(word))
            hide = None
            continue
        hide = None
        if len(word) > _LONGEST:  # whoever shows it cuts and filters it
            out.append(word)
            continue
        options = _OPTIONS.get(word.rpartition("/")[2], options)
        option = next((option for option in options if word.startswith(option.rstrip(" :"))), "")
        name = option.rstrip(" :")
        if option:
            shown = _user_only if option[-1] == ":" else _all
            rest = word[len(name) :]
            if name[:2] == "--" and rest[:1] == "=":
                name, rest = name + "=", rest[1:]
            if rest:
                out.append(name + shown(rest))
            else:
                out.append(word)
                hide = shown if " " in option else None
            continue
        name, equals, value = word.partition("=")
        if equals and value and is_secret(name):
            out.append("%s=%s" % (name, FILTERED))
            continue
        if word[:1] == "-" and not equals and is_secret(word):
            hide = _all
        if " " in word:  # a command line in a command line: sh -c "..."
            word = " ".join(filtered(word.split(" "), is_secret, scrubbed))
        out.append("pass:" + FILTERED if word[:5] == "pass:" else scrubbed(word))  # as openssl takes it
    return out


def _all(word: str) -> str:
    return FILTERED


def _user_only(word: str) -> str:
    user, colon, _ = word.partition(":")
    return user + colon + FILTERED if colon else word
