# SPDX-License-Identifier: MIT
"""What Django knows of a request, taken from what lies in its request object already.

No query is made and no lazy object resolved: the user is shown where the application has looked at it, the body where
it was read, or where it can be read through Django's own cache without touching a bare socket.
"""

from __future__ import annotations

import sys

import errtrack
from errtrack import options

from . import _body, _django_names, _request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: Where a request has what Django REST framework made of it: a weak reference.
REST = "_errtrack_rest"

_FILTERED = "[Filtered]"
_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"
#: More than this is never read for an event's sake, whatever ``max_request_body_size`` says.
_MOST_READ = 1_000_000
_MOST_FIELDS = 1000


def record_of(request: Any) -> Any:
    """The record that a server or handler left for *request*; None where there is none (a test client)."""
    record = request.META.get(_request.KEY)
    if record is None:
        asgi = vars(request).get("scope")
        record = asgi.get(_request.KEY) if isinstance(asgi, dict) else None
    return record


def describe(request: Any, event: dict[str, Any]) -> None:
    """Put on *event* what Django knows of *request*; each part stands for itself."""
    for part in (_add_name, _add_url, _add_body, _hide_cookies, _add_user):
        try:
            part(request, event)
        except Exception as error:
            from errtrack import guard

            guard.debug("django: %s: %s" % (part.__name__, type(error).__name__))


def _add_name(request: Any, event: dict[str, Any]) -> None:
    if "transaction" not in event:
        event["transaction"], source = _django_names.name_of(request)
        event["transaction_info"] = {"source": source}


def _add_url(request: Any, event: dict[str, Any]) -> None:
    """The host that a proxy was asked for, where the settings say that it can be trusted."""
    shown, host = event.get("request"), request.META.get("HTTP_X_FORWARDED_HOST")
    if host and isinstance(shown, dict) and settings().USE_X_FORWARDED_HOST:
        scheme, _, rest = str(shown.get("url")).partition("://")
        path = rest[rest.find("/") :] if "/" in rest else ""
        shown["url"] = "%s://%s%s" % (scheme, host.partition(",")[0].strip(), path)


def _hide_cookies(request: Any, event: dict[str, Any]) -> None:
    shown = event.get("request")
    cookies = shown.get("cookies") if isinstance(shown, dict) else None
    if isinstance(cookies, dict):
        for name in (settings().SESSION_COOKIE_NAME, settings().CSRF_COOKIE_NAME):
            if name in cookies:
                cookies[name] = _FILTERED


def _add_body(request: Any, event: dict[str, Any]) -> None:
    state, meta = vars(request), request.META
    kind = str(meta.get("CONTENT_TYPE") or "")
    length = str(meta.get("CONTENT_LENGTH") or "")
    size = int(length) if length.isdigit() else 0
    add = _adder(event, kind, length)
    parsed = _parsed_by_rest(state)
    if size > _limit():
        add(raw=b" ")  # told as left out
    elif parsed is not None and not hasattr(parsed, "lists"):
        if size and isinstance(event.get("request"), dict):
            event["request"].setdefault("data", parsed)
    elif parsed is not None:
        fields = dict(parsed.lists())
        files = [name for name, values in fields.items() if any(hasattr(v, "chunks") for v in values)]
        add(form=({name: values for name, values in fields.items() if name not in files}, files))
    elif state.get("_post") or state.get("_files"):
        add(form=(dict(state["_post"].lists()), list(state.get("_files") or ())))
    else:
        raw = state.get("_body")
        if raw is None and size and is_at_hand(request):
            raw = request.body
        if not raw:
            return
        if kind.startswith(_FORM):
            from urllib.parse import parse_qs

            text = raw.decode(request.encoding or "utf-8", "replace")
            add(form=(parse_qs(text, True, max_num_fields=_MOST_FIELDS), ()))
        elif kind.startswith(_MULTIPART):
            add(form=_parts(request, raw))
        else:
            add(raw=raw)


