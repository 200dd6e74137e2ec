# SPDX-License-Identifier: MIT
"""errtrack: the error tracker that is put in front of a command.

Under ``errtrack-run`` nothing needs to be imported. To say more about an error than can be seen from outside::

    import errtrack

    errtrack.set_tag("tenant", tenant.slug)
    errtrack.set_user({"id": user.pk})

Importing this module is free: the public functions (see :mod:`errtrack.api`) are loaded at their first use, and
do nothing where errtrack was neither launched nor initialised.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from errtrack.api import *  # noqa: F403


def __getattr__(name: str) -> object:  # PEP 562
    if name == "__version__":
        from errtrack.version import VERSION

        return VERSION
    if name.startswith("_"):
        raise AttributeError("module 'errtrack' has no attribute %r" % name)
    from errtrack import api

    if name not in api.__all__:
        raise AttributeError("module 'errtrack' has no attribute %r" % name)
    value = globals()[name] = getattr(api, name)
    return value


def __dir__() -> "list[str]":
    from errtrack import api

    return sorted([*globals(), *api.__all__])
