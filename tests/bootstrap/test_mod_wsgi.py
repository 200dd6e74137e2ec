"""mod_wsgi in a real Apache: by the documented line in the script, and without any through the autoload distribution.

Apache starts here as an ordinary user, as its own children are; what it may not read is copied to where it may.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from houses import AGENT, RUN

import errtrack_instrumentations
from taken import Taken
from web import Server, main_exception

APACHE = shutil.which("apache2", path=os.environ["PATH"] + ":/usr/sbin") or shutil.which("httpd")
MODULES = next(
    (f for f in map(Path, ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules")) if f.is_dir()), Path()
)
pytestmark = pytest.mark.skipif(
    APACHE is None or not (MODULES / "mod_wsgi.so").exists(), reason="there is no Apache with mod_wsgi"
)

ROOT = Path(__file__).parents[2]

CONFIG = """
ServerRoot "%(folder)s"
ServerName localhost
LoadModule mpm_event_module "%(modules)s/mod_mpm_event.so"
LoadModule authz_core_module "%(modules)s/mod_authz_core.so"
LoadModule wsgi_module "%(modules)s/mod_wsgi.so"
Listen 127.0.0.1:%(port)d
PidFile "%(folder)s/pid"
ErrorLog "%(folder)s/error.log"
WSGISocketPrefix "%(folder)s/socket"
%(mode)s
WSGIScriptAlias / "%(folder)s/shop.wsgi"
<Directory />
  Require all granted
</Directory>
"""

#: Where the application runs: in processes of its own or in Apache's, in the main interpreter or in one of its own.
MODES = {
    "daemon": 'WSGIDaemonProcess shop processes=2 threads=8 home="%(folder)s" %(home)s\nWSGIProcessGroup shop\n'
    "WSGIApplicationGroup %%{GLOBAL}",
    "daemon-interpreter": 'WSGIDaemonProcess shop threads=8 home="%(folder)s" %(home)s\nWSGIProcessGroup shop',
    "embedded": "WSGIApplicationGroup %%{GLOBAL}",
}

BY_HAND = """
import errtrack
errtrack.init()
"""

APP = """
import time
import errtrack

def application(environ, start_response):
    path, n = environ["PATH_INFO"], environ["QUERY_STRING"]
    errtrack.set_tag("query", n)
    errtrack.set_user({"id": n})
    errtrack.add_breadcrumb(message=n)
    if path == "/fail":
        time.sleep(0.01)
        raise RuntimeError("failed " + n)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/file":
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    if path == "/stream":
        return pieces()
    return [b"fine ", n.encode()]

def pieces():
    yield b"first"
    raise RuntimeError("mid-stream")

from errtrack_run import by_hand
application = by_hand.wsgi(application)
"""

FLASK = """
from flask import Flask
application = Flask(__name__)

@application.route("/fail")
def fail():
    raise RuntimeError("failed")

@application.route("/ok")
def ok():
    return "fine"
"""


class Apache(Server):
    """Apache with one script, in *place*; *folders* are where Python finds us, and what else is needed."""

    def __init__(self, place: Place, mode: str, script: str, home: str = "", **env: str) -> None:
        super().__init__(
            place, str(APACHE), "-DFOREGROUND", "-f", str(place.folder / "httpd.conf"), launched=False, **env
        )
        (place.folder / "shop.wsgi").write_text(script)
        home = home or 'python-path="%s"' % place.packages
        mode = MODES[mode] % {"home": home, "folder": place.folder}
        config = {"folder": place.folder, "modules": MODULES, "port": self.port, "mode": mode}
        (place.folder / "httpd.conf").write_text(CONFIG % config)
        place.hand_over()
        self._options.update(place.identity)


class Place:
    """A folder of an ordinary user's, with errtrack in it as it is installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packages = folder / "packages"
        self.identity: dict[str, Any] = {}
        self.env = {"PATH": os.environ["PATH"], "ERRTRACK_STORE": str(folder / "state")}
        import certifi
        import urllib3
        import wrapt

        ours = (AGENT, Path(errtrack_instrumentations.__file__).parent, RUN)
        for package in (*ours, *(Path(p.__file__).parent for p in (certifi, urllib3, wrapt))):
            shutil.copytree(
                package, self.packages / package.name, ignore=shutil.ignore_patterns("__pycache__")
            )
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self.identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def command(self, *command: str, launched: bool) -> list[str]:
        return list(command)

    def hand_over(self) -> None:
        if self.identity:
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, self.identity["user"], self.identity["group"], follow_symlinks=False)


