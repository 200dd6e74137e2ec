# SPDX-License-Identifier: MIT
"""HTTP requests and started processes are breadcrumbs of the events that follow, and carry the trace on.

Seen is what goes through ``http.client`` (urllib, requests, urllib3, botocore and others) and ``subprocess``. With
tracing on they are spans too. Query strings and command lines are filtered. A request that is refused is a breadcrumb
without a status. ``trace_propagation_targets`` names the URLs whose requests get ``sentry-trace`` and ``baggage``
headers; child processes get the same in their environment, unless ``subprocess.propagate_trace`` is off.
"""

from __future__ import annotations

from errtrack.instrumentation import Instrumentation, Late, LateSteps, Patch

from ._late import _http_client, _processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def is_unwatched(args: Any) -> bool:
    """Whether a wait for a process is none of our business."""
    return _processes.is_unwatched(args)


def note_end(response: Any) -> None:
    """HTTPResponse._close_conn(self): all of the body was read, or the answer is closed"""
    _http_client.note_end(response)


INSTRUMENTATION = Instrumentation(
    "stdlib",
    patches=[
        Patch("http.client", "HTTPConnection.endheaders", LateSteps(lambda: _http_client.send_headers)),
        Patch("http.client", "HTTPConnection.getresponse", LateSteps(lambda: _http_client.note_response)),
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
