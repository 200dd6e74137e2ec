# SPDX-License-Identifier: MIT
"""A Flask application in one file, for the tests that serve it: views, handlers, hooks, templates, users."""

import os
import sys
import time

import flask
from flask.views import MethodView
from werkzeug.exceptions import ImATeapot

import errtrack

app = flask.Flask(
    __name__, template_folder=os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates")
)
app.secret_key = "x"
app.config["SESSION_COOKIE_NAME"] = "who"


@app.route("/ok/<n>")
def ok(n):
    errtrack.set_tag("healthy", n)
    errtrack.set_user({"id": "healthy-" + n})
    errtrack.add_breadcrumb(message="all is well " + n)
    return "fine " + n


@app.route("/fail/<n>", methods=["GET", "HEAD", "OPTIONS", "POST"])
def fail(n):
    errtrack.set_tag("n", n)
    errtrack.add_breadcrumb(message="about to fail " + n)
    raise RuntimeError("failed " + n)


# Blueprints, one inside of the other where Flask can do that.
outer = flask.Blueprint("outer", __name__)
inner = flask.Blueprint("inner", __name__)


@inner.route("/hi")
def hi():
    raise RuntimeError("blueprint")


if hasattr(flask.Blueprint, "register_blueprint"):  # Flask 2
    outer.register_blueprint(inner, url_prefix="/inner")
else:
    app.register_blueprint(inner, url_prefix="/outer/inner")
app.register_blueprint(outer, url_prefix="/outer")


# What is an answer, and no error.
@app.route("/abort/<int:code>")
def abort(code):
    flask.abort(code)


@app.route("/teapot")
def teapot():
    raise ImATeapot()


@app.route("/answers-500")
def answers_500():
    return "said so itself", 500


@app.route("/slash/")
def slash():
    return "slash"


class Known(Exception):
    pass


class Odd(Exception):
    pass


@app.errorhandler(Known)
def take(error):
    return "taken", 400


@app.errorhandler(Odd)
def fail_at(error):
    raise ValueError("in the handler")


@app.errorhandler(500)
def apologise(error):
    return "sorry", 500


@app.route("/known")
def known():
    raise Known("known")


@app.route("/odd")
def odd():
    raise Odd("first")


@app.route("/logs")
def logs():
    app.logger.error("only logged")
    return "x"


@app.route("/logs-and-raises")
def logs_and_raises():
    try:
        raise RuntimeError("logged and raised")
    except RuntimeError:
        app.logger.exception("oh")
        raise


# Bodies.
@app.route("/json", methods=["POST"])
def take_json():
    flask.request.get_json()
    raise RuntimeError("json")


@app.route("/form", methods=["POST"])
def take_form():
    flask.request.form
    raise RuntimeError("form")


@app.route("/raw", methods=["POST"])
def take_raw():
    flask.request.get_data()
    raise RuntimeError("raw")


@app.route("/drained", methods=["POST"])
def drained():
    flask.request.environ["wsgi.input"].read(int(flask.request.environ["CONTENT_LENGTH"]))
    raise RuntimeError("drained")


@app.route("/unread", methods=["POST"])
def unread():
    raise RuntimeError("unread")


@app.route("/read/<words>", methods=["POST"])
def read(words):
    found = []
    errtrack.capture_message("before")
    for word in words.split("-"):
        value = getattr(flask.request, word)
        found.append(value.to_dict() if word == "form" else value.decode() if word == "data" else value)
        errtrack.capture_message("after " + word)
    return flask.jsonify(found)


# Streams.
def in_pieces(n):
    for i in range(1000):
        if i == 500:
            errtrack.capture_message("half of " + n)
        yield n + "\n"


@app.route("/pieces/<n>")
def pieces(n):
    errtrack.set_tag("n", n)
    return flask.Response(in_pieces(n))


@app.route("/stream")
def stream():
    errtrack.set_tag("streamed", "yes")

    @flask.stream_with_context
    def some():
        yield "first"
        raise RuntimeError("mid-stream of " + flask.request.path)

    return flask.Response(some())


@app.route("/endless")
def endless():
    def some():
        try:
            while True:
                yield "x" * 100_000
        finally:
            print("generator closed", flush=True)

    return flask.Response(some())


# What stands around a view.
@app.after_request
def fail_after(response):
    if flask.request.path == "/after":
        raise RuntimeError("after_request")
    return response


@app.before_request
def fail_before():
    if flask.request.path == "/before":
        raise RuntimeError("before_request")


@app.teardown_request
def fail_teardown(error):
    if flask.request.path == "/teardown":
        raise RuntimeError("teardown")


@app.route("/after")
@app.route("/before")
@app.route("/teardown")
def around():
    return "x"


@app.route("/exit")
def leave():
    sys.exit(1)


@app.route("/nested/<n>")
def nested(n):
    errtrack.set_tag("outer", n)
    app.test_client().get("/fail/inner-" + n)
    errtrack.capture_message("outer " + n)
    return "x"


@app.route("/named-by-itself")
def named_by_itself():
    errtrack.set_transaction_name("mine")
    return "named"


class Things(MethodView):
    def get(self):
        raise RuntimeError("things")


app.add_url_rule("/things", view_func=Things.as_view("the_things"))

if hasattr(flask.Flask, "ensure_sync"):  # Flask 2

    @app.route("/async/<n>")
    async def asynchronous(n):
        errtrack.set_tag("n", n)
        raise RuntimeError("async " + n)


# Templates.
@app.context_processor
def of_everybody():
    return {"sentry_trace_meta": "of a processor"} if "processor" in flask.request.args else {}


@app.route("/page/<name>")
def page(name):
    errtrack.capture_message("rendered")
    return flask.render_template(name + ".html", **flask.request.args.to_dict())


@app.route("/text")
def text():
    return flask.render_template_string("{{ sentry_trace_meta }}", sentry_trace="mine")


# Somebody who has logged in.
if os.environ.get("TILL_LOGIN"):
    import flask_login

    manager = flask_login.LoginManager(app)

    class User(flask_login.UserMixin):
        def __init__(self, id):
            self.id = id
            self.email = "jane@example.com"
            self.username = "jane"

    @manager.user_loader
    def load(id):
        return User(id)

    @app.route("/login")
    def login():
        flask_login.login_user(User("42"))
        return "in"

    @app.route("/says-so")
    @flask_login.login_required
    def says_so():
        errtrack.set_user({"id": "said"})
        raise RuntimeError("said so")

    @app.route("/guarded")
    @flask_login.login_required
    def guarded():
        raise RuntimeError("guarded")


@app.route("/switch-on")
def switch_on():
    """Tracing, in a process that has served requests without."""
    errtrack.init(traces_sample_rate=1.0, before_send_transaction=sys.modules["spy"].keep)
    return "on"


@app.route("/slow")
def slow():
    time.sleep(0.02)
    return "slow"


if os.environ.get("TILL_SPY"):
    import spy  # noqa: F401
