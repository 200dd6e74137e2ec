"""Ids drawn in advance: none twice, in no process."""

from __future__ import annotations

import os

import pytest

from errtrack.context import ids


def test_ids_have_their_lengths_and_differ() -> None:
    drawn = [ids.span_id() for _ in range(1000)]
    assert len(set(drawn)) == 1000
    assert {len(one) for one in drawn} == {16}
    both = [ids.trace_and_span_id() for _ in range(100)]
    assert {(len(trace), len(span)) for trace, span in both} == {(32, 16)}
    assert len({trace for trace, _ in both} | {span for _, span in both}) == 200


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("told", [True, False])
def test_a_forked_child_draws_its_own(told: bool) -> None:
    ids._drawn.clear()  # or the next one may be the last of those that are drawn at a time
    ids.span_id()
    assert ids._drawn
    expected = ids._drawn[-1]
    kept, owner = list(ids._drawn), ids._owner[0]
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            if not told:  # as by a fork that Python knows nothing of
                ids._drawn[:], ids._owner[0] = kept, owner
            os.write(writing, ids.span_id().encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        found = pipe.read()
    assert len(found) == 16
    assert found != expected
    assert found not in kept
