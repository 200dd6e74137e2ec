# SPDX-License-Identifier: MIT
"""Secrets that are recognised by their own look, in any text: tokens, keys, passwords in URLs, card numbers.

Loaded (with ``re``) only when the cheap test of :mod:`errtrack.capture.scrubber` finds a text worth reading.
Texts arrive cut, so a pattern takes a secret whose end is missing as well.
"""

from __future__ import annotations

import re

from errtrack.capture.cards import is_card

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FILTERED = "[Filtered]"

_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.S,
)

_TOKENS = re.compile(
    r"eyJ[\w-]{6,}(?:\.[\w-]*){0,4}"  # JSON web tokens
    r"|(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{12,}"  # AWS
    r"|(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,})"
    r"|(?<![A-Za-z0-9])(?:xox[a-z]|xapp)-[\w-]{8,}"  # Slack
    r"|(?<=hooks\.slack\.com/services/)[\w/-]+|(?<=/api/webhooks/)[\w/-]+"  # Slack, Discord
    r"|(?<![A-Za-z0-9])[srp]k_(?:live|test)_\w{8,}|(?<![A-Za-z0-9])whsec_\w{8,}"  # Stripe
    r"|(?<![A-Za-z0-9])sk-[\w-]{16,}"  # OpenAI, Anthropic
    r"|(?<![A-Za-z0-9])(?:AIza[\w-]{30,}|ya29\.[\w-]{16,}|GOCSPX-[\w-]{16,})"  # Google
    r"|(?<![A-Za-z0-9])(?:SG\.[\w-]{16,}(?:\.[\w-]*)?|npm_\w{30,}|pypi-[\w-]{16,}|hvs\.[\w-]{16,}|dckr_pat_[\w-]{16,})"
    r"|(?<![A-Za-z0-9])(?:hf_\w{20,}|gsk_\w{20,}|shp(?:at|ca|pa|ss)_\w{16,}|lin_api_\w{16,}|sntry[su]_[\w+/=-]{16,})"
    r"|(?<![A-Za-z0-9])(?:do[opr]_v1_\w{16,}|NRAK-\w{16,}|(?:bot)?\d{8,12}:AA[\w-]{30,})"  # the last is Telegram's
)
_BEARER = re.compile(r"\b(bearer|token)(\s+)(?=[\w.~+/-]*[0-9]|[\w.~+/-]{20})[\w.~+/=-]{6,}", re.I)
_BASIC = re.compile(r"\b(basic)(\s+)([A-Za-z0-9+/_-]{6,}={0,2})", re.I)
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^/\s?#'\"<>]*)@")
#: A password with signs in it that should have been escaped; not the port of a host.
_USERINFO_ODD = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*://)([^/\s?#'\"<>@:\[]*:(?!\d{1,5}[/?#]|\[Filtered\])[^\s'\"<>@/?#]*[/?#][^\s'\"<>@]*)@"
)
_USERINFO_CUT = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s@:'\"]+:(?!\d{1,5}$|[%{])[^/\s@:'\"]+$")
_PARAMETER = re.compile(r"(?<=[?&;#])([^=&;#\s\"'<>]{1,100})=([^&;#\s\"'<>]*)")
#: A URL that is the parameter of another one.
_ENCODED = re.compile(
    r"(%(?:25)*(?:3f|26))((?:[\w.-]|%(?:25)*5[bd]){1,100})(%(?:25)*3d)(?!\[Filtered)((?:(?!%(?:25)*(?:26|23))[^&;#\s\"'<>])*)",
    re.I,
)
_ENCODED_USERINFO = re.compile(
    r"(%(?:25)*3a(?:%(?:25)*2f){2})(?:(?!%(?:25)*(?:2f|40))[^&;#\s\"'<>])*(%(?:25)*40)", re.I
)
_HEADER = re.compile(
    r"\b((?:proxy-)?authorization|(?:set-)?cookie)(\s*:\s*)(?!\[Filtered\])"
    r"(?:[^\r\n'\"=]|=(?:\"[^\"\r\n,;\s][^\"\r\n]*\")?)+",
    re.I,
)
_QUOTED = r"\"(?:[^\"\\]|\\.)*(?:\"|\Z)|'(?:[^'\\]|\\.)*(?:'|\Z)"
_LETTERS = r"(?:[bBfFrRuU]{1,2}(?=[\"']))?"
_FLAT = r"[^\[\](){}]"
_GROUP = r"[\[({](?:%s|[\[({](?:%s|[\[({]%s*[\])}]?)*[\])}]?)*[\])}]?" % (_FLAT, _FLAT, _FLAT)
_PAIR = re.compile(
    r"(?P<key>[A-Za-z_][\w.-]{0,80}|(?<=--)[A-Za-z][\w-]{0,80})"
    r"(?P<middle>\\*[\"'`]?(?:\]|%%5[Dd])?\s*(?:=>|:=|[:=](?!//|=))\s*%s)"
    r"(?P<value>\\+[\"'][^\"'\\]*(?:\\+[\"']|\Z)|%s|%s|[^\s,;&'\"(){}\[\]<>]+(?:%s)?)"
    % (_LETTERS, _QUOTED, _GROUP, _GROUP)
)
#: ``("password", "x")``, and words of a command line in a list: ``'--password', 'x'``.
_LISTED = re.compile(
    r"([(\[]\s*%s([\"'])([A-Za-z_][\w.-]{0,80})\2,\s*%s)(%s)(?=\s*,?\s*[)\]])" % (_LETTERS, _LETTERS, _QUOTED)
)
_OPTION = re.compile(r"(([\"'])(--?[A-Za-z][\w-]{0,80})\2,\s*)(?!.-)(%s)" % _QUOTED)
_OPTION_IN_LINE = re.compile(r"(()(--[A-Za-z][\w-]{0,80})\s+)(?!-)(%s|[^\s'\"]+)" % _QUOTED)
_PROGRAM = re.compile(
    r"((?:mysql\w*|mariadb[\w-]*)\b[^\n;|]{0,300}?[\s'\"]-p|curl\b[^\n;|]{0,300}?[\s'\"](?:-u|--user)[\s'\",=]{1,4}[^\s:'\"]+:)"
    r"[^\s'\"]+"
)
#: What has a name and a value: a header, an element of XML, a part of a form, a column of a row that is there already.
_NAMED = re.compile(
    r"(()[\"']?\b(?:name|key)[\"']?\s*[:=]\s*[\"']([\w.-]{1,100})[\"'][\s,]+[\"']?val(?:ue)?[\"']?\s*[:=]\s*%s)(%s)"
    % (_LETTERS, _QUOTED),
    re.I,
)
_ELEMENT = re.compile(
    r"(<()((?:[\w.-]+:)?[\w.-]{1,100})(?:\s[^<>]*)?>)(<!\[CDATA\[.*?\]\]>|[^<]+)(?=</)", re.S
)
_PART = re.compile(
    r"(\bname=([\"])([^\"\r\n]{1,100})\2[^\r\n]*(?:\r?\n[^\r\n]+)*\r?\n\r?\n)(.*?)(?=\r?\n--|\Z)", re.S
)
_COLUMN = re.compile(r"(()\(([^()\n]{1,200})\)=)(\([^\n]*?\))(?= |\n|\.|\Z)")
_INPUT = re.compile(r"((^)([\w.]{1,100})\n +[^\n]*?\binput_value=)(.*?)(?=, input_type)", re.M)
_ENTRY = re.compile(r"(Duplicate entry )('.*?')( for key '([^']*)')")
_SQL = re.compile(r"\b(identified\s+(?:with\s+\S+\s+)?by|password)(\s+)('[^']*(?:'|\Z))", re.I)
_CARD = re.compile(r"(?<![\w.-])(?:\d[ -]?){12,18}\d(?![\w.-]*\d)")

