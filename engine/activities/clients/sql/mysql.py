"""MySQL and MariaDB: a connection that keeps to one statement and to TLS, and sessions that leave nothing behind."""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress
from typing import Any

import aiomysql
from pymysql.constants import CLIENT
from sqlalchemy import Connection

_RESET_CONNECTION = 0x1F
_KILL_WITHIN_S = 3.0


class _Connection(aiomysql.Connection):  # pyright: ignore[reportUntypedBaseClass]  # the package has no types
    """Refuses what the driver would do by itself."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.client_flag &= ~CLIENT.MULTI_STATEMENTS

    def escape(self, obj: Any) -> str:
        """A value as it stands in the statement; text is escaped by the driver, by the mode of the session."""
        if isinstance(obj, bytes):
            return f"x'{obj.hex()}'" if obj else "''"  # the driver's own form broke with a release of PyMySQL
        return super().escape(obj)

    async def _request_authentication(self) -> None:
        # The driver goes on in clear text if the server offers no TLS: so would anybody who sits in between.
        if self._ssl_context and not self.server_capabilities & CLIENT.SSL:
            raise aiomysql.OperationalError(2026, "the server offers no TLS")
        await super()._request_authentication()


async def connect(**options: Any) -> Any:
    """A connection for SQLAlchemy's adapter."""
    connection = _Connection(**options)
    await connection._connect()  # pyright: ignore[reportPrivateUsage]  # what aiomysql.connect does
    return connection


def begin(connection: Connection, read_only: bool, timeout_s: float) -> Connection:
    """Begin a transaction; the server ends statements that take too long (MySQL ends reading ones alone)."""
    if connection.dialect.is_mariadb:  # pyright: ignore[reportAttributeAccessIssue]  # of MySQL's dialect
        connection.exec_driver_sql("SET time_zone = '+00:00', max_statement_time = %s", (round(timeout_s, 3),))
    else:
        connection.exec_driver_sql("SET time_zone = '+00:00', max_execution_time = %s", (round(timeout_s * 1000),))
    connection.exec_driver_sql(f"START TRANSACTION {'READ ONLY' if read_only else 'READ WRITE'}")
    return connection


async def clear_session(connection: Any) -> None:
    """Leave nothing to the next node: variables, temporary tables, locks."""
    await connection._execute_command(_RESET_CONNECTION, b"")
    await connection._read_ok_packet()
    await connection.set_charset("utf8mb4")


async def end_statement(connection: Any, options: dict[str, Any]) -> None:
    """End what a connection runs, from another one: the server does not notice that nobody waits."""
    number = struct.unpack("<I", struct.pack("<I", connection.thread_id()))[0]
    with suppress(Exception):
        async with asyncio.timeout(_KILL_WITHIN_S):
            other = await connect(**options)
            try:
                await other.query(f"KILL QUERY {number}")
            finally:
                other.close()
