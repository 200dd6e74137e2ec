"""flask: users, bodies, error handlers, streams: what stands on the one event of a failed request."""

from __future__ import annotations

import pytest
from test_flask import APP

from web import main_exception

pytest.importorskip("flask")

LOGIN = """
import flask_login
app.secret_key = "x"
app.config["SESSION_COOKIE_NAME"] = "who"
manager = flask_login.LoginManager(app)

class User(flask_login.UserMixin):
    def __init__(self, id):
        self.id = id
        self.email = "jane@example.com"
        self.username = "jane"

@manager.user_loader
def load(id):
    print("loaded", id)
    return User(id)

@app.get("/login")
def login():
    flask_login.login_user(User("42"))
    return "in"

@app.get("/logout")
def logout():
    flask_login.logout_user()
    return "out"

@app.get("/guarded")
@flask_login.login_required
def guarded(): raise RuntimeError("guarded")

@app.get("/unasked")
def unasked(): raise RuntimeError("unasked")
"""


def asked(sandbox, ask: str, more: str = "", **env: str) -> str:
    """Run *ask* with a test client of the application and *more* of it, under the launcher; what it printed."""
    sandbox.write("shop.py", APP + more)
    done = sandbox.python("import shop\nclient = shop.app.test_client()\n" + ask, **env)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("pii", ["", "1"])
def test_who_is_logged_in_is_told_where_personal_data_may_be_sent(sandbox, pii: str) -> None:
    pytest.importorskip("flask_login")
    ask = "for path in '/unasked /login /guarded /unasked /logout /unasked'.split(): client.get(path)"
    # Loaded once, by the guarded view, and not by us.
    assert asked(sandbox, ask, LOGIN, ERRTRACK_SEND_DEFAULT_PII=pii).count("loaded 42") == 2
    events = sandbox.events()
    users = [event.get("user") for event in events]
    if not pii:
        assert users == [None] * 4
        return
    here = {"ip_address": "127.0.0.1"}
    jane = {**here, "id": "42", "email": "jane@example.com", "username": "jane"}
    assert users == [here, jane, {**here, "id": "42"}, here]
    assert [e["request"].get("cookies", {}).get("who") for e in events][1:3] == ["[Filtered]"] * 2


def test_flask_login_without_a_manager(sandbox) -> None:
    pytest.importorskip("flask_login")
    asked(sandbox, "client.get('/fail/1')", "\nimport flask_login\n", ERRTRACK_SEND_DEFAULT_PII="1")
    assert sandbox.event()["user"] == {"ip_address": "127.0.0.1"}


@pytest.mark.parametrize(("limit", "kept"), [("never", 0), ("small", 0), ("medium", 1), ("always", 2)])
def test_json_by_its_size(sandbox, limit: str, kept: int) -> None:
    ask = "for n in (2_000, 12_000): client.post('/json', json={'a': 'x' * n})"
    asked(sandbox, ask, ERRTRACK_MAX_REQUEST_BODY_SIZE=limit)
    events = sandbox.events()
    assert [bool(e["request"]["data"]) for e in events] == [True] * kept + [False] * (2 - kept)
    for event in events[kept:]:
        assert event["request"]["data"] == ""
        assert event["_meta"]["request"]["data"][""]["rem"][0][0] == "!config"


RAW = """
@app.post("/raw")
def raw():
    flask.request.get_data()
    raise RuntimeError("raw")

@app.post("/drained")
def drained():
    flask.request.environ["wsgi.input"].read()
    raise RuntimeError("drained")

@app.post("/read/<how>")
def read(how):
    errtrack.capture_message("before")
    found = str(getattr(flask.request, how))
    errtrack.capture_message("after")
    return found
"""


def test_empty_json_form_with_a_file_and_bodies_that_are_neither(sandbox) -> None:
    ask = """
import io
client.post("/json", json={})
client.post("/form", data={"b": "2", "f": (io.BytesIO(b"secret"), "x.txt")})
client.post("/raw", data=b"just bytes", content_type="text/plain")
client.post("/drained", json={"a": 1})
"""
    asked(sandbox, ask, RAW)
    found = [e["request"].get("data") for e in sandbox.events()]
    assert found == [{}, {"b": "2", "f": ""}, "", None]


def test_views_read_their_body_whole_whatever_is_captured_meanwhile(sandbox) -> None:
    ask = """
for how, kind in (("json", "application/json"), ("data", "application/json"), ("form", "application/x-www-form-urlencoded")):
    print(len(client.post("/read/" + how, data='{"a": 1}', content_type=kind).data) > 7)
"""
    assert asked(sandbox, ask, RAW) == "True\n" * 3
    assert len(sandbox.events()) == 6


HANDLERS = """
@app.errorhandler(500)
def five_hundred(error): return "sorry", 500

class Odd(Exception): pass

@app.errorhandler(Odd)
def odd(error): raise ValueError("in the handler")

@app.get("/odd")
def raise_odd(): raise Odd("first")

@app.get("/logged")
def logged():
    try:
        raise RuntimeError("logged")
    except RuntimeError:
        app.logger.exception("oh")
        raise

from flask.views import MethodView
class Things(MethodView):
    def get(self): raise RuntimeError("things")
app.add_url_rule("/things", view_func=Things.as_view("the_things"))
"""


