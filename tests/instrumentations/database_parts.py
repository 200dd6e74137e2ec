"""What test_traces_databases runs under errtrack-run: each driver in a transaction of its own."""

import asyncio
import inspect
import os
import sys

import errtrack

PG, REDIS, MYSQL = (int(os.environ.get(name, "0")) for name in ("PG_PORT", "REDIS_PORT", "MYSQL_PORT"))
DSN = "postgresql://test@127.0.0.1:%d/postgres" % PG
parts = []


def part(function):
    parts.append(function)
    return function


async def told(work):
    """Tell of it inside of the task: what is said there stays there."""
    await work
    errtrack.capture_message(work.__qualname__.partition(".")[0])


def failing(call, *arguments):
    try:
        call(*arguments)
    except Exception as error:
        print(sys._getframe(1).f_code.co_name, type(error).__module__, type(error).__name__, flush=True)


@part
def sqlite3():
    import sqlite3

    class Own(sqlite3.Connection):
        pass

    connection = sqlite3.connect("shop.db", factory=Own)
    assert type(connection).__name__ == "Own" and isinstance(connection, Own)
    connection.create_function("wait", 0, lambda: __import__("time").sleep(0.6))
    with connection:
        connection.execute("create table goods (name, price)")
        connection.executemany("insert into goods values (?, ?)", [("a", 1), ("b", 2)])
    cursor = connection.cursor()
    assert isinstance(cursor, sqlite3.Cursor)
    assert cursor.execute("select price from goods where name = ?", ("b",)).fetchone() == (2,)
    connection.executescript("create table more (a); drop table more;")
    failing(connection.execute, "select * from nowhere")
    connection.row_factory = sqlite3.Row
    assert connection.execute("select wait() as waited").fetchone()["waited"] is None
    connection.close()


@part
def psycopg():
    import psycopg
    from psycopg import sql

    with psycopg.connect(DSN) as connection, connection.cursor() as cursor:
        cursor.execute("create temp table goods (name text, price int)")
        cursor.executemany("insert into goods values (%s, %s)", [("a", 1), ("b", 2)])
        cursor.execute(
            sql.SQL("select price from {} where name = %s").format(sql.Identifier("goods")), ("b",)
        )
        assert cursor.fetchone() == (2,)
        cursor.execute("select pg_sleep(0.6)")
        connection.commit()
        failing(cursor.execute, "select * from nowhere")


@part
def psycopg_async():
    import psycopg

    async def work():
        async with await psycopg.AsyncConnection.connect(DSN) as connection, connection.cursor() as cursor:
            await cursor.execute("select %s::int + 1", (1,))
            assert await cursor.fetchone() == (2,)

    asyncio.run(told(work()))


@part
def psycopg2():
    import psycopg2
    import psycopg2.extras

    connection = psycopg2.connect(DSN, cursor_factory=psycopg2.extras.DictCursor)
    assert isinstance(connection, psycopg2.extensions.connection)
    cursor = connection.cursor()
    assert isinstance(cursor, psycopg2.extras.DictCursor)
    cursor.execute("create temp table goods (name text, price int)")
    cursor.executemany("insert into goods values (%s, %s)", [("a", 1), ("b", 2)])
    cursor.execute("select price from goods where name = %(name)s", {"name": "b"})
    assert cursor.fetchone()["price"] == 2
    with connection.cursor(cursor_factory=psycopg2.extras.NamedTupleCursor) as other:
        other.execute("select 7 as seven")
        assert other.fetchone().seven == 7
    failing(cursor.execute, "select * from nowhere")
    connection.close()


@part
def asyncpg():
    import asyncpg

    async def work():
        pool = await asyncpg.create_pool(DSN, min_size=1, max_size=1)
        async with pool.acquire() as connection:
            await connection.execute("create temp table goods (name text, price int)")
            await connection.executemany("insert into goods values ($1, $2)", [("a", 1), ("b", 2)])
            assert await connection.fetchval("select price from goods where name = $1", "b") == 2
            prepared = await connection.prepare("select $1::int")
            assert await prepared.fetchval(5) == 5
            async with connection.transaction():
                rows = [row["price"] async for row in connection.cursor("select price from goods")]
            assert rows == [1, 2]
            try:
                await connection.fetch("select * from nowhere")
            except asyncpg.PostgresError as error:
                print("asyncpg", type(error).__module__, type(error).__name__, flush=True)
        await pool.close()

    asyncio.run(told(work()))


