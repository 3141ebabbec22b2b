"""Databases that workflows query: PostgreSQL, MySQL and MariaDB, SQLite.

Every request is one transaction in a session of its own that leaves nothing behind. Values are bound by the driver,
never written into statements here. Rows are read as they come, so that a result that is too large ends early.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast

import aiosqlite
from sqlalchemy import Connection, CursorResult, event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from engine.activities.clients.sql import mysql, postgresql, sqlite
from engine.activities.clients.sql.engines import Engines
from engine.activities.clients.sql.faults import Progress, is_unknown, translate, unknown_outcome
from engine.activities.clients.sql.targets import Target, find_target
from engine.errors import CANCELLED, INVALID_CONFIG, OUTPUT_TOO_LARGE, TIMEOUT, NodeError
from engine.nodes.json_text import check_depth
from engine.nodes.outbound.addresses import HttpPolicy
from engine.nodes.querying.port import Call, DatabaseRequest, DatabaseResult
from engine.nodes.querying.statements import READING, Statement, driver_sql, read_statement
from engine.nodes.querying.values import as_data, as_parameter, column_names, size_of

_FETCHED_AT_ONCE = 200
_SERVER_MARGIN_S = 0.25  # the server's own timeout comes first: its error says more, and the session stays usable
_SQLITE_ENDS_WITHIN_S = 10.0
_MYSQL_TRANSACTIONAL = frozenset({"select", "with", "insert", "update", "delete", "replace", "values", "table", "show"})
Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A call as the driver takes it. `sets` has one member unless the call is a batch."""

    statement: Statement
    sql: str
    sets: list[Values]
    batch: bool


@dataclass(slots=True)
class _Room:
    """What is left for results."""

    rows: int
    bytes: int


@dataclass(slots=True)
class _Run:
    """One request on its way."""

    request: DatabaseRequest
    target: Target
    prepared: list[_Prepared]
    room: _Room
    progress: Progress = field(default_factory=Progress)
    cut_short: bool = False  # rows are left unread on the connection
    stopped: bool = False  # nobody waits any more

    @property
    def values(self) -> Iterator[Any]:
        return (value for call in self.prepared for values in call.sets for value in values)


class Databases:
    """Fulfils `engine.nodes.querying.port.DatabasePort`; one for a process, closed at its end.

    `policy` says which internal addresses a credential that is not trusted may reach.
    """

    def __init__(self, files_root: Path, policy: HttpPolicy, *, engines: Engines | None = None) -> None:
        self._files_root, self._policy = files_root, policy
        self._engines = engines or Engines()
        self._sessions: set[asyncio.Task[list[DatabaseResult]]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._sessions:
            await asyncio.wait(self._sessions, timeout=_SQLITE_ENDS_WITHIN_S)
        await self._engines.aclose()

    async def run(self, request: DatabaseRequest) -> list[DatabaseResult]:
        target = await find_target(request, self._files_root, self._policy)
        prepared = [_prepare(call, target, request.read_only) for call in request.calls]
        run = _Run(request, target, prepared, _Room(request.max_rows, request.max_bytes))
        try:
            async with asyncio.timeout(request.timeout_s):
                return await (self._run_file(run) if target.dialect == "sqlite" else self._run_server(run))
        except NodeError as error:
            raise _repeatable(error, request) from None
        except TimeoutError:
            raise _repeatable(_timed_out(run), request) from None
        except Exception as error:
            failure = translate(error, target, run.progress, run.values)
            failure.details.setdefault("statement", run.progress.call)
            raise _repeatable(failure, request) from None

    async def _run_server(self, run: _Run) -> list[DatabaseResult]:
        async with self._engines.lease(run.target) as engine, engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            try:
                results = await connection.run_sync(_transact, run)
                if not run.cut_short:
                    await _clear_session(run, driver)
            except BaseException as error:
                await asyncio.shield(_abandon(run, connection, driver, error))
                raise
            if run.cut_short:
                await connection.invalidate()
            return results

    async def _run_file(self, run: _Run) -> list[DatabaseResult]:
        """SQLite works in a thread, which cannot be cut off: who stops waiting lets it end by itself, unsaved."""
        session = asyncio.create_task(_file_session(run))
        self._sessions.add(session)
        session.add_done_callback(self._forget)
        try:
            return await asyncio.shield(session)
        except asyncio.CancelledError:
            run.stopped = True
            raise

    def _forget(self, session: asyncio.Task[list[DatabaseResult]]) -> None:
        self._sessions.discard(session)
        if not session.cancelled():
            session.exception()  # whoever waited has it


async def _file_session(run: _Run) -> list[DatabaseResult]:
    engine = _file_engine(run)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_transact, run)
    finally:
        await engine.dispose()


