# SPDX-License-Identifier: MIT
"""What leaves the process: where a request goes, the trace that it carries, a command line without its secrets.

Headers: https://develop.sentry.dev/sdk/foundations/trace-propagation/ and https://www.w3.org/TR/baggage/.
"""

from __future__ import annotations

import os
import sys

from errtrack import guard
from errtrack import options as settings_in_force

from . import _breadcrumbs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional

    from errtrack.capture.paths import Territory
    from errtrack.capture.scrubber import Scrubber
    from errtrack.context.span import Span
    from errtrack.options import Options

    Address = Optional[tuple[str, int]]
    #: Host and port of a connection, those that it is a tunnel to, and the port of its scheme.
    Place = tuple[str, Optional[int], Optional[str], Optional[int], int]

_LONGEST = 4096
_MOST_WORDS = 100

#: Modules of the standard library that start programs to find something out; no step of the application.
_NOISE = frozenset(("ctypes.util", "platform", "uuid", "_osx_support"))


class Settings:
    """What is derived from the options once: our server's address, the targets of traces, the scrubber."""

    __slots__ = ("_patterns", "_scrubber", "_territory", "crumbs", "options", "own", "reaches_all")

    def __init__(self, options: Options) -> None:
        self.options = options
        self.own: Address = None
        if options.dsn:
            from errtrack.dsn import Dsn

            dsn = Dsn.parse(options.dsn)
            self.own = (dsn.host, dsn.port)
        #: How many breadcrumbs are kept as they come; 0: none, or a hook wants to see each finished.
        self.crumbs = max(0, _breadcrumbs.most())
        self.reaches_all = options.trace_propagation_targets == (".*",)
        self._patterns: list[Any] | None = None
        self._scrubber: Scrubber | None = None
        self._territory: Territory | None = None

    @property
    def scrubber(self) -> Scrubber:
        if self._scrubber is None:
            from errtrack.capture.scrubber import Scrubber

            self._scrubber = Scrubber(self.options)
        return self._scrubber

    @property
    def territory(self) -> Territory:
        if self._territory is None:
            from errtrack.capture.paths import Territory

            self._territory = Territory(self.options)
        return self._territory

    def header_lines(self, given: list[bytes], span: Span | None) -> list[bytes]:
        """The trace of *span*, or of the unit of work, as lines of a request; none where the application has
        *given* its own.
        """
        pair = trace.in_force.get() if span is None else None
        carried = pair[0].propagation if pair is not None else None
        known = carried.lines if carried is not None else None
        if known is None or known[0] is not self.options:
            known = self._made_lines(span)
        lines: list[bytes] = known[1]
        if lines:
            # As text: bytes make and drop an exception each time they are asked what is in them.
            there = b"\n".join(given).decode("latin-1").lower()
            # A signature of AWS is made of the headers that were there.
            if "sentry-trace:" in there or "authorization: aws4-" in there:
                return []
        return lines

    def _made_lines(self, span: Span | None) -> tuple[Options, list[bytes]]:
        headers, lines = trace.outgoing_headers(span), []
        if headers[0]:
            lines = [b"sentry-trace: " + headers[0].encode("ascii")]
            if headers[1]:
                lines.append(b"baggage: " + headers[1].encode("ascii", "replace"))
            if self.options.propagate_traceparent:
                lines.append(b"traceparent: " + trace.traceparent_of(headers[0]).encode("ascii"))
            if span is None:
                trace.in_force.get()[0].propagation.lines = (self.options, lines)
        return self.options, lines

    def is_target(self, connection: Any, line: bytes) -> bool:
        """Whether a request on *connection* carries the trace."""
        if self.reaches_all:
            return True
        target = split(line)[1]
        return self.reaches(base_url(place_of(connection), target) + target)

    def reaches(self, url: str) -> bool:
        """Whether a request to *url* carries the trace."""
        if self.reaches_all:
            return True
        if self._patterns is None:
            import re

            self._patterns = [re.compile(p) for p in self.options.trace_propagation_targets]
        return any(pattern.search(url) for pattern in self._patterns)


