# SPDX-License-Identifier: MIT
"""``errtrack show``: one event with everything known about it, as a person wants to read it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from errtrack_run import shelf
from errtrack_run.cli import CommandError
from errtrack_run.terminal import Terminal, ago, clock, escape, escape_lines, plural, wrap

if TYPE_CHECKING:
    from typing import Any

    from errtrack_run.cli import Settings

    Event = dict[str, Any]

#: What is shown of them without ``--full``.
_BREADCRUMBS, _VALUE_LINES = 20, 4


def run(settings: Settings) -> int:
    """Find the event and print it. Exit status 1 when there is none."""
    from errtrack.delivery.store_tables import Ambiguous

    wanted = settings.arguments.id
    with shelf.opened(settings) as store:
        try:
            found = store.event(wanted)
        except Ambiguous as error:
            ids = ", ".join(candidate[: len(wanted) + 4] for candidate in error.candidates[:4])
            raise CommandError("several events begin with %s: %s" % (wanted, ids)) from None
    if found is None:
        raise CommandError(_not_found(wanted))
    if settings.arguments.json:
        from errtrack_run.json_output import write

        write(found)
        return 0
    Page(Terminal(), found, settings.arguments.full).print()
    return 0


def _not_found(wanted: str) -> str:
    if not wanted:
        return "nothing has been caught yet; try: errtrack-run python -c '1/0'"
    return "there is no event or issue %s; `errtrack list` shows what there is" % wanted


class Page:
    """One event laid out for *terminal*; *found* is what :meth:`Store.event` gave."""

    def __init__(self, terminal: Terminal, found: Event, full: bool) -> None:
        self.terminal = terminal
        self.event: Event = found["event"]
        self.event_id: str = found["event_id"]
        self.issue: Event = found["issue"]
        self.full = full

    def print(self) -> None:
        """Print the page, from what happened down to the circumstances."""
        from errtrack_run.stack import print_stacks

        self._print_head()
        self._print_message()
        print_stacks(self.terminal, self.event, self.full)
        self._print_request()
        self._print_section("User", self._pairs(self.event.get("user")))
        self._print_section("Tags", self._pairs(self.event.get("tags")))
        self._print_breadcrumbs()
        self._print_contexts()
        self._print_section("Extra", self._pairs(self.event.get("extra"), "extra"))
        if self.full:
            self._print_section("Modules", self._pairs(self.event.get("modules")))
        if not self.terminal.is_tty or self.issue["count"] < 2:
            return
        self.terminal.print()
        self.terminal.print(
            self.terminal.paint("All of them: errtrack list --issue %s" % self.issue["id"], "dim")
        )

    def _print_head(self) -> None:
        from errtrack.delivery import grouping, store_rows

        event, terminal, now = self.event, self.terminal, time.time()
        level = _text(event.get("level")) or self.issue["level"]
        for line in wrap(escape(grouping.title(event)), terminal.width):
            terminal.print(terminal.level(level, terminal.paint(line, "bold")))
        moment = store_rows.seconds(event.get("timestamp"))
        mechanism = self._mechanism()
        nature = [level]
        if mechanism.get("handled") is False:
            nature.append("unhandled")
        if mechanism.get("type") == "generic":
            nature.append("reported by the application")
        elif mechanism.get("type"):
            nature.append("caught by %s" % _text(mechanism["type"]))
        issue = self.issue
        seen = self.issue["id"] + ", "
        if issue["count"] == 1:
            seen += "seen once"
        else:
            seen += "seen %d times since %s" % (issue["count"], clock(issue["first_seen"]))
        release = _text(event.get("release"))
        if event.get("dist"):
            release += " (%s)" % _text(event["dist"])
        said = self._message() if grouping.values_of(event, "exception") else ""
        if not self.full:
            said = said.partition("Traceback (most recent call last)")[0].rstrip()  # it comes below
        self._print_pairs(
            [
                ("event", self.event_id),
                ("issue", seen),
                ("what", ", ".join(nature)),
                ("when", "%s, %s" % (clock(moment), ago(moment, now)) if moment is not None else ""),
                ("message", said),
                ("where", grouping.culprit(event)),
                ("transaction", _text(event.get("transaction"))),
                ("logger", _text(event.get("logger"))),
                ("environment", _text(event.get("environment"))),
                ("release", release),
                ("server", _text(event.get("server_name"))),
            ]
        )

    def _message(self) -> str:
        entry = self.event.get("logentry")
        if isinstance(entry, dict):
            entry = entry.get("formatted") or entry.get("message")
        return _text(entry or self.event.get("message"))

    def _print_message(self) -> None:
        """The whole of a message of which the title tells a part."""
        from errtrack.delivery import grouping

        message = self._message().strip("\n")
        if message.strip() in ("", grouping.title(self.event)) or grouping.values_of(self.event, "exception"):
            return
        self._print_heading("Message")
        for line in escape_lines(message):
            for part in wrap(line, self.terminal.width - 2):
                self.terminal.print(("  " + part).rstrip())

    def _mechanism(self) -> Event:
        from errtrack.delivery import grouping

        values = grouping.values_of(self.event, "exception")
        mechanism = values[-1].get("mechanism") if values else None
        return mechanism if isinstance(mechanism, dict) else {}

    def _print_request(self) -> None:
        request = self.event.get("request")
        if not isinstance(request, dict):
            return
        query = request.get("query_string")
        line = " ".join(filter(None, (_text(request.get("method")), _text(request.get("url")))))
        if query:
            line += "?" + (query if isinstance(query, str) else describe(query))
        pairs = [("", line)] + self._pairs(request.get("headers"), "request.headers")
        for name in ("cookies", "data", "env"):
            value = request.get(name)
            if value not in (None, "", {}, []):
                pairs.append((name, describe(value) if not isinstance(value, str) else value))
        self._print_section("Request", pairs)

    def _print_breadcrumbs(self) -> None:
        from errtrack.delivery import grouping, store_rows

        crumbs = grouping.values_of(self.event, "breadcrumbs")
        if not crumbs:
            return
        self._print_heading("Breadcrumbs")
        hidden = 0 if self.full else max(len(crumbs) - _BREADCRUMBS, 0)
        if hidden:
            self.terminal.print(self.terminal.paint("  ... %d earlier ones: --full" % hidden, "dim"))
        for crumb in crumbs[hidden:]:
            moment = store_rows.seconds(crumb.get("timestamp"))
            stamp = time.strftime("%H:%M:%S", time.localtime(moment)) if moment is not None else ""
            if moment is not None:
                stamp += ".%03d" % (moment % 1 * 1000)
            level = _text(crumb.get("level")) or "info"
            category = _text(crumb.get("category")) or _text(crumb.get("type"))
            said = " ".join(filter(None, (_text(crumb.get("message")), _crumb_data(crumb.get("data")))))
            lead = "  %-12s  %-7s  " % (stamp, escape(level)[:7])
            indent = " " * len(lead)
            said = "%s: %s" % (category, said) if category else said
            lines = wrap(escape(said), self.terminal.width - len(lead))
            lead = "  %s  %s  " % (
                self.terminal.paint("%-12s" % stamp, "dim"),
                self.terminal.level(level, "%-7s" % escape(level)[:7]),
            )
            for line in self._cut(lines):
                self.terminal.print(lead + line)
                lead = indent

    def _print_contexts(self) -> None:
        contexts = self.event.get("contexts")
        if not isinstance(contexts, dict):
            return
        pairs = []
        for name, context in contexts.items():
            if isinstance(context, dict):
                pairs.append((name, _context(name, {k: v for k, v in context.items() if k != "type"})))
        self._print_section("Contexts", pairs)

    def _print_heading(self, name: str) -> None:
        self.terminal.print()
        self.terminal.print(self.terminal.paint(name, "bold"))

    def _print_section(self, name: str, pairs: list[tuple[str, str]]) -> None:
        pairs = [(key, value) for key, value in pairs if value]
        if pairs:
            self._print_heading(name)
            self._print_pairs(pairs)

    def _print_pairs(self, pairs: list[tuple[str, str]]) -> None:
        """Names in a column, values beside them, both as they came: escaping is done here."""
        shown = [(escape(name), value) for name, value in pairs if value]
        longest = max([len(name) for name, _ in shown if len(name) <= 24] + [0])
        for name, value in shown:
            width = self.terminal.width - longest - 4
            lines = [part for line in escape_lines(value) for part in wrap(line, width)]
            # A long name gets a line of its own, a pair without a name the margin.
            lead = "  " if not name else "  %s  " % self.terminal.paint(name.ljust(longest), "cyan")
            if len(name) > longest:
                self.terminal.print(lead.rstrip())
                lead = " " * (longest + 4)
            for line in self._cut(lines):
                self.terminal.print((lead + line).rstrip())
                lead = " " * (longest + 4) if name else "  "

    def _cut(self, lines: list[str]) -> list[str]:
        if self.full or len(lines) <= _VALUE_LINES:
            return lines
        missing = len(lines) - _VALUE_LINES + 1
        more = "... %s more: --full" % plural(missing, "line")
        return lines[: _VALUE_LINES - 1] + [self.terminal.paint(more, "dim")]

    def _pairs(self, value: Any, path: str = "") -> list[tuple[str, str]]:
        """A map, or a list of pairs, as pairs of texts; with a note where *path* was shortened at capture."""
        if isinstance(value, list):
            value = {str(pair[0]): pair[1] for pair in value if isinstance(pair, list) and len(pair) == 2}
        if not isinstance(value, dict):
            return []
        notes: Any = self.event.get("_meta")
        for part in path.split(".") if path else ():
            notes = notes.get(part) if isinstance(notes, dict) else None
        out = []
        for name, item in value.items():
            text = item if isinstance(item, str) else describe(item)
            length = _original_length(notes, name)
            out.append((name, "%s  (shortened from %d)" % (text, length) if length else text))
        return out


def describe(value: Any) -> str:
    """A JSON value the way Python would write it, with names and texts unquoted below the top."""
    if isinstance(value, dict):
        return "{%s}" % ", ".join("%s: %s" % (key, describe(item)) for key, item in value.items())
    if isinstance(value, list):
        return "[%s]" % ", ".join(describe(item) for item in value)
    return str(value)


def _context(name: str, context: Event) -> str:
    if name == "flags":
        flags = context.get("values")
        if isinstance(flags, list):
            return ", ".join("%s=%s" % (f.get("flag"), f.get("result")) for f in flags if isinstance(f, dict))
    if name in ("runtime", "os") and context.get("name"):
        # The build says the same again at length.
        return " ".join(_text(context.get(key)) for key in ("name", "version") if context.get(key))
    return ", ".join("%s=%s" % (key, describe(item)) for key, item in context.items())


def _crumb_data(data: Any) -> str:
    if not isinstance(data, dict) or not data:
        return ""
    data = dict(data)
    lead = [data.pop(key, None) for key in ("method", "url", "status_code", "reason")]
    said = " ".join(_text(part) for part in lead if part is not None)
    return " ".join(filter(None, (said, describe(data) if data else "")))


def _original_length(notes: Any, name: str) -> int:
    note = notes.get(name) if isinstance(notes, dict) else None
    own = note.get("") if isinstance(note, dict) else None
    length = own.get("len") if isinstance(own, dict) else None
    return length if type(length) is int else 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
