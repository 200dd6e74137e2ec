# SPDX-License-Identifier: MIT
"""The sender: one HTTP request for one envelope, and what the server's answer means.

Everything here may block and runs in the delivery thread (or, at exit, where no thread can be had). Never
followed is a redirect, never retried a request, never read more than 64 KiB of an answer, and another thread
can cut a hanging request short with :meth:`Sender.abort`.
"""

from __future__ import annotations

import os
from time import monotonic, time

from errtrack import guard
from errtrack.delivery import envelope as envelopes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from errtrack.dsn import Dsn
    from errtrack.options import Options

#: No more than this of an answer is read, bytes.
READ_AT_MOST = 65_536

_COMPRESS_ABOVE = 1024
_COMPRESS_LEVEL = 3

# What becomes of an envelope.
DELIVERED = "delivered"
REFUSED = "refused"  # the server will never take it
TOO_LARGE = "too large"
FORBIDDEN = "forbidden"  # nothing will get through until somebody corrects the settings
LIMITED = "limited"
BUSY = "busy"  # try again later
BROKEN = "broken"  # try again a few times
UNREACHABLE = "unreachable"

_MEANINGS = {
    401: FORBIDDEN,
    403: FORBIDDEN,
    407: FORBIDDEN,
    408: BUSY,
    413: TOO_LARGE,
    425: BUSY,
    429: LIMITED,
    502: BUSY,
    503: BUSY,
    504: BUSY,
}


class Answer:
    """What came of a request: ``status`` (0: none), ``headers`` (lower case names), ``error`` for people.

    ``tls_remedy``: what to do about TLS; empty where that is not what failed.
    """

    __slots__ = ("detail", "error", "headers", "status", "tls_remedy")

    def __init__(
        self,
        status: int = 0,
        headers: Mapping[str, str] | None = None,
        detail: str = "",
        error: str = "",
        tls_remedy: str = "",
    ) -> None:
        self.status = status
        self.headers: Mapping[str, str] = headers or {}
        #: The server's own words on a refusal: ``X-Sentry-Error`` or the beginning of the body.
        self.detail = detail
        self.error = error
        self.tls_remedy = tls_remedy

    @property
    def meaning(self) -> str:
        """One of the words above, from ``DELIVERED`` to ``UNREACHABLE``."""
        status = self.status
        if status == 0:
            return FORBIDDEN if self.tls_remedy else UNREACHABLE
        if 200 <= status < 300:
            return DELIVERED
        found = _MEANINGS.get(status)
        if found is None:
            # A redirect is a DSN that needs correcting: its http is the server's https, or its host moved.
            found = FORBIDDEN if 300 <= status < 400 else BROKEN if status >= 500 else REFUSED
        return found


class Aborted(Exception):
    """The request was cut short by :meth:`Sender.abort`."""


