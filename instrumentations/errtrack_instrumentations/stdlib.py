# SPDX-License-Identifier: MIT
"""HTTP requests and started processes are breadcrumbs of the events that follow, and carry the trace on.

Seen is what goes through ``http.client`` (urllib, requests, urllib3, botocore and others) and ``subprocess``. With
tracing on they are spans too. Query strings and command lines are filtered. A request that is refused is a breadcrumb
without a status. ``trace_propagation_targets`` names the URLs whose requests get ``sentry-trace`` and ``baggage``
headers; child processes get the same in their environment, unless ``subprocess.propagate_trace`` is off.
"""

from __future__ import annotations

from errtrack.instrumentation import Instrumentation, Patch

from . import _http_client, _processes

INSTRUMENTATION = Instrumentation(
    "stdlib",
    patches=[
        Patch("http.client", "HTTPConnection.endheaders", _http_client.send_headers),
        Patch("http.client", "HTTPConnection.getresponse", _http_client.note_response),
        Patch("http.client", "HTTPResponse._close_conn", _http_client.note_end, after=True, traced=True),
        *(
            patch
            for module in ("subprocess", "gevent.subprocess")
            for patch in (
                Patch(module, "Popen.__init__", _processes.begin),
                Patch(module, "Popen.communicate", _processes.communicate, _processes.is_unwatched),
                Patch(module, "Popen.wait", _processes.wait, _processes.is_unwatched),
            )
        ),
    ],
)
