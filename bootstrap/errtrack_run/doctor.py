# SPDX-License-Identifier: MIT
"""``errtrack doctor``: why an event would arrive, or would not.

Looks at the Python, the copy of errtrack, the settings and where each came from, the server, the folders on
disk and what waits in them, and at every library that would be patched. With a COMMAND, at the Python that it
runs in, and at every place there that would be patched: the libraries are imported in a process of their own.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from errtrack_run.libraries import ABSENT, NOTE, OFF, OK, PROBLEM
from errtrack_run.terminal import Terminal, escape, pad, plural, size, wrap

if TYPE_CHECKING:
    from typing import Any

    from errtrack_run.cli import Settings

    Facts = dict[str, Any]
    Check = tuple[str, str, str, str]

OLDEST = (3, 9)
#: Needed from the first event on: distribution -> what does not work without it, and what to do.
_NEEDED = {
    "wrapt": "class methods and builtins are not patched; install it there, or use `errtrack export`",
    "urllib3": "events stay on disk; install it there, or use `errtrack export`",
}

#: What captures may cost; shown even where nobody has set it, and what gave way where a process went over it.
_BUDGETS = {
    "max_capture_time": "%g ms of a processor an event",
    "max_capture_cpu": "%g %% of a processor in ten seconds",
}
_GAVE_WAY = {"details": "events without variables or source lines", "events": "errors were only counted"}


class Doctor:
    """Collects checks; ``checks`` are (section, name, state, text)."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.options = settings.options
        self.checks: list[Check] = []
        self.section = ""

    def note(self, name: str, state: str, text: str) -> None:
        self.checks.append((self.section, name, state, text))

    def examine(self) -> None:
        """Make every check, each in its own guard: a fault in one is a finding, and the others go on."""
        facts: Facts = {}
        for section, check in (
            ("Command", self._command),
            ("Python", self._python),
            ("Settings", self._settings),
            ("Destination", self._destination),
            ("On disk", self._disk),
            ("Instrumentations", self._instrumentations),
        ):
            self.section = section
            try:
                check(facts)
            except Exception as error:
                self.note(
                    "doctor", PROBLEM, "this check failed itself: %s: %s" % (type(error).__name__, error)
                )

    def _command(self, facts: Facts) -> None:
        from errtrack_run import cautions, libraries, target

        command = self.settings.arguments.target
        modules = libraries.watched_modules()
        if not command:
            from errtrack import distributions
            from errtrack_run import facts as own

            facts.update(own.gather(distributions.installed(), modules))
            return
        name = os.path.basename(command[0])
        found = target.find(command, self.settings.environ)
        if found is None:
            self.note(name, PROBLEM, target.why_not(command[0]))
            return
        self.note(name, OK, found.path)
        if found.missing:
            self.note("start", PROBLEM, "its first line names %s, which is not there" % found.missing)
            return
        if found.python is None:
            text = "no Python program itself; every Python that it starts is instrumented (by PYTHONPATH)"
            self.note("Python", NOTE, text)
            return
        self.note("Python", OK, found.why)
        try:
            facts.update(target.ask(found, [*modules, *libraries.patch_points()], self.settings.environ))
        except Exception as error:
            self.note("start", PROBLEM, "this Python does not start: %s" % error)
            return
        flags = cautions.kept_out(command, self.settings.environ)
        if not facts["booted"]:
            for warning in flags:
                self.note("flags", PROBLEM, warning)
        for warning in cautions.warnings({}, command, self.settings.environ):
            if warning not in flags:
                self.note(name, NOTE, warning)
        if facts["booted"]:
            by = "errtrack-run-autoload" if facts["autoload"] else "sitecustomize on PYTHONPATH"
            text = "instrumented, by %s; with errtrack from %s" % (by, facts["errtrack"])
            self.note("start", OK, text)
        elif not self.options.enabled:
            self.note("start", OFF, "not instrumented: switched off by %s" % self.options.source("enabled"))
        else:
            self.note("start", PROBLEM, "not instrumented: this Python did not load errtrack's sitecustomize")
        if facts["finder"]:
            self.note("imports", NOTE, "%s comes before errtrack's finder" % facts["finder"])
        if facts["sitecustomize"]:
            self.note("sitecustomize", NOTE, "%s runs as well, after errtrack's" % facts["sitecustomize"])
        for line in facts["said"]:
            self.note("stderr", NOTE, "it says as it starts: %s" % line)

    def _python(self, facts: Facts) -> None:
        from errtrack_run import __file__ as package
        from errtrack_run import __version__

        if not facts:
            return
        version = tuple(int(part) for part in facts["version"].split(".")[:2])
        text = "%(implementation)s %(version)s, %(executable)s" % facts
        if version < OLDEST:
            text += "; errtrack needs %d.%d or newer" % OLDEST
        self.note("interpreter", OK if version >= OLDEST else PROBLEM, text)
        self.note("errtrack", OK, "%s, %s" % (__version__, facts["errtrack"] or os.path.dirname(package)))
        for name, without in _NEEDED.items():
            have = facts["distributions"].get(name)
            if have:
                self.note(name, OK, have)
            else:
                self.note(name, *self._own_copy(name, facts["version"], without))
        if facts["distributions"].get("sentry-sdk"):
            self.note("sentry-sdk", NOTE, "is installed too; where the application starts it, both report")

    def _own_copy(self, name: str, version: str, without: str) -> tuple[str, str]:
        """Of what an environment does not have, a launcher from another one brings its own."""
        from importlib.metadata import PackageNotFoundError, distribution

        from errtrack import distributions

        text = "not installed in this environment"
        try:
            own = distribution(name) if self.settings.arguments.target else None
        except PackageNotFoundError:
            own = None
        if own is None:
            return PROBLEM, "%s: %s" % (text, without)
        wanted = own.metadata["Requires-Python"] or ""
        if wanted and not distributions.satisfies(version, wanted):
            return PROBLEM, "%s, and the launcher's %s is not for it: %s" % (text, own.version, without)
        return OK, "%s, the launcher's, as there is none in this environment" % own.version

    def _settings(self, facts: Facts) -> None:
        options = self.options
        self.note(
            "file", OK if options.config_file else NOTE, options.config_file or "none (./errtrack.toml)"
        )
        if options.config_file and facts and not facts["toml"]:
            text = "without a TOML parser it is not read; install tomli there, or use `errtrack export`"
            self.note("tomli", *self._own_copy("tomli", facts["version"], text))
        for problem in options.problems:
            self.note("problem", PROBLEM, problem)
        if not options.enabled:
            self.note("enabled", OFF, "false, from %s: nothing is captured" % options.source("enabled"))
        from errtrack_run.settings import literal

        reached = self._noted(budgets=True)
        for name, value, source in options.as_rows():
            if name in _BUDGETS:
                where = "the default" if source == "default" else "from %s" % source
                self.note(name, OK, "%s, %s" % (_BUDGETS[name] % value if value else "no bound", where))
                for process, what, when in reached.get(name, ()):
                    self.note(
                        name, NOTE, "process %d went over it (%s): %s" % (process, when, _GAVE_WAY[what])
                    )
            elif source != "default" and name != "enabled":
                self.note(name, OK, "%s, from %s" % (literal(value), source))

    def _noted(self, budgets: bool) -> dict[str, list[tuple[int, str, str]]]:
        """What processes have noted in the last day, by name: (process, why, when)."""
        import time

        from errtrack import breaker

        found: dict[str, list[tuple[int, str, str]]] = {}
        for name, process, why, at in breaker.noted(self.options, self.settings.environ):
            if (name in _BUDGETS and why in _GAVE_WAY) is budgets:
                when = time.strftime("%d %b %H:%M", time.localtime(at))
                found.setdefault(name, []).append((process, why, when))
        return found

    def _destination(self, facts: Facts) -> None:
        options = self.options
        if not options.dsn:
            self.note("store", OK, "no DSN: events are kept on this machine (`errtrack list`)")
            return
        from errtrack.delivery import envelope
        from errtrack.delivery.sender import Sender
        from errtrack.dsn import Dsn

        dsn = Dsn.parse(options.dsn)
        self.note("DSN", OK, "%s, from %s" % (dsn.masked, options.source("dsn")))
        sender = Sender(options, dsn, self.settings.environ)
        # An envelope without an item: the server looks at the key and keeps nothing.
        answer = sender.send(envelope.Envelope({}, []).encode())
        sender.close()
        if not answer.status:
            self.note("server", PROBLEM, "not reachable: %s" % answer.error)
        elif answer.status in (401, 403, 404, 407) or 300 <= answer.status < 400:
            text = "answers HTTP %d %s" % (answer.status, answer.detail)
            self.note("server", PROBLEM, text.strip() + "; `errtrack test` tells more")
        else:
            state = OK if answer.status < 500 else PROBLEM
            self.note("server", state, "reachable, answers HTTP %d" % answer.status)
        from errtrack.delivery import uploader

        if uploader.applies(options, self.settings.environ):
            here = "" if options.uploader == "on" else " at this terminal"
            text = "a program%s ends at once; a process of its own delivers what is pending (uploader)" % here
        else:
            text = "a program waits up to %g s for what is pending (shutdown_timeout); the rest stays on disk"
            text %= options.shutdown_timeout
        self.note("exit", OK, text)

    def _disk(self, facts: Facts) -> None:
        from errtrack.delivery import left_behind, places, quarantine
        from errtrack.dsn import Dsn
        from errtrack_run import shelf, waiting

        options, environ = self.options, self.settings.environ
        candidates = places.state_folders(options, environ)
        folder, reasons = None, []
        for candidate in candidates:
            reason = shelf.why_unusable(candidate)
            if reason is None:
                folder = candidate
                break
            reasons.append("%s: %s" % (candidate, reason))
        if reasons:
            state = PROBLEM if folder is None or options.store else NOTE
            self.note("folder", state, "cannot be used: " + "; ".join(reasons))
        if folder is None:
            self.note("folder", PROBLEM, "no folder can be written: events are kept in memory only")
        else:
            self.note("folder", OK, folder)
        store = shelf.make(self.settings)
        try:
            totals = store.totals()
            kept = "%s, %s, %s" % (
                plural(totals["issues"], "issue"),
                plural(totals["events"], "event"),
                size(totals["size"]),
            )
            self.note("store", OK, "%s in %s" % (kept, store.path) if totals["size"] else "nothing kept yet")
        except Exception as error:
            self.note("store", PROBLEM, "cannot be read: %s" % error)
        finally:
            store.close()
        destination = Dsn.parse(options.dsn).digest if options.dsn else places.STORE
        spools = places.existing_spools(options, destination, environ)
        rows = [waiting.count(spool) for spool in spools]
        count = sum(row["waiting"] for row in rows)
        target = "for the server" if options.dsn else "for the store"
        self.note("spool", OK if not count else NOTE, "%s waiting %s" % (plural(count, "event"), target))
        suppressed = waiting.held_back(rows)
        if suppressed:
            text = "%s held back by dead processes, to be told by the next one or `errtrack spool drain`"
            self.note("storms", NOTE, text % plural(suppressed, "error"))
        refused = sum(row["refused"] for row in rows)
        if refused:
            text = "%s refused by the server in the last day; event and reason are in %s"
            folders = [os.path.join(row["folder"], quarantine.FOLDER) for row in rows if row["refused"]]
            self.note("spool", NOTE, text % (plural(refused, "event"), ", ".join(folders)))
        crashes = sum(map(left_behind.crashes_in, places.existing_spools(options, places.CRASHES, environ)))
        if crashes:
            text = "fatal signals not yet reported: %d; the next process or `errtrack spool drain` does it"
            self.note("crashes", NOTE, text % crashes)
        unreadable = sum(row["unreadable"] for row in rows)
        if unreadable:
            self.note("spool", PROBLEM, "%s cannot be read" % plural(unreadable, "file"))

    def _instrumentations(self, facts: Facts) -> None:
        from errtrack import guard
        from errtrack_instrumentations import table
        from errtrack_run import libraries

        if not facts:  # no Python, or none that can be asked
            return
        text = "failed %d times in process %d (%s, %s) and was switched off there"
        for name, notes in self._noted(budgets=False).items():
            for process, error, when in notes:
                self.note(name, PROBLEM, text % (guard.MOST_FAULTS, process, error, when))
        for file, (title, _) in table.INSTRUMENTATIONS.items():
            state, text = libraries.row(file, facts, self.options)
            self.note(file, state, "%s: %s" % (title, text))


