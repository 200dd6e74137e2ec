"""Every way to serve a WSGI application that the tests know, started as a user would start it.

``started(sandbox, "waitress", "shop:app")`` is a `Server`; the test is skipped where that server is not installed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import errtrack
from web import Server

#: ``serve.py KIND PORT module:name``: servers that are started by a program.
SERVE = """
import importlib, sys, warnings
sys.path.insert(0, ".")
kind, port, target = sys.argv[1], int(sys.argv[2]), sys.argv[3]
warnings.simplefilter("ignore")
if kind == "eventlet":
    import eventlet
    eventlet.monkey_patch()
if kind == "gevent":
    from gevent import monkey
    monkey.patch_all()
app = importlib.import_module(target.partition(":")[0])
for name in target.partition(":")[2].split("."):
    app = getattr(app, name)

def on_tornado(container):
    import asyncio
    from tornado.httpserver import HTTPServer
    async def main():
        HTTPServer(container).listen(port, "127.0.0.1")
        await asyncio.Event().wait()
    asyncio.run(main())

if kind == "waitress":
    import waitress
    waitress.serve(app, host="127.0.0.1", port=port, clear_untrusted_proxy_headers=False)
elif kind == "werkzeug":
    from werkzeug.serving import run_simple
    run_simple("127.0.0.1", port, app, threaded=True)
elif kind == "debugger":
    from werkzeug.serving import run_simple
    run_simple("127.0.0.1", port, app, use_debugger=True, use_reloader=True)
elif kind == "forking":
    from werkzeug.serving import run_simple
    run_simple("127.0.0.1", port, app, processes=4)
elif kind == "cheroot":
    from cheroot.wsgi import Server
    Server(("127.0.0.1", port), app).start()
elif kind == "cherrypy":
    import cherrypy
    cherrypy.config.update({"server.socket_port": port, "environment": "production"})
    cherrypy.tree.graft(app, "/")
    cherrypy.engine.start()
    cherrypy.engine.block()
elif kind == "gevent":
    from gevent.pywsgi import WSGIServer
    WSGIServer(("127.0.0.1", port), app).serve_forever()
elif kind == "eventlet":
    import eventlet.wsgi
    eventlet.wsgi.server(eventlet.listen(("127.0.0.1", port)), app)
elif kind == "tornado":
    from tornado.wsgi import WSGIContainer
    on_tornado(WSGIContainer(app))
elif kind == "tornado-threads":
    # Each call and each piece of a body in a thread that was never there before.
    import concurrent.futures, threading
    from tornado.wsgi import WSGIContainer
    class Threads(concurrent.futures.Executor):
        def submit(self, function, *args):
            future = concurrent.futures.Future()
            def run():
                try: future.set_result(function(*args))
                except BaseException as error: future.set_exception(error)
            threading.Thread(target=run, daemon=True).start()
            return future
    on_tornado(WSGIContainer(app, Threads()))
elif kind == "wsgiref":
    from wsgiref.simple_server import make_server
    make_server("127.0.0.1", port, app).serve_forever()
elif kind == "wsgiref-own":
    from wsgiref.simple_server import WSGIServer, WSGIRequestHandler
    class Own(WSGIServer):
        def get_app(self): return app
    Own(("127.0.0.1", port), WSGIRequestHandler).serve_forever()
"""

#: Programs of their own: the module that has to be there, and what stands between Python and the application.
_GUNICORN = ("-m", "gunicorn", "--bind", "127.0.0.1:PORT")
COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "gunicorn-sync": ("gunicorn", _GUNICORN),
    "gunicorn-preload": ("gunicorn", (*_GUNICORN, "--preload")),
    "gunicorn-reload": ("gunicorn", (*_GUNICORN, "--reload")),
    "gunicorn-gthread": ("gunicorn", (*_GUNICORN, "-k", "gthread", "--threads", "16")),
    "gunicorn-gevent": ("gunicorn.workers.ggevent gevent", (*_GUNICORN, "-k", "gevent")),
    "gunicorn-gevent_pywsgi": ("gunicorn.workers.ggevent gevent", (*_GUNICORN, "-k", "gevent_pywsgi")),
    "gunicorn-eventlet": ("gunicorn.workers.geventlet eventlet", (*_GUNICORN, "-k", "eventlet")),
    "gunicorn-tornado": ("gunicorn.workers.gtornado tornado", (*_GUNICORN, "-k", "tornado")),
    "uvicorn-wsgi": ("uvicorn", ("-m", "uvicorn", "--port", "PORT", "--interface", "wsgi")),
    "hypercorn-wsgi": ("hypercorn", ("-m", "hypercorn", "--bind", "127.0.0.1:PORT")),
}

#: Bridges: ASGI applications around a WSGI application, served by uvicorn.
BRIDGES = {
    "asgiref": "from asgiref.wsgi import WsgiToAsgi\nbridged = WsgiToAsgi(app)\n",
    "a2wsgi": "from a2wsgi import WSGIMiddleware\nbridged = WSGIMiddleware(app)\n",
    "starlette": "import warnings\nwarnings.simplefilter('ignore')\n"
    "from starlette.middleware.wsgi import WSGIMiddleware\nbridged = WSGIMiddleware(app)\n",
}

PROGRAMS = {
    "waitress": "waitress",
    "werkzeug": "werkzeug",
    "debugger": "werkzeug",
    "forking": "werkzeug",
    "cheroot": "cheroot",
    "cherrypy": "cherrypy",
    "gevent": "gevent",
    "eventlet": "eventlet",
    "tornado": "tornado",
    "tornado-threads": "tornado",
    "wsgiref": "wsgiref",
    "wsgiref-own": "wsgiref",
}

_ROOMS = os.environ.get("ERRTRACK_TEST_VENVS", "")


def program(name: str, room: str) -> str | None:
    """The program *name* beside the tests' own Python, or in the environment *room* (tests/bootstrap/rooms.py)."""
    places = [os.path.dirname(sys.executable)] if name != "python" else []
    return shutil.which(name, path=os.pathsep.join([*places, os.path.join(_ROOMS, room, "bin")]))


