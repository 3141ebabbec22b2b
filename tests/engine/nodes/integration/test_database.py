"""The database node on PostgreSQL, MariaDB and SQLite."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiomysql
import asyncpg
import pytest
import pytest_asyncio

from engine.activities.clients.databases import Databases
from engine.activities.clients.sql.engines import Engines
from engine.errors import NodeError
from engine.nodes.outbound.addresses import HttpPolicy
from engine.nodes.storage.local import LocalFiles
from tests.engine.nodes.integration.sql_lab import Sql, connection, cutting, opened, started_mariadb, started_postgres
from tests.engine.nodes.running import codes, node_type
from tests.models.server import PostgresServer
from tests.servers.mariadb import MariadbServer

KINDS = ["postgresql", "mysql", "sqlite"]
SERVERS = ["postgresql", "mysql"]
ITEMS = "CREATE TABLE items (id INTEGER PRIMARY KEY, name VARCHAR(400), price NUMERIC(12, 2))"


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with started_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariadbServer]:
    with started_mariadb() as server:
        yield server


@pytest_asyncio.fixture
async def sql(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Sql]:
    async with opened(tmp_path) as client:
        if kind == "sqlite":
            (tmp_path / "acme/data").mkdir(parents=True)
            (tmp_path / "acme/data/x.db").touch()
            yield Sql(kind, client, file="data/x.db")
        elif kind == "postgresql":
            server: PostgresServer = request.getfixturevalue("postgres")
            admin = await asyncpg.connect(server.url("postgres", "postgres"))
            await admin.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            await admin.close()
            yield Sql(kind, client, connection(server.url("postgres", "postgres") + "?sslmode=disable"))
        else:
            mysql: MariadbServer = request.getfixturevalue("mariadb")
            other = await mysql.connect()
            await other.query("DROP DATABASE shop")
            await other.query("CREATE DATABASE shop CHARACTER SET utf8mb4")
            other.close()
            yield Sql(kind, client, connection(mysql.url))


def on(*kinds: str) -> Any:
    return pytest.mark.parametrize("kind", kinds)


# ---- reading and changing


@on(*KINDS)
async def test_rows_go_in_and_come_back(sql: Sql) -> None:
    await sql.execute(ITEMS)
    made = await sql.execute("INSERT INTO items VALUES (:id, :name, :price)", {"id": 1, "name": "tea", "price": "2.50"})
    assert made["row_count"] == 1
    output = await sql.node("SELECT name, id FROM items WHERE name = :n", {"n": "tea", "unused": 1})
    assert output == {
        "rows": [{"name": "tea", "id": 1}], "columns": ["name", "id"], "row_count": 1, "last_id": None,
        "truncated": False,
    }  # fmt: skip
    assert (await sql.execute("UPDATE items SET price = 3 WHERE id > :i", {"i": 0}))["row_count"] == 1


@on(*KINDS)
async def test_decimals_are_exact_or_numbers_on_request(sql: Sql) -> None:
    await sql.execute(ITEMS)
    await sql.execute("INSERT INTO items VALUES (1, 'tea', :p)", {"p": "1234567890.12"})
    if sql.kind != "sqlite":  # SQLite has no decimals: it keeps a float
        assert await sql.rows("SELECT price FROM items") == [{"price": "1234567890.12"}]
    assert await sql.rows("SELECT price FROM items", decimals="number") == [{"price": 1234567890.12}]


@on(*KINDS)
async def test_list_stands_for_its_members(sql: Sql) -> None:
    await sql.execute(ITEMS)
    sets = [{"i": number, "n": f"n{number}"} for number in range(5)]
    await sql.node("INSERT INTO items (id, name) VALUES (:i, :n)", sets, operation="batch")
    query = "SELECT id FROM items WHERE id IN (:ids) ORDER BY id"
    assert await sql.rows(query, {"ids": [3, 1, 9]}) == [{"id": 1}, {"id": 3}]
    assert await sql.rows(query, {"ids": []}) == []
    assert len(await sql.rows("SELECT id FROM items WHERE name NOT IN (:names)", {"names": []})) == 5
    assert len(await sql.rows("SELECT id FROM items WHERE name NOT IN (:names)", {"names": ["n1"]})) == 4


@on(*KINDS)
async def test_batch_is_all_or_nothing(sql: Sql) -> None:
    await sql.execute(ITEMS)
    insert = "INSERT INTO items (id, name) VALUES (:id, :name)"
    rows = [{"id": number % 99, "name": "x"} for number in range(100)]
    error = await sql.failure(insert, rows, operation="batch")
    assert (error.code, error.retryable, error.details["cause"]) == ("EXTERNAL_ERROR", False, "constraint")
    assert await sql.rows("SELECT count(*) AS n FROM items") == [{"n": 0}]
    output = await sql.node(insert, rows[:99], operation="batch")
    assert output["row_count"] in ((None,) if sql.kind == "postgresql" else (99,))
    assert await sql.rows("SELECT count(*) AS n FROM items") == [{"n": 99}]
    assert (await sql.node(insert, [], operation="batch"))["row_count"] == 0


@on(*KINDS)
async def test_transaction_is_all_or_nothing(sql: Sql) -> None:
    await sql.execute(ITEMS)
    first = {"query": "INSERT INTO items (id, name) VALUES (:id, 'a')", "parameters": {"id": 1}}
    again = {"query": "INSERT INTO items (id, name) VALUES (1, 'b')"}
    error = await sql.failure(operation="transaction", statements=[first, again])
    assert (error.details["cause"], error.details["statement"]) == ("constraint", 1)
    assert await sql.rows("SELECT id FROM items") == []
    output = await sql.node(operation="transaction", statements=[first, {"query": "SELECT id FROM items"}])
    assert [result["row_count"] for result in output["results"]] == [1, 1]
    assert (output["rows"], output["row_count"]) == ([{"id": 1}], 2)


@on("postgresql", "sqlite")
async def test_returning_gives_the_rows_that_were_written(sql: Sql) -> None:
    await sql.execute(ITEMS)
    query = "INSERT INTO items (id, name) VALUES (1, 'a'), (2, 'b') RETURNING id"
    assert (await sql.execute(query))["rows"] == [{"id": 1}, {"id": 2}]
    assert len(await sql.rows("SELECT id FROM items")) == 2


@on("postgresql")
async def test_change_inside_a_with_is_carried_out_once(sql: Sql) -> None:
    await sql.execute(ITEMS)
    output = await sql.execute("WITH x AS (SELECT 7 AS id) INSERT INTO items (id, name) SELECT id, 'w' FROM x")
    assert output["row_count"] == 1
    moved = await sql.execute("WITH gone AS (DELETE FROM items RETURNING id) SELECT count(*) AS n FROM gone")
    assert moved["rows"] == [{"n": 1}]
    assert await sql.rows("SELECT id FROM items") == []


@on("mysql", "sqlite")
async def test_key_made_for_a_row_is_given(sql: Sql) -> None:
    auto = "INTEGER PRIMARY KEY AUTO_INCREMENT" if sql.kind == "mysql" else "INTEGER PRIMARY KEY"
    await sql.execute(f"CREATE TABLE t (id {auto}, a TEXT)")
    await sql.execute("INSERT INTO t (a) VALUES ('x')")
    assert (await sql.execute("INSERT INTO t (a) VALUES ('y')"))["last_id"] == 2


@on(*KINDS)
async def test_columns_of_one_name_are_told_apart(sql: Sql) -> None:
    output = await sql.node("SELECT 1 AS id, 2 AS id, 3 AS id_2, 4 AS id")
    assert output["rows"] == [{"id": 1, "id_3": 2, "id_2": 3, "id_4": 4}]


# ---- values


@on("postgresql")
@pytest.mark.parametrize(
    ("sent", "column", "back"),
    [
        (7, "integer", 7), ("7", "bigint", 7), (2**70, "numeric", str(2**70)), ("1.10", "numeric(9,3)", "1.100"),
        ("NaN", "numeric", "NaN"), ("NaN", "float8", "NaN"), ("-Infinity", "float8", "-Infinity"), (0.1, "float8", 0.1),
        (True, "boolean", True), ("2024-02-29", "date", "2024-02-29"), ("12:30", "time", "12:30:00"),
        ("2024-02-29T12:00:00+02:00", "timestamptz", "2024-02-29T10:00:00+00:00"),
        ("2024-02-29 12:00:00.25", "timestamp", "2024-02-29T12:00:00.25"), ("infinity", "timestamptz", "infinity"),
        ("P1DT2H", "interval", "P1DT2H"), ("grüße\n", "text", "grüße\n"),
        ({"base64": "AAEC"}, "bytea", {"base64": "AAEC"}),
        ({"a": [1, {"b": None}]}, "jsonb", {"a": [1, {"b": None}]}), ([1, "x"], "json", [1, "x"]), ("t", "jsonb", "t"),
        ([1, 2], "integer[]", [1, 2]), (["a,b", 'c"d', None], "text[]", ["a,b", 'c"d', None]),
        (["2024-02-29"], "date[]", ["2024-02-29"]), ([[1], [2]], "int[]", [[1], [2]]),
        ("00000000-0000-0000-0000-00000000000a", "uuid", "00000000-0000-0000-0000-00000000000a"),
        ("10.0.0.0/8", "cidr", "10.0.0.0/8"), (None, "text", None), ("101", "text", "101"),
    ],
)  # fmt: skip
async def test_types_of_postgresql(sql: Sql, sent: Any, column: str, back: Any) -> None:
    assert await sql.rows(f"SELECT CAST(:v AS {column}) AS v", {"v": sent}) == [{"v": back}]


@on("mysql")
@pytest.mark.parametrize(
    ("sent", "column", "back"),
    [
        (7, "SIGNED", 7), ("1.10", "DECIMAL(9,3)", "1.100"), ("2024-02-29", "DATE", "2024-02-29"),
        ("2024-02-29T12:00:00", "DATETIME", "2024-02-29T12:00:00"), ("25:00:00", "TIME", "25:00:00"),
        ("grüße 💡 %s", "CHAR", "grüße 💡 %s"), ({"base64": "AAEC"}, "BINARY(3)", {"base64": "AAEC"}),
        ({"a": "it's"}, "CHAR", '{"a":"it\'s"}'), ([1, "x"], "CHAR", '[1,"x"]'), (True, "SIGNED", 1),
        (None, "CHAR", None),
    ],
)  # fmt: skip
async def test_types_of_mariadb(sql: Sql, sent: Any, column: str, back: Any) -> None:
    assert await sql.rows(f"SELECT CAST(:v AS {column}) AS v", {"v": sent}) == [{"v": back}]


@on("sqlite")
@pytest.mark.parametrize(
    ("sent", "back"),
    [(7, 7), (0.5, 0.5), ("x", "x"), (None, None), (True, 1), ({"base64": "AAEC"}, {"base64": "AAEC"}), ([1], "[1]")],
)
async def test_types_of_sqlite(sql: Sql, sent: Any, back: Any) -> None:
    await sql.execute("CREATE TABLE t (v)")
    await sql.execute("INSERT INTO t VALUES (:v)", {"v": sent})
    assert await sql.rows("SELECT v FROM t") == [{"v": back}]


# ---- injection

PAYLOADS = [
    "'", "''", '"', "`", "\\", "\\'", "\\\\'", "' OR '1'='1", "' OR 1=1 -- ", "' OR 1=1 #", "'; DROP TABLE items; --",
    "\\'; DROP TABLE items; -- ", "1; DELETE FROM items", "') ; DELETE FROM items; --", "x' UNION SELECT 1, name, 3 --",
    '" OR ""="', "'/*", "*/ OR 1=1 /*", "%s", "%(name)s", "%%", ":name", "::text", "$1", "?", "{{ vars }}",
    "${7*7}", "\u00bf\u0027 OR 1=1", "\u02b9 OR 1=1", "\uff07 OR 1=1", "a\tb\nc\r\nd", "\x1a", "\\x27", "0x27",
    "CHAR(39)",
    "' || (SELECT name FROM items) || '", "'||pg_sleep(5)||'", "' AND SLEEP(5) AND '", "E'\\''",
    "$$; DROP TABLE items; $$",
    "<script>", "'; COPY items TO PROGRAM 'id'; --", "'; ATTACH DATABASE '/tmp/x' AS x; --", "\u2028'", "😀'",
]  # fmt: skip


@on(*KINDS)
async def test_no_payload_is_more_than_a_value(sql: Sql) -> None:
    await sql.execute(ITEMS)
    await sql.execute("INSERT INTO items (id, name) VALUES (0, 'secret')")
    for number, payload in enumerate(PAYLOADS, 1):
        await sql.execute("INSERT INTO items (id, name) VALUES (:i, :n)", {"i": number, "n": payload})
        found = await sql.rows("SELECT id, name FROM items WHERE name = :n", {"n": payload})
        assert {"id": number, "name": payload} in found
        assert all(row["name"].strip() == payload.strip() for row in found), payload
    assert await sql.rows("SELECT id FROM items WHERE name IN (:l) AND id = 0", {"l": PAYLOADS}) == []
    batch = [{"i": 100 + number, "n": payload} for number, payload in enumerate(PAYLOADS)]
    await sql.node("INSERT INTO items (id, name) VALUES (:i, :n)", batch, operation="batch")
    stored = await sql.rows("SELECT name FROM items WHERE id >= 100 ORDER BY id")
    assert [row["name"] for row in stored] == PAYLOADS
    assert len(await sql.rows("SELECT id FROM items")) == 1 + 2 * len(PAYLOADS)


@on("mysql")
async def test_no_payload_escapes_where_backslashes_are_plain(sql: Sql) -> None:
    await sql.execute(ITEMS)
    for number, payload in enumerate(PAYLOADS):
        set_mode = {"query": "SET sql_mode = 'NO_BACKSLASH_ESCAPES'"}
        insert = {"query": "INSERT INTO items (id, name) VALUES (:i, :n)", "parameters": {"i": number, "n": payload}}
        await sql.node(operation="transaction", statements=[set_mode, insert])
    assert [row["name"] for row in await sql.rows("SELECT name FROM items ORDER BY id")] == PAYLOADS


@on(*KINDS)
async def test_keys_of_parameters_are_no_sql(sql: Sql) -> None:
    await sql.execute(ITEMS)
    odd = {"n": {"a'; DROP TABLE items; --": 1}, "x' OR 1=1": 2}
    column = "CAST(:n AS jsonb)::text" if sql.kind == "postgresql" else ":n"
    await sql.execute(f"INSERT INTO items (id, name) VALUES (1, {column})", odd)
    assert "DROP TABLE" in (await sql.rows("SELECT name FROM items"))[0]["name"]


# ---- read only


@on(*KINDS)
@pytest.mark.parametrize(
    "query",
    [
        "WITH x AS (SELECT 1) INSERT INTO items (id) SELECT 5",
        "EXPLAIN ANALYZE INSERT INTO items (id) VALUES (5)",
        "SELECT bump()",
        "PRAGMA user_version = 5",
    ],
)
async def test_database_itself_refuses_to_write_in_a_query(
    sql: Sql, query: str, request: pytest.FixtureRequest
) -> None:
    await sql.execute(ITEMS)
    if query == "SELECT bump()" and sql.kind == "postgresql":
        body = "'INSERT INTO items (id) VALUES (5) RETURNING id'"
        await sql.execute(f"CREATE FUNCTION bump() RETURNS int LANGUAGE sql AS {body}")
    elif query == "SELECT bump()" and sql.kind == "mysql":
        other = await request.getfixturevalue("mariadb").connect()
        await other.query("CREATE FUNCTION bump() RETURNS INT BEGIN INSERT INTO items (id) VALUES (5); RETURN 5; END")
        other.close()
    error = await sql.failure(query)
    assert error.code in ("INVALID_CONFIG", "EXTERNAL_ERROR", "ACCESS_DENIED")
    assert not error.retryable
    assert await sql.rows("SELECT id FROM items") == []


@on(*KINDS)
async def test_read_only_node_writes_nothing(sql: Sql) -> None:
    await sql.execute(ITEMS)
    changes = ["INSERT INTO items (id) VALUES (1)", "DROP TABLE items", "SET TRANSACTION READ WRITE", "COMMIT"]
    for change in changes:
        assert codes("database", {"query": change}) != []
        with pytest.raises(AssertionError):  # the document is not valid
            await sql.execute(change, read_only=True)
    assert await sql.rows("SELECT id FROM items") == []


@on(*SERVERS)
async def test_server_refuses_what_the_node_would_let_pass(sql: Sql) -> None:
    await sql.execute(ITEMS)
    target = "WITH x AS (DELETE FROM items RETURNING id) SELECT id FROM x"
    query = target if sql.kind == "postgresql" else "SELECT id FROM items FOR UPDATE"
    if sql.kind == "postgresql":
        error = await sql.failure(query)
        assert (error.code, error.details["cause"]) == ("INVALID_CONFIG", "read_only")
        assert "use execute" in error.message


# ---- limits


@on(*KINDS)
async def test_result_over_the_cap_fails_or_is_cut(sql: Sql) -> None:
    await sql.execute(ITEMS)
    rows = [{"id": number, "name": "x" * 100} for number in range(900)]
    await sql.node("INSERT INTO items (id, name) VALUES (:id, :name)", rows, operation="batch")
    query = "SELECT id, name FROM items ORDER BY id"
    error = await sql.failure(query, max_rows=899)
    assert (error.code, error.retryable) == ("OUTPUT_TOO_LARGE", False)
    cut = await sql.node(query, max_rows=250, on_excess="truncate")
    assert (len(cut["rows"]), cut["truncated"], cut["rows"][-1]["id"]) == (250, True, 249)
    assert (await sql.node(query, max_rows=900))["truncated"] is False
    assert (await sql.failure(query, max_bytes=10_000)).details["max_bytes"] == 10_000
    assert (await sql.node(query, max_bytes=10_000, on_excess="truncate"))["truncated"] is True


ENDLESS = {
    "postgresql": "SELECT generate_series(1, 1000000000) AS n",
    "mysql": "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 2000000) SELECT a.n FROM c a",
    "sqlite": "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c",
}


@on("postgresql", "sqlite")
async def test_rows_are_not_read_past_the_cap(sql: Sql) -> None:
    started = time.monotonic()
    output = await sql.node(ENDLESS[sql.kind], max_rows=1000, on_excess="truncate")
    assert len(output["rows"]) == 1000
    assert time.monotonic() - started < 20


SLEEP = {
    "postgresql": "SELECT pg_sleep(30)",
    "mysql": "SELECT SLEEP(30) /* marked */",
    "sqlite": "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT max(n) FROM c",
}


async def running(sql: Sql, request: pytest.FixtureRequest) -> int:
    """Statements that sleep on the server, seen from outside."""
    if sql.kind == "postgresql":
        admin = await asyncpg.connect(request.getfixturevalue("postgres").url("postgres", "postgres"))
        text = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30%' AND state = 'active'"
        count = int(await admin.fetchval(text + " AND pid <> pg_backend_pid()"))
        await admin.close()
        return count
    other = await request.getfixturevalue("mariadb").connect()
    async with other.cursor() as cursor:
        await cursor.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%SLEEP(30)%marked%'")
        ((count,),) = await cursor.fetchall()
    other.close()
    return int(count) - 1  # this very question


async def seen(sql: Sql, request: pytest.FixtureRequest, count: int) -> None:
    """Wait until so many statements sleep on the server, which tells nobody by itself."""
    for _ in range(1000):
        if await running(sql, request) == count:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"never {count} statements")


@on(*KINDS)
async def test_timeout_ends_the_statement(sql: Sql, request: pytest.FixtureRequest) -> None:
    started = time.monotonic()
    error = await sql.failure(SLEEP[sql.kind], timeout="1s")
    assert (error.code, error.retryable) == ("TIMEOUT", True)
    assert 0.5 < time.monotonic() - started < 15  # the statement would have taken 30 s
    if sql.kind != "sqlite":
        assert await running(sql, request) == 0
    assert await sql.rows("SELECT 1 AS one") == [{"one": 1}]


@on(*KINDS)
async def test_cancelled_node_ends_the_statement(sql: Sql, request: pytest.FixtureRequest) -> None:
    task = asyncio.create_task(sql.node(SLEEP[sql.kind]))
    if sql.kind == "sqlite":
        await asyncio.sleep(0.3)  # nothing outside shows that it runs
    else:
        await seen(sql, request, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 20)
    if sql.kind != "sqlite":
        await seen(sql, request, 0)
    assert await sql.rows("SELECT 1 AS one") == [{"one": 1}]


@on("postgresql")
async def test_attempt_that_is_short_bounds_the_statement(sql: Sql) -> None:
    error = await sql.failure("SELECT pg_sleep(30)", deadline_s=1.0)
    assert error.code == "TIMEOUT"


# ---- faults


@on(*KINDS)
async def test_violated_constraint_is_named_without_its_values(sql: Sql) -> None:
    columns = "id INTEGER PRIMARY KEY, mail VARCHAR(100), CONSTRAINT one_mail UNIQUE (mail)"
    await sql.execute(f"CREATE TABLE people ({columns})")
    insert = "INSERT INTO people VALUES (:id, :mail)"
    await sql.execute(insert, {"id": 1, "mail": "ada-canary@shop.example"})
    error = await sql.failure(insert, {"id": 2, "mail": "ada-canary@shop.example"}, operation="execute")
    assert (error.code, error.retryable, error.details["cause"]) == ("EXTERNAL_ERROR", False, "constraint")
    assert error.details["constraint"] == ("people.mail" if sql.kind == "sqlite" else "one_mail")
    assert "canary" not in str(error.as_dict())


@on(*KINDS)
async def test_error_shows_no_value(sql: Sql) -> None:
    await sql.execute(ITEMS)
    cast = {
        "postgresql": "SELECT CAST(CAST(:v AS text) AS integer)",
        "mysql": "SELECT nothing(:v)",
        "sqlite": "SELECT nothing(:v)",
    }
    for query in (cast[sql.kind], "SELECT FROM WHERE name = :v", "SELECT missing FROM items WHERE name = :v"):
        error = await sql.failure(query, {"v": "canary-4711"})
        assert error.code == "EXTERNAL_ERROR"
        assert "canary" not in str(error.as_dict()), query
        assert not error.retryable


@on("postgresql")
async def test_value_that_does_not_fit_is_named_by_its_place(sql: Sql) -> None:
    await sql.execute(ITEMS)
    for value in ("canary", ["canary"], {"canary": 1}):
        error = await sql.failure("SELECT id FROM items WHERE id = :v", {"v": value})
        assert error.code in ("INVALID_CONFIG", "EXTERNAL_ERROR")
        assert "canary" not in str(error.as_dict())
    too_large = await sql.failure("SELECT id FROM items WHERE id = :v", {"v": 2**40})
    assert too_large.code == "EXTERNAL_ERROR"


@on("sqlite")
async def test_number_beyond_64_bits_does_not_fit_sqlite(sql: Sql) -> None:
    assert (await sql.failure("SELECT :v", {"v": 2**70})).code == "INVALID_CONFIG"


@on(*SERVERS)
async def test_deadlock_is_worth_another_attempt(sql: Sql) -> None:
    await sql.execute(ITEMS)
    await sql.execute("INSERT INTO items (id, name) VALUES (1, 'a'), (2, 'b')")
    pause = "SELECT pg_sleep(0.3)" if sql.kind == "postgresql" else "SELECT SLEEP(0.3)"

    def crossing(first: int, second: int) -> list[dict[str, Any]]:
        update = "UPDATE items SET name = 'x' WHERE id = :i"
        return [
            {"query": update, "parameters": {"i": first}}, {"query": pause},
            {"query": update, "parameters": {"i": second}},
        ]  # fmt: skip

    both = [sql.node(operation="transaction", statements=crossing(*order)) for order in ((1, 2), (2, 1))]
    ended = await asyncio.gather(*both, return_exceptions=True)
    (error,) = [outcome for outcome in ended if isinstance(outcome, Exception)]
    assert (error.code, error.retryable, error.details["cause"]) == ("EXTERNAL_ERROR", True, "conflict")  # type: ignore[attr-defined]


@on("sqlite")
async def test_busy_file_is_worth_another_attempt(sql: Sql) -> None:
    await sql.execute("CREATE TABLE t (a)")
    endless = "INSERT INTO t " + SLEEP["sqlite"]
    holding = asyncio.create_task(sql.execute(endless, timeout="3s"))
    await asyncio.sleep(0.3)
    error = await sql.failure("INSERT INTO t VALUES (1)", operation="execute", timeout="500ms")
    assert (error.code, error.retryable) in (("EXTERNAL_ERROR", True), ("TIMEOUT", True))
    holding.cancel()
    await asyncio.wait([holding])


@on(*SERVERS)
async def test_wrong_password_is_denied(sql: Sql) -> None:
    assert sql.credential is not None
    url = sql.credential.get("url", "")
    for password in (":super-password", ":root-password"):
        url = url.replace(password, ":wr0ng-canary")
    sql.credential = connection(url)
    error = await sql.failure("SELECT 1")
    assert (error.code, error.retryable, error.details["cause"]) == ("ACCESS_DENIED", False, "authentication")
    assert "canary" not in str(error.as_dict())


@on(*SERVERS)
async def test_server_that_is_not_there_is_worth_another_attempt(sql: Sql) -> None:
    scheme = "postgresql" if sql.kind == "postgresql" else "mysql"
    sql.credential = connection(f"{scheme}://u:canary-pw@127.0.0.1:9/x")
    error = await sql.failure("SELECT 1")
    assert (error.code, error.retryable, error.details["cause"]) == ("EXTERNAL_ERROR", True, "connection")
    assert "canary" not in str(error.as_dict())


def through(sql: Sql, port: int, server: int) -> None:
    assert sql.credential is not None
    sql.credential = connection(sql.credential.get("url", "").replace(f":{server}/", f":{port}/"))


@on(*SERVERS)
@pytest.mark.parametrize(
    ("word", "idempotent", "expected"),
    [
        (b"COMMIT", False, ("OUTCOME_UNKNOWN", False)),
        (b"COMMIT", True, ("OUTCOME_UNKNOWN", True)),
        (b"INSERT", False, ("EXTERNAL_ERROR", True)),
    ],
)
async def test_line_that_breaks_leaves_the_outcome_unknown_only_in_the_commit(
    sql: Sql, request: pytest.FixtureRequest, word: bytes, idempotent: bool, expected: tuple[str, bool]
) -> None:
    await sql.execute(ITEMS)
    server = request.getfixturevalue("postgres" if sql.kind == "postgresql" else "mariadb").port
    # MariaDB's driver says SET AUTOCOMMIT too; 3 is the command that holds a statement.
    said = b"\x03" + word if sql.kind == "mysql" else word
    async with cutting(server, said) as port:
        through(sql, port, server)
        insert = "INSERT INTO items (id) VALUES (1)"
        error = await sql.failure(insert, operation="execute", idempotent=idempotent)
    assert (error.code, error.retryable) == expected


@on("mysql")
async def test_statement_that_commits_by_itself_leaves_the_outcome_unknown(sql: Sql, mariadb: MariadbServer) -> None:
    async with cutting(mariadb.port, b"CREATE") as port:
        through(sql, port, mariadb.port)
        assert (await sql.failure(ITEMS, operation="execute")).code == "OUTCOME_UNKNOWN"


# ---- sessions


@on("postgresql")
async def test_nothing_of_a_session_reaches_the_next_node_on_postgresql(sql: Sql) -> None:
    await sql.execute("SET search_path = nowhere")
    await sql.execute("CREATE TEMPORARY TABLE left_over (a int)")
    await sql.node("SELECT pg_advisory_lock(5), set_config('TimeZone', 'Asia/Tokyo', false)")
    assert await sql.rows("SELECT current_setting('search_path') AS p") == [{"p": '"$user", public'}]
    assert await sql.rows("SELECT current_setting('TimeZone') AS z") == [{"z": "UTC"}]
    assert await sql.rows("SELECT to_regclass('left_over')::text AS t") == [{"t": None}]
    assert await sql.rows("SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory'") == [{"n": 0}]


@on("mysql")
async def test_nothing_of_a_session_reaches_the_next_node_on_mariadb(sql: Sql) -> None:
    await sql.execute("SET @left = 5")
    await sql.execute("SET NAMES latin1")
    await sql.execute("CREATE TEMPORARY TABLE left_over (a int)")
    assert await sql.rows("SELECT @left AS l, @@character_set_client AS c") == [{"l": None, "c": "utf8mb4"}]
    assert (await sql.failure("SELECT * FROM left_over")).code == "EXTERNAL_ERROR"


@on("postgresql")
async def test_dead_connection_is_replaced_without_a_failure(sql: Sql, postgres: PostgresServer) -> None:
    from engine.activities.clients.sql import engines

    assert await sql.rows("SELECT 1 AS one") == [{"one": 1}]
    admin = await asyncpg.connect(postgres.url("postgres", "postgres"))
    await admin.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'structforge'")
    await admin.close()
    await asyncio.sleep(engines.PING_AFTER_S + 0.1)
    assert await sql.rows("SELECT 1 AS one") == [{"one": 1}]


@on(*SERVERS)
async def test_connections_are_bounded_and_shared(sql: Sql, request: pytest.FixtureRequest) -> None:
    pause = "SELECT pg_sleep(0.05)" if sql.kind == "postgresql" else "SELECT SLEEP(0.05)"
    outputs = await asyncio.gather(*(sql.node(pause) for _ in range(20)))
    assert len(outputs) == 20
    question = (
        "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'structforge'"
        if sql.kind == "postgresql"
        else "SELECT COUNT(*) AS n FROM information_schema.processlist WHERE user = 'root'"
    )
    assert (await sql.rows(question))[0]["n"] <= 5


@on("postgresql")
async def test_pools_are_few_and_closed_when_nobody_asks(sql: Sql, tmp_path: Path) -> None:
    engines = Engines(most=2, idle_s=0.2)
    async with Databases(tmp_path, HttpPolicy(), engines=engines) as client:
        sql.client = client
        assert sql.credential is not None
        url = sql.credential.get("url", "")
        for name in ("postgres", "template1", "postgres", "template1"):
            sql.credential = connection(url.replace("/postgres?", f"/{name}?"))
            assert await sql.rows("SELECT current_database()::text AS d") == [{"d": name}]
            assert len(engines) <= 2
        for _ in range(100):
            if len(engines) == 0:
                break
            await asyncio.sleep(0.02)
        assert len(engines) == 0


# ---- where it may connect to


@on(*SERVERS)
async def test_credential_of_a_tenant_reaches_no_internal_address(sql: Sql) -> None:
    assert sql.credential is not None
    sql.credential["trusted"] = False
    assert (await sql.failure("SELECT 1")).code == "BLOCKED_ADDRESS"
    del sql.credential["trusted"]
    assert (await sql.failure("SELECT 1")).code == "BLOCKED_ADDRESS"


@on(*SERVERS)
async def test_credential_is_bound_to_its_hosts(sql: Sql) -> None:
    assert sql.credential is not None
    sql.credential["allowed_hosts"] = ["db.example"]
    assert (await sql.failure("SELECT 1")).code == "ACCESS_DENIED"


@on("sqlite")
@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://u:p@db.example/x?host=127.0.0.1", "not understood: host"),
        ("postgresql://u:p@db.example/x?passfile=/etc/passwd", "not understood: passfile"),
        ("mysql://u:p@db.example/x?read_default_file=/etc/passwd", "not understood: read_default_file"),
        ("mysql://u:p@db.example/x?sslmode=prefer", "sslmode"),
        ("postgresql://u:p@/x", "names no host"),
        ("postgresql://db.example/x", "names no user"),
        ("oracle://u:p@db.example/x", "must begin with"),
        ("no url", "no URL of a database"),
        ("sqlite:///../x.db", "refused"),
        ("sqlite:///x.db?mode=memory", "a path alone"),
    ],
)
async def test_url_that_is_not_plain_is_refused(sql: Sql, url: str, says: str) -> None:
    sql.credential, sql.file = connection(url), None
    error = await sql.failure("SELECT 1")
    assert error.code == "INVALID_CONFIG"
    assert says in error.message


@on("sqlite")
async def test_node_needs_one_database(sql: Sql) -> None:
    sql.credential = connection("sqlite:///x.db")
    assert "not both" in (await sql.failure("SELECT 1")).message
    sql.credential, sql.file = None, None
    assert "needs a credential" in (await sql.failure("SELECT 1")).message
    sql.credential = {"type": "bearer", "token": "t"}
    assert "opens no database" in (await sql.failure("SELECT 1")).message


@on("mysql")
async def test_certificate_of_mariadb_is_checked(sql: Sql, mariadb: MariadbServer) -> None:
    full = mariadb.url.replace("127.0.0.1", "localhost") + f"?sslmode=verify-full&sslrootcert={mariadb.ca_file}"
    sql.credential = connection(full)
    shown = await sql.rows("SHOW STATUS LIKE 'Ssl_cipher'")
    assert shown[0]["Value"] != ""
    sql.credential = connection(full.replace("localhost", "127.0.0.1"))
    error = await sql.failure("SELECT 1")
    assert (error.code, error.retryable, error.details["cause"]) == ("EXTERNAL_ERROR", False, "certificate")
    sql.credential = connection(mariadb.url + "?sslmode=verify-full")
    assert (await sql.failure("SELECT 1")).details["cause"] == "certificate"


@on("postgresql")
async def test_server_without_tls_is_not_talked_to_in_clear_text(sql: Sql, postgres: PostgresServer) -> None:
    sql.credential = connection(postgres.url("postgres", "postgres") + "?sslmode=require")
    assert (await sql.failure("SELECT 1")).code == "EXTERNAL_ERROR"


@on("mysql")
async def test_no_file_of_the_worker_is_sent(sql: Sql) -> None:
    await sql.execute(ITEMS)
    error = await sql.failure("LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE items (name)", operation="execute")
    assert error.code == "EXTERNAL_ERROR"
    assert await sql.rows("SELECT id FROM items") == []


@on("mysql")
async def test_driver_itself_sends_no_second_statement(sql: Sql, mariadb: MariadbServer) -> None:
    from engine.activities.clients.sql import mysql

    driver = await mysql.connect(host="127.0.0.1", port=mariadb.port, user="root", password="root-password", db="shop")
    with pytest.raises(aiomysql.ProgrammingError):
        await driver.query("SELECT 1; SELECT 2")
    driver.close()


# ---- SQLite's file


@on("sqlite")
@pytest.mark.parametrize("path", ["../x.db", "/tmp/x.db", "a/../../x.db", "x\x00.db", "~/x.db", "a//x.db"])
async def test_file_outside_the_folder_is_refused(sql: Sql, path: str) -> None:
    sql.file = path
    assert (await sql.failure("SELECT 1")).code == "INVALID_CONFIG"


@on("sqlite")
async def test_links_are_not_followed(sql: Sql, tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"")
    (tmp_path / "acme" / "link.db").symlink_to(tmp_path / "other.db")
    (tmp_path / "acme" / "up").symlink_to(tmp_path)
    for path in ("link.db", "up/other.db"):
        sql.file = path
        assert (await sql.failure("SELECT 1")).code == "INVALID_CONFIG"


@on("sqlite")
@pytest.mark.parametrize(
    "query",
    [
        "ATTACH DATABASE 'other.db' AS other", "VACUUM INTO 'copy.db'", "SELECT load_extension('/tmp/x.so')",
        "PRAGMA journal_mode = OFF", "PRAGMA temp_store_directory = '/tmp'", "PRAGMA writable_schema = 1",
        "PRAGMA query_only = OFF", "SELECT writefile('/tmp/x', 'y')", "DETACH main", "PRAGMA trusted_schema = 1",
    ],
)  # fmt: skip
async def test_statement_reaches_nothing_beyond_its_file(
    sql: Sql, query: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = await sql.failure(query, operation="execute")
    assert error.code in ("ACCESS_DENIED", "EXTERNAL_ERROR")
    assert os.listdir(tmp_path) == ["acme"]


@on("sqlite")
async def test_journal_that_names_another_file_is_not_rolled_back(sql: Sql, tmp_path: Path) -> None:
    await sql.execute("CREATE TABLE t (a)")
    (tmp_path / "acme/data/x.db-journal").write_bytes(b"x" * 600 + bytes.fromhex("d9d505f920a163d7"))
    error = await sql.failure("SELECT a FROM t")
    assert error.code == "INVALID_CONFIG"
    assert "names another file" in error.message


@on("sqlite")
async def test_journal_cannot_be_written_as_a_file(sql: Sql, tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    for name in ("data/x.db-journal", "data/X.DB-WAL", "data/x.sqlite3-shm"):
        with pytest.raises(NodeError, match="belongs to the database"):
            await files.write("acme", name, b"x")
    sql.file = None
    sql.credential = connection("sqlite:///data/x.txt", trusted=False)
    assert (await sql.failure("SELECT 1")).code == "INVALID_CONFIG"


@on("sqlite")
async def test_pragma_may_tell_about_tables(sql: Sql) -> None:
    await sql.execute(ITEMS)
    assert [row["name"] for row in await sql.rows("PRAGMA table_info(items)")] == ["id", "name", "price"]


@on("sqlite")
async def test_pattern_cannot_keep_a_worker_busy(sql: Sql) -> None:
    rows = await sql.rows("SELECT :t REGEXP :p AS m, 'ab' REGEXP '^a.$' AS n", {"t": "a" * 60 + "!", "p": "(a+)+$"})
    assert rows == [{"m": 0, "n": 1}]


@on("sqlite")
async def test_query_makes_no_file(sql: Sql, tmp_path: Path) -> None:
    sql.file = "data/none.db"
    error = await sql.failure("SELECT 1")
    assert (error.code, error.retryable) == ("EXTERNAL_ERROR", False)
    assert not (tmp_path / "acme/data/none.db").exists()


@on("sqlite")
async def test_trusted_credential_may_name_any_file(sql: Sql, tmp_path: Path) -> None:
    sql.file, sql.credential = None, connection(f"sqlite:///{tmp_path}/own.db")
    await sql.execute("CREATE TABLE t (a)")
    assert (tmp_path / "own.db").exists()
    sql.credential["trusted"] = False
    assert (await sql.failure("SELECT a FROM t")).code == "INVALID_CONFIG"
    sql.credential = connection("sqlite:///mine.db", trusted=False)
    await sql.execute("CREATE TABLE t (a)")
    assert (tmp_path / "acme/mine.db").exists()


# ---- documents


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"query": "SELECT * FROM t WHERE a = '{{ input.a }}'"}, "params.query"),
        ({"query": "{{ input.sql }}"}, "params.query"),
        ({"operation": "transaction", "statements": "{{ input.all }}"}, "params.statements"),
        (
            {"operation": "transaction", "statements": [{"query": "DELETE FROM {{ vars.t }}"}]},
            "params.statements[0].query",
        ),
        ({"operation": "transaction", "statements": ["{{ input.all }}"]}, "params.statements[0]"),
        ({"query": "SELECT 1; DROP TABLE t"}, "params.query"),
        ({"query": "BEGIN"}, "params.query"),
        ({"query": "DELETE FROM t"}, "params"),
        ({"query": "SELECT :a", "parameters": {"b": 1}}, "params"),
        ({"operation": "batch", "query": "DELETE FROM t WHERE a = :a", "parameters": {"a": 1}}, "params"),
        ({"operation": "execute"}, "params"),
        ({"operation": "transaction", "query": "SELECT 1"}, "params"),
        ({"operation": "execute", "query": "DELETE FROM t", "on_excess": "truncate"}, "params"),
        ({"query": "SELECT 1", "max_rows": 0}, "params.max_rows"),
        ({"query": "SELECT 1", "timeout": "soon"}, "params.timeout"),
        ({"query": "SELECT 1", "sqlite_file": "x.txt"}, "params.sqlite_file"),
        ({"qery": "SELECT 1"}, "params.qery"),
    ],
)  # fmt: skip
def test_mistake_is_an_issue_of_the_document(params: dict[str, Any], path: str) -> None:
    assert path in [found for _, found in codes("database", params)]


@pytest.mark.parametrize(
    "params",
    [
        {"query": "SELECT '\\{{1,2}}'::int[]"},
        {"query": "SELECT :a", "parameters": "{{ input }}"},
        {"query": "SELECT :a", "parameters": {"a": "{{ input.a }}"}},
        {"operation": "batch", "query": "INSERT INTO t VALUES (:a)", "parameters": "{{ nodes.x.output.rows }}"},
        {"query": "DELETE FROM t", "read_only": False},
        {"query": "SELECT $$ ; $$"},
    ],
)
def test_document_that_is_right_has_no_issue(params: dict[str, Any]) -> None:
    assert codes("database", params) == []


def test_only_reading_may_be_repeated_by_itself() -> None:
    kind = node_type("database")
    assert kind.idempotent({"query": "SELECT 1"})
    assert kind.idempotent({"query": "DELETE FROM t", "operation": "execute", "idempotent": True})
    assert not kind.idempotent({"query": "SELECT f()", "read_only": False})
    assert not kind.idempotent({"query": "DELETE FROM t", "operation": "execute"})
    assert not kind.idempotent({"statements": [], "operation": "transaction"})
    assert not kind.idempotent({"query": "SELECT 1", "operation": "{{ vars.o }}"})
