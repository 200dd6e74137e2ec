# SPDX-License-Identifier: MIT
"""``kill -9`` at random moments: whatever ``put`` accepted was delivered or lies on disk. Every time."""

from __future__ import annotations

import os
import random
import select
import signal
import time
from typing import Any

import pytest
from deliveries import Child, waiting
from sink import Sink

#: Writes each accepted id to a file of its own, after put returned; forks now and then; never ends by itself.
WRITER = """
import random
log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
def accepted(event_id):
    os.write(log, (chr(10) + event_id + chr(10)).encode())
chance = random.Random(int(sys.argv[3]))
print("begun", flush=True)
while True:
    if chance.random() < 0.02 and os.fork() == 0:
        for _ in range(chance.randint(1, 5)):
            accepted(put(size=chance.choice((10, 300, 90_000))))
        os._exit(0)
    accepted(put(size=chance.choice((10, 300, 90_000))))
    if chance.random() < 0.3:
        time.sleep(chance.random() / 100)
"""


#: ``nox -s soak`` kills 20,000 times.
KILLS = int(os.environ.get("ERRTRACK_TEST_KILLS", "200"))


@pytest.mark.parametrize("kills", [KILLS])
def test_no_accepted_event_is_lost_by_kill_9(child: Child, sink: Sink, kills: int) -> None:
    seed = int(os.environ.get("ERRTRACK_TEST_SEED", "0")) or random.randrange(10**6)
    chance = random.Random(seed)
    log = child.folder / "accepted"
    done = 0
    running: list[list[Any]] = []
    try:
        while done < kills:
            while len(running) < 2:
                running.append(
                    [child.start(WRITER, sink.dsn, str(log), str(chance.random())[2:8]), float("inf")]
                )
            time.sleep(0.02)
            for entry in list(running):
                process, began = entry
                if began == float("inf"):
                    # Importing costs 40 ms, an event far less: what is interrupted should be our work.
                    if select.select([process.stdout], [], [], 0)[0]:
                        entry[1] = time.monotonic()
                    continue
                if time.monotonic() - began > chance.random() * 0.3:
                    process.send_signal(signal.SIGKILL)
                    _, err = process.communicate()
                    assert "Traceback" not in err, err
                    running.remove(entry)
                    done += 1
            if chance.random() < 0.05:
                sink.answer(503)
            elif chance.random() < 0.2:
                sink.ok()
    finally:
        for process, _ in running:
            process.kill()
            process.communicate()
    time.sleep(0.3)  # orphaned children
    # A kill in the middle of the log's own write leaves the beginning of a line, as 1 of 14,000 did.
    accepted = [word for word in log.read_text().split() if len(word) == 32]
    delivered = sink.event_ids()
    lost = set(accepted) - set(delivered) - set(waiting(child.folder))
    assert len(accepted) > kills, seed
    assert lost == set(), seed
    # Sent twice is only what was killed between the answer and the mark.
    twice = len(delivered) - len(set(delivered))
    assert twice <= kills // 10, (seed, twice)
    print("%d kills, %d accepted, %d lost, %d twice" % (kills, len(accepted), len(lost), twice))
    sink.ok()
    last = child.run(
        "put(); transport._worker()\nwhile not transport.flush(5) or transport.worker()._orphans: pass\n"
        "transport.close(30)",
        sink.dsn,
    )
    assert last.returncode == 0, last.stderr
