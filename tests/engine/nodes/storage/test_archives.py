"""Archives, honest and hostile."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from engine.errors import NodeError
from engine.nodes.storage.archives import MAX_ENTRIES, ArchiveTooLarge, BadArchive, Member, pack, unpack
from engine.nodes.storage.local import LocalFiles
from tests.engine.nodes.running import codes, run


def archive(entries: list[tuple[str | zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, data in entries:
            file.writestr(name, data)
    return buffer.getvalue()


def entry(name: str, mode: int = 0, flags: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    info.flag_bits |= flags
    return info


def opened(data: bytes, max_bytes: int = 10_000_000, encoding: str = "utf-8") -> list[Member]:
    return unpack(data, encoding=encoding, max_bytes=max_bytes)


def test_packing_is_repeatable_and_comes_back() -> None:
    members = [Member("a.txt", b"x" * 1000), Member("deep/é.bin", bytes(range(256))), Member("empty", b"")]
    assert opened(pack(members)) == members
    assert pack(members) == pack(members)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a/./b",
        "C:/x",
        "~/x",
        "a//b",
        ".structforge-x",
        "a\nb",
        " a",
        "a.",
        "x" * 300,
    ],
)
def test_paths_that_lead_out_or_hide_are_refused(name: str) -> None:
    with pytest.raises(BadArchive, match="path"):
        opened(archive([("fine", b"1"), (name, b"2")]))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_special_files_are_refused(kind: int) -> None:
    with pytest.raises(BadArchive, match="special file"):
        opened(archive([(entry("a", kind | 0o777), b"/etc/passwd")]))


def test_backslashes_are_refused_and_not_read_as_folders() -> None:
    data = archive([("a/b", b"x")]).replace(b"a/b", b"a\\b")
    with pytest.raises(BadArchive):
        opened(data)


def test_names_cut_by_a_null_character_are_refused() -> None:
    data = archive([("good.txt_evil", b"x")]).replace(b"good.txt_evil", b"good.txt\0evil")
    with pytest.raises(BadArchive, match="hides"):
        opened(data)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [["a", "a"], ["a", "./a"], ["a", "a/b"], ["a/b", "a"], ["a/b/c", "a/b"], ["a", "a/"]])
def test_one_name_is_one_file(names: list[str]) -> None:
    with pytest.raises(BadArchive, match=r"two entries|file and a folder"):
        opened(archive([(name, b"" if name.endswith("/") else b"x") for name in names]))


def test_bombs_are_measured_not_believed() -> None:
    zeros = bytes(5_000_000)
    with pytest.raises(ArchiveTooLarge, match="200 to 1"):
        opened(archive([("zeros", zeros)]))
    stored = archive([("a", zeros), ("b", zeros)], zipfile.ZIP_STORED)
    with pytest.raises(ArchiveTooLarge, match="more than 9000000"):
        opened(stored, 9_000_000)
    assert len(opened(stored, 10_000_000)) == 2
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with pytest.raises(ArchiveTooLarge):
            opened(archive([("zeros", zeros)], method))


def test_size_that_an_entry_claims_changes_nothing() -> None:
    data = archive([("zeros", bytes(3_000_000))])
    lying = data.replace(struct.pack("<L", 3_000_000), struct.pack("<L", 10))
    with pytest.raises((ArchiveTooLarge, BadArchive)):
        opened(lying, 1_000_000)


def test_entries_are_counted() -> None:
    with pytest.raises(ArchiveTooLarge, match="entries"):
        opened(archive([(f"f{number}", b"") for number in range(MAX_ENTRIES + 1)], zipfile.ZIP_STORED))


def test_encrypted_damaged_and_other_files_are_refused() -> None:
    data = bytearray(archive([("a", b"x" * 100)]))
    for marker, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        data[data.index(marker) + offset] |= 1
    with pytest.raises(BadArchive, match="encrypted"):
        opened(bytes(data))
    whole = archive([("a", bytes(range(256)) * 20)], zipfile.ZIP_STORED)
    for bad in (b"", b"PK", whole[:-30], whole.replace(bytes(range(60, 70)), b"??????????")):
        with pytest.raises(BadArchive):
            opened(bad)


def test_old_names_are_read_in_the_encoding_that_is_named() -> None:
    data = archive([("gr____.txt", b"x")]).replace(b"gr____", "grüße".encode("cp437").ljust(6, b"_"))
    assert opened(data, encoding="cp437")[0].path == "grüße_.txt"
    with pytest.raises(BadArchive):
        opened(data)


class Folder:
    """The node over one tenant's folder."""

    def __init__(self, root: Path) -> None:
        self.files, self.root = LocalFiles(root), root / "t1"

    async def do(self, operation: str, path: str, **params: Any) -> Any:
        raw = {"operation": operation, "file_path": path, **params}
        return (await run("file_operation", raw, files=self.files, tenant="t1")).output

    async def error(self, operation: str, path: str, **params: Any) -> NodeError:
        with pytest.raises(NodeError) as caught:
            await self.do(operation, path, **params)
        return caught.value


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