def run(settings: Settings) -> int:
    """Print the findings. Exit status 1 when there is a problem."""
    doctor = Doctor(settings)
    doctor.examine()
    problems = [check for check in doctor.checks if check[2] == PROBLEM]
    if settings.arguments.json:
        from errtrack_run.json_output import write

        names = ("section", "name", "state", "text")
        write({"ok": not problems, "checks": [dict(zip(names, check)) for check in doctor.checks]})
    else:
        _print(Terminal(), doctor.checks, problems)
    return 1 if problems else 0


def _print(terminal: Terminal, checks: list[Check], problems: list[Check]) -> None:
    section = ""
    absent = [name for _, name, state, _ in checks if state == ABSENT]
    shown = [check for check in checks if check[2] != ABSENT]
    if absent:
        shown.append((checks[-1][0], "not installed", OFF, ", ".join(absent)))
    longest = max(len(escape(name)) for _, name, _, _ in shown)
    for check in shown:
        if check[0] != section:
            terminal.print(("\n" if section else "") + terminal.paint(check[0], "bold"))
            section = check[0]
        _print_row(terminal, check, longest)
    terminal.print()
    if not problems:
        terminal.print(terminal.paint("All is well.", "green"))
        return
    # Once more, as they stand far above where there are many libraries.
    terminal.print(terminal.paint("%s found:" % plural(len(problems), "problem"), "red"))
    for check in problems:
        _print_row(terminal, check, longest)


def _print_row(terminal: Terminal, check: Check, longest: int) -> None:
    _, name, state, text = check
    colour = {OK: "green", NOTE: "dim", OFF: "yellow", PROBLEM: "red"}[state]
    mark = terminal.paint(pad("" if state == NOTE else state, 7), colour)
    lead = "  %s  %s  " % (mark, pad(escape(name), longest))
    for line in wrap(escape(text), max(terminal.width - longest - 13, 30)):
        terminal.print(lead + line)
        lead = " " * (longest + 13)
