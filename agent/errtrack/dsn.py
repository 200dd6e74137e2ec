# SPDX-License-Identifier: MIT
"""The DSN: where events go, and with which key.

``SCHEME://PUBLIC_KEY[:SECRET]@HOST[:PORT]/[PATH/]PROJECT``
(https://develop.sentry.dev/sdk/foundations/transport/authentication/). Parsed by hand: it is read before the
first event, where ``urllib.parse`` alone would cost more than the whole boot.
"""

from __future__ import annotations

import sys

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HEX = "0123456789abcdefABCDEF"


class BadDsn(ValueError):
    """The DSN cannot be used. The message says why and never holds a key."""


class Dsn:
    """A parsed DSN. Attributes are text but for ``port`` (int, the scheme's default when not given)."""

    __slots__ = ("host", "path", "port", "project", "public_key", "scheme", "secret")

    def __init__(
        self, scheme: str, public_key: str, secret: str, host: str, port: int, path: str, project: str
    ) -> None:
        self.scheme = scheme
        self.public_key = public_key
        self.secret = secret
        self.host = host
        self.port = port
        self.path = path
        self.project = project

    @classmethod
    def parse(cls, text: str) -> Dsn:
        """Parse *text*. Raises :class:`BadDsn`."""
        scheme, separator, rest = text.strip().partition("://")
        scheme = scheme.lower()
        if not separator or not rest:
            raise BadDsn("it has no scheme")
        if scheme[:1] in ("'", '"'):  # an env-file of Docker's takes quotes for a part of the value
            raise BadDsn("it stands in quotes; leave them out")
        if scheme not in _DEFAULT_PORTS:
            raise BadDsn("its scheme is not http or https")
        for mark in "?#":
            rest = rest.partition(mark)[0]
        netloc, _, path = rest.partition("/")
        userinfo, at, address = netloc.rpartition("@")
        if not at:
            raise BadDsn("it has no public key")
        public_key, _, secret = userinfo.partition(":")
        if not public_key:
            raise BadDsn("its public key is empty")
        host, port = _split_address(address, scheme)
        prefix, _, project = path.rstrip("/").rpartition("/")
        if not project:
            raise BadDsn("it has no project id at the end of its path")
        text = text.strip()
        if not (text.isascii() and text.isprintable() and " " not in text) and any(
            c.isspace() or ord(c) < 32 for c in text
        ):
            raise BadDsn("it contains white space")
        prefix = "/" + prefix.strip("/") if prefix.strip("/") else ""
        return cls(scheme, _unquote(public_key), _unquote(secret), host, port, prefix, project)

    @property
    def origin(self) -> str:
        """``scheme://host[:port]`` without keys; the port only when it is not the scheme's default."""
        host = "[%s]" % self.host if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else ":%d" % self.port
        return "%s://%s%s" % (self.scheme, host, port)

    @property
    def envelope_path(self) -> str:
        """The endpoint's path; the slash at its end matters (404 without it on Bugsink)."""
        return "%s/api/%s/envelope/" % (self.path, self.project)

    @property
    def envelope_url(self) -> str:
        """The endpoint that takes envelopes, without keys."""
        return self.origin + self.envelope_path

    def auth_header(self, client: str) -> str:
        """The value of ``X-Sentry-Auth`` for *client* (``name/version``)."""
        header = "Sentry sentry_key=%s, sentry_version=7, sentry_client=%s" % (self.public_key, client)
        return header + (", sentry_secret=%s" % self.secret if self.secret else "")

    @property
    def masked(self) -> str:
        """For people: everything but the keys."""
        return "%s://***@%s%s/%s" % (self.scheme, self.origin.partition("://")[2], self.path, self.project)

    @property
    def digest(self) -> str:
        """16 hex characters that name this destination on disk without giving a key away."""
        identity = "\n".join((self.origin, self.path, self.project, self.public_key))
        return _sha256(identity.encode("utf-8", "surrogatepass"))[:16]

    @property
    def org_id(self) -> str | None:
        """The organisation in the host of sentry.io DSNs (``o123.ingest...``), for trace propagation."""
        first = self.host.partition(".")[0]
        return first[1:] if first[:1] == "o" and first[1:].isdigit() else None

    def __repr__(self) -> str:
        return "<Dsn %s>" % self.masked


def digest_of(text: str) -> str:
    """32 hex characters that follow from *text*, such as the id of an event."""
    return _sha256(text.encode("utf-8", "surrogatepass"))[:32]


def _sha256(data: bytes) -> str:
    # hashlib loads OpenSSL, three milliseconds in the middle of a first event; the plain C module has the same answer.
    # To look for a module that is not there is dear as well.
    for name in ("_sha2" if sys.version_info >= (3, 12) else "_sha256", "hashlib"):
        try:
            digest: str = __import__(name).sha256(data).hexdigest()
            return digest
        except (ImportError, AttributeError):
            continue
    raise BadDsn("this Python has no SHA-256")


def _split_address(address: str, scheme: str) -> tuple[str, int]:
    if address.startswith("["):
        host, bracket, tail = address[1:].partition("]")
        if not bracket or (tail and not tail.startswith(":")):
            raise BadDsn("its IPv6 address is not closed by a bracket")
        port_text = tail[1:] if tail else ""
    else:
        host, _, port_text = address.partition(":")
    if not host:
        raise BadDsn("it has no host")
    if not port_text:
        return host.lower(), _DEFAULT_PORTS[scheme]
    if not (port_text.isascii() and port_text.isdigit()) or not 0 < int(port_text) < 65536:
        raise BadDsn("its port is not a number between 1 and 65535")
    return host.lower(), int(port_text)


def _unquote(text: str) -> str:
    if "%" not in text:
        return text
    first, *rest = text.split("%")
    out = bytearray(first, "utf-8")
    for part in rest:
        if len(part) >= 2 and part[0] in _HEX and part[1] in _HEX:
            out.append(int(part[:2], 16))
            out += part[2:].encode("utf-8", "surrogatepass")
        else:
            out += b"%" + part.encode("utf-8", "surrogatepass")
    return out.decode("utf-8", "replace")
