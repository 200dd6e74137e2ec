# SPDX-License-Identifier: MIT
"""Child processes of multiprocessing that die of an exception are reported, whichever way they were started.

What a child captured is on its way before it ends, though it runs no exit functions when it was forked. An error in
a task of a pool is the parent's, which gets it as the result.
"""

from __future__ import annotations

import sys

import errtrack
from errtrack.instrumentation import Call, Instrumentation, Patch, driven

TYPE_CHECKING = False
if TYPE_CHECKING:
    from errtrack.instrumentation import Advice


def bootstrap(call: Call) -> Advice:
    """BaseProcess._bootstrap(self, parent_sentinel=None), in the child"""
    process = call.args[0]
    held, own = vars(process), vars(process).get("run")

    def report(call: Call) -> Advice:
        """run()"""
        # A process that starts others may hand them itself, and a function of ours cannot be pickled.
        if own is None:
            held.pop("run", None)
        else:
            held["run"] = own
        try:
            yield
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:
            errtrack.report_exception(error, "multiprocessing")
            raise

    held["run"] = driven("multiprocessing", report, process.run)  # whoever has defined it
    try:
        yield
    finally:
        deliver()


def deliver() -> None:
    """A forked child ends at once after this."""
    client = sys.modules.get("errtrack.client")
    if client is not None:
        client.end()  # what is captured after this is kept on disk


INSTRUMENTATION = Instrumentation(
    "multiprocessing", patches=[Patch("multiprocessing.process", "BaseProcess._bootstrap", bootstrap)]
)
