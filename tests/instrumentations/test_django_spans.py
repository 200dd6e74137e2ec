"""Django's middlewares, views, signals, caches and tasks as spans: django_middleware, django_signals, django_cache."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("django")

from djangos import Story, gunicorn, shop_in, uvicorn

DJANGO = pytest.importorskip("django").VERSION

REQUESTS: dict[str, dict[str, Any]] = {
    "ok": {"path": "/ok/1/"},
    "thing": {"path": "/thing/"},
    "async-thing": {"path": "/async-thing/"},
    "afail": {"path": "/afail/1/"},
    "forbidden": {"path": "/forbidden/"},
    "signal": {"path": "/signal/"},
    "cache": {"path": "/cache/"},
    "cached-page": {"path": "/cached-page/"},
    "cached-page-again": {"path": "/cached-page/"},
    "template": {"path": "/template-response/"},
    "thread": {"path": "/thread/"},
    "atomic": {"path": "/atomic/"},
    "slow": {"path": "/slow-query/"},
    "head": {"path": "/ok/1/", "method": "HEAD"},
}
TRACED = {"ERRTRACK_TRACES_SAMPLE_RATE": "1", "ERRTRACK_BEFORE_SEND_TRANSACTION": "spy:keep"}


def told(sandbox_in: Any, factory: pytest.TempPathFactory, kind: str = "wsgi", **env: str) -> Story:
    sandbox = shop_in(sandbox_in, factory.mktemp("django"), **TRACED, **env)
    return Story.told(sandbox, uvicorn(sandbox) if kind == "asgi" else gunicorn(sandbox), REQUESTS)


@pytest.fixture(scope="module", params=["wsgi", "asgi"])
def story(request: pytest.FixtureRequest, sandbox_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Everything switched on."""
    if request.param == "asgi":
        pytest.importorskip("uvicorn")
    return told(
        sandbox_in,
        tmp_path_factory,
        request.param,
        ERRTRACK_DJANGO_MIDDLEWARE_SPANS="1",
        ERRTRACK_DJANGO_CACHE_SPANS="1",
        ERRTRACK_DJANGO_SIGNALS_DENYLIST="django.core.signals.request_started",
    )


