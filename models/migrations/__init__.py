"""Schema migrations: Alembic, run from code, by the owner role alone.

Versions are plain SQL, because partitions, row-level security and functions are most of what they make. A test holds
them equal to the tables that SQLModel describes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from engine.errors import ConfigurationError
from models.partitions import ensure_partitions
from models.session import Database, plain_url, translated_faults

LOCK_KEY = 0x5F0A6E01  # any number that no one else takes as an advisory lock in this database
APP_ROLE = "structforge_app"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def sqlalchemy_url(url: str) -> str:
    """The URL with SQLAlchemy's name of the driver."""
    return plain_url(url).replace("postgresql://", "postgresql+asyncpg://", 1)


@asynccontextmanager
async def _engine(url: str) -> AsyncGenerator[AsyncEngine]:
    # The driver reads the URL itself: SQLAlchemy would hand it the parameters of TLS as arguments it does not have.
    async def connect() -> asyncpg.Connection[asyncpg.Record]:
        with translated_faults():
            return await asyncpg.connect(plain_url(url))

    engine = create_async_engine("postgresql+asyncpg://", poolclass=NullPool, async_creator=connect)
    try:
        with translated_faults():
            yield engine
    finally:
        await engine.dispose()


async def upgrade(owner_url: str, *, months_ahead: int = 3) -> list[str]:
    """Bring the schema to the newest version and create the partitions of the coming months.

    Safe when several processes do it at once: one works, the others wait and find nothing to do.
    Returns the revisions that were applied, oldest first.
    Raises: ConfigurationError if the application's role does not exist; SystemFault if PostgreSQL is away.
    """
    async with _engine(owner_url) as engine, engine.connect() as connection:
        await connection.execute(text(f"SELECT pg_advisory_lock({LOCK_KEY})"))
        await connection.commit()
        try:
            await _require_app_role(connection)
            applied = await connection.run_sync(_upgrade)
            await ensure_partitions(engine, months_ahead=months_ahead)
        finally:
            if not connection.closed and not connection.invalidated:
                await connection.rollback()
                await connection.execute(text(f"SELECT pg_advisory_unlock({LOCK_KEY})"))
                await connection.commit()
        return applied


async def at_head(url: str) -> bool:
    """Whether the schema is the newest one. The application's role may ask too."""
    async with _engine(url) as engine, engine.connect() as connection:
        return await connection.run_sync(_current) == _heads()


async def is_behind(database: Database) -> bool:
    """Whether a migration of this version has not been applied; asked by processes that serve.

    A revision that this version does not know is newer: migrations run first, and the version before works on.
    Raises: SystemFault if PostgreSQL is away.
    """
    known, heads = await asyncio.to_thread(_revisions)
    try:
        async with database.transaction() as connection:
            rows = await connection.fetch("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return True
    found = frozenset(str(row["version_num"]) for row in rows)
    return not found or (found <= known and found != heads)


@cache
def _revisions() -> tuple[frozenset[str], frozenset[str]]:
    """Every revision of this version, and the newest."""
    script = ScriptDirectory.from_config(_config())
    return frozenset(step.revision for step in script.walk_revisions()), frozenset(script.get_heads())


async def _require_app_role(connection: AsyncConnection) -> None:
    found = await connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": APP_ROLE})
    if found.first() is None:
        raise ConfigurationError(
            f"the role {APP_ROLE} does not exist: CREATE ROLE {APP_ROLE} LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '...'"
        )
    await connection.commit()


def _heads() -> tuple[str, ...]:
    return tuple(ScriptDirectory.from_config(_config()).get_heads())


def _current(connection: Connection) -> tuple[str, ...]:
    return MigrationContext.configure(connection).get_current_heads()


def _upgrade(connection: Connection) -> list[str]:
    before = set(_applied(_current(connection)))
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    connection.commit()
    return [revision for revision in _applied(_current(connection)) if revision not in before]


def _applied(heads: tuple[str, ...]) -> list[str]:
    """The revisions up to the heads, oldest first."""
    script = ScriptDirectory.from_config(_config())
    return [step.revision for step in script.iterate_revisions(heads, "base")][::-1] if heads else []
