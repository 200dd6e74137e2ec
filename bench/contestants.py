# SPDX-License-Identifier: MIT
"""Who is measured: bare Python, errtrack, and its peers, each in an environment of its own.

Peers are optional. The same sample libraries are installed everywhere. The environment that a launcher makes is
read once, by launching ``env``, so that a start can be measured with the launcher and without it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

WORK = Path(__file__).resolve().parent / "work"
ROOT = Path(__file__).resolve().parent.parent
PEER_FILES = Path(__file__).resolve().parent / "peers"
LIBRARIES = ["flask", "django", "celery", "gunicorn"]
_OTEL = "opentelemetry-instrumentation-"


class Unavailable(Exception):
    """A contestant cannot be installed or started here; the message says why."""


class Peer:
    """What to install for an agent, what to put in front of a command, and its settings.

    *address* gives the variables that point it at a server, *rate* those that set a share of requests to trace.
    """

    def __init__(
        self,
        packages: list[str],
        prefix: list[str],
        address: Callable[[str], dict[str, str]],
        rate: Callable[[str], dict[str, str]],
        settings: dict[str, str] | None = None,
    ) -> None:
        self.packages = packages
        self.prefix = prefix
        self.address = address
        self.rate = rate
        self.settings = settings or {}


def _key(url: str) -> str:
    return url.replace("http://", "http://bench@") + "/1"


PEERS: dict[str, Peer] = {
    "sentry": Peer(
        ["sentry-sdk"],
        [],
        lambda url: {"SENTRY_DSN": _key(url)},
        lambda rate: {"BENCH_TRACES": rate},
        {"PYTHONPATH": str(PEER_FILES / "sentry")},
    ),
    "ddtrace": Peer(
        ["ddtrace"],
        ["ddtrace-run"],
        lambda url: {"DD_TRACE_AGENT_URL": url},
        lambda rate: {"DD_TRACE_SAMPLING_RULES": json.dumps([{"sample_rate": float(rate)}])},
        {"DD_SERVICE": "bench"},
    ),
    "otel": Peer(
        # Pinned, as core and contrib fit each other by exact version, and pip may not find the pair by itself.
        ["opentelemetry-distro==0.66b0", "opentelemetry-exporter-otlp-proto-http==1.45.0"]
        + [
            _OTEL + name + "==0.66b0"
            for name in ("flask", "django", "wsgi", "logging", "celery", "threading")
        ],
        ["opentelemetry-instrument"],
        lambda url: {"OTEL_EXPORTER_OTLP_ENDPOINT": url},
        lambda rate: {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": rate},
        {
            "PYTHONPATH": str(WORK),
            "OTEL_SERVICE_NAME": "bench",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        },
    ),
    "newrelic": Peer(
        ["newrelic"],
        ["newrelic-admin", "run-program"],
        lambda url: {},
        lambda rate: {},
        {"NEW_RELIC_CONFIG_FILE": str(PEER_FILES / "newrelic.ini")},
    ),
    "elastic": Peer(
        ["elastic-apm"],
        ["elasticapm-run"],
        lambda url: {"ELASTIC_APM_SERVER_URL": url},
        lambda rate: {"ELASTIC_APM_TRANSACTION_SAMPLE_RATE": rate},
        {"ELASTIC_APM_SERVICE_NAME": "bench"},
    ),
}

_OURS = Peer(
    [],
    ["errtrack-run"],
    # Settings are those that users have. The cap on storms stays on: no measurement captures as many errors of one
    # place as its burst allows, and Lab.expect tells if one should.
    lambda url: {"ERRTRACK_DSN": _key(url)},
    lambda rate: {"ERRTRACK_TRACES_SAMPLE_RATE": rate},
)
_BARE = Peer([], [], lambda url: {}, lambda rate: {})


class Contestant:
    """One agent, installed: its Python, its launcher, and the environments to run things in."""

    def __init__(self, name: str, agent: str, peer: Peer, venv: Path, state: Path) -> None:
        self.name = name
        self.agent = agent
        self.peer = peer
        self.venv = venv
        self.state = state
        self.python = str(venv / "bin" / "python")
        self.prefix = [
            str(venv / "bin" / word) if not number else word for number, word in enumerate(peer.prefix)
        ]
        self.version = ""
        self._launched: dict[str, str] = {}

    def plain_environment(self, port: int) -> dict[str, str]:
        """The environment that a command is launched from: clean, with the agent pointed at *port*."""
        return {
            "PATH": str(self.venv / "bin") + ":/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(self.state),
            "XDG_STATE_HOME": str(self.state / "state"),
            "BENCH_AGENT": self.agent,
            "BENCH_GENERATED": str(self.state.parent.parent / "generated"),
            "DJANGO_SETTINGS_MODULE": "django_settings",
            **self.peer.settings,
            **self.peer.address("http://127.0.0.1:%d" % port),
        }

    def environment(self, port: int, rate: str = "") -> dict[str, str]:
        """The environment of a process as the launcher leaves it; *rate* is the share of requests to trace."""
        plain = self.plain_environment(port)
        if not self.prefix:
            launched = {}
        else:
            if not self._launched:
                self._launched = self._ask_launcher(plain)
            launched = self._launched
        return {
            **plain,
            **launched,
            **self.peer.address("http://127.0.0.1:%d" % port),
            **(self.peer.rate(rate) if rate else {}),
        }

    def _ask_launcher(self, plain: dict[str, str]) -> dict[str, str]:
        done = subprocess.run([*self.prefix, "env", "-0"], env=plain, capture_output=True, timeout=60)
        if done.returncode:
            raise Unavailable("%s does not start: %s" % (self.name, done.stderr.decode()[-200:]))
        pairs = [item.partition("=") for item in done.stdout.decode().split("\0") if "=" in item]
        return {name: value for name, _, value in pairs}

    def forget(self) -> None:
        """Throw away what the agent keeps on disk, so that no run sends what another one left."""
        shutil.rmtree(self.state, ignore_errors=True)
        self.state.mkdir(parents=True, exist_ok=True)


def install(work: Path, peers: list[str]) -> tuple[list[Contestant], dict[str, Contestant], list[str]]:
    """Bare, errtrack (a wheel of this checkout) and *peers* below the folder *work*.

    Returns the contestants; errtrack as other installations leave it: ``uncompiled``, by an installer that compiles
    nothing, and ``cold``, with no ``.pyc`` of ours at all; and a line for each peer left out.
    """
    venvs, states = work / "venvs", work / "states"
    states.mkdir(parents=True, exist_ok=True)
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        wheel = _build_wheel(Path(folder))
        ours = _venv(venvs / "errtrack", [])
        _pip(ours, "--force-reinstall", "--no-deps", wheel)
        _pip(ours, wheel)
        others = {"uncompiled": _venv(venvs / "errtrack-uncompiled", [])}
        others["cold"] = _venv(venvs / "errtrack-without-pyc", [])
        for venv in others.values():
            _pip(venv, "--no-compile", "--force-reinstall", "--no-deps", wheel)
            _pip(venv, "--no-compile", wheel)
        for path in others["cold"].glob("lib/python*/site-packages/errtrack*/**/*.pyc"):
            path.unlink()
    contestants = [
        Contestant("bare", "bare", _BARE, ours, states / "bare"),
        Contestant("ours", "errtrack", _OURS, ours, states / "ours"),
    ]
    installed = {
        name: Contestant("ours", "errtrack", _OURS, venv, states / name) for name, venv in others.items()
    }
    for name in peers:
        try:
            peer = PEERS[name]
            venv = _venv(venvs / name, peer.packages)
            contestant = Contestant(name, name, peer, venv, states / name)
            contestant.forget()
            contestant.environment(1)
            contestants.append(contestant)
        except (KeyError, Unavailable, subprocess.SubprocessError, OSError) as error:
            notes.append("%s is left out: %s" % (name, str(error).strip() or type(error).__name__))
    for contestant in (*contestants, *installed.values()):
        contestant.forget()
        contestant.version = _version(contestant)
    return contestants, installed, notes


def _build_wheel(folder: Path) -> str:
    # Outside of any virtual environment pip may be missing from this interpreter; a throw-away one always has it.
    builder = _venv(folder / "builder", [], bare=True)
    command = [
        str(builder / "bin" / "python"),
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "-w",
        str(folder),
        str(ROOT),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    wheels = list(folder.glob("*.whl"))
    if not wheels:
        raise Unavailable("no wheel could be built: " + done.stderr[-400:])
    return str(wheels[0])


def _venv(folder: Path, packages: list[str], bare: bool = False) -> Path:
    mark = folder / "bench-ready"
    wanted = " ".join([sys.version, *packages])
    if mark.exists() and mark.read_text() == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True, timeout=300)
    if not bare:
        # Libraries are compiled everywhere: what "without .pyc" takes away is the agent's alone.
        _pip(folder, *LIBRARIES, *packages)
    mark.write_text(wanted)
    return folder


def _pip(venv: Path, *arguments: str) -> None:
    done = subprocess.run(
        [str(venv / "bin" / "python"), "-m", "pip", "install", "-q", *arguments],
        capture_output=True,
        text=True,
        timeout=400,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [
            done.stderr[-200:]
        ]
        raise Unavailable(lines[-1])


def _version(contestant: Contestant) -> str:
    package = {"bare": "", "errtrack": "errtrack-run"}.get(contestant.agent)
    if package is None:
        package = contestant.peer.packages[0].partition("==")[0]
    if not package:
        return "Python " + sys.version.split()[0]
    code = "import importlib.metadata as m, sys; print(sys.argv[1], m.version(sys.argv[1]))"
    done = subprocess.run(
        [contestant.python, "-c", code, package], capture_output=True, text=True, timeout=60
    )
    return done.stdout.strip()
