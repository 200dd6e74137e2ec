# SPDX-License-Identifier: MIT
"""An application is watched by one line of its own, under a server that errtrack does not know.

``application = wsgi(application)`` or ``app = asgi(app)``. Where the server is known this changes nothing: a request is
watched once, however many layers see it.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def wsgi(app: "Any") -> "Any":
    """Return the WSGI application *app* behind a proxy that reports what it raises; it stays itself to who looks."""
    from errtrack_instrumentations import _wsgi

    return _wsgi.watch(app)


def asgi(app: "Any") -> "Any":
    """Return the ASGI-3 application *app* behind a proxy that reports what it raises."""
    from errtrack_instrumentations import _asgi

    return _asgi.watch(app)
