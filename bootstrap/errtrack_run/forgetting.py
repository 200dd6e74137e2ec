# SPDX-License-Identifier: MIT
"""``errtrack forget``: what is mended, or was an experiment, goes from the store, and does not come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from errtrack_run import shelf
from errtrack_run.cli import CommandError
from errtrack_run.terminal import Terminal, plural

if TYPE_CHECKING:
    from errtrack_run.cli import Settings


def run(settings: Settings) -> int:
    """Delete the events of the issues named, or all. Exit status 1 when one of them is not there; nothing goes then."""
    from errtrack.delivery.store_tables import issue_number

    arguments = settings.arguments
    wanted: list[str] = arguments.ids
    if bool(wanted) is arguments.all:
        raise CommandError("name the issues to forget (E-7), or --all", 2)
    for issue in wanted:
        if issue_number(issue) is None:
            raise CommandError(
                "%s is no issue id; they look like E-7 (`errtrack list` shows them)" % issue, 2
            )
    with shelf.opened(settings) as store:
        if arguments.all and not arguments.yes:
            events = plural(store.totals()["events"], "event")
            raise CommandError("%s would be deleted; say so: errtrack forget --all --yes" % events, 2)
        for issue in wanted:
            if not store.events(1, issue):
                raise CommandError("there is no issue %s; `errtrack list` shows what there is" % issue)
        gone = store.forget(None if arguments.all else wanted)
    if arguments.json:
        from errtrack_run.json_output import write

        write({"forgotten": gone})
    else:
        Terminal().print("%s forgotten." % plural(gone, "event"))
    return 0
