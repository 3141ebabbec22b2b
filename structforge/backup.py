"""Takes a backup of an installation while it is at work."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from engine.activities.clients.objects import ObjectStore
from engine.errors import ConfigurationError, NotFound, SystemFault
from engine.settings import Settings
from models.backup import Rows, dump_rows
from models.keyring import Keys, write_keys
from models.sealing import Keyring
from models.tenancy import TenantId, mint_tenant
from structforge import backup_files as files

AT_ONCE = 16
Note = Callable[[str], None]


async def backup(
    settings: Settings, owner_url: str, target: Path, *, with_keys: bool = False, note: Note = lambda _: None
) -> files.Manifest:
    """Write the folder `target`, mode 0700, under its name only when it is whole.

    Raises: ConfigurationError if the folder is there, the role may not read every row, or keys are wanted and there
    are none; Conflict during a migration; SystemFault if the database or the object store is away.
    """
    ring = _ring(settings, required=with_keys)
    draft = _draft_of(target)
    try:
        manifest = await _fill(settings, owner_url, draft, ring, with_keys, note)
        _publish(draft, target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return manifest


async def _fill(
    settings: Settings, owner_url: str, folder: Path, ring: Keyring | None, with_keys: bool, note: Note
) -> files.Manifest:
    copy = _Copy(ObjectStore.of(settings), files.store_in(folder))
    # What a row of the snapshot refers to is there when the rows are read, or was written after. Copied before, it
    # cannot be swept on the way; copied after, it is too young for that.
    await copy.all_new()
    note(f"objects: {len(copy.done)}")
    taken_at = datetime.now(UTC)
    rows = await dump_rows(owner_url, folder / files.TABLES, telling(note))
    await copy.all_new()
    if with_keys and ring is not None:
        write_keys(folder / files.KEYS, ring)
    manifest = _manifest(folder, rows, copy, taken_at, ring, with_keys)
    _write(folder / files.MANIFEST, manifest.model_dump_json(indent=2) + "\n")
    return manifest


def _manifest(
    folder: Path, rows: Rows, copy: _Copy, taken_at: datetime, ring: Keyring | None, with_keys: bool
) -> files.Manifest:
    listed = folder / files.OBJECT_LIST
    _write(listed, "".join(f"{tenant}/{sha256}\n" for tenant, sha256 in sorted(copy.done, key=str)))
    objects = files.Objects(
        count=len(copy.done),
        sha256=files.file_digest(listed),
        damaged=sorted(f"{tenant}/{sha256}" for tenant, sha256 in copy.damaged),
    )
    return files.Manifest(
        version=installed_version(),
        revision=rows.revision,
        taken_at=taken_at,
        tables=files.tables_of(rows),
        sequences=rows.sequences,
        months=rows.months,
        objects=objects,
        keys=files.fingerprints(ring.keys) if ring else {},
        keys_sha256=files.file_digest(folder / files.KEYS) if with_keys else None,
    ).sealed()


def telling(note: Note) -> Callable[[str, int], None]:
    """Notes of the tables that have rows."""
    return lambda table, count: note(f"{table}: {count} rows") if count else None


@dataclass(slots=True)
class _Copy:
    """Objects from one store to another, each once."""

    source: ObjectStore
    target: ObjectStore
    done: set[tuple[TenantId, str]] = field(default_factory=set[tuple[TenantId, str]])
    damaged: set[tuple[TenantId, str]] = field(default_factory=set[tuple[TenantId, str]])

    async def all_new(self) -> None:
        waiting: list[tuple[TenantId, str]] = []
        async for tenant_id, sha256 in self.source.all_objects():
            found = (mint_tenant(tenant_id), sha256)
            if found not in self.done and found not in self.damaged:
                waiting.append(found)
            if len(waiting) == AT_ONCE:
                await asyncio.gather(*(self._one(*each) for each in waiting))
                waiting.clear()
        await asyncio.gather(*(self._one(*each) for each in waiting))

    async def _one(self, tenant: TenantId, sha256: str) -> None:
        try:
            data = await self.source.get(tenant, sha256)
        except NotFound:
            return  # swept a moment ago: nothing refers to it
        except SystemFault as error:
            if error.code != "OBJECT_DAMAGED":
                raise
            self.damaged.add((tenant, sha256))
            return
        await self.target.put(tenant, data)
        self.done.add((tenant, sha256))


def installed_version() -> str:
    try:
        return version("structforge")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"


def _ring(settings: Settings, *, required: bool) -> Keyring | None:
    keys = Keys(settings)
    if not required and not keys.in_settings and not keys.path.exists():
        return None
    return keys.ring()


def _draft_of(target: Path) -> Path:
    """A new folder beside the target, whose name must be free."""
    target = target.absolute()
    if target.exists():
        raise ConfigurationError(f"{target} is there already", details={"hint": "name a new folder for each backup"})
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        draft.mkdir(mode=0o700)
        (draft / files.TABLES).mkdir()
    except OSError as error:
        raise ConfigurationError(f"cannot write to {target.parent}: {error.strerror}") from error
    return draft


def _publish(draft: Path, target: Path) -> None:
    try:
        draft.rename(target)
    except OSError as error:  # somebody made it meanwhile
        raise ConfigurationError(f"cannot make {target}: {error.strerror}") from error
    parent = os.open(target.absolute().parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _write(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
