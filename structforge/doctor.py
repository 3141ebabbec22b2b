"""`structforge doctor`: what stands between this machine and a working StructForge, each with its remedy."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import httpx2
from pydantic import SecretStr
from redis.asyncio import Redis

from engine.activities.clients.objects import ObjectStore
from engine.activities.clients.temporal import connect, protection_of
from engine.activities.clients.tls import check_api, check_client, context_for_own_api, days_left
from engine.errors import StructForgeError
from engine.nodes.plugins.discovery import Plugin
from engine.nodes.registry import catalogue_of
from engine.settings import Settings
from models.keyring import Keys
from models.migrations import at_head
from structforge.devstack import folder
from structforge.devstack.binaries import find_pg_bin, find_temporal, find_valkey
from structforge.devstack.ports import is_free

MINIMUM_PYTHON = (3, 11)
MINIMUM_DISK_BYTES = 1_000_000_000
TIMEOUT_S = 5.0
EXPIRY_WARNING_DAYS = 14


@dataclass(frozen=True, slots=True)
class Check:
    """One finding; `hint` says how to mend it and is empty when `ok`."""

    name: str
    ok: bool
    detail: str
    hint: str = ""


async def diagnose(settings: Settings) -> list[Check]:
    """All checks, in the order a person would mend them. Changes nothing but a temporary file in the data folder."""
    running = await asyncio.to_thread(folder.find_running, settings.data_dir)
    settings = settings if running is None else settings.override(_addresses(running, settings))
    local = [_python(), *_programs(settings), _data_folder(settings.data_dir), _disk(settings.data_dir)]
    ports = _ports(settings, running)
    reach = await asyncio.gather(*(probe for probe in _reach(settings, running)))
    return [*local, *ports, *_certificates(settings), *_codec(settings), *_plugins(settings), *reach]


def _addresses(running: folder.RunningServer, settings: Settings) -> dict[str, dict[str, str | None]]:
    """Where the running server's embedded parts are, for those that have no address of their own."""
    return {
        "database": {} if settings.database.url else {"url": running.database_url},
        "redis": {} if settings.redis.url else {"url": running.redis_url},
        "temporal": {} if settings.temporal.address else {"address": running.temporal_address},
    }


def _python() -> Check:
    ok = sys.version_info >= MINIMUM_PYTHON
    return Check("python", ok, sys.version.split()[0], "" if ok else "install Python 3.11 or newer")


def _programs(settings: Settings) -> list[Check]:
    finders: list[tuple[str, object, Callable[[], Path]]] = [
        ("postgres program", settings.database.url, lambda: find_pg_bin(settings.embedded.postgres_bin)),
        ("valkey program", settings.redis.url, find_valkey),
        ("temporal program", settings.temporal.address, find_temporal),
    ]
    return [_program(name, find) for name, external, find in finders if external is None]


def _program(name: str, find: Callable[[], Path]) -> Check:
    try:
        return Check(name, True, str(find()))
    except StructForgeError as error:
        return Check(name, False, "not found", error.message)


def _data_folder(data_dir: Path) -> Check:
    existing = _nearest_existing(data_dir)
    try:
        with tempfile.TemporaryFile(dir=existing):
            return Check("data folder", True, str(data_dir))
    except OSError as error:
        hint = "set STRUCTFORGE_DATA_DIR to a folder that can be written"
        return Check("data folder", False, f"{existing}: {error.strerror}", hint)


def _disk(data_dir: Path) -> Check:
    free = shutil.disk_usage(_nearest_existing(data_dir)).free
    ok = free >= MINIMUM_DISK_BYTES
    return Check("disk", ok, f"{free / 1e9:.1f} GB free", "" if ok else "free at least 1 GB for the data folder")


def _nearest_existing(path: Path) -> Path:
    return next(part for part in (path, *path.parents) if part.is_dir())


def _certificates(settings: Settings) -> list[Check]:
    """One line for each server that is reached over TLS, and one for each certificate that is shown to others."""
    checks: list[tuple[str, Callable[[], None]]] = [
        (f"tls {section.lower()}", partial(check_client, section, server))
        for section, server in (
            ("TEMPORAL", settings.temporal),
            ("DATABASE", settings.database),
            ("REDIS", settings.redis),
        )
        if server.uses_tls
    ]
    if settings.api.tls_cert is not None:
        checks.append(("tls api", partial(check_api, settings.api)))
    found = [_certificate(name, check) for name, check in checks]
    if not all(one.ok for one in found):
        return found
    return [*found, *(_expiry(variable, days) for variable, days in days_left(settings))]


def _certificate(name: str, check: Callable[[], None]) -> Check:
    try:
        check()
    except StructForgeError as error:
        return Check(name, False, error.message, "give a PEM file that this process may read, and its matching key")
    return Check(name, True, "certificates can be used")


def _expiry(variable: str, days: float) -> Check:
    hint = "" if days > EXPIRY_WARNING_DAYS else "renew it"
    return Check(f"expiry of {variable}", not hint, f"{days:.0f} days left", hint)


def _codec(settings: Settings) -> list[Check]:
    if not settings.codec.encrypt:
        return []
    try:
        ring = Keys(settings).ring()
    except StructForgeError as error:
        return [Check("payload keys", False, error.message, "make them, or set STRUCTFORGE_CODEC__ENCRYPT=false")]
    return [Check("payload keys", True, f"{len(ring.keys)}, sealing with {ring.active}")]


