"""`structforge approval`: what waits for the caller, and its word."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from engine.settings import load_settings
from structforge.cli.connection import required_server
from structforge.client import Client
from tests.structforge.cli.conftest import Cli
from tests.structforge.cli.served import shared_server

ASKS = """
name: pay-by-id
nodes:
- id: ask
  type: approval
  params:
    message: "Pay?"
    allow_self: true
    form: {type: object, properties: {ticket: {type: string}}, required: [ticket]}
- {id: paid, type: transform, params: {mapping: "{{ nodes.ask.output.form.ticket }}"}}
edges:
- {source: ask, source_port: approved, target: paid}
"""


@pytest.fixture(scope="session")
def server_dir(pytestconfig: pytest.Config) -> Path:
    return shared_server(pytestconfig)


@pytest.fixture(autouse=True)
def on_server(data_dir: Path, server_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRUCTFORGE_DATA_DIR", str(server_dir))


def _asking(cli: Cli) -> str:
    """The id of an approval that waits, of an execution that has just begun."""
    server = required_server(load_settings())
    with Client(server.url, server.key) as client:
        execution_id = str(client.run(ASKS, {}).id)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for item in json.loads(cli("approval", "list", "--json", "--limit", "200").out):
            if item["execution_id"] == execution_id:
                return item["id"]
    raise AssertionError("it does not ask")


def test_what_waits_is_listed_shown_and_decided_by_its_id(cli: Cli) -> None:
    first, second = _asking(cli), _asking(cli)
    listed, shown = cli("approval", "list"), cli("approval", "show", first)
    unformed = cli("approval", "approve", first)
    approved = cli("approval", "approve", first, "--form", '{"ticket": "T-1"}', "--json")
    rejected = cli("approval", "reject", second, "--comment", "not yet")
    late = cli("approval", "approve", second, "--form", '{"ticket": "T-1"}')
    left = [item["id"] for item in json.loads(cli("approval", "list", "--json", "--limit", "200").out)]

    assert first in listed.out
    assert "pay-by-id, node ask: open" in shown.out
    assert (unformed.code, "form.ticket" in unformed.err) == (2, True)
    assert json.loads(approved.out)["status"] == "approved"
    assert rejected.out.strip() == "ask: rejected (1 rejected, quorum 1)"
    assert late.code == 1
    assert not {first, second}.intersection(left)
