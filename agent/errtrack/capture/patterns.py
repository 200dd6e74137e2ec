# SPDX-License-Identifier: MIT
"""Secrets that are recognised by their own look, in any text: tokens, keys, passwords in URLs, card numbers.

Loaded (with ``re``) only when the cheap test of :mod:`errtrack.capture.scrubber` finds a text worth reading.
Texts arrive cut, so a pattern takes a secret whose end is missing as well.
"""

from __future__ import annotations

import re

from errtrack.capture.cards import has_card_digits, is_card
from errtrack.capture.names import has_any, in_statement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Union

    Replacement = Union[str, Callable[[re.Match[str]], str]]

FILTERED = "[Filtered]"


class Late:
    """A pattern that is compiled with the first text that holds one of *signs*: to compile all at the first event would
    be the half of what that costs. The signs are in lower case where the pattern does not tell cases apart.
    """

    __slots__ = ("_compiled", "_flags", "_folds", "_pattern", "_signs")

    def __init__(self, signs: tuple[str, ...], pattern: str, flags: int = 0) -> None:
        self._signs = signs
        self._pattern = pattern
        self._flags = flags
        self._folds = flags & re.I != 0  # an enumeration's `&` would cost more than most texts
        self._compiled: re.Pattern[str] | None = None

    def sub(self, replacement: Replacement, text: str) -> str:
        """*text* with *replacement* in place of what the pattern finds."""
        if not has_any(text.lower() if self._folds else text, self._signs):
            return text
        if self._compiled is None:
            self._compiled = re.compile(self._pattern, self._flags)
        return self._compiled.sub(replacement, text)