def _prepare(call: Call, target: Target, read_only: bool) -> _Prepared:
    """The call for the driver.

    Raises: NodeError INVALID_CONFIG.
    """
    batch = not isinstance(call.parameters, Mapping)
    given = cast("list[Mapping[str, Any]]", list(call.parameters) if batch else [call.parameters])
    try:
        statement = read_statement(call.query, target.dialect)
        if read_only and statement.keyword not in READING:
            raise ValueError(f"{statement.keyword.upper()} writes, and the node only reads: use operation execute")
        sql, sets = "", list[Values]()
        for parameters in given:
            sql, values = driver_sql(statement, parameters)
            sets.append(tuple(as_parameter(value, target.dialect) for value in values))
    except ValueError as error:
        raise NodeError(f"query: {error}", code=INVALID_CONFIG, details={"parameter": "query"}) from None
    return _Prepared(statement, sql, sets, batch)


def _transact(connection: Connection, run: _Run) -> list[DatabaseResult]:
    """Run all statements in one transaction, in SQLAlchemy's thread-like context."""
    connection = _begin(connection, run)
    run.progress.stage = "running"
    results: list[DatabaseResult] = []
    for number, prepared in enumerate(run.prepared):
        run.progress.call = number
        run.progress.implicit_commit = (
            run.target.dialect == "mysql" and prepared.statement.keyword not in _MYSQL_TRANSACTIONAL
        )
        results.append(_execute(connection, prepared, run))
    if run.request.read_only:
        if not run.cut_short:
            connection.rollback()
    elif run.stopped:
        raise NodeError("nobody waits for it any more", code=CANCELLED)
    else:
        run.progress.stage = "committing"
        connection.commit()
    run.progress.stage = "done"
    return results


def _begin(connection: Connection, run: _Run) -> Connection:
    request = run.request
    timeout_s = request.timeout_s - _margin_s(request.timeout_s)
    if run.target.dialect == "postgresql":
        return postgresql.begin(connection, request.read_only, timeout_s)
    if run.target.dialect == "mysql":
        return mysql.begin(connection, request.read_only, timeout_s)
    return sqlite.begin(connection, request.read_only)


def _margin_s(timeout_s: float) -> float:
    return min(_SERVER_MARGIN_S, timeout_s * 0.1)


def _execute(connection: Connection, prepared: _Prepared, run: _Run) -> DatabaseResult:
    if prepared.batch:
        return _execute_batch(connection, prepared)
    # What gives no rows must not be read as a stream, which forgets how many rows were changed.
    options = {"stream_results": prepared.statement.gives_rows}
    result = connection.exec_driver_sql(prepared.sql, prepared.sets[0], execution_options=options)
    if prepared.statement.gives_rows and not result.returns_rows and run.target.dialect == "postgresql":
        # A cursor of PostgreSQL runs its statement when rows are fetched; without rows nothing has happened yet.
        result.close()
        result = connection.exec_driver_sql(prepared.sql, prepared.sets[0])
    if not result.returns_rows:
        streamed = prepared.statement.gives_rows and run.target.dialect != "postgresql"
        count = -1 if streamed else result.rowcount
        last_id = None if streamed or run.target.dialect == "postgresql" else result.lastrowid
        return DatabaseResult([], [], count if count >= 0 else None, last_id=last_id or None)
    return _gather(result, run)


def _execute_batch(connection: Connection, prepared: _Prepared) -> DatabaseResult:
    if not prepared.sets:
        return DatabaseResult([], [], 0)
    count = connection.exec_driver_sql(prepared.sql, prepared.sets).rowcount
    return DatabaseResult([], [], count if count >= 0 else None)


