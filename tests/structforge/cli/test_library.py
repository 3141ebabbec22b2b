"""Commands about workflows and their versions, on a running server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.structforge.cli.conftest import Cli
from tests.structforge.cli.served import shared_server

DOCUMENT = "name: {name}\ndescription: {text}\nnodes:\n- {{id: start, type: manual}}\n"


@pytest.fixture(autouse=True)
def server(request: pytest.FixtureRequest, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = shared_server(request.config)
    monkeypatch.setenv("STRUCTFORGE_DATA_DIR", str(folder))
    return folder


def write(path: Path, name: str, text: str) -> Path:
    path.write_text(DOCUMENT.format(name=name, text=text))
    return path


def test_versions_are_listed_compared_published_and_gone_back_to(cli: Cli, tmp_path: Path) -> None:
    for text in ("one", "two"):
        assert cli("apply", write(tmp_path / "w.yaml", "library-versions", text)).code == 0
    changes = json.loads(cli("workflow", "diff", "library-versions", "1", "2").out)
    published = cli("workflow", "publish", "library-versions", "1")
    back = cli("workflow", "rollback", "library-versions", "1")
    numbers = [item["number"] for item in json.loads(cli("workflow", "versions", "library-versions", "--json").out)]

    assert changes["sections"] == [{"path": "description", "kind": "changed", "before": "one", "after": "two"}]
    assert published.out == "library-versions: version 1 is published\n"
    assert back.out == "library-versions: version 3 is version 1 again\n"
    assert numbers == [3, 2, 1]
    assert "library-versions" in cli("workflow", "list", "--search", "library-v").out
    missing = cli("workflow", "publish", "no-such-workflow", "1")
    assert (missing.code != 0, "no workflow is called" in missing.err) == (True, True)


def test_webhooks_are_shown_with_their_addresses(cli: Cli, tmp_path: Path) -> None:
    source = tmp_path / "w.yaml"
    source.write_text(
        "name: library-hooks\nnodes:\n- {id: call, type: webhook, params: {path: cli/orders, method: PUT}}\n"
    )
    assert cli("apply", source).code == 0
    shown, (hook,) = (
        cli("workflow", "hooks", "library-hooks"),
        json.loads(cli("workflow", "hooks", "library-hooks", "--json").out),
    )
    assert hook["url"].endswith("/cli/orders")
    assert (shown.code, "PUT" in shown.out, "none: a call must carry nothing" in shown.out) == (0, True, True)
    cli("workflow", "archive", "library-hooks")


def test_what_is_exported_can_be_imported(cli: Cli, tmp_path: Path) -> None:
    cli("apply", write(tmp_path / "w.yaml", "library-transfer", "x"))
    for form in ("yaml", "json", "zip"):
        target = tmp_path / f"all.{form}"
        assert cli("export", "library-transfer", "--format", form, "-o", target).code == 0
        refused = cli("import", target)
        dry = cli("import", target, "--on-conflict", "rename", "--dry-run")
        same = json.loads(cli("import", target, "--on-conflict", "version", "--json").out)

        assert (refused.code, "NAME_TAKEN" in refused.out) == (2, True), refused
        assert (dry.code, "library-transfer 2: created" in dry.out) == (0, True), dry
        assert [item["outcome"] for item in same["items"]] == ["unchanged"]