_PEM = Late(
    ("PRIVATE KEY",),
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.S,
)
_TOKENS = Late(
    ("eyJ", "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "k_live_",
     "k_test_", "whsec_", "sk-", "AIza", "ya29.", "SG.", "npm_", "pypi-"),
    r"eyJ[\w-]{6,}(?:\.[\w-]*){0,4}"  # JSON web tokens
    r"|(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{12,}"  # AWS
    r"|(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,})"
    r"|(?<![A-Za-z0-9])xox[a-z]-[\w-]{8,}"  # Slack
    r"|(?<![A-Za-z0-9])[srp]k_(?:live|test)_\w{8,}|(?<![A-Za-z0-9])whsec_\w{8,}"  # Stripe
    r"|(?<![A-Za-z0-9])sk-[\w-]{16,}"  # OpenAI, Anthropic
    r"|(?<![A-Za-z0-9])(?:AIza[\w-]{30,}|ya29\.[\w-]{16,}|SG\.[\w-]{16,}(?:\.[\w-]*)?|npm_\w{30,}|pypi-[\w-]{16,})",
)  # fmt: skip
_RARE_TOKENS = Late(
    ("hooks.slack.com/", "/api/webhooks/", "xapp-", "GOCSPX-", "hvs.", "dckr_pat_", "hf_", "gsk_", "shpat_", "shpca_",
     "shppa_", "shpss_", "lin_api_", "sntry", "_v1_", "NRAK-", ":AA", "$"),
    r"(?<=hooks\.slack\.com/services/)[\w/-]+|(?<=/api/webhooks/)[\w/-]+"  # Slack, Discord
    r"|(?<![A-Za-z0-9])(?:xapp-[\w-]{8,}|(?:GOCSPX-|hvs\.|dckr_pat_)[\w-]{16,}|(?:hf|gsk)_\w{20,}"
    r"|(?:shp(?:at|ca|pa|ss)_|lin_api_|do[opr]_v1_|NRAK-)\w{16,}|sntry[su]_[\w+/=-]{16,}|(?:bot)?\d{8,12}:AA[\w-]{30,})"
    # Hashes of passwords, as crypt, Django and Werkzeug write them.
    r"|\$(?:2[abxy]?|[156]|y|argon2(?:id|i|d)|scrypt|pbkdf2[\w-]*)\$[^\s'\"<>]{20,}"
    r"|(?<![A-Za-z0-9])(?:pbkdf2|scrypt|bcrypt|argon2|md5|sha1)(?:_\w+|:[\w:]+)?\$[^\s'\"<>]{20,}",
)  # fmt: skip
_BEARER = Late(
    ("bearer", "token "),
    r"\b(bearer|token)(,?\s+['\"]?)(?=[\w.~+/-]*[0-9]|[\w.~+/-]{20})[\w.~+/=-]{6,}",
    re.I,
)
_BASIC = Late(("basic",), r"\b(basic)(\s+)([A-Za-z0-9+/_-]{6,}={0,2})", re.I)
_USERINFO = Late(("@",), r"([A-Za-z][A-Za-z0-9+.-]{0,30}://)([^/\s?#'\"<>]*)@")
#: The part of a URL that has a host in it, by itself.
_AUTHORITY = Late(
    ("@",),
    r"\A(?!(?:mailto|sips?|xmpp|acct|npm|jsr|cc|bcc|to|from|re):)"
    r"([^\s:@/'\"<>]{1,100}:[^\s@/'\"<>]{1,200})(?=@(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?\Z)",
    re.I,
)
#: A password with signs in it that should have been escaped; not the port of a host.
_USERINFO_ODD = Late(
    ("@",),
    r"([A-Za-z][A-Za-z0-9+.-]{0,30}://)([^/\s?#'\"<>@:\[]*:(?!\d{1,5}[/?#]|\[Filtered\])[^\s'\"<>@/?#]{0,200}[/?#][^\s'\"<>@]{0,200})@",
)
_USERINFO_CUT = Late(
    ("://",), r"([A-Za-z][A-Za-z0-9+.-]{0,30}://)[^/\s@:'\"]+:(?!\d{1,5}$|[%{])[^/\s@:'\"]+$"
)
_PARAMETER = Late(("?", "&", ";", "#"), r"(?<=[?&;#])([^=&;#\s\"'<>]{1,100})=([^&;#\s\"'<>]*)")
#: A URL that is the parameter of another one.
_ENCODED = Late(
    ("%3d", "%253d"),
    r"(%(?:25)*(?:3f|26))((?:[\w.-]|%(?:25)*5[bd]){1,100})(%(?:25)*3d)(?!\[Filtered)"
    r"((?:(?!%(?:25)*(?:26|23))[^&;#\s\"'<>])*)",
    re.I,
)
#: JSON in a parameter, as GraphQL's variables in a GET.
_ENCODED_JSON = Late(
    ("%22%3a",),
    r"(%22)([\w.-]{1,100})(%22%3a(?:%20|\+)*)(?!\[Filtered)(?:%22(?:(?!%22)[^&;#\s\"'<>])*(?:%22)?|(?:(?!%2c|%7d)[^&;#\s\"'<>])+)",
    re.I,
)
_ENCODED_USERINFO = Late(
    ("%40", "%2540"),
    r"(%(?:25)*3a(?:%(?:25)*2f){2})(?:(?!%(?:25)*(?:2f|40))[^&;#\s\"'<>])*(%(?:25)*40)",
    re.I,
)
#: What stands behind a secret's name and says what is the matter with it.
_WHATS = (  # a pattern for headers; read by _says_what() as words
    "none|null|nil|true|false|yes|no|missing|required|invalid|expired|failed|failure|denied|unexpected|expected|"
    "undefined|unknown|empty|closed|open|active|inactive|found|not|is|was|must|has|field|this|cannot|could|error"
)
_HEADER = Late(
    ("authorization", "cookie"),
    r"((?:proxy-)?authorization|(?:set-)?cookie)(\s*:(?!\s*\[Filtered\]|\s*(?:%s)(?: \w|\s*\Z))\s*)"
    r"(?:[^\r\n'\"=\\]|\\(?![rn])|=(?:\"[^\"\r\n,;\s][^\"\r\n]*\")?)+" % _WHATS,
    re.I,
)
_QUOTED = r"\"(?:[^\"\\]|\\.)*(?:\"|\Z)|'(?:[^'\\]|\\.)*(?:'|\Z)"
_LETTERS = r"(?:[bBfFrRuU]{1,2}(?=[\"']))?"
_NAME = re.compile(
    r"([A-Za-z_][\w.-]{0,80}|(?<=--)[A-Za-z][\w-]{0,80})\\*[\"'`]?(?:\]|%%5[Dd])?\s*(?:=>|:=|[:=](?!//|=))\s*"
    r"(?:[\w.]+(?:\[[^\]\n]{0,100}\])?\s*=\s*(?=[bBfFrRuU]{0,2}[\"']))?%s"  # the type of an annotated name
    % _LETTERS
)
_QUOTED_VALUE = re.compile(
    r"\"{3}[\s\S]*?(?:\"{3}|\Z)|'{3}[\s\S]*?(?:'{3}|\Z)|\\+[\"'][^\"'\\]*(?:\\+[\"']|\Z)|%s" % _QUOTED
)
_BARE_VALUE = re.compile(r"[^\s,;&'\"(){}\[\]<>]*[\[({]|[^\s,;&'\"(){}\[\]<>]+")
_BRACKET = re.compile(r"[\[({\])}]|" + _QUOTED)
_CARD = re.compile(r"(?<![\w.-])(?:\d[ -]?){12,18}\d(?![\w.-]*\d)")

