"""Flask: one event a failure, with its endpoint and its own request, whichever server runs the application."""

from __future__ import annotations

import pytest

from web import Server, main_exception

pytest.importorskip("flask")

APP = """
import errtrack, flask
if not hasattr(flask.Flask, "get"):  # before Flask 2
    flask.Flask.get = flask.Blueprint.get = lambda self, rule: self.route(rule)
    flask.Flask.post = lambda self, rule: self.route(rule, methods=["POST"])
app = flask.Flask(__name__)
blueprint = flask.Blueprint("bp", __name__)

@app.get("/ok/<n>")
def ok(n):
    errtrack.set_tag("healthy", n)
    return "fine " + n

@app.get("/fail/<n>")
def fail(n):
    errtrack.set_tag("n", n)
    errtrack.add_breadcrumb(message="about to fail " + n)
    raise RuntimeError("failed " + n)

@blueprint.get("/hi")
def hi():
    raise RuntimeError("blueprint")

@app.get("/abort/<int:code>")
def abort(code):
    flask.abort(code)

@app.post("/json")
def take_json():
    flask.request.get_json()
    raise RuntimeError("json")

@app.post("/form")
def take_form():
    flask.request.form
    raise RuntimeError("form")

@app.post("/unread")
def unread():
    raise RuntimeError("unread")

class Known(Exception): pass

@app.errorhandler(Known)
def handle(error): return "handled", 400

@app.get("/known")
def known(): raise Known()

@app.get("/stream")
def stream():
    errtrack.set_tag("streamed", "yes")
    def pieces():
        yield "first"
        raise RuntimeError("mid-stream")
    return flask.Response(pieces())

@app.get("/exit")
def leave(): sys.exit(1)

@app.get("/after")
def after(): return "x"

@app.after_request
def fail_after(response):
    if flask.request.path == "/after": raise RuntimeError("after_request")
    return response

@app.teardown_request
def fail_teardown(error):
    if flask.request.path == "/teardown": raise RuntimeError("teardown")

@app.get("/teardown")
def teardown(): return "x"

app.register_blueprint(blueprint, url_prefix="/bp")
import sys
"""


def asked(sandbox, path: str, prelude: str = "", **env: str) -> None:
    """Ask for *path* in-process through Flask's test client, under the launcher."""
    sandbox.write("shop.py", APP)
    code = "import shop\n%s\nclient = shop.app.test_client()\n%s\n" % (prelude, path)
    done = sandbox.python(code, **env)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("testing", [False, True])
def test_failing_view_is_one_event(sandbox, debug: bool, testing: bool) -> None:
    asked(
        sandbox,
        "try: client.get('/fail/7?q=1', headers={'X-Thing': 'y'})\nexcept RuntimeError: pass",
        "shop.app.debug = %s; shop.app.testing = %s" % (debug, testing),
    )
    event = sandbox.event()
    assert main_exception(event)["mechanism"]["type"] == "flask"
    assert main_exception(event)["mechanism"]["handled"] is False
    assert (event["transaction"], event["transaction_info"]) == ("fail", {"source": "component"})
    assert event["request"]["url"] == "http://localhost/fail/7"
    assert event["request"]["query_string"] == "q=1"
    assert event["request"]["headers"]["X-Thing"] == "y"
    assert event["tags"]["n"] == "7"
    assert [c["message"] for c in event["breadcrumbs"]["values"]] == ["about to fail 7"]


def test_transaction_by_url_rule_and_blueprint(sandbox) -> None:
    asked(sandbox, "client.get('/fail/1')", ERRTRACK_FLASK_TRANSACTION_STYLE="url")
    event = sandbox.event()
    assert (event["transaction"], event["transaction_info"]) == ("/fail/<n>", {"source": "route"})


def test_blueprint_endpoint(sandbox) -> None:
    asked(sandbox, "client.get('/bp/hi')")
    assert sandbox.event()["transaction"] == "bp.hi"


@pytest.mark.parametrize("path", ["/abort/401", "/abort/500", "/known", "/nowhere", "/ok/1"])
def test_answers_are_not_errors(sandbox, path: str) -> None:
    asked(sandbox, "client.get(%r)" % path)
    assert sandbox.events() == []


def test_json_and_form_that_the_view_read_are_shown_scrubbed(sandbox) -> None:
    asked(
        sandbox,
        "client.post('/json', json={'a': 1, 'password': 'hunter2'})\n"
        "client.post('/form', data={'b': '2', 'token': 'hunter2'})",
    )
    first, second = sandbox.events()
    assert first["request"]["data"] == {"a": 1, "password": "[Filtered]"}
    assert second["request"]["data"] == {"b": "2", "token": "[Filtered]"}
    assert "hunter2" not in str((first, second))