def _plugins(settings: Settings) -> list[Check]:
    """One line a plugin, and one for each route that leads nowhere."""
    catalogue = catalogue_of(settings)
    return [
        *(_plugin(plugin) for plugin in catalogue.plugins),
        *(Check("routes", False, problem.message, problem.hint) for problem in catalogue.route_problems),
    ]


def _plugin(plugin: Plugin) -> Check:
    name = f"plugin {plugin.name}"
    if plugin.problems:
        hint = next((problem.hint for problem in plugin.problems if problem.hint), "")
        return Check(name, False, "; ".join(problem.message for problem in plugin.problems), hint)
    return Check(name, True, f"{plugin.version} with {' '.join(item.type for item in plugin.types)}".strip())


def _ports(settings: Settings, running: folder.RunningServer | None) -> list[Check]:
    embedded = settings.embedded
    wanted = [("STRUCTFORGE_API__PORT", settings.api.port, True)]
    wanted += [("STRUCTFORGE_EMBEDDED__POSTGRES_PORT", embedded.postgres_port, settings.database.url is None)]
    wanted += [("STRUCTFORGE_EMBEDDED__REDIS_PORT", embedded.redis_port, settings.redis.url is None)]
    temporal = settings.temporal.address is None
    wanted += [("STRUCTFORGE_EMBEDDED__TEMPORAL_PORT", embedded.temporal_port, temporal)]
    wanted += [("STRUCTFORGE_EMBEDDED__TEMPORAL_UI_PORT", embedded.temporal_ui_port, temporal)]
    return [_port(variable, port, running) for variable, port, used in wanted if used and port]


def _port(variable: str, port: int, running: folder.RunningServer | None) -> Check:
    name = f"port {port}"
    if is_free(port):
        return Check(name, True, "free")
    if running is not None:
        return Check(name, True, f"in use; the server on this data folder runs as pid {running.pid}")
    return Check(name, False, "in use by another program", f"set {variable} to another port, or to 0 for any free one")


def _reach(settings: Settings, running: folder.RunningServer | None) -> list[Awaitable[Check]]:
    probes: list[Awaitable[Check]] = []
    if settings.database.url:
        probes.append(_probe("database", "STRUCTFORGE_DATABASE__URL", _database(settings.database.url)))
        probes.append(_probe("migrations", "STRUCTFORGE_DATABASE__OWNER_URL", _migrations(settings.database.url)))
    if settings.redis.url:
        probes.append(_probe("redis", "STRUCTFORGE_REDIS__URL", _redis(settings.redis.url)))
    if settings.temporal.address:
        probes.append(_probe("temporal", "TEMPORAL_ADDRESS", _temporal(settings)))
    if running is not None and running.api_url:
        probes.append(_probe("api", "STRUCTFORGE_API__PORT", _api(running.api_url, settings)))
    return probes


async def _probe(name: str, variable: str, work: Awaitable[str]) -> Check:
    try:
        return Check(name, True, await asyncio.wait_for(work, TIMEOUT_S))
    except TimeoutError:
        return Check(name, False, f"no answer within {TIMEOUT_S:g} s", f"check {variable} and the network between")
    except Exception as error:
        # Whatever a driver raises is the finding; the text of the error is what helps.
        return Check(name, False, f"{type(error).__name__}: {error}", f"check {variable}")


async def _database(url: SecretStr) -> str:
    connection = await asyncpg.connect(_plain(url), timeout=TIMEOUT_S)
    try:
        version = await connection.fetchval("SHOW server_version")
        row = await connection.fetchrow(
            "SELECT rolname, rolsuper OR rolbypassrls AS free FROM pg_roles WHERE rolname = current_user"
        )
    finally:
        await connection.close()
    assert row is not None
    if row["free"]:
        raise StructForgeError(f"role {row['rolname']} bypasses row-level security; use a role that does not")
    return f"PostgreSQL {version} as {row['rolname']}"


async def _migrations(url: SecretStr) -> str:
    if not await at_head(_plain(url)):
        raise StructForgeError("the database is behind this version: run `structforge db upgrade`")
    return "at the newest revision"


def _plain(url: SecretStr) -> str:
    return url.get_secret_value().replace("postgresql+asyncpg://", "postgresql://", 1)


async def _redis(url: SecretStr) -> str:
    client = Redis.from_url(url.get_secret_value(), socket_timeout=TIMEOUT_S)
    try:
        await client.ping()
        return "answers"
    finally:
        await client.aclose()


async def _temporal(settings: Settings) -> str:
    address = settings.temporal.address or ""
    if settings.temporal.uses_tls:
        await connect(address, settings.temporal.namespace, ObjectStore.open("memory:///"), protection_of(settings))
        return f"{address} answers over TLS"
    # A connection is enough here; the SDK would spend seconds on its own retries.
    parts = urlsplit(f"//{address}")
    _, writer = await asyncio.open_connection(parts.hostname, parts.port or 7233)
    writer.close()
    return f"{address} accepts connections"


async def _api(url: str, settings: Settings) -> str:
    verify = context_for_own_api(settings.api) or True
    async with httpx2.AsyncClient(timeout=TIMEOUT_S, trust_env=False, verify=verify) as client:
        answer = await client.get(f"{url}/readyz")
    answer.raise_for_status()
    return f"{url} is ready"