#: ``("password", "x")``, and words of a command line in a list: ``'--password', 'x'``.
_LISTED = Late(
    ("',", '",'),
    r"([(\[]\s*%s([\"'])([A-Za-z_][\w.-]{0,80})\2,\s*%s)(%s)(?=\s*,?\s*[)\]])"
    % (_LETTERS, _LETTERS, _QUOTED),
)
_OPTION = Late(("'-", '"-'), r"(([\"'])(--?[A-Za-z][\w-]{0,80})\2,\s*)(?!.-)(%s)" % _QUOTED)
_OPTION_IN_LINE = Late(("--",), r"(()(--[A-Za-z][\w-]{0,80})\s+)(?!-)(%s|[^\s'\"]+)" % _QUOTED)
_PROGRAM = Late(
    ("mysql", "mariadb", "curl", "sshpass", "redis-cli", "ldap", "mongo", "docker"),
    r"((?:mysql\w*|mariadb[\w-]*)\b[^\n;|]{0,300}?[\s'\"]-p"
    r"|curl\b[^\n;|]{0,300}?[\s'\"](?:-u|--user)[\s'\",=]{1,4}[^\s:'\"]+:"
    r"|(?:sshpass|mongo\w*|docker\W{1,4}login)\b[^\n;|]{0,300}?[\s'\"]-p[\s'\",=]{0,4}"
    r"|redis-cli\b[^\n;|]{0,300}?[\s'\"]-a[\s'\",=]{1,4}"
    r"|ldap(?:search|modify|add|delete)\b[^\n;|]{0,300}?[\s'\"]-w[\s'\",=]{1,4})[^\s'\"]+",
)
#: What has a name and a value: a header, an element of XML, a part of a form, a column of a row that is there already.
_NAMED = Late(
    ("value", "val'", 'val"', "content"),
    r"(()[\"']?\b(?:name|key)[\"']?\s*[:=]\s*[\"']([\w.-]{1,100})[\"'][\s,]+[\"']?(?:val(?:ue)?|content)[\"']?\s*[:=]\s*%s)(%s)"
    % (_LETTERS, _QUOTED),
    re.I,
)
#: The same in YAML.
_NAMED_BARE = Late(
    ("value:",),
    r"(()\bname: *([\w.-]{1,100})(?:\n *|, ?)value: *)((?!\[Filtered\])[^\s\"'|>][^\n]*|%s)" % _QUOTED,
)
_ELEMENT = Late(
    ("</",), r"(<()((?:[\w.-]+:)?[\w.-]{1,100})(?:\s[^<>]*)?>)(<!\[CDATA\[.*?\]\]>|[^<]+)(?=</)", re.S
)
_PART = Late(
    ('name="',),
    r"(\bname=([\"])([^\"\r\n]{1,100})\2[^\r\n]{0,200}(?:\r?\n[^\r\n]{1,200}){0,9}\r?\n\r?\n)(.*?)(?=\r?\n--|\Z)",
    re.S,
)
_COLUMN = Late((")=(",), r"(()\(([^()\n]{1,200})\)=)(\([^\n]{0,2000}?\))(?= |\n|\.|\Z)")
_INPUT = Late(
    ("input_value=",),
    r"((^)(?!\d+ validation)(\w[^\n]{0,150})\n +[^\n]*?\binput_value=)(.*?)(?=, input_type)",
    re.M,
)
#: The same where the whole input is shown: its middle was left out, and with it the name of what follows.
_INPUT_CUT = Late(
    ("input_value={",), r"(\binput_value=\{[^\n]{0,80}?\.\.\.)[^\n]{0,80}?(?=, ['\"]|\}, input_type=)"
)
_PLACED = Late(
    ("'loc': ", '"loc": ', '"loc":['),
    r"(()[\"']loc[\"']:\s?[(\[]([^)\]\n]{1,300})[)\]],[^{}]{0,500}?[\"']input[\"']:\s?)(%s)" % _QUOTED,
)
#: A header that cannot be sent, mostly for a blank or an end of a line behind it.
_HEADER_VALUE = Late(
    ("header value",),
    r"((?:invalid|illegal|in) header value:? b?([\"']))(?:(?!\2).)*?((?:\\[nrt]|\s){0,4}(?:\2|\Z))",
    re.I,
)
_ENTRY = Late(("Duplicate entry",), r"(Duplicate entry )('.{0,300}?')( for key '([^']*)')")
_SQL = Late(
    ("identified", "password '", "password("),
    r"\b(identified\s+(?:with\s+\S+\s+)?by|password)(\s+|\s*\(\s*)('[^']*(?:'|\Z))",
    re.I,
)
_SQL_QUOTED = Late(("identified",), r"\b(identified\s+by)(\s+)(\"[^\"]*(?:\"|\Z))", re.I)
#: Rows that are written into a table, behind its columns; and a column that is compared.
_INSERTED = Late(
    ("values",),
    r"((?:\(|\.\.\.(?=[^()]{1,80}\)))([^()]{1,500})\)\s*values\s*\()((?:[^;'\]]|'[^']*(?:'|\Z)|\](?!\n))*)",
    re.I,
)
_LITERAL = Late(("'",), r"'[^']*(?:'|\Z)")
_COMPARED = Late(
    ("!=", "==", "<>", "like", " in "),
    r"(()(?<![\w.])([A-Za-z_][\w.]{0,80})[\"'`]?\s*(?:[!=]=|<>|(?:not\s+)?i?like\b|(?:not\s+)?in\s*\()\s*)"
    r"('[^']*(?:'|\Z)(?:\s*,\s*'[^']*(?:'|\Z))*)",
    re.I,
)
#: A name and a value that :func:`_beside` looks at. Groups: what leads up to the value, the mark around the name, the
#: name, the value.
_BESIDES = (
    _LISTED, _OPTION, _OPTION_IN_LINE, _NAMED, _NAMED_BARE, _PART, _ELEMENT, _COLUMN, _INPUT, _PLACED, _COMPARED,
)  # fmt: skip
#: What SQLAlchemy says of a statement, and PostgreSQL of the row that it refuses.
_FILLED_IN = Late(("[parameters: ",), r"(\[SQL: (.*?)\]\n\[parameters: )(.*?)(?=\](?:\n|\Z))", re.S)
_ROW = Late(("Failing row contains (",), r"(Failing row contains )\(.*?\)(?=\.?(?:\n|\Z))", re.S)
#: Of a password with signs in it that should have been escaped, Python takes the beginning for a port.
_PORT = Late(
    ("nonnumeric port", "cast to integer", "base 10: '", "Failed to parse: "),
    r"((?:nonnumeric port: |cast to integer value as |with base 10: (?='[^']*@)|Failed to parse: (?='[^']*:))')[^']*",
)

