"""Commands on a running server: run, apply, and everything about executions."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from engine.settings import load_settings
from structforge.cli.connection import required_server
from structforge.client import Client
from tests.structforge.cli.conftest import Cli, Printed
from tests.structforge.cli.served import ROOT, command, environment, shared_server

DOUBLE = """
name: double
inputs: {type: object, properties: {n: {type: integer, default: 21}}}
nodes:
- {id: start, type: manual}
- {id: double, type: transform, params: {mapping: "{{ 2 * input.n }}"}}
- id: each
  type: loop
  params:
    loop_type: for
    count: 2
    body:
      nodes: [{id: square, type: transform, params: {mapping: "{{ index * index }}"}}]
      outputs: "{{ nodes.square.output }}"
edges: [{source: start, target: double}, {source: double, target: each}]
outputs: {doubled: "{{ nodes.double.output }}", squares: "{{ nodes.each.output.items }}"}
"""
FAILS = """
name: fails
nodes:
- {id: start, type: manual}
- {id: divide, type: transform, params: {mapping: "{{ 1 / 0 }}"}}
edges: [{source: start, target: divide}]
"""
WAITS = """
name: waits
nodes:
- {id: start, type: manual}
- {id: wait, type: delay, params: {delay: 10m}}
- {id: after, type: transform, params: {mapping: done}}
edges: [{source: start, target: wait}, {source: wait, target: after}]
"""
LARGE = """
name: large
nodes:
- {id: start, type: manual}
- {id: big, type: transform, params: {mapping: "{{ 'x' * 300000 }}"}}
edges: [{source: start, target: big}]
outputs: "{{ nodes.big.output }}"
"""


@pytest.fixture(scope="session")
def server_dir(pytestconfig: pytest.Config) -> Path:
    return shared_server(pytestconfig)


@pytest.fixture(autouse=True)
def on_server(data_dir: Path, server_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRUCTFORGE_DATA_DIR", str(server_dir))


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    for name, text in (("double", DOUBLE), ("fails", FAILS), ("waits", WAITS)):
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def last_line(printed: Printed) -> dict[str, Any]:
    return json.loads(printed.out.splitlines()[-1])


def test_run_prints_progress_and_the_output_for_people(cli: Cli, documents: Path) -> None:
    printed = cli("run", documents / "double.yaml", "--input", '{"n": 4}')
    assert printed.code == 0
    assert json.loads(printed.out) == {"doubled": 8, "squares": [0, 1]}
    assert "✓ double (transform)" in printed.err
    assert "✓ success in " in printed.err


def test_run_ends_with_one_json_line_on_request(cli: Cli, documents: Path) -> None:
    (documents / "input.json").write_text('{"n": 5}')
    printed = cli("run", documents / "double.yaml", "--json", "--trigger", "start", "--input",
                  f"@{documents / 'input.json'}")  # fmt: skip
    line = last_line(printed)
    assert (printed.code, len(printed.out.splitlines())) == (0, 1)
    assert [*line] == ["execution_id", "status", "output", "error", "duration_ms", "nodes"]
    assert (line["status"], line["output"], line["error"]) == ("success", {"doubled": 10, "squares": [0, 1]}, None)
    assert line["duration_ms"] > 0
    assert line["nodes"]["double"] == {"status": "success", "attempts": 1, "output": 10, "error": None}
    assert {key: node["output"] for key, node in line["nodes"].items() if "square" in key} == {
        "each.body.square[0]": 0,
        "each.body.square[1]": 1,
    }


def test_run_of_a_failing_document_ends_with_1_and_the_error(cli: Cli, documents: Path) -> None:
    printed = cli("run", documents / "fails.yaml")
    assert (printed.code, printed.out) == (1, "")
    assert "EXPRESSION_ERROR" in printed.err
    line = last_line(cli("run", documents / "fails.yaml", "--json"))
    assert line["status"] == "failed"
    assert line["nodes"]["divide"]["error"]["code"] == "EXPRESSION_ERROR"


def test_a_large_output_stays_whole(cli: Cli, documents: Path) -> None:
    (documents / "large.yaml").write_text(LARGE)
    line = last_line(cli("run", documents / "large.yaml", "--json"))
    assert line["output"] == line["nodes"]["big"]["output"] == "x" * 300_000


def test_a_timeout_cancels_the_execution(cli: Cli, documents: Path) -> None:
    printed = cli("run", documents / "waits.yaml", "--timeout", "500ms", "--json")
    line = last_line(printed)
    assert (printed.code, line["status"]) == (1, "cancelled")
    assert line["nodes"]["wait"]["status"] == "cancelled"


def test_ctrl_c_cancels_the_execution_and_says_so(server_dir: Path, documents: Path, cli: Cli) -> None:
    process = subprocess.Popen(
        command("run", documents / "waits.yaml", "--json"),
        cwd=ROOT, env=environment(server_dir), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert "✓ start" in process.stderr.readline()
    process.send_signal(2)
    out, _ = process.communicate(timeout=180)
    assert process.returncode == 130
    assert json.loads(out.splitlines()[-1])["status"] == "cancelled"


def test_executions_can_be_listed_read_and_run_again(cli: Cli, documents: Path) -> None:
    first = last_line(cli("run", documents / "double.yaml", "--json"))
    listed = cli("execution", "list", "--status", "success", "--limit", "1")
    assert listed.out.split("\t")[:3] == [first["execution_id"], "double", "success"]
    assert json.loads(cli("execution", "list", "--json").out)[0]["id"] == first["execution_id"]
    assert last_line(cli("execution", "get", first["execution_id"], "--json")) == first
    shown = cli("execution", "get", first["execution_id"])
    assert "each.body.square[1]\ttransform\tsuccess" in shown.out
    again = cli("execution", "rerun", first["execution_id"], "--from", "each", "--json")
    watched = cli("execution", "watch", json.loads(again.out)["execution_id"])
    assert (watched.code, json.loads(watched.out)) == (0, first["output"])


def test_an_execution_can_be_paused_resumed_and_cancelled_by_another(cli: Cli, documents: Path) -> None:
    results: list[int] = []
    path = documents / "waits.yaml"
    runner = threading.Thread(target=lambda: results.append(_run_in_process_of_its_own(path)))
    runner.start()
    execution_id = _wait_for_running(cli)
    assert cli("execution", "pause", execution_id).code == 0
    assert json.loads(cli("execution", "get", execution_id, "--json").out)["status"] == "paused"
    assert cli("execution", "resume", execution_id).code == 0
    assert cli("execution", "cancel", execution_id).code == 0
    runner.join(60)
    assert results == [1]
    late = cli("execution", "pause", execution_id)
    assert late.code == 1
    assert "Traceback" not in late.err
    watched = cli("execution", "watch", execution_id)
    assert (watched.code, "cancelled" in watched.err) == (1, True)


def _run_in_process_of_its_own(path: Path) -> int:
    return subprocess.run(command("run", path), cwd=ROOT, capture_output=True, check=False, timeout=180).returncode


def _wait_for_running(cli: Cli) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = json.loads(cli("execution", "list", "--status", "running", "--json").out)
        if found:
            return found[0]["id"]
    raise AssertionError("the execution did not start")


def test_apply_makes_a_workflow_and_then_versions_of_it(cli: Cli, documents: Path) -> None:
    path = documents / "applied.yaml"
    path.write_text(DOUBLE.replace("name: double", "name: applied"))
    first = json.loads(cli("apply", path, "--json").out)
    path.write_text(path.read_text().replace("2 * input.n", "3 * input.n"))
    second = json.loads(cli("apply", path, "--json").out)
    assert (first["version"], second["version"], second["id"]) == (1, 2, first["id"])


def test_an_execution_that_does_not_exist_is_told_in_words(cli: Cli) -> None:
    for execution_id in ("01a20f61-738e-76ec-9d7f-960638a52501", "no-uuid"):
        printed = cli("execution", "get", execution_id)
        assert printed.code in (1, 2)
        assert "Traceback" not in printed.err
        assert printed.err


ASKS = """
name: asks
nodes:
- {id: start, type: manual}
- id: ask
  type: approval
  params:
    message: "Pay {{ input.sum }}?"
    allow_self: true
    form: {type: object, properties: {ticket: {type: string}}, required: [ticket]}
