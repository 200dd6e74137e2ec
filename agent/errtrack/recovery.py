# SPDX-License-Identifier: MIT
"""What dead processes left is reported by the next one: each crash once, as a fatal event, and what storms held back.

The application's hooks and processors see a crash as they see any event, but nothing that this process knows of itself
(its scopes, its command line) goes on it. The last events of storms have been through them already.
"""

from __future__ import annotations

import os

from errtrack import storms
from errtrack.delivery import claims, crash_file, crash_report, envelope, left_behind, places, tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from errtrack.capture.scrubber import Scrubber
    from errtrack.client import Client
    from errtrack.dsn import Dsn
    from errtrack.options import Options
    from errtrack.pipeline import Pipeline

#: Reported in one go; a crash loop's others wait for the next.
AT_ONCE = 20


def report_crashes(
    options: Options,
    scrubber: Scrubber,
    pipeline: Pipeline,
    send: Callable[[bytes], bool],
    environ: Mapping[str, str] | None = None,
) -> int:
    """Give the event of each crash that reports to our destination to *send*; return how many there were.

    A crash is forgotten once *send* says that its event is safe, or a hook has dropped it.
    """
    from errtrack.capture import event as events
    from errtrack.context.scope import Scope

    count = 0
    destination = crash_file.destination_of(options)
    for folder in places.existing_spools(options, places.CRASHES, environ):
        for crash in crash_file.claim(folder, destination, AT_ONCE):
            event: dict[str, Any] = crash_report.event_of(crash, options, scrubber)
            finished = pipeline.run(event, {"event_id": event["event_id"]}, (Scope(),), [], 0)
            if finished is not None:
                built, trace = finished
                record = envelope.build(built["event_id"], "event", events.encode(built), trace)
                if not send(record):
                    return count
            crash.remove()
            count += 1
    return count


def tell_counts(
    options: Options,
    dsn: Dsn | None,
    send: Callable[[bytes], bool],
    environ: Mapping[str, str] | None = None,
) -> int:
    """Give *send* a last, short event for each storm that a dead process had not told the count of; how many.

    They are forgotten once *send* says that its event is safe.
    """
    from errtrack.capture import event as events

    number = 0
    destination = dsn.digest if dsn is not None else places.STORE
    for folder in places.existing_spools(options, destination, environ):
        for reader in tally.claim(folder):
            at = events.stamp(os.fstat(reader.descriptor).st_mtime)
            for event_id, count, event in tally.left(reader.descriptor, os.path.basename(reader.path)):
                head = '{"event_id":"%s","timestamp":"%s","extra":{"%s":%d},' % (
                    event_id,
                    at,
                    storms.COUNT,
                    count,
                )
                record = envelope.build(event_id, "event", head.encode("ascii") + event[1:])
                if not send(record):
                    return number
                number += 1
            claims.remove(reader.path, reader.descriptor)
    return number


def report_crash_of(client: Client, pid: int) -> bool:
    """Report what process *pid* has left, if it left anything: for its parent, who knows that it is dead."""
    has_crashed = any(
        "-%d-" % pid in name and left_behind.is_left(os.path.join(folder, name), True)
        for folder in places.existing_spools(client.options, places.CRASHES)
        for name in os.listdir(folder)
    )
    return has_crashed and client.report_crashes() > 0


def report_crashes_from_outside(options: Options, environ: Mapping[str, str] | None = None) -> int:
    """The same for commands, which are not the application: the events are put into the spool, where others' lie.

    Where the settings name hooks, no crash is reported: they exist to protect data, and are the application's to run.
    """
    from errtrack.capture.scrubber import Scrubber
    from errtrack.delivery.spool import Spool
    from errtrack.dsn import Dsn
    from errtrack.pipeline import Pipeline

    dsn = Dsn.parse(options.dsn) if options.dsn else None
    destination = dsn.digest if dsn is not None else places.STORE
    spools: list[Spool] = []

    def send(record: bytes) -> bool:
        if not spools:
            folder = places.spool_folder(options, destination, environ)
            if folder is None:
                return False
            spools.append(Spool(folder, {}))
        return spools[0].put(record)

    scrubber = Scrubber(options)
    pipeline = Pipeline(options, scrubber, dsn, lambda reason, event: None, lambda mechanism: None)
    try:
        tell_counts(options, dsn, send, environ)
        if options.before_send or options.error_sampler or options.processors:
            return 0
        return report_crashes(options, scrubber, pipeline, send, environ)
    finally:
        for spool in spools:
            spool.close()
