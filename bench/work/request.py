# SPDX-License-Identifier: MIT
"""The CPU of a request in process, at the door of a real WSGI server object, with no socket in between.

``request.py APP PATH COUNT WARM_UP``: the calling thread's CPU and the whole process' CPU, microseconds each.
"""

from __future__ import annotations

import io
import sys
from time import process_time_ns, thread_time_ns
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import agents
import apps


def environ(path: str) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "page=2",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_USER_AGENT": "bench",
        "HTTP_ACCEPT": "*/*",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
    return lambda data: None


def serve(app: Any, path: str, count: int) -> None:
    for _ in range(count):
        answer = app(environ(path), start_response)
        for _chunk in answer:
            pass
        close = getattr(answer, "close", None)
        if close is not None:
            close()


def main(name: str, path: str, count: int, warm_up: int) -> None:
    server = WSGIServer(("127.0.0.1", 0), WSGIRequestHandler, bind_and_activate=False)
    server.set_app(getattr(apps, name)())
    app = server.get_app()
    serve(app, path, warm_up)
    if path != "/":
        agents.flush(5)
    process, thread = process_time_ns(), thread_time_ns()
    serve(app, path, count)
    thread = thread_time_ns() - thread
    if path != "/":
        agents.flush(5)
    process = process_time_ns() - process
    agents.report(thread=thread / 1e3 / count, process=process / 1e3 / count)
    server.server_close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
