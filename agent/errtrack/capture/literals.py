# SPDX-License-Identifier: MIT
"""Lines of source code without the secrets that are written in them; the code around them stays as it is.

What stands in a literal or a comment is filtered as any text is. A literal that is the value of a secret's name goes
whole: ``password: str = "x"``, ``auth=("user", "x")``, ``os.environ.get("DB_PASSWORD", "x")``.

Loaded (with ``re``) only when the cheap test of :mod:`errtrack.capture.scrubber` finds a line worth reading.
"""

from __future__ import annotations

import re

from errtrack.capture.names import in_statement
from errtrack.capture.patterns import FILTERED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_TOKEN = re.compile(
    r"(?P<text>(?P<letters>[bBfFrRuU]{0,2})(?P<quote>'''|\"\"\"|'|\")(?P<body>(?:\\.|(?!(?P=quote)).)*)(?P<end>(?P=quote)?))"
    r"|(?P<comment>\#.*)|(?P<name>[A-Za-z_](?:\w|-(?=\w))*)|(?P<sign>:=|[=!]=|[-+*/|&]?=|[\[({\])}:,;])"
)
#: What says nothing: names of encodings and of schemes.
_NOTHING = frozenset(
    str.split("""
    utf-8 utf8 ascii latin-1 latin1 hex basic bearer digest token hs256 hs384 hs512 rs256 es256 eddsa sha1 sha256 sha512
    md5
""")
)
#: Calls that take a secret by its place.
_CALLS = frozenset(("Fernet", ".login", "jwt.encode", "jwt.decode", "hmac.new", "hmac.digest"))
#: What is filled into a format: names, but no texts.
_FILLED = re.compile(r"\{[^{}'\"]*\}")
#: Arguments that tell about a value: ``password = Field(description="x")``.
_TOLD = frozenset(
    str.split("""
    action alias dest description env env_var envvar help help_text label metavar title type validation_alias
    verbose_name
""")
)
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")


