# SPDX-License-Identifier: MIT
"""What Starlette and FastAPI leave in the ASGI scope of a request, as an event shows it: route, user, body."""

from __future__ import annotations

import errtrack
from errtrack import options
from errtrack.context import scope as scopes

from . import _asgi, _body, _request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any


_PLUMBING = frozenset(("EndOfStream", "WouldBlock"))


def name_of(asgi: dict[str, Any]) -> tuple[str, str]:
    """Name and source of the transaction: the route's path or the endpoint; the bare path where nothing matched."""
    endpoint = asgi.get("endpoint")
    if endpoint is None:
        return _asgi.path_of(asgi) or "generic ASGI request", "url"
    if options.current().starlette_transaction_style == "endpoint":
        return _asgi.name_of_endpoint(endpoint), "component"
    path = path_of_route(asgi, endpoint)
    return (path, "route") if path is not None else (_asgi.path_of(asgi), "url")


def path_of_route(asgi: dict[str, Any], endpoint: Any) -> str | None:
    """The path template of the route, with those of the mounts above it; None where it cannot be found."""
    fastapi = asgi.get("fastapi")
    # Since 0.137 FastAPI keeps here what a route has become by including its router.
    route = fastapi.get("effective_route_context") if isinstance(fastapi, dict) else None
    path = getattr(route or asgi.get("route"), "path", None)
    if path is not None and ("app_root_path" in asgi or not asgi.get("root_path")):
        mounted = str(asgi.get("root_path") or "")[len(asgi.get("app_root_path") or "") :]
        is_mount = hasattr(asgi.get("route"), "routes")  # a mounted application that is no router's
        return mounted if is_mount and mounted else mounted + str(path)
    # Starlette leaves no route before 0.36; an endpoint may have several.
    routes = getattr(asgi.get("router"), "routes", None) or ()
    ways = list(_ways(routes, endpoint, _asgi.path_of(asgi), 8))
    return next((way for fits, way in ways if fits), ways[0][1] if ways else path)


def _ways(routes: Iterable[Any], endpoint: Any, path: str, depth: int) -> Iterator[tuple[bool, str]]:
    """The templates of all routes to *endpoint*, each with whether it is that of *path*."""
    for route in routes:
        template, pattern = str(getattr(route, "path", "")), getattr(route, "path_regex", None)
        match = pattern.match(path) if pattern is not None else None
        fits = pattern is None or match is not None
        if getattr(route, "endpoint", None) is endpoint:
            yield fits, template
        elif depth:
            rest = match.groupdict().get("path") if match is not None else None
            below = path if rest is None else "/" + rest
            for fits_below, way in _ways(getattr(route, "routes", None) or (), endpoint, below, depth - 1):
                yield fits and fits_below, template + way


def describe(record: _asgi.Request, asgi: dict[str, Any], event: dict[str, Any]) -> None:
    """Put name, user and body on *event*."""
    name, source = name_of(asgi)
    event.setdefault("transaction", name)
    event.setdefault("transaction_info", {"source": source})
    leave_plumbing_out(event)
    if asgi.get("user") is not None and errtrack.should_send_default_pii():
        event["user"] = {**user_of(asgi["user"]), **(event.get("user") or {})}
    if record.body is not None:
        headers = {key.lower(): value.decode("latin-1") for key, value in asgi.get("headers") or ()}
        content_type, length = headers.get(b"content-type", ""), headers.get(b"content-length", "")
        if isinstance(record.body, bytes):
            _body.add_body(event, content_type=content_type, length=length, raw=record.body)
        else:
            form = record.body
            _body.add_body(
                event, content_type=content_type, length=length, raw=b"form", parse=lambda: fields_of(form)
            )


def report_answered(error: Any) -> None:
    """Report what an exception handler takes, by its status."""
    status = getattr(error, "status_code", None)
    if type(status) is int and status in options.current().starlette_failed_request_status_codes:
        errtrack.report_exception(error, "starlette", handled=True)


def note_scopes(error: Exception) -> None:
    """Keep with the request in hand what was said in the task that *error* comes out of: it was said of the error."""
    record, inner = _request.in_hand(), _asgi.innermost(error)
    if record is not None and (record.raised is None or record.raised[0] != id(inner)):
        _, isolation, *current = scopes.merged_scopes()
        record.raised = (id(inner), (isolation, current[0] if current else None))


def leave_plumbing_out(event: dict[str, Any]) -> None:
    """Take off the far end of the exception's chain what middleware raises and catches on the way.

    A group that stands there has no member but the exceptions that follow: it held one, and was taken apart.
    """
    exception = event.get("exception")
    values = exception.get("values") if isinstance(exception, dict) else None
    while values and len(values) > 1:
        is_group = values[0].get("type") == "ExceptionGroup"
        if not is_group and (
            values[0].get("type") not in _PLUMBING or not str(values[0].get("module")).startswith("anyio")
        ):
            break
        del values[0]
        if len(values) == 1 and isinstance(values[0].get("mechanism"), dict):
            values[0]["mechanism"].pop("exception_id", None)


def user_of(user: Any) -> dict[str, Any]:
    """What an authenticated user is known by; each part may fail by itself."""
    found: dict[str, Any] = {}
    try:
        if not user.is_authenticated:
            return found
    except Exception:
        return found
    for key, names in (("id", ("id",)), ("username", ("username", "display_name")), ("email", ("email",))):
        for name in names:
            try:
                value = getattr(user, name, None)
            except Exception:
                continue
            if isinstance(value, (str, int)):
                found[key] = str(value)
                break
    return found


def fields_of(form: Any) -> tuple[Mapping[str, Sequence[Any]], Iterable[str]]:
    """The fields of a form that was read, and the names of those that hold files."""
    fields: dict[str, list[Any]] = {}
    files: list[str] = []
    for name, value in form.multi_items():
        if isinstance(value, str):
            fields.setdefault(name, []).append(value)
        else:
            files.append(name)
    return fields, files
