"""An aiohttp server for the tests: ``python aiohttp_app.py PORT``."""

import asyncio
import logging
import sys

from aiohttp import WSMsgType, web

import errtrack

routes = web.RouteTableDef()


@routes.get("/ok")
async def ok(request):
    errtrack.set_tag("healthy", "yes")
    return web.Response(text="fine")


@routes.get("/crash/{n}")
async def crash(request):
    errtrack.set_tag("n", request.match_info["n"])
    errtrack.add_breadcrumb(message="about to fail")
    raise ValueError("crash")


@routes.get("/answer/{what}")
async def answer(request):
    kinds = {"403": web.HTTPForbidden, "500": web.HTTPInternalServerError, "503": web.HTTPServiceUnavailable}
    if request.match_info["what"] == "returned":
        return web.Response(status=500)
    if request.match_info["what"] == "timeout":
        raise asyncio.TimeoutError()
    raise kinds[request.match_info["what"]]()


@routes.get("/none")
async def none(request):
    return None


@routes.get("/stream")
async def stream(request):
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"first")
    raise ValueError("mid-stream")


@routes.get("/disconnected")
async def disconnected(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(10_000):
        await response.write(b"x" * 10_000)
        await asyncio.sleep(0.01)


@routes.post("/body")
async def body(request):
    kind = request.query_string
    if kind in ("form", "file"):
        await request.post()
    elif kind != "unread":
        await request.read()
    raise ValueError("body")


@routes.get("/mixed/{n}")
async def mixed(request):
    n = request.match_info["n"]
    errtrack.set_tag("n", n)
    errtrack.set_user({"id": n})
    await asyncio.sleep(0.05)
    raise ValueError("mixed " + n)


@routes.get("/ws")
async def socket(request):
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    async for message in ws:
        if message.type == WSMsgType.TEXT:
            if message.data == "fail":
                raise ValueError("websocket")
            await ws.send_str("echo " + message.data)
    return ws


async def in_sub(request):
    raise ValueError("sub")


app = web.Application()
app.add_routes(routes)
sub = web.Application()
sub.router.add_get("/fail/{x}", in_sub)
app.add_subapp("/sub", sub)

if __name__ == "__main__":
    logging.basicConfig(level="WARNING")
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, shutdown_timeout=1)