def test_body_that_nobody_read_is_not_read_for_the_event(sandbox) -> None:
    asked(sandbox, "client.post('/unread', json={'a': 1})")
    assert "data" not in sandbox.event()["request"]


def test_error_while_streaming_has_the_requests_tags(sandbox) -> None:
    asked(sandbox, "try: client.get('/stream').data\nexcept RuntimeError: pass")
    event = sandbox.event()
    assert main_exception(event)["value"] == "mid-stream"
    assert event["tags"] == {"streamed": "yes"}
    assert event["transaction"] == "stream"
    assert event["request"]["url"] == "http://localhost/stream"


def test_failing_after_request_is_one_event(sandbox) -> None:
    asked(sandbox, "client.get('/after')")
    # Flask runs what has failed once more for its answer to the failure, and logs that: no second event.
    assert main_exception(sandbox.event())["value"] == "after_request"


def test_exit_in_a_view_is_reported(sandbox) -> None:
    asked(sandbox, "try: client.get('/exit')\nexcept SystemExit: pass")
    event = sandbox.event()
    assert (main_exception(event)["type"], main_exception(event)["mechanism"]["type"]) == (
        "SystemExit",
        "wsgi",
    )


def test_request_inside_a_request_has_its_own_url(sandbox) -> None:
    code = """
@app.get("/outer")
def outer():
    errtrack.set_tag("outer", "yes")
    app.test_client().get("/fail/inner")
    return "x"
"""
    sandbox.write("shop.py", APP + code)
    sandbox.python("import shop; shop.app.test_client().get('/outer')")
    event = sandbox.event()
    assert event["request"]["url"] == "http://localhost/fail/inner"


def test_disabled_by_name(sandbox) -> None:
    asked(sandbox, "client.get('/fail/1')", ERRTRACK_DISABLE="flask,logging")
    assert sandbox.events() == []


def test_app_made_with_flask_imported_early_and_subclassed(sandbox) -> None:
    code = """
from flask import Flask
class Mine(Flask): pass
app = Mine("x")
@app.route("/")
def index(): raise RuntimeError("mine")
print(app.test_client().get("/").status_code)
"""
    assert sandbox.python(code).stdout == "500\n"
    assert main_exception(sandbox.event())["value"] == "mine"


def test_environ_is_let_go_after_the_request(sandbox) -> None:
    code = """
import gc, shop, weakref
from werkzeug.test import EnvironBuilder, run_wsgi_app
class Environ(dict): pass
environ = Environ(EnvironBuilder("/fail/1").get_environ())
reference = weakref.ref(environ)
keys = set(environ)
run_wsgi_app(shop.app, environ, buffered=True)
print("errtrack.request" in environ)
del environ
gc.collect()
print(reference())
"""
    sandbox.write("shop.py", APP)
    done = sandbox.python(code)
    assert done.stdout == "False\nNone\n", done.stderr


def test_personal_data_stays_home_unless_asked_for(sandbox) -> None:
    ask = "shop.app.test_client(use_cookies=False).get('/fail/1', headers={'Authorization': 'Bearer sesame', 'Cookie': 'sessionid=s1; theme=dark', 'X-Forwarded-For': '203.0.113.9'})"
    asked(sandbox, ask)
    event = sandbox.event()
    for private in ("sesame", "s1", "dark", "203.0.113.9", "127.0.0.1"):
        assert private not in str(event["request"]), private
    assert "user" not in event


def test_personal_data_when_asked_for(sandbox) -> None:
    ask = "shop.app.test_client(use_cookies=False).get('/fail/1', headers={'Authorization': 'Bearer sesame', 'Cookie': 'sessionid=s1; theme=dark', 'X-Forwarded-For': '203.0.113.9'})"
    asked(sandbox, ask, ERRTRACK_SEND_DEFAULT_PII="1")
    event = sandbox.event()
    assert event["user"]["ip_address"] == "203.0.113.9"
    assert event["request"]["cookies"]["theme"] == "dark"
    assert "sesame" not in str(event) and "s1" not in str(
        event["request"]
    )  # secrets stay filtered all the same


def test_responses_are_byte_identical_with_and_without_us(sandbox) -> None:
    sandbox.write("shop.py", APP)
    answers = []
    for launched in (False, True):
        with Server.gunicorn(sandbox, "shop:app", launched=launched) as server:
            answers.append([server.get(p) for p in ("/ok/1", "/fail/1", "/abort/404", "/known", "/nowhere")])
    assert answers[0] == answers[1]