#: Of names in two words, as a person writes them: "API key: x".
_SECOND_WORDS = frozenset(("key", "keys", "phrase", "code", "string"))
_LETTERS_OF_WORDS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

#: What stands behind a name in a sentence or a signature.
_WORDS = frozenset(
    (*_WHATS.split("|"), *str.split("the a an any one optional str string bytes int bool %s ?"))
)
#: How forms complain of a field.
_COMPLAINTS = (
    "This field", "This value", "This password", "This list", "Ensure ", "Enter a ", "Not a ", "Missing data", "Field ",
    "Must ", "Shorter ", "Longer ", "Length ", "Invalid ", "Unknown ", "The password", "The two password",
)  # fmt: skip

#: Parameters of a URL that is signed: whoever has them may do what it says.
_SIGNATURES = frozenset(("sig", "signature", "x-amz-signature", "x-goog-signature"))


def scrub(text: str, is_secret: Callable[[str], bool], own_key: str = "") -> str:
    """*text* with every secret replaced by ``[Filtered]``."""
    text = _by_look(text, is_secret, own_key)
    text = _INPUT_CUT.sub(r"\1" + FILTERED, text)
    if "=" in text or ":" in text:
        text = _pairs(_HEADER.sub(r"\1\2" + FILTERED, text), is_secret)
    return _without_cards(_by_name(text, is_secret))


