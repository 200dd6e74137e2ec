# SPDX-License-Identifier: MIT
"""What handlers alone need is loaded when the first of them asks for it: ``from ._late import _wsgi, tracing``.

To import a library then costs the table of its patches, and no more.
"""

from __future__ import annotations

import _thread
import os
import sys

from errtrack import guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from errtrack.context import scope, trace

    from . import _asgi as _asgi
    from . import _body as _body
    from . import _breadcrumbs as _breadcrumbs
    from . import _carried as _carried
    from . import _celery as _celery
    from . import _celery_pool as _celery_pool
    from . import _celery_worker as _celery_worker
    from . import _django as _django
    from . import _django_names as _django_names
    from . import _django_spans as _django_spans
    from . import _django_templates as _django_templates
    from . import _django_unit as _django_unit
    from . import _flask as _flask
    from . import _http_client as _http_client
    from . import _logs as _logs
    from . import _outgoing as _outgoing
    from . import _processes as _processes
    from . import _queries as _queries
    from . import _records as _records
    from . import _trace_meta as _trace_meta
    from . import _wsgi as _wsgi

    scopes, tracing = scope, trace

_ELSEWHERE = {"scopes": "errtrack.context.scope", "tracing": "errtrack.context.trace"}


class Waiting:
    """Stands for the module *name* in the names of the module that has imported it, until it is asked for something."""

    def __init__(self, name: str, importer: dict[str, Any]) -> None:
        self._name = name
        self._importer = importer

    def __getattr__(self, attribute: str) -> Any:
        module = loaded(self._name)
        for name, value in list(self._importer.items()):
            if value is self:
                self._importer[name] = module
        return getattr(module, attribute)


#: Process and thread of each load under way.
_loading: set[tuple[int, int]] = set()


def loaded(name: str) -> Any:
    """Import our module *name*. Raises :class:`~errtrack.guard.NotNow` where that cannot be."""
    key = (os.getpid(), _thread.get_ident())
    if key in _loading:  # a finaliser or signal handler has come in between, and would get half of a module
        raise guard.NotNow(name)
    _loading.add(key)
    try:
        with guard.Inside():
            __import__(name)
    except (OSError, MemoryError) as error:
        raise guard.NotNow(name) from error
    finally:
        _loading.discard(key)
    return sys.modules[name]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Waiting:  # PEP 562
        if name[:2] == "__":
            raise AttributeError(name)
        place = _ELSEWHERE.get(name) or "errtrack_instrumentations." + name
        return Waiting(place, sys._getframe(1).f_globals)