#: Parameters of a URL that is signed: whoever has them may do what it says.
_SIGNATURES = frozenset(("sig", "signature", "x-amz-signature", "x-goog-signature"))


def scrub(text: str, is_secret: Callable[[str], bool], own_key: str = "") -> str:
    """*text* with every secret replaced by ``[Filtered]``."""
    text = _by_look(text, is_secret, own_key)
    if "=" in text or ":" in text:
        text = _HEADER.sub(r"\1\2" + FILTERED, text)
        text = _PAIR.sub(lambda match: _pair(match, is_secret), text)
    return _CARD.sub(_card, by_name(text, is_secret))


def _by_look(text: str, is_secret: Callable[[str], bool], own_key: str) -> str:
    if own_key and own_key in text:
        text = text.replace(own_key, FILTERED)
    if "PRIVATE KEY" in text:
        text = _PEM.sub(FILTERED, text)
    text = _TOKENS.sub(FILTERED, text)
    text = _BASIC.sub(_basic, text)
    text = _BEARER.sub(r"\1\2" + FILTERED, text)
    return url_parts(text, is_secret) if "://" in text else parameters(text, is_secret)


def by_name(text: str, is_secret: Callable[[str], bool]) -> str:
    """Filter what stands beside a secret's name, where no sign of equality is between the two."""

    def replaced(match: re.Match[str]) -> str:
        return _beside(match, is_secret)

    if "'" in text or '"' in text:
        for pattern in (_LISTED, _OPTION, _NAMED, _PART):
            text = pattern.sub(replaced, text)
        text = _SQL.sub(r"\1\2'%s'" % FILTERED, text)
        text = _ENTRY.sub(lambda m: "%s'%s'%s" % (m[1], FILTERED, m[3]) if is_secret(m[4]) else m[0], text)
    if "--" in text:
        text = _OPTION_IN_LINE.sub(replaced, text)
    if "</" in text:
        text = _ELEMENT.sub(replaced, text)
    if ")=(" in text:
        text = _COLUMN.sub(replaced, text)
    if "input_value=" in text:  # of pydantic's errors
        text = _INPUT.sub(replaced, text)
    if " -" in text or "'-" in text:
        text = _PROGRAM.sub(r"\1" + FILTERED, text)
    return text


