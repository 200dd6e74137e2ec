# SPDX-License-Identifier: MIT
"""An application behind a proxy: itself to everybody who looks at it, watched by whoever calls it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def is_watched(app: Any) -> bool:
    """Whether *app* is such a proxy."""
    return hasattr(type(app), "_self_errtrack_call")


def watched(app: Any, call: Callable[..., Any], asynchronous: bool) -> Any:
    """Return *app* behind a proxy whose calls are *call*; attributes, identity of class and pickle are the app's."""
    import copy

    import wrapt

    proxy: Any = wrapt.ObjectProxy

    class Watched(proxy):  # type: ignore[misc]
        """The application to everybody who looks at it; its calls go through the driver."""

        _self_errtrack_call: Any = None

        # Servers send applications to their workers: what arrives is the application, to be watched there anew.
        # `max` of one is that one, and is found wherever it is unpickled.
        def __reduce_ex__(self, protocol: Any) -> Any:
            return max, ((self.__wrapped__,),)

        def __reduce__(self) -> Any:
            return max, ((self.__wrapped__,),)

        def __copy__(self) -> Any:
            return copy.copy(self.__wrapped__)

        def __deepcopy__(self, memo: Any) -> Any:
            return copy.deepcopy(self.__wrapped__, memo)

    class WatchedApp(Watched):
        __call__ = staticmethod(call)

    class WatchedAsgiApp(Watched):
        # Servers tell by this being a coroutine function, and by what it takes, what kind of application it is.
        async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
            return await self._self_errtrack_call(scope, receive, send)

    made = (WatchedAsgiApp if asynchronous else WatchedApp)(app)
    made._self_errtrack_call = call
    return made
