# SPDX-License-Identifier: MIT
"""HTTP requests and started processes are breadcrumbs of the events that follow, and carry the trace on.

Seen is what goes through ``http.client`` (urllib, requests, urllib3, botocore and others) and ``subprocess``. With
tracing on they are spans too. Query strings and command lines are filtered. A request that is refused is a breadcrumb
without a status. ``trace_propagation_targets`` names the URLs whose requests get ``sentry-trace`` and ``baggage``
headers; child processes get the same in their environment, unless ``subprocess.propagate_trace`` is off.
"""

from __future__ import annotations

from time import time

from errtrack.instrumentation import Instrumentation, Late, LateSteps, Patch, Steps

from ._late import _breadcrumbs, _http_client, _outgoing, _processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def is_unwatched(args: Any) -> bool:
    """Whether a wait for a process is none of our business."""
    return _processes.is_unwatched(args)


def request_of(connection: Any) -> Any:
    """First line and span of the request under way on *connection*.

    Not by its ``__dict__``: to ask for that makes every later access to the connection slower.
    """
    try:
        return connection._errtrack_request
    except AttributeError:
        return None


def answered(args: Any, response: Any) -> None:
    """HTTPConnection.getresponse(self) -> HTTPResponse"""
    connection = args[0]
    request = request_of(connection)
    if request is None:
        return
    line, span = request
    settings = _outgoing.in_force
    if span is not None or settings is None or not settings.crumbs:
        _http_client.note(connection, line, span, response)
        return
    connection._errtrack_request = None
    place = _outgoing.place_of(connection)
    parts = (_http_client.breadcrumb, place, line, response.status, response.reason, time())
    (_breadcrumbs.keep_now or _breadcrumbs.load())(parts, settings.crumbs)


def unanswered(args: Any, error: BaseException) -> None:
    """HTTPConnection.getresponse(self) has raised *error*."""
    request = request_of(args[0])
    # urllib3 1 first asks with an argument that is gone since Python 3, and gets a TypeError.
    if request is not None and not isinstance(error, TypeError):
        _http_client.note(args[0], *request)


def note_end(response: Any) -> None:
    """HTTPResponse._close_conn(self): all of the body was read, or the answer is closed"""
    _http_client.note_end(response)


INSTRUMENTATION = Instrumentation(
    "stdlib",
    patches=[
        Patch("http.client", "HTTPConnection.endheaders", LateSteps(lambda: _http_client.send_headers)),
        Patch("http.client", "HTTPConnection.getresponse", Steps(returned=answered, failed=unanswered)),
        Patch("http.client", "HTTPResponse._close_conn", note_end, after=True, traced=True),
        *(
            patch
            for module in ("subprocess", "gevent.subprocess")
            for patch in (
                Patch(module, "Popen.__init__", Late(lambda: _processes.begin)),
                Patch(module, "Popen.communicate", Late(lambda: _processes.communicate), is_unwatched),
                Patch(module, "Popen.wait", Late(lambda: _processes.wait), is_unwatched),
            )
        ),
    ],
)