def code(line: str, is_secret: Callable[[str], bool], own_key: str = "") -> str:
    """A line of source code without what is recognised by its look."""
    line = _PROGRAM.sub(r"\1" + FILTERED, _by_look(line, is_secret, own_key))
    return _without_cards(_NAMED.sub(lambda match: _beside(match, is_secret), line))


def _by_look(text: str, is_secret: Callable[[str], bool], own_key: str) -> str:
    if own_key and own_key in text:
        text = text.replace(own_key, FILTERED)
    for pattern in (_PEM, _TOKENS, _RARE_TOKENS):
        text = pattern.sub(FILTERED, text)
    text = _BASIC.sub(_basic, text)
    text = _BEARER.sub(r"\1\2" + FILTERED, text)
    if "@" in text and "://" not in text and " " not in text:
        text = _AUTHORITY.sub(FILTERED + ":" + FILTERED, text)
    if "://" in text:
        text = _USERINFO.sub(_userinfo, text)
        if "@" in text.replace(FILTERED + "@", ""):
            text = _USERINFO_ODD.sub(_userinfo, text)
        last = text.rpartition("://")[2]
        if ":" in last and "/" not in last and "@" not in last:
            text = _USERINFO_CUT.sub(r"\1" + FILTERED, text)
        return parameters(text, is_secret)
    return parameters(text, is_secret) if "?" in text or "&" in text else text


def _by_name(text: str, is_secret: Callable[[str], bool]) -> str:
    """Filter what stands beside a secret's name, where no sign of equality is between the two."""

    def replaced(match: re.Match[str]) -> str:
        return _beside(match, is_secret)

    for pattern in _BESIDES:
        text = pattern.sub(replaced, text)
    text = _FILLED_IN.sub(lambda m: m[1] + FILTERED if in_statement(m[2], is_secret) else m[0], text)
    text = _ROW.sub(r"\1" + FILTERED, text)
    text = _PORT.sub(r"\1" + FILTERED, text)
    text = _SQL.sub(r"\1\2'%s'" % FILTERED, text)
    text = _SQL_QUOTED.sub(r'\1\2"%s"' % FILTERED, text)
    text = _INSERTED.sub(lambda m: m[1] + _inserted(m, is_secret), text)
    text = _HEADER_VALUE.sub(r"\1%s\3" % FILTERED, text)
    text = _ENTRY.sub(lambda m: "%s'%s'%s" % (m[1], FILTERED, m[3]) if is_secret(m[4]) else m[0], text)
    return _PROGRAM.sub(r"\1" + FILTERED, text)


def _beside(match: re.Match[str], is_secret: Callable[[str], bool]) -> str:
    if not any(is_secret(name) for name in match[3].split(",")):
        return match[0]
    mark = match[4][0] if match[4][0] in "'\"" else ""
    return match[1] + mark + FILTERED + mark


def _inserted(match: re.Match[str], is_secret: Callable[[str], bool]) -> str:
    if not any(is_secret(column) for column in match[2].split(",")):
        return match[3]
    return _LITERAL.sub("'%s'" % FILTERED, match[3])


def parameters(text: str, is_secret: Callable[[str], bool]) -> str:
    """Filter ``?name=value`` and ``&name=value`` by their names."""
    text = _PARAMETER.sub(lambda match: _parameter(match, is_secret), text)
    if "%" in text:
        text = _ENCODED.sub(lambda match: _encoded(match, is_secret), text)
        text = _ENCODED_JSON.sub(lambda match: _encoded(match, is_secret), text)
        text = _ENCODED_USERINFO.sub(r"\1%s\2" % FILTERED, text)
    return text


def _without_cards(text: str) -> str:
    return _CARD.sub(_card, text) if has_card_digits(text.encode("utf-8", "replace")) else text


