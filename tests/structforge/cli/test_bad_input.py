"""Whatever is handed to `run` and `validate`: exit code 2, every issue in words, and nothing was started."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.structforge.cli.conftest import Cli

ROOT = Path(__file__).parents[3]
START = {"id": "start", "type": "manual"}


def document(nodes: list[object], edges: list[object] | None = None) -> bytes:
    return json.dumps({"name": "bad", "nodes": nodes, "edges": edges or []}).encode()


def cycle() -> bytes:
    nodes = [START, *({"id": name, "type": "transform", "params": {"mapping": 1}} for name in "abc")]
    edges = [{"source": source, "target": target} for source, target in ("ab", "bc", "ca")]
    return document(nodes, edges)


def deep_nesting() -> bytes:
    body: dict[str, object] = {"nodes": [{"id": "core", "type": "transform", "params": {"mapping": 1}}]}
    for level in range(100):
        params = {"loop_type": "for", "count": 1, "body": body}
        body = {"nodes": [{"id": f"loop_{level}", "type": "loop", "params": params}]}
    return document([START, *body["nodes"]])  # pyright: ignore[reportGeneralTypeIssues]


def many_nodes() -> bytes:
    return document(
        [START, *({"id": f"n{at}", "type": "transform", "params": {"mapping": at}} for at in range(20_000))]
    )


def long_expression() -> bytes:
    source = "+".join(["1"] * 500_000)
    return document([START, {"id": "long", "type": "transform", "params": {"mapping": f"{{{{ {source} }}}}"}}])


def wrong_port() -> bytes:
    nodes = [START, {"id": "next", "type": "transform", "params": {"mapping": 1}}]
    return document(nodes, [{"source": "start", "source_port": "outt", "target": "next"}])


BAD: dict[str, tuple[str, Callable[[], bytes], list[str]]] = {
    "broken json": ("bad.json", lambda: b'{"name": "x", "nodes": [}', ["DOCUMENT_SYNTAX", "line 1, column 25"]),
    "broken yaml": ("bad.yaml", lambda: b"name: x\nnodes: [\n  - {id: a", ["DOCUMENT_SYNTAX", "line 3"]),
    "empty": ("empty.yaml", lambda: b"", ["DOCUMENT_SYNTAX", "empty"]),
    "a list": ("list.json", lambda: b"[1, 2]", ["DOCUMENT_SYNTAX", "not a mapping"]),
    "binary": ("binary.yaml", lambda: bytes(range(256)) * 8, ["DOCUMENT_SYNTAX", "UTF-8"]),
    "an image by name": ("picture.png", lambda: b"\x89PNG\r\n\x1a\n\x00\x00", ["DOCUMENT_SYNTAX"]),
    "5 MB": ("large.yaml", lambda: b"name: " + b"x" * 5_000_000, ["DOCUMENT_TOO_LARGE", "5,000,006", "4,000,000"]),
    "20,000 nodes": ("many.json", many_nodes, ["TOO_MANY_NODES", "20,001", "10,000"]),
    "a cycle": ("cycle.json", cycle, ["CYCLE", "a -> b -> c -> a"]),
    "100 deep": ("deep.json", deep_nesting, ["DEEP"]),
    "1 MB expression": ("long.json", long_expression, ["EXPRESSION_TOO_LONG", "nodes[1].params.mapping"]),
    "unknown type": ("type.json", lambda: document([START, {"id": "x", "type": "transfrom"}]),
                     ["UNKNOWN_TYPE", "nodes[1].type", "did you mean transform?"]),
    "wrong port": ("port.json", wrong_port, ["UNKNOWN_PORT", "edges[0].source_port"]),
    "no nodes": ("none.json", lambda: b'{"name": "x", "nodes": []}', ["NO_NODES"]),
}  # fmt: skip


@pytest.fixture(params=BAD)
def bad(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[str]]:
    name, make, expected = BAD[request.param]
    path = tmp_path / name
    path.write_bytes(make())
    return path, expected


@pytest.mark.parametrize("command", ["run", "validate"])
def test_a_bad_document_ends_with_code_2_and_its_issues_and_starts_nothing(
    bad: tuple[Path, list[str]], command: str, cli: Cli, data_dir: Path
) -> None:
    path, expected = bad
    before = children()
    began = time.monotonic()
    printed = cli(command, path)
    assert time.monotonic() - began < 10
    assert printed.code == 2
    for part in expected:
        assert part in printed.err
    assert "hint: " in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert not data_dir.exists()
    assert children() <= before


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def test_every_issue_is_printed_with_its_place(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "three.json"
    nodes = [START, {"id": "a", "type": "htp"}, {"id": "a", "type": "map"}, {"id": "9", "type": "sort"}]
    path.write_bytes(document(nodes))
    printed = cli("run", path)
    for part in ("UNKNOWN_TYPE nodes[1].type", "DUPLICATE_ID nodes[2].id", "INVALID_ID nodes[3].id",
                 "MISSING_PARAM nodes[2].params"):  # fmt: skip
        assert part in printed.err


def places(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    (tmp_path / "weather.yaml").write_text("name: x")
    yield tmp_path / "wether.yaml", f"did you mean {tmp_path / 'weather.yaml'}?"
    yield tmp_path, "is a folder, not a file"
    yield tmp_path / "weather.yaml" / "below", "cannot be read"
    yield tmp_path / ("x" * 300), "cannot be read"


@pytest.mark.parametrize("command", ["run", "validate", "graph", "apply"])
def test_a_file_that_cannot_be_read_is_told_in_words(command: str, cli: Cli, tmp_path: Path, data_dir: Path) -> None:
    for path, message in places(tmp_path):
        printed = cli(command, path)
        assert (printed.code, printed.out) == (2, "")
        assert message in printed.err
        assert "Traceback" not in printed.err
    assert not data_dir.exists()


def test_validate_gives_the_issues_as_json(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "cycle.json"
    path.write_bytes(cycle())
    printed = cli("validate", path, "--json")
    report = json.loads(printed.out)
    assert (printed.code, report["valid"], report["issues"][0]["code"]) == (2, False, "CYCLE")
    missing = cli("validate", tmp_path / "none.yaml", "--json")
    assert (missing.code, json.loads(missing.out)["issues"][0]["severity"]) == (2, "error")


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.yaml"
    path.write_text(
        "name: plain\n"
        "inputs: {type: object, properties: {n: {type: integer}}, required: [n], additionalProperties: false}\n"
        "nodes:\n- {id: start, type: manual}\n- {id: other, type: manual}\n"
    )
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "{n: 1}"], "--input is no JSON"),
        (["--input", "@no-such-file"], "there is no file no-such-file"),
        (["--input", '{"n": "one"}'], "INVALID_INPUT input.n"),
        (["--input", "{}"], "MISSING_INPUT"),
        (["--input", '{"n": 1, "m": 2}'], "UNKNOWN_INPUT"),
        (["--input", '{"n": 1}'], "the document has 2 triggers"),
        (["--input", '{"n": 1}', "--trigger", "strat"], "there is no trigger strat"),
        (["--input", '{"n": 1}', "--timeout", "soon"], "--timeout"),
        (["--inputs", "1"], "No such option"),
    ],
)
def test_bad_options_of_run_end_with_code_2_before_anything_starts(
    plain: Path, arguments: list[str], message: str, cli: Cli, data_dir: Path
) -> None:
    printed = cli("run", plain, *arguments)
    assert printed.code == 2
    assert message in printed.err
    assert not data_dir.exists()


def test_a_wrong_setting_ends_with_code_2_and_names_the_variable(cli: Cli, plain: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("STRUCTFORGE_API__PORT", "many")
    printed = cli("validate", plain)
    assert (printed.code, "STRUCTFORGE_API__PORT" in printed.err) == (2, True)


def test_a_process_of_its_own_says_the_same_and_leaves_none_behind(tmp_path: Path, data_dir: Path) -> None:
    path = tmp_path / "cycle.json"
    path.write_bytes(cycle())
    ended = subprocess.run(
        [sys.executable, "-m", "structforge", "run", str(path), "--json"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "CYCLE" in ended.stderr
    assert "Traceback" not in ended.stderr
    mentions = [process for process in psutil.process_iter() if str(path) in " ".join(_command_line(process))]
    assert mentions == []


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
