"""`structforge node new`, `structforge plugin`, and what other commands say of plugins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.nodes.plugins.manifest import read_manifest
from engine.settings import load_settings
from structforge.cli.main import run as structforge
from structforge.devstack.application import _queues  # pyright: ignore[reportPrivateUsage]
from structforge.doctor import _plugins  # pyright: ignore[reportPrivateUsage]
from tests.plugins.places import EXAMPLE, write_plugin

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The plugin folder of the commands under test."""
    for name in [*os.environ]:
        if name.startswith("STRUCTFORGE_") or name == "TEMPORAL_ADDRESS":
            monkeypatch.delenv(name)
    monkeypatch.setenv("STRUCTFORGE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("STRUCTFORGE_PLUGINS__FOLDER", str(tmp_path / "plugins"))
    return tmp_path / "plugins"


def pytest_of(place: Path) -> subprocess.CompletedProcess[str]:
    """Run the tests of a plugin as its author does: from its own folder."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # what a plugin author has need not be what we have
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=180, check=False)


@pytest.mark.parametrize("options", [[], ["--isolated", "--category", "tool"]])
def test_new_plugin_passes_its_own_test_and_is_found(
    folder: Path, options: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert structforge(["node", "new", "acme.greet_all", *options]) == 0
    place = folder / "acme"
    assert capfd.readouterr().out.split() == [
        str(place / name) for name in ("plugin.toml", "greet_all.py", "test_acme_greet_all.py", "README.md")
    ]
    tested = pytest_of(place)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "3 passed" in tested.stdout
    if options:
        assert structforge(["plugin", "describe", "acme"]) == 0
        assert "acme.greet_all" in capfd.readouterr().out
    assert structforge(["node", "show", "acme.greet_all"]) == 0
    assert "Greet somebody" in capfd.readouterr().out
    assert structforge(["plugin", "list", "--json"]) == 0
    (listed,) = json.loads(capfd.readouterr().out)
    assert (listed["node_types"], listed["problems"], listed["isolated"]) == (["acme.greet_all"], [], bool(options))


def test_new_plugin_of_one_word_has_a_type_called_run(folder: Path) -> None:
    assert structforge(["node", "new", "acme", "--folder", str(folder / "deeper")]) == 0
    assert read_manifest(folder / "deeper" / "acme" / "plugin.toml").manifest.node_types == ("acme.run",)


@pytest.mark.parametrize("arguments", [["Acme"], ["acme.x.y"], ["../acme"], ["acme", "--category", "control"]])
def test_name_or_category_that_cannot_be_is_refused(folder: Path, arguments: list[str]) -> None:
    assert structforge(["node", "new", *arguments]) == 2
    assert not folder.exists()


def test_new_plugin_never_overwrites_one(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_plugin(folder, "acme")
    assert structforge(["node", "new", "acme"]) == 2
    assert "is there already" in capfd.readouterr().err


def test_problems_of_plugins_are_shown_beside_what_works(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_plugin(folder, "bad", code="1 / 0")
    write_plugin(folder, "good")
    assert structforge(["node", "list", "--category", "data"]) == 0
    printed = capfd.readouterr()
    assert "good.greet" in printed.out
    assert "plugin bad: its code does not load: ZeroDivisionError" in printed.err
    checks = {check.name: check for check in _plugins(load_settings())}
    assert (checks["plugin bad"].ok, checks["plugin good"].ok) == (False, True)
    assert checks["plugin good"].detail == "1.0 with good.greet"


def test_type_of_a_plugin_that_cannot_be_used_says_why(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_plugin(folder, "bad", code="1 / 0")
    assert structforge(["node", "show", "bad.greet"]) == 1
    assert "the plugin bad 1.0 cannot be used: its code does not load" in capfd.readouterr().err
    document = folder / "w.yaml"
    document.write_text("name: w\nnodes: [{id: a, type: gone.greet}]\nedges: []\n")
    assert structforge(["validate", str(document)]) == 2
    assert "belongs to the plugin gone, which is not installed" in capfd.readouterr().err


def test_describing_a_plugin_that_is_not_there(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_plugin(folder, "good")
    assert structforge(["plugin", "describe", "good"]) == 1
    assert "there is no isolated plugin good" in capfd.readouterr().err


def test_embedded_stack_starts_a_worker_for_each_queue(folder: Path) -> None:
    write_plugin(folder, "acme", code="1 / 0", manifest='task_queue = "own"\n')
    routes = {"ai": "fleet", "tool": "fleet", "http": "structforge"}
    settings = load_settings(worker={"routes": routes}, plugins={"folder": folder})
    assert _queues(settings) == ["fleet", "own"]


def test_example_passes_its_own_test() -> None:
    tested = pytest_of(EXAMPLE / "barcode")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_example_is_valid_once_it_is_described(
    example_folder: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STRUCTFORGE_PLUGINS__FOLDER", str(example_folder))
    assert structforge(["plugin", "describe"]) == 0
    assert "barcode.check barcode.complete" in capfd.readouterr().out
    assert structforge(["validate", str(example_folder / "stock.yaml")]) == 0
