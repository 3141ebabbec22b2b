"""The way to PostgreSQL: one asyncpg pool and transactions that name their tenants.

Statements go through asyncpg alone; SQLModel describes the tables (and checks the migrations) but runs no queries. On
the hot path that saves an ORM's work on each row, and there is one pool, one transaction type, one place for errors.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, Literal

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy

from engine.errors import Conflict, SystemFault
from models.joined import current, joining
from models.jsonb import decode_json, decode_jsonb, encode_json, encode_jsonb
from models.tenancy import TenantId

if TYPE_CHECKING:
    Connection = PoolConnectionProxy[asyncpg.Record]
else:  # the class is generic in its stubs alone
    Connection = PoolConnectionProxy

Purpose = Literal["sign_in", "relay", "reconciler", "key_rotation", "installation", "scheduler", "metrics"]

QUOTA_STATE = "SFQ01"  # what the functions of revision 0011 raise
# Refusals that functions of ours raise, by SQLSTATE, and their codes; facts stand in the detail, as JSON.
_REFUSALS = {QUOTA_STATE: "QUOTA_EXCEEDED", "SFH01": "WEBHOOK_TAKEN"}

# What a restart, a failover or a full server looks like from here; anything else is a defect and stays as it is.
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InsufficientResourcesError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidCachedStatementError,  # a migration changed what a prepared statement knew
    asyncpg.OutdatedSchemaCacheError,
)


def is_away(error: BaseException) -> bool:
    """Whether the error says that PostgreSQL is away for a while, so that the same work may succeed later."""
    if isinstance(error, asyncpg.InterfaceError):  # also what asyncpg raises for a wrong argument, which is a defect
        return not isinstance(error, ValueError) and "clos" in str(error)
    return isinstance(error, AWAY)


@contextmanager
def translated_faults() -> Generator[None]:
    """Turn "PostgreSQL is away" into SystemFault, and what our functions refuse into Conflict, as QUOTA_EXCEEDED.

    Other errors of the statement itself pass unchanged.
    """
    try:
        yield
    except asyncpg.UnknownPostgresError as error:
        if error.sqlstate not in _REFUSALS:
            raise
        raise _refusal(error, _REFUSALS[error.sqlstate]) from None
    except (*AWAY, asyncpg.InterfaceError) as error:
        if not is_away(error):
            raise
        raise SystemFault(f"PostgreSQL did not answer: {type(error).__name__}: {error}") from error


def _refusal(error: asyncpg.PostgresError, code: str) -> Conflict:
    facts: dict[str, Any] = orjson.loads(error.detail or "{}")
    return Conflict(str(error).partition("\n")[0], code=code, details=facts)


def plain_url(url: str) -> str:
    """The URL as asyncpg reads it, also when it was written for SQLAlchemy."""
    scheme, mark, rest = url.partition("://")
    return f"postgresql{mark}{rest}" if scheme.startswith(("postgresql+", "postgres")) else url


def tenant_list(tenants: Sequence[TenantId]) -> str:
    """The value of `structforge.tenants`: a PostgreSQL array of UUIDs."""
    return "{" + ",".join(map(str, tenants)) + "}"


async def prepare_connection(connection: Any) -> None:
    """Give a new connection its JSON codecs."""
    await connection.set_type_codec(
        "json", schema="pg_catalog", encoder=encode_json, decoder=decode_json, format="binary"
    )
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=encode_jsonb, decoder=decode_jsonb, format="binary"
    )


async def _keep_session(_: Any) -> None:
    """Nothing to reset: every setting is made with SET LOCAL and ends with its transaction."""


class Database:
    """A pool of connections of the application's role."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool
        # A joined transaction may need another connection, through a task of its own, before it lets go of the first.
        self._joined_places = asyncio.Semaphore(max(1, pool.get_max_size() // 2))

    @classmethod
    async def open(cls, url: str, *, pool_size: int = 10, timeout_s: float = 10) -> Database:
        """Connect. Raises: SystemFault if the server does not answer."""
        with translated_faults():
            pool = await asyncpg.create_pool(
                plain_url(url),
                min_size=1,
                max_size=max(2, pool_size),  # see `_joined_places`
                timeout=timeout_s,
                command_timeout=60,
                init=prepare_connection,
                reset=_keep_session,
                server_settings={"application_name": "structforge", "jit": "off"},
            )
        return cls(pool)

    @property
    def pool_state(self) -> tuple[int, int, int]:
        """Connections that are open, those of them that are idle, and the most there may be."""
        return self._pool.get_size(), self._pool.get_idle_size(), self._pool.get_max_size()

    async def close(self) -> None:
        """Let what runs finish, for 10 s at most, then cut."""
        try:
            async with asyncio.timeout(10):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def transaction(
        self,
        tenants: TenantId | Sequence[TenantId] = (),
        *,
        purpose: Purpose | None = None,
        sign_in: str | None = None,
    ) -> AsyncGenerator[Connection]:
        """One transaction that sees these tenants' rows, and what the policy of `purpose` adds.

        `sign_in` is the key hash or e-mail address that the sign-in policies compare with.
        Inside `joined` it is a part of that one.
        Raises: SystemFault if PostgreSQL is away, at any point of the block.
        """
        listed = [tenants] if isinstance(tenants, TenantId) else tenants
        with translated_faults():
            if (around := current()) is not None:
                async with around.part(_settings(listed, purpose or "", sign_in or "")) as connection:
                    yield connection
                return
            async with self._pool.acquire() as connection:
                # One round trip for both. The values are UUIDs, a literal and digits: nothing to escape.
                await connection.execute(f"BEGIN; SELECT {_settings(listed, purpose, sign_in)}")
                try:
                    yield connection
                except BaseException:
                    await _roll_back(connection)
                    raise
                await connection.execute("COMMIT")

    @asynccontextmanager
    async def joined(self) -> AsyncGenerator[None]:
        """Make the transactions that this task begins inside the block one, which is committed at its end.

        An error that leaves the block undoes them all. Raises: SystemFault.
        """
        with translated_faults():
            async with joining(self._whole):
                yield

    @asynccontextmanager
    async def _whole(self) -> AsyncGenerator[Connection]:
        async with self._joined_places, self._pool.acquire() as connection:
            await connection.execute("BEGIN")
            try:
                yield connection
            except BaseException:
                await _roll_back(connection)
                raise
            await connection.execute("COMMIT")

    @property
    def is_joined(self) -> bool:
        """Whether what the running task writes now stands or falls with a transaction around it."""
        return current() is not None

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """A bare connection, for functions that open their own transaction and set the tenants themselves."""
        with translated_faults():
            if (around := current()) is not None:
                async with around.part(_settings((), "", "")) as connection:
                    yield connection
                return
            async with self._pool.acquire() as connection:
                yield connection

    @asynccontextmanager
    async def listening(self, channel: str, on_message: Callable[[str], None]) -> AsyncGenerator[asyncio.Event]:
        """Call `on_message` with what is told on a channel; the event is set once the connection is lost.

        What is told while nobody listens is lost, so whoever relies on it also looks from time to time.
        """
        lost = asyncio.Event()

        def hear(_: object, __: int, ___: str, payload: object) -> None:
            on_message(str(payload))

        def end(_: object) -> None:
            lost.set()

        async with self.connection() as connection:
            connection.add_termination_listener(end)
            await connection.add_listener(channel, hear)
            try:
                yield lost
            finally:
                connection.remove_termination_listener(end)
                if not connection.is_closed():
                    await connection.remove_listener(channel, hear)


def _settings(tenants: Sequence[TenantId], purpose: str | None, sign_in: str | None) -> str:
    """Calls of set_config, in force until the transaction ends. What is None was never set in it."""
    settings = [f"set_config('structforge.tenants', '{tenant_list(tenants)}', true)"]
    if purpose is not None:
        settings.append(f"set_config('structforge.purpose', '{purpose}', true)")
    if sign_in is not None:
        quoted = sign_in.replace("\x00", "").replace("'", "''")
        settings.append(f"set_config('structforge.sign_in', '{quoted}', true)")
    return ", ".join(settings)


async def _roll_back(connection: Connection) -> None:
    if connection.is_closed():
        return
    try:
        await connection.execute("ROLLBACK")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        connection.terminate()
