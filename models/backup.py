"""The rows of an installation, out into files and back into an empty database.

Both ways are PostgreSQL's COPY in its text form, which every version of the server reads, one compressed file a table.
All tables are read in one snapshot, while the installation is at work; nobody waits for it but changes of the schema.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from graphlib import TopologicalSorter
from pathlib import Path
from typing import IO, TYPE_CHECKING

import asyncpg

from engine.errors import ConfigurationError, Conflict
from models.migrations import LOCK_KEY
from models.partitions import PARTITIONED
from models.session import plain_url, translated_faults

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:  # the class is generic in its stubs alone
    Connection = asyncpg.Connection

Told = Callable[[str, int], None]

SKIPPED = ["alembic_version", "leadership"]  # the revision stands in the manifest; who leads is decided anew
CHUNK_BYTES = 256 * 1024
LOCK_WAIT_MS = 10_000
# Text that means the same in another database, and no limit of a role that is meant for short statements.
_SESSION = {
    "application_name": "structforge backup",
    "datestyle": "ISO, YMD",
    "intervalstyle": "iso_8601",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": str(LOCK_WAIT_MS),
}
# A policy that does not reach this role would make a backup without rows, and without an error.
_TABLES = """
    SELECT c.relname AS name,
           (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns,
           NOT row_security_active(c.oid) OR EXISTS (
               SELECT FROM pg_policy p CROSS JOIN unnest(p.polroles) member
                WHERE p.polrelid = c.oid AND p.polname = 'backup_rows' AND pg_has_role(current_user, member, 'USAGE')
           ) AS readable,
           c.relforcerowsecurity AS forced
      FROM pg_class c
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND c.relname <> ALL ($1::text[])
     ORDER BY 1
"""
_REFERENCES = """
    SELECT conrelid::regclass::text AS child, confrelid::regclass::text AS parent FROM pg_constraint
     WHERE contype = 'f' AND conparentid = 0 AND conrelid <> confrelid
"""
_MONTHS = r"""
    SELECT DISTINCT replace(right(relname, 7), '_', '-') FROM pg_class
     WHERE relispartition AND relkind = 'r' AND relname ~ '__\d{4}_\d{2}$' ORDER BY 1
"""
# Names come from the catalogue of this database. COPY takes a partitioned table by a query alone.
_ANY_ROW = "SELECT EXISTS (SELECT FROM {table})"
_ALL_ROWS = "SELECT {columns} FROM {table}"
_LAST = "SELECT CASE WHEN is_called THEN last_value END FROM {sequence}"
_PURPOSE = "SET LOCAL structforge.purpose = 'backup'"
_SEQUENCES = "SELECT sequencename AS name FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1"


@dataclass(frozen=True, slots=True)
class TableFile:
    """What one file holds; `sha256` is of the compressed file."""

    name: str
    columns: list[str]
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows at one moment. `sequences`: the last number given, None if none was. `months`: `YYYY-MM`."""

    revision: str
    tables: list[TableFile]
    sequences: dict[str, int | None]
    months: list[str]


def table_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.gz"


async def dump_rows(owner_url: str, folder: Path, told: Told = lambda _table, _rows: None) -> Rows:
    """Write every table to the folder as it is at one moment. `told` hears of each that is done.

    Raises: ConfigurationError if this role may not read every row, or the schema is older than backups; Conflict if
    a migration or the move of a tenant is under way; SystemFault if PostgreSQL is away.
    """
    async with _connected(owner_url) as connection:
        if not await connection.fetchval("SELECT pg_try_advisory_lock_shared($1)", LOCK_KEY):
            raise Conflict("the database is being migrated, or a tenant is moved: wait until that is done")
        revision = await _revision(connection)
        tables = await connection.fetch(_TABLES, SKIPPED)
        _require_readable(tables)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            # Neither takes the snapshot. With the locks held first, no partition is dropped that the snapshot shows.
            await connection.execute(_PURPOSE)
            await _lock(connection, tables, "ACCESS SHARE")
            files = [await _dump(connection, row["name"], row["columns"], folder, told) for row in tables]
            months = [row[0] for row in await connection.fetch(_MONTHS)]
        # A sequence belongs to no snapshot; read afterwards, it is beyond every row that was read.
        return Rows(revision, files, await _sequences(connection), months)


async def require_empty(owner_url: str, revision: str) -> None:
    """Raises: ConfigurationError if the schema is of another revision, or there are rows; SystemFault."""
    async with _connected(owner_url) as connection, connection.transaction():
        await _require_empty(connection, revision, await connection.fetch(_TABLES, SKIPPED))


async def load_rows(owner_url: str, folder: Path, rows: Rows, told: Told = lambda _table, _rows: None) -> None:
    """Fill an empty database of the same revision: all of it or nothing.

    Triggers rest meanwhile, since what they would write is among the rows.
    Raises: ConfigurationError if the database is not empty or of another revision, or the rows do not fit; SystemFault.
    """
    async with _connected(owner_url) as connection:
        try:
            async with connection.transaction():
                await _load_all(connection, folder, rows, told)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.BadCopyFileFormatError) as error:
            raise ConfigurationError(f"the rows do not fit this schema: {error}") from error


