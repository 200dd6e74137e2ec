"""A Tornado server for the tests: ``python tornado_app.py PORT`` serves a route for each thing that can happen."""

import asyncio
import logging
import os
import signal
import sys

import tornado.gen
import tornado.httpclient
import tornado.ioloop
import tornado.iostream
import tornado.web
import tornado.websocket
import tornado.wsgi

import errtrack


class Handler(tornado.web.RequestHandler):
    def write_error(self, status_code, **kwargs):
        self.finish("answered %d" % status_code)


class Ok(Handler):
    def get(self):
        errtrack.set_tag("healthy", "yes")
        errtrack.add_breadcrumb(message="healthy")
        self.write("fine")


class Crash(Handler):
    def get(self):
        errtrack.set_tag("n", self.get_argument("n", ""))
        errtrack.add_breadcrumb(message="about to fail")
        1 / 0

    post = get


class Native(Handler):
    async def get(self):
        errtrack.set_tag("kind", "native")
        await asyncio.sleep(0)
        1 / 0


class Generator(Handler):
    @tornado.gen.coroutine
    def get(self):
        errtrack.set_tag("kind", "generator")
        yield tornado.gen.sleep(0.001)
        1 / 0


class Answer(Handler):
    def get(self, what):
        if what == "missing":
            self.get_argument("needed")
        if what == "finish":
            self.write("finished")
            raise tornado.web.Finish()
        raise tornado.web.HTTPError(int(what), "told %s", what)


class Body(Handler):
    def post(self):
        raise ValueError("body")


class User(Handler):
    def get_current_user(self):
        return "somebody" if self.get_argument("name", "") else None

    def get(self):
        raise ValueError("user of %s" % self.current_user)


class NeverAsked(Handler):
    def get_current_user(self):
        errtrack.set_tag("asked", "yes")
        return "somebody"

    def get(self):
        raise ValueError("nobody asked")


class Silent(Handler):
    def log_exception(self, *info):
        pass

    def get(self):
        raise ValueError("silent")


class WriteError(tornado.web.RequestHandler):
    def write_error(self, status_code, **kwargs):
        raise KeyError("write_error")

    def get(self):
        raise ValueError("first")


class Prepare(Handler):
    async def prepare(self):
        raise ValueError("prepare")

    def get(self):
        pass


class OnFinish(Handler):
    def get(self):
        self.write("done")

    def on_finish(self):
        raise ValueError("on_finish")


class Flushed(Handler):
    async def get(self):
        self.write("part")
        await self.flush()
        raise ValueError("after the head")


class Nested(Handler):
    async def get(self):
        errtrack.set_tag("outer", "yes")
        client = tornado.httpclient.AsyncHTTPClient()
        await client.fetch(self.request.full_url().replace("nested", "inner"), raise_error=False)
        raise ValueError("outer")


class Inner(Handler):
    def get(self):
        errtrack.set_tag("inner", "yes")
        raise ValueError("inner")


class Disconnected(Handler):
    async def get(self):
        for _ in range(10_000):
            self.write("x" * 10_000)
            await self.flush()
            await asyncio.sleep(0.01)

    def on_finish(self):
        pass


@tornado.web.stream_request_body
class Upload(Handler):
    async def data_received(self, chunk):
        errtrack.set_tag("chunk", str(len(chunk)))
        await asyncio.sleep(0)
        if chunk.startswith(b"bad"):
            raise ValueError("chunk")

    def post(self):
        self.write("took it")


class Callback(Handler):
    def get(self):
        errtrack.set_tag("creator", "callback")
        tornado.ioloop.IOLoop.current().add_callback(self.later)

    def later(self):
        raise ValueError("callback")


class Spawned(Handler):
    def get(self):
        errtrack.set_tag("creator", "spawn")
        tornado.ioloop.IOLoop.current().spawn_callback(self.later)

    async def later(self):
        await asyncio.sleep(0.001)
        raise ValueError("spawned")


class Mixed(Handler):
    async def get(self, n):
        errtrack.set_tag("n", n)
        errtrack.set_user({"id": n})
        errtrack.add_breadcrumb(message="crumb " + n)
        await asyncio.sleep(0.05)
        errtrack.set_tag("m", n)
        raise ValueError("mixed " + n)


class Static(tornado.web.StaticFileHandler):
    def get_content_type(self):
        raise ValueError("static")


class Socket(tornado.websocket.WebSocketHandler):
    def open(self):
        errtrack.set_tag("opened", self.request.path)
        if self.request.path == "/ws/open":
            raise ValueError("open")

    def on_message(self, message):
        errtrack.set_tag(message, "yes")
        errtrack.add_breadcrumb(message=message)
        if message.startswith("fail"):
            raise ValueError(message)
        self.write_message("echo " + message)

    def on_close(self):
        if self.request.path == "/ws/close":
            raise ValueError("close")


class SilentSocket(Socket):
    def log_exception(self, *info):
        pass


class NativeSocket(Socket):
    async def on_message(self, message):
        errtrack.set_tag(message, "yes")
        await asyncio.sleep(0)
        super().on_message(message)


class GeneratorSocket(Socket):
    @tornado.gen.coroutine
    def on_message(self, message):
        errtrack.set_tag(message, "yes")
        yield tornado.gen.sleep(0.001)
        super().on_message(message)


def wsgi(environ, start_response):
    if environ["PATH_INFO"].endswith("fail"):
        raise ValueError("wsgi")
    start_response("200 OK", [])
    return [b"wsgi"]


def application():
    fallback = tornado.wsgi.WSGIContainer(wsgi)
    routes = [
        ("/ok", Ok),
        ("/crash", Crash),
        ("/native", Native),
        ("/generator", Generator),
        (r"/answer/(\w+)", Answer),
        ("/body", Body),
        ("/user", User),
        ("/never", NeverAsked),
        ("/silent", Silent),
        ("/write_error", WriteError),
        ("/prepare", Prepare),
        ("/on_finish", OnFinish),
        ("/flushed", Flushed),
        ("/nested", Nested),
        ("/inner", Inner),
        ("/disconnected", Disconnected),
        ("/upload", Upload),
        ("/callback", Callback),
        ("/spawned", Spawned),
        (r"/mixed/(\d+)", Mixed),
        ("/static/(.*)", Static, {"path": os.path.dirname(os.path.abspath(__file__))}),
        ("/plain/(.*)", tornado.web.StaticFileHandler, {"path": os.path.dirname(os.path.abspath(__file__))}),
        ("/ws/silent", SilentSocket),
        ("/ws/native", NativeSocket),
        ("/ws/generator", GeneratorSocket),
        ("/ws/.*", Socket),
        ("/wsgi/.*", tornado.web.FallbackHandler, {"fallback": fallback}),
    ]
    return tornado.web.Application(routes)


async def main(port):
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    application().listen(port, "127.0.0.1")
    await stop.wait()


if __name__ == "__main__":
    logging.basicConfig(level="WARNING")
    asyncio.run(main(int(sys.argv[1])))