UWSGI = program("uwsgi", "uwsgi")
#: Where errtrack lies, for other people's Pythons that are not launched.
_OURS = os.path.dirname(os.path.dirname(str(errtrack.__file__)))

#: Served by `serve`.
APP = Path(__file__).parent / "instrumentations" / "wsgi_app.py"

KINDS = (*PROGRAMS, *COMMANDS, *BRIDGES, "uwsgi")


def is_there(modules: str) -> bool:
    """Whether *modules* can be found; importing them may warn, or patch."""
    try:
        return all(importlib.util.find_spec(name) is not None for name in modules.split())
    except ModuleNotFoundError:
        return False


def started(sandbox: Any, kind: str, target: str, *more: str, launched: bool = True, **env: str) -> Server:
    """The server *kind* of the application *target* (``module:name``), with *more* arguments; to be entered."""
    path = os.pathsep.join([str(sandbox.folder)] + ([] if launched else [_OURS]))
    env = {"PYTHONWARNINGS": "ignore", "PYTHONPATH": path, **env}
    python: str | None = sys.executable
    if kind == "uwsgi":
        if UWSGI is None:
            pytest.skip("uWSGI is not installed (see tests/bootstrap/rooms.py)")
        start = (UWSGI, "--http-socket", "127.0.0.1:PORT", "--die-on-term", "--need-app", "--module", target)
        return Server(sandbox, *start, *more, launched=launched, **env)
    if kind in BRIDGES:
        needed, command = kind + " uvicorn", COMMANDS["uvicorn-wsgi"][1][:-2]
        module, _, name = target.partition(":")
        sandbox.write("bridge.py", "from %s import %s as app\n%s" % (module, name, BRIDGES[kind]))
        target = "bridge:bridged"
    elif kind in COMMANDS:
        needed, command = COMMANDS[kind]
        if kind == "hypercorn-wsgi":
            target = "wsgi:" + target
    else:
        needed = PROGRAMS[kind]
        command = (str(sandbox.write("serve.py", SERVE)), kind, "PORT")
    if not is_there(needed):
        python = program("python", "greenlets") if "eventlet" in kind else None
        if python is None:
            pytest.skip("not installed: " + needed)
    return Server(sandbox, python, *command, *more, target, launched=launched, **env)


def serve(sandbox: Any, kind: str, *more: str, **env: Any) -> Server:
    """The server *kind* of the application that does what its path says."""
    shutil.copy(APP, sandbox.folder / "wsgi_app.py")
    return started(sandbox, kind, "wsgi_app:app", *more, **env)


def app_events(sandbox: Any, kind: str) -> list[dict[str, Any]]:
    """What was reported, oldest first."""
    found = sandbox.events()
    # Some releases of eventlet log that they have failed at patching a part of Python.
    return [event for event in found if "request" in event] if "eventlet" in kind else found


HOOKS = """
import json

def sample(context):
    asked = context.get("wsgi_environ") or context.get("asgi_scope")
    with open("sampled", "a") as file:
        file.write(str(asked.get("PATH_INFO") or asked.get("path")) + "\\n")
    return 1.0

def keep(event, hint):
    with open("transactions", "a") as file:
        file.write(json.dumps(event, default=str) + "\\n")
    return event
"""


def traced(sandbox: Any, **more: str) -> dict[str, str]:
    """The environment in which `transactions` are kept, and ``sampled`` the paths that `traces_sampler` was shown."""
    sandbox.write("hooks.py", HOOKS)
    return {
        "ERRTRACK_TRACES_SAMPLER": "hooks:sample",
        "ERRTRACK_BEFORE_SEND_TRANSACTION": "hooks:keep",
        **more,
    }


def transactions(sandbox: Any) -> dict[str, dict[str, Any]]:
    """What was kept of the transactions, by method, path and query of their request: one of each."""
    found: dict[str, dict[str, Any]] = {}
    path = sandbox.folder / "transactions"
    for line in path.read_text().splitlines() if path.exists() else ():
        event = json.loads(line)
        request = event["request"]
        asked = "%s /%s?%s" % (
            request["method"],
            request["url"].split("/", 3)[3],
            request.get("query_string") or "",
        )
        assert asked not in found, "twice: " + asked
        found[asked] = event
    return found
