"""starlette: Starlette and FastAPI: one event a failure, named by its route, with what the application has read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from web import OLD_UVICORN, Server, main_exception

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

APP = """
import errtrack, asyncio
from typing import Optional
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

app = FastAPI()

class Passing(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        errtrack.set_tag("middleware", "yes")
        return await call_next(request)

class Taking(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        try:
            return await call_next(request)
        except KeyError:
            return PlainTextResponse("taken", 400)

class Backend(AuthenticationBackend):
    async def authenticate(self, conn):
        if "x-user" in conn.headers:
            return AuthCredentials(["authenticated"]), SimpleUser(conn.headers["x-user"])

app.add_middleware(Taking)
app.add_middleware(Passing)
app.add_middleware(AuthenticationMiddleware, backend=Backend())

class Known(Exception): pass
class Unavailable(HTTPException): pass

@app.exception_handler(Known)
async def known(request, exc): return JSONResponse({"known": True}, 400)

@app.exception_handler(503)
async def unavailable(request, exc): return JSONResponse({"later": True}, 503)

@app.get("/fail/{n}")
async def fail(n: str):
    errtrack.set_tag("n", n)
    errtrack.add_breadcrumb(message=n)
    await asyncio.sleep(0.01)
    raise RuntimeError("failed " + n)

@app.get("/sync/{n}")
def sync(n: str):
    errtrack.set_tag("n", n)
    raise RuntimeError("sync " + n)

@app.get("/ok")
async def ok(): return {"fine": True}

@app.get("/status/{code}")
async def status(code: int): raise HTTPException(code)

@app.get("/known")
async def raise_known(): raise Known()

@app.get("/taken")
async def taken(): raise KeyError("taken by a middleware")

@app.get("/number")
async def number(x: int): return x

def failing_job():
    raise RuntimeError("background")

@app.get("/background")
async def background(tasks: BackgroundTasks):
    errtrack.set_tag("task", "yes")
    tasks.add_task(failing_job)
    return {"queued": True}

@app.get("/stream")
async def stream():
    async def pieces():
        yield b"first"
        raise RuntimeError("mid-stream")
    return StreamingResponse(pieces())

async def resource():
    yield 1
    raise RuntimeError("after yield")

@app.get("/resource")
async def with_resource(r: int = Depends(resource)): return {"r": r}

def broken_dependency(): raise RuntimeError("dependency")

@app.get("/dependency")
async def with_dependency(r: int = Depends(broken_dependency)): return {}

class Answer(BaseModel):
    number: int

@app.get("/answer", response_model=Answer)
async def answer(): return {"number": "no number"}

class Render(PlainTextResponse):
    def render(self, content): raise RuntimeError("render")

@app.get("/render")
async def render(): return Render("x")

class Order(BaseModel):
    item: str
    password: Optional[str] = None

@app.post("/order")
async def order(order: Order): raise RuntimeError("order")

@app.post("/form")
async def form(request: Request):
    await request.form()
    raise RuntimeError("form")

@app.post("/drained")
async def drained(request: Request):
    size = 0
    async for piece in request.stream(): size += len(piece)
    raise RuntimeError("drained %d" % size)

@app.post("/unread")
async def unread(request: Request): raise RuntimeError("unread")

@app.post("/malformed")
async def malformed(request: Request):
    await request.body()
    raise RuntimeError("malformed")

router = APIRouter()

@router.get("/items/{item}")
async def item(item: str): raise RuntimeError("item")

app.include_router(router, prefix="/api")

async def inner(request): raise RuntimeError("inner")
async def deep(request): raise RuntimeError("inner")

app.mount("/sub", Starlette(routes=[Route("/inner/{x}", inner), Mount("/deep", routes=[Route("/{y}", deep)])]))

def wsgi(environ, start_response):
    errtrack.set_tag("bridged", "yes")
    raise RuntimeError("wsgi")

from starlette.middleware.wsgi import WSGIMiddleware
app.mount("/wsgi", WSGIMiddleware(wsgi))

@app.websocket("/ws/{n}")
async def ws(websocket: WebSocket, n: str):
    await websocket.accept()
    errtrack.set_tag("n", n)
    await websocket.receive_text()
    raise RuntimeError("websocket " + n)

@app.get("/caused")
async def caused():
    try:
        1 / 0
    except ZeroDivisionError as error:
        raise RuntimeError("caused") from error
"""

#: Before 0.28 middleware swallowed what failed after the answer.
from starlette.middleware.exceptions import ExceptionMiddleware  # noqa: E402

LOSES_BACKGROUND = hasattr(ExceptionMiddleware, "_lookup_exception_handler")

FORM = "name=book&name=pen&token=hunter2"
MULTIPART = (
    "--b\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n"
    "--b\r\nContent-Disposition: form-data; name=f; filename=x.txt\r\n\r\nsecret file\r\n--b--\r\n"
)
JSON = {"Content-Type": "application/json"}
URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}


def told(sandbox: Any) -> list[dict[str, Any]]:
    """The events, less what old releases of uvicorn log of clients of new releases of websockets."""
    return [e for e in sandbox.events() if not (OLD_UVICORN and "no close frame" in json.dumps(e))]


class Day:
    """What a server was asked, what it answered, and what was reported."""

    def __init__(self, sandbox: Any, **env: str) -> None:
        import warnings

        self.sandbox = sandbox
        self.sandbox.write("shop.py", APP)
        self.status: dict[str, int] = {}
        with Server.uvicorn(self.sandbox, "shop:app", PYTHONWARNINGS="ignore", **env) as self.server:
            for path in (
                "/ok /sync/1 /status/500 /status/404 /status/503 /known /taken /number?x=y /background /stream"
                " /resource /dependency /answer /render /api/items/7 /sub/inner/1 /sub/deep/2 /nowhere"
                " /sub/nowhere /wsgi/x /caused"
            ).split():
                self.status[path] = self.server.get(path)[0]
            head = {
                "X-User": "jane",
                "Cookie": "session=s1; theme=dark",
                "X-Forwarded-For": "203.0.113.9, 1.1.1.1",
            }
            self.server.get("/fail/1?q=2", head)
            self.server.get("/order", JSON, "POST", json.dumps({"item": "book", "password": "hunter2"}))
            self.server.get("/form", URLENCODED, "POST", FORM)
            multipart = {"Content-Type": "multipart/form-data; boundary=b"}
            self.server.get("/form?multipart", multipart, "POST", MULTIPART)
            self.server.get("/drained", JSON, "POST", json.dumps({"a": "x" * 1000}))
            self.server.get("/unread", JSON, "POST", "{}")
            self.server.get("/malformed", JSON, "POST", "{no json")
            self.server.get("/malformed?large", JSON, "POST", json.dumps({"a": "x" * 20_000}))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.websockets()
        self.events = told(self.sandbox)
        #: Old middleware loses it now and then, with us or without.
        self.raises_after_answer = "RuntimeError: after yield" in self.server.output

    def websockets(self) -> None:
        try:
            from websockets.sync.client import connect
        except ImportError:
            self.has_websockets = False
            return
        self.has_websockets = True
        with connect("ws://127.0.0.1:%d/ws/fails" % self.server.port) as socket:
            socket.send("go")
            try:
                socket.recv(20)
            except Exception:
                pass
        with connect("ws://127.0.0.1:%d/ws/leaves" % self.server.port):
            pass

    def at(self, path: str) -> dict[str, Any]:
        """The one event of a request to *path*."""
        path, _, query = path.partition("?")
        found = [
            e
            for e in self.events
            if e.get("request", {}).get("url", "").endswith(":%d%s" % (self.server.port, path))
            and (not query or e["request"].get("query_string") == query)
        ]
        assert len(found) == 1, (path, [e.get("exception") or e.get("logentry") for e in found])
        return found[0]


@pytest.fixture(scope="module")
def day(sandbox_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Day:
    return Day(sandbox_in(tmp_path_factory.mktemp("day")))


@pytest.fixture(scope="module")
def personal_day(sandbox_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Day:
    env = {
        "ERRTRACK_SEND_DEFAULT_PII": "1",
        "ERRTRACK_STARLETTE_TRANSACTION_STYLE": "endpoint",
        "ERRTRACK_STARLETTE_FAILED_REQUEST_STATUS_CODES": "404",
        "ERRTRACK_MAX_REQUEST_BODY_SIZE": "always",
    }
    return Day(sandbox_in(tmp_path_factory.mktemp("personal")), **env)


def test_every_event_is_one_that_is_expected(day: Day) -> None:
    seen = sorted(
        main_exception(e)["value"] or "" for e in day.events if main_exception(e)["type"] != "HTTPException"
    )
    expected = [
        "after yield", "background", "caused",
        "dependency", "drained 1009", "failed 1", "form", "form", "inner", "inner", "item", "malformed",
        "malformed", "mid-stream", "order", "render", "sync 1", "unread", "wsgi",
    ]  # fmt: skip
    if day.has_websockets:
        expected.append("websocket fails")
    if LOSES_BACKGROUND:
        expected.remove("background")
        if not day.raises_after_answer:
            expected.remove("after yield")
    validation = [value for value in seen if "validation error" in value]
    assert len(validation) == 1
    assert [value for value in seen if value not in validation] == sorted(expected)
    assert sum(main_exception(e)["type"] == "HTTPException" for e in day.events) == 2


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/fail/1", "failed 1"), ("/sync/1", "sync 1"), ("/background", "background"), ("/stream", "mid-stream"),
        ("/resource", "after yield"), ("/dependency", "dependency"), ("/render", "render"),
    ],
)  # fmt: skip
def test_what_nobody_took_is_unhandled(day: Day, path: str, value: str) -> None:
    if LOSES_BACKGROUND and (path == "/background" or (path == "/resource" and not day.raises_after_answer)):
        pytest.skip("lost by this Starlette's middleware")
    error = main_exception(day.at(path))
    assert error["value"] == value
    assert (error["mechanism"]["type"], error["mechanism"]["handled"]) == ("starlette", False)
    # What the plumbing of middleware raised and caught meanwhile is not told.
    assert len(day.at(path)["exception"]["values"]) == 1


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/fail/1", "/fail/{n}"), ("/sync/1", "/sync/{n}"), ("/api/items/7", "/api/items/{item}"),
        ("/sub/inner/1", "/sub/inner/{x}"), ("/sub/deep/2", "/sub/deep/{y}"), ("/ws/fails", "/ws/{n}"),
    ],
)  # fmt: skip
def test_transaction_is_the_route(day: Day, path: str, name: str) -> None:
    if path.startswith("/ws") and not day.has_websockets:
        pytest.skip("no client for websockets")
    event = day.at(path)
    assert (event["transaction"], event["transaction_info"]) == (name, {"source": "route"})


def test_transaction_is_the_endpoint_where_asked_for(personal_day: Day) -> None:
    event = personal_day.at("/fail/1")
    assert (event["transaction"], event["transaction_info"]) == ("shop.fail", {"source": "component"})


def test_answers_are_as_without_us(day: Day) -> None:
    assert day.status["/ok"] == 200 and day.status["/known"] == day.status["/taken"] == 400
    assert day.status["/number?x=y"] == 422 and day.status["/status/404"] == day.status["/nowhere"] == 404
    assert day.status["/status/503"] == 503 and day.status["/sync/1"] == 500


def test_handled_exceptions_by_their_status(day: Day, personal_day: Day) -> None:
    assert main_exception(day.at("/status/500"))["mechanism"]["handled"] is True
    assert (
        main_exception(day.at("/status/503"))["mechanism"]["handled"] is True
    )  # its handler is one of a status
    assert main_exception(personal_day.at("/status/404"))["mechanism"]["handled"] is True
    urls = {e["request"]["url"].rpartition("/status/")[2] for e in personal_day.events}
    assert "500" not in urls and "503" not in urls


def test_tags_and_breadcrumbs_of_an_endpoint_below_middleware_that_runs_it_in_a_task(day: Day) -> None:
    event = day.at("/fail/1")
    assert event["tags"] == {"middleware": "yes", "n": "1"}
    assert [c["message"] for c in event["breadcrumbs"]["values"] if c.get("category") is None] == ["1"]


def test_tags_of_an_endpoint_in_the_thread_pool_and_of_a_background_task(day: Day) -> None:
    assert day.at("/sync/1")["tags"]["n"] == "1"
    assert LOSES_BACKGROUND or day.at("/background")["tags"]["task"] == "yes"


def test_request_of_the_event(day: Day) -> None:
    request = day.at("/fail/1")["request"]
    assert (request["method"], request["query_string"]) == ("GET", "q=2")
    assert request["headers"]["x-user"] == "jane" and request["headers"]["cookie"] == "[Filtered]"
    assert "cookies" not in request and "user" not in day.at("/fail/1")


def test_personal_data_when_asked_for(personal_day: Day) -> None:
    event = personal_day.at("/fail/1")
    assert event["user"] == {"username": "jane", "ip_address": "203.0.113.9"}
    assert event["request"]["cookies"] == {"session": "[Filtered]", "theme": "dark"}
    assert event["request"]["env"]["REMOTE_ADDR"] in ("127.0.0.1", "1.1.1.1")  # uvicorn reads the header


def test_json_that_was_read_is_shown_scrubbed(day: Day) -> None:
    assert day.at("/order")["request"]["data"] == {"item": "book", "password": "[Filtered]"}
    assert "hunter2" not in json.dumps(day.at("/order"))


def test_forms_that_were_read(day: Day) -> None:
    found = [e["request"]["data"] for e in day.events if e["request"]["url"].endswith("/form")]
    assert {"name": ["book", "pen"], "token": "[Filtered]"} in found
    assert {"a": "1", "f": ""} in found


def test_bodies_that_cannot_be_shown_are_marked(day: Day, personal_day: Day) -> None:
    found = [e for e in day.events if e["request"]["url"].endswith("/malformed")]
    assert [e["request"]["data"] for e in found] == ["", ""]
    large = [e["request"]["data"] for e in personal_day.events if e["request"]["url"].endswith("/malformed")]
    assert any(isinstance(data, dict) for data in large)


def test_bodies_that_were_not_read_or_drained_by_the_application(day: Day) -> None:
    assert "data" not in day.at("/unread")["request"]
    assert "data" not in day.at("/drained")["request"]


def test_wsgi_application_behind_a_bridge(day: Day) -> None:
    event = day.at("/wsgi/x")
    assert main_exception(event)["value"] == "wsgi"
    assert event["tags"] == {"middleware": "yes", "bridged": "yes"}


def test_cause_of_an_exception_stays(day: Day) -> None:
    values = [v["type"] for v in day.at("/caused")["exception"]["values"]]
    assert values == ["ZeroDivisionError", "RuntimeError"]


def test_websocket_that_fails_and_one_that_is_left(day: Day) -> None:
    if not day.has_websockets:
        pytest.skip("no client for websockets")
    event = day.at("/ws/fails")
    assert main_exception(event)["value"] == "websocket fails"
    assert event["tags"]["asgi.type"] == "websocket" and event["tags"]["n"] == "fails"
    assert event["request"]["url"].startswith("ws://")
    assert not any("/ws/leaves" in e["request"]["url"] for e in day.events)