#: The module ``errtrack.context.trace``, once something goes out: a program that only imports what is patched here does
#: not need it.
trace: Any = None


def load_trace() -> Any:
    """Load :data:`trace`."""
    global trace
    with guard.Inside():  # a finaliser that asks for something may come in between
        from errtrack.context import trace as loaded

    trace = loaded
    return loaded


#: What :func:`settings` returned last: where it is asked all the time, to look at it first is cheaper.
in_force: Settings | None = None


def settings() -> Settings:
    """What holds for the options in force."""
    global in_force
    made = in_force
    if made is None or settings_in_force._current.get("options") is not made.options:
        made = in_force = Settings(settings_in_force.current())
    return made


def split(line: bytes) -> tuple[str, str]:
    """Method and target of a request's first line."""
    method, _, rest = line.decode("latin-1").partition(" ")
    return method, rest.rpartition(" ")[0]


def place_of(connection: Any) -> Place:
    """Where the requests of an ``HTTPConnection`` go."""
    return (
        connection.host,
        connection.port,
        connection._tunnel_host,
        connection._tunnel_port,
        connection.default_port,
    )


def base_url(place: Place, target: str) -> str:
    """Scheme, host and port of a request to *place*; "" where *target* has them itself."""
    if target[:1] != "/" and target.startswith(("http://", "https://")):
        return ""  # to a proxy that forwards
    host, port, tunnel_host, tunnel_port, default = place
    if tunnel_host:
        host, port = tunnel_host, tunnel_port
    if ":" in host and host[:1] != "[":
        host = "[%s]" % host
    scheme = "https" if default == 443 else "http"
    return "%s://%s" % (scheme, host) if port in (default, None) else "%s://%s:%d" % (scheme, host, port)


def is_to(own: Address, connection: Any, target: str) -> bool:
    """Whether a request goes to *own*: our server."""
    if own is None:
        return False
    if connection._tunnel_host:
        return (connection._tunnel_host, connection._tunnel_port or 443) == own
    if target.startswith(("http://", "https://")):
        place = target.partition("://")[2].partition("/")[0].rpartition("@")[2]
        port = 443 if target.startswith("https") else 80
        return place in ("%s:%d" % own, own[0] if own[1] == port else None)
    return bool((connection.host, connection.port) == own)


def command_text(command: Any, scrubber: Scrubber) -> str:
    """A command for people: words joined by blanks, other forms as Python writes them; secrets filtered."""
    kind = type(command)
    if kind in (str, bytes):
        text = _word(command)[: 2 * _LONGEST]
        return repr(" ".join(scrubber.argv(text.split(" "))))[:_LONGEST]
    if kind in (list, tuple):
        words = scrubber.argv([_word(word) for word in command[:1000]])
        return (" ".join(words) if len(command) < _MOST_WORDS else repr(words))[:_LONGEST]
    # An iterator must not be used up, and a repr() may be the application's code.
    return _word(command)


def _word(value: Any) -> str:
    kind = type(value)
    if issubclass(kind, str):
        return str.__str__(value)
    if kind is bytes:
        return os.fsdecode(value)
    if kind.__module__.startswith("pathlib"):
        return os.fspath(value)  # type: ignore[no-any-return]
    return "<%s object>" % kind.__qualname__


def is_noise() -> bool:
    """Whether the standard library starts this process for purposes of its own."""
    frame = sys._getframe(2)
    for _ in range(12):
        name = frame.f_globals.get("__name__")
        if name not in ("subprocess", "os") and not str(name).startswith("errtrack"):
            return name in _NOISE
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return False


def with_trace(env: Any, trace: str, baggage: str) -> dict[Any, Any]:
    """A copy of *env* (None: of ours), which has items, that hands the trace to a child process."""
    child = dict((os.environ if env is None else env).items())
    for names in (("ERRTRACK_TRACE", "ERRTRACK_BAGGAGE"), ("SUBPROCESS_SENTRY_TRACE", "SUBPROCESS_BAGGAGE")):
        child[names[0]] = trace
        child[names[1]] = baggage
    return child
