# SPDX-License-Identifier: MIT
"""Errors of a wanted depth, from the generated call chains."""

from __future__ import annotations

import agents

CHAINS = 40

agents.generated()


def error(chain: int, frames: int, number: int) -> BaseException:
    """An exception with a traceback of *frames* frames through chain number *chain*; *number* varies its values."""
    module = getattr(__import__("chains.chain_%02d" % (chain % CHAINS)), "chain_%02d" % (chain % CHAINS))
    # One frame is this function's own.
    entry = getattr(module, "step_%02d" % (module.DEPTH - (frames - 1)))
    try:
        entry(number, "customer-%d@example.org" % number)
    except Exception as caught:
        return caught
    raise AssertionError("the chain did not fail")