- {id: paid, type: transform, params: {mapping: "{{ nodes.ask.output.form.ticket }}"}}
- {id: kept, type: transform, params: {mapping: "{{ nodes.ask.output.comment }}"}}
edges:
- {source: start, target: ask}
- {source: ask, source_port: approved, target: paid}
- {source: ask, source_port: rejected, target: kept}
"""


def test_what_waits_for_people_is_listed_approved_and_rejected(cli: Cli) -> None:
    ids = [_started_asking(total) for total in (3, 4)]
    _wait_for_asking(cli, ids)
    listed = cli("execution", "approvals", "--execution", ids[0])
    refused = cli("execution", "approve", ids[0], "ask")
    approved = cli("execution", "approve", ids[0], "ask", "--form", '{"ticket": "T-1"}', "--json")
    rejected = cli("execution", "reject", ids[1], "ask", "--comment", "too much")
    again = cli("execution", "reject", ids[0], "ask")
    bad_form = cli("execution", "approve", ids[0], "ask", "--form", "{")
    outputs = [json.loads(cli("execution", "watch", one).out) for one in ids]

    assert "Pay 3?" in listed.out
    assert (refused.code, "form.ticket" in refused.err) == (2, True)
    assert json.loads(approved.out)["status"] == "approved"
    assert rejected.out.strip() == "ask: rejected (1 rejected, quorum 1)"
    assert (again.code, "you have approved it before" in again.err) == (1, True)
    assert "--form is no JSON" in bad_form.err
    assert outputs == [{"paid": "T-1"}, {"kept": "too much"}]


def _started_asking(total: int) -> str:
    server = required_server(load_settings())
    with Client(server.url, server.key) as client:
        return str(client.run(ASKS, {"sum": total}).id)


def _wait_for_asking(cli: Cli, ids: list[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        asking = {item["execution_id"] for item in json.loads(cli("execution", "approvals", "--json").out)}
        if asking >= set(ids):
            return
    raise AssertionError("they do not ask")
