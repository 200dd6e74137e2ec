"""A Sanic server for the tests: ``python sanic_app.py PORT [workers|reload]``; ``sanic_app:app`` for ASGI servers."""

import asyncio
import logging
import sys

from sanic import Blueprint, Sanic, exceptions
from sanic.response import text

import errtrack

app = Sanic("shop")
blueprint = Blueprint("bp", url_prefix="/bp")


class Known(Exception):
    pass


class Silenced(Exception):
    pass


class Spoilt(Exception):
    pass


class Spoilt2(Exception):
    pass


@app.exception(Known)
def known(request, error):
    return text("handled", 400)


@app.exception(Silenced)
def silenced(request, error):
    return None


@app.exception(Spoilt)
async def spoilt(request, error):
    raise KeyError("in the handler")


@app.exception(Spoilt2)
def spoilt_too(request, error):
    raise KeyError("in the handler")


@app.get("/ok")
async def ok(request):
    errtrack.set_tag("healthy", "yes")
    errtrack.add_breadcrumb(message="healthy")
    return text("fine")


@app.route("/crash", methods=["GET", "POST", "HEAD"])
async def crash(request):
    errtrack.set_tag("n", request.args.get("n", ""))
    errtrack.add_breadcrumb(message="about to fail")
    raise ValueError("crash")


@app.get("/sync")
def sync(request):
    raise ValueError("sync")


@blueprint.get("/hi")
async def hi(request):
    raise ValueError("blueprint")


@app.get("/answer/<what>")
async def answer(request, what):
    if what == "400":
        raise exceptions.SanicException("told", status_code=400)
    if what == "404":
        raise exceptions.NotFound("told")
    raise exceptions.ServerError("told")


@app.get("/junk")
async def junk(request):
    return 42


@app.get("/handled/<what>")
async def handled(request, what):
    kinds = {"known": Known, "silenced": Silenced, "spoilt": Spoilt, "spoilt2": Spoilt2}
    raise kinds[what]("handled")


@app.post("/body")
async def body(request):
    raise ValueError("body")


@app.post("/unread", stream=True)
async def unread(request):
    await request.stream.read()
    raise ValueError("unread")


@app.get("/stream")
async def stream(request):
    answer = await request.respond(content_type="text/plain")
    await answer.send("first")
    errtrack.set_tag("streamed", "yes")
    raise ValueError("mid-stream")


@app.get("/disconnected")
async def disconnected(request):
    answer = await request.respond(content_type="text/plain")
    for _ in range(10_000):
        await answer.send("x" * 10_000)
        await asyncio.sleep(0.01)


@app.on_request
async def before(request):
    if request.path == "/early":
        return text("stopped", 402)
    if request.path == "/middleware":
        raise ValueError("middleware")
    return None


@app.on_response
async def after(request, answer):
    if request.path == "/after":
        raise ValueError("response middleware")


@app.get("/early")
@app.get("/middleware", name="middleware")
@app.get("/after", name="after")
async def plain(request):
    return text("fine")


@app.get("/task")
async def task(request):
    errtrack.set_tag("creator", "task")
    request.app.add_task(fail_later("task"), name="kept")
    return text("started")


@app.get("/awaited")
async def awaited(request):
    try:
        await request.app.add_task(fail_later("awaited"))
    except ValueError:
        return text("caught")


async def fail_later(text):
    await asyncio.sleep(0.001)
    raise ValueError("background " + text)


@app.get("/mixed/<n>")
async def mixed(request, n):
    errtrack.set_tag("n", n)
    errtrack.set_user({"id": n})
    errtrack.add_breadcrumb(message="crumb " + n)
    await asyncio.sleep(0.05)
    errtrack.set_tag("m", n)
    raise ValueError("mixed " + n)


@app.get("/pid")
async def pid(request):
    import os

    await asyncio.sleep(0.05)
    errtrack.set_tag("pid", str(os.getpid()))
    raise ValueError("pid")


@app.websocket("/ws")
async def socket(request, ws):
    errtrack.set_tag("opened", "yes")
    while True:
        message = await ws.recv()
        errtrack.add_breadcrumb(message=str(message))
        if message == "fail":
            raise ValueError("websocket")
        await ws.send("echo " + str(message))


app.blueprint(blueprint)


if __name__ == "__main__":
    logging.basicConfig(level="WARNING")
    mode = sys.argv[2:]
    settings = {"single_process": True}
    if "workers" in mode:
        settings = {"workers": 2}
    if "reload" in mode:
        settings = {"auto_reload": True, "debug": True}
    app.run("127.0.0.1", int(sys.argv[1]), motd=False, access_log="log" in mode, **settings)