def test_error_handlers_logged_errors_and_views_of_classes(sandbox) -> None:
    ask = "print(client.get('/fail/1').data)\nfor path in '/odd /logged /things'.split(): client.get(path)"
    assert asked(sandbox, ask, HANDLERS) == "b'sorry'\n"
    first, second, third, fourth = sandbox.events()
    assert main_exception(first)["value"] == "failed 1"
    assert [v["value"] for v in second["exception"]["values"]] == ["first", "in the handler"]
    assert main_exception(third)["value"] == "logged"
    assert fourth["transaction"] == "the_things"


def test_handler_of_every_exception_takes_them(sandbox) -> None:
    more = "\n@app.errorhandler(Exception)\ndef every(error): return 'taken', 400\n"
    assert asked(sandbox, "print(client.get('/fail/1').data)", more) == "b'taken'\n"
    assert sandbox.events() == []


def test_mounted_applications_and_middleware_below_the_server(sandbox) -> None:
    ask = """
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client
def broken(environ, start_response): raise RuntimeError("middleware")
try: Client(DispatcherMiddleware(shop.app, {"/mounted": shop.app.wsgi_app})).get("/mounted/fail/1")
except RuntimeError: pass
shop.app.wsgi_app = broken
try: Client(shop.app).get("/x")
except RuntimeError: pass
"""
    asked(sandbox, ask)
    first, second = sandbox.events()
    assert first["request"]["url"] == "http://localhost/mounted/fail/1"
    assert main_exception(second)["mechanism"]["type"] == "wsgi"


def test_failing_teardown_is_one_event(sandbox) -> None:
    asked(sandbox, "try: client.get('/teardown')\nexcept RuntimeError: pass")
    error = main_exception(sandbox.event())
    assert (error["value"], error["mechanism"]["type"]) == ("teardown", "wsgi")


STREAM = """
@app.get("/pieces/<n>")
def in_pieces(n):
    errtrack.set_tag("n", n)
    def pieces():
        for i in range(1000):
            if i == 500: errtrack.capture_message("half of " + n)
            yield n
    return flask.Response(pieces())

@app.get("/context")
def in_context():
    @flask.stream_with_context
    def pieces():
        yield "first"
        raise RuntimeError(flask.request.path)
    return flask.Response(pieces())
"""


def test_interleaved_streams_keep_apart_and_a_client_that_leaves_is_no_error(sandbox) -> None:
    ask = """
from werkzeug.test import EnvironBuilder, run_wsgi_app
a, b, left = (run_wsgi_app(shop.app, EnvironBuilder("/pieces/" + n).get_environ())[0] for n in "abc")
streams = [iter(a), iter(b)]
for _ in range(998):
    for stream in streams: next(stream)
next(iter(left))
for stream in (a, b, left): stream.close()
"""
    asked(sandbox, ask, STREAM)
    told = sorted((e["logentry"]["formatted"], e["tags"]["n"]) for e in sandbox.events())
    assert told == [("half of a", "a"), ("half of b", "b")]


def test_stream_with_context_that_fails_is_named_by_its_endpoint(sandbox) -> None:
    asked(sandbox, "try: client.get('/context').data\nexcept RuntimeError: pass", STREAM)
    event = sandbox.event()
    assert (main_exception(event)["value"], event["transaction"]) == ("/context", "in_context")


def test_asynchronous_view(sandbox) -> None:
    pytest.importorskip("asgiref")
    if not hasattr(pytest.importorskip("flask").Flask, "ensure_sync"):
        pytest.skip("Flask 1 knows no asynchronous views")
    more = "\n@app.get('/async')\nasync def asynchronous():\n    errtrack.set_tag('a', 'b')\n    raise RuntimeError('async')\n"
    asked(sandbox, "client.get('/async')", more)
    event = sandbox.event()
    assert main_exception(event)["value"] == "async" and event["tags"] == {"a": "b"}


HOOK = """
def tell(event, hint):
    contexts = event["contexts"]
    source = event["transaction_info"]["source"]
    print(event["transaction"], source, contexts["trace"]["status"], contexts["response"]["status_code"])
    return event
"""


def test_transactions_are_named_and_have_their_status(sandbox) -> None:
    ask = "for path in '/ok/1 /nowhere /abort/401'.split(): client.get(path)\nclient.options('/ok/1')"
    ask += "\nimport errtrack; errtrack.flush()"
    sandbox.write("hooks.py", HOOK)
    env = {"ERRTRACK_TRACES_SAMPLE_RATE": "1", "ERRTRACK_FLASK_TRANSACTION_STYLE": "url"}
    told = asked(sandbox, ask, ERRTRACK_BEFORE_SEND_TRANSACTION="hooks:tell", **env)
    assert told.splitlines() == [
        "/ok/<n> route ok 200",
        "generic WSGI request route not_found 404",
        "/abort/<int:code> route unauthenticated 401",
    ]
