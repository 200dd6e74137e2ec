# SPDX-License-Identifier: MIT
"""Keeps secrets inside the process: passwords, tokens and card numbers are replaced before anything is
written.

By name (:mod:`errtrack.capture.names`) and by look (:mod:`errtrack.capture.patterns`). The options
``scrub_keys`` and ``scrub_allow`` add to and take from the names; with ``send_default_pii`` client addresses
are kept.
"""

from __future__ import annotations

from errtrack.capture import source
from errtrack.capture.cards import has_card_digits, is_card
from errtrack.capture.names import FILLED_IN, PERSONAL, STATEMENTS, has_any, in_statement, is_secret, words_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from errtrack.capture.wire import Notes
    from errtrack.options import Options

FILTERED = "[Filtered]"

_REMEMBERED = 5000

#: Names of a value whose own name stands beside it: headers, cookies, variables of an environment; a statement's
#: parameters; what pydantic refuses; a part of a URL.
VALUES = frozenset(
    str.split("""
    value values val v new_value raw_value field_value header_value params parameters input userinfo
""")
)
NAMES = frozenset(
    str.split("""
    name key k header variable var field path option setting attr attribute param field_name header_name attr_name
""")
)

#: One of these stands in each name of a secret, however its words are joined; asked of texts in which
#: a name and a value may stand.
_HINTS: tuple[str, ...] = (
    "pass", "secret", "token", "key", "auth", "cred", "cookie", "sess", "jwt", "bearer", "dsn",
    "ssn", "cvv", "cvc", "pw", "pswd", "sid", "otp", "srf", "saml", "conn", "card", "iban", "sso", "phrase", "mnemonic",
    "contrase", "securi", "pincode", "pin_", "pin-", "ccn", "cc_", "cc-",
    "identified", "curl", "mysql", "mariadb", "redis-cli", "ldap", "mongo", "docker",  # beside a password
    "hmac.", "fernet(", ".login(",  # in source, before one
    "nonnumeric", "cast to integer", "base 10: ", "failed to parse",  # of a password that was taken for a port
    "failing row", "header value", "input_value={",
)  # fmt: skip

#: Signs between a name and a value, where it is none of equality: ``"a", "b"``, ``set_password("x")``, ``by 'x'``,
#: ``value b'x'``, ``--a b``, ``<a>b</a>``.
_BESIDE = ("',", '",', " '", ' "', "('", '("', " b'", " -", "</")

#: One of these stands in each token that is known by its look and has such a sign.
_WITH_UNDERSCORE = (
    "gh",
    "k_live_",
    "k_test_",
    "whsec_",
    "npm_",
    "_pat_",
    "hf_",
    "gsk_",
    "shp",
    "lin_api_",
    "sntry",
    "dop_v1_",
)
_WITH_DASH = ("sk-", "xox", "-----BEGIN", "-----END", "glpat-", "pypi-", "xapp-", "GOCSPX-", "NRAK-")

_WITH_DOLLAR = ("$2", "$1$", "$5$", "$6$", "$y$", "pbkdf2", "scrypt", "argon2", "bcrypt", "md5", "sha1")