def _basic(match: re.Match[str]) -> str:
    from binascii import a2b_base64

    try:
        body = match[3]
        decoded = a2b_base64(body[: len(body) // 4 * 4])
    except ValueError:
        return match[0]
    # Credentials are name:password; "Basic Authentication" decodes to noise.
    return match[1] + match[2] + FILTERED if b":" in decoded and decoded.isascii() else match[0]


def _userinfo(match: re.Match[str]) -> str:
    return match[1] + (FILTERED + ":" + FILTERED if ":" in match[2] else FILTERED) + "@"


def _parameter(match: re.Match[str], is_secret: Callable[[str], bool]) -> str:
    name = unquote(match[1])
    is_hidden = match[2] and (is_secret(name) or name.lower() in _SIGNATURES)
    return "%s=%s" % (match[1], FILTERED) if is_hidden else match[0]


def _encoded(match: re.Match[str], is_secret: Callable[[str], bool]) -> str:
    return match[1] + match[2] + match[3] + FILTERED if is_secret(unquote(match[2])) else match[0]


def _pairs(text: str, is_secret: Callable[[str], bool]) -> str:
    """Filter ``name=value`` and ``name: value`` by their names. What has no secret's name is not read to its end."""
    out: list[str] = []
    at = 0
    while True:
        match = _NAME.search(text, at)
        if match is None:
            out.append(text[at:])
            return "".join(out)
        start = match.end()
        out.append(text[at:start])
        at = start
        value = _QUOTED_VALUE.match(text, start)
        if value is not None:
            at = value.end()
            lead = value[0][: len(value[0]) - len(value[0].lstrip("\\")) + 1]
            inner = value[0][len(lead) :]
            if _is_named(match, is_secret) and not _is_sign(value[0]):
                out.append(lead + FILTERED + (lead if inner.endswith(lead[-1]) else ""))
            else:
                # It may hold pairs of its own: "error: password=x" or a JSON text in a JSON text.
                out.append(lead + (_pairs(inner, is_secret) if "=" in inner or ":" in inner else inner))
        elif _is_named(match, is_secret):
            value = _BARE_VALUE.match(text, start)
            if value is not None:
                at = value.end()
                is_filtered = value[0].startswith("[Filtered") or text.startswith("Filtered]", at)
                if is_filtered or _says_what(value[0], text, at):
                    out.append(value[0])
                else:
                    at = _end_of(text, at - 1) if value[0][-1] in "[({" else at
                    out.append(FILTERED)


def _is_named(match: re.Match[str], is_secret: Callable[[str], bool]) -> bool:
    """Whether the name that *match* has found is a secret's: also behind an escaped end of a line, and in two words."""
    name, text, start = match[1], match.string, match.start(1)
    if is_secret(name):
        return True
    before = text[max(start - 20, 0) : start]
    if before[-1:] == "\\" and name[0] in "nrt":
        return is_secret(name[1:])
    if before[-1:] == " " and name.lower() in _SECOND_WORDS:
        first = before[:-1]
        word = first[len(first.rstrip(_LETTERS_OF_WORDS)) :]
        return is_secret("%s_%s" % (word, name))
    return False


def _says_what(value: str, text: str, end: int) -> bool:
    """Whether *value*, which ends at *end* in *text*, is no secret: it says what is the matter with one, or where it is
    filled in.
    """
    if value == "[":
        what = text[end : end + 60]
        if what.startswith("ErrorDetail(string="):
            what = what[19:]
        return what[:1] in ("'", '"') and what[1:].startswith(_COMPLAINTS)
    if value == "%(":
        name, _, rest = text[end : end + 100].partition(")")
        return rest[:1] == "s" and name.isidentifier()
    word = value.rstrip(".:!").lower()
    return word in _WORDS or (len(word) < 3 and word.isdigit()) or (word[:1] == "$" and word[1:].isdigit())


def _is_sign(quoted: str) -> bool:
    """Whether a quoted text is no secret: empty, or one sign (``unexpected token: ')'``)."""
    core = quoted.strip("\\'\"")
    return len(core) < 2 and not core.isalnum()


def _end_of(text: str, start: int) -> int:
    """Where the bracket at *start* is closed; the end of *text* where it is not."""
    depth = 0
    for match in _BRACKET.finditer(text, start):
        if match[0] in "[({":
            depth += 1
        elif match[0] in "])}":
            depth -= 1
            if depth == 0:
                return match.end()
    return len(text)


def _card(match: re.Match[str]) -> str:
    digits = match[0].replace(" ", "").replace("-", "")
    return FILTERED if is_card(digits) else match[0]


def unquote(text: str) -> str:
    """Undo percent encoding as far as names of parameters need it."""
    if "%" not in text:
        return text
    return re.sub(r"%([0-9A-Fa-f]{2})", lambda match: chr(int(match[1], 16)), text)
