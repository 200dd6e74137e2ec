# SPDX-License-Identifier: MIT
"""``errtrack list``: what was caught, newest first, grouped into issues with counts."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from errtrack_run import shelf
from errtrack_run.cli import CommandError
from errtrack_run.terminal import Terminal, ago, cells, escape, pad, plural, shorten, size

if TYPE_CHECKING:
    from typing import Any

    from errtrack.delivery.store import Store
    from errtrack_run.cli import Settings

    Row = dict[str, Any]

_NO_EVENTS = """\
Nothing has been caught yet.

Put errtrack-run in front of a command that fails, and look again:

    errtrack-run python -c '1/0'
    errtrack list
"""

#: From this width on the culprit has a column of its own.
_WIDE = 110


def run(settings: Settings) -> int:
    """Print the issues, or the events. Exit status 0 also when there are none."""
    arguments = settings.arguments
    since = time.time() - arguments.since if arguments.since else 0.0
    # Where the locale does not know UTF-8, the bytes of a letter come as surrogates, which SQLite refuses.
    text = arguments.text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    with shelf.opened(settings) as store:
        if arguments.events or arguments.issue:
            rows = _events(store, arguments.limit, arguments.issue, text, since)
        else:
            rows = store.issues(arguments.limit, text, since)
        totals = store.totals()
    if arguments.json:
        from errtrack_run.json_output import write

        write(
            {
                "events" if arguments.events or arguments.issue else "issues": rows,
                "store": store.path,
                "total": totals,
            }
        )
        return 0
    terminal = Terminal()
    if settings.options.dsn:
        from errtrack.dsn import Dsn

        terminal.print("Events go to %s." % escape(Dsn.parse(settings.options.dsn).masked))
        if rows:
            terminal.print("Here is what was kept on this machine without a server:")
            terminal.print()
    if not rows and totals["events"]:
        terminal.print("Nothing like that was caught; %s in all." % plural(totals["issues"], "issue"))
        return 0
    if not rows:
        _print_empty(terminal, settings, store.path)
        return 0
    now = time.time()
    if "event_id" in rows[0] and "issue" in rows[0]:
        heads = ("EVENT", "ISSUE", "WHEN", "LEVEL", "WHAT", "WHERE")
        cols = [(row["event_id"][:8], row["issue"], ago(row["timestamp"], now)) for row in rows]
        right = -1
    else:
        heads = ("ID", "COUNT", "LAST SEEN", "LEVEL", "WHAT", "WHERE")
        cols = [(row["id"], str(row["count"]), ago(row["last_seen"], now)) for row in rows]
        right = 1
    _print_table(terminal, heads, cols, rows, right)
    _print_foot(terminal, settings, rows, totals, store.path)
    return 0


def _events(store: Store, limit: int, issue: str | None, text: str, since: float) -> list[Row]:
    from errtrack.delivery.store_tables import issue_number

    if issue is not None and issue_number(issue) is None:
        raise CommandError("%s is no issue id; they look like E-7 (`errtrack list` shows them)" % issue, 2)
    rows = store.events(limit, issue, text, since)
    if issue is not None and not rows and not store.events(1, issue):
        raise CommandError("there is no issue %s; `errtrack list` shows what there is" % issue)
    return rows


def _print_table(
    terminal: Terminal, heads: tuple[str, ...], cols: list[tuple[str, str, str]], rows: list[Row], right: int
) -> None:
    widths = [max(len(heads[i]), *(len(col[i]) for col in cols)) for i in range(3)]
    widths.append(max(len(heads[3]), *(len(row["level"]) for row in rows)))
    left = sum(widths) + 2 * len(widths)
    what = [escape(row["title"]) for row in rows]
    where = [escape(row["culprit"]) for row in rows]
    room = terminal.width - left
    in_one_line = terminal.width >= _WIDE
    if in_one_line:
        longest = max([cells(text) for text in where] + [5])
        what_width = max([cells(text) for text in what] + [4])
        what_width = min(what_width, max(room - 2 - longest, room * 6 // 10))
        where_width = room - 2 - what_width
    head = "  ".join(pad(heads[i], widths[i], i == right) for i in range(4)) + "  "
    head += pad(heads[4], what_width) + "  " + heads[5] if in_one_line else heads[4]
    terminal.print(terminal.paint(head.rstrip(), "dim"))
    for i, row in enumerate(rows):
        line = terminal.paint(pad(cols[i][0], widths[0]), "cyan") + "  "
        line += pad(cols[i][1], widths[1], right == 1) + "  " + pad(cols[i][2], widths[2]) + "  "
        line += terminal.level(row["level"], pad(row["level"], widths[3])) + "  "
        if in_one_line:
            line += terminal.paint(pad(shorten(what[i], what_width), what_width), "bold")
            terminal.print((line + "  " + shorten(where[i], where_width)).rstrip())
        else:
            terminal.print(line + terminal.paint(shorten(what[i], room), "bold"))
            if where[i]:
                terminal.print(" " * left + terminal.paint(shorten(where[i], room), "dim"))


def _print_foot(terminal: Terminal, settings: Settings, rows: list[Row], totals: Row, path: str) -> None:
    first = rows[0].get("id") or rows[0]["event_id"][:8]
    if settings.arguments.text or settings.arguments.since or settings.arguments.issue:
        more = 0  # how many there are was not counted
    elif settings.arguments.events:
        more = totals["events"] - len(rows)
    else:
        more = totals["issues"] - len(rows)
    terminal.print()
    if more > 0:
        flag = " --events" if settings.arguments.events else ""
        terminal.print("%d more: errtrack list%s --limit 0" % (more, flag))
    kept = "%s, %s" % (plural(totals["issues"], "issue"), plural(totals["events"], "event"))
    foot = "%s kept in %s (%s)." % (kept, escape(shown_path(path)), size(totals["size"]))
    terminal.print(terminal.paint(foot, "dim"))
    terminal.print(terminal.paint("Look at one: errtrack show %s" % first, "dim"))


def _print_empty(terminal: Terminal, settings: Settings, path: str) -> None:
    if settings.options.dsn:
        terminal.print("Nothing is kept on this machine.")
        terminal.print("`errtrack test` sends an event there and shows the server's answer.")
        return
    for line in _NO_EVENTS.splitlines():
        terminal.print(line)
    terminal.print()
    if not settings.options.enabled:
        terminal.print("errtrack is switched off: %s." % settings.options.source("enabled"))
    others = [folder for folder in shelf.of_others(settings) if folder != os.path.dirname(path)]
    if others:
        terminal.print("Other users have kept something in %s." % escape(", ".join(others)))
    state = "it is empty" if os.path.exists(path) else "it does not exist yet"
    terminal.print(terminal.paint("Looked in %s: %s." % (escape(shown_path(path)), state), "dim"))


def shown_path(path: str) -> str:
    """*path* with the home folder as ``~``."""
    home = os.path.expanduser("~")
    return "~" + path[len(home) :] if home != "/" and path.startswith(home + os.sep) else path
