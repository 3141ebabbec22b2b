"""Commands that look at documents and at this installation, and change nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.structforge.cli.conftest import Cli

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_valid_without_a_warning_and_can_be_drawn(path: Path, cli: Cli) -> None:
    valid = cli("validate", path)
    assert (valid.code, valid.err) == (0, "")
    assert "valid" in valid.out
    drawn = cli("graph", path)
    assert drawn.code == 0
    assert "start" in drawn.out
    assert cli("graph", path, "--format", "mermaid").out.startswith("flowchart TD\n")


def test_a_warning_does_not_hinder(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "warned.yaml"
    path.write_text(
        "name: warned\nnodes:\n- {id: start, type: manual}\n"
        "- {id: a, type: transform, params: {mapping: 1}, assign: {x: 1}}\n"
        "- {id: b, type: transform, params: {mapping: 1}, assign: {x: 2}}\n"
        "edges: [{source: start, target: a}, {source: start, target: b}]\n"
    )
    printed = cli("validate", path)
    assert (printed.code, "warning ASSIGN_RACE" in printed.err) == (0, True)
    report = json.loads(cli("validate", path, "--json").out)
    assert (report["valid"], report["issues"][0]["severity"]) == (True, "warning")


def test_node_list_has_one_line_a_type_for_a_pipe(cli: Cli) -> None:
    lines = cli("node", "list").out.splitlines()
    rows = {line.split("\t")[0]: line.split("\t") for line in lines}
    assert {"manual", "transform", "filter", "aggregate", "map", "sort", "condition", "switch", "delay", "parallel",
            "loop", "http", "file_operation", "workflow"} <= rows.keys()  # fmt: skip
    assert rows["map"][1:4] == ["data", "local", "out error"]
    only = json.loads(cli("node", "list", "--category", "trigger", "--json").out)
    assert {item["category"] for item in only} == {"trigger"}


def test_node_show_has_parameters_ports_and_examples(cli: Cli) -> None:
    shown = cli("node", "show", "aggregate")
    assert shown.code == 0
    for part in ("group_by", "aggregations", "out, error", "Revenue by country"):
        assert part in shown.out
    assert "aggregations" in json.loads(cli("node", "show", "aggregate", "--json").out)["params_schema"]["properties"]


def test_config_view_shows_settings_in_effect_and_no_secret(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRUCTFORGE_API__PORT", "8499")
    monkeypatch.setenv("STRUCTFORGE_API__KEY", "sf_secret_of_a_test")
    monkeypatch.setenv("STRUCTFORGE_REDIS__URL", "redis://:hidden@cache.example:6379/0")
    printed = cli("config", "view")
    assert printed.code == 0
    assert "api.port = 8499" in printed.out
    assert json.loads(cli("config", "view", "--json").out)["api"]["port"] == 8499
    for secret in ("sf_secret_of_a_test", "hidden"):
        assert secret not in printed.out


def test_db_upgrade_without_a_database_says_which_setting_is_missing(cli: Cli) -> None:
    printed = cli("db", "upgrade")
    assert (printed.code, "STRUCTFORGE_DATABASE__OWNER_URL" in printed.err) == (2, True)


def test_doctor_names_each_finding(cli: Cli) -> None:
    findings = json.loads(cli("doctor", "--json").out)
    assert {"python", "postgres program", "temporal program", "valkey program", "disk"} <= {
        finding["name"] for finding in findings
    }
    assert "✓ python" in cli("doctor").out
