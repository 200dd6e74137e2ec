# SPDX-License-Identifier: MIT
"""A fault of ours anywhere on the way of an event: the application ends as ever, and the event goes another way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from deliveries import event, new_id
from sinks import Sink

from errtrack.delivery import places
from errtrack.delivery.spool import Spool
from errtrack.delivery.transport import Transport
from errtrack.dsn import Dsn
from errtrack.options import Options


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    monkeypatch.setattr(places, "_told", set())
    made = Options()
    made.set("store", str(tmp_path / "state"), "test")
    return made


@pytest.mark.parametrize("broken", ["put", "_begin", "_append", "_mine"])
def test_event_that_a_fault_keeps_off_the_disk_is_delivered_from_memory(
    options: Options, sink: Sink, faults_counted: dict[str, int], monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fails(*args: Any, **kwargs: Any) -> Any:
        raise KeyError("ours")

    monkeypatch.setattr(Spool, broken, fails)
    transport = Transport(options, Dsn.parse(sink.dsn))
    one = new_id()
    assert not transport.put(event(one))
    monkeypatch.undo()
    assert transport.flush(20)
    transport.close(5)
    assert sink.event_ids() == [one] and faults_counted["delivery.spool"] == 1


#: Where a fault is put: a function of ours -> what still has to be true of the program below.
PLACES = (
    "errtrack.capture.stacktrace:Place.load",
    "errtrack.capture.source:context",
    "errtrack.capture.serializer:Describer.describe",
    "errtrack.capture.event:encode",
    "errtrack.capture.event:finish",
    "errtrack.client:Client.capture_exception",
    "errtrack.client:Client._process",
    "errtrack.context.scope:merged_scopes",
    "errtrack.delivery.envelope:build",
    "errtrack.delivery.transport:Transport.put",
    "errtrack.delivery.transport:Transport.close",
    "errtrack.delivery.worker:Worker.start",
    "errtrack.delivery.worker:Worker._round",
    "errtrack.delivery.drain:Drain.carry",
    "errtrack.delivery.spool:Spool.put",
    "errtrack.delivery.spool:Spool.segments",
    "errtrack.delivery.segment:frame",
    "errtrack.process:describe",
    "errtrack.pipeline:Pipeline.run",
    "errtrack.recovery:report_crashes",
)

BREAKS = """
import sys
def broken(*args, **kwargs):
    raise RuntimeError("ours")
for place in sys.argv[1:]:
    module, _, path = place.partition(":")
    __import__(module)
    owner = sys.modules[module]
    *above, name = path.split(".")
    for part in above: owner = getattr(owner, part)
    assert hasattr(owner, name), place
    setattr(owner, name, broken)
print("begins", flush=True)
def fail(x):
    raise ValueError("the application's own")
fail(1)
"""


def test_whatever_of_ours_breaks_the_application_ends_as_ever(sandbox: Any) -> None:
    """T39: every one of these functions raises; output, traceback and exit status stay those of plain Python."""
    import sys
    from concurrent.futures import ThreadPoolExecutor

    sandbox.write("app.py", BREAKS)
    env = {"PYTHONPATH": ":".join(p for p in sys.path if p)}
    bare = sandbox.run(sys.executable, "app.py", launched=False, **env)
    assert bare.returncode == 1 and "the application's own" in bare.stderr

    def run(place: str) -> tuple[str, Any]:
        return place, sandbox.run(sys.executable, "app.py", place, **env)

    with ThreadPoolExecutor(2) as pool:
        for place, done in pool.map(run, PLACES):
            assert (done.returncode, done.stdout, done.stderr) == (1, bare.stdout, bare.stderr), place
