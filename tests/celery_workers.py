"""Real brokers and workers for the tests of Celery, and what came of the tasks that they ran."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import celery

from celery_apps import SHOP, SPY
from web import free_port

_PATIENCE = 60.0


class Broker:
    """A Redis of the tests' own; where there is none, a folder is the broker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shops = 0
        self.process: subprocess.Popen[bytes] | None = None
        program = shutil.which("redis-server")
        try:
            import redis
        except ImportError:
            program = None
        if program is None:
            for name in ("queue", "queue-control", "results"):
                (folder / name).mkdir()
            self.env = {
                "BROKER": "filesystem://",
                "RESULTS": "file://%s" % (folder / "results"),
                "FOLDER": str(folder / "queue"),
            }
            return
        for _ in range(5):
            port = free_port()
            self.process = subprocess.Popen(
                [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
                cwd=folder,
                stdout=subprocess.DEVNULL,
            )
            client = redis.Redis(port=port)
            until = time.monotonic() + 20
            while self.process.poll() is None and time.monotonic() < until:
                try:
                    client.ping()
                    client.close()
                    url = "redis://127.0.0.1:%d/0" % port
                    self.env = {"BROKER": url, "RESULTS": url}
                    return
                except redis.exceptions.RedisError:
                    time.sleep(0.05)
            client.close()
            self.stop()
        raise AssertionError("no redis came up")

    @property
    def is_redis(self) -> bool:
        return self.process is not None

    def env_of_its_own(self) -> dict[str, str]:
        """For one more application: its tasks' ids are those of another, so their results lie apart."""
        self._shops += 1
        if self.is_redis:
            return {**self.env, "RESULTS": self.env["RESULTS"][:-1] + str(self._shops)}
        results = self.folder / ("results-%d" % self._shops)
        results.mkdir()
        return {**self.env, "RESULTS": "file://%s" % results}

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Shop:
    """A sandbox with the application in it, and a queue of its own."""

    def __init__(self, sandbox: Any, broker: Broker, **env: str) -> None:
        self.sandbox = sandbox
        self.env = {
            **broker.env_of_its_own(),
            "QUEUE": sandbox.folder.name,
            "PYTHONPATH": str(sandbox.folder),
            **env,
        }
        if "ERRTRACK_TRACES_SAMPLE_RATE" in env:
            self.env["ERRTRACK_BEFORE_SEND_TRANSACTION"] = "spy:keep"
        sandbox.write("shop.py", SHOP)
        sandbox.write("spy.py", SPY)
        self._events: list[dict[str, Any]] | None = None

    def worker(self, pool: str, *arguments: str, **env: str) -> Worker:
        return Worker(self, pool, *arguments, **env)

    def send(self, code: str, launched: bool = True, timeout: float = 150, **env: str) -> Any:
        """Run *code*, which has the tasks in scope and calls ``tell(what)``; what it told."""
        path = self.sandbox.write("send.py", _SENDER % code)
        done = self.sandbox.run(
            sys.executable, str(path), launched=launched, timeout=timeout, **{**self.env, **env}
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    @property
    def all(self) -> list[dict[str, Any]]:
        """Every event, oldest first."""
        if self._events is None:
            self._events = self.sandbox.events()
        return self._events

    def events(self, task_id: str) -> list[dict[str, Any]]:
        """The events of the task that was sent as *task_id*."""
        return [event for event in self.all if event.get("tags", {}).get("celery_task_id") == task_id]

    def event(self, task_id: str) -> dict[str, Any]:
        """The one event of that task."""
        found = self.events(task_id)
        assert len(found) == 1, [texts(event) for event in found or self.all]
        return found[0]

    def transactions(self, task_id: str | None = None, name: str | None = None) -> list[dict[str, Any]]:
        """The transactions of a task, or of a name, oldest first."""
        path = self.sandbox.folder / "transactions"
        found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        if name is not None:
            return [t for t in found if t["transaction"] == name]
        return [t for t in found if (t.get("tags") or {}).get("celery_task_id") == task_id]


class Worker:
    """``with shop.worker("prefork", "-c", "2") as worker:`` a worker that is ready for tasks."""

    def __init__(self, shop: Shop, pool: str, *arguments: str, **env: str) -> None:
        self.shop = shop
        self.output = ""
        # Before Celery 5.7 a worker with gevent goes on for a minute and more after tasks that failed, with us or without.
        self._is_stuck = pool == "gevent" and celery.VERSION < (5, 7)
        command = (sys.executable, "-m", "celery", "-A", "shop", "worker", "-P", pool, "-l", "info")
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-n", "%s@%%h" % pool)
        launched = env.pop("launched", "yes") == "yes"
        self._command = shop.sandbox.command(*command, *quiet, *arguments, launched=launched)
        self._options: dict[str, Any] = {
            "cwd": shop.sandbox.folder,
            "env": {**shop.sandbox.env, **shop.env, **env},
        }

    def __enter__(self) -> Worker:
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **self._options,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        try:
            self.await_output(" ready.")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        if self._is_stuck:
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGQUIT)
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("the worker did not stop: " + self.output) from None
        finally:
            self._reader.join()
            assert self.process.stdout is not None
            self.process.stdout.close()

    def await_output(self, text: str, times: int = 1) -> None:
        """Wait until the worker has said *text*."""
        until = time.monotonic() + _PATIENCE
        while self.output.count(text) < times:
            over = self.process.poll() is not None and not self._reader.is_alive()
            if (over or time.monotonic() > until) and self.output.count(text) < times:
                raise AssertionError("the worker never said %r: %s" % (text, self.output))
            time.sleep(0.05)

    def threads(self) -> int:
        """How many threads the worker's first process has."""
        return len(os.listdir("/proc/%d/task" % self.process.pid))

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line


_SENDER = """
import json, os, signal, sys, time
from celery import chain, chord, group
from celery.exceptions import TimeoutError
import errtrack
from shop import *

def tell(what):
    print(json.dumps(what))

def await_mark(name):
    for _ in range(1200):
        try:
            return int(open("marks/" + name).read())
        except OSError:
            time.sleep(0.05)
    raise SystemExit("no mark " + name)

def await_idle():
    '''Until no worker knows of a task that runs.'''
    for _ in range(60):
        active = app.control.inspect(timeout=1.0).active()
        if active and not any(active.values()):
            return
        time.sleep(0.1)
    time.sleep(3)  # a broker through which workers cannot be asked

def results(sent, timeout=90):
    '''How each task ended: its result, or the class of its exception.'''
    found = {}
    for result in sent:
        try:
            # Of a rejected task Celery tells nothing before its release 5.7.
            patience = 2 if result.id == "reject" else timeout
            found[result.id] = result.get(timeout=patience, disable_sync_subtasks=False)
        except BaseException as error:
            found[result.id] = type(error).__name__
    return found

%s
"""


def texts(event: dict[str, Any]) -> Any:
    """What an event is about, for messages of failing tests."""
    values = (event.get("exception") or {}).get("values") or ()
    return [(value["type"], value.get("value")) for value in values] or event.get("logentry")


def kind(event: dict[str, Any]) -> tuple[str, str]:
    """Class and text of the exception that titles the issue."""
    value = event["exception"]["values"][-1]
    return value["type"], value.get("value") or ""
