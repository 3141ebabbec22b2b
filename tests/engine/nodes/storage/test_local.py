from __future__ import annotations

import asyncio
import os
import resource
import socket
from pathlib import Path

import pytest

from engine.errors import NodeError
from engine.nodes.storage.local import LocalFiles

PATHS = [
    "..", "../x", "../../etc/passwd", "a/../../x", "a/..", "a/../b", "./../x", "a/./../x", ".../../x", "..\\x",
    "a\\..\\x",
    "/etc/passwd", "//etc/passwd", "/", "/..", "///x", "~", "~/x", "~root/.ssh/id", "C:/x", "C:\\x", "c:x",
    "\\\\host\\x",
    "\\etc\\passwd", "", ".", "./", "a//b", "a/", "a/./b", "a/.", "a\0b", "a\nb", "a\rb", "a\tb", "a\x7fb",
    "\u202eexe.txt",
    "\u200b..", "a\u2028b", " a", "a ", "a/ b", "a/b /c", "a.", ".. /x", "..  ", "a/.../b", "x" * 201, "a/" * 600,
    "é" * 600, ".structforge-1", "a/.structforge-x/b", "\ud800",
]  # fmt: skip
LITERAL = ["%2e%2e/x", "..%2fx", "%00", "．．/x", "..;/x", "$HOME", "`id`", "-rf", "a..b", ".hidden", "nul", "file:x"]


@pytest.fixture
def files(tmp_path: Path) -> LocalFiles:
    (tmp_path / "outside.txt").write_text("outside")
    return LocalFiles(tmp_path / "root", max_file_bytes=1000)


@pytest.fixture
def tenant_root(tmp_path: Path) -> Path:
    root = tmp_path / "root" / "t1"
    root.mkdir(parents=True)
    return root


def names_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def bind_socket(listener: socket.socket, path: Path) -> None:
    listener.bind(os.path.relpath(path))  # relative, for a socket's path is at most 107 bytes long


async def code(awaitable: object) -> str:
    with pytest.raises(NodeError) as caught:
        await awaitable  # pyright: ignore[reportGeneralTypeIssues]
    return caught.value.code


def test_corpus_is_large_enough() -> None:
    assert len(set(PATHS)) >= 40


@pytest.mark.parametrize("path", PATHS)
async def test_path_that_climbs_or_hides_something_is_refused_everywhere(
    files: LocalFiles, tmp_path: Path, path: str
) -> None:
    await files.write("t1", "a/b", b"1")
    before = names_in(tmp_path)
    attempts = [
        files.read("t1", path, 100),
        files.head("t1", path, 100),
        files.write("t1", path, b"x"),
        files.append("t1", path, b"x"),
        files.delete("t1", path),
        files.copy("t1", "a/b", path),
        files.copy("t1", path, "c"),
        files.move("t1", "a/b", path),
        files.move("t1", path, "c"),
    ]
    assert [await code(attempt) for attempt in attempts] == ["INVALID_CONFIG"] * len(attempts)
    assert names_in(tmp_path) == before


@pytest.mark.parametrize("path", LITERAL)
async def test_odd_names_are_only_names(files: LocalFiles, tenant_root: Path, path: str) -> None:
    await files.write("t1", path, b"x")
    assert (tenant_root / path).read_bytes() == b"x"


@pytest.mark.parametrize("tenant", ["", ".", "..", "a/b", "../t2", "/t", "a\0", "-x", "t" * 200])
async def test_tenant_that_is_no_folder_name_has_no_files(files: LocalFiles, tenant: str) -> None:
    assert await code(files.read(tenant, "a", 1)) == "INVALID_CONFIG"


async def test_one_tenant_cannot_read_another(files: LocalFiles) -> None:
    await files.write("t2", "secret", b"x")
    assert await code(files.read("t1", "secret", 10)) == "EXTERNAL_ERROR"


async def test_links_are_followed_nowhere(files: LocalFiles, tenant_root: Path, tmp_path: Path) -> None:
    (tenant_root / "file").symlink_to(tmp_path / "outside.txt")
    (tenant_root / "folder").symlink_to(tmp_path)
    (tenant_root / "inner").symlink_to(tenant_root)
    await files.write("t1", "plain", b"1")
    for path in ("file", "folder/outside.txt", "inner/plain", "folder/new/x"):
        attempts = [
            files.read("t1", path, 100),
            files.write("t1", path, b"x"),
            files.append("t1", path, b"x"),
            files.delete("t1", path),
            files.copy("t1", path, "c"),
            files.copy("t1", "plain", path),
            files.move("t1", path, "c"),
            files.move("t1", "plain", path),
        ]
        assert [await code(attempt) for attempt in attempts] == ["INVALID_CONFIG"] * len(attempts)
    assert await code(files.list("t1", "folder", recursive=True, max_entries=9)) == "INVALID_CONFIG"
    assert (tmp_path / "outside.txt").read_text() == "outside"
    assert [entry.path for entry in await files.list("t1", "", recursive=True, max_entries=9)] == ["plain"]


