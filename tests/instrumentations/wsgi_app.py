"""A WSGI application that does what its path says: asked behind every server by test_wsgi_servers_all.py and others."""

import gc
import os
import sys
import threading
import time
import weakref

import errtrack


class Probe:
    """Lies in the environ of each request; dead when the request is over."""


PROBES = []
SCOPES = []
CLOSED = []


def app(environ, start_response):
    name = environ["PATH_INFO"].rpartition("/")[2]
    query = environ.get("QUERY_STRING", "")
    environ["test.probe"] = Probe()
    PROBES.append(weakref.ref(environ["test.probe"]))
    SCOPES.append(weakref.ref(errtrack.get_isolation_scope()))
    errtrack.set_tag("query", query)
    errtrack.set_user({"id": query})
    errtrack.add_breadcrumb(message=query)
    if query[:1] == "n":  # the others come in between
        time.sleep(0.02)
    return globals()["do_" + name](environ, start_response, query)


def plain(start_response, *headers):
    return start_response("200 OK", [("Content-Type", "text/plain"), *headers])


# What is answered


def do_one(environ, start_response, query):
    plain(start_response)
    return [b"just this"]


def do_ok(environ, start_response, query):
    plain(start_response)
    return [b"fine ", query.encode()]


def do_tuple(environ, start_response, query):
    plain(start_response)
    return (b"in a ", b"tuple")


def do_nothing(environ, start_response, query):
    plain(start_response)
    return []


def do_none(environ, start_response, query):
    start_response("204 No Content", [])
    return []


def do_pieces(environ, start_response, query):
    plain(start_response)
    yield b"first"
    if query[:1] == "n":
        time.sleep(0.02)
        errtrack.capture_message("between " + query)
        time.sleep(0.02)
    yield b"second"


def do_long(environ, start_response, query):
    """A body that says by itself how long it is"""
    plain(start_response, ("Content-Length", "11"))
    return iter([b"first", b"second"])


class Sized:
    def __len__(self):
        return 1

    def __iter__(self):
        return iter([b"sized"])


def do_sized(environ, start_response, query):
    plain(start_response)
    return Sized()


class Unsized:
    def __init__(self, pieces):
        self.pieces = pieces

    def __iter__(self):
        return iter(self.pieces)

    def close(self):
        CLOSED.append(threading.get_ident())


def do_unsized(environ, start_response, query):
    plain(start_response)
    return Unsized([b"not ", b"sized"])


def do_closed(environ, start_response, query):
    """How often `close` has been called of bodies that have one"""
    plain(start_response)
    return [b"%d" % len(CLOSED)]


def do_file(environ, start_response, query):
    plain(start_response)
    return environ.get("wsgi.file_wrapper", iter)(open(__file__, "rb"))


def do_own(environ, start_response, query):
    """A file that is not put into the server's wrapper"""
    plain(start_response)
    return open(__file__, "rb")


def do_written(environ, start_response, query):
    write = plain(start_response)
    if write is None:  # hypercorn's bridge has none to give
        return [b"written returned"]
    write(b"written ")
    return [b"returned"]


def do_again(environ, start_response, query):
    """An error that the application makes an answer of"""
    plain(start_response)
    try:
        raise LookupError("taken")
    except LookupError:
        start_response("418 Teapot", [("Content-Type", "text/plain")], sys.exc_info())
    return [b"sorry"]


def do_echo(environ, start_response, query):
    plain(start_response)
    return [environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))]


def do_left(environ, start_response, query):
    """What is left of the requests so far, but for this one and what servers hold of the one before"""
    environ = None
    gc.collect()
    start_response("200 OK", [("Content-Type", "text/plain")])
    alive = [sum(reference() is not None for reference in kind) for kind in (PROBES, SCOPES)]
    return [b"%d %d %d" % (len(PROBES), *alive)]


def do_tagging(environ, start_response, query):
    errtrack.set_tag("left", "behind")
    errtrack.add_breadcrumb(message="left behind")
    return do_one(environ, start_response, query)


def do_message(environ, start_response, query):
    errtrack.capture_message("told")
    return do_one(environ, start_response, query)


# What fails


def do_fail(environ, start_response, query):
    raise ZeroDivisionError("failed " + query)


def do_middle(environ, start_response, query):
    plain(start_response)

    def pieces():
        yield b"first"
        raise RuntimeError("middle " + query)

    return pieces()


class Failing(Unsized):
    query = ""

    def close(self):
        query, self.query = self.query, ""
        if query:  # the second time, which werkzeug's debugger tries, it does not
            raise RuntimeError("close " + query)


def do_close(environ, start_response, query):
    plain(start_response)
    body = Failing([b"body"])
    body.query = query
    return body


def do_endless(environ, start_response, query):
    plain(start_response)

    def pieces():
        try:
            while True:
                yield b"x" * 100_000
        except GeneratorExit:
            os.write(1, b"generator exit\n")
            raise
        finally:
            errtrack.capture_message("over")
            os.write(1, b"generator closed %s\n" % query.encode())

    return pieces()


def do_writes(environ, start_response, query):
    write = plain(start_response)
    try:
        while True:
            write(b"x" * 100_000)
    finally:
        errtrack.capture_message("over")
        os.write(1, b"generator closed %s\n" % query.encode())


def do_exit(environ, start_response, query):
    sys.exit({"": None, "0": 0, "1": 1}[query])


def do_interrupt(environ, start_response, query):
    plain(start_response)

    def pieces():
        yield b"first"
        raise KeyboardInterrupt

    return pieces()


def do_within(environ, start_response, query):
    """A request that the application makes of another one, in its own process, with an environ of its own"""
    from wsgiref.util import setup_testing_defaults

    from errtrack_run import by_hand

    def inner(environ, start_response):
        errtrack.set_tag("inner", "yes")
        raise LookupError("inner")

    fresh = {"PATH_INFO": "/inner", "HTTP_HOST": "elsewhere"}
    setup_testing_defaults(fresh)
    try:
        by_hand.wsgi(inner)(fresh, start_response)
    except LookupError:
        pass
    raise ZeroDivisionError("outer")
