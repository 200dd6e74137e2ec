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
if not hasattr(flask.Flask, "get"):  # before Flask 2
    flask.Flask.get = flask.Blueprint.get = lambda self, rule: self.route(rule)
    flask.Flask.post = lambda self, rule: self.route(rule, methods=["POST"])
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
import asyncio, errtrack, os

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    path, n = scope["path"], scope["query_string"].decode()
    errtrack.set_tag("query", n)
    errtrack.set_user({"id": n})
    errtrack.add_breadcrumb(message=n)
    if scope["type"] == "websocket":
        return await websocket(path, receive, send)
    await asyncio.sleep(0.02)
    if path == "/fail":
        raise RuntimeError("failed " + n)
    if path == "/cause":
        try:
            raise KeyError("cause")
        except KeyError as error:
            raise RuntimeError("caused") from error
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    if path == "/stream":
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        raise RuntimeError("mid-stream " + n)
    if path == "/endless":
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
                if (await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(receive())), 0.05) or {}).get("type") == "http.disconnect":
                    break
        except asyncio.TimeoutError:
            pass
        finally:
            os.write(1, b"left " + n.encode() + bytes([10]))
        raise OSError("not of the server's making")
    await send({"type": "http.response.body", "body": b"fine " + n.encode()})

async def websocket(path, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    message = await receive()
    if path == "/ws" and message["type"] == "websocket.receive":
        raise RuntimeError("websocket")

async def lifespan(receive, send):
    while True:
        message = await receive()
        if message["type"] == "lifespan." + os.environ.get("FAILING", ""):
            try:
                raise RuntimeError("in " + message["type"])
            except RuntimeError:
                if os.environ.get("SILENT"):
                    raise
                import traceback
                await send({"type": message["type"] + ".failed", "message": traceback.format_exc()})
                raise
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return

async def without_lifespan(scope, receive, send):
    assert scope["type"] == "http"
    await app(scope, receive, send)

def returning(scope, receive, send):
    return app(scope, receive, send)

def double(scope):
    async def instance(receive, send):
        await app(scope, receive, send)
    return instance

class Own:
    async def __call__(self, scope, receive, send):
        await app(scope, receive, send)
own = Own()

def wsgi(environ, start_response):
    errtrack.set_tag("query", environ["QUERY_STRING"])
    if environ["PATH_INFO"] == "/fail":
        raise RuntimeError("failed " + environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"fine ", environ["QUERY_STRING"].encode()]
"""
