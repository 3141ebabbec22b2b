"""A backup on disk: a folder with rows, objects and a manifest that says what each of them must be.

DIR/manifest.json, DIR/tables/NAME.gz, DIR/objects/{tenant}/{two digits}/{sha256}, DIR/objects.txt, and DIR/keys.json
if it was made with the keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.activities.clients.objects import ObjectStore
from engine.errors import ConfigurationError, NotFound, SystemFault
from models.backup import Rows, TableFile, table_path
from models.sealing import Keyring
from models.tenancy import TenantId, mint_tenant

MANIFEST, TABLES, OBJECTS, OBJECT_LIST, KEYS = "manifest.json", "tables", "objects", "objects.txt", "keys.json"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Table(_Part):
    """One table's file; see `models.backup.TableFile`."""

    name: str
    columns: list[str]
    rows: int
    sha256: str


class Objects(_Part):
    """`sha256` is of the list. `damaged` were so in the store already, and are left out."""

    count: int
    sha256: str
    damaged: list[str]


class Manifest(_Part):
    """What a backup holds. `keys`: fingerprints of the keys that its secrets are sealed with, by their ids."""

    format: Literal[1] = 1
    version: str
    revision: str
    taken_at: datetime
    tables: list[Table]
    sequences: dict[str, int | None]
    months: list[str]
    objects: Objects
    keys: dict[str, str]
    keys_sha256: str | None
    digest: str = ""

    @property
    def rows(self) -> Rows:
        """As the database takes them."""
        files = [TableFile(**table.model_dump()) for table in self.tables]
        return Rows(self.revision, files, self.sequences, self.months)

    def sealed(self) -> Self:
        """The same with the digest of all the rest."""
        return self.model_copy(update={"digest": self._digest()})

    @property
    def is_whole(self) -> bool:
        return self.digest == self._digest()

    def _digest(self) -> str:
        return hashlib.sha256(self.model_dump_json(exclude={"digest"}).encode()).hexdigest()


def tables_of(rows: Rows) -> list[Table]:
    return [Table(**asdict(file)) for file in rows.tables]


def read_manifest(folder: Path) -> Manifest:
    """Raises: ConfigurationError if there is none, it is damaged, or a newer version wrote it."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{folder} is no backup: {MANIFEST} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise damaged(MANIFEST) from error
    if not manifest.is_whole:
        raise damaged(MANIFEST)
    return manifest


async def verify(folder: Path, manifest: Manifest) -> None:
    """Read everything and hold it against the manifest. Raises: ConfigurationError naming what is damaged."""
    for table in manifest.tables:
        require_digest(table_path(folder / TABLES, table.name), table.sha256)
    if manifest.keys_sha256 is not None:
        require_digest(folder / KEYS, manifest.keys_sha256)
    require_digest(folder / OBJECT_LIST, manifest.objects.sha256)
    store = store_in(folder)
    listed = listed_objects(folder)
    if len(listed) != manifest.objects.count:
        raise damaged(OBJECT_LIST)
    for tenant, sha256 in listed:
        await read_object(store, tenant, sha256)


async def read_object(store: ObjectStore, tenant: TenantId, sha256: str) -> bytes:
    """An object of a backup. Raises: ConfigurationError if it is missing or damaged."""
    try:
        return await store.get(tenant, sha256)
    except (NotFound, SystemFault) as error:
        raise damaged(f"{OBJECTS}/{tenant}/{sha256[:2]}/{sha256}") from error


def store_in(folder: Path) -> ObjectStore:
    return ObjectStore.open((folder / OBJECTS).absolute().as_uri())


def listed_objects(folder: Path) -> list[tuple[TenantId, str]]:
    """Raises: ConfigurationError if the list is damaged."""
    lines = (folder / OBJECT_LIST).read_text(encoding="ascii").splitlines()
    try:
        return [(mint_tenant(tenant), sha256) for tenant, sha256 in (line.split("/") for line in lines)]
    except ValueError as error:
        raise damaged(OBJECT_LIST) from error


def require_digest(path: Path, sha256: str) -> None:
    """Raises: ConfigurationError if the file is missing or another."""
    if not path.is_file() or file_digest(path) != sha256:
        raise damaged(path.name)


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprints(keys: Mapping[str, bytes]) -> dict[str, str]:
    """What tells a key from another and nothing of the key."""
    return {name: hashlib.sha256(b"structforge key\0" + key).hexdigest()[:16] for name, key in keys.items()}


def missing_keys(manifest: Manifest, ring: Keyring | None) -> list[str]:
    """Ids of the backup's keys that this ring has not, or has otherwise."""
    held = fingerprints(ring.keys) if ring else {}
    return sorted(name for name, mark in manifest.keys.items() if held.get(name) != mark)


def damaged(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"the backup is damaged: {what} is not what was written", details={"hint": "nothing was restored"}
    )
