# SPDX-License-Identifier: MIT
"""Where ``errtrack list`` and ``errtrack show`` look: the embedded store, and what waits for it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from errtrack_run.cli import CommandError, complain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from errtrack.delivery.store import Store
    from errtrack_run.cli import Settings


def folders(settings: Settings) -> list[str]:
    """The folders that may hold a store. One that was asked for and is there stands alone."""
    from errtrack.delivery import places

    candidates = places.state_folders(settings.options, settings.environ)
    if settings.options.store and os.path.isdir(candidates[0]):
        return [folder for folder in candidates[:2] if folder.startswith(candidates[0])]
    return candidates


@contextmanager
def opened(settings: Settings) -> Iterator[Store]:
    """Drain what waits, and give the store to read; what is wrong with it becomes a :class:`CommandError`."""
    import sqlite3

    from errtrack import recovery
    from errtrack.delivery import drain

    tell_problems(settings)
    undrained: Exception | None = None
    try:
        recovery.report_crashes_from_outside(settings.options, settings.environ)
        drain.drain_to_store(settings.options, settings.environ)
    except (OSError, sqlite3.Error) as error:
        undrained = error  # an unusable store is told once, by whoever reads it
    store = make(settings)
    try:
        yield store
        if undrained is not None:
            complain("what waits in the spool is not shown: the store cannot be written (%s)" % undrained)
    except (OSError, sqlite3.Error) as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise CommandError(
            "the store cannot be read: %s" % (error if str(error) else type(error).__name__), 2
        ) from None
    finally:
        store.close()


def make(settings: Settings) -> Store:
    """The store in the first folder that has one, rather where the next event would be kept."""
    from errtrack.delivery.store import FILE_NAME, Store

    options = settings.options
    candidates = folders(settings)
    with_file = [folder for folder in candidates if os.path.lexists(os.path.join(folder, FILE_NAME))]
    usable = [folder for folder in with_file if why_unusable(folder) is None]
    return Store((usable or with_file or candidates)[0], options.store_max_age, options.store_max_size)


def tell_problems(settings: Settings) -> None:
    """Tell on stderr what is wrong with the settings, or keeps us from looking; the command goes on without."""
    for problem in settings.options.problems:
        complain(problem)
    from errtrack.delivery import places

    asked = settings.options.store
    spool = os.path.join(os.path.expanduser(asked), "spool")
    # Not emptied into the store by anybody else: its owner could not write to that any more.
    if asked and os.path.isdir(spool) and places.distrust(spool):
        remedy = "look as its owner, and let nobody else write to it"
        complain("what waits in %s is not shown: %s; %s" % (spool, places.distrust(spool), remedy))


def of_others(settings: Settings) -> list[str]:
    """Folders of other users where anybody may have one: whoever looks need not be who ran the application."""
    from errtrack.delivery import places

    found = []
    for own in places.state_folders(settings.options, settings.environ):
        above, name = os.path.split(own)
        if name != places.private():
            continue
        try:
            names = sorted(os.listdir(above))
        except OSError:
            continue
        stem = name.rpartition("-")[0] + "-"
        others = [other for other in names if other.startswith(stem) and other[len(stem) :].isdecimal()]
        found += [os.path.join(above, other) for other in others if other != name]
    return found


def why_unusable(folder: str) -> str | None:
    """As the places module, but without making the folder: to look must not change anything."""
    from errtrack.delivery import places

    existing = folder
    while not os.path.lexists(existing) and os.path.dirname(existing) != existing:
        existing = os.path.dirname(existing)
    if existing == folder:
        reason = places.distrust(folder)
        return reason or (None if os.access(folder, os.W_OK | os.X_OK) else "it cannot be written")
    if not os.path.isdir(existing):
        return "%s is not a folder" % existing
    return None if os.access(existing, os.W_OK | os.X_OK) else "%s cannot be written" % existing
