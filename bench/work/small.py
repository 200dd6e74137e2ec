# SPDX-License-Identifier: MIT
"""Small things that happen often: a log line, an HTTP request of the standard library, a thread.

``small.py WHAT COUNT``: microseconds of CPU for one.
"""

from __future__ import annotations

import http.client
import logging
import socket
import sys
import threading
from time import process_time_ns, thread_time_ns

import agents

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


def log(count: int, level: int) -> float:
    logger = logging.getLogger("shop.orders")
    logger.setLevel(logging.INFO)
    logger.addHandler(logging.NullHandler())
    for number in range(200):
        logger.log(level, "order %s of %s", number, "Ada")
    cpu = thread_time_ns()
    if level == logging.INFO:
        for number in range(count):
            logger.info("order %s of %s", number, "Ada")
    else:
        for number in range(count):
            logger.debug("order %s of %s", number, "Ada")
    return (thread_time_ns() - cpu) / 1e3 / count


def requests(count: int) -> float:
    """Over a real socket on whose other end the answer lies ready, so that nobody is waited for."""
    ours, theirs = socket.socketpair()
    connection = http.client.HTTPConnection("127.0.0.1", 9)
    connection.sock = ours
    spent = 0
    for number in range(-20, count):
        theirs.sendall(ANSWER)
        cpu = thread_time_ns()
        connection.request("GET", "/stock/7")
        connection.getresponse().read()
        if number >= 0:
            spent += thread_time_ns() - cpu
        theirs.recv(65_536)
    return spent / 1e3 / count


def threads(count: int) -> float:
    def nothing() -> None:
        pass

    for _ in range(20):
        threading.Thread(target=nothing).start()
    cpu = process_time_ns()
    for _ in range(count):
        thread = threading.Thread(target=nothing)
        thread.start()
        thread.join()
    return (process_time_ns() - cpu) / 1e3 / count


def main(what: str, count: int) -> None:
    if what == "http":
        agents.report(cpu=requests(count))
    elif what == "thread":
        agents.report(cpu=threads(count))
    else:
        agents.report(cpu=log(count, logging.INFO if what == "info" else logging.DEBUG))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
