"""Logs, exports and bulk commands against a server that runs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import yaml

from tests.structforge.cli.conftest import Cli
from tests.structforge.cli.served import shared_server

PRINTS = {
    "name": "records-of-the-command-line",
    "nodes": [{"id": "say", "type": "script", "params": {"script_code": "print('hello log')\n'=1'", "input": 1}}],
    "edges": [],
}


@pytest.fixture
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    data_dir = shared_server(request.config)
    monkeypatch.setenv("STRUCTFORGE_DATA_DIR", str(data_dir))
    return data_dir


@pytest.fixture
def execution_id(server: Path, cli: Cli, tmp_path: Path) -> str:
    """Of an execution that has printed and ended."""
    path = tmp_path / "prints.yaml"
    path.write_text(yaml.safe_dump(PRINTS))
    printed = cli("run", path, "--json")
    assert printed.code == 0, printed.err
    return json.loads(printed.out)["execution_id"]


def test_a_log_is_followed_to_its_end(cli: Cli, execution_id: str) -> None:
    followed = cli("execution", "logs", execution_id, "--follow")
    as_json = cli("execution", "logs", execution_id, "--json", "--text", "HELLO")
    nothing = cli("execution", "logs", execution_id, "--level", "error")

    assert (followed.code, followed.out.split()[-3:]) == (0, ["say:", "hello", "log"])
    assert json.loads(as_json.out)["message"] == "hello log"
    assert (nothing.code, nothing.out) == (0, "")


def test_results_are_exported_to_stdout_and_to_a_file(cli: Cli, execution_id: str, tmp_path: Path) -> None:
    target = tmp_path / "list.ndjson"
    nodes = cli("execution", "export", execution_id, "--format", "csv")
    listed = cli("execution", "export", "--format", "ndjson", "-o", target, "--status", "success")
    missing = cli("execution", "export", "00000000-0000-0000-0000-000000000000")

    rows = list(csv.DictReader(io.StringIO(nodes.out)))
    assert json.loads(rows[0]["output"])["result"] == "=1"
    assert listed.code == 0, listed.err
    assert execution_id in {json.loads(line)["id"] for line in target.read_text().splitlines()}
    assert missing.code != 0


def test_a_bulk_command_does_nothing_before_it_is_told_yes(cli: Cli, execution_id: str) -> None:
    workflow = json.loads(cli("execution", "list", "--json").out)[0]["workflow_id"]
    dry = cli("execution", "bulk", "rerun", "--workflow", workflow, "--limit", "1")
    done = cli("execution", "bulk", "rerun", "--workflow", workflow, "--limit", "1", "--yes", "--json")

    assert (dry.code, "add --yes" in dry.err) == (0, True)
    assert [result["done"] for result in json.loads(done.out)["results"]] == [True]
