"""The operations `zip` and `unzip` over a tenant's files."""

from __future__ import annotations

import asyncio
from fnmatch import fnmatchcase
from typing import Any

from engine.errors import EXTERNAL_ERROR, INVALID_CONFIG, OUTPUT_TOO_LARGE, NodeError
from engine.nodes.ports import FileEntry, FilePort
from engine.nodes.storage.archives import MAX_ENTRIES, ArchiveTooLarge, BadArchive, Member, pack, unpack
from engine.nodes.storage.faults import too_large
from engine.nodes.storage.paths import split_path


async def zip_files(
    files: FilePort, tenant: str, source: str, destination: str, *, pattern: str, max_bytes: int
) -> dict[str, Any]:
    """Pack a file, or the files of a folder and of those below it whose names match, into a new archive.

    Raises: NodeError; OUTPUT_TOO_LARGE if they have more than `max_bytes` together.
    """
    target = "/".join(split_path(destination))
    members: list[Member] = []
    room = max_bytes
    for path, name in await _chosen(files, tenant, source, pattern):
        if path == target:  # an archive of the run before, in the folder that is packed
            continue
        try:
            data = await files.read(tenant, path, room)
        except NodeError as error:
            raise too_large(source, max_bytes) if error.code == OUTPUT_TOO_LARGE else error from None
        room -= len(data)
        members.append(Member(name, data))
    size = await files.write(tenant, destination, await asyncio.to_thread(pack, members))
    return {"destination": destination, "bytes": size, "packed": [member.path for member in members]}


async def unzip_file(
    files: FilePort, tenant: str, source: str, destination: str, *, encoding: str, max_bytes: int
) -> dict[str, Any]:
    """Unpack an archive into a folder; nothing is written unless all of it may be.

    Raises: NodeError; EXTERNAL_ERROR for an archive that is not to be trusted, OUTPUT_TOO_LARGE for a bomb.
    """
    data = await files.read(tenant, source, max_bytes)
    try:
        members = await asyncio.to_thread(unpack, data, encoding=encoding, max_bytes=max_bytes)
    except ArchiveTooLarge as error:
        details = {"path": source, "max_bytes": max_bytes}
        raise NodeError(f"{source}: {error}", code=OUTPUT_TOO_LARGE, details=details) from None
    except BadArchive as error:
        raise NodeError(f"{source}: {error}", code=EXTERNAL_ERROR, details={"path": source}) from None
    folder = "/".join(split_path(destination, folder=True))
    paths = [f"{folder}/{member.path}" if folder else member.path for member in members]
    for path in paths:
        split_path(path)  # the whole of it may be longer than a path may be
    for path, member in zip(paths, members, strict=True):
        await files.write(tenant, path, member.data)
    return {"destination": destination, "bytes": sum(len(member.data) for member in members), "unpacked": paths}


async def _chosen(files: FilePort, tenant: str, source: str, pattern: str) -> list[tuple[str, str]]:
    """Paths of the files to pack and their names in the archive."""
    try:
        found = await files.list(tenant, source, recursive=True, max_entries=MAX_ENTRIES)
    except NodeError as error:
        if error.code not in (INVALID_CONFIG, EXTERNAL_ERROR):
            raise
        return [(source, source.rpartition("/")[2])]  # no folder: a file, or nothing, which reading it tells
    folder = "/".join(split_path(source, folder=True))
    kept = [entry.path for entry in found if _is_kept(entry, pattern)]
    return [(path, path[len(folder) + 1 :] if folder else path) for path in kept]


def _is_kept(entry: FileEntry, pattern: str) -> bool:
    return not entry.is_folder and fnmatchcase(entry.path.rpartition("/")[2], pattern)
