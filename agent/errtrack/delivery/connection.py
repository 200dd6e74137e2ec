# SPDX-License-Identifier: MIT
"""Connections: TLS, proxies and sockets that keep a deadline, on urllib3 1.26 and 2.

Only the sender imports this, and only when it sends: it loads urllib3, ssl and socket.
"""

from __future__ import annotations

import _socket
import os
import socket
import ssl
from time import monotonic

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from errtrack.delivery import places
from errtrack.delivery.sender import Aborted, BadTls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from errtrack.delivery.sender import Sender
    from errtrack.dsn import Dsn
    from errtrack.options import Options


def manager(options: Options, dsn: Dsn, environ: Mapping[str, str], sender: Sender) -> Any:
    """A pool manager whose connections *sender* can cut short. Raises :class:`BadTls`."""
    settings: dict[str, Any] = {"num_pools": 2, "maxsize": 1, "block": False, "retries": False}
    plain, tls = _socket_classes(sender)
    proxy = proxy_for(options, dsn, environ)
    if dsn.scheme == "https" or proxy.startswith("https:"):
        settings["ssl_context"] = tls_context(options, environ, tls)
    if proxy.partition("://")[0].lower().startswith("socks"):
        from urllib3.contrib.socks import SOCKSProxyManager

        # Host names are resolved by the proxy, as a closed network wants it.
        proxy = proxy.replace("socks5://", "socks5h://", 1).replace("socks4://", "socks4a://", 1)
        return SOCKSProxyManager(proxy, **settings)
    made: urllib3.PoolManager
    if proxy:
        user = urllib3.util.parse_url(proxy).auth
        if user:
            from urllib.parse import unquote

            settings["proxy_headers"] = urllib3.util.make_headers(proxy_basic_auth=unquote(user))
        if proxy.startswith("https:"):
            settings["proxy_ssl_context"] = settings["ssl_context"]
        made = urllib3.ProxyManager(proxy, **settings)
    else:
        made = urllib3.PoolManager(**settings)
    made.pool_classes_by_scheme = _pool_classes(sender, plain, options.connect_timeout)
    return made


def proxy_for(options: Options, dsn: Dsn, environ: Mapping[str, str]) -> str:
    """The proxy's URL for *dsn*, or the empty text. Settings come before the environment; ``none``: none."""
    name = dsn.scheme + "_proxy"
    chosen = str(options.https_proxy if dsn.scheme == "https" else options.http_proxy)
    if chosen.lower() == "none":
        return ""
    if not chosen:
        if _is_excepted(dsn, environ.get("no_proxy", environ.get("NO_PROXY", ""))):
            return ""
        chosen = environ.get(name, "")
        # In a CGI script HTTP_PROXY is what the client sent as its "Proxy:" header (httpoxy).
        if not chosen and not (name == "http_proxy" and "REQUEST_METHOD" in environ):
            chosen = environ.get(name.upper(), "")
        chosen = chosen or environ.get("all_proxy", "") or environ.get("ALL_PROXY", "")
    return chosen if "://" in chosen or not chosen else "http://" + chosen


def _is_excepted(dsn: Dsn, rule: str) -> bool:
    for entry in rule.split(","):
        name = entry.strip().lower().lstrip(".")
        if not name:
            continue
        if name == "*":
            return True
        if name.endswith(":%d" % dsn.port) and not name.startswith("["):
            name = name.rpartition(":")[0]
        if dsn.host == name.strip("[]") or dsn.host.endswith("." + name):
            return True
    return False


