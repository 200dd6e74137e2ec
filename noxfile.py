"""The version matrix: ``nox`` runs the suite on every supported Python, ``nox -s frameworks`` on old libraries."""

import nox

nox.options.sessions = ["tests"]
PYTHONS = ["3.9", "3.10", "3.11", "3.12", "3.13"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The whole suite."""
    session.install("-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session(python="3.9")
@nox.parametrize("libraries", ["flask<2.3 werkzeug<2.3 gunicorn<21", "urllib3<2", "wrapt<1.15"])
def frameworks(session: nox.Session, libraries: str) -> None:
    """The oldest releases that the catalogue says are supported."""
    session.install("-e", ".[test]", *libraries.split())
    session.run("pytest", "tests/instrumentations", "tests/agent/delivery", *session.posargs)


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
