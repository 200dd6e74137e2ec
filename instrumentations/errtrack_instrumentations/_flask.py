# SPDX-License-Identifier: MIT
"""What Flask and flask-login hold of a request, as an event shows it; nothing is read, loaded or called for it."""

from __future__ import annotations

import sys

from . import _body

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

#: What Flask logs when what follows every request fails while a failure is answered.
FINALIZING = "Request finalizing failed with an error while handling an error"


def add_body(event: dict[str, Any], request: Any) -> None:
    """Put the body on *event*, as far as the view has read it: werkzeug keeps it in the request's instance."""
    state = vars(request)
    environ = state.get("environ") or {}
    form, files = state.get("form") or (), state.get("files") or ()
    raw = state.get("_cached_data")
    if not (form or files) and not isinstance(raw, bytes):
        return

    def parse() -> tuple[Mapping[str, Sequence[Any]], Iterable[str]]:
        return ({name: list(values) for name, values in form.lists()} if form else {}), list(files)

    _body.add_body(
        event,
        content_type=environ.get("CONTENT_TYPE") or "",
        length=environ.get("CONTENT_LENGTH") or "",
        raw=b"form" if form or files else raw,
        parse=parse,
    )


def filter_session(event: dict[str, Any], app: Any) -> None:
    """The cookie of the session is a secret, whatever it is called."""
    request = event.get("request")
    cookies = request.get("cookies") if isinstance(request, dict) else None
    name = (vars(app).get("config") or {}).get("SESSION_COOKIE_NAME")
    if isinstance(cookies, dict) and name in cookies:
        request["cookies"] = {**cookies, name: "[Filtered]"}  # type: ignore[index]


def user_of(context: Any) -> dict[str, Any]:
    """Who is logged in by flask-login: the id out of the session, the rest out of a user that was loaded already."""
    if "flask_login" not in sys.modules:
        return {}
    state = vars(context)
    session = state.get("session") or state.get("_session")
    # Past the session's own `get`: that would say in the answer's headers that it was looked at.
    identity = dict.get(session, "_user_id") if isinstance(session, dict) else None
    user = loaded_user(state)
    held = vars(user) if user is not None else {}
    found: dict[str, Any] = {}
    for key, value in (
        ("id", identity or held.get("id")),
        *((k, held.get(k)) for k in ("email", "username")),
    ):
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            found[key] = str(value)
    return found


def loaded_user(state: dict[str, Any]) -> Any:
    """The user object that flask-login has loaded in this request; None where it has not, or for nobody."""
    user = state.get("user")  # up to flask-login 0.6.2
    if user is None:
        try:
            user = sys.modules["flask.globals"].g.get("_login_user")
        except Exception:  # the context is gone: a body that is streamed
            return None
    return user if type(user).__name__ != "AnonymousUserMixin" and hasattr(user, "__dict__") else None


def is_same_again(record: Any) -> bool:
    """Whether a log record shows what was raised just now at the same place, and is being answered."""
    error = record.exc_info[1]
    return error.__context__ is not None and _place(error) == _place(error.__context__)


def _place(error: BaseException) -> tuple[Any, int] | None:
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    return (tb.tb_frame.f_code, tb.tb_lineno) if tb is not None else None
