"""SQLite databases among a tenant's files."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from engine.errors import INVALID_CONFIG, NodeError
from engine.nodes.storage.faults import as_node_errors, not_a_file
from engine.nodes.storage.paths import check_tenant, split_path

SUFFIXES = (".db", ".sqlite", ".sqlite3")  # whose journals `storage.paths` keeps from being written
# The end of a journal that names another one: rolling it back, SQLite would read and delete the file of that name.
_NAMES_ANOTHER_JOURNAL = bytes.fromhex("d9d505f920a163d7")


def locate_database(root: Path, tenant: str, path: str) -> Path:
    """The path of a database below the tenant's folder, whose folders are made.

    Links are refused: SQLite follows them. Tenants cannot make links, so looking before it opens is enough.

    Raises: NodeError INVALID_CONFIG.
    """
    parts = split_path(path)
    if not path.lower().endswith(SUFFIXES):
        raise NodeError(f"an SQLite file ends with {', '.join(SUFFIXES)}", code=INVALID_CONFIG, details={"path": path})
    folder = root / check_tenant(tenant)
    with as_node_errors(path):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in parts[:-1]:
            folder = folder / part
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            if not stat.S_ISDIR(folder.lstat().st_mode):
                raise not_a_file(path)
        for name in (parts[-1], f"{parts[-1]}-journal", f"{parts[-1]}-wal", f"{parts[-1]}-shm"):
            _check_plain(folder / name, path)
    return folder / parts[-1]


def _check_plain(file: Path, shown: str) -> None:
    try:
        status = file.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode):
        raise not_a_file(shown)
    if file.name.endswith("-journal") and _tail(file) == _NAMES_ANOTHER_JOURNAL:
        raise NodeError(f"the journal of {shown} names another file and is not used", code=INVALID_CONFIG)


def _tail(file: Path) -> bytes:
    with file.open("rb") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(max(size - 8, 0))
        return opened.read(8)
