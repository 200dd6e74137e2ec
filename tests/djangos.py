"""Runs the shop of ``tests/django_apps`` under a real server once, asks it for many things, and keeps what came of it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from web import Server

APPS = Path(__file__).parent / "django_apps"

MIGRATE = """
import shop
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.contrib.auth.models import User
ada = User.objects.create_user("ada", "ada@example.com", "x")
from django.test import Client
client = Client()
client.force_login(ada)
print(client.cookies["basket"].value)
"""


def shop_in(sandbox_in: Any, folder: Path, migrated: bool = True, **env: str) -> Any:
    """A sandbox with the shop in it, and its database."""
    sandbox = sandbox_in(folder)
    for app in APPS.glob("*.py"):
        shutil.copy(app, folder)
    shutil.copytree(APPS / "templates", folder / "templates")
    sandbox.env.update(env, SHOP_FOLDER=str(folder), PYTHONPATH=str(folder))
    if not migrated:
        return sandbox
    done = sandbox.python(MIGRATE, launched=False)
    assert done.returncode == 0, done.stderr
    sandbox.session = done.stdout.strip()  # of a user called ada
    return sandbox


class Story:
    """Requests by name, the answer to each, and its events: told apart by the header ``X-Case``."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes]] = {}
        self._events: dict[str, list[dict[str, Any]]] = {}
        self.others: list[dict[str, Any]] = []
        self._transactions: dict[str, list[dict[str, Any]]] = {}
        self.output = ""
        self.is_traced = False

    @classmethod
    def told(cls, sandbox: Any, server: Server, requests: dict[str, dict[str, Any]]) -> Story:
        story = cls()
        with server:
            for case, request in requests.items():
                given = dict(request)
                path = given.pop("path")
                headers = {"X-Case": case, **given.pop("headers", {})}
                story.answers[case] = server.get(path, headers=headers, **given)
        story.output = server.output
        for event in sandbox.events():
            case = case_of(event)
            if case is None:
                story.others.append(event)
            else:
                story._events.setdefault(case, []).append(event)
        kept = sandbox.folder / "transactions"
        for line in kept.read_text().splitlines() if kept.exists() else ():
            transaction = json.loads(line)
            story._transactions.setdefault(case_of(transaction) or "", []).append(transaction)
        return story

    def events(self, case: str) -> list[dict[str, Any]]:
        assert case in self.answers, case
        return self._events.get(case, [])

    def event(self, case: str) -> dict[str, Any]:
        """The one event of the request called *case*."""
        found = self.events(case)
        told = [
            [(v["type"], v["value"]) for v in event["exception"]["values"]]
            for event in found
            if "exception" in event
        ]
        assert len(found) == 1, (case, self.answers[case], told, self.output[-1000:])
        return found[0]

    def transactions(self, case: str) -> list[dict[str, Any]]:
        return self._transactions.get(case, [])

    def transaction(self, case: str) -> dict[str, Any]:
        found = self.transactions(case)
        assert len(found) == 1, (case, self.answers[case], len(found), self.output[-1000:])
        return found[0]

    def spans(self, case: str, op: str) -> list[dict[str, Any]]:
        """The spans of the one transaction of *case* whose op is *op*, in the order of their beginning."""
        spans = [span for span in self.transaction(case)["spans"] if span["op"] == op]
        return sorted(spans, key=lambda span: span["start_timestamp"])


def case_of(event: dict[str, Any]) -> str | None:
    headers = event.get("request", {}).get("headers", {})
    return {name.lower(): value for name, value in headers.items()}.get("x-case")


def gunicorn(sandbox: Any, *arguments: str, app: str = "shop:application") -> Server:
    return Server.gunicorn(sandbox, app, *(arguments or ("--threads", "4")))


def uvicorn(sandbox: Any, app: str = "shop:asgi") -> Server:
    command = (
        sys.executable,
        "-m",
        "uvicorn",
        "--host",
        "127.0.0.1",
        "--port",
        "PORT",
        "--log-level",
        "warning",
    )
    return Server(sandbox, *command, app)


def multipart(fields: dict[str, str], files: dict[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """A body of fields and files, and its headers."""
    boundary = "edge-of-a-part"
    body = b""
    for name, value in fields.items():
        body += (
            '--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (boundary, name, value)
        ).encode()
    for name, content in files.items():
        head = '--%s\r\nContent-Disposition: form-data; name="%s"; filename="a.txt"\r\n\r\n' % (
            boundary,
            name,
        )
        body += head.encode() + content + b"\r\n"
    body += ("--%s--\r\n" % boundary).encode()
    return body, {"Content-Type": "multipart/form-data; boundary=" + boundary}


JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
