# SPDX-License-Identifier: MIT
"""``errtrack spool``: what waits for delivery and for whom; deliver it now, or throw it away."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from errtrack_run import shelf
from errtrack_run.cli import CommandError
from errtrack_run.terminal import Terminal, ago, escape, pad, plural, size

if TYPE_CHECKING:
    from typing import Any

    from errtrack.options import Options
    from errtrack_run.cli import Settings

    Row = dict[str, Any]


def run(settings: Settings) -> int:
    """Show, drain or clear. Exit status 1 when something could not be delivered."""
    shelf.tell_problems(settings)
    action = {"show": _show, "drain": _drain, "clear": _clear}[settings.arguments.action]
    return action(settings)


def survey(settings: Settings) -> list[Row]:
    """A row for each destination: ``destination``, ``folder``, ``waiting``, ``size``, ``oldest`` and so on.

    ``waiting`` is a number of events, ``in_use`` those of living processes, ``size`` in bytes, ``oldest`` seconds since
    1970 or None, ``crashes`` and ``refused`` are numbers of files, ``unreadable`` of segments. ``storms``: of dead
    processes, with errors that were held back and that nobody has told: ``error`` and ``suppressed``, how many.
    """
    from errtrack.delivery import places

    ours, ours_shown = _destination(settings.options)
    rows: list[Row] = []
    seen: set[str] = set()
    # What waits for a DSN that was changed has to be seen where nothing waits for the new one.
    for above in dict.fromkeys(
        os.path.dirname(own)
        for destination in (ours, places.CRASHES, places.STORE)
        for own in _spools(settings, destination)
    ):
        there = os.listdir(above)
        names = [ours] if ours in there else []
        for name in (*names, *sorted(name for name in there if name not in (ours, places.CRASHES))):
            folder = os.path.join(above, name)
            if folder in seen or places.distrust(folder) is not None:
                continue
            seen.add(folder)
            shown = ours_shown if name == ours else places.STORE if name == places.STORE else "another DSN"
            rows.append({"destination": shown, "ours": name == ours, **count(folder)})
    crashes = sum(_crashes(folder) for folder in _spools(settings, places.CRASHES))
    if crashes and not any(row["ours"] for row in rows):
        rows.insert(0, {"destination": ours_shown, "ours": True, **count("")})
    if rows:
        rows[0]["crashes"] = crashes
    return rows


def _spools(settings: Settings, destination: str) -> list[str]:
    """Where something may wait for *destination*; only below the folder that was asked for, if there is one."""
    from errtrack.delivery import places

    options, environ = settings.options, settings.environ
    found = places.existing_spools(options, destination, environ)
    asked = [folder for folder in (options.spool_dir, options.store) if folder and os.path.isdir(folder)]
    if not asked:
        return found
    tops = tuple(os.path.join(os.path.abspath(os.path.expanduser(folder)), "") for folder in asked)
    return [folder for folder in found if folder.startswith(tops)]


def _destination(options: Options) -> tuple[str, str]:
    from errtrack.delivery import places
    from errtrack.dsn import Dsn

    if not options.dsn:
        return places.STORE, places.STORE
    dsn = Dsn.parse(options.dsn)
    return dsn.digest, dsn.masked


def count(folder: str) -> Row:
    """What waits in *folder*, as :func:`survey` tells it; no folder: nothing."""
    from errtrack.delivery import claims, quarantine
    from errtrack.delivery.segment import Reader

    waiting = in_use = total = unreadable = 0
    oldest = None
    for name in sorted(os.listdir(folder)) if folder else ():
        if not name.startswith("seg-"):
            continue
        path = os.path.join(folder, name)
        try:
            reader = Reader.open(path, write=False)
        except FileNotFoundError:
            continue
        except OSError:
            unreadable += 1
            continue
        try:
            reader.look()
            found = len(reader.pending)
            status = os.fstat(reader.descriptor)
            total += status.st_size
            waiting += found
            if found:
                oldest = min(oldest or status.st_mtime, status.st_mtime)
            try:
                claims.lock(reader.descriptor)
            except BlockingIOError:
                in_use += found
        except OSError:
            unreadable += 1
        finally:
            reader.close()
    refused = len(quarantine.names(folder)) if folder else 0
    return {
        "folder": folder,
        "waiting": waiting,
        "in_use": in_use,
        "size": total,
        "oldest": oldest,
        "crashes": 0,
        "refused": refused,
        "unreadable": unreadable,
        "storms": _storms_in(folder) if folder else [],
    }


def _storms_in(folder: str) -> list[Row]:
    """What storms of dead processes held back and nobody has told: ``error`` and ``suppressed``. Nothing is claimed."""
    import json

    from errtrack.delivery import left_behind, tally
    from errtrack.delivery.segment import Reader

    found: list[Row] = []
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if not name.startswith(tally.PREFIX) or not left_behind.is_left(path, False):
            continue
        try:
            reader = Reader.open(path, write=False)
        except OSError:
            continue
        try:
            for _, count, data in tally.left(reader.descriptor, name):
                found.append({"error": title_of(json.loads(data)), "suppressed": count})
        except (OSError, ValueError):
            pass  # whoever tells it will find out
        finally:
            reader.close()
    return found


def title_of(event: Row) -> str:
    """The error that *event* tells of, in one line."""
    for value in reversed((event.get("exception") or {}).get("values") or []):
        return "%s: %s" % (value.get("type"), " ".join(str(value.get("value") or "").split())[:100])
    entry = event.get("logentry") or {}
    return " ".join(str(entry.get("formatted") or entry.get("message") or "").split())[:100]


def _crashes(folder: str) -> int:
    from errtrack.delivery import left_behind

    return left_behind.crashes_in(folder)


def _show(settings: Settings) -> int:
    rows = survey(settings)
    if settings.arguments.json:
        from errtrack_run.json_output import write

        write({"destinations": rows})
        return 0
    terminal = Terminal()
    if not any(row[key] for row in rows for key in ("waiting", "crashes", "refused", "unreadable", "storms")):
        terminal.print("Nothing waits.")
        return 0
    widest = max(len(escape(row["destination"])) for row in rows)
    for row in rows:
        text = "%s waiting" % plural(row["waiting"], "event")
        if row["in_use"]:
            text += ", %d of them with living processes" % row["in_use"]
        if row["oldest"] is not None:
            text += ", the oldest %s" % ago(row["oldest"], time.time())
        if row["size"]:
            text += ", %s" % size(row["size"])
        if row["storms"]:
            text += "; %s held back by storms" % plural(held_back([row]), "error")
        for key, words in (
            ("crashes", "%s not yet reported"),
            ("refused", "%s refused in the last day"),
            ("unreadable", "%s cannot be read"),
        ):
            if row[key]:
                thing = {"crashes": "crash", "refused": "event", "unreadable": "file"}[key]
                text += "; " + words % (
                    "%d crashes" % row[key] if key == "crashes" and row[key] > 1 else plural(row[key], thing)
                )
        terminal.print("%s  %s" % (pad(escape(row["destination"]), widest), text))
        if row["folder"]:
            terminal.print(terminal.paint("%s  %s" % (" " * widest, escape(row["folder"])), "dim"))
        for storm in row["storms"]:
            terminal.print("%s  %d more of %s" % (" " * widest, storm["suppressed"], escape(storm["error"])))
    return 0


def held_back(rows: list[Row]) -> int:
    """How many errors storms held back in *rows*."""
    return sum(storm["suppressed"] for row in rows for storm in row["storms"])


def _amount(events: int, suppressed: int) -> str:
    """So many events, and of so many errors only the count."""
    text = plural(events, "event")
    return "%s and the count of %s held back" % (text, plural(suppressed, "error")) if suppressed else text


def _drain(settings: Settings) -> int:
    import sqlite3

    from errtrack import recovery
    from errtrack.delivery import drain, transport
    from errtrack.dsn import Dsn

    options, environ = settings.options, settings.environ
    recovery.report_crashes_from_outside(options, environ)
    before = _waiting(_ours(settings))
    if options.dsn:
        _set_environment(environ)
        carrier = transport.Transport(options, Dsn.parse(options.dsn))
        settled = carrier.drain(settings.arguments.timeout)
        carrier.close(0)
    else:
        try:
            drain.drain_to_store(options, environ)
            settled = True
        except (OSError, sqlite3.Error) as error:
            raise CommandError("the store cannot be written: %s" % error, 2) from None
    left = _waiting(_ours(settings))
    return _tell(settings, {"delivered": max(before - left, 0), "left": left}, settled and not left)


def _set_environment(environ: Any) -> None:
    """The folders are found by the environment; the command may have been given options over it."""
    os.environ.update(environ)


def _clear(settings: Settings) -> int:
    from errtrack.delivery import claims, left_behind, places, quarantine, tally

    destination, shown = _destination(settings.options)
    rows = _ours(settings)
    before, suppressed = _waiting(rows), held_back(rows)
    crashes = sum(row["crashes"] for row in rows)
    is_something = before or suppressed or crashes or any(row["refused"] for row in rows)
    if is_something and not settings.arguments.yes:
        what = _amount(before, suppressed)
        if crashes:
            what += " and the stacks of %s" % ("a crash" if crashes == 1 else "%d crashes" % crashes)
        text = "%s for %s would be thrown away; say so: errtrack spool clear --yes"
        raise CommandError(text % (what, shown), 2)
    for folder in _spools(settings, destination):
        while True:
            readers = claims.claim(folder, set(), 50)
            for reader in readers:
                claims.discard(reader)
            if not readers:
                break
        for reader in tally.claim(folder):
            claims.remove(reader.path, reader.descriptor)
        quarantine.sweep(folder, 0.0)
    for folder in _spools(settings, places.CRASHES):
        left_behind.crashes_in(folder, remove=True)
    rows = _ours(settings)
    outcome = {"cleared": max(before - _waiting(rows), 0), "left": _waiting(rows)}
    return _tell(settings, outcome, True, suppressed - held_back(rows))


def _ours(settings: Settings) -> list[Row]:
    """The rows of the configured destination; the crashes, which are nobody else's, stand in the first."""
    return [row for row in survey(settings) if row["ours"]]


def _waiting(rows: list[Row]) -> int:
    return sum(row["waiting"] for row in rows)


def _tell(settings: Settings, outcome: dict[str, int], is_well: bool, suppressed: int = 0) -> int:
    """*suppressed*: errors held back whose count went as well."""
    if settings.arguments.json:
        from errtrack_run.json_output import write

        write({**outcome, "suppressed": suppressed} if suppressed else outcome)
    else:
        (word, count), (_, left) = outcome.items()
        line = "%s %s" % (_amount(count, suppressed), word)
        if left:
            line += ", %s left" % plural(left, "event")
            line += " (with living processes)" if is_well else ""
        Terminal().print(line + ".")
    return 0 if is_well else 1
