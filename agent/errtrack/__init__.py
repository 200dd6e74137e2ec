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

    __version__: str

# Named here, so that `from errtrack import guard` looks for a submodule without loading the client first.
_PUBLIC = frozenset(
    (
        "Scope",
        "add_attachment",
        "add_breadcrumb",
        "add_feature_flag",
        "capture_checkin",
        "capture_event",
        "capture_exception",
        "capture_feedback",
        "capture_message",
        "close",
        "continue_trace",
        "dismiss_exception",
        "end_session",
        "flush",
        "get_baggage",
        "get_current_scope",
        "get_current_span",
        "get_global_scope",
        "get_isolation_scope",
        "get_traceparent",
        "ignore_logger",
        "init",
        "is_initialized",
        "isolation_scope",
        "last_event_id",
        "monitor",
        "new_scope",
        "report_exception",
        "report_message",
        "set_context",
        "set_extra",
        "set_fingerprint",
        "set_level",
        "set_tag",
        "set_tags",
        "set_transaction_name",
        "set_user",
        "should_send_default_pii",
        "start_session",
        "start_span",
        "start_transaction",
        "trace",
        "trace_propagation_meta",
        "unignore_logger",
        "update_current_span",
    )
)

if not TYPE_CHECKING:  # or a checker would take any name for known
    import sys as _sys
    from _thread import get_ident as _get_ident

    #: Threads that are loading the functions, and what they were asked to capture meanwhile.
    _loading = set()
    _early = []

    class _StandIn:
        """Stands for a public name while it cannot be had: as the interpreter is torn down, in a folder that is a
        program's new root, without descriptors; or in a signal handler that interrupts the very loading.

        Whatever is done with it does nothing, and raises nothing into the application.
        """

        def __init__(self, name):
            self._name = name

        def __call__(self, *args, **kwargs):
            if not self._name.startswith(("capture_", "report_")):
                # A decorator leaves the function as it is.
                return args[0] if len(args) == 1 and not kwargs and callable(args[0]) else self
            if _get_ident() in _loading and len(_early) < 100:
                if self._name == "capture_exception" and not args:
                    args = (_sys.exc_info()[1],)
                _early.append((self._name, args, kwargs))
            return None

        def __getattr__(self, name):
            if name[:2] == "__":
                raise AttributeError(name)
            return self

        def __bool__(self):
            return False

        def __enter__(self):
            return self

        def __exit__(self, *args):
            return None

        async def __aenter__(self):
            return self

        async def __aexit__(self, *args):
            return None

    def _load(name):
        from errtrack.guard import Inside

        # A finaliser or signal handler that logs in the middle of this must not import the same again: up
        # to Python 3.11 the lock of a module cannot be taken twice by one thread at every line.
        ident = _get_ident()
        is_first = ident not in _loading
        _loading.add(ident)
        try:
            with Inside():
                import errtrack.api
        finally:
            if is_first:
                _loading.discard(ident)
        value = globals()[name] = getattr(errtrack.api, name)
        while is_first and _early:
            early, args, kwargs = _early.pop(0)
            getattr(errtrack.api, early)(*args, **kwargs)
        return value

    def __getattr__(name: str) -> object:  # PEP 562
        if name in _PUBLIC:
            for _ in range(2):
                try:
                    return _load(name)
                except Exception:
                    reserves = _sys.modules.get("errtrack.reserves")
                    if reserves is None or _get_ident() in _loading:
                        break
                    reserves.free(2)  # it may be descriptors or memory that there are none of
            return _StandIn(name)
        if name == "__version__":
            from errtrack.delivery.envelope import VERSION

            return VERSION
        raise AttributeError("module 'errtrack' has no attribute %r" % name)

    def __dir__() -> "list[str]":
        return sorted({*globals(), *_PUBLIC})
