"""Starlette and FastAPI applications for the tests: ``app`` and ``fast``; what a request does is in its path."""

import asyncio
import functools
import gc
import sys
import threading

from fastapi import APIRouter, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser, UnauthenticatedUser
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute
from starlette.templating import Jinja2Templates

import errtrack


class Nobody(UnauthenticatedUser):
    display_name = "anonymous"


class Who(AuthenticationBackend):
    async def authenticate(self, conn):
        name = conn.headers.get("x-user")
        return (
            (AuthCredentials(["authenticated"]), SimpleUser(name)) if name else (AuthCredentials(), Nobody())
        )


class Plain:
    """A middleware of the pure kind, with arguments by position; it hands partials on."""

    def __init__(self, app, first, second):
        assert (first, second) == (1, 2)
        self.app = app

    async def __call__(self, scope, receive, send):
        async def passed(function, *args):
            return await function(*args)

        await self.app(scope, functools.partial(passed, receive), functools.partial(passed, send))


class Based(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        if request.url.path == "/in-middleware":
            raise RuntimeError("in a middleware")
        return await call_next(request)


class Grouping:
    """Runs what is below it in a task group, as middlewares do; a group of one error comes out of it."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        import anyio

        async with anyio.create_task_group() as group:
            group.start_soon(self.app, scope, receive, send)


def factory(app):
    async def made(scope, receive, send):
        await app(scope, receive, send)

    return made


async def ok(request):
    return PlainTextResponse("fine")


async def fail(request):
    n = request.path_params["n"]
    errtrack.set_tag("n", n)
    errtrack.set_user({"id": n})
    errtrack.add_breadcrumb(message=n)
    await asyncio.sleep(0.02)
    raise RuntimeError("failed " + n)


def sync(request):
    errtrack.set_tag("n", request.path_params["n"])
    raise RuntimeError("sync " + request.path_params["n"])


def thread(request):
    return PlainTextResponse(str(threading.get_ident()))


async def status(request):
    raise HTTPException(int(request.path_params["code"]))


async def user(request):
    errtrack.set_user({"username": "set by the application"})
    raise RuntimeError("user")


async def receive(request):
    size = 0
    while True:
        message = await request.receive()
        size += len(message["body"])
        if not message.get("more_body"):
            break
    raise RuntimeError("received %d" % size)


async def stream(request):
    async def pieces():
        errtrack.set_tag("n", "streamed")
        yield b"first"
        raise RuntimeError("mid-stream")

    return StreamingResponse(pieces())


async def page(request):
    name = request.path_params["name"]
    try:
        return templates.TemplateResponse(request, name)
    except (TypeError, ValueError):  # Starlette before 0.29
        return templates.TemplateResponse(name, {"request": request})


async def own_page(request):
    mine = {"sentry_trace_meta": "mine"}
    try:
        return templates.TemplateResponse(request, "meta.html", mine)
    except (TypeError, ValueError):
        return templates.TemplateResponse("meta.html", {"request": request, **mine})


async def socket(websocket):
    await websocket.accept()
    while True:
        text = await websocket.receive_text()
        if text == "fail":
            raise RuntimeError("websocket")
        await websocket.send_text(text)


async def answered(request, exc):
    return JSONResponse({"status": exc.status_code}, exc.status_code)


def plain():
    try:
        return Middleware(Plain, 1, 2)
    except TypeError:  # Starlette before 0.35
        return Middleware(Plain, first=1, second=2)


templates = Jinja2Templates(directory="templates")
routes = [
    Route("/ok", ok),
    Route("/fail/{n}", fail),
    Route("/sync/{n}", sync),
    Route("/thread", thread),
    Route("/status/{code}", status),
    Route("/stream", stream),
    Route("/user", user),
    Route("/receive", receive, methods=["POST"]),
    Route("/page/own", own_page),
    Route("/page/{name}", page),
    Mount("/mounted", routes=[Route("/fail/{n}", fail)]),
    Mount("/grouped", Grouping(Router([Route("/fail/{n}", fail)]))),
    WebSocketRoute("/ws/{n}", socket),
]
middleware = [
    Middleware(AuthenticationMiddleware, backend=Who()),
    plain(),
    Middleware(Based),
    Middleware(factory),
]
app = Starlette(
    routes=[
        Host("api.example.org", Router([Route("/fail/{n}", fail)])),
        Host("{sub}.example.net", Starlette(routes=[Route("/{n}/there", fail)])),
        *routes,
    ],
    middleware=middleware,
    exception_handlers={503: answered},
)

fast = FastAPI(middleware=middleware)
router = APIRouter()


@router.get("/ok")
async def fast_ok():
    return {"fine": True}


@router.get("/fail/{n}")
async def fast_fail(request: Request, n: str):
    await fail(request)


@router.get("/sync/{n}")
def fast_sync(request: Request, n: str):
    sync(request)


@router.get("/thread")
def fast_thread():
    return PlainTextResponse(str(threading.get_ident()))


@router.get("/stream")
async def fast_stream(request: Request):
    return await stream(request)


@router.get("/depth/{n}")
async def fast_depth(n: int):
    frame, depth = sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    return depth


@router.get("/objects")
async def fast_objects():
    gc.collect()
    return len(gc.get_objects())


@router.post("/receive")
async def fast_receive(request: Request):
    await receive(request)


@router.get("/status/{code}")
async def fast_status(code: int):
    raise HTTPException(code)


@fast.websocket("/ws/{n}")
async def fast_socket(websocket: WebSocket, n: str):
    await socket(websocket)


fast.include_router(router)
fast.include_router(router, prefix="/api/v1")
below = FastAPI()
below.include_router(router, prefix="/v2")
fast.mount("/below", below)