async def test_tenant_folder_that_is_a_link_is_refused(files: LocalFiles, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "t1").symlink_to(tmp_path)
    assert await code(files.read("t1", "outside.txt", 100)) == "INVALID_CONFIG"


async def test_special_files_are_refused_without_hanging(files: LocalFiles, tenant_root: Path) -> None:
    os.mkfifo(tenant_root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        bind_socket(listener, tenant_root / "socket")
        async with asyncio.timeout(20):
            for path in ("pipe", "socket"):
                for attempt in (
                    files.read("t1", path, 100),
                    files.write("t1", path, b"x"),
                    files.append("t1", path, b"x"),
                    files.delete("t1", path),
                    files.move("t1", path, "c"),
                ):
                    assert await code(attempt) in ("INVALID_CONFIG", "EXTERNAL_ERROR")


async def test_folder_is_no_file(files: LocalFiles) -> None:
    await files.write("t1", "a/b", b"1")
    for attempt in (
        files.read("t1", "a", 9),
        files.write("t1", "a", b""),
        files.append("t1", "a", b""),
        files.delete("t1", "a"),
    ):
        assert await code(attempt) == "INVALID_CONFIG"
    assert await code(files.write("t1", "a/b/c", b"")) == "INVALID_CONFIG"


async def test_caps_on_size(files: LocalFiles) -> None:
    await files.write("t1", "a", b"x" * 900)
    assert await code(files.read("t1", "a", 899)) == "OUTPUT_TOO_LARGE"
    assert await code(files.write("t1", "b", b"x" * 1001)) == "RESOURCE_EXHAUSTED"
    assert await code(files.append("t1", "a", b"x" * 101)) == "RESOURCE_EXHAUSTED"
    assert await files.append("t1", "a", b"x" * 100) == 1000
    assert await files.head("t1", "a", 3) == b"xxx"
    assert await files.head("t1", "none", 3) is None


async def test_write_replaces_the_file_as_one_step(files: LocalFiles, tenant_root: Path) -> None:
    await files.write("t1", "a", b"old" * 100)
    with (tenant_root / "a").open("rb") as reader:
        await files.write("t1", "a", b"new")
        assert reader.read() == b"old" * 100
    assert await files.read("t1", "a", 9) == b"new"
    assert names_in(tenant_root) == ["a"]


async def test_writers_at_once_leave_one_whole_content_and_no_rest(files: LocalFiles, tenant_root: Path) -> None:
    contents = [bytes([65 + at]) * 500 for at in range(20)]
    await asyncio.gather(*(files.write("t1", "deep/er/a", content) for content in contents))
    assert await files.read("t1", "deep/er/a", 500) in contents
    assert names_in(tenant_root) == ["deep", "deep/er", "deep/er/a"]


async def test_write_without_room_is_a_typed_failure_that_keeps_the_old_file(
    files: LocalFiles, tenant_root: Path
) -> None:
    await files.write("t1", "a", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # stands for a full disk: a longer write fails half-way
    try:
        with pytest.raises(NodeError) as caught:
            await files.write("t1", "a", b"x" * 500)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (caught.value.code, caught.value.retryable) == ("RESOURCE_EXHAUSTED", True)
    assert names_in(tenant_root) == ["a"]
    assert await files.read("t1", "a", 9) == b"old"


async def test_copy_move_delete_and_list(files: LocalFiles) -> None:
    await files.write("t1", "in/a.csv", b"12345")
    assert await files.copy("t1", "in/a.csv", "out/b.csv") == 5
    assert await files.move("t1", "in/a.csv", "out/deep/c.csv") == 5
    found = await files.list("t1", "", recursive=True, max_entries=10)
    assert [(entry.path, entry.bytes, entry.is_folder) for entry in found] == [
        ("in", 0, True), ("out", 0, True), ("out/b.csv", 5, False), ("out/deep", 0, True), ("out/deep/c.csv", 5, False),
    ]  # fmt: skip
    assert [entry.path for entry in await files.list("t1", "out/", recursive=False, max_entries=10)] == [
        "out/b.csv",
        "out/deep",
    ]
    assert await code(files.list("t1", "", recursive=True, max_entries=4)) == "RESOURCE_EXHAUSTED"
    assert await code(files.list("t1", "none", recursive=False, max_entries=4)) == "EXTERNAL_ERROR"
    assert await files.delete("t1", "out/b.csv")
    assert not await files.delete("t1", "out/b.csv")
    assert not await files.delete("t1", "none/b.csv")
    assert await code(files.move("t1", "in/a.csv", "x")) == "EXTERNAL_ERROR"


async def test_no_descriptor_is_left_open(files: LocalFiles) -> None:
    await files.write("t1", "a/b/c", b"1")
    before = len(os.listdir("/dev/fd"))
    for path in ("a/b/c", "a/b", "a/x/c", "a/b/c/d", "../x"):
        for attempt in (
            files.read("t1", path, 9),
            files.copy("t1", path, "a/b/c/e"),
            files.write("t1", path + "/x", b""),
        ):
            try:
                await attempt
            except NodeError:
                continue
    assert len(os.listdir("/dev/fd")) == before
