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

    def __getattr__(name: str) -> object:  # PEP 562
        if name in _PUBLIC:
            from errtrack.guard import Inside

            # A finaliser or signal handler that logs in the middle of this must not import the same again: up
            # to Python 3.11 the lock of a module cannot be taken twice by one thread at every line.
            with Inside():
                import errtrack.api

            value = globals()[name] = getattr(errtrack.api, name)
            return value
        if name == "__version__":
            from errtrack.delivery.envelope import VERSION

            return VERSION
        raise AttributeError("module 'errtrack' has no attribute %r" % name)

    def __dir__() -> "list[str]":
        return sorted({*globals(), *_PUBLIC})
