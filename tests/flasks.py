"""Serves the till of ``tests/flask_apps`` for the tests, by a real server and over real sockets."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from djangos import APPS as DJANGO_APPS
from djangos import Story
from web import Server

APPS = Path(__file__).parent / "flask_apps"

TRACED = {"ERRTRACK_TRACES_SAMPLE_RATE": "1", "ERRTRACK_BEFORE_SEND_TRANSACTION": "spy:keep"}


def till_in(sandbox_in: Any, folder: Path, **env: str) -> Any:
    """A sandbox with the till in it."""
    sandbox = sandbox_in(folder)
    for app in (*APPS.glob("*.py"), DJANGO_APPS / "spy.py"):
        shutil.copy(app, folder)
    shutil.copytree(APPS / "templates", folder / "templates")
    sandbox.env.update(env, SHOP_FOLDER=str(folder), PYTHONPATH=str(folder))
    return sandbox


def gunicorn(sandbox: Any, *arguments: str, app: str = "till:app") -> Server:
    return Server.gunicorn(sandbox, app, *(arguments or ("--threads", "4")))


def told(sandbox: Any, requests: dict[str, dict[str, Any]], *arguments: str, app: str = "till:app") -> Story:
    """The story of *requests*, asked of gunicorn one after the other."""
    return Story.told(sandbox, gunicorn(sandbox, *arguments, app=app), requests)