def _adder(event: dict[str, Any], kind: str, length: str) -> Callable[..., None]:
    def add(**body: Any) -> None:
        _body.add_body(event, content_type=kind, length=length, **body)

    return add


def _limit() -> int:
    return _body._LARGEST.get(options.current().max_request_body_size, _MOST_READ)


def is_at_hand(request: Any) -> bool:
    """Whether the body can be read without harm: nobody has begun to, and it does not come out of a bare socket.

    Django keeps what was read, so that the application can read it still. Servers' own streams end where the body
    does; the pipe of a development server does not, and a reader would wait there for what never comes.
    """
    state = vars(request)
    if state.get("_read_started", True):
        return False
    from io import BufferedReader

    return not isinstance(request.META.get("wsgi.input"), BufferedReader)


def _parts(request: Any, raw: bytes) -> tuple[dict[str, list[Any]], list[str]]:
    """The fields of a multipart body, and the names of its files. The request's own upload handlers see nothing."""
    from io import BytesIO

    parser = sys.modules["django.http.multipartparser"].MultiPartParser
    handler = sys.modules["django.core.files.uploadhandler"].MemoryFileUploadHandler()
    fields, files = parser(request.META, BytesIO(raw), [handler], request.encoding or "utf-8").parse()
    return dict(fields.lists()), list(files)


def _parsed_by_rest(state: dict[str, Any]) -> Any:
    reference = state.get(REST)
    rest = reference() if reference is not None else None
    data = vars(rest).get("_full_data") if rest is not None else None
    return None if isinstance(data, type) else data  # the class Empty stands for "not parsed"


def _add_user(request: Any, event: dict[str, Any]) -> None:
    if errtrack.should_send_default_pii():
        state = vars(request)
        # One by one: to ask a lazy object whether it is true would resolve it.
        user = next(
            (state[name] for name in ("_cached_user", "_acached_user", "user") if name in state), None
        )
        user = resolved(user)
        add_facts(user, event)
        if user is None:
            _add_session(state.get("session"), event)


def _add_session(session: Any, event: dict[str, Any]) -> None:
    """Who has logged in, as a session says that was loaded already."""
    loaded = getattr(session, "__dict__", {}).get("_session_cache")
    if isinstance(loaded, dict) and loaded.get("_auth_user_id"):
        event["user"] = {"id": str(loaded["_auth_user_id"]), **(event.get("user") or {})}


def add_facts(user: Any, event: dict[str, Any]) -> None:
    """Show *user*, unless nobody has logged in; what the application itself said of it stays."""
    if user is None or getattr(user, "is_authenticated", False) is not True:
        return
    shown = dict(event.get("user") or {})
    for key, value in facts_of(user):
        shown.setdefault(key, value)
    event["user"] = shown


def resolved(user: Any) -> Any:
    """The user where the application has looked at it; None while that would be our query."""
    lazy = sys.modules["django.utils.functional"]
    if isinstance(user, lazy.LazyObject):
        user = vars(user).get("_wrapped", lazy.empty)
        return None if user is lazy.empty else user
    return user


def facts_of(user: Any) -> list[tuple[str, str]]:
    """``id``, ``email`` and ``username`` of *user*; of a model only what was loaded: a field may be deferred."""
    kind, state = type(user), getattr(user, "__dict__", {})
    if hasattr(kind, "_meta"):
        fields = (
            ("id", kind._meta.pk.attname),
            ("email", getattr(kind, "EMAIL_FIELD", "email")),
            ("username", getattr(kind, "USERNAME_FIELD", "username")),
        )
        found = [(key, state.get(field)) for key, field in fields]
    else:
        found = [
            (key, getattr(user, name, None))
            for key, name in (("id", "pk"), ("email", "email"), ("username", "username"))
        ]
    return [(key, str(value)) for key, value in found if value not in (None, "")]


def settings() -> Any:
    """Django's settings, which are in force wherever there is a request."""
    return sys.modules["django.conf"].settings