class Scrubber:
    """Finds and replaces secrets by the settings in *options*; threads may share one."""

    def __init__(self, options: Options) -> None:
        self._stems = tuple("".join(words_of(name)) for name in options.scrub_keys if words_of(name))
        if not options.send_default_pii:
            self._stems += PERSONAL
        self._allowed = frozenset("".join(words_of(name)) for name in options.scrub_allow)
        self._hints = _HINTS + tuple(words_of(name)[0] for name in options.scrub_keys if words_of(name))
        self._known: dict[str, bool] = {}
        #: Of variables' names: their JSON, and whether they are secrets'. Kept by ``variables``.
        self.names: dict[str, tuple[str, bool]] = {}
        self._own_key = _own_key(options.dsn)

    def key_is_sensitive(self, name: str) -> bool:
        """Whether the value under *name* must not leave the process. Remembered; *name* is an exact str."""
        known = self._known.get(name)
        if known is not None:
            return known
        words = words_of(name[:200])
        answer = "".join(words) not in self._allowed and is_secret(words, self._stems)
        if len(name) <= 100:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[name] = answer
        return answer

    def is_secret_of(self, name: str, pairs: Iterable[tuple[Any, Any]]) -> bool:
        """Whether the value under *name* must not leave; *pairs* are those it is one of, as in ``{"name": "password",
        "value": "x"}``.
        """
        if self.key_is_sensitive(name):
            return True
        if name in FILLED_IN:
            return self.is_of_secrets(pairs)
        return name.lower() in VALUES and self.is_named_beside(name, pairs)

    def is_named_beside(self, name: str, pairs: Iterable[tuple[Any, Any]]) -> bool:
        """Whether *pairs* say that the value under *name*, one of VALUES, is a secret."""
        for key, named in pairs:
            if type(key) is not str:
                continue
            kind = type(named)
            if name == "input":
                if key == "loc" and (kind is tuple or kind is list) and self._is_in(named):
                    return True
            elif name == "userinfo":
                if key == "host" or key == "passwd":
                    return True
            elif key == "path":  # of JSON patches, and of URLs
                if kind is str and self.key_is_sensitive(named.rpartition("/")[2]):
                    return True
            elif key.lower() in NAMES and self.names_secret(named):
                return True
        return False

    def names_secret(self, value: Any) -> bool:
        """Whether *value* is a text that is a secret's name."""
        kind = type(value)
        if kind is bytes:
            return self.key_is_sensitive(value[:200].decode("latin-1"))
        return kind is str and self.key_is_sensitive(value)

    def _is_in(self, place: Any) -> bool:
        return any(type(part) is str and self.key_is_sensitive(part) for part in place[:20])

    def is_of_secrets(self, pairs: Iterable[tuple[Any, Any]]) -> bool:
        """Whether there is SQL among *pairs* that names a column that holds secrets."""
        for key, text in pairs:
            if type(key) is str and key in STATEMENTS and type(text) is str:
                return in_statement(text, self.key_is_sensitive)
        return False

    def text(self, value: str) -> str:
        """*value* with the secrets that are recognised by their look replaced."""
        if len(value) < 8:
            return value
        if self.is_suspicious(value) or (
            len(value) > 12 and has_card_digits(value.encode("utf-8", "replace"))
        ):
            return self._scrub(value)
        return value

    def is_suspicious(self, value: str, hints: list[str] | None = None) -> bool:
        """The cheap test: False for nearly every text without a secret. Card numbers are not looked for.

        *hints* are those of ours that may stand in *value*, where that is known.
        """
        if _has_place(value):
            if "://" in value and (
                "@" in value or "?" in value or "#" in value or "ooks" in value or value.count(":") > 1
            ):
                return True
            if "@" in value and ":" in value and " " not in value:  # user:password@host
                return True
            if has_any(value.lower(), self._hints if hints is None else hints):
                return True
        if "_" in value and has_any(value, _WITH_UNDERSCORE):
            return True
        if "-" in value and has_any(value, _WITH_DASH):
            return True
        if " " in value and (
            "earer " in value
            or "EARER " in value
            or "earer, " in value
            or "asic " in value
            or "ASIC " in value
        ):
            return True
        if "eyJ" in value or "AKIA" in value or "ASIA" in value or "AIza" in value:
            return True
        if "." in value and ("ya29." in value or "SG." in value or "hvs." in value):
            return True
        if " " in value and "oken " in value:
            return True
        if "$" in value and has_any(value, _WITH_DOLLAR):
            return True
        return bool(self._own_key) and self._own_key in value

    def number_is_sensitive(self, value: int) -> bool:
        """Whether an exact int is a card number."""
        return 10**12 <= value < 10**19 and is_card("%d" % value)

    def known_suspect(self, value: str) -> str:
        """Scrub a text that :meth:`is_suspicious`, or whose frame :func:`has_card_digits`."""
        return self._scrub(value)

    def source_lines(self, lines: list[str]) -> list[str]:
        """Lines of source code with literal secrets replaced."""
        text = "\n".join(lines)
        within: list[bool] = []  # a text in three quotes, where a line needs no quotes of its own
        if '"""' in text or "'''" in text:
            within = source.in_texts(lines)
        literal = [
            index for index, line in enumerate(lines) if _has_literal(line) or (within and within[index])
        ]
        if not literal:
            return lines
        # What is not in all of them together is in none of them.
        text = "\n".join([lines[index] for index in literal])
        has_digits = has_card_digits(text.encode("utf-8", "replace"))
        low = _as_hinted(text)
        hints = [hint for hint in self._hints if hint in low]
        has_look = self.is_suspicious(text, [])
        if not (hints or has_look or has_digits):
            return lines
        suspects = [
            index
            for index in literal
            if (hints and _has_place(lines[index]) and has_any(_as_hinted(lines[index]), hints))
            or (has_look and self.is_suspicious(lines[index], []))
            or (has_digits and has_card_digits(lines[index].encode("utf-8", "replace")))
        ]
        if not suspects:
            return lines
        from errtrack.capture import literals, patterns

        if "PRIVATE KEY" in text:
            lines = literals.without_keys(lines)
        reader = literals.Reader(self.key_is_sensitive, self.text)
        out: list[str] = []
        for index, line in enumerate(lines):
            if within and within[index]:
                line = self.text(line)
            elif reader.is_hiding or index in suspects:
                line = reader.line(patterns.code(line, self.key_is_sensitive, self._own_key))
            out.append(line)
        return out

    def url(self, value: str) -> str:
        """A URL without its user information and with secret parameters filtered."""
        return self.text(value)

    def query_string(self, value: Any) -> Any:
        """A query string as text, map, or list of pairs, with secret parameters filtered; same form back."""
        if type(value) is str:
            if "=" not in value:
                return self.text(value)
            from errtrack.capture import patterns

            marked = value if value[:1] == "?" else "?" + value
            filtered = self.text(patterns.parameters(marked, self.key_is_sensitive))
            return filtered if value[:1] == "?" else filtered[1:]
        return self.data(value)

    def argv(self, words: list[Any]) -> list[Any]:
        """A command line with passwords filtered: ``--password x``, ``--token=x``, ``KEY=x``, ``mysql -px``."""
        if len(words) == 1 and type(words[0]) is str:  # a program without options
            return [self.text(words[0])]
        from errtrack.capture import commands

        return commands.filtered(words, self.key_is_sensitive, self.text)

    def data(self, tree: Any, path: tuple[object, ...] = (), notes: Notes | None = None) -> Any:
        """A copy of a tree of plain JSON values with the secrets in it replaced, whatever the nesting.

        Pairs count as key and value too (``[["password", "x"]]``). *notes* takes down what was filtered
        below *path*.
        """
        kind = type(tree)
        if kind is str:
            clean = self.text(tree)
            if clean is not tree and notes is not None:
                notes.filtered(path)
            return clean
        if kind is dict:
            out: dict[Any, Any] = {}
            for key, value in tree.items():
                if not tells_nothing(value) and type(key) is str and self.is_secret_of(key, tree.items()):
                    out[key] = FILTERED
                    if notes is not None:
                        notes.filtered((*path, key))
                else:
                    out[key] = self.data(value, (*path, key), notes)
            return out
        if kind is list or kind is tuple:
            last = len(tree) - 1
            if (
                is_row(tree, last)
                and type(tree[0]) is str
                and self.key_is_sensitive(tree[0])
                and not tells_nothing(tree[last])
            ):
                if notes is not None:
                    notes.filtered((*path, last))
                return [*tree[:last], FILTERED]
            return [self.data(item, (*path, index), notes) for index, item in enumerate(tree)]
        if kind is int and self.number_is_sensitive(tree):
            return FILTERED
        return tree

    def _scrub(self, value: str) -> str:
        from errtrack.capture import patterns

        return patterns.scrub(value, self.key_is_sensitive, self._own_key)