def _beside(match: re.Match[str], is_secret: Callable[[str], bool]) -> str:
    if not any(is_secret(name) for name in match[3].split(",")):
        return match[0]
    mark = match[4][0] if match[4][0] in "'\"" else ""
    return match[1] + mark + FILTERED + mark


def url_parts(text: str, is_secret: Callable[[str], bool]) -> str:
    """Filter the user information and the secret parameters of the URLs in *text*."""
    text = _USERINFO.sub(_userinfo, text)
    text = _USERINFO_ODD.sub(_userinfo, text)
    text = _USERINFO_CUT.sub(r"\1" + FILTERED, text)
    return parameters(text, is_secret)


def parameters(text: str, is_secret: Callable[[str], bool]) -> str:
    """Filter ``?name=value`` and ``&name=value`` by their names."""
    text = _PARAMETER.sub(lambda match: _parameter(match, is_secret), text)
    if "%" in text:
        text = _ENCODED.sub(lambda match: _encoded(match, is_secret), text)
        text = _ENCODED_USERINFO.sub(r"\1%s\2" % FILTERED, text)
    return text


def code(line: str, is_secret: Callable[[str], bool], own_key: str = "") -> str:
    """What is recognised by its look in a line of source code."""
    line = _PROGRAM.sub(r"\1" + FILTERED, _by_look(line, is_secret, own_key))
    line = _NAMED.sub(lambda match: _beside(match, is_secret), line)
    return _CARD.sub(_card, line)


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


def _pair(match: re.Match[str], is_secret: Callable[[str], bool]) -> str:
    value = match["value"]
    bare = value.lstrip("\\")
    quoted = bare[:1] in ("'", '"')
    if not is_secret(match["key"]):
        # The value may hold pairs of its own: "error: password=x" or a JSON text in a JSON text.
        if len(value) > 3 and ("=" in value or ":" in value):
            lead = value[: len(value) - len(bare) + quoted]
            inner = _PAIR.sub(lambda m: _pair(m, is_secret), value[len(lead) :])
            return match["key"] + match["middle"] + lead + inner
        return match[0]
    if quoted:
        lead = value[: len(value) - len(bare) + 1]
        tail = lead if len(value) > len(lead) and value.endswith(bare[0]) else ""
        return match["key"] + match["middle"] + lead + FILTERED + tail
    return match[0] if bare.startswith("[Filtered") else match["key"] + match["middle"] + FILTERED


def _card(match: re.Match[str]) -> str:
    digits = match[0].replace(" ", "").replace("-", "")
    return FILTERED if is_card(digits) else match[0]


def unquote(text: str) -> str:
    """Undo percent encoding as far as names of parameters need it."""
    if "%" not in text:
        return text
    return re.sub(r"%([0-9A-Fa-f]{2})", lambda match: chr(int(match[1], 16)), text)
