"""The import contracts hold, with no exception made anywhere, and our root names are ours alone."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("structforge", "engine", "api", "models", "worker", "scheduler_sync")


def contracts() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]


def test_import_contracts_hold() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_contracts_make_no_exceptions() -> None:
    for contract in contracts()["contracts"]:
        exceptions = [key for key in contract if "ignore" in key or "allow" in key]
        if contract["type"] == "protected":  # names who may import; that is one package
            assert len(contract["allowed_importers"]) == 1, contract["name"]
            exceptions.remove("allowed_importers")
        assert exceptions == [], contract["name"]


def test_contracts_cover_every_root_package() -> None:
    packages = {name for name in PACKAGES if (ROOT / name).is_dir()}  # import-linter takes no single modules
    assert set(contracts()["root_packages"]) == packages


@pytest.mark.parametrize("name", PACKAGES)
def test_no_other_distribution_claims_a_root_name(name: str) -> None:
    owners = set(packages_distributions().get(name, [])) - {"structforge"}
    assert owners == set(), f"{owners} would be imported in place of, or be hidden by, our {name}"


@pytest.mark.parametrize("name", PACKAGES)
def test_root_name_is_imported_from_here(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import {name}; print({name}.__file__)"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert Path(done.stdout.strip()).is_relative_to(ROOT)
