"""Databases: each statement is one span and one breadcrumb, with its placeholders and without its values.

Real servers, and every driver in a transaction of its own; all in one process, looked at by many tests. Covers the
instrumentations sqlite3, psycopg, psycopg2, asyncpg, mysql, sqlalchemy and redis.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from databases import LikeMySQL, Postgres, Redis

SPY = """
import json
def keep(event, hint):
    with open("transactions", "a") as file:
        file.write(json.dumps({key: event.get(key) for key in ("transaction", "contexts", "spans")}) + "\\n")
    return event
"""


class Run:
    """What came of the program: spans and breadcrumbs by part, and what it wrote."""

    def __init__(self, sandbox: Any, **env: str) -> None:
        shutil.copy(Path(__file__).parent / "database_parts.py", sandbox.folder / "database_parts.py")
        sandbox.write("spy.py", SPY)
        done = sandbox.run(
            sys.executable,
            "database_parts.py",
            timeout=200,
            ERRTRACK_BEFORE_SEND_TRANSACTION="spy:keep",
            ERRTRACK_DEBUG="1",
            PYTHONPATH=str(sandbox.folder),
            **env,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        self.output = done.stdout.splitlines()
        kept = sandbox.folder / "transactions"
        lines = kept.read_text().splitlines() if kept.exists() else []
        self._transactions = {one["transaction"]: one for one in map(json.loads, lines)}
        self.events = {event["logentry"]["formatted"]: event for event in sandbox.events()}

    def look_for(self, part: str) -> None:
        for line in self.output:
            if line.startswith("missing %s " % part):
                pytest.skip("not installed: " + line)

    def spans(self, part: str) -> list[dict[str, Any]]:
        self.look_for(part)
        found: list[dict[str, Any]] = self._transactions[part]["spans"]
        root = self._transactions[part]["contexts"]["trace"]["span_id"]
        assert {span["parent_span_id"] for span in found} == {root}
        # SQLAlchemy asks its driver for something before it has an engine to speak of.
        return [span for span in found if not span["description"].startswith("PRAGMA")]

    def crumbs(self, part: str, category: str = "query") -> list[dict[str, Any]]:
        self.look_for(part)
        values = self.events[part].get("breadcrumbs", {}).get("values", [])
        found = [crumb for crumb in values if crumb.get("category") == category]
        return [crumb for crumb in found if not crumb["message"].startswith("PRAGMA")]

    def names(self, part: str) -> list[str]:
        return [span["description"] for span in self.spans(part)]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(Postgres())
        redis = stack.enter_context(Redis(tmp_path_factory.mktemp("redis")))
        mysql = stack.enter_context(LikeMySQL())
        yield {"PG_PORT": str(postgres.port), "REDIS_PORT": str(redis.port), "MYSQL_PORT": str(mysql.port)}


@pytest.fixture(scope="module")
def traced(servers: dict[str, str], sandbox_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    sandbox = sandbox_in(tmp_path_factory.mktemp("traced"))
    return Run(
        sandbox, ERRTRACK_TRACES_SAMPLE_RATE="1", ERRTRACK_DB_QUERY_SOURCE_THRESHOLD_MS="500", **servers
    )


@pytest.fixture(scope="module")
def untraced(servers: dict[str, str], sandbox_in: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(sandbox_in(tmp_path_factory.mktemp("untraced")), **servers)


GOODS = {
    "sqlite3": [
        "create table goods (name, price)",
        "insert into goods values (?, ?)",
        "select price from goods where name = ?",
        "create table more (a); drop table more;",
        "select * from nowhere",
        "select wait() as waited",
    ],
    "psycopg": [
        "create temp table goods (name text, price int)",
        "insert into goods values (%s, %s)",
        'select price from "goods" where name = %s',
        "select pg_sleep(0.6)",
        "select * from nowhere",
    ],
    "psycopg_async": ["select %s::int + 1"],
    "psycopg2": [
        "create temp table goods (name text, price int)",
        "insert into goods values (%s, %s)",
        "select price from goods where name = %(name)s",
        "select 7 as seven",
        "select * from nowhere",
    ],
    "mysql": [
        "update goods set price = %s",
        "delete from goods where name = %s",
        "select * from nowhere",
    ],
    "sqlalchemy": [
        "create table goods (name, price)",
        "insert into goods values (?, ?)",
        "select count(*) from goods where name = ?",
        "select * from nowhere",
    ],
}


@pytest.mark.parametrize("part", sorted(GOODS))
def test_each_statement_is_one_span(traced: Run, part: str) -> None:
    assert traced.names(part) == GOODS[part]
    for span in traced.spans(part):
        assert span["op"] == "db"
        driver = "pymysql" if part == "mysql" else part.partition("_")[0]
        assert span["origin"] == "auto.db." + driver


@pytest.mark.parametrize("part", ["psycopg", "psycopg_async", "mysql", "sqlalchemy"])
@pytest.mark.parametrize("tracing", [True, False])
def test_each_statement_is_one_breadcrumb(traced: Run, untraced: Run, part: str, tracing: bool) -> None:
    crumbs = (traced if tracing else untraced).crumbs(part)
    assert [crumb["message"] for crumb in crumbs] == GOODS[part]
    many = [crumb for crumb in crumbs if crumb.get("data", {}).get("db.executemany")]
    assert len(many) == sum(name.startswith(("insert", "delete")) for name in GOODS[part])


@pytest.mark.parametrize("part", ["sqlite3", "psycopg2"])
def test_classes_of_c_are_left_alone_without_tracing(untraced: Run, part: str) -> None:
    assert untraced.crumbs(part) == []


def test_without_tracing_the_program_does_the_same(traced: Run, untraced: Run) -> None:
    assert untraced.output == traced.output


def test_failing_statements_fail_as_ever_and_say_so(traced: Run) -> None:
    for part, error in (
        ("sqlite3", "sqlite3 OperationalError"),
        ("psycopg", "psycopg.errors UndefinedTable"),
        ("psycopg2", "psycopg2.errors UndefinedTable"),
        ("asyncpg", "asyncpg.exceptions UndefinedTableError"),
        ("mysql", "pymysql.err ProgrammingError"),
        ("sqlalchemy", "sqlalchemy.exc OperationalError"),
    ):
        with contextlib.suppress(pytest.skip.Exception):
            spans = traced.spans(part)
            assert "%s %s" % (part, error) in traced.output
            assert {s["description"]: s.get("status") for s in spans}[
                "select * from nowhere"
            ] == "internal_error"
            assert [s for s in spans if s.get("status")] == [
                s for s in spans if "nowhere" in s["description"]
            ]


def test_spans_say_where_the_database_is(traced: Run, servers: dict[str, str]) -> None:
    postgres = {
        "db.system": "postgresql", "db.name": "postgres", "server.address": "127.0.0.1",
        "server.port": int(servers["PG_PORT"]),
    }  # fmt: skip
    for part, facts in (
        ("sqlite3", {"db.system": "sqlite", "db.name": "shop.db"}),
        ("psycopg", postgres),
        ("psycopg2", postgres),
        ("asyncpg", postgres),
        ("sqlalchemy", {"db.system": "sqlite", "db.name": "alchemy.db"}),
        ("sqlalchemy_over_psycopg", postgres),
        ("mysql", {
            "db.system": "mysql", "db.name": "shop", "server.address": "127.0.0.1",
            "server.port": int(servers["MYSQL_PORT"]),
        }),
    ):  # fmt: skip
        with contextlib.suppress(pytest.skip.Exception):
            data = traced.spans(part)[0]["data"]
            assert {key: data.get(key) for key in facts} == facts, part


@pytest.mark.parametrize(
    ("part", "slow"), [("sqlite3", "select wait() as waited"), ("psycopg", "select pg_sleep(0.6)")]
)
def test_slow_statements_name_the_line_of_the_application(traced: Run, part: str, slow: str) -> None:
    source = (Path(__file__).parent / "database_parts.py").read_text().splitlines()
    for span in traced.spans(part):
        data = span["data"]
        if span["description"] == slow:
            assert (data["code.filepath"], data["code.function"]) == ("database_parts.py", part)
            assert data["code.namespace"] == "__main__"
            assert slow in source[data["code.lineno"] - 1]
        elif span["timestamp"] - span["start_timestamp"] < 0.4:
            assert not [key for key in data if key.startswith("code.")]


def test_asyncpg_has_spans_also_of_prepared_statements_and_cursors(traced: Run) -> None:
    names = traced.names("asyncpg")
    for name in (
        "create temp table goods (name text, price int)",
        "insert into goods values ($1, $2)",
        "select price from goods where name = $1",
        "select $1::int",
        "select * from nowhere",
    ):
        assert names.count(name) == 1, names
    assert "select price from goods" in names


@pytest.mark.parametrize("part", ["sqlalchemy_over_psycopg", "sqlalchemy_async"])
def test_driver_below_sqlalchemy_says_nothing(traced: Run, part: str) -> None:
    found = [span for span in traced.spans(part) if span["description"] == "select 40 + 2"]
    assert [span["origin"] for span in found] == ["auto.db.sqlalchemy"]
    assert [c["message"] for c in traced.crumbs(part)].count("select 40 + 2") == 1


def test_sqlalchemy_is_told_again_after_an_exit_in_the_middle_of_a_statement(
    traced: Run, untraced: Run
) -> None:
    assert "select 'after'" in traced.names("sqlalchemy_interrupted")
    for run in (traced, untraced):
        messages = [crumb["message"] for crumb in run.crumbs("sqlalchemy_interrupted")]
        assert messages == ["select 'leave'", "select 'after'"]


def test_redis_commands_are_told_without_their_values(
    traced: Run, untraced: Run, servers: dict[str, str]
) -> None:
    expected = [
        "SET 'cart:7' [Filtered]", "GET 'cart:7'", "redis.pipeline.execute", "NOSUCH 'a' [Filtered]", "AUTH [Filtered]",
    ]  # fmt: skip
    spans = [
        span for span in traced.spans("redis") if not span["description"].startswith(("CLIENT", "HELLO"))
    ]
    assert [span["description"] for span in spans] == expected
    for run in (traced, untraced):
        messages = [crumb["message"] for crumb in run.crumbs("redis", "redis")]
        assert [m for m in messages if not m.startswith(("CLIENT", "HELLO"))] == expected
    assert {span["op"] for span in spans} == {"db.redis"}
    first, _, pipeline, unknown, refused = spans
    assert first["data"] == {
        "redis.command": "SET", "db.operation": "SET", "redis.key": "cart:7", "db.system": "redis", "db.name": "1",
        "server.address": "localhost", "server.port": int(servers["REDIS_PORT"]),
    }  # fmt: skip
    assert pipeline["data"]["redis.commands"] == {
        "count": 3, "first_ten": ["INCRBY 'count' [Filtered]", "SET 'cart:8' [Filtered]", "EXPIRE 'cart:8' [Filtered]"],
    }  # fmt: skip
    assert unknown["status"] == refused["status"] == "internal_error"
    assert "hunter" not in json.dumps([traced.events["redis"]["breadcrumbs"], traced.spans("redis")])


def test_async_redis_is_the_same(traced: Run) -> None:
    names = traced.names("redis_async")
    assert [n for n in names if not n.startswith(("CLIENT", "HELLO"))] == [
        "GET 'nothing'",
        "redis.pipeline.execute",
    ]


def test_values_of_redis_are_told_where_personal_data_may_be(servers: dict[str, str], sandbox: Any) -> None:
    code = """
