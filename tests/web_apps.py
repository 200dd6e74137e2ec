"""Applications that the tests serve: a plain WSGI callable and Flask, each with a failing route."""

RAW = """
import errtrack

def app(environ, start_response):
    path = environ["PATH_INFO"]
    n = environ.get("QUERY_STRING", "")
    errtrack.set_tag("query", n)
    errtrack.add_breadcrumb(message=n)
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
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    if path == "/one":
        return [b"just this"]
    return [b"fine ", n.encode()]

def pieces(n):
    yield b"first"
    if n == "fail":
        raise RuntimeError("mid-stream")
    yield b"second"

class Closing:
    def __iter__(self): return iter([b"body"])
    def close(self): raise RuntimeError("in close")
"""

FLASK = """
import errtrack, flask
app = flask.Flask(__name__)

@app.get("/fail")
def fail():
    n = flask.request.query_string.decode()
    errtrack.set_tag("query", n)
    errtrack.add_breadcrumb(message=n)
    raise RuntimeError("failed " + n)

@app.get("/ok")
def ok():
    errtrack.set_tag("query", "healthy")
    return "fine"
"""