async def _load_all(connection: Connection, folder: Path, rows: Rows, told: Told) -> None:
    if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", LOCK_KEY):
        raise ConfigurationError("the database is being migrated: wait until that is done")
    await _revision(connection)
    tables = await connection.fetch(_TABLES, SKIPPED)
    await _lock(connection, tables, "ACCESS EXCLUSIVE")
    await _require_empty(connection, rows.revision, tables)
    for table in tables:
        if table["forced"]:  # until the end of this transaction; the lock keeps everybody else out
            await connection.execute(f"ALTER TABLE {table['name']} NO FORCE ROW LEVEL SECURITY")
    await _make_months(connection, rows.months)
    for table in tables:
        await connection.execute(f"ALTER TABLE {table['name']} DISABLE TRIGGER USER")
    files = {file.name: file for file in rows.tables}
    for name in await _parents_first(connection, [table["name"] for table in tables]):
        if name in files:
            await _load(connection, files.pop(name), folder, told)
    if files:
        raise ConfigurationError(f"this schema has no table {next(iter(files))}")
    for name, last in rows.sequences.items():
        if last is not None:
            await connection.execute("SELECT setval($1::text::regclass, $2)", name, last)
    for table in tables:
        await connection.execute(f"ALTER TABLE {table['name']} ENABLE TRIGGER USER")
        if table["forced"]:
            await connection.execute(f"ALTER TABLE {table['name']} FORCE ROW LEVEL SECURITY")


@asynccontextmanager
async def _connected(owner_url: str) -> AsyncGenerator[Connection]:
    with translated_faults():
        connection = await asyncpg.connect(plain_url(owner_url), server_settings=_SESSION)
        try:
            yield connection
        except asyncpg.InsufficientPrivilegeError as error:
            hint = "set STRUCTFORGE_DATABASE__OWNER_URL; only the owner saves and restores"
            raise ConfigurationError(f"the database refuses this role: {error}", details={"hint": hint}) from error
        except asyncpg.LockNotAvailableError as error:
            hint = "stop the processes that use the database, and wait for migrations to end"
            raise ConfigurationError("the database is in use", details={"hint": hint}) from error
        finally:
            await connection.close()


async def _revision(connection: Connection) -> str:
    try:
        return str(await connection.fetchval("SELECT version_num FROM alembic_version"))
    except asyncpg.UndefinedTableError:
        hint = "structforge db upgrade makes it"
        raise ConfigurationError("the database has no schema of StructForge", details={"hint": hint}) from None


def _require_readable(tables: list[asyncpg.Record]) -> None:
    if closed := [row["name"] for row in tables if not row["readable"]]:
        hint = "connect as the owner (STRUCTFORGE_DATABASE__OWNER_URL), after structforge db upgrade"
        raise ConfigurationError(f"this role may not read every row of {', '.join(closed[:3])}", details={"hint": hint})


async def _require_empty(connection: Connection, revision: str, tables: list[asyncpg.Record]) -> None:
    found = await _revision(connection)
    if found != revision:
        raise ConfigurationError(
            f"the backup is of schema revision {revision}, and the database of {found}",
            details={"hint": "restore with the version of StructForge that the manifest names, and upgrade afterwards"},
        )
    _require_readable(tables)
    await connection.execute(_PURPOSE)
    for row in tables:
        if await connection.fetchval(_ANY_ROW.format(table=row["name"])):
            raise ConfigurationError(
                f"the database is not empty: there are rows in {row['name']}",
                details={
                    "hint": "restore into a new database, after structforge db upgrade and before the first start"
                },
            )


async def _lock(connection: Connection, tables: list[asyncpg.Record], mode: str) -> None:
    await connection.execute(f"LOCK TABLE {', '.join(row['name'] for row in tables)} IN {mode} MODE")


async def _make_months(connection: Connection, months: list[str]) -> None:
    """Months of the past, so that old rows do not crowd the default partition."""
    for month in months:
        first = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
        for table in PARTITIONED:
            branch = f"{table}_shared"
            if (
                await connection.fetchval("SELECT to_regclass($1)::text", f"{branch}__{month.replace('-', '_')}")
                is None
            ):
                await connection.execute("SELECT add_month($1, $2, $3)", table, branch, first)


async def _parents_first(connection: Connection, names: list[str]) -> list[str]:
    order = TopologicalSorter[str]({name: set() for name in names})
    for row in await connection.fetch(_REFERENCES):
        order.add(row["child"], row["parent"])
    return list(order.static_order())


async def _sequences(connection: Connection) -> dict[str, int | None]:
    names = [row["name"] for row in await connection.fetch(_SEQUENCES)]
    return {name: await connection.fetchval(_LAST.format(sequence=name)) for name in names}


async def _dump(connection: Connection, name: str, columns: list[str], folder: Path, told: Told) -> TableFile:
    with _DigestedFile(table_path(folder, name)) as file, gzip.GzipFile("", "wb", 1, file, mtime=0) as packed:

        async def write(data: bytes) -> None:
            packed.write(data)

        query = _ALL_ROWS.format(columns=", ".join(map(_quoted, columns)), table=name)
        status = await connection.copy_from_query(query, output=write)
    rows = int(status.split()[-1])
    told(name, rows)
    return TableFile(name, columns, rows, file.sha256)


async def _load(connection: Connection, file: TableFile, folder: Path, told: Told) -> None:
    with gzip.open(table_path(folder, file.name)) as packed:

        async def chunks() -> AsyncGenerator[bytes]:
            while chunk := packed.read(CHUNK_BYTES):
                yield chunk

        status = await connection.copy_to_table(file.name, source=chunks(), columns=file.columns)
    rows = int(status.split()[-1])
    if rows != file.rows:
        raise ConfigurationError(f"{file.name}: {rows} rows, and the manifest names {file.rows}")
    told(file.name, rows)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class _DigestedFile:
    """A new file that knows the SHA-256 of what was written to it, and is on disk when the block ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()
        self._file: IO[bytes] | None = None

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def __enter__(self) -> _DigestedFile:
        self._file = self._path.open("xb")
        return self

    def write(self, data: bytes) -> int:
        assert self._file is not None
        self._digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        assert self._file is not None
        self._file.flush()

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
