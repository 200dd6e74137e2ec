"""Django REST framework: parsed bodies, answers that are no errors, authentication as a span."""

from __future__ import annotations

from typing import Any

import pytest

from web import main_exception

pytest.importorskip("rest_framework")

from djangos import FORM, JSON, Story, gunicorn, multipart, shop_in

FILES, FILES_HEADERS = multipart({"name": "ada"}, {"file": b"content"})
BODY = {"method": "POST", "headers": JSON, "body": '{"a": 1, "password": "hunter2"}'}
REQUESTS: dict[str, dict[str, Any]] = {
    "json": {"path": "/parsed/", **BODY},
    "list": {"path": "/parsed/", **BODY, "body": "[1, 2]"},
    "form": {"path": "/parsed/", "method": "POST", "headers": FORM, "body": "b=2&b=3&c=4"},
    "files": {"path": "/parsed/", "method": "POST", "headers": FILES_HEADERS, "body": FILES},
    "get": {"path": "/parsed/"},
    "large": {"path": "/parsed/", **BODY, "body": '{"a": "%s"}' % ("x" * 11_000)},
    "unparsed": {"path": "/unparsed/", **BODY},
    "authenticated": {"path": "/authenticated/"},
    "anonymous": {"path": "/anonymous/"},
    "not-found": {"path": "/not-found/"},
    "invalid": {"path": "/invalid/"},
    "teapot": {"path": "/teapot/"},
}


@pytest.fixture(scope="module")
def story(sandbox_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Story:
    sandbox = shop_in(
        sandbox_in,
        tmp_path_factory.mktemp("rest"),
        SHOP_URLS="rest",
        ERRTRACK_TRACES_SAMPLE_RATE="1",
        ERRTRACK_BEFORE_SEND_TRANSACTION="spy:keep",
    )
    return Story.told(sandbox, gunicorn(sandbox), REQUESTS)


def test_parsed_data_is_shown(story: Story) -> None:
    event = story.event("json")
    assert (event["transaction"], main_exception(event)["mechanism"]["type"]) == ("/parsed/", "django")
    assert event["request"]["data"] == {"a": 1, "password": "[Filtered]"}
    assert story.event("list")["request"]["data"] == [1, 2]
    assert story.event("form")["request"]["data"] == {"b": ["2", "3"], "c": "4"}
    assert story.event("files")["request"]["data"] == {"name": "ada", "file": ""}
    assert story.event("unparsed")["request"]["data"] == {"a": 1, "password": "[Filtered]"}


def test_request_without_a_body_has_no_data(story: Story) -> None:
    assert "data" not in story.event("get")["request"]


def test_large_body_is_left_out(story: Story) -> None:
    event = story.event("large")
    assert event["request"]["data"] == ""
    assert event["_meta"]["request"]["data"][""]["rem"][0][0] == "!config"


@pytest.mark.parametrize("case", ["not-found", "invalid", "teapot", "authenticated", "anonymous"])
def test_answers_of_the_framework_are_not_errors(story: Story, case: str) -> None:
    assert story.events(case) == []


def test_authentication_is_a_span(story: Story) -> None:
    assert [span["description"] for span in story.spans("authenticated", "view.authenticate")] == [
        "authenticate"
    ]
    assert story.spans("anonymous", "view.authenticate") == []
    assert story.spans("anonymous", "view.response.render")