import errtrack, redis
client = redis.Redis(port=%s)
client.set("name", "Ada")
try: client.execute_command("AUTH", "hunter4")
except redis.RedisError: pass
errtrack.capture_message("done")
""" % servers["REDIS_PORT"]
    pytest.importorskip("redis")
    done = sandbox.python(code, ERRTRACK_SEND_DEFAULT_PII="1")
    assert (done.returncode, done.stderr) == (0, "")
    messages = [crumb["message"] for crumb in sandbox.event()["breadcrumbs"]["values"] if "message" in crumb]
    assert "SET 'name' 'Ada'" in messages and "AUTH [Filtered]" in messages


def test_classes_that_connections_are_made_of_are_let_go(sandbox: Any) -> None:
    code = """
import errtrack, gc, sqlite3, weakref
seen = []
def use():
    class Own(sqlite3.Connection):
        pass
    class Rows(sqlite3.Cursor):
        pass
    connection = sqlite3.connect(":memory:", factory=Own)
    connection.cursor(Rows).execute("select 1")
    connection.cursor(Rows).execute("select 2")
    connection.close()
    seen[:] += weakref.ref(Own), weakref.ref(Rows)
errtrack.is_initialized()
with errtrack.start_transaction(name="x", op="test") as transaction:
    use()
    assert len(transaction.spans) == 2
gc.collect()
print([found() for found in seen])
"""
    done = sandbox.python(code, ERRTRACK_TRACES_SAMPLE_RATE="1")
    assert (done.stdout, done.stderr) == ("[None, None]\n", "")
