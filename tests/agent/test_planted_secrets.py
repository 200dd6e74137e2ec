# SPDX-License-Identifier: MIT
"""Forty secrets planted wherever an application may have them: none is on disk, and none on the wire."""

from __future__ import annotations

import decimal
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from running import Running
from sink import Sink

import errtrack

#: What shows that a part was kept, so that the test is not passed by leaving everything out.
KEPT = "kept-and-visible"


class Secrets:
    """Makes secrets; each is a text of its own that can be searched for."""

    def __init__(self) -> None:
        self.made: dict[str, str] = {}

    def plant(self, where: str, form: str = "%s") -> str:
        """A secret for *where*; *form* gives it the look by which it is recognised."""
        core = "Zq%02dxW7vK%sLm" % (len(self.made), "".join(chr(97 + ord(c) % 26) for c in where)[:8])
        self.made[where] = core
        return form % core

    def found_in(self, data: bytes) -> list[str]:
        return [where for where, core in self.made.items() if core.encode() in data]


class Account:
    def __init__(self, password: str, name: str) -> None:
        self.password = password
        self.name = name


CARD = "4111111111111111"


def fail(plant: Any) -> None:
    """Locals of every kind, a message, a chain of causes."""
    password = plant("local by name")
    settings = {"nested": {"deep": [{"API-Key": plant("local nested in dicts and lists")}]}}
    account = Account(plant("attribute of an object"), KEPT)
    header_pairs = [("X-Auth-Token", plant("pair in a list")), ("Accept", KEPT)]
    odd_keys = {b"client_secret": plant("bytes key"), ("db", "password"): plant("tuple key"), 5: KEPT}
    address = "postgresql://app:%s@db.example.test/shop" % plant("URL with a password, in a local")
    bearer = "Authorization: Bearer %s" % plant("bearer in a local")
    as_bytes = ("password=%s&x=1" % plant("bytes of a form")).encode()
    token_set = {plant("an element of a set", "ghp_%s0123456789abcdefghijABCD")}
    pem = "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----" % plant("PEM block")
    card = "card %s" % CARD
    number = int(CARD)
    try:
        try:
            raise LookupError("redis://:%s@cache/0 is away" % plant("URL in the message of a chained error"))
        except LookupError as inner:
            raise KeyError("token=%s" % plant("argument of the middle error")) from inner
    except KeyError as middle:
        error = ValueError("login failed: password=%s %s" % (plant("message of the error"), KEPT))
        if sys.version_info >= (3, 11):
            error.add_note("tried api_key=%s" % plant("note on the error"))
        raise error from middle


def request(plant: Any) -> dict[str, Any]:
    return {
        "url": "https://user:%s@shop.example.test/pay" % plant("userinfo of the request's URL"),
        "method": "POST",
        "query_string": "page=%s&access_token=%s" % (KEPT, plant("query string")),
        "headers": {
            "Accept": KEPT,
            "Authorization": "Basic %s" % plant("authorization header"),
            "X-Api-Key": plant("header by name"),
            "Referer": "https://x.test/?session_id=%s" % plant("query of the referrer"),
            "Cookie": "sid=%s" % plant("cookie header"),
        },
        "cookies": {"sessionid": plant("session cookie"), "theme": KEPT},
        "data": {
            "user": KEPT,
            "newPassword": plant("body by name"),
            "list": [{"cvv": plant("body nested in a list")}],
        },
        "env": {"SERVER_NAME": KEPT, "DB_PASSWORD": plant("environment of the request")},
    }


def say_everything(plant: Any) -> None:
    """What an application attaches: breadcrumbs, tags, extra, contexts, user."""
    errtrack.add_breadcrumb(
        message="GET https://x.test/?token=%s" % plant("message of a breadcrumb"), category=KEPT
    )
    errtrack.add_breadcrumb(
        message="q",
        data={
            "params": {"passwd": plant("data of a breadcrumb")},
            "url": "https://a:%s@b.test" % plant("URL in a breadcrumb"),
        },
    )
    errtrack.set_tag("auth_token", plant("tag by name"))
    errtrack.set_tag("upstream", "https://u:%s@h.test/" % plant("URL in a tag"))
    errtrack.set_tag("plain", KEPT)
    errtrack.set_extra("secretKey", plant("extra by name"))
    errtrack.set_extra("config", {"list": [["password", plant("pair in extra")]], "plain": KEPT})
    errtrack.set_extra("text", "curl -H 'X-Api-Key: %s'" % plant("header in a text of extra"))
    errtrack.set_extra("json", json.dumps({"password": plant("JSON text in extra"), "n": 1}))
    errtrack.set_extra(
        "price", {"sum": decimal.Decimal("1.5"), "who": Account(plant("object in extra"), KEPT)}
    )
    errtrack.set_context(
        "service",
        {
            "name": KEPT,
            "credentials": {"a": plant("context by name")},
            "dsn": plant("DSN of another service"),
        },
    )
    errtrack.set_user(
        {"id": KEPT, "password": plant("key of the user"), "data": {"token": plant("user.data")}}
    )


