# SPDX-License-Identifier: MIT
"""HTTP requests and started processes are breadcrumbs of the events that follow, and carry the trace on.

Seen is what goes through ``http.client`` (urllib, requests, urllib3, botocore and others) and ``subprocess``.
Query strings and command lines are filtered. A request that is refused is a breadcrumb without a status.
``trace_propagation_targets`` names the URLs whose requests get ``sentry-trace`` and ``baggage`` headers; child
processes get the same in their environment, unless ``subprocess.propagate_trace`` is off.
"""

from __future__ import annotations

from errtrack import guard
from errtrack.instrumentation import Call, Instrumentation, Patch

from . import _breadcrumbs, _outgoing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.instrumentation import Advice

#: The attribute of a connection that holds the first line of the request under way.
_REQUEST = "_errtrack_request"


def send_headers(call: Call) -> Advice:
    """HTTPConnection.endheaders(self, message_body=None, *, encode_chunked=False)"""
    connection = call.args[0]
    lines = (
        connection._buffer
    )  # until here nothing has been sent; only now the application's headers are known
    if not lines or guard.is_inside():
        yield
        return
    settings, line = _outgoing.settings(), lines[0]
    if settings.own is not None and _outgoing.is_to(settings.own, connection, _outgoing.split(line)[1]):
        yield
        return
    if settings.is_target(connection, line):
        lines += settings.header_lines(lines)
    connection._errtrack_request = line
    try:
        yield
    except BaseException:  # refused, no such host, bad certificate: connections are made here
        note_request(connection, line)
        raise


def note_response(call: Call) -> Advice:
    """HTTPConnection.getresponse(self) -> HTTPResponse"""
    connection = call.args[0]
    line = vars(connection).get(_REQUEST)
    if line is None:
        yield
        return
    try:
        response = yield
    except TypeError:  # urllib3 1 first asks with an argument that is gone since Python 3
        raise
    except BaseException:
        note_request(connection, line)
        raise
    note_request(connection, line, response)


def note_request(connection: Any, line: bytes, response: Any = None) -> None:
    """Leave the breadcrumb; the request is done."""
    connection._errtrack_request = None
    method, target = _outgoing.split(line)
    url, _, fragment = target.partition("#")
    url, _, query = url.partition("?")
    data: dict[str, Any] = {
        "url": _outgoing.base_url(connection, target) + url,
        "http.method": method,
        "http.query": query,
        "http.fragment": fragment,
    }
    if connection._tunnel_host:
        data["network.peer.address"], data["network.peer.port"] = connection.host, connection.port
    crumb: dict[str, Any] = {"type": "http", "category": "httplib", "data": data}
    if response is not None:
        status = data["http.response.status_code"] = response.status
        data["reason"] = response.reason
        if status >= 400:
            crumb["level"] = "error" if status >= 500 else "warning"
    _breadcrumbs.note(crumb)


def begin_process(call: Call) -> Advice:
    """Popen.__init__(self, args, ..., cwd=None, env=None, ...): the tenth and eleventh"""
    if not guard.is_inside() and not _outgoing.is_noise():
        settings = _outgoing.settings()
        message = _outgoing.command_text(call.get(1, "args"), settings.scrubber)
        cwd = call.get(10, "cwd")
        data = {"subprocess.cwd": _outgoing.command_text([cwd], settings.scrubber)} if cwd else {}
        crumb = {"type": "subprocess", "category": "subprocess", "message": message, "data": data}
        _breadcrumbs.note(crumb)
        trace, baggage = settings.trace_headers()
        if trace and settings.options.subprocess_propagate_trace and settings.options.propagate:
            call.replace(11, "env", _outgoing.with_trace(call.get(11, "env"), trace, baggage))
    yield


INSTRUMENTATION = Instrumentation(
    "stdlib",
    patches=[
        Patch("http.client", "HTTPConnection.endheaders", send_headers),
        Patch("http.client", "HTTPConnection.getresponse", note_response),
        Patch("subprocess", "Popen.__init__", begin_process),
        Patch("gevent.subprocess", "Popen.__init__", begin_process),
    ],
)