@pytest.fixture
def place() -> Iterator[Place]:
    # Not below pytest's own folder, which is for nobody else to read.
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    try:
        yield Place(folder)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("mode", sorted(MODES))
def test_application_watched_by_hand(place: Place, mode: str) -> None:
    start = BY_HAND
    if mode == "embedded":  # Apache's own processes take no path from a daemon's line
        start = "import sys; sys.path[:0] = [%r]\n" % str(place.packages) + BY_HAND
    mixed = [path % n for n in range(20) for path in ("/fail?n%d", "/ok?n%d")]
    with Taken() as taken, Apache(place, mode, start + APP, ERRTRACK_DSN=taken.dsn) as server:
        assert server.get("/ok?a") == (200, b"fine a")
        assert server.get("/file?f")[1].decode() == (place.folder / "shop.wsgi").read_text()
        statuses = [status for status, _ in server.get_all(mixed)]
        server.get("/stream?s")
        events = taken.await_events(21)
    assert sorted(statuses) == [200] * 20 + [500] * 20
    assert sorted(main_exception(e)["value"] for e in events) == sorted(
        [*("failed n%d" % n for n in range(20)), "mid-stream"]
    ), (place.folder / "error.log").read_text()
    for event in events:
        query = event["request"]["query_string"]
        assert (event["tags"], event["user"]) == ({"query": query}, {"id": query})
        assert [c["message"] for c in event["breadcrumbs"]["values"]] == [query]
        mechanism = main_exception(event)["mechanism"]
        assert (mechanism["type"], mechanism["handled"]) == ("wsgi", False)
        assert event["request"]["url"].startswith("http://127.0.0.1:%d/" % server.port)


def test_events_are_kept_until_the_next_process_where_apache_is_stopped(place: Place) -> None:
    """Nobody takes them while Apache runs: they lie on disk, and a process of the next start delivers them."""
    with Taken() as taken:
        taken.answer(503)
        with Apache(place, "daemon", BY_HAND + APP, ERRTRACK_DSN=taken.dsn) as server:
            assert server.get("/fail?a")[0] == 500
        taken.ok()
        with Apache(place, "daemon", BY_HAND + APP, ERRTRACK_DSN=taken.dsn) as server:
            server.get("/fail?b")
            events = taken.await_events(2)
    assert sorted(main_exception(event)["value"] for event in events) == ["failed a", "failed b"]


@pytest.mark.slow
def test_flask_without_a_line_through_autoload(place: Place) -> None:
    """A virtual environment of Apache's own Python, as ``python-home``, with the second distribution in it."""
    pytest.importorskip("flask")
    python = python_of_apache(place)
    home = place.folder / "home"
    subprocess.run([python, "-m", "venv", "--without-pip", "--symlinks", str(home)], check=True)
    site = next(home.glob("lib/python*/site-packages"))
    shutil.copytree(place.packages, site, dirs_exist_ok=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(site)]
    autoload = subprocess.run([*pip, "--no-deps", str(ROOT / "bootstrap" / "autoload")], capture_output=True)
    if autoload.returncode:
        pytest.skip("the distribution cannot be built here")
    version = site.parent.name.replace("python", "")
    subprocess.run([*pip, "--only-binary", ":all:", "--python-version", version, "flask"], check=True)
    env = {"ERRTRACK_AUTOLOAD": "1"}
    with (
        Taken() as taken,
        Apache(place, "daemon", FLASK, 'python-home="%s"' % home, ERRTRACK_DSN=taken.dsn, **env) as server,
    ):
        assert server.get("/ok") == (200, b"fine")
        assert server.get("/fail")[0] == 500
        (event,) = taken.await_events(1)
    assert main_exception(event)["mechanism"]["type"] == "flask"
    assert event["transaction"] == "fail"


def python_of_apache(place: Place) -> str:
    """The interpreter whose library mod_wsgi was linked with."""
    script = (
        "import sys\ndef application(environ, start_response):\n    start_response('200 OK', [])\n"
        "    return [('%s/bin/python%d.%d' % (sys.base_prefix, *sys.version_info[:2])).encode()]\n"
    )
    with Apache(place, "daemon", script) as server:
        path = server.get("/")[1].decode()
    if not os.path.exists(path):
        pytest.skip("Apache's Python has no program: " + path)
    return path
