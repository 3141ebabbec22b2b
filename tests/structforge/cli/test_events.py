"""Events, on a running server with its own scheduler."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.structforge.cli.conftest import Cli
from tests.structforge.cli.served import shared_server

DOCUMENT = """
name: cli-listener
nodes:
  - {id: heard, type: event, params: {event_type: cli.test.*, event_filter: event.data.n > 1}}
"""


@pytest.fixture(autouse=True)
def server(request: pytest.FixtureRequest, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = shared_server(request.config)
    monkeypatch.setenv("STRUCTFORGE_DATA_DIR", str(folder))
    return folder


def test_event_is_published_once_and_shows_what_it_started(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text(DOCUMENT)
    assert cli("apply", tmp_path / "w.yaml").code == 0
    (tmp_path / "data.json").write_text('{"n": 2}')
    given = ("event", "publish", "cli.test.made", "--id", "cli-event", "--data", f"@{tmp_path / 'data.json'}")
    told = json.loads(cli(*given, "--wait", "--json").out)
    again = cli(*given)
    other = cli("event", "publish", "cli.test.made", "--id", "cli-event", "--data", "[]")
    shown = cli("event", "show", "cli-event")

    (start,) = told["starts"]
    assert (start["node"], start["error"]) == ("heard", None)
    assert again.out == "cli-event\n"
    assert (other.code, "EVENT_ID_TAKEN" in other.err or "used for another event" in other.err) == (1, True)
    assert start["execution_id"] in shown.out


def test_data_that_is_no_json_is_refused(cli: Cli) -> None:
    refused = cli("event", "publish", "a.b", "--data", "{n: 1}")
    assert (refused.code, "is no JSON" in refused.err + refused.out) == (2, True)
