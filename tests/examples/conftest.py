"""A server for the examples: workflows may call this machine, as `structforge up --demo` allows."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.structforge.cli.served import ROOT, command, environment, serving

Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="session")
def server_dir() -> Iterator[Path]:
    with serving(STRUCTFORGE_HTTP__ALLOWED_HOSTS='["127.0.0.1"]') as path:
        yield path


@pytest.fixture
def run_example(server_dir: Path) -> Run:
    """`structforge run examples/<name>.yaml --json`: its exit code and its last line."""

    def run(name: str, **given: Any) -> tuple[int, dict[str, Any]]:
        arguments = ["run", f"examples/{name}.yaml", "--json", *(["--input", json.dumps(given)] if given else [])]
        ended = subprocess.run(
            command(*arguments), cwd=ROOT, env=environment(server_dir), capture_output=True, text=True, timeout=90
        )
        assert ended.stdout, ended.stderr
        return ended.returncode, json.loads(ended.stdout.splitlines()[-1])

    return run


@pytest.fixture
def files(server_dir: Path) -> Path:
    """The workflow files of the only tenant."""
    (tenant,) = (server_dir / "files").iterdir()
    return tenant / "examples"
