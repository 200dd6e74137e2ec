"""sys.exit: opt-in, failures by default, all of them by option, and the program ends as ever."""

from __future__ import annotations

import pytest

from web import main_exception

EXIT = "import sys\ndef leave(status):\n    sys.exit(status)\nleave(%s)\n"
ON = {"ERRTRACK_ENABLE": "sys_exit"}


@pytest.mark.parametrize(
    ("status", "by_default"), [("0", False), ("1", True), ("None", False), ("'text'", True), ("False", False)]
)
def test_which_ends_are_reported(sandbox, status: str, by_default: bool) -> None:
    bare = sandbox.python(EXIT % status, launched=False)
    watched = sandbox.python(EXIT % status, **ON)
    assert (watched.returncode, watched.stdout, watched.stderr) == (bare.returncode, bare.stdout, bare.stderr)
    assert len(sandbox.events()) == by_default
    sandbox.python(EXIT % status, ERRTRACK_SYS_EXIT_CAPTURE_SUCCESSFUL_EXITS="1", **ON)
    assert len(sandbox.events()) == by_default + 1


def test_event_has_status_and_the_stack_of_the_call(sandbox) -> None:
    sandbox.python(EXIT % "3", **ON)
    error = main_exception(sandbox.event())
    assert (error["type"], error["value"]) == ("SystemExit", "3")
    assert (error["mechanism"]["type"], error["mechanism"]["handled"]) == ("sys_exit", False)
    frames = error["stacktrace"]["frames"]
    assert [f["function"] for f in frames] == ["<module>", "leave"]
    assert frames[-1]["vars"] == {"status": "3"} and frames[-1]["context_line"].strip() == "sys.exit(status)"


def test_switched_on_by_file(sandbox) -> None:
    sandbox.write("errtrack.toml", 'enable = ["sys_exit"]\n')
    assert sandbox.python(EXIT % "3").returncode == 3
    assert main_exception(sandbox.event())["value"] == "3"


def test_off_unless_asked_for_and_then_not_there_at_all(sandbox) -> None:
    code = "import sys; print(type(sys.exit).__name__); sys.exit(4)"
    done = sandbox.python(code)
    assert (done.returncode, done.stdout) == (4, "builtin_function_or_method\n")
    assert sandbox.events() == []


def test_same_exit_seen_by_a_wsgi_server_is_one_event(sandbox) -> None:
    code = """
import sys
from wsgiref.simple_server import WSGIServer, WSGIRequestHandler
from wsgiref.util import setup_testing_defaults
def app(environ, start_response):
    sys.exit(3)
class Server(WSGIServer):
    def server_bind(self): self.base_environ = {}
server = Server(("127.0.0.1", 0), WSGIRequestHandler, bind_and_activate=False)
server.set_app(app)
environ = {}
setup_testing_defaults(environ)
try:
    server.get_app()(environ, None)
except SystemExit as error:
    print("left with", error.code)
server.server_close()
"""
    assert sandbox.python(code, **ON).stdout == "left with 3\n"
    assert main_exception(sandbox.event())["mechanism"]["type"] == "sys_exit"


def test_wrong_use_fails_as_ever(sandbox) -> None:
    done = sandbox.python("import sys\ntry: sys.exit(1, 2)\nexcept TypeError as error: print(error)", **ON)
    assert done.stdout.startswith("exit expected at most 1 argument")
