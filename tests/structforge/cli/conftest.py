"""The command line in this process: its exit code and what it printed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from structforge.cli.main import run


@dataclass(frozen=True, slots=True)
class Printed:
    code: int
    out: str
    err: str


Cli = Callable[..., Printed]


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that does not exist yet, and no settings of the person who runs the tests."""
    for name in [*os.environ]:
        if name.startswith("STRUCTFORGE_") or name == "TEMPORAL_ADDRESS":
            monkeypatch.delenv(name)
    path = tmp_path / "data"
    monkeypatch.setenv("STRUCTFORGE_DATA_DIR", str(path))
    return path


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    def call(*arguments: str | Path) -> Printed:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        printed = capfd.readouterr()
        return Printed(code, printed.out, printed.err)

    return call