def _gather(result: CursorResult[Any], run: _Run) -> DatabaseResult:
    """The rows as data, while there is room for them."""
    columns = column_names(result.keys())
    rows: list[dict[str, Any]] = []
    excess = False
    while not excess and (part := result.fetchmany(min(_FETCHED_AT_ONCE, run.room.rows + 1))):
        for row in part:
            data = dict(zip(columns, (as_data(value, run.request.decimals) for value in row), strict=True))
            run.room.bytes -= size_of(data)
            excess = run.room.rows == 0 or run.room.bytes < 0
            if excess:
                break
            rows.append(data)
            run.room.rows -= 1
    if excess:
        _stop_reading(run)
    else:
        result.close()
    _check_depth(rows)
    return DatabaseResult(rows, columns, len(rows), truncated=excess)


def _stop_reading(run: _Run) -> None:
    request = run.request
    # What was written would not be known as a whole: it is rolled back.
    if request.on_excess == "truncate" and request.read_only and len(run.prepared) == 1:
        run.cut_short = True
        return
    over_rows = run.room.rows == 0
    limit = f"{request.max_rows} rows" if over_rows else f"{request.max_bytes} bytes"
    raise NodeError(
        f"the result has more than {limit}: select less, raise {'max_rows' if over_rows else 'max_bytes'}, or let a "
        "reading query stop there by on_excess: truncate",
        code=OUTPUT_TOO_LARGE,
        details={"max_rows": request.max_rows, "max_bytes": request.max_bytes},
    )


def _check_depth(rows: list[dict[str, Any]]) -> None:
    try:
        check_depth(rows)
    except ValueError as error:
        raise NodeError(f"a column holds {error}", code=OUTPUT_TOO_LARGE) from None


async def _clear_session(run: _Run, driver: Any) -> None:
    """The request is done: a session that cannot be cleared is closed, and is no failure of it."""
    clear = postgresql.clear_session if run.target.dialect == "postgresql" else mysql.clear_session
    try:
        async with asyncio.timeout(5):
            await clear(driver)
    except Exception:
        run.cut_short = True


async def _abandon(run: _Run, connection: AsyncConnection, driver: Any, error: BaseException) -> None:
    """End what still runs on the server, and the connection with it."""
    if run.target.dialect == "mysql" and isinstance(error, asyncio.CancelledError) and driver is not None:
        await mysql.end_statement(driver, _mysql_options(run.target))
    with suppress(Exception):
        await connection.invalidate()


def _mysql_options(target: Target) -> dict[str, Any]:
    url = target.url
    return {"host": url.host, "port": url.port, "user": url.username, "password": url.password, **target.connect_args}


def _file_engine(run: _Run) -> AsyncEngine:
    """A connection of its own for each request: it is quick, and nothing of one reaches another."""
    path, read_only = str(run.target.file), run.request.read_only
    timeout_s = run.request.timeout_s - _margin_s(run.request.timeout_s)
    deadline = time.monotonic() + timeout_s

    def connect() -> sqlite3.Connection:
        opened = sqlite3.connect(sqlite.file_uri(path, read_only), uri=True, timeout=timeout_s, check_same_thread=False)
        try:
            sqlite.prepare(opened, read_only, lambda: run.stopped or time.monotonic() > deadline)
        except BaseException:
            opened.close()
            raise
        return opened

    def open_in_thread() -> aiosqlite.Connection:
        connection = aiosqlite.Connection(connect, _FETCHED_AT_ONCE)
        # A worker that ends must not wait for a query.
        connection._thread.daemon = True  # pyright: ignore[reportPrivateUsage]  # as SQLAlchemy does by itself
        return connection

    engine = create_async_engine(run.target.url, poolclass=NullPool, async_creator=cast("Any", open_in_thread))
    event.listen(engine.sync_engine, "connect", sqlite.replace_functions)
    return engine


def _timed_out(run: _Run) -> NodeError:
    details = {"timeout_s": run.request.timeout_s, "host": run.target.host, "database": run.target.dialect}
    if is_unknown(run.progress):
        return unknown_outcome(run.target, f"no answer within {run.request.timeout_s:g} s", details)
    return NodeError(
        f"{run.target.dialect}: not done within {run.request.timeout_s:g} s, nothing was changed",
        code=TIMEOUT,
        details=details,
        retryable=True,
    )


def _repeatable(error: NodeError, request: DatabaseRequest) -> NodeError:
    """Where the author says that the request may run twice, an unknown outcome is worth another attempt."""
    error.retryable = error.retryable or (error.code == "OUTCOME_UNKNOWN" and request.idempotent)
    return error