def tls_context(options: Options, environ: Mapping[str, str], socket_class: Any = None) -> ssl.SSLContext:
    """A verifying client context. Raises :class:`BadTls` when a file that was named cannot be used.

    CA certificates: ``ca_certs``; ``SSL_CERT_FILE``, ``REQUESTS_CA_BUNDLE``, ``CURL_CA_BUNDLE``; the system's
    store; certifi's, where the system has none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if urllib3.__version__.startswith("1."):  # type: ignore[attr-defined]
        # It compares the names itself then, and only then can it talk to hosts that are addresses.
        context.check_hostname = False
    if socket_class is not None:
        context.sslsocket_class = socket_class
    source = "ca_certs"
    bundle = options.ca_certs
    if not bundle:
        for source in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            bundle = environ.get(source, "")
            if bundle:
                break
    if bundle:
        try:
            if os.path.isdir(bundle):
                context.load_verify_locations(capath=bundle)
            else:
                context.load_verify_locations(cafile=bundle)
        except (OSError, ssl.SSLError) as error:
            raise BadTls("%s: cannot use %s (%s)" % (source, bundle, error.strerror or error)) from error
    else:
        context.load_default_certs()
        if not _system_has_certificates():
            try:
                import certifi

                context.load_verify_locations(cafile=certifi.where())
            except (ImportError, OSError):
                pass
    if options.cert_file:
        try:
            context.load_cert_chain(options.cert_file, options.key_file or None)
        except (OSError, ssl.SSLError) as error:
            key = " with key_file %s" % options.key_file if options.key_file else ""
            told = "cert_file: cannot use %s%s (%s)" % (options.cert_file, key, error.strerror or error)
            raise BadTls(told) from error
    return context


def _system_has_certificates() -> bool:
    if os.name == "nt":
        return True
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        return True
    try:
        return bool(paths.capath and os.listdir(paths.capath))
    except OSError:
        return False


def _socket_classes(sender: Sender) -> tuple[Any, Any]:
    """Socket classes that end a request at the sender's deadline, however slowly its bytes drip in."""

    class Plain(socket.socket):
        def sendall(self, data: Any, flags: int = 0) -> None:
            # What http.client sends as head and body goes in one packet; after a CONNECT there is no body.
            if data[:5] == b"POST " and data[-4:] == b"\r\n\r\n":
                flags |= _MORE
            super().sendall(data, flags | _NO_SIGNAL)

        def recv_into(self, *args: Any, **kwargs: Any) -> int:
            _expect(sender, self)
            return super().recv_into(*args, **kwargs)

    class Tls(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            _watch(sender, self)
            self.settimeout(_left(sender))
            super().do_handshake(block)

        def recv_into(self, *args: Any, **kwargs: Any) -> int:
            _expect(sender, self)
            return super().recv_into(*args, **kwargs)

    return Plain, Tls


def _pool_classes(sender: Sender, plain: Any, connect_timeout: float) -> dict[str, Any]:
    def connect(self: Any) -> Any:
        """Connect as urllib3 does, but with a socket that can be cut short from the first packet on."""
        host = getattr(self, "_dns_host", self.host).strip("[]").rstrip(".")
        failure: OSError | None = None
        for family, kind, protocol, _, address in _addresses(host, self.port):
            raw = _socket.socket(family, kind, protocol)
            made = plain(family, kind, protocol, fileno=places.out_of_the_way(raw.detach()))
            try:
                made.settimeout(min(connect_timeout, _left(sender)))
                _watch(sender, made)
                made.connect(address)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _keep_alive(made)
            except OSError as error:
                failure = error
                made.close()
                continue
            except BaseException:
                made.close()
                raise
            return made
        raise failure or OSError("%s has no address" % host)

    def reuse(connection: Any) -> None:
        if connection.sock is not None:
            _watch(sender, connection.sock)

    class Http(HTTPConnection):
        _new_conn = connect

        def request(self, *args: Any, **kwargs: Any) -> Any:
            reuse(self)
            return super().request(*args, **kwargs)

    class Https(HTTPSConnection):
        _new_conn = connect

        def request(self, *args: Any, **kwargs: Any) -> Any:
            reuse(self)
            return super().request(*args, **kwargs)

    class HttpPool(HTTPConnectionPool):
        ConnectionCls = Http

    class HttpsPool(HTTPSConnectionPool):
        ConnectionCls = Https

    return {"http": HttpPool, "https": HttpsPool}


def _addresses(host: str, port: int) -> Any:
    try:
        return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    except RuntimeError:  # gevent's asks in a thread of its own, and from 3.12 on none is to be had at exit
        return _socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)


#: There is more to come, says Linux to itself.
_MORE = getattr(socket, "MSG_MORE", 0)
#: A worker that is a greenlet is in a thread of the application's, whose signals are not ours to hold back.
_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)

#: Seconds of silence, seconds between probes, and how many of them: a minute and a half later a peer that has gone
#: without a word (a NAT that forgot, a host that froze) is known to be gone, and not when an event waits for it.
_PROBES = (("TCP_KEEPIDLE", 45), ("TCP_KEEPALIVE", 45), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6))


def _keep_alive(made: socket.socket) -> None:
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _PROBES:
        option = getattr(socket, name, None)  # macOS has the second, Linux the others
        if option is not None:
            made.setsockopt(socket.IPPROTO_TCP, option, value)


def _expect(sender: Sender, found: socket.socket) -> None:
    """Wait for an answer on *found* no longer than there is time, and acknowledge its parts at once.

    A server that writes head and body one after the other, as Python's own http.server does, waits between the two for
    an acknowledgement, which Linux would put off for 40 ms: at exit, that is most of a second for twenty events.
    """
    left = sender.until - monotonic()
    if left <= 0.0:  # a peer that always has one byte more to say would never be waited for
        raise socket.timeout("timed out")
    found.settimeout(left)
    option = getattr(socket, "TCP_QUICKACK", None)  # Linux; it does not last
    if option is not None:
        try:
            found.setsockopt(socket.IPPROTO_TCP, option, 1)
        except OSError:  # whoever only plays Linux may not know it
            pass


def _left(sender: Sender) -> float:
    return max(0.001, sender.until - monotonic())


def _watch(sender: Sender, found: socket.socket) -> None:
    """From now on :meth:`Sender.abort` cuts *found* short; if it was called already, so be it."""
    sender.watch(found)
    if sender.aborted:
        raise Aborted("errtrack is shutting down")