class Sender:
    """Sends envelopes to *dsn*. One thread at a time; only :meth:`abort` may be called from another."""

    def __init__(self, options: Options, dsn: Dsn, environ: Mapping[str, str] | None = None) -> None:
        self._options = options
        self._dsn = dsn
        self._environ: Mapping[str, str] = os.environ if environ is None else environ
        self._manager: Any = None
        self._socket: Any = None
        self._latest: Any = None
        self._identity: object = None
        #: When the request in hand must be over, monotonic.
        self.until = 0.0
        self.aborted = False

    def send(self, envelope: bytes, timeout: float | None = None) -> Answer:
        """POST *envelope* and return what came of it; never raises for what the network or the server does.

        *timeout* (seconds) shortens the one of the settings. Raises :class:`ValueError` for what is no
        envelope.
        """
        with guard.Inside():
            body = envelopes.as_sent(envelope, time(), self._dsn.public_key)
            total = self._options.request_timeout
            total = total if timeout is None else min(total, timeout)
            if self.aborted or total <= 0:
                return Answer(error="there was no time left")
            self.until = monotonic() + total
            try:
                return self._post(body, total)
            except Exception as error:
                return self._failure(error)
            finally:
                self._socket = None

    def abort(self) -> None:
        """Cut the request in hand short, and let no other begin. May be called from any thread."""
        self.aborted = True
        found = self._socket
        if found is not None:
            try:
                import socket

                # Not found.shutdown(): that of a TLS socket takes its parts away under the other thread's
                # hands.
                socket.socket.shutdown(found, socket.SHUT_RDWR)
            except (OSError, ValueError):
                pass

    def watch(self, found: Any) -> None:
        """Remember *found* as the socket of the request in hand."""
        if found is not self._latest:
            self._identity = _identity_of(found)
        self._socket = self._latest = found

    def _let_go_of_others(self) -> None:
        """Leave the kept socket alone where its number means something of the application's by now."""
        found = self._latest
        if found is not None and found.fileno() >= 0 and _identity_of(found) != self._identity:
            found.detach()  # first: the pool closes what it has as it goes
            self._latest = self._manager = None

    def after_fork_in_child(self) -> None:
        """Close the inherited descriptor and nothing else: the pool's locks may be held for ever."""
        found, self._latest = self._latest, None
        if found is not None:
            from stat import S_ISSOCK

            try:
                is_ours = _identity_of(found) == self._identity
                descriptor = found.detach()
                if is_ours and S_ISSOCK(os.fstat(descriptor).st_mode):
                    os.close(descriptor)
            except (OSError, ValueError):
                pass

    def close(self) -> None:
        """Close the kept-alive connection."""
        self._let_go_of_others()
        manager, self._manager = self._manager, None
        if manager is not None:
            manager.clear()

    def _post(self, body: bytes, total: float) -> Answer:
        import urllib3

        self._let_go_of_others()
        if self._manager is None:
            from errtrack.delivery.connection import manager

            self._manager = manager(self._options, self._dsn, self._environ, self)
        headers = {
            "Content-Type": "application/x-sentry-envelope",
            "User-Agent": envelopes.CLIENT,
            "X-Sentry-Auth": self._dsn.auth_header(envelopes.CLIENT),
        }
        if len(body) > _COMPRESS_ABOVE:
            body = compressed(body)
            headers["Content-Encoding"] = "gzip"
        connect = min(self._options.connect_timeout, total)
        response = self._manager.urlopen(
            "POST",
            self._dsn.envelope_url,
            body=body,
            headers=headers,
            redirect=False,
            retries=False,
            preload_content=False,
            timeout=urllib3.Timeout(connect=connect, read=total),
        )
        try:
            found = response.read(READ_AT_MOST + 1, decode_content=False)
        except Exception:
            # The status is what counts; 200 was said and the body broke off. The connection is of no use any
            # more.
            found = b"\0" * (READ_AT_MOST + 1)
        if len(found) > READ_AT_MOST:
            response.close()
            found = b""
        else:
            response.release_conn()
        answered = {name.lower(): value for name, value in response.headers.items()}
        detail = answered.get("x-sentry-error", "")
        if not detail and response.status >= 300:
            detail = found[:300].decode("utf-8", "replace")
        return Answer(response.status, answered, " ".join(detail.split()))

    def _failure(self, error: BaseException) -> Answer:
        """Put *error* into words and drop the connection: half an answer must not be read as the next."""
        self.close()
        if isinstance(error, ImportError):
            return Answer(error="urllib3 cannot be imported (%s)" % error)
        root = error
        # urllib3 wraps: MaxRetryError(NewConnectionError), SSLError(SSLCertVerificationError)
        for _ in range(5):
            inner = getattr(root, "reason", None)
            if not isinstance(inner, BaseException):
                inner = root.args[-1] if root.args and isinstance(root.args[-1], BaseException) else None
            if inner is None:
                break
            root = inner
        kind = type(root).__name__
        # A TLS handshake that broke off because of the network is a network fault; one that was refused is
        # not.
        words = getattr(root, "verify_message", "") or getattr(root, "strerror", "") or str(root) or kind
        if "Timeout" in kind or "timed out" in words:
            words = "no answer in time"
        remedy = ""
        if isinstance(root, BadTls):
            remedy = "correct that setting"
        elif "CertificateError" in kind or "CertVerification" in kind:
            remedy = _tls_remedy(words)
        return Answer(error=" ".join(str(words).split())[:300], tls_remedy=remedy)


def _tls_remedy(words: str) -> str:
    """What to do about a certificate that is refused, by what OpenSSL or urllib3 says of it."""
    if "match" in words:
        return "put the host into the DSN that the server's certificate is for"
    if "expired" in words:
        return "renew the server's certificate"
    return "set ca_certs (ERRTRACK_CA_CERTS) to the file of the authority that the server is certified by"


class BadTls(Exception):
    """The settings for TLS (``ca_certs``, ``cert_file``, ``key_file``) cannot be used."""


def compressed(body: bytes) -> bytes:
    """*body* in gzip's format, without a time, so that the same bytes give the same bytes."""
    import zlib

    packer = zlib.compressobj(_COMPRESS_LEVEL, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()


def _identity_of(found: Any) -> object:
    """What the descriptor of the socket *found* means; None where it means nothing any more."""
    try:
        status = os.fstat(found.fileno())
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
