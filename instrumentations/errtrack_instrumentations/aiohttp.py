# SPDX-License-Identifier: MIT
"""Failed requests of aiohttp's server are reported with their handler; sub-applications, streams and websockets, too.

``HTTPException`` is an answer, below 500 (``aiohttp.failed_request_status_codes``); so is what a handler returns. A
client that went away is no failure. The body is shown when the handler had read it.
"""

from __future__ import annotations

import sys

from errtrack import loggers
from errtrack.instrumentation import Call, Instrumentation, OnImport, Patch

from . import _aiohttp, _http

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from errtrack.instrumentation import Advice


def handle_request(call: Call) -> Advice:
    """RequestHandler._handle_request(self, request, start_time, request_handler) -> (response, reset)"""
    record = _aiohttp.begin(call.get(1, "request"))
    token = record.enter()
    status, code = "", 0
    try:
        answer = yield
        code = getattr(answer[0], "status", 0)
    except Exception as error:  # the server's own: of what the handler returned, or of a connection
        status = "internal_error"
        if not record.settled and not isinstance(error, ConnectionError):
            record.report(error)
        raise
    except BaseException:  # cancelled: the client has gone, or the server is going
        status = "cancelled"
        raise
    finally:
        record.leave(token)
        record.close(status, code)


def report_failure(call: Call) -> Advice:
    """Application._handle(self, request) -> response"""
    try:
        yield
    except Exception as error:
        if _aiohttp.is_failure(call.get(1, "request"), error):
            _aiohttp.report(error)
        raise


def name_request(call: Call) -> Advice:
    """UrlDispatcher.resolve(self, request) -> match"""
    match = yield
    _aiohttp.name(call.get(1, "request"), match)


def report_rest(call: Call) -> Advice:
    """RequestHandler.handle_error(self, request, status=500, exc=None, message=None): for servers of no application"""
    error = call.get(3, "exc") or sys.exc_info()[1]
    if (
        isinstance(error, Exception)
        and call.get(2, "status", 500) >= 500
        and _aiohttp.is_failure(call.get(1, "request"), error)
    ):
        _aiohttp.report(error)
    yield


def converse(call: Call) -> Advice:
    """WebSocketResponse.prepare(self, request) -> writer: from here on there is no request to wait for"""
    yield
    record = _aiohttp.current()
    if record is not None:
        record.close(http_status=101)


def prepare(protocol: ModuleType) -> None:
    """aiohttp.web_protocol has been loaded. Its log of requests is left out: it has the client's address."""
    loggers.ignore("aiohttp.access")
    _http.prepare()


INSTRUMENTATION = Instrumentation(
    "aiohttp",
    supports=">=3.8",
    patches=[
        Patch("aiohttp.web_protocol", "RequestHandler._handle_request", handle_request),
        Patch("aiohttp.web_protocol", "RequestHandler.handle_error", report_rest),
        Patch("aiohttp.web_app", "Application._handle", report_failure),
        Patch("aiohttp.web_urldispatcher", "UrlDispatcher.resolve", name_request),
        Patch("aiohttp.web_ws", "WebSocketResponse.prepare", converse),
    ],
    on_import=[OnImport("aiohttp.web_protocol", prepare)],
)
