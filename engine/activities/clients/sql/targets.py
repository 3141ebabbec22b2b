"""Where a database is: a credential's URL or a tenant's file, checked, as the arguments of a driver.

    postgresql://user:password@host:5432/name?sslmode=verify-full
    mysql://user:password@host:3306/name?sslmode=require
    sqlite:///data/x.db             below the tenant's folder
    sqlite:////srv/data/x.db        an absolute path, in a credential that is trusted

`sslmode` is disable, prefer (PostgreSQL's default), require, verify-ca or verify-full, with `sslrootcert` for an own
authority. No other option is understood, for some let a URL read files or reach another host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from engine.activities.clients.sql.tenant_files import locate_database
from engine.errors import INVALID_CONFIG, NodeError
from engine.nodes.context import Credential
from engine.nodes.outbound.addresses import HttpPolicy
from engine.nodes.outbound.connections import permitted_address, tls_context
from engine.nodes.querying.port import DatabaseRequest
from engine.nodes.querying.statements import Dialect

_DIALECTS: Mapping[str, Dialect] = {
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "sqlite": "sqlite",
}
_DRIVERS: Mapping[Dialect, str] = {
    "postgresql": "postgresql+asyncpg",
    "mysql": "mysql+aiomysql",
    "sqlite": "sqlite+aiosqlite",
}
_PORTS: Mapping[Dialect, int] = {"postgresql": 5432, "mysql": 3306, "sqlite": 0}
_MODES = ("disable", "prefer", "require", "verify-ca", "verify-full")
_CONNECT_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Target:
    """One database. `url` holds the password, `host` is what errors may show; `file` is set for SQLite alone."""

    dialect: Dialect
    url: URL
    host: str
    connect_args: dict[str, Any] = field(default_factory=dict[str, Any])
    file: Path | None = None

    @property
    def key(self) -> str:
        """Equal for targets that may share connections. Holds the password."""
        tls = self.connect_args.get("ssl")
        return f"{self.url.render_as_string(hide_password=False)} {type(tls).__name__ if tls is not None else ''}"

    @property
    def secrets(self) -> list[str]:
        return [str(self.url.password)] if self.url.password else []


async def find_target(request: DatabaseRequest, files_root: Path, policy: HttpPolicy) -> Target:
    """The request's database.

    Raises: NodeError INVALID_CONFIG if it names none, or one that cannot be; ACCESS_DENIED, BLOCKED_ADDRESS.
    """
    if request.credential is None and request.sqlite_file is None:
        raise _invalid("a database node needs a credential of type connection, or sqlite_file")
    if request.credential is None:
        return _file_target(locate_database(files_root, request.tenant, request.sqlite_file or ""))
    if request.sqlite_file is not None:
        raise _invalid("a database node takes a credential or sqlite_file, not both")
    url, dialect = _parsed(request.credential)
    if dialect == "sqlite":
        return _sqlite_target(url, request, files_root)
    return await _server_target(url, dialect, request.credential, policy)


def _parsed(credential: Credential) -> tuple[URL, Dialect]:
    if credential["type"] != "connection":
        raise _invalid(f"a credential of type {credential['type']} opens no database: use connection")
    try:
        url = make_url(credential.get("url", ""))
        _ = url.port
    except (ArgumentError, ValueError):
        raise _invalid("the credential's url is no URL of a database") from None
    dialect = _DIALECTS.get(url.drivername.partition("+")[0])
    if dialect is None:
        raise _invalid("the credential's url must begin with postgresql://, mysql://, mariadb:// or sqlite://")
    return url, dialect


def _sqlite_target(url: URL, request: DatabaseRequest, files_root: Path) -> Target:
    path = url.database or ""
    if url.query or url.host:
        raise _invalid("an SQLite url holds a path alone: sqlite:///data/x.db")
    if not path.startswith("/"):
        return _file_target(locate_database(files_root, request.tenant, path))
    if request.credential is None or request.credential.get("trusted") is not True:
        raise _invalid("an SQLite path must be relative to the tenant's folder: sqlite:///data/x.db")
    return _file_target(Path(path))


def _file_target(path: Path) -> Target:
    return Target("sqlite", URL.create(_DRIVERS["sqlite"], database=str(path)), path.name, file=path)


async def _server_target(url: URL, dialect: Dialect, credential: Credential, policy: HttpPolicy) -> Target:
    host, port = url.host or "", url.port or _PORTS[dialect]
    if not host or host.startswith("/"):
        raise _invalid("the credential's url names no host")
    if not url.username:
        raise _invalid("the credential's url names no user")
    unknown = sorted(url.query.keys() - {"sslmode", "sslrootcert"})
    if unknown:
        raise _invalid(f"the credential's url has options that are not understood: {', '.join(unknown)}")
    address = await permitted_address(credential, host, port, policy)
    reached = URL.create(_DRIVERS[dialect], url.username, url.password or "", address, port, url.database)
    arguments = _arguments(dialect, _tls(url, dialect, host, credential))
    return Target(dialect, reached, host, arguments)


def _tls(url: URL, dialect: Dialect, host: str, credential: Credential) -> Any:
    """What the driver takes as `ssl`; None is no TLS."""
    mode = str(url.query.get("sslmode", "prefer" if dialect == "postgresql" else "disable"))
    ca_file = url.query.get("sslrootcert")
    if mode not in _MODES or (mode == "prefer" and dialect == "mysql"):
        raise _invalid("sslmode of the credential's url must be disable, require, verify-ca or verify-full")
    if ca_file is not None and credential.get("trusted") is not True:
        raise _invalid("only an operator's credential may name a file by sslrootcert")
    if mode in ("disable", "prefer"):
        return None if mode == "disable" else "prefer"
    verify = mode != "require" or ca_file is not None
    try:
        return tls_context(
            host, verify=verify, check_name=mode == "verify-full", ca_file=None if ca_file is None else str(ca_file)
        )
    except OSError:
        raise _invalid("the file that sslrootcert names cannot be read") from None


def _arguments(dialect: Dialect, tls: Any) -> dict[str, Any]:
    if dialect == "mysql":
        return {"connect_timeout": _CONNECT_TIMEOUT_S, "charset": "utf8mb4", "local_infile": False, "ssl": tls}
    return {
        "timeout": _CONNECT_TIMEOUT_S,
        "ssl": False if tls is None else tls,
        # A session is cleared after each use, and with it what was prepared.
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "server_settings": {"application_name": "structforge", "TimeZone": "UTC", "DateStyle": "ISO"},
    }


def _invalid(message: str) -> NodeError:
    return NodeError(message, code=INVALID_CONFIG)
