"""What all commands share: a quick start, exit codes, errors in words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from structforge.cli.main import main
from tests.structforge.cli.conftest import Cli

ROOT = Path(__file__).parents[3]
HEAVY = ("pydantic", "temporalio", "sqlalchemy", "asyncpg", "httpx2", "fastapi", "engine.settings", "engine.nodes")


def test_help_imports_nothing_that_takes_long() -> None:
    script = (
        "import sys\nfrom structforge.cli.main import run\ncode = run(['--help'])\n"
        f"print('loaded', sorted(set(sys.modules) & {set(HEAVY)!r}), code)"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "loaded [] 0"
    for command in ("up", "demo", "run", "validate", "graph", "apply", "execution", "node", "doctor", "config", "db",
                    "worker", "api", "scheduler"):  # fmt: skip
        assert f"\n  {command} " in ended.stdout


def test_the_module_is_the_command() -> None:
    ended = subprocess.run([sys.executable, "-m", "structforge", "nope"], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "No such command 'nope'" in ended.stderr


def test_main_exits_with_the_code_of_the_command() -> None:
    with pytest.raises(SystemExit) as end:
        main(["node", "show", "no_such_type"])
    assert end.value.code == 1


def test_a_traceback_comes_only_on_request(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = cli("node", "show", "fliter")
    assert (printed.code, printed.out) == (1, "")
    assert "there is no node type fliter" in printed.err
    assert "did you mean filter?" in printed.err
    monkeypatch.setenv("STRUCTFORGE_DEBUG", "1")
    with pytest.raises(Exception, match="there is no node type fliter"):
        cli("node", "show", "fliter")


def test_a_command_that_needs_a_server_says_how_to_get_one(cli: Cli, data_dir: Path) -> None:
    for arguments in (["execution", "list"], ["execution", "cancel", "x"], ["apply", "examples/weather.yaml"]):
        printed = cli(*arguments)
        assert printed.code == 2
        assert f"no server runs on {data_dir}" in printed.err
        assert "structforge up" in printed.err
    assert not data_dir.exists()


def test_a_server_by_address_needs_a_key_and_must_answer(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRUCTFORGE_URL", "http://127.0.0.1:9")
    printed = cli("execution", "list")
    assert (printed.code, "STRUCTFORGE_API__KEY" in printed.err) == (2, True)
    monkeypatch.setenv("STRUCTFORGE_API__KEY", "sf_of_a_test")
    printed = cli("execution", "list")
    assert (printed.code, "did not answer" in printed.err) == (1, True)
    assert "sf_of_a_test" not in printed.err


def test_the_reader_of_a_pipe_may_leave() -> None:
    command = f"{sys.executable} -m structforge node list --json | head -c 1"
    ended = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("[", "")
