"""django_database, django_templates: breadcrumbs and spans of queries, and the lines of a failing template."""

from __future__ import annotations

import json
from typing import Any

import pytest

from databases import Postgres, Redis
from web import main_exception

pytest.importorskip("django")

from djangos import Story, gunicorn, shop_in

DJANGO = pytest.importorskip("django").VERSION

PAGE = "/page/?template="
REQUESTS: dict[str, dict[str, Any]] = {
    "query": {"path": "/query/"},
    "many": {"path": "/many/"},
    "broken": {"path": "/broken-transaction/"},
    "slow": {"path": "/slow-query/"},
    "atomic": {"path": "/atomic/"},
    "boom": {"path": PAGE + "boom.html"},
    "included": {"path": PAGE + "outer.html"},
    "extended": {"path": PAGE + "child.html"},
    "syntax": {"path": PAGE + "syntax.html"},
    "missing": {"path": PAGE + "nowhere.html"},
    "meta": {"path": PAGE + "meta.html"},
    "ok": {"path": "/ok/1/"},
    "fail": {"path": "/fail/1/"},
    "missing-path": {"path": "/missing/"},
    "head": {"path": "/ok/1/", "method": "HEAD"},
}


@pytest.fixture(scope="module", params=["untraced", "traced"])
def story(request: pytest.FixtureRequest, sandbox_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Story:
    env = {}
    if request.param == "traced":
        env = {
            "ERRTRACK_TRACES_SAMPLE_RATE": "1",
            "ERRTRACK_BEFORE_SEND_TRANSACTION": "spy:keep",
            "ERRTRACK_DJANGO_DB_TRANSACTION_SPANS": "1",
            "SHOP_TEMPLATE_DEBUG": "1",
        }
    sandbox = shop_in(sandbox_in, tmp_path_factory.mktemp("django"), **env)
    story = Story.told(sandbox, gunicorn(sandbox), REQUESTS)
    story.is_traced = request.param == "traced"
    return story


@pytest.fixture
def traced(story: Story) -> Story:
    if not story.is_traced:
        pytest.skip("about spans")
    return story


def queries(event: dict[str, Any]) -> list[dict[str, Any]]:
    return [crumb for crumb in event["breadcrumbs"]["values"] if crumb.get("category") == "query"]


def test_queries_are_breadcrumbs_without_their_parameters(story: Story) -> None:
    found = [c["message"] for c in queries(story.event("query"))]
    assert any('FROM "auth_user"' in message and "%s" in message for message in found), found
    assert "ada" not in str(found)


def test_many_statements_at_once_and_named_parameters(story: Story) -> None:
    found = queries(story.event("many"))
    inserts = [c for c in found if c["message"].startswith("INSERT INTO auth_group")]
    assert [c["data"] for c in inserts] == [{"db.executemany": True}]
    assert any("%(name)s" in c["message"] for c in found)


def test_query_that_fails_is_among_its_breadcrumbs(story: Story) -> None:
    event = story.event("broken")
    assert queries(event)[-1]["message"] == "SELECT * FROM nowhere"
    assert [value["type"] for value in event["exception"]["values"]][-1] == "RuntimeError"


@pytest.mark.parametrize(
    ("case", "name", "line", "text"),
    [
        ("boom", "boom.html", 4, "  <b>{{ boom.go }}</b>"),
        ("included", "boom.html", 4, "  <b>{{ boom.go }}</b>"),
        ("extended", "child.html", 3, "{{ boom.go }}"),
        ("syntax", "syntax.html", 3, "{% nonsense %}"),
    ],
)
def test_template_is_the_last_frame(story: Story, case: str, name: str, line: int, text: str) -> None:
    frame = main_exception(story.event(case))["stacktrace"]["frames"][-1]
    assert frame["filename"].endswith(name) and frame["abs_path"].endswith("templates/" + name)
    assert (frame["lineno"], frame["context_line"], frame["in_app"]) == (line, text, True)
    assert frame["pre_context"] and frame["post_context"]


def test_missing_template_has_no_line_to_show(story: Story) -> None:
    event = story.event("missing")
    assert main_exception(event)["type"] == "TemplateDoesNotExist"
    assert main_exception(event)["stacktrace"]["frames"][-1]["module"].startswith("django.template")


def test_template_shows_the_trace(story: Story) -> None:
    status, body = story.answers["meta"]
    assert status == 200
    assert body.startswith(b'<meta name="sentry-trace" content="')
    assert b'<meta name="baggage" content="sentry-trace_id=' in body


def test_transaction_is_named_by_its_route(traced: Story) -> None:
    transaction = traced.transaction("ok")
    assert (transaction["transaction"], transaction["transaction_info"]) == ("/ok/{n}/", {"source": "route"})
    assert transaction["contexts"]["trace"]["op"] == "http.server"
    assert transaction["contexts"]["trace"]["status"] == "ok"
    assert traced.transaction("missing-path")["contexts"]["trace"]["status"] == "not_found"
    failed = traced.transaction("fail")
    assert failed["contexts"]["trace"]["status"] == "internal_error"
    assert failed["contexts"]["trace"]["trace_id"] == traced.event("fail")["contexts"]["trace"]["trace_id"]


def test_head_is_no_transaction(traced: Story) -> None:
    assert traced.transactions("head") == []


def test_queries_are_spans(traced: Story) -> None:
    spans = traced.spans("query", "db")
    select = [span for span in spans if 'FROM "auth_user"' in span["description"]]
    assert len(select) == 1
    assert select[0]["data"]["db.system"] == "sqlite"
    assert select[0]["data"]["db.name"].endswith("shop.sqlite3")
    assert select[0]["origin"] == "auto.db.django"
    assert "code.filepath" not in select[0]["data"]
    failed = [span for span in traced.spans("broken", "db") if "nowhere" in span["description"]]
    assert [span["status"] for span in failed] == ["internal_error"]


def test_slow_query_names_the_line_that_made_it(traced: Story) -> None:
    slow, quick = (span for span in traced.spans("slow", "db") if span["description"].startswith("SELECT"))
    assert slow["data"]["code.filepath"] == "shop.py"
    assert (slow["data"]["code.function"], slow["data"]["code.namespace"]) == ("slow_query", "shop")
    assert isinstance(slow["data"]["code.lineno"], int)
    assert "code.filepath" not in quick["data"]


def test_ends_of_transactions_are_spans_by_option(traced: Story) -> None:
    spans = traced.spans("atomic", "db")
    ends = [span for span in spans if span["description"] in ("COMMIT", "ROLLBACK")]
    assert [span["description"] for span in ends] == ["COMMIT", "ROLLBACK"]
    assert ends[0]["data"]["db.operation"] == "commit"


def test_templates_are_spans(traced: Story) -> None:
    (span,) = traced.spans("meta", "template.render")
    assert span["description"] == "meta.html"
    assert span["data"]["context.sentry"] == "mine"
    assert "Boom" in span["data"]["context.boom"]
    assert traced.spans("boom", "template.render")[0]["status"] == "internal_error"


SERVERS = """
import errtrack, shop
from django.core.cache import cache
from django.db import DatabaseError, connection
try:
    from psycopg import sql
except ImportError:
    from psycopg2 import sql
with errtrack.start_transaction(op="test", name="servers"):
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", ["plain"])
        cursor.execute(sql.SQL("SELECT {} AS {}").format(sql.Literal(1), sql.Identifier("one")))
        cursor.executemany("SELECT %s", [["a"], ["b"]])
        try:
            cursor.execute("SELECT 1 FROM nowhere")
        except DatabaseError as error:
            errtrack.capture_exception(error)
    cache.set("k", "value")
    print(cache.get("k"))
"""


def test_postgres_and_redis_behind_django(sandbox_in: Any, tmp_path: Any) -> None:
    pytest.importorskip("redis")
    if DJANGO < (4, 2):
        pytest.skip("Django 4.2 came with psycopg 3 and a cache in Redis")
    with Postgres() as postgres, Redis(tmp_path) as redis:
        sandbox = shop_in(
            sandbox_in,
            tmp_path,
            ERRTRACK_TRACES_SAMPLE_RATE="1",
            ERRTRACK_BEFORE_SEND_TRANSACTION="spy:keep",
            ERRTRACK_DJANGO_CACHE_SPANS="1",
            migrated=False,
        )
        done = sandbox.python(SERVERS, SHOP_POSTGRES=str(postgres.port), SHOP_REDIS=str(redis.port))
    assert done.stdout == "value\n", done.stderr
    transaction = json.loads((sandbox.folder / "transactions").read_text())
    spans = sorted(transaction["spans"], key=lambda span: span["start_timestamp"])
    queries_told = [span for span in spans if span["op"] == "db" and "SELECT" in span["description"]]
    told = [(span["description"], span["origin"]) for span in queries_told]
    assert told == [
        ("SELECT %s", "auto.db.django"),
        ('SELECT 1 AS "one"', "auto.db.django"),
        ("SELECT %s", "auto.db.django"),
        ("SELECT 1 FROM nowhere", "auto.db.django"),
    ]
    data = queries_told[0]["data"]
    assert (data["db.system"], data["db.name"]) == ("postgresql", "postgres")
    assert (data["server.address"], data["server.port"]) == ("127.0.0.1", postgres.port)
    messages = [crumb["message"] for crumb in queries(sandbox.event()) if "SELECT" in crumb["message"]]
    assert messages == [name for name, _ in told]
    (got,) = [span for span in spans if span["op"] == "cache.get"]
    assert got["data"]["network.peer.address"] == "redis://127.0.0.1/1"
    assert (got["data"]["network.peer.port"], got["data"]["cache.hit"]) == (redis.port, True)
