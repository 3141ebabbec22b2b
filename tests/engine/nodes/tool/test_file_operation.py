from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.errors import NodeError
from engine.nodes.base import NodeContext
from engine.nodes.ports import Ports
from engine.nodes.storage.local import LocalFiles
from tests.engine.nodes.running import codes, node_type, run


@pytest.fixture
def files(tmp_path: Path) -> LocalFiles:
    return LocalFiles(tmp_path)


class Folder:
    """The node over one tenant's folder."""

    def __init__(self, files: LocalFiles, root: Path) -> None:
        self.files, self.root = files, root / "t1"

    async def do(self, operation: str, path: str, **params: Any) -> Any:
        raw = {"operation": operation, "file_path": path, **params}
        return (await run("file_operation", raw, files=self.files, tenant="t1")).output

    async def read(self, path: str, **params: Any) -> Any:
        return (await self.do("read", path, **params))["content"]

    def put(self, name: str, data: bytes) -> None:
        self.root.mkdir(exist_ok=True)
        (self.root / name).write_bytes(data)

    def raw(self, name: str) -> bytes:
        return (self.root / name).read_bytes()


@pytest.fixture
def folder(files: LocalFiles, tmp_path: Path) -> Folder:
    return Folder(files, tmp_path)


async def error(awaitable: Any) -> NodeError:
    with pytest.raises(NodeError) as caught:
        await awaitable
    return caught.value


@pytest.mark.parametrize(
    ("name", "content", "stored"),
    [
        ("a.txt", "grüße\n", "grüße\n".encode()),
        ("a.md", "", b""),
        ("a.json", {"a": [1, None, "x"]}, b'{"a":[1,null,"x"]}\n'),
        ("a.ndjson", [{"a": 1}, [2], "x"], b'{"a":1}\n[2]\n"x"\n'),
        ("a.jsonl", [], b""),
        ("a.csv", [{"a": "1", "b": "x,y"}, {"a": "2", "b": 'q"'}], b'a,b\n1,"x,y"\n2,"q"""\n'),
        ("a.tsv", [{"a": "1", "b": "x y"}], b"a\tb\n1\tx y\n"),
        ("a.png", {"base64": "AAEC"}, b"\x00\x01\x02"),
    ],
)
async def test_content_goes_by_suffix_and_comes_back(folder: Folder, name: str, content: Any, stored: bytes) -> None:
    assert await folder.do("write", f"out/{name}", content=content) == {
        "file_path": f"out/{name}",
        "bytes": len(stored),
    }
    assert folder.raw(f"out/{name}") == stored
    assert await folder.read(f"out/{name}") == content


async def test_format_and_encoding_win_over_the_suffix(folder: Folder) -> None:
    await folder.do("write", "a.csv", content="grüße", format="text", encoding="latin-1")
    assert folder.raw("a.csv") == "grüße".encode("latin-1")
    assert await folder.read("a.csv", format="bytes") == {"base64": "Z3L832U="}


async def test_csv_cells_stay_text_unless_types_say_otherwise(folder: Folder) -> None:
    folder.put("w.csv", b"date,temp,wet,n,note\r\n2012/01/01,1.0,true,3,\r\n\r\n")
    assert await folder.read("w.csv") == [{"date": "2012/01/01", "temp": "1.0", "wet": "true", "n": "3", "note": ""}]
    folder.put("w.csv", b"date,temp,wet,n,note\n2012-01-01,1.50,yes,3,x\n2012-01-02,,,,\n")
    types = {"date": "date", "temp": "float", "wet": "bool", "n": "int"}
    assert await folder.read("w.csv", types=types) == [
        {"date": "2012-01-01", "temp": 1.5, "wet": True, "n": 3, "note": "x"},
        {"date": "2012-01-02", "temp": None, "wet": None, "n": None, "note": ""},
    ]


async def test_csv_layouts(folder: Folder) -> None:
    folder.put("a.csv", '\ufeffa;b\n1;"x\ny"\n2\n'.encode())
    assert await folder.read("a.csv", delimiter=";") == [{"a": "1", "b": "x\ny"}, {"a": "2", "b": None}]
    assert await folder.read("a.csv", delimiter=";", header=False) == [["a", "b"], ["1", "x\ny"], ["2"]]
    folder.put("e.csv", b"")
    assert await folder.read("e.csv") == []


@pytest.mark.parametrize(
    ("name", "data", "params", "words"),
    [
        ("a.csv", b"a,b\n1,2,3\n", {}, "line 2 has 3 cells and the header 2"),
        ("a.csv", b"a,a\n", {}, "the header names 'a' twice"),
        ("a.csv", b"a\n1\nx\n", {"types": {"a": "int"}}, "line 3, column a: the text is not a whole number"),
        ("a.csv", b"a\n1\n", {"types": {"b": "int"}}, "types names the column b; the columns are a"),
        ("a.csv", b'a\n"x\n', {}, "line 2"),
        ("a.json", b"{", {}, "not JSON"),
        ("a.json", b"[" * 150 + b"]" * 150, {}, "nested more than 100 deep"),
        ("a.ndjson", b"1\n{\n", {}, "line 2: not JSON"),
        ("a.txt", b"\xff", {}, "the content is not utf-8 (byte 0)"),
        ("a.txt", b"12345", {"max_bytes": 4}, "over 4 bytes"),
    ],
)
async def test_content_that_does_not_fit_is_explained(
    folder: Folder, name: str, data: bytes, params: dict[str, Any], words: str
) -> None:
    folder.put(name, data)
    found = await error(folder.read(name, **params))
    assert words in found.message
    assert found.code in ("EXTERNAL_ERROR", "OUTPUT_TOO_LARGE")
    assert not found.retryable


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", {"a": 1}, "text content must be text and is object"),
        ("a.csv", {"a": 1}, "CSV content must be a list of rows"),
        ("a.csv", [{"a": 1}, [1]], "row 1 is list"),
        ("a.png", {"b64": "x"}, "bytes are written as"),
    ],
)
async def test_content_of_the_wrong_kind_is_invalid(folder: Folder, name: str, content: Any, words: str) -> None:
    found = await error(folder.do("write", name, content=content))
    assert found.code == "INVALID_CONFIG"
    assert words in found.message


