# SPDX-License-Identifier: MIT
"""Secrets that are recognised by their own look, in any text: tokens, keys, passwords in URLs, card numbers.

Loaded (with ``re``) only when the cheap test of :mod:`errtrack.capture.scrubber` finds a text worth reading.
Texts arrive cut, so a pattern takes a secret whose end is missing as well.
"""

from __future__ import annotations

import re

from errtrack.capture.scrubber import is_card

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FILTERED = "[Filtered]"

_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.S)

_TOKENS = re.compile(
    r"eyJ[\w-]{6,}(?:\.[\w-]*){0,4}"  # JSON web tokens
    r"|(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{12,}"  # AWS
    r"|(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,})"
    r"|(?<![A-Za-z0-9])xox[a-z]-[\w-]{8,}"  # Slack
    r"|(?<![A-Za-z0-9])[srp]k_(?:live|test)_\w{8,}|(?<![A-Za-z0-9])whsec_\w{8,}"  # Stripe
    r"|(?<![A-Za-z0-9])sk-[\w-]{16,}"  # OpenAI, Anthropic
    r"|(?<![A-Za-z0-9])(?:AIza[\w-]{30,}|ya29\.[\w-]{16,}|SG\.[\w-]{16,}(?:\.[\w-]*)?|npm_\w{30,}|pypi-[\w-]{16,})"
)
_BEARER = re.compile(r"\b(bearer|token)(\s+)(?=[\w.~+/-]*[0-9]|[\w.~+/-]{20})[\w.~+/=-]{6,}", re.I)
_BASIC = re.compile(r"\b(basic)(\s+)([A-Za-z0-9+/_-]{6,}={0,2})", re.I)
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^/\s?#'\"<>]*)@")
_USERINFO_CUT = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^/\s@:'\"]+:(?!\d{1,5}$)[^/\s@:'\"]+$")
_PARAMETER = re.compile(r"(?<=[?&;#])([^=&;#\s\"'<>]{1,100})=([^&;#\s\"'<>]*)")
_HEADER = re.compile(
    r"\b((?:proxy-)?authorization|(?:set-)?cookie)(\s*:\s*)(?!\[Filtered\])[^\r\n'\"]+", re.I
)
_PAIR = re.compile(
    r"(?P<key>[A-Za-z_][\w.-]{0,80}|(?<=--)[A-Za-z][\w-]{0,80})"
    r"(?P<middle>\\*[\"']?\]?\s*(?:=>|:=|[:=](?!//|=))\s*(?:[bru]{1,2}(?=[\"']))?)"
    r"(?P<value>\\+[\"'][^\"'\\]*(?:\\+[\"']|\Z)|\"(?:[^\"\\]|\\.)*(?:\"|\Z)|'(?:[^'\\]|\\.)*(?:'|\Z)|[^\s,;&'\"(){}\[\]<>]+)"
)
_CARD = re.compile(r"(?<![\w.-])(?:\d[ -]?){12,18}\d(?![\w.-]*\d)")


def scrub(text: str, is_secret: Callable[[str], bool], own_key: str = "") -> str:
    """*text* with every secret replaced by ``[Filtered]``."""
    if own_key and own_key in text:
        text = text.replace(own_key, FILTERED)
    text = _PEM.sub(FILTERED, text)
    text = _TOKENS.sub(FILTERED, text)
    text = _BASIC.sub(_basic, text)
    text = _BEARER.sub(r"\1\2" + FILTERED, text)
    if "://" in text:
        text = url_parts(text, is_secret)
    if "=" in text or ":" in text:
        text = _HEADER.sub(r"\1\2" + FILTERED, text)
        text = _PAIR.sub(lambda match: _pair(match, is_secret), text)
    return _CARD.sub(_card, text)


def url_parts(text: str, is_secret: Callable[[str], bool]) -> str:
    """Filter the user information and the secret parameters of the URLs in *text*."""
    text = _USERINFO.sub(_userinfo, text)
    text = _USERINFO_CUT.sub(r"\1" + FILTERED, text)
    return parameters(text, is_secret)


def parameters(text: str, is_secret: Callable[[str], bool]) -> str:
    """Filter ``?name=value`` and ``&name=value`` by their names."""
    return _PARAMETER.sub(lambda match: _parameter(match, is_secret), text)


def source_line(line: str, is_secret: Callable[[str], bool], own_key: str = "") -> str:
    """A line of source code: as :func:`scrub`, but of ``name = value`` only quoted values are secrets."""
    if own_key and own_key in line:
        line = line.replace(own_key, FILTERED)
    line = _TOKENS.sub(FILTERED, line)
    line = _PEM.sub(FILTERED, line)
    line = _BASIC.sub(_basic, line)
    if "://" in line:
        line = url_parts(line, is_secret)
    line = _PAIR.sub(lambda match: _pair(match, is_secret, only_quoted=True), line)
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
    return "%s=%s" % (match[1], FILTERED) if match[2] and is_secret(unquote(match[1])) else match[0]


def _pair(match: re.Match[str], is_secret: Callable[[str], bool], only_quoted: bool = False) -> str:
    value = match["value"]
    bare = value.lstrip("\\")
    quoted = bare[:1] in ("'", '"')
    if not is_secret(match["key"]):
        # The value may hold pairs of its own: "error: password=x" or a JSON text in a JSON text.
        if len(value) > 8 and ("=" in value or ":" in value):
            lead = value[: len(value) - len(bare) + quoted]
            inner = _PAIR.sub(lambda m: _pair(m, is_secret, only_quoted), value[len(lead) :])
            return match["key"] + match["middle"] + lead + inner
        return match[0]
    if quoted:
        lead = value[: len(value) - len(bare) + 1]
        tail = lead if len(value) > len(lead) and value.endswith(bare[0]) else ""
        return match["key"] + match["middle"] + lead + FILTERED + tail
    if only_quoted or bare.startswith("[Filtered"):
        return match[0]
    return match["key"] + match["middle"] + FILTERED


def _card(match: re.Match[str]) -> str:
    digits = match[0].replace(" ", "").replace("-", "")
    return FILTERED if is_card(digits) else match[0]


def unquote(text: str) -> str:
    """Undo percent encoding as far as names of parameters need it."""
    if "%" not in text:
        return text
    return re.sub(r"%([0-9A-Fa-f]{2})", lambda match: chr(int(match[1], 16)), text)
