"""The version matrix: ``nox`` runs the suite on every supported Python, ``nox -s frameworks`` on old libraries."""

import os
from pathlib import Path

import nox

nox.options.sessions = ["tests"]
PYTHONS = ["3.9", "3.10", "3.11", "3.12", "3.13"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The whole suite."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python="3.9")
@nox.parametrize(
    "libraries",
    [
        "flask<2.3 werkzeug<2.3 gunicorn<21 waitress<2 cheroot<9 setuptools<80",
        "starlette<0.22 fastapi<0.88 pydantic<2 uvicorn<0.18 hypercorn<0.15 httpx<0.24",
        "urllib3<2",
        "wrapt<1.15",
        "tornado<6.1 sanic<23 websockets<11 awslambdaric<3 aiohttp<3.9 yarl<1.9",
        "django<4 djangorestframework<3.15 channels<4.1",
        "openai<1.67 launchdarkly-server-sdk<9.5 statsig<0.56 statsig-python-core<0.5 openfeature-sdk<0.8",
        "openai<2",
    ],
)
def frameworks(session: nox.Session, libraries: str) -> None:
    """The oldest releases that the catalogue says are supported."""
    session.install("-e", ".[test]", *libraries.split())
    session.run("pytest", "tests/instrumentations", "tests/agent/delivery", *session.posargs)


@nox.session(python="3.11")
def wheel(session: nox.Session) -> None:
    """What is released, in `dist`: both distributions, compiled for every supported Python, which must all be there."""
    session.install("hatchling>=1.21")
    dist = str(Path("dist").absolute())
    env = {"ERRTRACK_WHEEL_PYTHONS": os.pathsep.join("python" + version for version in PYTHONS)}
    for folder in (".", "bootstrap/autoload"):
        with session.chdir(folder):
            session.run("python", "-m", "hatchling", "build", "-d", dist, env=env)


@nox.session(python="3.11")
def rooms(session: nox.Session) -> None:
    """errtrack-run beside other agents, servers and reloaders, each in an environment of its own."""
    session.install("-e", ".[test]")
    env = {"ERRTRACK_TEST_VENVS": session.create_tmp()}
    session.run("python", "tests/bootstrap/rooms.py", env=env)
    session.run("pytest", "tests/bootstrap", *session.posargs, env=env)


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    """Style, types, architecture."""
    session.install("-e", ".[test,lint]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session(python="3.11")
def faults(session: nox.Session) -> None:
    """Every fault at every call, within an hour; CI takes samples of it."""
    session.install("-e", ".[test]")
    env = {"ERRTRACK_TEST_LEVEL": "faults", "ERRTRACK_TEST_KILLS": "2000"}
    session.run(
        "pytest", "tests/faults", "tests/agent/delivery", "-p", "no:randomly", *session.posargs, env=env
    )


@nox.session(python="3.11")
def soak(session: nox.Session) -> None:
    """Storms of a minute, 20,000 kills, every module of every standard library: hours."""
    session.install("-e", ".[test]")
    env = {"ERRTRACK_TEST_LEVEL": "soak", "ERRTRACK_TEST_KILLS": "20000"}
    everything = ("tests/faults", "tests/agent/delivery", "tests/bootstrap/test_stdlib_modules.py")
    session.run("pytest", *everything, "-s", *session.posargs, env=env)


@nox.session(python="3.11")
def counts(session: nox.Session) -> None:
    """Every count of `bench/budgets.toml`, by valgrind, those of traced requests with it: ten minutes."""
    session.install("-e", ".[test]")
    session.run("pytest", "tests/bench", *session.posargs, env={"ERRTRACK_TEST_LEVEL": "faults"})


@nox.session(python="3.11")
def peers(session: nox.Session) -> None:
    """Errtrack beside sentry-sdk and ddtrace, fault by fault: a table in Markdown; some minutes."""
    session.install("-e", ".")
    pythons = ["errtrack=" + str(Path(session.bin) / "python")]
    for name, package in (("sentry", "sentry-sdk>=2,<3"), ("ddtrace", "ddtrace")):
        venv = Path(session.create_tmp()) / name
        session.run("python", "-m", "venv", str(venv))
        session.run(str(venv / "bin" / "python"), "-m", "pip", "install", "-q", package, external=True)
        pythons.append("%s=%s" % (name, venv / "bin" / "python"))
    session.run("python", "tests/faults/peers.py", *pythons)
