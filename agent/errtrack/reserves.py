# SPDX-License-Identifier: MIT
"""A program that ends because it has run out of memory or descriptors is reported all the same.

Four descriptors and 32 MB of address space are set aside when the first library is instrumented. The memory is never
touched, so it is none in use. As the program ends of an exception, both are given back first; the memory and two of the
descriptors before that, where there is an error to report and not enough left to load what reports it.
"""

from __future__ import annotations

import os

_SIZE = 32 * 1024 * 1024

#: Descriptors that an event needs: those of its file.
_FOR_ONE = 2

_descriptors: list[int] = []
_memory: list[bytes] = []
_state = {"held": False}


def hold() -> None:
    """Set them aside, once; whatever cannot be had is done without."""
    if _state["held"]:
        return  # or given back: the program is ending
    _state["held"] = True
    try:
        _memory.append(bytes(_SIZE))  # calloc: address space, and no page of it
        for _ in range(2 * _FOR_ONE):
            descriptor = os.open(os.devnull, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            if descriptor <= 2:  # a standard stream that was closed: others expect it to be theirs
                os.close(descriptor)
                return
            _descriptors.append(descriptor)
    except (OSError, MemoryError):
        pass


def free(keep: int = 0) -> None:
    """Give back what :func:`hold` has set aside, but for *keep* descriptors."""
    _memory.clear()
    while len(_descriptors) > keep:
        descriptor = _descriptors.pop()
        try:
            if os.path.samestat(os.fstat(descriptor), os.stat(os.devnull)):  # a daemon may have closed it
                os.close(descriptor)
        except OSError:
            pass