def tells_nothing(value: Any) -> bool:
    """Whether *value* is no secret under any name, but says what is there: None, a truth, a function, what is empty."""
    kind = type(value)
    if value is None or kind is bool or kind is _FUNCTION or kind is type:
        return True
    # Not `in`: to hash a class may run its metaclass.
    return (kind is str or kind is bytes or kind is dict or kind is list or kind is tuple) and not value


_FUNCTION = type(tells_nothing)
_SIGNS = ("=", ":", ": ", " = ", "=>")
_SIGNS_IN_BYTES = (b"=", b":", b": ")


def is_row(items: Any, at: int) -> bool:
    """Whether what stands in *items* at *at*, the last place, is named by what is before: ``("X-Key", "x")``;
    ``("X-Key", "x-key", "x")``, as httpx and h11 keep their headers; ``("key", "=", "x")``, as partition() has it.
    """
    if at == 1:
        return type(items[0]) is str or type(items[0]) is bytes
    if at != 2:
        return False
    kind = type(items[0])
    if (kind is not str and kind is not bytes) or type(items[1]) is not kind:
        return False
    # Under `python -bb` a text is not compared with bytes.
    return items[0].lower() == items[1].lower() or items[1] in (_SIGNS if kind is str else _SIGNS_IN_BYTES)


def _has_place(text: str) -> bool:
    """Whether *text* may have a value in the place that belongs to a name."""
    return "=" in text or ":" in text or has_any(text, _BESIDE)


def _as_hinted(source: str) -> str:
    """*source* as hints are looked for in it: "key" is mostly that of a KeyError("..."), and to compile a pattern for
    that would be dear.
    """
    return source.lower().replace("keyerror", "")


def _has_literal(line: str) -> bool:
    """Whether *line* has a literal, a comment or the end of a key, where a secret may stand, or goes on to one."""
    return len(line) >= 8 and (
        "'" in line or '"' in line or "-" in line or "#" in line or "://" in line or line[-1] in "([{=\\"
    )


def _own_key(dsn: str) -> str:
    """The public key in our own DSN: it lets anyone send events in our name."""
    key = dsn.partition("://")[2].rpartition("@")[0].partition(":")[0] if dsn else ""
    return key if len(key) >= 8 else ""
