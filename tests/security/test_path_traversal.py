"""Paths that lead out of a tenant's folder, to every operation on files and out of archives."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from engine.errors import NodeError
from engine.nodes.storage.archives import ArchiveTooLarge, BadArchive, unpack
from engine.nodes.storage.archiving import unzip_file
from engine.nodes.storage.local import LocalFiles
from tests.security.corpora import texts

ALL = texts("paths.jsonl")
SECRET = b"canary-outside"


@pytest.fixture
def files(tmp_path: Path) -> LocalFiles:
    """A tenant's folder with links of every kind in it, and secrets all around it."""
    (tmp_path / "outside.txt").write_bytes(SECRET)
    mine, other = tmp_path / "root" / "t1", tmp_path / "root" / "t2"
    for folder in (mine, other):
        folder.mkdir(parents=True)
    (other / "outside.txt").write_bytes(SECRET)
    (tmp_path / "root" / "outside.txt").write_bytes(SECRET)
    (mine / "plain.txt").write_bytes(b"plain")
    (mine / "link.txt").symlink_to(tmp_path / "outside.txt")
    (mine / "linked").symlink_to(tmp_path)
    (mine / "itself").symlink_to(mine)
    (mine / "dangling").symlink_to(tmp_path / "made-by-following")
    (mine / "absolute").symlink_to("/")
    (mine / "proc").symlink_to("/proc")
    (mine / "hop").symlink_to("linked")
    os.mkfifo(mine / "pipe")
    return LocalFiles(tmp_path / "root", max_file_bytes=10_000)


def outside_of(tmp_path: Path) -> dict[str, bytes]:
    """What stands outside the tenant's folder, by its path."""
    mine = tmp_path / "root" / "t1"
    found: dict[str, bytes] = {}
    for folder, _, names in os.walk(tmp_path):
        if not Path(folder).is_relative_to(mine):
            found |= {os.path.join(folder, name): (Path(folder) / name).read_bytes() for name in names}
    return found


async def came_of(attempt: object) -> object:
    try:
        return await attempt  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType]
    except NodeError as error:
        return error


def test_corpus_is_large_enough() -> None:
    assert len(ALL) >= 100


async def test_no_operation_on_a_file_leaves_the_tenants_folder(files: LocalFiles, tmp_path: Path) -> None:
    before = outside_of(tmp_path)
    for path in ALL:
        for attempt in (
            files.read("t1", path, 100),
            files.head("t1", path, 100),
            files.list("t1", path, recursive=True, max_entries=50),
            files.copy("t1", path, "taken"),
            files.copy("t1", "plain.txt", path),
            files.append("t1", path, b"+"),
            files.write("t1", path, b"w"),
            files.delete("t1", path),
            files.move("t1", path, "taken"),
        ):
            result = await came_of(attempt)
            shown = str(result.message) + str(result.details) if isinstance(result, NodeError) else repr(result)
            assert SECRET.decode() not in shown, path
        assert outside_of(tmp_path) == before, path
        assert await came_of(files.read("t1", "taken", 100)) != SECRET, path
        await came_of(files.write("t1", "plain.txt", b"plain"))


def archive_with(name: str) -> bytes | None:
    """An archive with one entry of the name; None where no archive can hold such a name."""
    buffer = io.BytesIO()
    try:
        with zipfile.ZipFile(buffer, "w") as archive:
            info = zipfile.ZipInfo("placeholder")
            info.filename = name  # past the checks that the library makes of names
            archive.writestr(info, b"w")
    except UnicodeEncodeError:
        return None
    return buffer.getvalue()


async def test_no_entry_of_an_archive_is_written_outside_its_folder(files: LocalFiles, tmp_path: Path) -> None:
    before = outside_of(tmp_path)
    tried = 0
    for name in ALL:
        data = archive_with(name)
        if data is None:
            continue
        tried += 1
        await files.write("t1", "in.zip", data)
        for destination in ("", "out", "linked", "../t2"):
            await came_of(unzip_file(files, "t1", "in.zip", destination, encoding="utf-8", max_bytes=1000))
        assert outside_of(tmp_path) == before, name
    assert tried >= 100


def test_every_entry_that_climbs_is_refused_by_name() -> None:
    climbing = [path for path in ALL if ".." in path.replace("\\", "/").split("/")]
    assert len(climbing) >= 20
    for path in climbing:
        data = archive_with(path)
        if data is not None:
            with pytest.raises((BadArchive, ArchiveTooLarge)):
                unpack(data, encoding="utf-8", max_bytes=1000)