async def test_csv_columns_are_all_keys_in_first_seen_order_or_those_named(folder: Folder) -> None:
    rows = [{"a": 1, "b": None}, {"c": [1], "a": True}]
    await folder.do("write", "a.csv", content=rows)
    assert folder.raw("a.csv") == b"a,b,c\n1,,\ntrue,,[1]\n"
    await folder.do("write", "a.csv", content=rows, columns=["c", "a"], header=False)
    assert folder.raw("a.csv") == b",1\n[1],true\n"


async def test_cells_that_a_spreadsheet_would_run_are_disarmed(folder: Folder) -> None:
    rows = [{"a": cell} for cell in ("=1+1", "+cmd", "@x", "-2.5", "+3e5", "-x", "\tx", -7, "fine")]
    await folder.do("write", "a.csv", content=rows)
    assert folder.raw("a.csv") == b"a\n'=1+1\n'+cmd\n'@x\n-2.5\n+3e5\n'-x\n'\tx\n-7\nfine\n"
    await folder.do("write", "a.csv", content=rows[:1], safe_cells=False)
    assert folder.raw("a.csv") == b"a\n=1+1\n"


async def test_append_continues_text_and_rows(folder: Folder) -> None:
    await folder.do("append", "a.txt", content="one\n")
    assert await folder.do("append", "a.txt", content="two\n") == {"file_path": "a.txt", "bytes": 8}
    await folder.do("append", "a.ndjson", content={"a": 1})
    await folder.do("append", "a.ndjson", content=[{"a": 2}])
    assert await folder.read("a.ndjson") == [{"a": 1}, {"a": 2}]


async def test_append_of_csv_keeps_the_header_and_its_order(folder: Folder) -> None:
    await folder.do("append", "a.csv", content=[{"a": 1, "b": 2}])
    await folder.do("append", "a.csv", content=[{"b": 4, "a": 3}, {"a": 5}])
    assert folder.raw("a.csv") == b"a,b\n1,2\n3,4\n5,\n"


async def test_append_to_json_is_refused(folder: Folder) -> None:
    assert (await error(folder.do("append", "a.json", content=1))).code == "INVALID_CONFIG"


async def test_list_copy_move_delete(folder: Folder) -> None:
    await folder.do("write", "in/a.csv", content=[])
    await folder.do("write", "in/b.txt", content="x")
    await folder.do("copy", "in/b.txt", destination="in/deep/c.csv")
    assert await folder.do("move", "in/b.txt", destination="d.txt") == {
        "file_path": "in/b.txt",
        "destination": "d.txt",
        "bytes": 1,
    }
    listed = await folder.do("list", "in", pattern="*.csv", recursive=True)
    assert [entry["path"] for entry in listed["files"]] == ["in/a.csv", "in/deep/c.csv"]
    assert [entry["path"] for entry in (await folder.do("list", ""))["files"]] == ["d.txt", "in"]
    assert (await folder.do("delete", "d.txt"))["deleted"] is True
    assert (await folder.do("delete", "d.txt"))["deleted"] is False


async def test_missing_file_is_an_error_that_names_it(folder: Folder) -> None:
    found = await error(folder.read("none.csv"))
    assert (found.code, found.message) == ("EXTERNAL_ERROR", "there is no file none.csv")


async def test_paths_outside_are_refused(folder: Folder) -> None:
    """In a document if the path stands there, and when the node runs if a template gave it."""
    kind = node_type("file_operation")
    context = NodeContext(tenant="t1", ports=Ports(files=folder.files))
    for operation in ("read", "write", "append", "delete", "list"):
        params = {"operation": operation, "file_path": "../x", "content": "x"}
        assert codes("file_operation", params) == [("INVALID_PARAM", "params.file_path")]
        assert (await error(kind.execute(kind.parse_params(params), context))).code == "INVALID_CONFIG"


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({"operation": "read"}, "params"),
        ({"operation": "copy", "file_path": "a"}, "params"),
        ({"operation": "write", "file_path": "{{ input.path }}"}, "params"),
        ({"operation": "erase", "file_path": "a"}, "params.operation"),
        ({"operation": "read", "file_path": "a", "encoding": "rot13"}, "params.encoding"),
        ({"operation": "read", "file_path": "a", "types": {"a": "money"}}, "params.types.a"),
        ({"operation": "read", "file_path": "a", "delimiter": ";;"}, "params.delimiter"),
    ],
)
def test_mistakes_are_issues(params: dict[str, Any], place: str) -> None:
    assert codes("file_operation", params) == [("INVALID_PARAM", place)]