def keep_visible(event: dict[str, Any]) -> None:
    values = event["exception"]["values"]
    shown = values[-1]["stacktrace"]["frames"][-1]["vars"]
    assert KEPT in json.dumps(shown["account"]) and shown["password"] == "[Filtered]"
    assert len(values) == 3 and KEPT in values[-1]["value"]
    for part in ("breadcrumbs", "tags", "extra", "contexts", "user", "request"):
        assert KEPT in json.dumps(event[part]), part
    assert event["request"]["cookies"]["theme"] == KEPT
    for key in ("headers", "data", "env", "query_string"):
        assert KEPT in json.dumps(event["request"][key]), key


def test_none_of_forty_secrets_leaves_the_process(
    running: Running, sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = Secrets()
    plant = secrets.plant
    monkeypatch.setenv("APP_DB_PASSWORD", plant("environment of the process"))
    sink.mode = "hang"  # so that it lies on the disk before it is delivered
    key = "c0ffee00c0ffee00c0ffee00c0ffee00"
    dsn = sink.dsn.replace(sink.dsn.split("//")[1].split("@")[0], key)
    client = running.start(dsn=dsn, spool_dir=str(tmp_path / "spool"), request_timeout=30)
    say_everything(plant)
    errtrack.set_extra(
        "sys.argv",
        client.scrubber.argv(
            ["app", "--password", plant("argv, next word"), "--token=%s" % plant("argv, same word")]
        ),
    )
    errtrack.set_extra("own dsn", "sent to %s" % dsn)

    def add_request(event: Any, hint: Any) -> Any:
        event["request"] = request(plant)
        event["logentry"] = {
            "message": "login of %s with %s",
            "params": {"password": plant("params of a log entry"), "user": KEPT},
            "formatted": "login password=%s" % plant("formatted log entry"),
        }
        return event

    with errtrack.new_scope() as scope:
        scope.add_event_processor(add_request)
        try:
            fail(plant)
        except ValueError as error:
            assert errtrack.capture_exception(error)
    errtrack.capture_message("GET %s", params=["https://x.test/?api_key=%s" % plant("params of a message")])
    assert len(secrets.made) >= 40, len(secrets.made)

    files = [path for path in (tmp_path / "spool").rglob("*") if path.is_file()]
    on_disk = b"".join(path.read_bytes() for path in files)
    assert KEPT.encode() in on_disk  # it was written
    assert secrets.found_in(on_disk) == []
    assert key.encode() not in on_disk
    assert CARD.encode() not in on_disk

    client.close(0)
    sink.ok()
    next_process = running.start(dsn=dsn, spool_dir=str(tmp_path / "spool"))
    errtrack.capture_message("next")
    sink.wait(3)
    on_wire = b"".join(request.body for request in sink.requests)
    assert secrets.found_in(on_wire) == []
    assert CARD.encode() not in on_wire
    assert key.encode() not in on_wire.replace(b'"public_key":"%s"' % key.encode(), b"")
    assert next_process.flush(10)
    events = [json.loads(i[1]) for r in sink.accepted for i in r.envelope.items if i[0]["type"] == "event"]
    keep_visible(next(event for event in events if "exception" in event))


def test_the_search_finds_a_secret_that_is_there(running: Running) -> None:
    """A search that cannot find anything would prove nothing."""
    secrets = Secrets()
    running.start(scrub_allow=["password"])
    errtrack.set_extra("password", secrets.plant("allowed"))
    errtrack.capture_message("x")
    assert secrets.found_in(json.dumps(running.event()).encode()) == ["allowed"]