@part
def mysql():
    import pymysql

    connection = pymysql.connect(host="127.0.0.1", port=MYSQL, user="test", database="shop")
    with connection.cursor() as cursor:
        cursor.execute("update goods set price = %s", (1,))
        cursor.executemany("delete from goods where name = %s", [("a",), ("b",)])
        failing(cursor.execute, "select * from nowhere")
    connection.close()


@part
def sqlalchemy():
    import sqlalchemy as sa

    engine = sa.create_engine("sqlite:///alchemy.db")
    with engine.connect() as connection:
        connection.execute(sa.text("create table goods (name, price)"))
        connection.execute(
            sa.text("insert into goods values (:name, :price)"), [{"name": "a", "price": 1}] * 2
        )
        assert (
            connection.execute(sa.text("select count(*) from goods where name = :n"), {"n": "a"}).scalar()
            == 2
        )
        failing(connection.execute, sa.text("select * from nowhere"))


@part
def sqlalchemy_interrupted():
    import sqlite3

    import sqlalchemy as sa

    class Exit(BaseException):
        pass

    def leave():
        raise Exit

    class Cursor(sqlite3.Cursor):
        def execute(self, *arguments):
            if "leave" in arguments[0]:
                leave()
            return super().execute(*arguments)

    class Connection(sqlite3.Connection):
        def cursor(self, factory=Cursor):
            return super().cursor(factory)

    engine = sa.create_engine("sqlite://", connect_args={"factory": Connection})
    with engine.connect() as connection:
        try:
            connection.execute(sa.text("select 'leave'"))
        except Exit:
            pass
    with engine.connect() as connection:
        connection.execute(sa.text("select 'after'"))


@part
def sqlalchemy_over_psycopg():
    import psycopg  # noqa: F401
    import sqlalchemy as sa

    engine = sa.create_engine(DSN.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        assert connection.execute(sa.text("select 40 + 2")).scalar() == 42
    engine.dispose()


@part
def sqlalchemy_async():
    import asyncpg  # noqa: F401
    import greenlet  # noqa: F401
    import sqlalchemy as sa
    from sqlalchemy.ext.asyncio import create_async_engine

    async def work():
        engine = create_async_engine(DSN.replace("postgresql:", "postgresql+asyncpg:"))
        async with engine.connect() as connection:
            assert (await connection.execute(sa.text("select 40 + 2"))).scalar() == 42
        await engine.dispose()

    asyncio.run(told(work()))


@part
def redis():
    import redis

    client = redis.Redis(port=REDIS, db=1)
    client.set("cart:7", "hunter2")
    assert client.get("cart:7") == b"hunter2"
    with client.pipeline() as pipeline:
        pipeline.incr("count").set("cart:8", "hunter3").expire("cart:8", 5)
        assert pipeline.execute()[0] >= 1
    failing(client.execute_command, "NOSUCH", "a", "b")
    failing(client.execute_command, "AUTH", "hunter4")
    client.close()


@part
def redis_async():
    import redis.asyncio

    async def work():
        client = redis.asyncio.Redis(port=REDIS)
        assert await client.get("nothing") is None
        async with client.pipeline() as pipeline:
            await pipeline.set("a", 1).get("a").execute()
        await (client.aclose if hasattr(client, "aclose") else client.close)()

    asyncio.run(told(work()))


for function in parts:
    with errtrack.isolation_scope():
        try:
            with errtrack.start_transaction(name=function.__name__, op="test"):
                function()
        except ImportError as error:
            print("missing", function.__name__, error, flush=True)
        if not inspect.getsource(function).count("asyncio.run"):
            errtrack.capture_message(function.__name__)