@pytest.fixture(scope="module")
def plain(sandbox_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The defaults, but for signals."""
    return told(
        sandbox_in,
        tmp_path_factory,
        ERRTRACK_DJANGO_SIGNALS_SPANS="0",
        ERRTRACK_ENABLE_DB_QUERY_SOURCE="0",
        ERRTRACK_HTTP_METHODS_TO_CAPTURE="HEAD,GET",
    )


def names(spans: list[dict[str, Any]]) -> list[str]:
    return [span["description"] for span in spans]


def test_answers_are_the_same(story: Story, plain: Story) -> None:
    for case, (status, body) in plain.answers.items():
        if not case.startswith(("cached-page", "thread")):
            assert story.answers[case] == (status, body), case
    assert (
        story.answers["signal"][1]
        == b"[(True, 'packed'), (True, 'shipped'), (True, 'packed'), (True, 'shipped')]"
    )


def test_middlewares_are_spans_below_each_other(story: Story) -> None:
    spans = story.spans("ok", "middleware.django")
    assert [name for name in names(spans) if not name.partition(".process_")[1]] == [
        "shop.early",
        "django.contrib.sessions.middleware.SessionMiddleware.__call__",
        "django.middleware.locale.LocaleMiddleware.__call__",
        "django.contrib.auth.middleware.AuthenticationMiddleware.__call__",
        "shop.FailingMiddleware.__call__",
        "shop.both",
    ]
    assert "django.contrib.sessions.middleware.SessionMiddleware.process_request" in names(spans)
    by_name = {span["description"]: span for span in spans}
    session = by_name["django.contrib.sessions.middleware.SessionMiddleware.__call__"]
    assert session["tags"]["django.middleware_name"] == "SessionMiddleware"
    assert session["parent_span_id"] == by_name["shop.early"]["span_id"]


def test_views_are_spans(story: Story) -> None:
    names = [("ok", "shop.ok"), ("thing", "shop.Thing"), ("async-thing", "shop.AsyncThing")]
    for case, name in names if DJANGO >= (4, 1) else names[:2]:
        spans = story.spans(case, "view.render")
        assert len(spans) == 1 and name in spans[0]["description"]
    assert story.spans("afail", "view.render")[0]["status"] == "internal_error"
    assert story.spans("forbidden", "view.render")[0]["status"] == "permission_denied"
    if DJANGO >= (4, 1):  # the coroutine of a class, too
        assert story.spans("async-thing", "view.render")[0]["status"] == "internal_error"
    lasted = story.spans("afail", "view.render")[0]
    assert lasted["timestamp"] - lasted["start_timestamp"] >= 0.01  # the whole of the coroutine


def test_thread_of_a_view_is_told(story: Story) -> None:
    trace = story.transaction("thread")["contexts"]["trace"]
    assert trace["data"]["thread.id"] == story.answers["thread"][1].decode()


def test_rendering_a_response_is_a_span(story: Story, plain: Story) -> None:
    for told in (story, plain):
        assert names(told.spans("template", "view.response.render")) == ["serialize response"]
        assert names(told.spans("template", "template.render")) == ["meta.html"]


def test_receivers_of_signals_are_spans(story: Story) -> None:
    spans = story.spans("signal", "event.django")
    assert names(spans).count("shop.through_a_signal") == (5 if DJANGO >= (5, 0) else 4)
    billed = [span for span in spans if span["data"]["signal"].endswith("Signal")]
    assert len(billed) == (5 if DJANGO >= (5, 0) else 4)
    saved = [span for span in spans if span["description"] == "shop.on_group_saved"]
    assert [span["data"]["signal"] for span in saved] == ["django.db.models.signals.post_save"]


def test_own_receivers_and_denied_signals_are_no_spans(story: Story) -> None:
    for case in ("ok", "afail"):
        spans = story.spans(case, "event.django")
        assert not any("errtrack" in name for name in names(spans))
        assert "django.core.signals.request_started" not in [span["data"]["signal"] for span in spans]


def test_spans_are_left_out_by_option(plain: Story) -> None:
    for op in ("middleware.django", "view.render", "event.django", "cache.get", "cache.put"):
        for case in ("ok", "signal", "cache"):
            assert plain.spans(case, op) == [], (case, op)


def test_transactions_slow_queries_and_methods_by_option(plain: Story, story: Story) -> None:
    for told in (plain, story):
        assert told.spans("atomic", "db")
        assert not {"COMMIT", "ROLLBACK"} & set(names(told.spans("atomic", "db")))
    assert not any("code.filepath" in span["data"] for span in plain.spans("slow", "db"))
    assert len(plain.transactions("head")) == 1 and story.transactions("head") == []


def test_caches_are_spans_with_hits(story: Story) -> None:
    reads, writes = story.spans("cache", "cache.get"), story.spans("cache", "cache.put")
    assert names(reads)[:2] == ["k", "k"]
    assert [span["data"]["cache.hit"] for span in reads[:2]] == [False, True]
    assert "cache.item_size" not in reads[0]["data"]
    assert reads[1]["data"]["cache.item_size"] == 5
    assert writes[0]["data"]["cache.key"] == ["k"]
    assert "a, b" in names(writes)


def test_cached_pages_are_put_and_then_got(story: Story) -> None:
    first = story.spans("cached-page", "cache.get"), story.spans("cached-page", "cache.put")
    assert not any(span["data"]["cache.hit"] for span in first[0]) and first[1]
    again = story.spans("cached-page-again", "cache.get"), story.spans("cached-page-again", "cache.put")
    assert all(span["data"]["cache.hit"] for span in again[0]) and again[0] and not again[1]


def test_address_of_a_cache_has_no_password() -> None:
    from errtrack_instrumentations.django_cache import address_of

    assert address_of("redis://user:pw@host:6379/0") == {
        "network.peer.address": "redis://host/0",
        "network.peer.port": 6379,
    }
    assert address_of(["redis://a:1", "redis://b:2"]) == address_of("") == address_of(None) == {}


def test_middlewares_keep_their_modes_and_looks(sandbox_in: Any, tmp_path: Any) -> None:
    sandbox = shop_in(sandbox_in, tmp_path, **TRACED, ERRTRACK_DJANGO_MIDDLEWARE_SPANS="1")
    code = """
import asyncio
import shop
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import MiddlewareNotUsed
from django.conf import settings
from django.test import AsyncClient, Client

class AsyncOnly:
    sync_capable, async_capable = False, True
    def __init__(self, get_response):
        assert iscoroutinefunction(get_response)
        self.get_response = get_response
        markcoroutinefunction(self)
    async def __call__(self, request):
        return await self.get_response(request)
    async def process_view(self, request, view, args, kwargs):
        print("process_view", view.__name__)

class Slots:
    __slots__ = ("get_response",)
    def __init__(self, get_response): self.get_response = get_response
    def __call__(self, request): return self.get_response(request)
    def process_exception(self, request, exception):
        print("process_exception", exception)

def unused(get_response):
    raise MiddlewareNotUsed("no")

shop.AsyncOnly, shop.Slots, shop.unused = AsyncOnly, Slots, unused
settings.MIDDLEWARE = ["shop.AsyncOnly", "shop.Slots", "shop.unused"]
print(Client().get("/ok/1/").content)
print(asyncio.run(AsyncClient().get("/ok/2/")).content)
Client(raise_request_exception=False).get("/fail/1/")
"""
    done = sandbox.python(code)
    assert done.stdout.splitlines() == [
        "process_view ok",
        "b'fine 1'",
        "process_view ok",
        "b'fine 2'",
        "process_view fail",
        "process_exception failed 1",
    ], done.stderr


def saved(**named: Any) -> str:
    return "saved"


def test_receivers_of_modules_are_wrapped_once_and_others_are_not_kept() -> None:
    import functools
    import weakref

    from django.db.models.signals import post_delete, post_save

    from errtrack_instrumentations import django_signals as ours

    first = ours.wrapped(saved, post_save)
    assert ours.wrapped(saved, post_save) is first
    assert ours.wrapped(saved, post_delete) is not first
    # A decorator copies what a function holds to another one.
    other = functools.wraps(saved)(lambda **named: "other")
    assert (ours.wrapped(other, post_save)(), first()) == ("other", "saved")

    def local(**named: Any) -> None: ...

    reference = weakref.ref(local)
    ours.wrapped(local, post_save)
    del local
    assert reference() is None, "Django lets go of receivers that nobody else holds"


def test_signals_may_be_denied_by_themselves() -> None:
    from django.db.models.signals import post_save

    from errtrack.options import BadValue, names_or_objects

    assert names_or_objects([post_save, " a.b "]) == (post_save, "a.b")
    assert names_or_objects("a.b, c") == ("a.b", "c")
    with pytest.raises(BadValue):
        names_or_objects(1)


def test_tasks_are_spans(sandbox_in: Any, tmp_path: Any) -> None:
    """django_tasks"""
    pytest.importorskip("django.tasks", reason="tasks came with Django 6.0")
    sandbox = shop_in(sandbox_in, tmp_path, **TRACED)
    code = """
import errtrack, shop
from django.tasks import task
@task
def add(a, b): return a + b
@task
def fail(): raise RuntimeError("in a task")
with errtrack.start_transaction(op="test", name="enqueue"):
    print(add.enqueue(1, b=2).return_value, add.enqueue(3, 4).return_value)
    fail.enqueue()
"""
    sandbox.write("jobs.py", code)
    done = sandbox.python("import jobs")
    assert done.stdout == "3 7\n", done.stderr
    (line,) = (sandbox.folder / "transactions").read_text().splitlines()
    assert line.count('"queue.submit.django"') == 3 and "jobs.add" in line
    assert [e["exception"]["values"][-1]["value"] for e in sandbox.events()] == ["in a task"]
