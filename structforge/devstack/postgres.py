"""Embedded PostgreSQL: cluster, roles and database.

Two roles beside the superuser, as row-level security needs them: `structforge_owner` owns the database and migrates,
`structforge_app` serves; neither is superuser or may bypass row security.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path

import asyncpg

from engine.errors import ConfigurationError
from structforge.devstack.folder import StackSecrets
from structforge.devstack.ports import LOOPBACK
from structforge.devstack.process import Command, log_tail, run
from structforge.devstack.unprivileged import Account, place_cluster, place_programs

DATABASE = "structforge"
OWNER_ROLE = "structforge_owner"
APP_ROLE = "structforge_app"
SUPERUSER = "postgres"
ROLE_ATTRIBUTES = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"

SERVER_OPTIONS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    # One machine with a warm page cache gains nothing from extra reader processes, and they cost memory and start time.
    "io_method": "sync",
    # Fewer, larger checkpoints: a burst of executions otherwise writes each page twice.
    "max_wal_size": "1GB",
}


class PostgresServer:
    """The embedded database on `port`, its files where `account` can reach them."""

    name = "postgres"

    def __init__(self, data_dir: Path, pg_bin: Path, port: int, secrets: StackSecrets, account: Account) -> None:
        self._data_dir = data_dir
        self._pg_bin = pg_bin
        self._port = port
        self._secrets = secrets
        self._account = account

    @property
    def app_url(self) -> str:
        return self._url(APP_ROLE, self._secrets.postgres_app)

    @property
    def owner_url(self) -> str:
        return self._url(OWNER_ROLE, self._secrets.postgres_owner)

    async def prepare(self) -> Command:
        """Create the cluster on first use. Raises: ConfigurationError with initdb's own words."""
        programs = await asyncio.to_thread(place_programs, self._pg_bin, self._account)
        home = await asyncio.to_thread(place_cluster, self._data_dir, self._account)
        cluster = home / "data"
        if not cluster.exists():
            await self._create_cluster(programs, home)
        options = {**SERVER_OPTIONS, "port": str(self._port)}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for every client.
        return self._command([str(programs / "postgres"), "-D", str(cluster), *settings], stop=signal.SIGINT)

    async def is_ready(self) -> bool:
        try:
            connection = await self._connect("postgres")
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.InterfaceError):
            return False
        try:
            await self._ensure_roles(connection)
            await self._ensure_database(connection)
        finally:
            await connection.close()
        return True

    async def _create_cluster(self, programs: Path, home: Path) -> None:
        draft, password_file = home / "data.new", home / "initdb-password"
        await asyncio.to_thread(self._clear, draft, password_file)
        argv = [str(programs / "initdb"), "-D", str(draft), "-U", SUPERUSER, "--pwfile", str(password_file)]
        argv += ["--auth", "scram-sha-256", "--locale-provider=builtin", "--locale=C.UTF-8", "--encoding=UTF8"]
        try:
            code = await run(self._command([*argv, "--no-sync", "--no-instructions"]))
        finally:
            password_file.unlink(missing_ok=True)
        if code != 0:
            raise ConfigurationError(f"initdb failed ({code}):\n{log_tail(self._log)}")
        # Under its final name only when whole: a start that was killed half-way begins afresh.
        draft.rename(home / "data")

    def _clear(self, draft: Path, password_file: Path) -> None:
        shutil.rmtree(draft, ignore_errors=True)
        password_file.unlink(missing_ok=True)
        descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self._secrets.postgres_superuser)
        if not self._account.is_current:
            os.chown(password_file, self._account.uid, self._account.gid)

    async def _ensure_roles(self, connection: asyncpg.Connection) -> None:
        passwords = {OWNER_ROLE: self._secrets.postgres_owner, APP_ROLE: self._secrets.postgres_app}
        for role, password in passwords.items():
            exists = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role)
            if not exists:
                # Names and passwords are our own (URL-safe characters); DDL takes no parameters.
                await connection.execute(f"CREATE ROLE {role} {ROLE_ATTRIBUTES} PASSWORD '{password}'")

    async def _ensure_database(self, connection: asyncpg.Connection) -> None:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER_ROLE}")
        await connection.execute(f"REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC")
        await connection.execute(f"GRANT CONNECT ON DATABASE {DATABASE} TO {APP_ROLE}")

    async def _connect(self, database: str) -> asyncpg.Connection:
        return await asyncpg.connect(
            host=LOOPBACK,
            port=self._port,
            user=SUPERUSER,
            password=self._secrets.postgres_superuser,
            database=database,
            timeout=5,
            ssl=False,
        )

    @property
    def _log(self) -> Path:
        return self._data_dir / "logs" / "postgres.log"

    def _command(self, argv: list[str], stop: signal.Signals = signal.SIGTERM) -> Command:
        return Command(
            name=self.name,
            argv=argv,
            log=self._log,
            environment={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
            user=self._account.argument,
            stop_signal=stop,
            death_signal=signal.SIGINT,
        )

    def _url(self, role: str, password: str) -> str:
        return f"postgresql://{role}:{password}@{LOOPBACK}:{self._port}/{DATABASE}"
