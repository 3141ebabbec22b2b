"""A server for the examples: workflows may call this machine, as `structforge up --demo` allows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.repositories.tenants import FIRST_TENANT
from structforge.cli.main import run as structforge
from tests.structforge.cli.served import ROOT, shared_server

Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="session")
def server_dir(pytestconfig: pytest.Config) -> Path:
    return shared_server(pytestconfig)


@pytest.fixture
def run_example(server_dir: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """`structforge run examples/<name>.yaml --json`: its exit code and its last line."""
    for name in [*os.environ]:
        if name.startswith("STRUCTFORGE_") or name == "TEMPORAL_ADDRESS":
            monkeypatch.delenv(name)
    monkeypatch.setenv("STRUCTFORGE_DATA_DIR", str(server_dir))

    def run(name: str, **given: Any) -> tuple[int, dict[str, Any]]:
        arguments = [str(ROOT / "examples" / f"{name}.yaml"), "--json"]
        capfd.readouterr()
        code = structforge(["run", *arguments, *(["--input", json.dumps(given)] if given else [])])
        printed = capfd.readouterr()
        assert printed.out, printed.err
        return code, json.loads(printed.out.splitlines()[-1])

    return run


@pytest.fixture
def files(server_dir: Path) -> Path:
    """The examples' part of the only tenant's files."""
    return server_dir / "files" / str(FIRST_TENANT) / "examples"
