"""Applications that the tests serve: a plain WSGI callable and Flask, each with a failing route."""

RAW = """
import errtrack, time

def app(environ, start_response):
    path = environ["PATH_INFO"]
    n = environ.get("QUERY_STRING", "")
    errtrack.set_tag("query", n)
    errtrack.set_user({"id": n})
    errtrack.add_breadcrumb(message=n)
    if n[:1] == "n":
        time.sleep(0.02)
    if path == "/fail":
        raise RuntimeError("failed " + n)
    if path == "/exit":
        raise SystemExit(1)
    if path == "/exit0":
        raise SystemExit(0)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/generator":
        return pieces(n)
    if path == "/close":
        return Closing()
    if path == "/file":
        return environ.get("wsgi.file_wrapper", iter)(open(__file__, "rb"))
    if path == "/one":
        return [b"just this"]
    if path == "/nothing":
        return []
    if path == "/sized":
        return Sized()
    if path == "/endless":
        return endless(n)
    return [b"fine ", n.encode()]

def pieces(n):
    yield b"first"
    if n == "fail":
        raise RuntimeError("mid-stream")
    yield b"second"

class Sized:
    def __len__(self): return 1
    def __iter__(self): return iter([b"sized"])

def endless(n):
    try:
        while True:
            yield b"x" * 100_000
    finally:
        import os
        errtrack.set_tag("closing", n)
        os.write(1, b"generator closed " + n.encode() + bytes([10]))

class Closing:
    closed = False
    def __iter__(self): return iter([b"body"])
    def close(self):
        if not self.closed:
            self.closed = True
            raise RuntimeError("in close")
"""

FLASK = """
import errtrack, flask, time
app = flask.Flask(__name__)

@app.get("/fail")
def fail():
    n = flask.request.query_string.decode()
    errtrack.set_tag("query", n)
    errtrack.set_user({"id": n})
    time.sleep(0.02)
    errtrack.add_breadcrumb(message=n)
    raise RuntimeError("failed " + n)

@app.get("/ok")
def ok():
    errtrack.set_tag("query", "healthy")
    return "fine"
"""

ASGI = """
import asyncio, errtrack

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    path, n = scope["path"], scope["query_string"].decode()
    errtrack.set_tag("query", n)
    errtrack.set_user({"id": n})
    errtrack.add_breadcrumb(message=n)
    await asyncio.sleep(0.02)
    if path == "/fail":
        raise RuntimeError("failed " + n)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    if path == "/stream":
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        raise RuntimeError("mid-stream " + n)
    await send({"type": "http.response.body", "body": b"fine " + n.encode()})

async def lifespan(receive, send):
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
"""
