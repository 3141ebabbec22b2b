"""`structforge db backup` and `structforge db restore`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlsplit, urlunsplit

import typer

from structforge.cli.system import Json, database_commands

if TYPE_CHECKING:
    from engine.settings import Settings
    from structforge.backup_files import Manifest

Folder = Annotated[Path, typer.Argument(help="Folder of the backup.", metavar="DIR")]


def register(_app: typer.Typer) -> None:
    database_commands.command("backup")(backup)
    database_commands.command("restore")(restore)


def backup(
    folder: Folder,
    with_keys: Annotated[bool, typer.Option("--with-keys", help="Put the encryption keys into it, too.")] = False,
    as_json: Json = False,
) -> None:
    """Save the database and the object store, while the installation is at work."""
    from engine.settings import load_settings
    from structforge.cli.terminal import note

    manifest = asyncio.run(_backup(load_settings(), folder, with_keys=with_keys))
    if manifest.objects.damaged:
        note(f"{len(manifest.objects.damaged)} objects are damaged in the store and were left out; see the manifest")
    if manifest.keys and not with_keys:
        note(f"the encryption keys are not in it; restoring needs {', '.join(sorted(manifest.keys))}")
    _tell(manifest, "saved", as_json=as_json)


def restore(
    folder: Folder,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Although credentials cannot be opened then.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put a backup into an empty installation of the same version; all of it or nothing."""
    from engine.settings import load_settings

    manifest = asyncio.run(_restore(load_settings(), folder, without_keys=without_keys))
    _tell(manifest, "restored", as_json=as_json)


async def _backup(settings: Settings, folder: Path, *, with_keys: bool) -> Manifest:
    from structforge.backup import backup as take
    from structforge.cli.terminal import note

    async with _database(settings) as (found, owner_url):
        return await take(found, owner_url, folder, with_keys=with_keys, note=note)


async def _restore(settings: Settings, folder: Path, *, without_keys: bool) -> Manifest:
    from structforge.backup_files import read_manifest, verify
    from structforge.cli.terminal import note
    from structforge.devstack.folder import prepare
    from structforge.restoring import placed_keys
    from structforge.restoring import restore as put

    manifest = read_manifest(folder)
    await verify(folder, manifest)
    if _external(settings) is None:
        prepare(settings.data_dir)
    # Before the servers: an embedded installation makes a key of its own when it has none.
    with placed_keys(settings, folder, manifest, without_keys=without_keys):
        async with _database(settings) as (found, owner_url):
            await put(found, owner_url, folder, manifest, note=note)
    return manifest


@contextlib.asynccontextmanager
async def _database(settings: Settings) -> AsyncGenerator[tuple[Settings, str]]:
    """The settings and the owner's URL: of the external database, of the embedded one that runs, or of one that is
    started for this."""
    from structforge.devstack import folder
    from structforge.devstack.application import running_servers
    from structforge.devstack.postgres import OWNER_ROLE

    if external := _external(settings):
        yield settings, external
    elif (running := folder.find_running(settings.data_dir)) and running.database_url:
        password = folder.load_secrets(settings.data_dir).postgres_owner
        yield settings, _as_role(running.database_url, OWNER_ROLE, password)
    else:
        async with running_servers(settings) as endpoints:
            yield endpoints.settings, endpoints.owner_url


def _external(settings: Settings) -> str | None:
    url = settings.database.owner_url or settings.database.url
    return url.get_secret_value() if url else None


def _as_role(url: str, role: str, password: str) -> str:
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{quote(password, safe='')}@{address}"))


def _tell(manifest: Manifest, done: str, *, as_json: bool) -> None:
    from structforge.cli.terminal import out, print_json

    rows = sum(table.rows for table in manifest.tables)
    if as_json:
        told: dict[str, Any] = {
            "version": manifest.version,
            "revision": manifest.revision,
            "taken_at": manifest.taken_at,
            "rows": rows,
            "objects": manifest.objects.count,
            "damaged_objects": manifest.objects.damaged,
            "keys": sorted(manifest.keys),
            "with_keys": manifest.keys_sha256 is not None,
        }
        return print_json(told)
    out().print(f"{done}: {rows} rows of {len(manifest.tables)} tables, {manifest.objects.count} objects")
    return None
