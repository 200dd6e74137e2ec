# SPDX-License-Identifier: MIT
"""Cron check-ins: the server notices a job that did not run, ran too long, or failed.

``monitor`` is put on the job, or around it::

    @errtrack.monitor("nightly-report", schedule="0 3 * * *")
    def report(): ...

    with errtrack.monitor("sync", schedule=(10, "minute"), max_runtime=5): ...

https://develop.sentry.dev/sdk/telemetry/check-ins/. What the job raises is raised on; events captured in it name the
monitor. Where errtrack is off, or there is no DSN, the job runs as if this was not here.
"""

from __future__ import annotations

from time import monotonic

from errtrack import guard
from errtrack.capture.moments import new_id
from errtrack.context import scope as scopes
from errtrack.delivery import envelope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Any, TypeVar, Union

    Function = TypeVar("Function", bound=Callable[..., Any])
    Schedule = Union[str, tuple[int, str], Mapping[str, Any], None]

IN_PROGRESS, OK, ERROR = "in_progress", "ok", "error"

#: Monitors and their schedules of which was told that they are none.
_told: set[str] = set()

_UNITS = ("minute", "hour", "day", "week", "month", "year")
_NUMBERS = ("checkin_margin", "max_runtime", "failure_issue_threshold", "recovery_threshold")
_COROUTINE = 0x80  # inspect.CO_COROUTINE, without importing inspect


class monitor:
    """Tell the server when the job *slug* begins, and how and after how long it ends.

    *schedule* is a crontab text, or (number, unit) with minute, hour, day, week, month or year; with it the server
    makes the monitor. *config* takes what else the server may be told: ``checkin_margin`` and ``max_runtime``
    (minutes), ``failure_issue_threshold``, ``recovery_threshold``, ``timezone``, ``owner``. A decorator for
    functions and coroutine functions, and a context manager for ``with`` and ``async with``.
    """

    def __init__(
        self,
        slug: str = "",
        monitor_config: Mapping[str, Any] | None = None,
        *,
        schedule: Schedule = None,
        monitor_slug: str = "",
        **config: Any,
    ) -> None:
        self._slug = slug or monitor_slug
        self._config = {**(monitor_config or {}), **config}
        if schedule is not None:
            self._config["schedule"] = schedule
        self._open: list[tuple[str | None, float, scopes.entered]] = []

    def __enter__(self) -> monitor:
        check_in_id = capture_checkin(self._slug, status=IN_PROGRESS, monitor_config=self._config)
        block = scopes.new_scope()
        scope = block.__enter__()
        if check_in_id:
            scope.set_context("monitor", {"slug": slug_of(self._slug), "id": check_in_id})
        self._open.append((check_in_id, monotonic(), block))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if not self._open:
            return
        check_in_id, began, block = self._open.pop()
        block.__exit__(kind, error, tb)
        if check_in_id:
            well = kind is None or (issubclass(kind, SystemExit) and getattr(error, "code", 1) in (None, 0))
            capture_checkin(self._slug, check_in_id, OK if well else ERROR, monotonic() - began, self._config)

    async def __aenter__(self) -> monitor:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, tb)

    def __call__(self, function: Function) -> Function:
        from functools import wraps

        made: Any
        code = getattr(function, "__code__", None)
        if code is not None and code.co_flags & _COROUTINE:

            @wraps(function)
            async def watched_coroutine(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return await function(*args, **kwargs)

            made = watched_coroutine
        else:

            @wraps(function)
            def watched(*args: Any, **kwargs: Any) -> Any:
                with self._again():
                    return function(*args, **kwargs)

            made = watched
        decorated: Function = made
        return decorated

    def _again(self) -> monitor:
        """One of these for each call: a job may run twice at once."""
        return monitor(self._slug, self._config)


def capture_checkin(
    monitor_slug: str,
    check_in_id: str | None = None,
    status: str = OK,
    duration: float | None = None,
    monitor_config: Mapping[str, Any] | None = None,
) -> str | None:
    """Send one check-in; *duration* in seconds. Returns its id (give it with the job's end), or None when off."""
    from errtrack.client import get_client

    client = get_client()
    if client is None or not client.is_active or client.dsn is None or guard.is_inside():
        return None
    with guard.Inside():
        try:
            slug = slug_of(monitor_slug)
            if not slug:
                guard.tell(
                    "monitor %r has no usable name: letters, digits, - and _; it is left out" % monitor_slug
                )
                return None
            check_in_id = check_in_id or new_id()
            static = client.static()
            trace_id = scopes.get_isolation_scope().get_propagation().trace_id
            item: dict[str, Any] = {
                "check_in_id": check_in_id,
                "monitor_slug": slug,
                "status": status if status in (IN_PROGRESS, OK, ERROR) else ERROR,
                "environment": static["environment"],
                "contexts": {"trace": {"trace_id": trace_id}},
            }
            if static.get("release"):
                item["release"] = static["release"]
            if duration is not None:
                item["duration"] = round(max(float(duration), 0.0), 6)
            config = _config_of(monitor_config or {}, slug)
            if config:
                item["monitor_config"] = config
            from json import dumps

            client.send(envelope.build(None, "check_in", dumps(item).encode("ascii")), "monitor")
            return check_in_id
        except Exception as error:
            guard.fault("monitors", error)
            return None


def slug_of(name: str) -> str:
    """*name* as servers take it: lower case letters, digits, ``-`` and ``_``, at most 50."""
    slug = "".join(
        c if (c.isascii() and c.isalnum()) or c in "-_" else "-" for c in str(name).strip().lower()
    )
    return slug[:50].strip("-")


def _config_of(given: Mapping[str, Any], slug: str) -> dict[str, Any]:
    """What of *given* a server understands; none without a schedule, as it could not make a monitor of it."""
    schedule = _schedule_of(given.get("schedule"))
    if schedule is None:
        given_for = "%s %r" % (slug, given.get("schedule"))
        if given.get("schedule") is not None and given_for not in _told:
            _told.add(given_for)  # once, and not at both ends of each run
            guard.tell(
                "monitor %s: its schedule must be a crontab text, or (number, unit) from minute to year;"
                " it is left out" % slug
            )
        return {}
    config: dict[str, Any] = {"schedule": schedule}
    for key in _NUMBERS:
        if type(given.get(key)) is int:
            config[key] = given[key]
    for key in ("timezone", "owner"):
        if type(given.get(key)) is str:
            config[key] = given[key]
    return config


def _schedule_of(given: Any) -> dict[str, Any] | None:
    if isinstance(given, str):
        parts = given.split()
        if len(parts) == 5 or (len(parts) == 1 and given.startswith("@")):
            return {"type": "crontab", "value": " ".join(parts)}
        return None
    if isinstance(given, (tuple, list)) and len(given) == 2:
        given = {"type": "interval", "value": given[0], "unit": given[1]}
    if not isinstance(given, dict):
        return None
    value, unit = given.get("value"), str(given.get("unit", "")).rstrip("s")
    if given.get("type") == "crontab" and isinstance(value, str):
        return _schedule_of(value)
    if given.get("type") == "interval" and type(value) is int and value > 0 and unit in _UNITS:
        return {"type": "interval", "value": value, "unit": unit}
    return None
