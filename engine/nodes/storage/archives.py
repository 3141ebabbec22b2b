"""ZIP archives as bytes: built from members, and opened with suspicion.

What an archive says of itself is not believed: decoded bytes are counted as they come, and everything is decoded before
anything is handed out, so that a bad archive leaves nothing behind.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine.errors import NodeError
from engine.nodes.storage.paths import split_path

MAX_ENTRIES = 10_000
MAX_RATIO = 200
_RATIO_COUNTS_FROM_BYTES = 1_000_000  # small members may well be packed better
_CHUNK_BYTES = 1 << 16
_EARLIEST = (1980, 1, 1, 0, 0, 0)
# All that the library lets out over malformed bytes: offsets that point nowhere are a ValueError there.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, LookupError, RuntimeError, OSError, ValueError)


class BadArchive(ValueError):
    """Says in one sentence why an archive is not unpacked."""


class ArchiveTooLarge(ValueError):
    """There is more in the archive than may be unpacked."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive; `path` has `/` between its parts."""

    path: str
    data: bytes


def pack(members: Iterable[Member]) -> bytes:
    """An archive of the members, always the same bytes for the same members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            info = zipfile.ZipInfo(member.path, _EARLIEST)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, member.data)
    return buffer.getvalue()


def unpack(data: bytes, *, encoding: str, max_bytes: int) -> list[Member]:
    """Every file of an archive, in its order; folders are left out. `encoding` is of names that are not marked UTF-8.

    Raises: BadArchive (unreadable, or an entry with a path that leads out, a link, a password, a doubled name),
    ArchiveTooLarge.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data), metadata_encoding=encoding) as archive:
            entries = _files(archive)
            return [*_read(archive, entries, max_bytes)]
    except (BadArchive, ArchiveTooLarge):
        raise
    except _UNREADABLE as error:
        raise BadArchive(f"this is no readable ZIP archive: {str(error)[:200]}") from None


def _files(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise ArchiveTooLarge(f"the archive has more than {MAX_ENTRIES} entries")
    files: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    for entry in entries:
        path = _checked_path(entry)
        if entry.is_dir():
            folders.add(path)
        elif path in files:
            raise BadArchive(f"the archive has two entries {_shown(path)}")
        else:
            files[path] = entry
    _check_nesting(files, folders)
    return [*files.values()]


def _checked_path(entry: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise BadArchive(f"the entry {_shown(entry.filename)} is a link or a special file")
    if entry.flag_bits & 1:
        raise BadArchive(f"the entry {_shown(entry.filename)} is encrypted")
    if not entry.filename:
        raise BadArchive("the archive has an entry without a name")
    if entry.orig_filename != entry.filename:  # cut at a null character, or with other separators
        raise BadArchive(f"the entry {_shown(entry.filename)} has a name that hides another")
    try:
        return "/".join(split_path(entry.filename, folder=entry.is_dir()))
    except NodeError as error:
        raise BadArchive(f"the archive has an entry whose {error.message.removeprefix('the ')}") from None


def _check_nesting(files: dict[str, zipfile.ZipInfo], folders: set[str]) -> None:
    """A name cannot be both a file and a folder; to find out while writing would leave half of it behind."""
    above = {path[:end] for path in files for end, character in enumerate(path) if character == "/"}
    for path in files:
        if path in above or path in folders:
            raise BadArchive(f"the entry {_shown(path)} is a file and a folder")


def _read(archive: zipfile.ZipFile, entries: list[zipfile.ZipInfo], max_bytes: int) -> Iterator[Member]:
    room = max_bytes
    for entry in entries:
        data = _decoded(archive, entry, room, max_bytes)
        room -= len(data)
        yield Member(entry.filename.removeprefix("./"), data)


def _decoded(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, room: int, max_bytes: int) -> bytes:
    decoded = bytearray()
    packed_bytes = max(entry.compress_size, 1)
    with archive.open(entry) as file:
        while part := file.read(_CHUNK_BYTES):
            decoded += part
            if len(decoded) > room:
                raise ArchiveTooLarge(f"the archive holds more than {max_bytes} bytes")
            if len(decoded) > max(_RATIO_COUNTS_FROM_BYTES, packed_bytes * MAX_RATIO):
                raise ArchiveTooLarge(f"the entry {_shown(entry.filename)} is packed over {MAX_RATIO} to 1")
    return bytes(decoded)


def _shown(name: str) -> str:
    return ascii(name[:80])