async def test_folder_is_packed_and_unpacked(folder: Folder) -> None:
    for name in ("in/a.json", "in/deep/b.json", "in/c.txt"):
        await folder.do("write", name, content="1", format="text")
    packed = await folder.do("zip", "in", destination="in/all.zip", pattern="*.json")
    assert packed["packed"] == ["a.json", "deep/b.json"]
    assert packed["bytes"] == (folder.root / "in/all.zip").stat().st_size
    again = await folder.do("zip", "in", destination="in/all.zip")
    assert again["packed"] == ["a.json", "c.txt", "deep/b.json"]  # never the archive itself
    found = await folder.do("unzip", "in/all.zip", destination="out/new")
    assert found["unpacked"] == ["out/new/a.json", "out/new/c.txt", "out/new/deep/b.json"]
    assert (found["bytes"], (folder.root / "out/new/deep/b.json").read_text()) == (3, "1")


async def test_one_file_and_the_whole_folder_are_packed(folder: Folder) -> None:
    await folder.do("write", "in/a.txt", content="x")
    assert (await folder.do("zip", "in/a.txt", destination="one.zip"))["packed"] == ["a.txt"]
    assert (await folder.do("zip", "", destination="all.zip"))["packed"] == ["in/a.txt", "one.zip"]
    assert (await folder.do("unzip", "one.zip", destination="."))["unpacked"] == ["a.txt"]
    assert (await folder.error("zip", "nothing", destination="x.zip")).code == "EXTERNAL_ERROR"


async def test_hostile_archive_leaves_nothing_behind(folder: Folder) -> None:
    folder.root.mkdir()
    (folder.root / "a.zip").write_bytes(archive([("fine", b"1"), ("../out", b"2")]))
    assert (await folder.error("unzip", "a.zip", destination="x")).code == "EXTERNAL_ERROR"
    (folder.root / "a.zip").write_bytes(archive([("fine", b"1"), ("zeros", bytes(5_000_000))]))
    assert (await folder.error("unzip", "a.zip", destination="x")).code == "OUTPUT_TOO_LARGE"
    assert sorted(path.name for path in folder.root.rglob("*")) == ["a.zip"]


async def test_unpacking_does_not_follow_links_of_the_folder(folder: Folder, tmp_path: Path) -> None:
    folder.root.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (folder.root / "x").symlink_to(tmp_path / "elsewhere")
    (folder.root / "a.zip").write_bytes(archive([("f", b"1")]))
    assert (await folder.error("unzip", "a.zip", destination="x")).code == "INVALID_CONFIG"
    assert [*(tmp_path / "elsewhere").iterdir()] == []


async def test_sizes_are_bounded_both_ways(folder: Folder) -> None:
    await folder.do("write", "in/a.txt", content="x" * 600)
    await folder.do("write", "in/b.txt", content="x" * 600)
    assert (await folder.error("zip", "in", destination="x.zip", max_bytes=1000)).code == "OUTPUT_TOO_LARGE"
    await folder.do("zip", "in", destination="x.zip", max_bytes=1200)
    assert (await folder.error("unzip", "x.zip", destination="o", max_bytes=1000)).code == "OUTPUT_TOO_LARGE"


@pytest.mark.parametrize("params", [{"operation": "zip", "file_path": "a"}, {"operation": "unzip", "destination": "a"}])
def test_mistakes_are_issues(params: dict[str, Any]) -> None:
    assert codes("file_operation", params) == [("INVALID_PARAM", "params")]
