"""Tenants' files on a local disk.

Every path is walked part by part with `dir_fd` and O_NOFOLLOW, so that a link put there in the meantime is not followed
either. A write goes into a temporary file of the same folder and is renamed, so that a reader sees the old content or
the new one. Blocking work is done in threads.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from engine.errors import RESOURCE_EXHAUSTED, NodeError
from engine.nodes.ports import FileEntry
from engine.nodes.storage.faults import as_node_errors, not_a_file, too_large
from engine.nodes.storage.paths import TEMPORARY_PREFIX, check_tenant, split_path

_T = TypeVar("_T")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a named pipe must fail the check below, not hang on it.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CHUNK_BYTES = 1 << 20
_DEEPEST_LISTING = 32


class LocalFiles:
    """Fulfils `engine.nodes.ports.FilePort` below `root`/<tenant>; no file grows past `max_file_bytes`."""

    def __init__(self, root: Path, *, max_file_bytes: int = 1_000_000_000) -> None:
        self._root = root
        self._max_file_bytes = max_file_bytes

    async def read(self, tenant: str, path: str, max_bytes: int) -> bytes:
        return await self._run(path, lambda: self._read(tenant, path, max_bytes, whole=True))

    async def head(self, tenant: str, path: str, max_bytes: int) -> bytes | None:
        """The beginning of a file, None if there is none."""

        def work() -> bytes | None:
            try:
                return self._read(tenant, path, max_bytes, whole=False)
            except FileNotFoundError:
                return None

        return await self._run(path, work)

    async def write(self, tenant: str, path: str, data: bytes) -> int:
        self._check_size(path, len(data))
        return await self._run(path, lambda: self._write(tenant, path, iter([data])))

    async def append(self, tenant: str, path: str, data: bytes) -> int:
        return await self._run(path, lambda: self._append(tenant, path, data))

    async def list(self, tenant: str, path: str, *, recursive: bool, max_entries: int) -> list[FileEntry]:
        return await self._run(path or ".", lambda: self._list(tenant, path, recursive, max_entries))

    async def delete(self, tenant: str, path: str) -> bool:
        return await self._run(path, lambda: self._delete(tenant, path))

    async def copy(self, tenant: str, source: str, destination: str) -> int:
        return await self._run(source, lambda: self._copy(tenant, source, destination))

    async def move(self, tenant: str, source: str, destination: str) -> int:
        return await self._run(source, lambda: self._move(tenant, source, destination))

    async def _run(self, path: str, work: Callable[[], _T]) -> _T:
        def guarded() -> _T:
            with as_node_errors(path):
                return work()

        return await asyncio.to_thread(guarded)

    def _read(self, tenant: str, path: str, limit: int, *, whole: bool) -> bytes:
        with self._parent(tenant, path) as (folder, name), _opened(name, _READ, folder) as file:
            size = _plain_size(file, path)
            if whole and size > limit:
                raise too_large(path, limit)
            # One byte more: a file may grow while it is read.
            data = b"".join(_chunks(file, limit + 1 if whole else limit))
            if whole and len(data) > limit:
                raise too_large(path, limit)
            return data

    def _write(self, tenant: str, path: str, parts: Iterator[bytes]) -> int:
        with self._parent(tenant, path, create=True) as (folder, name):
            _check_replaceable(folder, name, path)
            temporary = f"{TEMPORARY_PREFIX}{secrets.token_hex(12)}"
            try:
                with _opened(temporary, _CREATE, folder) as file:
                    size = sum(_write_all(file, part) for part in parts)
                    os.fsync(file)
                os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                _remove_quietly(temporary, folder)
                raise
            os.fsync(folder)
            return size

    def _append(self, tenant: str, path: str, data: bytes) -> int:
        with self._parent(tenant, path, create=True) as (folder, name), _opened(name, _APPEND, folder) as file:
            size = _plain_size(file, path)
            self._check_size(path, size + len(data))
            _write_all(file, data)
            os.fsync(file)
            return os.fstat(file).st_size

    def _delete(self, tenant: str, path: str) -> bool:
        try:
            with self._parent(tenant, path) as (folder, name):
                _check_replaceable(folder, name, path)
                os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            return False
        return True

    def _copy(self, tenant: str, source: str, destination: str) -> int:
        with self._parent(tenant, source) as (folder, name), _opened(name, _READ, folder) as file:
            self._check_size(source, _plain_size(file, source))
            with as_node_errors(destination):
                return self._write(tenant, destination, _chunks(file, self._max_file_bytes))

    def _move(self, tenant: str, source: str, destination: str) -> int:
        with self._parent(tenant, source) as (folder, name), _opened(name, _READ, folder) as file:
            size = _plain_size(file, source)
            with as_node_errors(destination), self._parent(tenant, destination, create=True) as (target, new_name):
                _check_replaceable(target, new_name, destination)
                os.replace(name, new_name, src_dir_fd=folder, dst_dir_fd=target)
            return size

    def _list(self, tenant: str, path: str, recursive: bool, limit: int) -> list[FileEntry]:
        parts = split_path(path, folder=True)
        entries: list[FileEntry] = []
        with self._folder(tenant, parts) as folder:
            self._gather(folder, parts, recursive, limit, entries)
        return sorted(entries, key=lambda entry: entry.path)

    def _gather(
        self, folder: int, parts: tuple[str, ...], recursive: bool, limit: int, entries: list[FileEntry]
    ) -> None:
        with os.scandir(folder) as found:
            names = sorted(entry.name for entry in found if not entry.name.startswith(TEMPORARY_PREFIX))
        for name in names:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            is_folder = stat.S_ISDIR(status.st_mode)
            if not (is_folder or stat.S_ISREG(status.st_mode)):
                continue
            if len(entries) >= limit:
                raise NodeError(f"the folder has more than {limit} entries", code=RESOURCE_EXHAUSTED)
            entries.append(_entry((*parts, name), status, is_folder))
            if recursive and is_folder and len(parts) < _DEEPEST_LISTING:
                with _opened(name, _FOLDER, folder) as inner:
                    self._gather(inner, (*parts, name), recursive, limit, entries)

    @contextmanager
    def _parent(self, tenant: str, path: str, *, create: bool = False) -> Generator[tuple[int, str]]:
        """The open folder of a path, and the last name in it."""
        parts = split_path(path)
        with self._folder(tenant, parts[:-1], create=create) as folder:
            yield folder, parts[-1]

    @contextmanager
    def _folder(self, tenant: str, parts: tuple[str, ...], *, create: bool = False) -> Generator[int]:
        tenant_root = self._root / check_tenant(tenant)
        tenant_root.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(tenant_root, _FOLDER)
        try:
            for part in parts:
                inner = _enter(folder, part, create)
                os.close(folder)
                folder = inner
            yield folder
        finally:
            os.close(folder)

    def _check_size(self, path: str, size: int) -> None:
        if size > self._max_file_bytes:
            raise NodeError(
                f"{path} would be over {self._max_file_bytes} bytes",
                code=RESOURCE_EXHAUSTED,
                details={"path": path, "max_bytes": self._max_file_bytes},
            )


def _enter(folder: int, part: str, create: bool) -> int:
    try:
        return os.open(part, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        if not create:
            raise
        with suppress(FileExistsError):  # another node execution may have made it in the meantime
            os.mkdir(part, mode=0o700, dir_fd=folder)
        return os.open(part, _FOLDER, dir_fd=folder)


@contextmanager
def _opened(name: str, flags: int, folder: int) -> Generator[int]:
    file = os.open(name, flags, mode=0o600, dir_fd=folder)
    try:
        yield file
    finally:
        os.close(file)


def _plain_size(file: int, path: str) -> int:
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        raise not_a_file(path)
    return status.st_size


def _check_replaceable(folder: int, name: str, path: str) -> None:
    """A link, a folder or a device is never replaced or deleted."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(status.st_mode):
        raise not_a_file(path)


def _chunks(file: int, limit: int) -> Iterator[bytes]:
    while limit > 0 and (part := os.read(file, min(limit, _CHUNK_BYTES))):
        limit -= len(part)
        yield part


def _write_all(file: int, data: bytes) -> int:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
    return len(data)


def _remove_quietly(name: str, folder: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _entry(parts: tuple[str, ...], status: os.stat_result, is_folder: bool) -> FileEntry:
    modified = datetime.fromtimestamp(status.st_mtime, UTC).isoformat()
    return FileEntry("/".join(parts), 0 if is_folder else status.st_size, modified, is_folder)
