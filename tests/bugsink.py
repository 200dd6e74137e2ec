"""A real Bugsink on loopback, strict about its schema, and Sentry's own normaliser; both from a venv named by
``ERRTRACK_TEST_SERVERS`` (with ``bugsink`` and ``sentry-relay`` in it; ``.ci/run`` makes one)."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from web import free_port

_SETTINGS = """
import os
from bugsink.settings.default import *
HERE = os.path.dirname(os.path.abspath(__file__))
SECRET_KEY = "for tests on loopback only, and long enough to be taken " * 2
for name, database in DATABASES.items():
    database["NAME"] = os.path.join(HERE, name + ".sqlite3")
SNAPPEA = {"TASK_ALWAYS_EAGER": True}
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
BUGSINK = {
    "BASE_URL": "http://127.0.0.1:" + os.environ["BUGSINK_PORT"],
    "PHONEHOME": False,
    "SINGLE_USER": True,
    "INGEST_STORE_BASE_DIR": os.path.join(HERE, "ingestion"),
    "VALIDATE_ON_DIGEST": "strict",
    "MAX_EVENTS_PER_PROJECT_PER_5_MINUTES": 100000,
}
"""

_PROJECT = """
import django
django.setup()
from projects.models import Project
from teams.models import Team
team = Team.objects.create(name="tests")
print(Project.objects.create(team=team, name="tests").dsn)
"""

_NORMALISE = """
import json, sys
from sentry_relay.processing import StoreNormalizer
normalizer = StoreNormalizer(project_id=1, client="errtrack/tests", protocol_version="7", key_id="1",
    is_renormalize=False, remove_other=True, max_secs_in_past=10**10, max_secs_in_future=60, enable_trimming=True)
def errors(meta, path):
    for key, value in (meta or {}).items():
        if key == "":
            if isinstance(value, dict) and value.get("err"):
                yield path, value
        elif isinstance(value, dict):
            yield from errors(value, path + [key])
for line in sys.stdin:
    event = json.loads(line)
    ours = [path for path, _ in errors(event.get("_meta"), [])]
    normal = normalizer.normalize_event(raw_event=json.dumps(event))
    print(json.dumps([found for found in errors(normal.get("_meta"), []) if found[0] not in ours]))
"""


def python() -> str:
    """The interpreter of the servers' venv; skips the test where there is none."""
    venv = os.environ.get("ERRTRACK_TEST_SERVERS")
    if not venv:
        pytest.skip("ERRTRACK_TEST_SERVERS does not name a venv with bugsink and sentry-relay")
    return os.path.join(venv, "bin", "python")


class Bugsink:
    """``with Bugsink(folder) as server: server.dsn``"""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "strict_settings.py").write_text(_SETTINGS)
        keep = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        self._env = dict(
            keep,
            PYTHONPATH=str(folder),
            DJANGO_SETTINGS_MODULE="strict_settings",
            BUGSINK_PORT=str(self.port),
            NO_PROXY="127.0.0.1",
        )
        self._python = python()

    def _call(self, *arguments: str) -> str:
        done = subprocess.run(
            [self._python, *arguments],
            cwd=self.folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def __enter__(self) -> Bugsink:
        for arguments in ((), ("snappea", "--database=snappea")):
            self._call("-m", "django", "migrate", "--verbosity", "0", *arguments)
        self.dsn = self._call("-c", _PROJECT).strip()
        self._log = (self.folder / "server.log").open("w")
        self._process = subprocess.Popen(
            [
                self._python,
                "-m",
                "gunicorn",
                "--worker-class",
                "gthread",
                "--threads",
                "4",
                "--no-control-socket",
            ]
            + ["--bind", "127.0.0.1:%d" % self.port, "bugsink.wsgi"],
            cwd=self.folder,
            env=self._env,
            stdout=self._log,
            stderr=self._log,
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for _ in range(300):
            assert self._process.poll() is None, (self.folder / "server.log").read_text()
            try:
                opener.open("http://127.0.0.1:%d/health/ready" % self.port, timeout=2).close()
                return self
            except OSError:
                time.sleep(0.1)
        raise AssertionError("bugsink did not come up")

    def __exit__(self, *_: Any) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._log.close()

    def events(self, wanted: int, timeout: float = 30) -> list[dict[str, Any]]:
        """The stored events; waits until there are *wanted*."""
        deadline = time.monotonic() + timeout
        while True:
            connection = sqlite3.connect(self.folder / "default.sqlite3", timeout=10)
            try:
                rows = connection.execute("select data from events_event").fetchall()
            finally:
                connection.close()
            if len(rows) >= wanted or time.monotonic() > deadline:
                return [json.loads(data) for (data,) in rows]
            time.sleep(0.2)


def complaints(events: list[dict[str, Any]]) -> list[Any]:
    """What Sentry's normaliser finds wrong with *events*."""
    done = subprocess.run(
        [python(), "-c", _NORMALISE],
        input="".join(json.dumps(event) + "\n" for event in events),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [found for line in done.stdout.splitlines() for found in json.loads(line)]