class Reader:
    """Reads lines one after the other: an open bracket, or a text in three quotes, goes on in the next."""

    def __init__(self, is_secret: Callable[[str], bool], scrubbed: Callable[[str], str]) -> None:
        self._is_secret = is_secret
        self._scrubbed = scrubbed
        #: The brackets that are open, and how many there were where a secret's value began; None outside of one.
        self._open: list[str] = []
        self._hiding: int | None = None
        #: Whether a secret's value may be any of a call's arguments.
        self._whole = False
        #: Whether what came last is the first in its bracket.
        self._is_first = False

    @property
    def is_hiding(self) -> bool:
        """Whether the next line goes on with a secret's value."""
        return self._hiding is not None

    def line(self, line: str) -> str:
        """*line* without its secrets."""
        if self._hiding is None:
            self._open.clear()
        out: list[str] = []
        at = 0
        name, annotated, is_text = "", "", False  # of what came last
        call = ""  # the name with that before it
        keyword = ""  # what stands before a sign of equality
        previous = ""
        goes_on = False  # an option, whose value may stand in the next line
        for match in _TOKEN.finditer(line):
            out.append(line[at : match.start()])
            at = match.end()
            token = match[0]
            kind = match.lastgroup if match["text"] is None else "text"
            if kind == "text":
                body = match["body"]
                is_name = body.strip("-").replace("-", "_").replace(".", "_").isidentifier()
                self._is_first = previous in ("(", "[")
                if keyword in _TOLD and previous == "=":
                    shown = self._scrubbed(body)
                else:
                    shown = self._shown(body, is_name, "f" in match["letters"].lower())
                out.append(match["letters"] + match["quote"] + shown + match["end"])
                name, is_text = (body, True) if is_name else ("", False)
                if " " in body and self._hiding is None and self._is_statement(body):
                    name, is_text = "--password", True  # what is filled in comes next
            elif kind == "name":
                out.append(token)
                # "smtp.login" is ".login", and "jwt.encode" itself.
                of = line[at - len(token) - 1 : at - len(token)] == "." and not is_text
                call = "%s.%s" % (name if name in ("jwt", "hmac") else "", token) if of else token
                name, is_text = token, False
            elif kind == "comment":
                out.append(self._scrubbed(token))
            else:
                out.append(token)
                if token in "[({":
                    follows = bool(name) or previous in ("text", ")", "]")
                    self._open.append({"(": "call", "[": "index"}.get(token, token) if follows else token)
                    if (
                        token == "("
                        and self._hiding is None
                        and not is_text
                        and name
                        and (call in _CALLS or name.endswith(("_password", "_passwd")))
                    ):
                        self._hiding = len(self._open)  # set_password("x")
                        self._whole = call in _CALLS
                    name = ""
                elif token in "])}":
                    if self._open:
                        self._open.pop()
                    if self._hiding is not None and len(self._open) < self._hiding:
                        self._hiding = None
                        self._whole = False
                    if token != "]":
                        name = ""
                else:
                    annotated = self._sign(token, name, is_text, annotated, line[at:])
                    keyword = name if token == "=" else ""
                    goes_on = token == "," and name[:1] == "-" and self._hiding is not None
                    if token != ":":
                        name = ""
            previous = token if kind == "sign" else str(kind)
        out.append(line[at:])
        if (
            self._hiding is not None
            and len(self._open) <= self._hiding
            and previous not in ("=", "(", "[")
            and not (previous == ":" and line.lstrip()[:1] in ("'", '"'))
            and not (previous == "," and (goes_on or self._whole))
            and line[-1:] != "\\"
        ):
            self._hiding, self._whole = None, False  # the value has ended with its line
        return "".join(out)

    def _sign(self, token: str, name: str, is_text: bool, annotated: str, rest: str) -> str:
        """Take note of a sign behind *name*; return the secret's name whose annotation has begun."""
        depth = len(self._open)
        inner = self._open[-1] if self._open else ""
        if token == ",":
            if self._hiding == depth and depth and not self._whole:
                self._hiding = None
            is_named = is_text and self._hiding is None and self._is_secret(name)
            if is_named and (
                name[0] == "-" or inner == "call" or (inner and self._is_first and _is_last(rest))
            ):
                self._hiding = depth
            return ""
        if token == ";" or (token == ":" and self._hiding == depth and inner not in ("{", "index")):
            self._hiding = None
            return ""
        if not name or not self._is_secret(name):
            if token == "=" and annotated:
                self._hiding = depth
            return annotated if token == ":" else ""
        if token != ":" or is_text or inner == "{":
            if self._hiding is None:
                self._hiding = depth
            return ""
        return name

    def _is_statement(self, body: str) -> bool:
        """Whether *body* is SQL into which a secret is filled."""
        return (
            ("%s" in body or "?" in body or ":" in body or "%(" in body)
            and body.lstrip()[:6].lower() in ("insert", "update", "select", "delete")
            and in_statement(body, self._is_secret)
        )

    def _shown(self, body: str, is_name: bool, is_format: bool) -> str:
        """What is shown of a literal."""
        if self._hiding is None:
            return self._scrubbed(body)
        if _says_nothing(_FILLED.sub(" ", body) if is_format else body):
            return body
        # request.form["password"]; get("DB_PASSWORD"): where it is found, not what it is.
        if len(self._open) > self._hiding and (
            self._open[-1] == "index" or (is_name and self._is_secret(body))
        ):
            return self._scrubbed(body)
        return FILTERED


def _is_last(rest: str) -> bool:
    """Whether *rest* is one literal, and the end of a bracket."""
    match = _TOKEN.match(rest.lstrip())
    return (
        match is not None
        and bool(match["end"])
        and rest.lstrip()[match.end() :].lstrip(", ")[:1] in ("]", ")")
    )


def _says_nothing(body: str) -> bool:
    """Whether *body* is an encoding, or holds nothing but signs and what is filled in: ``"%s:%s"``."""
    for filled in ("%s", "%d", "%r", "\\n", "\\r", "\\t"):
        body = body.replace(filled, " ")
    words = "".join([sign if sign.isalnum() or sign == "-" else " " for sign in body.lower()]).split()
    return _NOTHING.issuperset(words)


def without_keys(lines: list[str]) -> list[str]:
    """*lines* without those of private keys, whose beginning or end may lie beyond what is shown."""
    out = list(lines)
    inside = False
    for index, line in enumerate(lines):
        if "PRIVATE KEY" in line and "-----END" in line:
            before = index - 1
            while not inside and before >= 0 and _is_of_key(lines[before], 1 if before == index - 1 else 20):
                out[before] = FILTERED
                before -= 1
            if inside and index and _is_of_key(lines[index - 1], 1):
                out[index - 1] = FILTERED
            inside = False
        elif "PRIVATE KEY" in line and "-----BEGIN" in line:
            inside = True
        elif inside and _is_of_key(line, 20):
            out[index] = FILTERED
    return out


def _is_of_key(line: str, least: int) -> bool:
    core = line.strip(" \t\r'\"(),+\\")
    core = core[:-2] if core.endswith("\\n") else core
    return len(core) >= least and _BASE64.issuperset(core)
