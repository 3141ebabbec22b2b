"""Puts a backup into an empty installation."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator
from pathlib import Path

from engine.activities.clients.objects import ObjectStore
from engine.errors import ConfigurationError
from engine.settings import Settings
from models.backup import load_rows, require_empty
from models.keyring import Keys, read_keys, write_keys
from models.sealing import Keyring
from models.tenancy import TenantId
from structforge import backup_files as files
from structforge.backup import AT_ONCE, Note, telling


async def restore(
    settings: Settings, owner_url: str, source: Path, manifest: files.Manifest, *, note: Note = lambda _: None
) -> None:
    """Fill the database and the object store from a backup that `files.verify` found whole.

    Objects come first: without their rows they are nothing, and a second try writes them again. The rows come in one
    transaction.
    Raises: ConfigurationError if the installation is not empty, of another revision or in use; SystemFault if the
    database or the object store is away.
    """
    await require_empty(owner_url, manifest.revision)
    store, target = files.store_in(source), ObjectStore.of(settings)
    listed = files.listed_objects(source)
    for start in range(0, len(listed), AT_ONCE):
        await asyncio.gather(*(_put(store, target, *one) for one in listed[start : start + AT_ONCE]))
    note(f"objects: {len(listed)}")
    await load_rows(owner_url, source / files.TABLES, manifest.rows, telling(note))


async def _put(source: ObjectStore, target: ObjectStore, tenant: TenantId, sha256: str) -> None:
    await target.put(tenant, await files.read_object(source, tenant, sha256))


@contextlib.contextmanager
def placed_keys(settings: Settings, source: Path, manifest: files.Manifest, *, without_keys: bool) -> Generator[None]:
    """Have the keys that open the backup's secrets: the installation's own, or those that the backup brings.

    A file of keys that is made for it is removed if the block fails.
    Raises: ConfigurationError if a key is missing, unless `without_keys`.
    """
    keys = Keys(settings)
    made = False
    if manifest.keys_sha256 is not None and not keys.in_settings and not without_keys:
        made = write_keys(keys.path, read_keys(source / files.KEYS))
    try:
        if not without_keys:
            _require_keys(manifest, _ring(keys), keys)
        yield
    except BaseException:
        if made:
            keys.path.unlink(missing_ok=True)
        raise


def _ring(keys: Keys) -> Keyring | None:
    return keys.ring() if keys.in_settings or keys.path.exists() else None


def _require_keys(manifest: files.Manifest, ring: Keyring | None, keys: Keys) -> None:
    missing = files.missing_keys(manifest, ring)
    if not missing:
        return
    place = "STRUCTFORGE_ENCRYPTION__KEYS" if keys.in_settings else str(keys.path)
    if manifest.keys_sha256 is not None:
        hint = f"{place} holds other keys: remove them, if nothing is sealed with them, and the backup's are put there"
    else:
        hint = f"put the keys of the saved installation to {place}; --without-keys restores what is not secret"
    raise ConfigurationError(f"encryption keys of the backup are missing: {', '.join(missing)}", details={"hint": hint})
