# SPDX-License-Identifier: MIT
"""``errtrack test``: one real event, sent now, and what the server said to it."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

from errtrack_run import shelf
from errtrack_run.cli import CommandError
from errtrack_run.terminal import Terminal, escape

if TYPE_CHECKING:
    from typing import Any

    from errtrack.delivery.sender import Answer
    from errtrack.dsn import Dsn
    from errtrack_run.cli import Settings

_ADVICE = {
    401: "the server does not accept the key in the DSN",
    403: "the server does not accept the key in the DSN, or the project takes no events",
    404: "there is no such project or path; look at the end of the DSN",
    407: "the proxy wants a user and password (https_proxy)",
    413: "something on the way takes no body of this size",
    429: "the server accepts no more events at the moment",
}


def run(settings: Settings) -> int:
    """Send the event, or keep it where there is no DSN. Exit status 1 when it did not arrive."""
    from errtrack.dsn import Dsn

    options, terminal = settings.options, Terminal()
    shelf.tell_problems(settings)
    wrong = [problem for problem in options.problems if " dsn must be " in problem]
    if wrong:
        # Keeping it on this machine instead would look like a success.
        raise CommandError("the test event was not sent: there is no usable DSN")
    if not options.enabled:
        terminal.print(
            "Note: errtrack is switched off (%s); this test goes on all the same." % options.source("enabled")
        )
    event = test_event(settings)
    if options.dsn:
        return _send(terminal, settings, Dsn.parse(options.dsn), event)
    return _keep(terminal, settings, event)


def test_event(settings: Settings) -> dict[str, Any]:
    """A small event with what the settings add to every event."""
    import platform
    import socket

    from errtrack.delivery import envelope

    options = settings.options
    host = options.server_name or socket.gethostname()
    event: dict[str, Any] = {
        "event_id": os.urandom(16).hex(),
        "timestamp": envelope.rfc3339(time.time()),
        "platform": "python",
        "level": "error",
        "logger": "errtrack.test",
        "logentry": {
            "message": "Test event of errtrack %s on %s",
            "params": [envelope.VERSION, host],
            "formatted": "Test event of errtrack %s on %s" % (envelope.VERSION, host),
        },
        "fingerprint": ["errtrack-test-event"],
        "environment": options.environment,
        "server_name": host,
        "tags": dict(options.tags, **{"errtrack.test": "true"}),
        "contexts": {
            "runtime": {"name": platform.python_implementation(), "version": platform.python_version()}
        },
        "sdk": {"name": envelope.SDK_NAME, "version": envelope.VERSION},
    }
    for name in ("release", "dist"):
        if getattr(options, name):
            event[name] = getattr(options, name)
    return event


def _send(terminal: Terminal, settings: Settings, dsn: Dsn, event: dict[str, Any]) -> int:
    from errtrack.delivery.sender import Sender

    source = settings.options.source("dsn")
    terminal.print("Sending a test event to %s (from %s)" % (escape(dsn.masked), escape(source)))
    terminal.stream.flush()
    sender = Sender(settings.options, dsn, settings.environ)
    started = time.monotonic()
    answer = sender.send(_envelope(event))
    sender.close()
    took = (time.monotonic() - started) * 1000
    terminal.print()
    if answer.status:
        from http.client import responses

        line = "HTTP %d %s" % (answer.status, responses.get(answer.status, ""))
        terminal.print("  answer  %s, after %d ms" % (line.strip(), took))
    else:
        terminal.print("  answer  none: %s" % escape(answer.error))
    if answer.detail:
        terminal.print("  reason  %s" % escape(answer.detail))
    limits = answer.headers.get("x-sentry-rate-limits") or answer.headers.get("retry-after")
    if limits:
        terminal.print("  limits  %s" % escape(limits))
    terminal.print("  event   %s" % event["event_id"])
    terminal.print()
    if 200 <= answer.status < 300:
        terminal.print(terminal.paint("The server has accepted it.", "green"))
        return 0
    terminal.print(terminal.paint("It did not arrive: %s." % _advice(answer), "red"))
    return 1


def _advice(answer: Answer) -> str:
    if answer.status:
        known = _ADVICE.get(answer.status)
        if known:
            return known
        if 300 <= answer.status < 400:
            target = escape(answer.headers.get("location", "?"))
            return "the server is somewhere else (%s); errtrack follows no redirect, correct the DSN" % target
        return (
            "the server answered with an error"
            if answer.status < 500
            else "the server has a fault of its own"
        )
    if answer.tls_remedy:
        return "no trusted connection could be made; %s" % answer.tls_remedy
    return "the server could not be reached"


def _keep(terminal: Terminal, settings: Settings, event: dict[str, Any]) -> int:
    import sqlite3

    from errtrack.delivery import places
    from errtrack.delivery.store import Store

    folder = places.state_folder(settings.options, settings.environ)
    if folder is None:
        raise CommandError("no folder can be written; set ERRTRACK_STORE to one", 2)
    store = Store(folder, settings.options.store_max_age, settings.options.store_max_size)
    try:
        store.add([_envelope(event)])
    except (OSError, sqlite3.Error) as error:
        raise CommandError("the store cannot be written: %s" % error, 2) from None
    finally:
        store.close()
    terminal.print("There is no DSN, so the test event is kept on this machine. See it with:")
    terminal.print()
    terminal.print("    errtrack show %s" % event["event_id"][:8])
    return 0


def _envelope(event: dict[str, Any]) -> bytes:
    from errtrack.delivery import envelope

    return envelope.build(event["event_id"], "event", json.dumps(event).encode("ascii"))
