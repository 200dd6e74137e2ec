# SPDX-License-Identifier: MIT
"""From an exception to the bytes of an event, without running the application's code on the way.

``event`` is the door; the other modules serve it. Nothing here takes a lock, reads a property, resolves a
lazy object or keeps a frame alive.
"""
