"""An ASGI application for the tests, of no framework: what it does is in the path. ``wrapped`` is watched by hand, too."""

import asyncio
import functools
import os
import threading
import time

import errtrack


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    path, n = scope["path"].rpartition("/")[2], scope["query_string"].decode()
    if n:
        errtrack.set_tag("n", n)
        errtrack.add_breadcrumb(message=n)
    if scope["type"] == "websocket":
        return await websocket(path, receive, send)
    return await http(path, n, scope, receive, send)


class Thing:
    pass


async def http(path, n, scope, receive, send):
    if path == "fail":
        raise RuntimeError("failed " + n)
    if path == "named":
        # As routers do that follow the specification's example.
        scope["endpoint"] = {"function": http, "partial": functools.partial(http, path), "object": Thing()}[n]
        raise RuntimeError("named " + n)
    if path == "exit":
        raise SystemExit(3)
    if path == "cancelled":
        raise asyncio.CancelledError
    if path == "cause":
        try:
            raise KeyError("cause")
        except KeyError as error:
            raise RuntimeError("effect") from error
    if path == "grouped":
        raise group(RuntimeError("alone in a group"))
    if path == "two":
        raise group(RuntimeError("first of two"), KeyError("second of two"))
    if path == "handled":
        try:
            raise KeyError("handled")
        except KeyError:
            errtrack.capture_exception()
    if path == "inner":
        # As a test client does: a scope of its own, and the answer to itself.
        inner = {"type": "http", "method": "GET", "path": "/of-the-inner/fail", "query_string": b"inner"}
        inner["headers"] = [(b"host", b"inner")]
        from errtrack_run import by_hand

        try:
            await by_hand.asgi(app)(inner, receive, send)
        except RuntimeError:
            errtrack.capture_message("of the outer")
    body = b"fine " + n.encode()
    if path == "doors":
        body = " ".join(getattr(door, "__qualname__", "") for door in (receive, send)).encode()
    if path == "count":
        body = b"%d" % await count(receive)
    if path == "threads":
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, errtrack.capture_message, "in an executor")
        await loop.create_task(said("in a task"))
        thread = threading.Thread(target=errtrack.capture_message, args=("in a thread",))
        thread.start()
        thread.join()
    if path == "tags":
        errtrack.capture_message("tags")
    status = int(n) if path == "status" else 200
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"x-pid", b"%d" % os.getpid())]}
    )
    await send({"type": "http.response.body", "body": body})
    if path == "after":
        time.sleep(0.2)
        raise RuntimeError("after the answer")
    if path == "bad-send":
        await send({"type": "http.response.start", "status": 200, "headers": []})  # servers raise for it


def group(*errors):
    try:
        return ExceptionGroup("several", list(errors))
    except NameError:
        from exceptiongroup import ExceptionGroup as Backport

        return Backport("several", list(errors))


async def said(text):
    errtrack.capture_message(text)


async def count(receive):
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            return size


async def websocket(path, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return None
        if message.get("text") == "fail":
            raise RuntimeError("websocket")
        if message.get("text") == "talk":
            return await talk(send)
        if message.get("text") == "slow":
            await asyncio.sleep(0.2)
        await send({"type": "websocket.send", "text": message["text"]})


async def talk(send):
    try:
        for _ in range(20):
            await send({"type": "websocket.send", "text": "word"})
            await asyncio.sleep(0.05)
    finally:
        print("talked enough", flush=True)


async def lifespan(receive, send):
    while True:
        kind = (await receive())["type"]
        if kind == "lifespan.shutdown" and "LAST_WORD" in os.environ:
            errtrack.capture_message("the last word")
        await send({"type": kind + ".complete"})
        if kind == "lifespan.shutdown":
            return


async def wrapped(scope, receive, send):
    from errtrack_run import by_hand

    await by_hand.asgi(by_hand.asgi(app))(scope, receive, send)
