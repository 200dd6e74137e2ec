"""by_hand: an application is watched by one line of its own, and not twice where its server is known."""

from __future__ import annotations

from web import main_exception

APP = """
import asyncio
from errtrack_run import by_hand

def failing(environ, start_response):
    raise RuntimeError("by hand")

async def failing_too(scope, receive, send):
    raise RuntimeError("by hand, too")

from wsgiref.util import setup_testing_defaults
environ = {}
setup_testing_defaults(environ)
try: by_hand.wsgi(by_hand.wsgi(failing))(environ, lambda status, headers: None)
except RuntimeError: pass
try: asyncio.run(by_hand.asgi(failing_too)({"type": "http", "path": "/", "method": "GET"}, None, None))
except RuntimeError: pass
"""


def test_applications_watched_by_hand(sandbox) -> None:
    done = sandbox.python(APP)
    assert done.returncode == 0, done.stderr
    events = sandbox.events()
    assert [(main_exception(e)["value"], main_exception(e)["mechanism"]["type"]) for e in events] == [
        ("by hand", "wsgi"),
        ("by hand, too", "asgi"),
    ]


def test_applications_watched_by_hand_without_the_launcher(sandbox) -> None:
    done = sandbox.python("import errtrack; errtrack.init()\n" + APP, launched=False)
    assert done.returncode == 0, done.stderr
    assert len(sandbox.events()) == 2
