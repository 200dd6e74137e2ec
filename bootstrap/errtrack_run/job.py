# SPDX-License-Identifier: MIT
"""``errtrack-run --monitor NAME COMMAND``: the server learns when a scheduled job begins and how it ends, with no
line of it changed; a job that did not run, or runs too long, is the server's to tell.

The launcher stays as the parent, as with ``--supervise``, and checks in while the command runs: it waits for nothing.
"""

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Job:
    """One run of the job *name*; *schedule* (crontab text, may be empty) makes its monitor where there is none.

    *environ* is the command's: its settings are ours, and its events are in the trace of the check-ins.
    """

    def __init__(self, name: str, schedule: str, environ: "dict[str, str]") -> None:
        self._name = name
        self._config = {"schedule": schedule} if schedule else None
        self._environ = environ
        self._id: str | None = None
        self._began = time.monotonic()
        environ.setdefault("ERRTRACK_TRACE", "%s-%s" % (os.urandom(16).hex(), os.urandom(8).hex()))

    def begin(self) -> None:
        """Tell that the command is running. Raises nothing."""
        self._id = self._check_in("in_progress", None)

    def end(self, is_well: bool) -> None:
        """Tell how it ended, and wait for the server as long as any program does at its end. Raises nothing."""
        self._check_in("ok" if is_well else "error", time.monotonic() - self._began)
        try:
            from errtrack import client as clients

            client = clients.get_client()
            if client is not None:
                client.close()
        except Exception as error:
            self._tell(error)

    def _check_in(self, status: str, duration: "float | None") -> "str | None":
        try:
            client = client_of(self._environ)
            if client.dsn is None:
                return None
            from errtrack import monitors

            return monitors.capture_checkin(self._name, self._id, status, duration, self._config)
        except Exception as error:
            self._tell(error)
            return None

    def _tell(self, error: Exception) -> None:
        from errtrack_run.hooking import is_debugging

        if is_debugging(self._environ):
            sys.stderr.write("errtrack-run: cannot check in: %s\n" % error)


def client_of(environ: "dict[str, str]") -> "Any":
    """The client of this parent, with the settings of the command that runs with *environ*."""
    if os.environ != environ:
        os.environ.clear()
        os.environ.update(environ)
    from errtrack import client as clients

    return clients._clients.get("client") or clients.init({})
